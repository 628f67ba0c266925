package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
)

// clientDelete deletes clients.
type clientDelete struct {
	Refs []string `arg:"" name:"client" help:"The clients' ids, or their names if no other client has them."`
	Yes  bool     `short:"y" help:"Do not ask for confirmation."`
}

// Run deletes the clients after confirmation.
func (f *clientDelete) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		var found []*client.Client
		for _, ref := range f.Refs {
			cl, err := ops.Client(ctx, a, ref)
			if err != nil {
				return noClient(err)
			}
			same := func(x *client.Client) bool { return x.ID == cl.ID }
			if !slices.ContainsFunc(found, same) {
				found = append(found, cl)
			}
		}
		if len(found) > 1 {
			return f.several(ctx, c, ops, a, found)
		}
		cl := found[0]
		if err := c.confirm(f.Yes, "client", string(cl.ID)); err != nil {
			return err
		}
		if _, err := ops.DeleteClient(ctx, a, string(cl.ID), 0); err != nil {
			return noClient(err)
		}
		doc := map[string]string{"client_id": string(cl.ID), "result": "deleted"}
		return c.done(doc, "Client %s (%s) is deleted.", cl.Name, cl.ID)
	})
}

// deletedClients is what became of several clients.
type deletedClients struct {
	Done    int             `json:"done"`
	Refused []refusedClient `json:"refused_clients"`
}

// refusedClient is a client that was not deleted.
type refusedClient struct {
	ID    client.ID `json:"client_id"`
	Error string    `json:"error"`
}

// several deletes more than one client.
func (f *clientDelete) several(
	ctx context.Context, c *call, ops operations, a admin.Actor, all []*client.Client,
) error {
	if err := c.confirm(f.Yes, "clients:", strconv.Itoa(len(all))); err != nil {
		return err
	}
	ids := make([]client.ID, len(all))
	for i, cl := range all {
		ids[i] = cl.ID
	}
	done, err := ops.DeleteClients(ctx, a, ids)
	if err != nil {
		return err
	}
	v := deletedClients{Done: len(done.Deleted), Refused: []refusedClient{}}
	for _, x := range done.Refused {
		v.Refused = append(v.Refused, refusedClient(x))
	}
	err = c.show(v, func(s *table) {
		s.pair("deleted", strconv.Itoa(v.Done))
		for _, x := range v.Refused {
			s.pair("refused_client", string(x.ID)+": "+x.Error)
		}
	})
	if err == nil && len(v.Refused) > 0 {
		err = fmt.Errorf("refused for %d of %d clients", len(v.Refused), len(all))
	}
	return err
}
