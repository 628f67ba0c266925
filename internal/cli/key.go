package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// keyCommands manage the keys that sign tokens.
type keyCommands struct {
	List   keyList   `cmd:"" help:"List the signing keys."`
	Rotate keyRotate `cmd:"" help:"Make the next key: published now, signing a little later; the old one stays published until its tokens have expired."`
	Retire keyRetire `cmd:"" help:"Withdraw a key at once, with all tokens that it has signed."`
}

// States of a key, as jose.StoredKey.State says them.
const (
	keyNext   = "next"
	keyActive = "active"
)

// keyView is a key as the command line shows it; its private half is never shown.
type keyView struct {
	ID        string `json:"kid"`
	Alg       string `json:"alg"`
	State     string `json:"state"`
	CreatedAt when   `json:"created_at"`
	ActiveAt  when   `json:"active_at"`
	RetiredAt when   `json:"retired_at"`
	ExpiresAt when   `json:"expires_at"`
}

func viewKey(k jose.StoredKey, now time.Time) keyView {
	return keyView{k.ID, k.Alg, k.State(now), when{k.CreatedAt}, when{k.ActiveAt}, when{k.RetiredAt}, when{k.ExpiresAt}}
}

// keyList lists the signing keys.
type keyList struct{}

// Run prints the keys, oldest first.
func (*keyList) Run(ctx context.Context, c *call) error {
	now := c.Now()
	return c.with(ctx, func(p *Parts) error {
		var views []keyView
		for _, k := range p.Ring.Keys() {
			views = append(views, viewKey(k, now))
		}
		return showList(c, views, len(views), func(s *sheet) {
			s.row("KEY ID", "ALG", "STATE", "SIGNS FROM", "SIGNS UNTIL", "PUBLISHED UNTIL")
			for _, v := range views {
				s.row(v.ID, v.Alg, v.State, v.ActiveAt.String(), v.RetiredAt.String(), v.ExpiresAt.String())
			}
			if len(views) == 0 {
				s.line("There is no key yet; the server makes the first one when it starts.")
			}
		})
	})
}

// keyRotate makes the next key.
type keyRotate struct {
	Alg          string `placeholder:"ALG" help:"RS256, ES256, EdDSA or PS256; left out, the server's JWT_ALGORITHM."`
	Now          bool   `help:"Sign with the new key at once: the old one may be in wrong hands. Then withdraw that one with key retire."`
	PublishAhead span   `default:"10m" placeholder:"DURATION" help:"How long the new key is published before it signs, so that everybody has read it."`
}

// Run stores the new key and says when the others stop.
func (f *keyRotate) Run(ctx context.Context, c *call) error {
	if f.Alg != "" {
		if err := known("signature algorithm", f.Alg, jose.Algorithms()); err != nil {
			return err
		}
	}
	now := c.Now()
	return c.with(ctx, func(p *Parts) error {
		r, err := f.plan(ctx, p, now)
		if err != nil {
			return err
		}
		if err := r.do(ctx, c, p); err != nil {
			return err
		}
		return c.show(r.view(now), func(s *sheet) {
			s.pair("kid", r.key.ID)
			s.pair("alg", r.key.Alg)
			s.pair("signs_from", when{r.key.ActiveAt}.String())
			for _, id := range append(r.retire, r.hasten...) {
				s.pair("retires", id)
			}
			if len(r.retire)+len(r.hasten) > 0 {
				s.pair("published_until", when{r.expires}.String())
			}
		})
	})
}

// rotation is a change of the signing key.
type rotation struct {
	key     jose.StoredKey
	retire  []string // keys that have no end yet
	hasten  []string // keys whose end is set, but later than this one
	expires time.Time
}

// plan makes the key and finds those that it takes over from.
func (f *keyRotate) plan(ctx context.Context, p *Parts, now time.Time) (*rotation, error) {
	alg, starts := f.Alg, now.Add(time.Duration(f.PublishAhead))
	if alg == "" {
		alg = p.Config.Tokens.Algorithm
	}
	if f.Now {
		starts = now
	}
	longest, err := longestToken(ctx, p)
	if err != nil {
		return nil, err
	}
	r := &rotation{expires: starts.Add(longest)}
	for _, k := range p.Ring.Keys() {
		switch state := k.State(now); {
		case k.Alg != alg || state != keyNext && state != keyActive:
		case state == keyNext && !f.Now:
			return nil, fault.New(fault.Conflict, "key %s is published already and signs from %s; wait for it, or use --now", k.ID, when{k.ActiveAt})
		case k.RetiredAt.IsZero():
			r.retire = append(r.retire, k.ID)
		default:
			r.hasten = append(r.hasten, k.ID)
		}
	}
	r.key, err = p.Ring.NewKey(alg, now, starts)
	return r, err
}

// do stores the rotation. The new key comes first, so that there is one to sign with at every moment.
func (r *rotation) do(ctx context.Context, c *call, p *Parts) error {
	ev := c.event(audit.KeyRotated, r.key.CreatedAt)
	ev.Detail = map[string]string{"kid": r.key.ID, "alg": r.key.Alg, "retires": strings.Join(append(r.retire, r.hasten...), " ")}
	err := p.DB.RotateKeys(ctx, r.key, r.retire, r.key.ActiveAt, r.expires, ev)
	if err != nil || len(r.hasten) == 0 {
		return err
	}
	ev = c.event(audit.KeyRetired, r.key.CreatedAt)
	ev.Detail = map[string]string{"kid": strings.Join(r.hasten, " ")}
	return p.DB.RetireKeys(ctx, r.hasten, r.key.ActiveAt, r.expires, ev)
}

func (r *rotation) view(now time.Time) any {
	v := struct {
		keyView
		Retires        []string `json:"retires"`
		PublishedUntil when     `json:"retires_published_until"`
	}{keyView: viewKey(r.key, now), Retires: words(append(r.retire, r.hasten...))}
	if len(v.Retires) > 0 {
		v.PublishedUntil = when{r.expires}
	}
	return v
}

// longestToken is how long a token lives at most that is signed now, for any client.
func longestToken(ctx context.Context, p *Parts) (time.Duration, error) {
	longest := max(p.Config.Tokens.AccessTTL, p.Config.Tokens.IDTTL)
	for offset := 0; ; offset += maxPage {
		clients, total, err := p.DB.ListClients(ctx, store.ClientQuery{Limit: maxPage, Offset: offset})
		if err != nil {
			return 0, err
		}
		for _, cl := range clients {
			longest = max(longest, cl.AccessTTL, cl.IDTokenTTL)
		}
		if offset+len(clients) >= total || len(clients) == 0 {
			return longest, nil
		}
	}
}

// keyRetire withdraws a key.
type keyRetire struct {
	KID string `arg:"" name:"kid" help:"The key's id."`
	Yes bool   `help:"Do not ask."`
}

// Run ends the key's publication now.
func (f *keyRetire) Run(ctx context.Context, c *call) error {
	now := c.Now()
	return c.with(ctx, func(p *Parts) error {
		k, err := retirable(p.Ring.Keys(), f.KID, now)
		if err != nil {
			return err
		}
		if err := c.confirm(f.Yes, "key", k.ID); err != nil {
			return err
		}
		ev := c.event(audit.KeyRetired, now)
		ev.Detail = map[string]string{"kid": k.ID, "alg": k.Alg}
		if err := p.DB.RetireKeys(ctx, []string{k.ID}, now, now, ev); err != nil {
			return err
		}
		k.RetiredAt, k.ExpiresAt = now, now
		return c.done(viewKey(k, now), "Key %s is withdrawn; tokens that it signed are worth nothing now.", k.ID)
	})
}

// retirable finds a key that others can do without.
func retirable(keys []jose.StoredKey, kid string, now time.Time) (jose.StoredKey, error) {
	i := slices.IndexFunc(keys, func(k jose.StoredKey) bool { return k.ID == kid })
	if i < 0 {
		return jose.StoredKey{}, fault.New(fault.NotFound, "there is no key %q; see %s key list", kid, program)
	}
	k := keys[i]
	if k.State(now) != keyActive {
		return k, nil
	}
	for _, other := range keys {
		if other.ID != k.ID && other.Alg == k.Alg && other.State(now) == keyActive {
			return k, nil
		}
	}
	return k, fault.New(fault.Denied, "key %s is the only one that signs with %s; make another first: %s key rotate --alg %s --now", k.ID, k.Alg, program, k.Alg)
}
