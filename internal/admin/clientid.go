package admin

import (
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// checkAddress rejects a name that means something else where addresses of the console and of the
// management API name a thing of a kind: the thing would have no page. More are the words that only
// addresses of this kind have.
func checkAddress(field, name, kind string, more ...string) error {
	if !slices.Contains(append(more, ".", "..", "new"), name) {
		return nil
	}
	return fault.InvalidField(field, "%q cannot name a %s, because an address of the console or of the management "+
		"API ends so; choose another name", name, kind)
}

// checkClientID rejects ids that would mean something else.
func checkClientID(id client.ID) error {
	err := checkAddress("client_id", string(id), "client", "bulk", "export", "import", "rotate")
	if err != nil {
		return err
	}
	if id == audit.ActorCLI || id == audit.ActorSystem { // the audit log calls others so
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
