package jose

import (
	"strings"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// parseCompact parses a compact JWS that is in its one canonical spelling.
func parseCompact(
	token string, algs []gojose.SignatureAlgorithm,
) (*gojose.JSONWebSignature, error) {
	if !canonical(token) {
		return nil, fault.New(fault.Denied, "the token is not in strict base64url")
	}
	return gojose.ParseSignedCompact(token, algs)
}

// canonical reports whether every part of a token is base64url as an encoder writes it: the
// decoder skips line breaks and ignores the last bits of a part, which would give one token many
// spellings (RFC 4648 §3.5, RFC 7515 §2).
func canonical(token string) bool {
	for part := range strings.SplitSeq(token, ".") {
		for i := range len(part) {
			if sextet(part[i]) < 0 {
				return false
			}
		}
		unused := 0 // bits of the last character that carry no data
		switch len(part) % 4 {
		case 1:
			return false
		case 2:
			unused = 4
		case 3:
			unused = 2
		}
		if unused > 0 && sextet(part[len(part)-1])&(1<<unused-1) != 0 {
			return false
		}
	}
	return true
}

// sextet returns the value of a character of base64url (RFC 4648 §5), or -1 for any other.
func sextet(c byte) int {
	switch {
	case c >= 'A' && c <= 'Z':
		return int(c - 'A')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 26
	case c >= '0' && c <= '9':
		return int(c-'0') + 52
	case c == '-':
		return 62
	case c == '_':
		return 63
	}
	return -1
}
