package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// sessionLife is how long a browser session is believed to be as it was read. That it has ended, revocations say at once.
const sessionLife = time.Second

// byCookie is who a browser's cookies stand for: an app's session goes before our own, since it says more. nil: nobody's.
func (g *Gateway) byCookie(a *asked, c *credentials, client *client.Client) (*known, *access.Denial) {
	if len(a.r.Header["Cookie"]) == 0 {
		return nil, nil
	}
	if c.claims() == "" {
		client = nil
	}
	if g.Apps != nil && !c.basic {
		if k, denial := g.byApp(a); k != nil || denial != nil {
			return k, denial
		}
	}
	k, denial := g.bySession(a, c, client)
	if k == nil || denial != nil {
		return nil, denial
	}
	if !sameOrigin(a) {
		return nil, crossOrigin()
	}
	return k, nil
}

// byApp is the person behind a browser app's session.
func (g *Gateway) byApp(a *asked) (*known, *access.Denial) {
	r, origin := a.r, a.target.Scheme+"://"+a.authority
	if a.trustsOrigin() { // the route's word that its pages count as our own
		r, origin = r.Clone(r.Context()), a.target.Origin
		r.Header.Del("Sec-Fetch-Site")
	}
	ctx, cancel := a.patience()
	defer cancel()
	who, err := g.Apps.CallerAt(ctx, r, a.target.Method, a.target.Host, origin)
	switch {
	case fault.Is(err, fault.Denied):
		return nil, crossOrigin()
	case err != nil:
		return nil, unjudged(err)
	case who == nil:
		return nil, nil
	}
	k, ok := g.apps.GetIfPresent(who)
	if !ok || !g.fresh(ctx, k, a.target.Now) {
		k = &known{caller: *who, cookie: true}
		if denial := g.readUser(ctx, k, identity.UserID(who.User), a.target.Now); denial != nil {
			return nil, gone(denial)
		}
		g.apps.Set(who, k)
	}
	if !sameOrigin(a) {
		return nil, crossOrigin()
	}
	return k, nil
}

// bySession is the person who is signed in here, and the client that says so beside the cookie.
func (g *Gateway) bySession(a *asked, c *credentials, client *client.Client) (*known, *access.Denial) {
	cookie := g.Kit.Cookie(a.r, web.CookieSession)
	if cookie == "" {
		return nil, nil
	}
	kind := access.BySession
	if c.basic {
		kind += "+" + access.BySecret
	}
	ctx, now := a.r.Context(), a.target.Now
	key := keyOf(kind, cookie, c.claims())
	k, ok := g.callers.GetIfPresent(key)
	if ok && k.client == client && g.fresh(ctx, k, now) {
		return k, nil
	}
	ctx, cancel := a.patience()
	defer cancel()
	sess, err := g.Browser.Session(a.r.WithContext(ctx))
	if err != nil {
		return nil, unjudged(err)
	}
	if sess == nil {
		return nil, nil
	}
	k = ofSession(sess, now)
	if client != nil {
		g.restrict(k, client)
		k.caller.Proven = c.basic
	}
	if denial := g.readUser(ctx, k, sess.User, now); denial != nil {
		return nil, gone(denial)
	}
	g.callers.Set(key, k)
	return k, nil
}

// gone is what becomes of a cookie whose account could not be read: one that has ended makes it nobody's, which is no refusal.
func gone(denial *access.Denial) *access.Denial {
	if denial.Cause == nil {
		return nil
	}
	return denial
}

// ofSession fills in the caller of a browser session. Its token is no token: it is what the memory of revocations is asked about.
func ofSession(s *identity.Session, now time.Time) *known {
	return &known{
		until: now.Add(sessionLife), cookie: true,
		token: &oauth.AccessToken{Session: s.ID, User: s.User, IssuedAt: now, Expires: s.ExpiresAt},
		caller: access.Caller{
			By: access.BySession, User: string(s.User), Session: string(s.ID), Subject: string(s.User),
			ACR: s.ACR, AMR: s.AMR, AuthTime: s.AuthTime, Expires: s.ExpiresAt,
		},
	}
}

// sameOrigin reports whether a request that counts by a cookie alone was caused by a page of its own origin, or changes nothing:
// what http.CrossOriginProtection does, for the address that the caller asked for. Opening a WebSocket changes something: unlike an
// answer to a GET, what it says can be read by any page.
func sameOrigin(a *asked) bool {
	switch a.target.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		if !opensSocket(a.r.Header) {
			return true
		}
	}
	if a.trustsOrigin() {
		return true
	}
	switch first(a.r.Header, "Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	if a.target.Origin == "" {
		return true // no browser, or one that is too old to be used here
	}
	u, err := url.Parse(a.target.Origin)
	return err == nil && strings.EqualFold(u.Host, a.authority)
}

// opensSocket reports whether a request opens a WebSocket (RFC 6455 §4.1). A proxy that asks may have taken Upgrade off already, as a
// header of one connection (RFC 9110 §7.6.1).
func opensSocket(h http.Header) bool {
	return len(h["Upgrade"]) > 0 || len(h["Sec-Websocket-Key"]) > 0 || first(h, "Sec-Fetch-Mode") == "websocket"
}

// trustsOrigin reports whether the route names the origin that the request was caused by.
func (a *asked) trustsOrigin() bool {
	if a.target.Origin == "" {
		return false
	}
	for _, o := range a.entry.source.CORS {
		if o == a.target.Origin {
			return true
		}
	}
	return false
}

func crossOrigin() *access.Denial {
	return &access.Denial{
		Status: http.StatusForbidden,
		Code:   access.CodeAccessDenied,
		Public: "The request comes from a page of another site, so nothing was done.",
		Rule:   "origin",
		Reason: "A page of another origin caused the request, and only a cookie says who makes it.",
		Remedy: "Call with an access token, or add the page's origin to the route's cors.",
	}
}
