package oauth

import (
	"crypto/rand"
	"strings"
)

const (
	// userCodeAlphabet has no vowels, so codes form no words, and no characters that are easily
	// misread (RFC 8628 §6.1): 20^8 codes, 34 bits.
	userCodeAlphabet = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLen      = 8
)

// NewUserCode returns a random user code in its normalized form. Bytes past the last whole
// multiple of 20 are skipped, so that every code is equally likely.
func NewUserCode() string {
	out := make([]byte, 0, userCodeLen)
	var b [16]byte
	for len(out) < userCodeLen {
		rand.Read(b[:])
		for _, v := range b {
			if v < 240 && len(out) < userCodeLen {
				out = append(out, userCodeAlphabet[int(v)%len(userCodeAlphabet)])
			}
		}
	}
	return string(out)
}

// ParseUserCode normalizes a user code that a person typed, ignoring case, spaces, dots and
// dashes (RFC 8628 §6.1). It returns false if the text cannot be a code.
func ParseUserCode(s string) (string, bool) {
	if len(s) > 64 {
		return "", false
	}
	var b strings.Builder
	for _, r := range strings.ToUpper(s) {
		switch {
		case strings.ContainsRune(userCodeAlphabet, r):
			b.WriteRune(r)
		case strings.ContainsRune("- \t.\u2013\u2014", r):
		default:
			return "", false
		}
	}
	return b.String(), b.Len() == userCodeLen
}

// FormatUserCode returns a normalized code in the form that people read: WDJB-MJHT.
func FormatUserCode(code string) string {
	if len(code) != userCodeLen {
		return code
	}
	return code[:userCodeLen/2] + "-" + code[userCodeLen/2:]
}
