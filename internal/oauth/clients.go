package oauth

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// ClientStore reads registered clients.
type ClientStore interface {
	// Client returns a client from memory, or NotFound. The value is shared: never change it.
	Client(ctx context.Context, id client.ID) (*client.Client, error)
	// SyncCache brings memory up to date with the changes of other processes, by one short query.
	SyncCache(ctx context.Context) error
}

// Clients looks up the clients that may take part in a request.
type Clients struct{ Store ClientStore }

// Lookup returns the client with an id. Denied: no such client exists, or it is disabled; the
// reason says which. Any other error is a failure of storage. The client comes from memory; only
// an id that memory does not know costs a query, since another process may have just registered
// it.
func (c Clients) Lookup(ctx context.Context, id client.ID) (*client.Client, error) {
	cl, err := c.Store.Client(ctx, id)
	if fault.Is(err, fault.NotFound) {
		if err := c.Store.SyncCache(ctx); err != nil {
			return nil, err
		}
		cl, err = c.Store.Client(ctx, id)
	}
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, fault.WithReason(fault.Denied, audit.ReasonUnknownClient)
	case err != nil:
		return nil, err
	case cl.Disabled:
		return nil, fault.WithReason(fault.Denied, audit.ReasonClientDisabled)
	}
	return cl, nil
}

// Cached reports whether memory holds a client with that id. It never asks storage, so it may be
// called with any id that a stranger sends.
func (c Clients) Cached(ctx context.Context, id client.ID) bool {
	_, err := c.Store.Client(ctx, id)
	return err == nil
}
