package bff

import (
	"context"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	touchEvery = time.Minute // how exactly a session's last use is known to storage
	patience   = time.Second // how long to wait for storage where the answer can do without
)

// liveSession is a session as it is cached. Only who it is for and until when is believed of it: revocations, the clock and the
// client's registration are looked at every time.
type liveSession struct {
	row   session.Session
	token *oauth.AccessToken
	renew time.Time // from then on, the access token is to be refreshed
	host  string    // the app's
	name  string    // the person's, to show
	email string
	label string

	seen  atomic.Int64 // the last use, Unix milliseconds
	noted atomic.Int64 // as storage knows it
	known atomic.Pointer[known]
}

// known is a session's caller, and the registration of the client that it was made for.
type known struct {
	client *client.Client
	caller access.Caller
}

// Caller is who a request comes from by the cookie of a browser app, or nil. From memory when the session is warm.
// Denied: a page of another origin has caused the request. Unavailable: storage does not answer, and memory does not do.
func (s *Server) Caller(ctx context.Context, r *http.Request) (*access.Caller, error) {
	origin := s.origin(r)
	return s.CallerAt(ctx, r, r.Method, hostname(origin), origin)
}

// CallerAt is Caller for a proxy's question about a request that it holds: the cookie and the browser's other headers are those of r,
// method and host (lower case, no port) those of the request itself, and so is origin (scheme://host), or it is another one whose pages are
// trusted with it. A browser sends the cookie to the host that set it and to no other; who does was not given it, so it is nobody's there.
func (s *Server) CallerAt(ctx context.Context, r *http.Request, method, host, origin string) (*access.Caller, error) {
	h, ok := s.cookie(r)
	if !ok {
		return nil, nil
	}
	sess, err := s.useSession(ctx, h)
	if sess == nil || err != nil || sess.host != host {
		return nil, err
	}
	if foreign(r.Header, origin) && !opened(method, r.Header) {
		return nil, notOurs()
	}
	return s.callerOf(ctx, sess)
}

// Still is who the cookie of a request that CallerAt knew, and that is under way, stands for by now, or nil. It does not count as use: an
// answer that goes on for hours is no sign of a person.
func (s *Server) Still(ctx context.Context, r *http.Request) (*access.Caller, error) {
	h, ok := s.cookie(r)
	if !ok {
		return nil, nil
	}
	sess, err := s.current(ctx, h)
	if sess == nil || err != nil {
		return nil, err
	}
	return s.callerOf(ctx, sess)
}

// callerOf is who a session is for, or nil when its client is gone.
func (s *Server) callerOf(ctx context.Context, sess *liveSession) (*access.Caller, error) {
	cl, err := s.store.Client(ctx, sess.row.Client)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return sess.caller(cl)
}

// cookie is the hash of the session's cookie, if the request has one that could be ours.
func (s *Server) cookie(r *http.Request) (secret.Hash, bool) {
	v := s.kit.Cookie(r, CookieApp)
	if !secret.WellFormed(secret.PrefixAppSession, v) {
		return "", false
	}
	return s.keys.Hash(v), true
}

// useSession returns the live session of a cookie, or nil, and notes that it is in use.
func (s *Server) useSession(ctx context.Context, h secret.Hash) (*liveSession, error) {
	sess, err := s.current(ctx, h)
	if sess != nil && err == nil {
		s.use(ctx, sess, s.now(ctx))
	}
	return sess, err
}

// current is the live session of a cookie, or nil.
func (s *Server) current(ctx context.Context, h secret.Hash) (*liveSession, error) {
	now := s.now(ctx)
	old, ok := s.live.GetIfPresent(h)
	ok = ok && old.row.ExpiresAt.After(now) && !old.idle(now, s.opt.Idle) && s.tokens.Active(old.token, now)
	if ok && now.Before(old.renew) {
		return old, nil
	}
	wait := ctx
	if ok { // nobody need wait long for the new token while the old one does
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	sess, err := s.loads.do(wait, h, func(ctx context.Context) (*liveSession, error) { return s.load(ctx, h, now) })
	if err != nil && ok { // storage fails; the old token has some time left
		sess, err = old, nil
	}
	if err != nil {
		return nil, err
	}
	return sess, nil
}

// now is the request's reading of the clock.
func (s *Server) now(ctx context.Context) time.Time {
	if now := web.EventOf(ctx).Now; !now.IsZero() {
		return now
	}
	return s.kit.Now()
}

// idle reports whether the session has not been used here for too long. Another server may know better.
func (v *liveSession) idle(now time.Time, most time.Duration) bool {
	return most > 0 && now.UnixMilli()-v.seen.Load() > most.Milliseconds()
}

// use notes that a session is in use: in memory always, in storage once a minute. Storage that does not answer is tried again in a
// minute; it costs the person nothing but the exactness of the idle time.
func (s *Server) use(ctx context.Context, v *liveSession, now time.Time) {
	at := now.UnixMilli()
	if before := v.seen.Load(); before < at {
		v.seen.CompareAndSwap(before, at)
	}
	if before := v.noted.Load(); at-before >= touchEvery.Milliseconds() && v.noted.CompareAndSwap(before, at) {
		short, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		if err := s.store.TouchBFFSession(short, v.row.ID, now); err != nil {
			web.EventOf(ctx).Err = err
		}
	}
}

// caller is who the session is, under the client's present registration.
func (v *liveSession) caller(cl *client.Client) (*access.Caller, error) {
	if k := v.known.Load(); k != nil && k.client == cl {
		return &k.caller, nil
	}
	nets := make([]netip.Prefix, 0, len(cl.Networks))
	for _, text := range cl.Networks {
		p, err := netip.ParsePrefix(text)
		if err != nil { // to leave it out would let in more than was meant
			return nil, fault.Wrap(fault.Internal, err, "a network of client %s cannot be read", cl.ID)
		}
		nets = append(nets, p)
	}
	t := v.token
	k := &known{client: cl, caller: access.Caller{
		By: access.ByApp, Client: string(cl.ID), ClientRoles: cl.Roles, Proven: true, User: string(t.User), UserName: v.label, UserRoles: t.Roles,
		Session: string(t.Session), Scopes: t.Scopes, Audience: t.Audience, Subject: t.Subject, TokenID: t.ID, ACR: t.ACR, AMR: t.AMR,
		AuthTime: t.AuthTime, Expires: t.Expires, Networks: nets, Hosts: cl.Hosts, Routes: cl.Routes,
	}}
	v.known.Store(k)
	return &k.caller, nil
}
