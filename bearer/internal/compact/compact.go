// Package compact checks the form of compact JSON Web Signatures (RFC 7515 §3.1).
package compact

import "strings"

// Strict reports whether each part of a compact JWS is base64url as an encoder writes it. Lenient
// decoders skip line breaks and ignore unused bits, which would give one token several spellings
// (RFC 7515 §2, RFC 4648 §3.5).
func Strict(token string) bool {
	for part := range strings.SplitSeq(token, ".") {
		last := ""
		switch len(part) % 4 {
		case 1:
			return false
		case 2: // four unused bits
			last = "AQgw"
		case 3: // two
			last = "AEIMQUYcgkosw048"
		}
		if last != "" && strings.IndexByte(last, part[len(part)-1]) < 0 {
			return false
		}
	}
	return !strings.ContainsAny(token, "\r\n=")
}
