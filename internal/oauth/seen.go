package oauth

import (
	"context"
	"crypto/sha256"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
)

// maxSeen bounds how many verified tokens are remembered, at some 700 bytes each.
const maxSeen = 50_000

// seen remembers JWT access tokens by their hash, so that a signature is verified once and not at every request. It says only
// that a token is genuine: times and revocations are looked at every time, and a key that has been taken out of
// the ring takes its tokens' entries with it.
type seen struct {
	tokens *otter.Cache[[sha256.Size]byte, *AccessToken]
	names  *otter.Cache[identity.UserID, seenName]
}

// seenName is a login name and when it was read. It is shown to APIs for a second before it is read again; that an account
// has been disabled or deleted is not left to it: both revoke the account's tokens.
type seenName struct {
	name string
	read time.Time
}

const nameLife = time.Second

func newSeen() *seen {
	return &seen{
		tokens: otter.Must(&otter.Options[[sha256.Size]byte, *AccessToken]{MaximumSize: maxSeen}),
		names:  otter.Must(&otter.Options[identity.UserID, seenName]{MaximumSize: maxSeen}),
	}
}

// loginName is what a token's user signs in as; false if the account is gone or disabled.
func (s *Server) loginName(ctx context.Context, id identity.UserID, now time.Time) (string, bool, error) {
	n, ok := s.seen.names.GetIfPresent(id)
	if ok && !now.Before(n.read) && now.Sub(n.read) < nameLife {
		return n.name, true, nil
	}
	u, err := s.store.User(ctx, id)
	if fault.Is(err, fault.NotFound) || (err == nil && u.Disabled) {
		return "", false, nil
	}
	if fault.Is(err, fault.Unavailable) {
		return n.name, true, nil // the token is known to be good; its user's name is an extra
	}
	if err != nil {
		return "", false, err
	}
	s.seen.names.Set(id, seenName{u.LoginName(), now})
	return u.LoginName(), true, nil
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
