package login

import (
	"crypto/hmac"
	"crypto/sha256"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// recoveryLinks makes the tokens of the links that start and complete a request for recovery. They
// follow from the request: a link that is asked for again is the one that was mailed before, which
// a stranger who asks cannot end.
type recoveryLinks struct{ key []byte }

func newRecoveryLinks(keys *secret.Keys) recoveryLinks {
	return recoveryLinks{keys.Derive("recovery-link")}
}

// token returns the token of a link of a request.
func (l recoveryLinks) token(kind RecoveryLink, id string) string {
	for n := byte(0); ; n++ {
		m := hmac.New(sha256.New, l.key)
		m.Write([]byte{n})
		m.Write([]byte(string(kind) + ":" + id))
		if t := secret.Encode(secret.PrefixLink, m.Sum(nil)); staysWhole(t) {
			return t
		}
	}
}
