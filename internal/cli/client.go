package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// clientCommands manage the applications that may request tokens.
type clientCommands struct {
	Create       clientCreate       `cmd:"" help:"Register a client; prints its id and, once only, its secret."`
	List         clientList         `cmd:"" aliases:"ls" help:"List clients."`
	Export       clientExport       `cmd:"" help:"Write clients to a file or to stdout, without their secrets."`
	Show         clientShow         `cmd:"" help:"Show one client."`
	Update       clientUpdate       `cmd:"" help:"Change a client. Only what is named changes; lists are replaced."`
	RotateSecret clientRotateSecret `cmd:"" help:"Give a client a new secret; the old one stays valid for a while."`
	Secret       secretCommands     `cmd:"" help:"Add, list and remove the secrets of a client one by one."`
	Grants       grantCommands      `cmd:"" help:"List and revoke the access that a client has now."`
	RevokeTokens clientRevokeTokens `cmd:"" help:"Revoke all tokens of a client; the client stays."`
	Delete       clientDelete       `cmd:"" aliases:"rm" help:"Delete clients, and revoke all their tokens."`
}

func newClientCommands(r client.Rules) *clientCommands {
	fields := client.Fields(r)
	return &clientCommands{
		Create: clientCreate{fieldFlags: fieldFlags[client.Client]{
			fields:   fields,
			required: []string{"client_name"},
			without:  []string{"disabled"},
		}},
		Update: clientUpdate{fieldFlags: fieldFlags[client.Client]{fields: fields}},
	}
}

// clientCreate registers a client.
type clientCreate struct {
	ID string `name:"id" placeholder:"ID" help:"The client_id. Default: a random one."`
	fieldFlags[client.Client]
}

// Run stores the client and prints its id and secret.
func (f *clientCreate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		done, err := ops.CreateClient(ctx, a, admin.NewClient{ID: client.ID(f.ID), Fields: p})
		if err != nil {
			return f.explain(err)
		}
		c.warn(done.Warnings)
		doc := clientMembers(f.fields, done.Client, c.Now())
		if done.Secret != "" {
			doc = append(doc, member{"client_secret", done.Secret})
		}
		return c.show(doc, func(s *table) {
			s.pair("client_id", string(done.Client.ID))
			printSecret(s, done.Secret, time.Time{})
		})
	})
}

// warn prints warnings beside the output.
func (c *call) warn(warnings []admin.Warning) {
	texts := map[string]string{
		admin.WarnPasswordGrantOff: "the password grant works once ENABLE_PASSWORD_GRANT is true and " +
			"PASSWORD_GRANT_ALLOWED_CLIENTS names %s",
		admin.WarnNoSecret: "the client has no secret yet; create one with " + program + " client rotate-secret %s",
		admin.WarnNoActiveSecret: "client %s has no active secret and cannot authenticate; " +
			"add one with " + program + " client secret add",
		admin.WarnSecretEnded: "the secret %s has ended: a rotation leaves the new secret and the one before it; " +
			"use " + program + " client secret add to add one beside the others",
		admin.WarnCustomScheme: "any other app on a person's device can register the scheme %s: and receive the " +
			"responses; a domain name in reverse, as in com.example.app:, is safer",
		admin.WarnFirstKey: "the first key of %s is published now and signs at once; who has cached the key set " +
			"must fetch it again. To publish a key ahead, run " + program + " key rotate --alg first",
		admin.WarnUnknownClient: "there is no client %q yet; see " + program + " client list",
		admin.WarnUnknownRole:   "the role %s is new: no account has it, and no route names it",
		admin.WarnAdminPassword: "%s is an administrator now and keeps a password that may be shorter than " +
			"administrators need; add --must-change-password",
		admin.WarnUnknownScope: "scope %s is not defined",
	}
	for _, w := range warnings {
		text := fmt.Sprintf(texts[w.Code], w.Subject)
		switch {
		case w.Nearest != "":
			text += "; did you mean " + w.Nearest + "?"
		case w.Code == admin.WarnUnknownScope:
			text += "; define it with " + program + " scope create"
		}
		c.note("%s", printable(text))
	}
}

// clientRef names a client.
type clientRef struct {
	Ref string `arg:"" name:"client" help:"The client's id, or its name if no other client has it."`
}

// noClient adds where to look to the error for a client that does not exist or is not the only
// one.
func noClient(err error) error {
	err = withHint(err, fault.NotFound, "see %s client list", program)
	return withHint(err, fault.Conflict, "see %s client list --search", program)
}

// clientList lists clients.
type clientList struct {
	Search              string `help:"Only clients with words in id or name that begin like this."`
	Type                string `placeholder:"TYPE" help:"Only clients of this type: public or confidential."`
	SecretExpiresBefore moment `placeholder:"TIME" help:"Only clients with a secret that expires before this time."`
	Sort                string `placeholder:"ORDER" help:"The order: name (default) or created. A minus before it reverses it."`
	listFlags
}

// Run prints a page of clients.
func (f *clientList) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		page, err := ops.Clients(ctx, a, admin.ClientQuery{
			Search:              f.Search,
			Type:                f.Type,
			SecretExpiresBefore: f.SecretExpiresBefore.Time,
			Sort:                sortOf(f.Sort),
			Page:                f.page(),
		})
		if err != nil {
			return explainQuery(err)
		}
		clients := page.Items
		fields := client.Fields(c.Rules)
		docs := make([]object, 0, len(clients))
		for _, cl := range clients {
			docs = append(docs, clientMembers(fields, cl, c.Now()))
		}
		return showPage(c, f.listFlags, page, docs, func(s *table) {
			s.row("CLIENT ID", "NAME", "TYPE", "GRANTS", "STATE")
			for _, cl := range clients {
				s.row(string(cl.ID), cl.Name, clientType(cl), strings.Join(c.Rules.ShortGrants(cl.Grants), " "), clientState(cl))
			}
		})
	})
}

// clientShow shows one client.
type clientShow struct{ clientRef }

// Run prints the registration.
func (f *clientShow) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		cl, err := ops.Client(ctx, a, f.Ref)
		if err != nil {
			return noClient(err)
		}
		return c.showClient(cl)
	})
}

// clientUpdate changes a registration.
type clientUpdate struct {
	clientRef
	Unset []string `sep:"none" placeholder:"FLAG" help:"Clear what a flag sets, as in --unset logo-uri. May be repeated."`
	fieldFlags[client.Client]
}

// Run stores the changed registration.
func (f *clientUpdate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	if err := f.unset(&p, f.Unset); err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		done, err := ops.UpdateClient(ctx, a, f.Ref, p)
		if err != nil {
			return noClient(f.explain(err))
		}
		c.warn(done.Warnings)
		return c.showClient(done.Client)
	})
}

// clientRotateSecret gives a client a new secret.
type clientRotateSecret struct {
	clientRef
	Grace duration `default:"24h" placeholder:"DURATION" help:"How long the old secret stays valid; 0 ends it now."`
}

// Run stores the new secret and prints it.
func (f *clientRotateSecret) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		done, err := ops.RotateSecret(ctx, a, f.Ref, time.Duration(f.Grace))
		if err != nil {
			return noClient(err)
		}
		c.warn(done.Warnings)
		doc := object{
			{"client_id", done.Client.ID},
			{"client_secret", done.Secret},
			{"previous_secret_expires_at", timestamp{done.Previous}},
		}
		return c.show(doc, func(s *table) {
			s.pair("client_id", string(done.Client.ID))
			printSecret(s, done.Secret, done.Previous)
		})
	})
}

// clientRevokeTokens revokes the tokens of a client.
type clientRevokeTokens struct {
	clientRef
	Yes bool `short:"y" help:"Do not ask for confirmation."`
}

// Run revokes the tokens after confirmation.
func (f *clientRevokeTokens) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		cl, err := ops.Client(ctx, a, f.Ref)
		if err != nil {
			return noClient(err)
		}
		if err := c.confirm(f.Yes, "tokens of client", string(cl.ID)); err != nil {
			return err
		}
		if _, err := ops.RevokeClientTokens(ctx, a, string(cl.ID)); err != nil {
			return noClient(err)
		}
		doc := map[string]string{"client_id": string(cl.ID), "result": "revoked"}
		return c.done(doc, "All tokens of client %s (%s) are revoked.", cl.Name, cl.ID)
	})
}
