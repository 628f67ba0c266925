package gateway

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
)

const traceLength = 55 // 00-, 32 digits, -, 16 digits, -, 2 digits

// keepTrace keeps a well-formed traceparent with its tracestate, or writes a new one (W3C Trace
// Context §2.2, §4). With a malformed one, each upstream would begin a trace of its own.
func keepTrace(h http.Header) {
	if v := h["Traceparent"]; len(v) == 1 && validTrace(v[0]) {
		// §3.3.1.5: what is longer may be dropped
		if len(h["Tracestate"]) > 1 || len(first(h, "Tracestate")) > 512 {
			delete(h, "Tracestate")
		}
		return
	}
	delete(h, "Tracestate")
	h["Traceparent"] = []string{newTrace()}
}

// validTrace reports whether a traceparent is well-formed (W3C Trace Context §2.2.2). Later
// versions may append more.
func validTrace(s string) bool {
	switch {
	case len(s) < traceLength, s[2] != '-', s[35] != '-', s[52] != '-':
		return false
	case !digits(s[:2]), s[:2] == "ff", !digits(s[3:35]), !digits(s[36:52]), !digits(s[53:55]):
		return false
	case zeros(s[3:35]), zeros(s[36:52]):
		return false
	case len(s) == traceLength:
		return true
	}
	return s[:2] != "00" && s[traceLength] == '-' && len(s) <= 256
}

func digits(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func zeros(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '0' {
			return false
		}
	}
	return true
}

// newTrace returns the traceparent of a new trace that is not sampled.
func newTrace() string {
	var b [24]byte // not a secret: it only has to be unique
	binary.BigEndian.PutUint64(b[:], rand.Uint64())
	binary.BigEndian.PutUint64(b[8:], rand.Uint64())
	binary.BigEndian.PutUint64(b[16:], rand.Uint64()|1) // not zero
	b[0] |= 1
	var out [traceLength]byte
	copy(out[:], "00-")
	hex.Encode(out[3:], b[:16])
	out[35] = '-'
	hex.Encode(out[36:], b[16:])
	copy(out[52:], "-00")
	return string(out[:])
}
