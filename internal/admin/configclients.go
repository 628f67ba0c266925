package admin

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/plan"
)

const (
	// clientSecret is the member of a client that refers to its secret.
	clientSecret = "client_secret"
	// configGrace is how long the former secret of a client is accepted beside a new one.
	configGrace = 24 * time.Hour

	minSetSecret, maxSetSecret = 24, 256 // bytes of a secret that an operator chooses
)

func clientKind(r client.Rules) configKind {
	fields := client.Fields(r)
	members := append(plan.Members(fields, "client_id", "scope"), plan.Member{
		Name: clientSecret,
		Kind: plan.KindSecret,
		Help: "A reference to its secret, such as ${env:SHOP_SECRET}. Without it, a new client gets a random one.",
	})
	return &describedKind[client.Client]{
		spec: plan.Section{
			Name: "clients", Noun: "client", Key: "client_id", KeyHelp: "The id, such as shop-web.", Members: members,
		},
		read: ScopeClientsRead, write: ScopeClientsWrite,
		fields: fields,
		list: func(_ context.Context, o *Operations) ([]*client.Client, error) {
			all := map[string]*client.Client{}
			for id, c := range o.store.Clients() {
				all[string(id)] = c
			}
			return byKey(all), nil
		},
		key: func(c *client.Client) string { return string(c.ID) },
		mark: func(c *client.Client) string {
			return string(c.ID) + "@" + version(c.CreatedAt.UnixMilli())
		},
		state:  func(c *client.Client) string { return version(c.Version) },
		fixed:  func(*client.Client) bool { return false },
		hidden: func(c *client.Client) bool { return c.Registration.By != "" },
		remark: func(c *client.Client) string {
			if len(c.Secrets) == 0 {
				return ""
			}
			return "Its secret is not exported. Elsewhere, set it with " + clientSecret + ": " +
				plan.Variable("client", string(c.ID), "secret")
		},
		create: createDescribedClient,
		update: func(
			ctx context.Context, o *Operations, a Actor, c *client.Client, p ClientPatch,
		) (*client.Client, error) {
			out, err := o.UpdateClient(ctx, a, string(c.ID), p)
			if err != nil {
				return nil, err
			}
			return out.Client, nil
		},
		subjects: func(c *client.Client) []subject { return []subject{storedClient(c.ID)} },
		remove: func(ctx context.Context, o *Operations, a Actor, c *client.Client) error {
			return only(o.DeleteClient(ctx, a, string(c.ID), c.Version))
		},
		secret: clientSecret,
		extra:  secretChange,
	}
}

// createDescribedClient registers a client with the secret of the document, or a random one.
func createDescribedClient(
	ctx context.Context, o *Operations, a Actor, i *plan.Item, p field.Patch[client.Client],
) (*client.Client, *IssuedSecret, error) {
	in := NewClient{ID: client.ID(i.Key), Fields: p}
	if v := i.Value(clientSecret); v != nil && v.Open == "" {
		if err := checkSetSecret(v.Texts[0]); err != nil {
			return nil, nil, err
		}
		in.secret = v.Texts[0]
	}
	out, err := o.CreateClient(ctx, a, in)
	switch {
	case err != nil:
		return nil, nil, err
	case in.secret != "" && !out.Client.HasSecret():
		return nil, nil, noSecretTaken(out.Client)
	case in.secret != "" || out.Secret == "":
		return out.Client, nil, nil
	}
	return out.Client, &IssuedSecret{Section: "clients", Key: i.Key, Secret: out.Secret}, nil
}

func noSecretTaken(c *client.Client) error {
	return fault.InvalidField(clientSecret, "the client %s does not authenticate by a secret; leave client_secret out", c.ID)
}

// checkSetSecret checks a secret that an operator has chosen.
func checkSetSecret(s string) error {
	if len(s) < minSetSecret || len(s) > maxSetSecret {
		return fault.InvalidField(clientSecret, "a secret has %d to %d characters; make one with: openssl rand -hex 32",
			minSetSecret, maxSetSecret)
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return fault.InvalidField(clientSecret, "a secret has printable ASCII characters and no spaces")
		}
	}
	return nil
}

// secretChange plans another secret for a client that does not accept the one of the document.
func secretChange(c *comparison, i *plan.Item, t *client.Client) (*extraChange, error) {
	v := i.Value(clientSecret)
	switch {
	case v == nil:
		return nil, nil
	case v.Open != "", !c.a.Can(ScopeClientsWrite): // a comparison would say whether a guess is right
		c.plan.Open = append(c.plan.Open, plan.Open{
			Section: "clients", Key: i.Shown(), Field: clientSecret, Reference: v.Source,
		})
		return nil, nil
	case !t.HasSecret():
		return nil, noSecretTaken(t)
	}
	plain := v.Texts[0]
	if err := checkSetSecret(plain); err != nil {
		return nil, err
	}
	hash, now := c.o.parts.Keys.Hash(plain), c.o.parts.Now()
	for j := range t.Secrets {
		if t.Secrets[j].Hash == hash && t.Secrets[j].Active(now) {
			return nil, nil
		}
	}
	return &extraChange{
		field: plan.FieldChange{Field: clientSecret, Hidden: true},
		state: string(hash),
		do: func(ctx context.Context, o *Operations, a Actor) error {
			if err := o.authorize(a, ScopeClientsWrite); err != nil {
				return err
			}
			return only(o.replaceSecret(ctx, a, i.Key, plain, configGrace))
		},
	}, nil
}
