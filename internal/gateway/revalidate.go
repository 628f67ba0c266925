package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// freshness says how exactly a caller is checked against storage. Revocations and clients are in
// memory and are checked each time.
type freshness struct {
	account time.Duration // how long an account is used as it was read
	wait    time.Duration // how long storage may take to answer
}

// forRequests returns how callers in the cache are checked: roles that are taken away are gone
// after a second.
func forRequests() freshness { return freshness{account: time.Second, wait: decideWithin} }

// forStreams returns how callers of requests are checked that are still being served.
func forStreams() freshness { return freshness{account: 30 * time.Second, wait: 2 * time.Second} }

// Revalidate returns a caller as it is now: the same value if nothing has changed, or another if
// the client's registration or the account has. Cache hits and open streams ask it alike. The error
// is a Denial if the credential, the client, the session or the account has ended, and any other
// error if the client cannot be read. An account or a session that cannot be read stays as it was:
// what ends them is also among the revocations.
func (g *Gateway) Revalidate(
	ctx context.Context, c *Caller, now time.Time, f freshness,
) (*Caller, error) {
	if err := g.checkCredential(c, now); err != nil {
		return nil, err
	}
	c, err := g.currentClient(ctx, c)
	if err != nil {
		return nil, err
	}
	return g.currentAccount(ctx, c, now, f)
}

// checkCredential returns a Denial if the caller's token or session has expired or been revoked.
// The token handler has checked the session of an app.
func (g *Gateway) checkCredential(c *Caller, now time.Time) error {
	switch {
	case c.By == access.ByApp:
		return nil
	case c.token != nil && g.Tokens.Active(c.token, now):
		return nil
	// nothing that could be revoked
	case c.token == nil && (c.Expires.IsZero() || c.Expires.After(now)):
		return nil
	case c.By == access.BySession:
		return badToken("The session has ended.")
	case !c.Expires.After(now):
		return badToken("The access token has expired.")
	}
	return badToken("The access token has been revoked.")
}

// currentClient returns the caller with its client as it is registered now.
func (g *Gateway) currentClient(ctx context.Context, c *Caller) (*Caller, error) {
	if c.client == nil {
		return c, nil
	}
	cl, err := g.Clients.LookupClient(ctx, c.client.ID)
	switch {
	case fault.Is(err, fault.Denied):
		return nil, badClient("The client is no longer active: " + denialDetail(err) + ".")
	case err != nil:
		return nil, err
	case cl == c.client:
		return c, nil
	}
	return g.withClient(c, cl), nil
}

func (g *Gateway) withClient(c *Caller, cl *client.Client) *Caller {
	next := c.clone()
	g.setClient(next, cl)
	return next
}

// clone returns a copy of the caller without its cached headers.
func (c *Caller) clone() *Caller {
	next := &Caller{
		Caller:  c.Caller,
		token:   c.token,
		foreign: c.foreign,
		client:  c.client,
		user:    c.user,
		app:     c.app,
		expires: c.expires,
	}
	next.checkedAt.Store(c.checkedAt.Load())
	return next
}

// currentAccount returns the caller with its account as storage has it now, if it is due to be
// read. Of several at once, one reads it.
func (g *Gateway) currentAccount(
	ctx context.Context, c *Caller, now time.Time, f freshness,
) (*Caller, error) {
	if c.user == nil {
		return c, nil
	}
	due := f.account
	if c.By == access.BySession && g.Sessions != nil && !g.SessionsRevoke {
		due = min(due, sessionTTL) // only storage knows that the session has ended
	}
	at, before := now.UnixMilli(), c.checkedAt.Load()
	if at-before < due.Milliseconds() || !c.checkedAt.CompareAndSwap(before, at) {
		return c, nil
	}
	next, err := g.readAccount(ctx, c, now, f.wait)
	if next != c { // others that hold this value must read the account, too
		c.checkedAt.Store(before)
	}
	return next, err
}

// readAccount returns the caller with its account, and its session if that must be read, as storage
// has them now. It returns the same value if nothing has changed or storage does not answer.
func (g *Gateway) readAccount(
	ctx context.Context, c *Caller, now time.Time, wait time.Duration,
) (*Caller, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	if c.By == access.BySession && g.Sessions != nil {
		_, err := g.Sessions.Session(ctx, identity.SessionID(c.Session), now)
		if fault.Is(err, fault.NotFound) {
			return nil, badToken("The session has ended.")
		}
	}
	u, err := g.Users.User(ctx, c.user.ID)
	switch {
	case fault.Is(err, fault.NotFound) || err == nil && u.Blocked():
		return nil, badToken("The person's account is disabled or has been deleted.")
	case err != nil || u.Label() == c.user.Label() && slices.Equal(u.Roles, c.user.Roles):
		return c, nil
	}
	next := c.clone()
	next.user, next.UserName, next.UserRoles = u, u.Label(), u.Roles
	next.checkedAt.Store(now.UnixMilli())
	return next, nil
}
