package bff

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/bff/session"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	loadWithin = 10 * time.Second           // how long a session may take to be read and refreshed
	claimTTL   = loadWithin + 5*time.Second // longer than the work that it is for
	// how often a server checks whether another has refreshed
	pollEvery = 20 * time.Millisecond
	// a token is refreshed so long before its end, a short-lived one in its last quarter
	renewLead = time.Minute
)

// tokenSet is what a session's cookie stands for.
type tokenSet struct {
	Access   string `json:"a"`
	Refresh  string `json:"r,omitempty"`
	Callback string `json:"c"` // the redirect URI of the grant
}

func (s *Server) seal(id string, k tokenSet) string {
	raw, _ := json.Marshal(k) // strings always marshal
	return s.vault.Seal(raw, id)
}

func (s *Server) unseal(a *session.Session) (tokenSet, error) {
	var k tokenSet
	raw, err := s.vault.Open(a.Tokens, a.ID)
	if err == nil {
		err = json.Unmarshal(raw, &k)
	}
	return k, err
}

// actorOf returns who acts as the person of a session, or "".
func (s *Server) actorOf(ctx context.Context, a *session.Session) string {
	k, err := s.unseal(a)
	if err != nil {
		return ""
	}
	t, err := s.tokens.Access(ctx, k.Access, s.now(ctx))
	if err != nil { // it has expired, and so has whatever it said
		return ""
	}
	return t.Actor
}

// noteActor names in an event who acts as the person of a session, and of which kind they are: of
// that, the token says nothing. An impersonation that has ended meanwhile tells it no more.
func (s *Server) noteActor(ctx context.Context, ev *audit.Event, a *session.Session, actor string) error {
	ev.Actor = actor
	i, err := s.store.Impersonation(ctx, a.Session)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err == nil && i.Actor.ID == actor {
		ev.ActorType = i.Actor.Kind
	}
	return err
}

// loadOnce returns what load returns. One goroutine works for all requests of a session on this
// server. The work does not end with the request that began it, because others wait for it, too.
func (s *Server) loadOnce(
	ctx context.Context, h secret.Hash, now time.Time,
) (*cachedSession, error) {
	work := context.WithoutCancel(ctx)
	done := s.loads.DoChan(string(h), func() (any, error) { return s.loadSafely(work, h, now) })
	select {
	case got := <-done:
		v, _ := got.Val.(*cachedSession)
		return v, got.Err
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(),
			"the session could not be read in time")
	}
}

// loadSafely calls load within a time limit. It turns a panic into an error, which would otherwise
// end the process.
func (s *Server) loadSafely(
	ctx context.Context, h secret.Hash, now time.Time,
) (v *cachedSession, err error) {
	ctx, cancel := context.WithTimeout(ctx, loadWithin)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			cause := fmt.Errorf("panic while a session was read: %v\n%s", p, debug.Stack())
			v, err = nil, fault.Wrap(fault.Internal, cause, "the session could not be read")
		}
	}()
	return s.load(ctx, h, now)
}

// load reads a session and refreshes its tokens if they need it. It returns nil if there is none.
// Of all servers that want to refresh, one does; the others wait and read what it has stored.
func (s *Server) load(ctx context.Context, h secret.Hash, now time.Time) (*cachedSession, error) {
	for {
		a, err := s.store.BFFSession(ctx, h, now, s.opt.Idle)
		if fault.Is(err, fault.NotFound) {
			s.cache.Invalidate(h)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		k, err := s.unseal(a)
		if err != nil { // the master key is another one
			return nil, err
		}
		v, err := s.read(ctx, a, k, now)
		switch {
		case err == nil && now.Before(v.renewAt):
			s.cache.Set(h, v)
			return v, nil
		case err != nil && !fault.Is(err, fault.Denied):
			return nil, err
		}
		ended, err := s.refresh(ctx, a, k, now)
		switch {
		case ended:
			return nil, s.endWithTokens(ctx, h, a, now)
		// another server is refreshing; the old token works meanwhile
		case fault.Is(err, fault.Consumed) && v != nil:
			return v, nil
		case fault.Is(err, fault.Consumed):
			if err := pause(ctx); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, err
		}
		now = later(now, s.kit.Now())
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(pollEvery):
		return nil
	case <-ctx.Done():
		return fault.Wrap(fault.Unavailable, ctx.Err(),
			"another server is refreshing the session's tokens, and that takes too long")
	}
}

// read returns a session for the cache. Denied: its access token or its account is no longer
// active.
func (s *Server) read(
	ctx context.Context, a *session.Session, k tokenSet, now time.Time,
) (*cachedSession, error) {
	t, err := s.tokens.Access(ctx, k.Access, now)
	if err != nil {
		return nil, err
	}
	u, err := s.store.User(ctx, a.User)
	if fault.Is(err, fault.NotFound) || (err == nil && u.Disabled) {
		return nil, fault.New(fault.Denied, "the account has been disabled or deleted")
	}
	if err != nil {
		return nil, err
	}
	v := &cachedSession{
		row:     *a,
		token:   t,
		renewAt: t.Expires,
		host:    hostname(k.Callback),
		name:    u.Name,
		email:   u.Email,
		label:   u.Label(),
	}
	v.row.Tokens = ""
	if k.Refresh != "" {
		v.renewAt = t.Expires.Add(-min(renewLead, t.Expires.Sub(t.IssuedAt)/4))
	}
	v.lastUse.Store(max(a.LastSeenAt.UnixMilli(), now.UnixMilli()))
	v.touched.Store(a.LastSeenAt.UnixMilli())
	return v, nil
}

// refresh replaces the tokens of a version of a session. ended reports that the grant has ended for
// good. Consumed: another server is refreshing, or has done it.
func (s *Server) refresh(
	ctx context.Context, a *session.Session, k tokenSet, now time.Time,
) (ended bool, err error) {
	if k.Refresh == "" {
		return true, nil
	}
	until := now.Add(claimTTL)
	if err := s.store.ClaimBFFSession(ctx, a.ID, a.Version, now, until); err != nil {
		return false, err
	}
	ev := web.EventOf(ctx)
	got, err := s.tokens.RedeemForSession(ctx, a.Client, session.CallbackPath, &oauth.Call{
		Form: url.Values{
			"grant_type":    {client.GrantTypeRefresh},
			"refresh_token": {k.Refresh},
			"redirect_uri":  {k.Callback},
		},
		Method:    http.MethodPost,
		IP:        ev.IP,
		Agent:     ev.Agent,
		RequestID: ev.ID,
		Now:       now,
	})
	var rejected *oauth.Error
	switch {
	case errors.As(err, &rejected) || fault.Is(err, fault.NotFound):
		return true, nil
	case err == nil:
		k.Access = got.AccessToken
		if got.RefreshToken != "" {
			k.Refresh = got.RefreshToken
		}
		err = s.store.RenewBFFSession(ctx, a.ID, a.Version, s.seal(a.ID, k))
	}
	if err != nil && !fault.Is(err, fault.Consumed) {
		free, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		err = errors.Join(err, s.store.ReleaseBFFSession(free, a.ID, a.Version, until))
	}
	return false, err
}

// endWithTokens ends a session whose tokens have ended.
func (s *Server) endWithTokens(
	ctx context.Context, h secret.Hash, a *session.Session, now time.Time,
) error {
	s.cache.Invalidate(h)
	ev := newEvent(ctx, audit.AppSessionEnded, a)
	ev.At, ev.Reason = now, audit.ReasonTokensEnded
	err := s.store.EndBFFSession(ctx, a, now, ev)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
