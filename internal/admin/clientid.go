package admin

import (
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// checkClientID rejects ids that would mean something else in the addresses of the management API.
func checkClientID(id client.ID) error {
	reserved := []client.ID{
		".", "..", "import", "export", "rotate", "bulk",
		audit.ActorCLI, audit.ActorSystem, // the audit log calls others so
	}
	if slices.Contains(reserved, id) {
		return fault.InvalidField("client_id", "%q cannot be the id of a client; choose another one", id)
	}
	return nil
}

// checkChosenID rejects the id of a client that could be taken for a person's: tokens of a client
// that acts for itself name it as their subject, and an API may look at nothing else (RFC 9700
// §4.15). Only who may do everything chooses an id of the form of ours, for clients that come from
// another server.
func (o *Operations) checkChosenID(ctx context.Context, a Actor, id client.ID) error {
	if !identity.ShapedLikeID(string(id)) {
		return nil
	}
	if !a.Can(ScopeAll) {
		return fault.InvalidField("client_id", "%q has the form of an id that the server makes; choose a name, "+
			"or leave it out", id)
	}
	switch _, err := o.store.User(ctx, identity.UserID(id)); {
	case err == nil:
		return fault.New(fault.Conflict, "%q is the id of an account; choose another one", id)
	case !fault.Is(err, fault.NotFound):
		return err
	}
	return nil
}
