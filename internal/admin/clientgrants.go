package admin

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// maxClientGrants is how many grants of a client are listed. Those of one person are found by name.
const maxClientGrants = 100

// ClientGrantStore is what the operations on the grants of a client need of storage.
type ClientGrantStore interface {
	// ClientGrants returns up to limit grants of a client that have not ended, in no order; with a
	// user only those of that person.
	ClientGrants(ctx context.Context, id client.ID, user identity.UserID, now time.Time, limit int) ([]oauth.Grant, error)
	// ClientGrant returns a grant of a client, or fault.NotFound.
	ClientGrant(ctx context.Context, c client.ID, id oauth.GrantID, now time.Time) (*oauth.Grant, error)
	// EndClientGrant ends a grant of a client. It returns fault.NotFound if the grant is another
	// client's, or has ended.
	EndClientGrant(ctx context.Context, c client.ID, id oauth.GrantID, now time.Time, ev ...audit.Event) error
}

// ClientGrant is the access that a client has now, in the name of a person or for itself.
type ClientGrant struct {
	ID         oauth.GrantID
	User       identity.UserID // "" if the client acts for itself, or without the right to read users
	UserName   string          // what the person signs in with
	Agent, IP  string          // of the latest use; "" without the right to read users
	Kind       string          // the grant type
	Scopes     []string
	CreatedAt  time.Time
	LastUsedAt time.Time
	ExpiresAt  time.Time
}

// ClientGrants are grants of a client, the one used last first.
type ClientGrants struct {
	Client *client.Client
	Grants []ClientGrant
	More   bool // there are further ones, which are found by the person
}

// ClientGrants returns grants of a client that have not ended, up to 100; with a user only those of
// that person. Whose they are, and from where, is returned to those who may read users.
func (o *Operations) ClientGrants(ctx context.Context, a Actor, ref, user string) (*ClientGrants, error) {
	c, err := o.Client(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	var of identity.UserID
	if user != "" {
		u, err := o.User(ctx, a, user)
		if err != nil {
			return nil, err
		}
		of = u.ID
	}
	all, err := o.store.ClientGrants(ctx, c.ID, of, o.parts.Now(), maxClientGrants+1)
	if err != nil {
		return nil, err
	}
	out := &ClientGrants{Client: c}
	if len(all) > maxClientGrants {
		all, out.More = all[:maxClientGrants], true
	}
	slices.SortStableFunc(all, func(x, y oauth.Grant) int { return y.LastUsedAt.Compare(x.LastUsedAt) })
	names := map[identity.UserID]string{}
	if a.Can(ScopeUsersRead) {
		var ids []identity.UserID
		for i := range all {
			if all[i].User != "" {
				ids = append(ids, all[i].User)
			}
		}
		if names, err = o.UserNames(ctx, a, ids); err != nil {
			return nil, err
		}
	}
	for i := range all {
		g := &all[i]
		x := ClientGrant{
			ID: g.ID, Kind: g.Kind, Scopes: g.Scopes,
			CreatedAt: g.CreatedAt, LastUsedAt: g.LastUsedAt, ExpiresAt: g.ExpiresAt,
		}
		if a.Can(ScopeUsersRead) {
			x.User, x.UserName, x.Agent, x.IP = g.User, names[g.User], g.Agent, g.IP
		}
		out.Grants = append(out.Grants, x)
	}
	return out, nil
}

// RevokeClientGrant ends one grant of a client, with its tokens. The consent stays. It is refused
// for the grant of a person who may do more than the actor.
func (o *Operations) RevokeClientGrant(ctx context.Context, a Actor, ref string, id oauth.GrantID) error {
	if err := o.authorize(a, ScopeClientsWrite); err != nil {
		return err
	}
	c, err := o.client(ctx, ref)
	if err != nil {
		return err
	}
	now := o.parts.Now()
	gone := fault.New(fault.NotFound, "client %s has no grant with the id %.64q; it may have ended", c.ID, id)
	g, err := o.store.ClientGrant(ctx, c.ID, id, now)
	switch {
	case fault.Is(err, fault.NotFound):
		return gone
	case err != nil:
		return err
	}
	ev := clientEvent(a, audit.GrantRevoked, c.ID, now)
	ev.Grant, ev.User = string(g.ID), string(g.User)
	subjects := []subject{storedClient(c.ID)}
	if g.User != "" {
		subjects = append(subjects, account(g.User))
	}
	ev.Guard = o.covers(a, ScopeClientsWrite, subjects...)
	if err = o.store.EndClientGrant(ctx, c.ID, g.ID, now, ev); fault.Is(err, fault.NotFound) {
		return gone
	}
	return err
}
