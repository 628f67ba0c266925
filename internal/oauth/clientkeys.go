package oauth

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
)

// KeyFetcher reads a client's key set from its jwks_uri. With fresh, a cached copy is not enough.
type KeyFetcher interface {
	KeySet(ctx context.Context, uri string, fresh bool) ([]byte, error)
}

// ClientKeys verifies what clients sign, with the keys of their registration.
type ClientKeys struct{ Fetch KeyFetcher }

// Verify checks the signature of a compact JWS with a client's registered keys, and returns its
// payload and header. If the cached copy of jwks_uri lacks the key id, it fetches a fresh one: the
// client may have rotated its keys. Every error is Denied; one that is not about the token itself
// has a reason that says what is wrong with the client's keys.
func (k ClientKeys) Verify(
	ctx context.Context, cl *client.Client, token string,
) ([]byte, jose.Header, error) {
	var failed error
	for _, fresh := range []bool{false, true} {
		set, err := k.keySet(ctx, cl, fresh)
		if err != nil {
			return nil, jose.Header{}, err
		}
		payload, head, err := set.Verify(token, jose.AssertionAlgorithms())
		if err == nil {
			return payload, head, nil
		}
		failed = err
		if !fault.Is(err, fault.NotFound) || len(cl.JWKS) > 0 {
			break
		}
	}
	return nil, jose.Header{}, fault.Wrap(fault.Denied, failed, "the signature cannot be verified")
}

// keySet returns the keys of a client's registration: jwks itself, or what is at jwks_uri.
func (k ClientKeys) keySet(
	ctx context.Context, cl *client.Client, fresh bool,
) (*jose.KeySet, error) {
	doc := []byte(cl.JWKS)
	if len(doc) == 0 {
		if cl.JWKSURI == "" {
			return nil, fault.WithReason(fault.Denied, audit.ReasonNoKeysRegistered)
		}
		var err error
		if doc, err = k.Fetch.KeySet(ctx, cl.JWKSURI, fresh); err != nil {
			return nil, fault.WithReason(fault.Denied, audit.ReasonJWKSURIUnreachable)
		}
	}
	set, err := jose.ParseKeySet(doc)
	if err != nil {
		return nil, fault.WithReason(fault.Denied, audit.ReasonJWKSUnusable)
	}
	return set, nil
}
