package app

import (
	"context"
	"net/netip"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// actorOf returns the actor who presents an access token: a client that acts for itself, or an
// administrator, with the scopes of the token.
func (s *server) actorOf(ctx context.Context, t *oauth.AccessToken, v login.Visit) (admin.Actor, error) {
	a := admin.Actor{
		User:      t.User,
		Client:    t.Client,
		Session:   t.Session,
		Agent:     v.Agent,
		RequestID: v.RequestID,
	}
	a.IP, _ = netip.ParseAddr(v.IP)
	for _, scope := range t.Scopes {
		a.Scopes = append(a.Scopes, admin.Scope(scope))
	}
	if t.User == "" {
		return a, nil
	}
	u, err := s.parts.db.User(ctx, t.User)
	switch {
	case fault.Is(err, fault.NotFound) || err == nil && u.Disabled:
		return admin.Actor{}, oauth.InvalidToken("The account of the access token is not active.")
	case err != nil:
		return admin.Actor{}, err
	case !u.Admin():
		a.Scopes = nil
	}
	return a, nil
}
