package token

import (
	"encoding/base64"
	"encoding/binary"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	nonceWindow = 2 * time.Minute
	nonceSize   = 16 // bytes
)

// nonces makes and checks the nonces of DPoP proofs. A nonce shows that a proof was made just
// now, by the server's clock instead of the client's (RFC 9449 §8, §9). It is a keyed hash of
// the current time window, so nothing needs to be stored, and every server with the same
// SECRET_KEY knows it.
type nonces struct {
	key      []byte
	required bool
}

// Nonce returns the value of the DPoP-Nonce header at a time, "" if the operator requires none.
func (s *Server) Nonce(now time.Time) string {
	if !s.nonces.required {
		return ""
	}
	return s.nonces.of(window(now))
}

// check rejects a proof without a nonce of the current time window, the previous one (a response
// takes time to arrive) or the next one (another server's clock may be ahead).
func (n nonces) check(p *dpop.Proof, now time.Time) *oauth.Error {
	if !n.required {
		return nil
	}
	w := window(now)
	for _, candidate := range []int64{w, w - 1, w + 1} {
		if secret.Equal(p.Nonce, n.of(candidate)) {
			return nil
		}
	}
	return oauth.NewError("use_dpop_nonce", 400,
		"Put the value of the DPoP-Nonce header into the proof as nonce, and try again.")
}

// of returns the nonce of a time window.
func (n nonces) of(window int64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(window))
	return base64.RawURLEncoding.EncodeToString(mac(n.key, b[:])[:nonceSize])
}

// window returns the number of the time window that a time falls into.
func window(t time.Time) int64 { return t.UnixMilli() / nonceWindow.Milliseconds() }
