package bff

import (
	"context"
	"net/http"
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
	touchEvery   = time.Minute // how exactly storage knows a session's last use
	optionalWait = time.Second // how long to wait for storage where a cached answer is usable
)

// cachedSession is an active session in the cache. Only the person and the end are cached:
// revocations, the clock and the client's registration are checked every time.
type cachedSession struct {
	row     session.Session // without its tokens
	token   *oauth.AccessToken
	renewAt time.Time // from then on, the access token is to be refreshed
	host    string    // the app's
	name    string    // the person's, to show
	email   string
	label   string

	lastUse atomic.Int64 // Unix milliseconds
	touched atomic.Int64 // the last use as storage knows it
	caller  atomic.Pointer[sessionCaller]
}

// sessionCaller is a session's caller with the registration of the client that it was made for.
type sessionCaller struct {
	client *client.Client
	caller access.Caller
}

// Caller returns the caller that a browser app's cookie identifies, or nil: from memory if the
// session is cached. Denied: a page of another origin caused the request. Unavailable: storage does
// not answer, and no usable session is cached.
func (s *Server) Caller(ctx context.Context, r *http.Request) (*access.Caller, error) {
	origin := s.origin(r)
	return s.CallerAt(ctx, r, r.Method, hostname(origin), origin)
}

// CallerAt returns what Caller does, for a request that a proxy holds and asks about. The cookie
// and the browser's other headers are those of r. Method and host (in lower case and without a
// port) are those of the request itself, and so is origin (scheme://host), unless the pages of
// another origin are trusted with the cookie. A cookie that is presented at another host than the
// app's is ignored, because browsers send it only to the host that set it.
func (s *Server) CallerAt(
	ctx context.Context, r *http.Request, method, host, origin string,
) (*access.Caller, error) {
	h, ok := s.cookie(r)
	if !ok {
		return nil, nil
	}
	v, err := s.useSession(ctx, h)
	if v == nil || err != nil || v.host != host {
		return nil, err
	}
	if crossOrigin(r.Header, origin) && !opened(method, r.Header) {
		return nil, errCrossOrigin()
	}
	return s.callerOf(ctx, v)
}

// CurrentCaller returns the caller of a request that CallerAt identified and that is still being
// served, or nil if the session has ended. It does not count as use: a response that takes hours
// does not show that a person is there.
func (s *Server) CurrentCaller(ctx context.Context, r *http.Request) (*access.Caller, error) {
	h, ok := s.cookie(r)
	if !ok {
		return nil, nil
	}
	v, err := s.currentSession(ctx, h)
	if v == nil || err != nil {
		return nil, err
	}
	return s.callerOf(ctx, v)
}

// callerOf returns the caller that a session stands for, or nil if its client is gone.
func (s *Server) callerOf(ctx context.Context, v *cachedSession) (*access.Caller, error) {
	cl, err := s.store.Client(ctx, v.row.Client)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := v.callerUnder(cl)
	if err != nil { // the caller is usable: see access.Caller.SetClient
		web.EventOf(ctx).Err = err
	}
	return c, nil
}

// cookie returns the hash of the session's cookie, if the request has one of the right form.
func (s *Server) cookie(r *http.Request) (secret.Hash, bool) {
	v := s.kit.Cookie(r, CookieApp)
	if !secret.WellFormed(secret.PrefixAppSession, v) {
		return "", false
	}
	return s.keys.Hash(v), true
}

// useSession returns the active session of a cookie, or nil, and records its use.
func (s *Server) useSession(ctx context.Context, h secret.Hash) (*cachedSession, error) {
	v, err := s.currentSession(ctx, h)
	if v != nil && err == nil {
		s.recordUse(ctx, v, s.now(ctx))
	}
	return v, err
}

// currentSession returns the active session of a cookie, or nil.
func (s *Server) currentSession(ctx context.Context, h secret.Hash) (*cachedSession, error) {
	if err := s.tokens.Current(); err != nil {
		return nil, err
	}
	now := s.now(ctx)
	old, ok := s.cache.GetIfPresent(h)
	ok = ok && old.row.ExpiresAt.After(now) && !old.isIdle(now, s.opt.Idle) && s.tokens.Active(old.token, now)
	if ok && now.Before(old.renewAt) {
		return old, nil
	}
	wait := ctx
	if ok { // the old token works meanwhile, so no request needs to wait long for the new one
		var cancel context.CancelFunc
		wait, cancel = context.WithTimeout(ctx, optionalWait)
		defer cancel()
	}
	v, err := s.loadOnce(wait, h, now)
	if err != nil && ok { // storage fails; the old token is valid for some time
		return old, nil
	}
	return v, err
}

// now returns the request's one reading of the clock.
func (s *Server) now(ctx context.Context) time.Time {
	if now := web.EventOf(ctx).Now; !now.IsZero() {
		return now
	}
	return s.kit.Now()
}

// isIdle reports whether the session has not been used on this server for too long. Another server
// may know of a later use.
func (v *cachedSession) isIdle(now time.Time, most time.Duration) bool {
	return most > 0 && now.UnixMilli()-v.lastUse.Load() > most.Milliseconds()
}

// recordUse records that a session is used: in memory always, in storage once a minute. If storage
// does not answer, the next attempt is a minute later; only the idle time becomes less exact.
func (s *Server) recordUse(ctx context.Context, v *cachedSession, now time.Time) {
	at := now.UnixMilli()
	if before := v.lastUse.Load(); before < at {
		v.lastUse.CompareAndSwap(before, at)
	}
	before := v.touched.Load()
	if at-before < touchEvery.Milliseconds() || !v.touched.CompareAndSwap(before, at) {
		return
	}
	short, cancel := context.WithTimeout(ctx, optionalWait)
	defer cancel()
	if err := s.store.TouchBFFSession(short, v.row.ID, now); err != nil {
		web.EventOf(ctx).Err = err
	}
}

// callerUnder returns the caller that the session stands for under the client's current
// registration. It returns a caller with an error, too: see access.Caller.SetClient.
func (v *cachedSession) callerUnder(cl *client.Client) (*access.Caller, error) {
	if c := v.caller.Load(); c != nil && c.client == cl {
		return &c.caller, nil
	}
	t := v.token
	c := &sessionCaller{client: cl, caller: access.Caller{
		By:        access.ByApp,
		Proven:    true,
		User:      string(t.User),
		UserName:  v.label,
		UserRoles: t.Roles,
		Session:   string(t.Session),
		Scopes:    t.Scopes,
		Audience:  t.Audience,
		Subject:   t.Subject,
		TokenID:   t.ID,
		ACR:       t.ACR,
		AMR:       t.AMR,
		AuthTime:  t.AuthTime,
		Expires:   t.Expires,
		Actor:     t.Actor,
	}}
	err := c.caller.SetClient(cl)
	v.caller.Store(c)
	return &c.caller, err
}
