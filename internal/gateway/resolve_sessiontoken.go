package gateway

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// codeRefreshPassed is the error of a refresh token in the place of a session token.
const codeRefreshPassed = "REFRESH-TOKEN-PASSED"

// SessionTokens knows the sessions that programs have opened by the accounts API.
type SessionTokens interface {
	// ResumeToken returns the session of a session token, or Denied.
	ResumeToken(ctx context.Context, v login.Visit, token string) (*login.TokenSession, error)
}

// sessionTokenResolver identifies people by session tokens, which the accounts API hands out.
// Unlike with a cookie, no page of another site can cause a request to carry one.
type sessionTokenResolver struct{ g *Gateway }

func (sr sessionTokenResolver) resolve(
	ctx context.Context, req *Request, _ *Route, p presented,
) (Identity, error) {
	if p.session == "" {
		return Identity{}, nil
	}
	if sr.g.SessionTokens == nil || strings.HasPrefix(p.session, secret.PrefixRefreshToken) {
		return Identity{}, refreshPassed()
	}
	kind := access.BySession + ":token"
	if p.basic {
		kind += "+" + access.BySecret
	}
	key := keyOf(kind, p.session, p.clientID())
	c := sr.g.cached(ctx, key, req.Target.Now)
	if c == nil || p.registered != nil && c.client != p.registered {
		var err error
		if c, err = sr.read(req, p); err != nil {
			return Identity{}, err
		}
		sr.g.callers.Set(key, c)
	}
	return Identity{Caller: c}, nil
}

// read returns the caller of a session token that is not cached.
func (sr sessionTokenResolver) read(req *Request, p presented) (*Caller, error) {
	ctx, cancel := req.storageContext()
	defer cancel()
	g, now := sr.g, req.Target.Now
	ev := web.EventOf(req.http.Context())
	v := login.Visit{IP: ev.IP, Agent: ev.Agent, RequestID: ev.ID, Now: now}
	sess, err := g.SessionTokens.ResumeToken(ctx, v, p.session)
	if fault.Is(err, fault.Denied) {
		return nil, badToken("The session token is not valid: " + denialDetail(err) + ".")
	}
	if err != nil {
		return nil, err
	}
	cl := p.registered
	if cl == nil {
		if cl, err = sr.client(ctx, sess.Tokens.Client); err != nil {
			return nil, err
		}
	}
	if cl.ID != sess.Tokens.Client {
		return nil, ambiguous("The client's credentials and the session token name two clients.")
	}
	c := callerOfSession(&sess.Session, now)
	if sess.Tokens.Expires.Before(c.expires) {
		c.expires = sess.Tokens.Expires
	}
	c.Expires = sess.Tokens.Expires
	g.setClient(c, cl)
	c.Proven = p.basic
	return c, g.setUser(ctx, c, sess.User, now)
}

// client returns the client that a person has signed in with.
func (sr sessionTokenResolver) client(
	ctx context.Context, id client.ID,
) (*client.Client, error) {
	cl, err := sr.g.Clients.LookupClient(ctx, id)
	if fault.Is(err, fault.Denied) {
		return nil, badToken(
			"The session token's client is no longer active: " + denialDetail(err) + ".")
	}
	return cl, err
}

// refreshPassed returns the denial of a request with a refresh token, which belongs to the accounts
// API alone.
func refreshPassed() *access.Denial {
	d := badRequest("credential", "The request carries a refresh token in the place of a session token.",
		"Send the session token.")
	d.Code = codeRefreshPassed
	return d
}
