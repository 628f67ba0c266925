package gateway

import (
	"context"
	"errors"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// appResolver identifies people by the sessions of browser apps whose tokens stay on the server.
type appResolver struct{ g *Gateway }

func (ar appResolver) resolve(
	_ context.Context, req *Request, route *Route, p presented,
) (Identity, error) {
	if ar.g.Apps == nil || p.token != "" || p.basic || len(req.Header["Cookie"]) == 0 {
		return Identity{}, nil
	}
	ctx, cancel := req.storageContext()
	defer cancel()
	r, origin := browserRequest(req, route)
	who, err := ar.g.Apps.CallerAt(ctx, r, req.Target.Method, req.Target.Host, origin)
	switch {
	case fault.Is(err, fault.Denied):
		return Identity{}, crossOrigin()
	case who == nil || err != nil:
		return Identity{}, err
	}
	c, err := ar.callerOf(ctx, req, who)
	if c == nil || err != nil {
		return Identity{}, err
	}
	if !sameOrigin(req, route) {
		return Identity{}, crossOrigin()
	}
	return Identity{Caller: c}, nil
}

// browserRequest returns the request as the token handler should judge it, and the origin whose
// pages may cause it: the request's own, or the one that caused it if the route names that.
func browserRequest(req *Request, route *Route) (*http.Request, string) {
	if !route.namesOrigin(req) {
		return req.http, req.origin()
	}
	r := req.http.Clone(req.Context())
	r.Header.Del("Sec-Fetch-Site")
	return r, req.Target.Origin
}

// callerOf returns the caller that the token handler found with its account, or nil if the account
// is disabled or deleted. While nothing changes, the token handler returns the same value.
func (ar appResolver) callerOf(
	ctx context.Context, req *Request, who *access.Caller,
) (*Caller, error) {
	g, now := ar.g, req.Target.Now
	if c, ok := g.apps.GetIfPresent(who); ok {
		if current, err := g.Revalidate(ctx, c, now, forRequests()); err == nil {
			if current != c {
				g.apps.Set(who, current)
			}
			return current, nil
		}
	}
	c := &Caller{Caller: *who, app: who}
	if err := g.setUser(ctx, c, identity.UserID(who.User), now); err != nil {
		return nil, unlessDenied(err)
	}
	g.apps.Set(who, c)
	return c, nil
}

// current returns the caller of an app's session as it is now, with the account as it was read
// before. It does not count as use of the session. The error is a Denial if the session has ended.
func (ar appResolver) current(ctx context.Context, req *Request, c *Caller) (*Caller, error) {
	who, err := ar.g.Apps.CurrentCaller(ctx, req.http)
	switch {
	case err != nil: // the cached session is no longer usable, and storage does not answer
		return nil, unjudged(err)
	case who == nil:
		return nil, badToken("The session has ended.")
	case who == c.app:
		return c, nil
	}
	next := &Caller{Caller: *who, app: who, user: c.user}
	next.UserName, next.UserRoles = c.UserName, c.UserRoles
	next.checkedAt.Store(c.checkedAt.Load())
	return next, nil
}

// unlessDenied returns nil for a denial: a cookie whose account has been disabled or deleted counts
// as none.
func unlessDenied(err error) error {
	var d *access.Denial
	if errors.As(err, &d) {
		return nil
	}
	return err
}
