package oauth

import (
	"crypto/sha256"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-id/gatehouse/internal/jose"
)

// maxSeen bounds how many verified tokens are remembered, at some 700 bytes each.
const maxSeen = 50_000

// seen remembers JWT access tokens by their hash, so that a signature is verified once and not at every request. It says only
// that a token is genuine: times and revocations are looked at every time, and a key that has been taken out of
// the ring takes its tokens' entries with it.
type seen struct {
	tokens *otter.Cache[[sha256.Size]byte, *AccessToken]
}

func newSeen() *seen {
	return &seen{tokens: otter.Must(&otter.Options[[sha256.Size]byte, *AccessToken]{MaximumSize: maxSeen})}
}

// token gives the remembered token, or reads it and remembers what is genuine.
func (m *seen) token(raw string, ring *jose.Ring, read func() (*AccessToken, error)) (*AccessToken, error) {
	if len(raw) > jose.MaxToken {
		return read()
	}
	key := sha256.Sum256([]byte(raw))
	if t, ok := m.tokens.GetIfPresent(key); ok {
		if ring.Has(t.kid) {
			return t, nil
		}
		m.tokens.Invalidate(key)
	}
	t, err := read()
	if err == nil {
		m.tokens.Set(key, t)
	}
	return t, err
}
