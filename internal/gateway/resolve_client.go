package gateway

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// clientResolver identifies clients that call for themselves, by id and secret or by an id alone.
type clientResolver struct{ g *Gateway }

func (cr clientResolver) resolve(
	_ context.Context, _ *Request, _ *Route, p presented,
) (Identity, error) {
	cl := p.registered
	if cl == nil {
		return Identity{}, nil
	}
	kind := access.ByClientID
	if p.basic {
		kind = access.BySecret
	}
	key := keyOf(kind, "", cl.ID)
	if c, ok := cr.g.callers.GetIfPresent(key); ok && c.client == cl {
		return Identity{Caller: c}, nil
	}
	c := &Caller{Caller: access.Caller{By: kind, Proven: p.basic, Subject: string(cl.ID)}}
	cr.g.setClient(c, cl)
	cr.g.callers.Set(key, c)
	return Identity{Caller: c}, nil
}

// authenticateClient returns the client that credentials prove, or that they claim without a
// secret. A secret is compared at every request, since it may have been replaced. The error is a
// Denial if the client does not exist, is disabled, or the secret is wrong.
func (g *Gateway) authenticateClient(
	ctx context.Context, creds *credentials, now time.Time,
) (*client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, decideWithin)
	defer cancel()
	if creds.basic {
		cl, err := g.Clients.ProveSecret(ctx, creds.client, creds.secret, now)
		if fault.Is(err, fault.Denied) {
			return nil, badClient(
				"The client's credentials are not valid: " + denialDetail(err) + ".")
		}
		return cl, err
	}
	cl, err := g.Clients.LookupClient(ctx, creds.claimed)
	if fault.Is(err, fault.Denied) {
		return nil, badClient(
			"X-Client-Id does not name an active client: " + denialDetail(err) + ".")
	}
	return cl, err
}

// denialDetail returns why a lookup ended in a Denied error, for the operator: its reason code, or
// its text.
func denialDetail(err error) string {
	if reason := fault.Reason(err); reason != "" {
		return reason
	}
	return fault.Text(err)
}
