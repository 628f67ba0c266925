package gateway

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// userLife is how long an account is believed to be as it was read: roles that are taken away are gone after it.
const userLife = time.Second

// known is a caller as it is remembered. Only who it is, is believed of it: expiry, revocations, the client's registration and, after
// userLife, the account are looked at anew.
type known struct {
	caller  access.Caller
	token   *oauth.AccessToken // of ours, or what stands for a session where revocations are asked; nil if there is nothing to ask
	foreign *bearer.Token      // of another issuer
	client  *client.Client     // as it was registered; nil if none of ours
	user    *identity.User     // as it was read; nil if nobody's
	until   time.Time          // when it must be read anew; zero: never
	read    atomic.Int64       // when the account was, Unix milliseconds
	cookie  bool               // it is known by something that a browser sends without being asked
	passes  passes
}

// who finds out who makes a request. What the request says must be good, or it is refused, even where nobody need say who they are; a
// cookie that is worth nothing any more counts as none.
func (g *Gateway) who(a *asked) (*known, *access.Denial) {
	c, denial := readCredentials(a.r.Header)
	if denial != nil {
		return g.nobody, denial
	}
	if c.token != "" {
		return g.byToken(a, &c)
	}
	var client *client.Client
	if c.basic || c.named != "" {
		if client, denial = g.client(a, &c); denial != nil {
			return g.nobody, denial
		}
	}
	beside := c
	if !c.basic && !a.entry.source.ClientID {
		beside.named = "" // anybody can give it, so beside a session it says nothing
	}
	k, denial := g.byCookie(a, &beside, client)
	if k != nil || denial != nil {
		return k, denial
	}
	if client != nil {
		return g.byClient(&c, client), nil
	}
	return g.nobody, nil
}

// client is the client that a request proves to come from, or only says it does.
func (g *Gateway) client(a *asked, c *credentials) (*client.Client, *access.Denial) {
	var cl *client.Client
	var err error
	ctx, cancel := a.patience()
	defer cancel()
	if c.basic {
		cl, err = g.Clients.ProveSecret(ctx, c.client, c.secret, a.target.Now)
	} else {
		cl, err = g.Clients.LookupClient(ctx, c.named)
	}
	switch {
	case fault.Is(err, fault.Denied) && c.basic:
		return nil, badClient("The client's credentials are not good: " + denialDetail(err) + ".")
	case fault.Is(err, fault.Denied):
		return nil, badClient("X-Client-Id names no client: " + denialDetail(err) + ".")
	case err != nil:
		return nil, unjudged(err)
	}
	return cl, nil
}

// byClient is a client that calls for itself.
func (g *Gateway) byClient(c *credentials, cl *client.Client) *known {
	kind := access.ByClientID
	if c.basic {
		kind = access.BySecret
	}
	key := keyOf(kind, "", cl.ID)
	if k, ok := g.callers.GetIfPresent(key); ok && k.client == cl {
		return k
	}
	k := &known{client: cl, caller: access.Caller{By: kind, Proven: c.basic, Subject: string(cl.ID)}}
	g.restrict(k, cl)
	g.callers.Set(key, k)
	return k
}

// byToken is whoever holds an access token.
func (g *Gateway) byToken(a *asked, c *credentials) (*known, *access.Denial) {
	ctx := a.r.Context()
	if f := g.foreign(c.token, a.entry.Route()); f != nil {
		return g.byForeign(a, c, f)
	}
	key := keyOf("", c.token, c.claims())
	k, ok := g.callers.GetIfPresent(key)
	if !ok || !g.fresh(ctx, k, a.target.Now) {
		if !tokenWord(c.token) { // one that is remembered is a word
			return g.nobody, conflict("The Authorization header holds no token where one should stand.")
		}
		var denial *access.Denial
		if k, denial = g.readToken(a, c); denial != nil {
			return g.nobody, denial
		}
		g.callers.Set(key, k)
	}
	if c.basic { // proven at every request, since the secret may have been changed
		if _, denial := g.client(a, c); denial != nil {
			return g.nobody, denial
		}
	}
	if c.scheme != schemeBearer || k.token.Bound != "" {
		if denial := g.holds(a, c, k.token); denial != nil {
			return g.nobody, denial
		}
	}
	return k, nil
}

// readToken reads a token that is not remembered, or not as it is now.
func (g *Gateway) readToken(a *asked, c *credentials) (*known, *access.Denial) {
	ctx, cancel := a.patience()
	defer cancel()
	now := a.target.Now
	t, err := g.Tokens.Access(ctx, c.token, now)
	switch {
	case fault.Is(err, fault.Denied):
		return nil, badToken("The access token is not good: " + denialDetail(err) + ".")
	case err != nil:
		return nil, unjudged(err)
	case t.IssuedAt.After(now.Add(maxSkew)):
		return nil, badToken("The access token is from the future: the clocks of two servers differ.")
	}
	if named := c.claims(); named != "" && named != t.Client {
		return nil, conflict("The client's credentials and the access token name two clients.")
	}
	return g.ofToken(ctx, t, now)
}

// maxSkew is how far the clocks of two servers of one issuer may be apart.
const maxSkew = time.Minute

// ofToken fills in the caller of a token of ours.
func (g *Gateway) ofToken(ctx context.Context, t *oauth.AccessToken, now time.Time) (*known, *access.Denial) {
	k := &known{token: t, caller: access.Caller{
		By: access.ByToken, Proven: true, User: string(t.User), UserRoles: t.Roles, Session: string(t.Session), Scopes: t.Scopes,
		Audience: t.Audience, Subject: t.Subject, TokenID: t.ID, ACR: t.ACR, AMR: t.AMR, AuthTime: t.AuthTime, Expires: t.Expires,
	}}
	cl, err := g.Clients.LookupClient(ctx, t.Client)
	switch {
	case fault.Is(err, fault.Denied):
		return nil, badToken("The access token's client is gone: " + denialDetail(err) + ".")
	case err != nil:
		return nil, unjudged(err)
	}
	g.restrict(k, cl)
	if denial := g.readUser(ctx, k, t.User, now); denial != nil {
		return nil, denial
	}
	return k, nil
}

// restrict says which client a caller is, and what it is restricted to.
func (g *Gateway) restrict(k *known, cl *client.Client) {
	k.client = cl
	k.caller.Client, k.caller.ClientRoles, k.caller.Hosts, k.caller.Routes = string(cl.ID), cl.Roles, cl.Hosts, cl.Routes
	k.caller.Networks = nil
	for _, text := range cl.Networks {
		p, err := netip.ParsePrefix(text)
		if err != nil { // stays in the list as a network that holds no address: leaving it out could let everybody in
			g.Kit.Log.LogAttrs(context.Background(), slog.LevelError, "a network of a client cannot be read, so nobody is in it",
				slog.String("client", string(cl.ID)), slog.String("error", err.Error()))
		}
		k.caller.Networks = append(k.caller.Networks, p)
	}
}

// readUser reads a caller's account.
func (g *Gateway) readUser(ctx context.Context, k *known, id identity.UserID, now time.Time) *access.Denial {
	if id == "" {
		return nil
	}
	u, err := g.Users.User(ctx, id)
	switch {
	case fault.Is(err, fault.NotFound):
		return badToken("The person's account has been deleted.")
	case err != nil:
		return unjudged(err)
	case u.Disabled:
		return badToken("The person's account is disabled.")
	}
	k.user, k.caller.UserName, k.caller.UserRoles = u, u.Label(), u.Roles
	k.read.Store(now.UnixMilli())
	return nil
}

// fresh reports whether a remembered caller is still who it was.
func (g *Gateway) fresh(ctx context.Context, k *known, now time.Time) bool {
	if !k.until.IsZero() && !now.Before(k.until) {
		return false
	}
	if k.token != nil && !g.Tokens.Active(k.token, now) {
		return false
	}
	if k.client != nil {
		if cl, err := g.Clients.LookupClient(ctx, k.client.ID); err != nil || cl != k.client {
			return false
		}
	}
	return k.user == nil || g.sameUser(ctx, k, now)
}

// sameUser reads the account anew when it is due, one request at a time. Storage that does not answer changes nothing: what
// ends an account ends its tokens, too, and of those memory knows.
func (g *Gateway) sameUser(ctx context.Context, k *known, now time.Time) bool {
	at, read := now.UnixMilli(), k.read.Load()
	if at-read < userLife.Milliseconds() || !k.read.CompareAndSwap(read, at) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, decideWithin)
	defer cancel()
	u, err := g.Users.User(ctx, k.user.ID)
	if err != nil {
		return !fault.Is(err, fault.NotFound)
	}
	return !u.Disabled && u.Label() == k.user.Label() && slices.Equal(u.Roles, k.user.Roles)
}
