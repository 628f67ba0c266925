package bearer

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	nonceLife = 5 * time.Minute
	nonceTag  = 16 // bytes
	nonceTime = 8
)

// nonces makes and checks nonces for DPoP proofs (RFC 9449 §9). One is the time with a keyed tag, so nothing is stored, and every server with the
// key takes what another gave.
type nonces struct{ key []byte }

func newNonces(key []byte) *nonces {
	sum := hmac.New(sha256.New, key)
	sum.Write([]byte("gatehouse bearer dpop nonce")) // for nothing else, whatever else the key is used for
	return &nonces{sum.Sum(nil)}
}

func (n *nonces) at(now time.Time) string {
	out := make([]byte, nonceTime, nonceTime+sha256.Size)
	binary.BigEndian.PutUint64(out, uint64(now.Unix()))
	return base64.RawURLEncoding.EncodeToString(n.tag(out)[:nonceTime+nonceTag])
}

// tag appends the tag of a time to it.
func (n *nonces) tag(at []byte) []byte {
	mac := hmac.New(sha256.New, n.key)
	mac.Write(at)
	return mac.Sum(at)
}

// good reports whether a nonce is one of ours and young enough.
func (n *nonces) good(nonce string, now time.Time) bool {
	var raw [nonceTime + nonceTag]byte
	if len(nonce) != base64.RawURLEncoding.EncodedLen(len(raw)) {
		return false
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(nonce)); err != nil || n != len(raw) { // the decoder skips line breaks
		return false
	}
	want := n.tag(append(make([]byte, 0, nonceTime+sha256.Size), raw[:nonceTime]...))
	if !hmac.Equal(want[:nonceTime+nonceTag], raw[:]) {
		return false
	}
	age := now.Sub(time.Unix(int64(binary.BigEndian.Uint64(raw[:nonceTime])), 0))
	return age >= -time.Minute && age <= nonceLife
}

// Nonce is one for the next DPoP proof, for the DPoP-Nonce header of an answer; "" without RequireNonce. Require sends it by itself.
func (v *Verifier) Nonce() string {
	if v.nonces == nil {
		return ""
	}
	return v.nonces.at(v.now())
}
