package oauth

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Live reports whether a token that Access has read before is still in force: not expired, not revoked, and signed with a key that
// is still believed. It reads memory alone, so that a caller that remembers tokens can ask at every request.
func (s *Server) Active(t *AccessToken, now time.Time) bool {
	return t.Expires.After(now) && (t.kid == "" || s.ring.Has(t.kid)) && !s.store.Revoked(t)
}

// Known gives a client that exists and is not disabled: Denied otherwise. It reads memory, and storage only for a name that memory
// does not hold.
func (s *Server) LookupClient(ctx context.Context, id client.ID) (*client.Client, error) {
	cl, err := s.store.Client(ctx, id)
	if fault.Is(err, fault.NotFound) {
		if err := s.store.SyncCache(ctx); err != nil {
			return nil, err
		}
		cl, err = s.store.Client(ctx, id)
	}
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, denied("unknown_client")
	case err != nil:
		return nil, err
	case cl.Disabled:
		return nil, denied("client_disabled")
	}
	return cl, nil
}

// ProveSecret gives the client that an id and a secret prove (RFC 6749 §2.3.1), outside of the token endpoint: Denied, with a word
// for the operator, if they prove none. The secret is compared in constant time.
func (s *Server) ProveSecret(ctx context.Context, id client.ID, pass string, now time.Time) (*client.Client, error) {
	cl, err := s.LookupClient(ctx, id)
	if err != nil {
		return nil, err
	}
	if !cl.AcceptsMethod(client.MethodBasic) {
		return nil, denied("wrong_method")
	}
	err = s.proveSecret(cl, pass, now)
	if !fault.Is(err, fault.Denied) || fault.Text(err) != wrongSecret {
		return cl, err
	}
	// A secret that memory does not know may have been made by another process a moment ago.
	if err := s.store.SyncCache(ctx); err != nil {
		return nil, err
	}
	newer, kerr := s.LookupClient(ctx, id)
	if kerr != nil || newer == cl {
		return nil, err
	}
	return newer, s.proveSecret(newer, pass, now)
}

// BasicSecret reads the id and the secret out of an Authorization header of the scheme Basic; false if it is of another scheme.
func BasicSecret(header string) (id client.ID, pass string, ok bool, err error) {
	name, pass, ok, err := basicCredentials(header)
	return client.ID(name), pass, ok, err
}
