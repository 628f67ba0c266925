package cli

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
)

// keyCommands manage the keys that sign tokens.
type keyCommands struct {
	List   keyList   `cmd:"" aliases:"ls" help:"List the signing keys."`
	Rotate keyRotate `cmd:"" help:"Create the next key; the old one stays published until its tokens expire."`
	Retire keyRetire `cmd:"" help:"Withdraw a key at once, with all tokens that it signed."`
}

// keyView is a key as the command line shows it; its private half is never shown.
type keyView struct {
	ID        string    `json:"kid"`
	Alg       string    `json:"alg"`
	State     string    `json:"state"`
	CreatedAt timestamp `json:"created_at"`
	ActiveAt  timestamp `json:"active_at"`
	RetiredAt timestamp `json:"retired_at"`
	ExpiresAt timestamp `json:"expires_at"`
}

func viewKey(k jose.StoredKey, now time.Time) keyView {
	return keyView{
		ID:        k.ID,
		Alg:       k.Alg,
		State:     k.State(now),
		CreatedAt: timestamp{k.CreatedAt},
		ActiveAt:  timestamp{k.ActiveAt},
		RetiredAt: timestamp{k.RetiredAt},
		ExpiresAt: timestamp{k.ExpiresAt},
	}
}

// keyList lists the signing keys.
type keyList struct{}

// Run prints the keys, oldest first.
func (*keyList) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		keys, err := ops.Keys(ctx, a)
		if err != nil {
			return err
		}
		views := make([]keyView, 0, len(keys))
		for _, k := range keys {
			views = append(views, viewKey(k, c.Now()))
		}
		return showList(c, views, len(views), func(s *table) {
			s.row("KEY ID", "ALG", "STATE", "SIGNS FROM", "SIGNS UNTIL", "PUBLISHED UNTIL")
			for _, v := range views {
				s.row(v.ID, v.Alg, v.State, s.when(v.ActiveAt.Time), s.when(v.RetiredAt.Time), s.when(v.ExpiresAt.Time))
			}
			if len(views) == 0 {
				s.line("There is no key yet; the server creates the first one when it starts.")
			}
		})
	})
}

// keyRotate creates the next key.
type keyRotate struct {
	Alg          string   `placeholder:"ALG" help:"RS256, ES256, EdDSA or PS256. Default: the server's JWT_ALGORITHM."`
	Now          bool     `help:"Sign with the new key at once, if the old one may have leaked; then retire that one."`
	PublishAhead duration `default:"10m" placeholder:"DURATION" help:"How long it is published before it signs."`
}

// rotatedView is the result of a rotation.
type rotatedView struct {
	keyView
	Retires        []string  `json:"retires"`
	PublishedUntil timestamp `json:"retires_published_until"`
}

// Run stores the new key and prints when the others stop.
func (f *keyRotate) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		r, err := ops.RotateKey(ctx, a, admin.KeyRotation{
			Algorithm:    f.Alg,
			Now:          f.Now,
			PublishAhead: time.Duration(f.PublishAhead),
		})
		switch {
		case fault.Is(err, fault.Invalid):
			return usageError{err}
		case err != nil:
			return withHint(err, fault.Conflict, "use --now to sign with another new key at once")
		}
		v := rotatedView{keyView: viewKey(r.Key, c.Now()), Retires: orEmpty(r.Retires)}
		if len(r.Retires) > 0 {
			v.PublishedUntil = timestamp{r.PublishedUntil}
		}
		return c.show(v, v.print)
	})
}

func (v rotatedView) print(s *table) {
	s.pair("kid", v.ID)
	s.pair("alg", v.Alg)
	s.pair("signs_from", v.ActiveAt.String())
	for _, id := range v.Retires {
		s.pair("retires", id)
	}
	s.pair("published_until", v.PublishedUntil.String())
}

// keyRetire withdraws a key.
type keyRetire struct {
	KID string `arg:"" name:"kid" help:"The key's id."`
	Yes bool   `short:"y" help:"Do not ask for confirmation."`
}

// Run withdraws the key after confirmation.
func (f *keyRetire) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		use, err := ops.RetirableKey(ctx, a, f.KID)
		if err != nil {
			return noKey(err, use.StoredKey)
		}
		f.warn(c, &use)
		if err := c.confirm(f.Yes, "key", use.ID); err != nil {
			return err
		}
		k, err := ops.RetireKey(ctx, a, use.ID)
		if err != nil {
			return noKey(err, k)
		}
		return c.done(viewKey(k, c.Now()), "Key %s is withdrawn; the tokens that it signed are no longer valid.", k.ID)
	})
}

// warn prints what the withdrawal ends, where somebody is asked.
func (f *keyRetire) warn(c *call, k *admin.KeyUse) {
	if _, ok := terminal(c.stdin); f.Yes || !ok { // nobody is asked
		return
	}
	switch {
	case k.TokensUntil.IsZero():
		c.note("no token that key %s signed is valid now", k.ID)
	default:
		c.note("tokens that key %s signed are valid until %s at the latest, and end now instead",
			k.ID, k.TokensUntil.UTC().Format(time.RFC3339))
	}
}

// noKey adds what to do next to the error for a key that does not exist or cannot be withdrawn.
func noKey(err error, k jose.StoredKey) error {
	err = withHint(err, fault.NotFound, "see %s key list", program)
	return withHint(err, fault.Conflict, "run %s key rotate --alg %s --now", program, k.Alg)
}
