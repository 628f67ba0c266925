package cli

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// secretCommands manage the secrets of a client one by one.
type secretCommands struct {
	Add    secretAdd    `cmd:"" help:"Add a secret beside the others; prints it once only."`
	List   secretList   `cmd:"" aliases:"ls" help:"List the secrets of a client, newest first: ids and dates only."`
	Remove secretRemove `cmd:"" aliases:"rm" help:"Remove a secret; the client can no longer authenticate by it."`

	RemoveOld secretRemoveOld `cmd:"" help:"Remove all secrets of a client but the newest active one."`
}

// secretAdd adds a secret to a client.
type secretAdd struct {
	clientRef
	Expires *duration `placeholder:"DURATION" help:"How long it stays valid, such as 90d. Default: until it is removed."`
}

// Run stores the secret and prints it.
func (f *secretAdd) Run(ctx context.Context, c *call) error {
	var ttl time.Duration
	if f.Expires != nil {
		if ttl = time.Duration(*f.Expires); ttl <= 0 {
			return wrong("--expires: a new secret must be valid for a while; leave it out for one that does not expire")
		}
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		cl, err := ops.Client(ctx, a, f.Ref)
		if err != nil {
			return noClient(err)
		}
		done, err := ops.AddSecret(ctx, a, string(cl.ID), ttl)
		if err != nil {
			return noSecret(err, string(cl.ID))
		}
		doc := object{
			{"client_id", done.Client.ID},
			{"secret_id", done.ID},
			{"client_secret", done.Secret},
			{"expires_at", timestamp{done.ExpiresAt}},
		}
		return c.show(doc, func(s *table) {
			s.pair("client_id", string(done.Client.ID))
			s.pair("secret_id", done.ID)
			s.pair("expires_at", timestamp{done.ExpiresAt}.String())
			printSecret(s, done.Secret, time.Time{})
		})
	})
}

// noSecret adds where to look to an error about one secret of a client.
func noSecret(err error, id string) error {
	if fault.Is(err, fault.NotFound) || fault.Reason(err) == admin.ReasonTooManySecrets {
		return withHint(err, fault.KindOf(err), "see %s client secret list %s", program, id)
	}
	return err
}

// secretList lists the secrets of a client.
type secretList struct{ clientRef }

// listedSecret is a secret in a list: never the secret itself or its hash.
type listedSecret struct {
	secretView
	State string `json:"state"` // "active" or "expired"
}

// Run prints the ids and dates of all secrets, also of those that have expired.
func (f *secretList) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		cl, err := ops.Client(ctx, a, f.Ref)
		if err != nil {
			return noClient(err)
		}
		views := make([]listedSecret, 0, len(cl.Secrets))
		for i := range cl.Secrets {
			one := &cl.Secrets[i]
			v := listedSecret{secretView{one.ID, timestamp{one.CreatedAt}, timestamp{one.ExpiresAt}}, "active"}
			if !one.Active(c.Now()) {
				v.State = "expired"
			}
			views = append(views, v)
		}
		return showList(c, views, len(views), func(s *table) {
			s.row("SECRET ID", "CREATED", "EXPIRES", "STATE")
			for _, v := range views {
				s.row(v.ID, s.when(v.CreatedAt.Time), s.when(v.ExpiresAt.Time), v.State)
			}
		})
	})
}

// secretRemove removes a secret of a client.
type secretRemove struct {
	clientRef
	Secret string `arg:"" name:"secret-id" help:"The secret's id, as client secret list shows it."`
	Yes    bool   `short:"y" help:"Do not ask for confirmation."`
	Force  bool   `help:"Remove it even if it is the only active one, and the client could no longer authenticate."`
}

// Run removes the secret after confirmation.
func (f *secretRemove) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		cl, err := ops.Client(ctx, a, f.Ref)
		if err != nil {
			return noClient(err)
		}
		if err := c.confirm(f.Yes, "secret", f.Secret); err != nil {
			return err
		}
		done, err := ops.RemoveSecret(ctx, a, string(cl.ID), f.Secret, f.Force)
		if fault.Reason(err) == admin.ReasonLastSecret {
			return withHint(err, fault.Conflict, "or use --force")
		}
		if err != nil {
			return noSecret(err, string(cl.ID))
		}
		c.warn(done.Warnings)
		doc := map[string]string{"client_id": string(cl.ID), "secret_id": f.Secret, "result": "removed"}
		return c.done(doc, "Secret %s of client %s (%s) is removed.", f.Secret, cl.Name, cl.ID)
	})
}

// secretRemoveOld removes the old secrets of a client.
type secretRemoveOld struct {
	clientRef
	Yes bool `short:"y" help:"Do not ask for confirmation."`
}

// Run removes the secrets after confirmation.
func (f *secretRemoveOld) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		cl, err := ops.Client(ctx, a, f.Ref)
		if err != nil {
			return noClient(err)
		}
		if err := c.confirm(f.Yes, "the old secrets of client", string(cl.ID)); err != nil {
			return err
		}
		n, err := ops.RemoveOldSecrets(ctx, a, string(cl.ID))
		if err != nil {
			return noSecret(err, string(cl.ID))
		}
		doc := object{{"client_id", cl.ID}, {"removed", n}}
		return c.done(doc, "Secrets of client %s (%s) removed: %d.", cl.Name, cl.ID, n)
	})
}
