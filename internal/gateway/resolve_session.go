package gateway

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// sessionTTL is how long a browser session is used as it was read. Revocations are known at once.
const sessionTTL = time.Second

// sessionResolver identifies people by browser sessions of this server, and the client that proves
// or claims to be the caller beside the cookie.
type sessionResolver struct{ g *Gateway }

func (sr sessionResolver) resolve(
	ctx context.Context, req *Request, route *Route, p presented,
) (Identity, error) {
	cookie := sr.g.Kit.Cookie(req.http, web.CookieSession)
	if p.token != "" || cookie == "" {
		return Identity{}, nil
	}
	// anybody can claim to be a client, so beside a session it means nothing
	if !p.basic && !route.source.ClientID {
		p = presented{}
	}
	kind := access.BySession
	if p.basic {
		kind += "+" + access.BySecret
	}
	key := keyOf(kind, cookie, p.clientID())
	c := sr.g.cached(ctx, key, req.Target.Now)
	if c == nil || c.client != p.registered {
		var err error
		if c, err = sr.read(req, p); c == nil || err != nil {
			return Identity{}, err
		}
		sr.g.callers.Set(key, c)
	}
	if !sameOrigin(req, route) {
		return Identity{}, crossOrigin()
	}
	return Identity{Caller: c}, nil
}

// read returns the caller of the session that the request's cookie stands for, or nil if it has
// ended or its account is disabled or deleted.
func (sr sessionResolver) read(req *Request, p presented) (*Caller, error) {
	ctx, cancel := req.storageContext()
	defer cancel()
	sess, err := sr.g.Browser.Session(req.http.WithContext(ctx))
	if sess == nil || err != nil {
		return nil, err
	}
	now := req.Target.Now
	c := callerOfSession(sess, now)
	if p.registered != nil {
		sr.g.setClient(c, p.registered)
		c.Proven = p.basic
	}
	if err := sr.g.setUser(ctx, c, sess.User, now); err != nil {
		return nil, unlessDenied(err)
	}
	return c, nil
}

// callerOfSession returns the caller that a session stands for. Its access token exists only to
// check for revocation.
func callerOfSession(s *identity.Session, now time.Time) *Caller {
	return &Caller{
		expires: now.Add(sessionTTL),
		token:   &oauth.AccessToken{Session: s.ID, User: s.User, IssuedAt: now, Expires: s.ExpiresAt},
		Caller: access.Caller{
			By:       access.BySession,
			User:     string(s.User),
			Session:  string(s.ID),
			Subject:  string(s.User),
			ACR:      s.ACR,
			AMR:      s.AMR,
			AuthTime: s.AuthTime,
			Expires:  s.ExpiresAt,
			Actor:    s.Impersonator.ID,
		},
	}
}

// sameOrigin reports whether a request that only a cookie identifies was caused by a page of its
// own origin, or changes nothing. It decides as http.CrossOriginProtection does, for the address
// that the caller requested. Opening a WebSocket changes something: unlike the response to a GET,
// any page can read what it says.
func sameOrigin(req *Request, route *Route) bool {
	switch req.Target.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		if !opensSocket(req.Header) {
			return true
		}
	}
	if route.namesOrigin(req) {
		return true
	}
	switch first(req.Header, "Sec-Fetch-Site") {
	case "same-origin", "none":
		return true
	case "":
	default:
		return false
	}
	if req.Target.Origin == "" {
		return true // not a browser, or one too old to use this server
	}
	_, from, _ := strings.Cut(req.Target.Origin, "://")
	host, ok := hostOf(from)
	return ok && host == req.Target.Host && ownPort(from) == ownPort(req.Authority)
}

// ownPort returns the port of an authority, or "" for that of http or https: behind a proxy the
// scheme may not be known.
func ownPort(authority string) string {
	if !hasPort(authority) {
		return ""
	}
	port := authority[strings.LastIndexByte(authority, ':')+1:]
	if port == "80" || port == "443" {
		return ""
	}
	return port
}

// opensSocket reports whether a request opens a WebSocket (RFC 6455 §4.1). A proxy that asks may
// have removed Upgrade, which is a header of one connection (RFC 9110 §7.6.1).
func opensSocket(h http.Header) bool {
	return len(h["Upgrade"]) > 0 || len(h["Sec-Websocket-Key"]) > 0 || first(h, "Sec-Fetch-Mode") == "websocket"
}

// crossOrigin returns the denial of a request that another site's page caused.
func crossOrigin() *access.Denial {
	return &access.Denial{
		Status: http.StatusForbidden,
		Code:   access.CodeAccessDenied,
		Public: "The request comes from a page of another site, so nothing was done.",
		Rule:   "origin",
		Reason: "A page of another origin caused the request, and only a cookie identifies the " +
			"caller.",
		Remedy: "Call with an access token, or add the page's origin to the route's cors.",
	}
}
