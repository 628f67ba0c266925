package admin

import (
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// MaxDeletedClients is how many clients one operation deletes.
const MaxDeletedClients = 500

// DeletedClients is what became of the deletion of several clients.
type DeletedClients struct {
	Deleted []client.ID
	Refused []RefusedClient
}

// RefusedClient is a client that was not deleted.
type RefusedClient struct {
	ID    client.ID
	Error string
}

// DeleteClients deletes several clients, named by their ids, and revokes their tokens. Each is
// decided and recorded by itself, and the result names those that were refused.
func (o *Operations) DeleteClients(ctx context.Context, a Actor, ids []client.ID) (*DeletedClients, error) {
	if err := o.authorize(a, ScopeClientsWrite); err != nil {
		return nil, err
	}
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	switch {
	case len(ids) == 0:
		return nil, fault.InvalidField("ids", "nothing is selected")
	case len(ids) > MaxDeletedClients:
		return nil, fault.InvalidField("ids", "at most %d clients can be deleted at once", MaxDeletedClients)
	}
	out := &DeletedClients{}
	for _, id := range ids {
		_, err := o.store.Client(ctx, id) // a name selects nothing here
		if err == nil {
			_, err = o.deleteClient(ctx, a, string(id), 0)
		}
		switch {
		case err == nil:
			out.Deleted = append(out.Deleted, id)
		case fault.Is(err, fault.NotFound):
			out.Refused = append(out.Refused, RefusedClient{id, "there is no client with this id"})
		case refuses(err):
			out.Refused = append(out.Refused, RefusedClient{id, fault.Text(err)})
		default:
			return out, err
		}
	}
	return out, nil
}
