package bearer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	nonceTTL      = 5 * time.Minute
	nonceTagSize  = 16 // bytes
	nonceTimeSize = 8
)

// nonces issues and checks nonces for DPoP proofs (RFC 9449 §9). A nonce is a time with a keyed
// tag, so nothing is stored, and each server with the key accepts the nonces of the others.
type nonces struct{ key []byte }

func newNonces(key []byte) *nonces {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("gatehouse bearer dpop nonce")) // separates this use of the key from any other
	return &nonces{mac.Sum(nil)}
}

// issue returns the nonce of a time.
func (n *nonces) issue(now time.Time) string {
	out := make([]byte, nonceTimeSize, nonceTimeSize+sha256.Size)
	binary.BigEndian.PutUint64(out, uint64(now.Unix()))
	return base64.RawURLEncoding.EncodeToString(n.appendTag(out)[:nonceTimeSize+nonceTagSize])
}

// appendTag appends the tag of an encoded time to it.
func (n *nonces) appendTag(encoded []byte) []byte {
	mac := hmac.New(sha256.New, n.key)
	mac.Write(encoded)
	return mac.Sum(encoded)
}

// valid reports whether a nonce was issued with our key and has not expired.
func (n *nonces) valid(nonce string, now time.Time) bool {
	var raw [nonceTimeSize + nonceTagSize]byte
	if len(nonce) != base64.RawURLEncoding.EncodedLen(len(raw)) {
		return false
	}
	// The decoder skips line breaks, so the length is checked again.
	if n, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(nonce)); err != nil || n != len(raw) {
		return false
	}
	want := n.appendTag(append(make([]byte, 0, nonceTimeSize+sha256.Size), raw[:nonceTimeSize]...))
	if !hmac.Equal(want[:nonceTimeSize+nonceTagSize], raw[:]) {
		return false
	}
	age := now.Sub(time.Unix(int64(binary.BigEndian.Uint64(raw[:nonceTimeSize])), 0))
	return age >= -time.Minute && age <= nonceTTL
}

// Nonce returns a nonce for the next DPoP proof, for the DPoP-Nonce header of a response, or "" if
// nonces are not required. Require sends it by itself.
func (v *Verifier) Nonce() string {
	if v.nonces == nil {
		return ""
	}
	return v.nonces.issue(v.Clock())
}
