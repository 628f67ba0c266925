package bff

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
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
	claimLife = flightLife + 5*time.Second // no flight outlives its claim
	pollEvery = 20 * time.Millisecond      // how often a server looks whether another has refreshed
	renewLead = time.Minute                // before its end, an access token is refreshed; of a short-lived one, in its last quarter
)

// kept is what a session's cookie stands for.
type kept struct {
	Access   string `json:"a"`
	Refresh  string `json:"r,omitempty"`
	Callback string `json:"c"` // the redirect URI that the tokens came by
}

func (s *Server) seal(id string, k kept) string {
	raw, _ := json.Marshal(k) // strings always marshal
	return s.vault.Seal(raw, id)
}

func (s *Server) unseal(a *session.Session) (kept, error) {
	var k kept
	raw, err := s.vault.Open(a.Tokens, a.ID)
	if err == nil {
		err = json.Unmarshal(raw, &k)
	}
	return k, err
}

// load reads a session, and refreshes its tokens where they need it; nil if there is none, or no more. Of all servers that want
// to refresh one does: the others wait, and read what it has stored.
func (s *Server) load(ctx context.Context, h secret.Hash, now time.Time) (*liveSession, error) {
	for {
		a, err := s.store.BFFSession(ctx, h, now, s.opt.Idle)
		if fault.Is(err, fault.NotFound) {
			s.live.Invalidate(h)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		k, err := s.unseal(a)
		if err != nil { // the master key is another one
			return nil, err
		}
		sess, err := s.read(ctx, a, k, now)
		switch {
		case err == nil && now.Before(sess.renew):
			s.live.Set(h, sess)
			return sess, nil
		case err != nil && !fault.Is(err, fault.Denied):
			return nil, err
		}
		over, err := s.refresh(ctx, a, k, now)
		switch {
		case over:
			return nil, s.over(ctx, h, a, now, "tokens_ended")
		case fault.Is(err, fault.Consumed) && sess != nil: // another server is at it, and the old token still does
			return sess, nil
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
		return fault.Wrap(fault.Unavailable, ctx.Err(), "the session's tokens are being refreshed elsewhere, and that takes too long")
	}
}

// read makes a session of its row. Denied: its access token is no good any more.
func (s *Server) read(ctx context.Context, a *session.Session, k kept, now time.Time) (*liveSession, error) {
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
	v := &liveSession{row: *a, token: t, host: hostname(k.Callback), name: u.Name, email: u.Email, label: u.Label(), renew: t.Expires}
	v.row.Tokens = ""
	if k.Refresh != "" {
		v.renew = t.Expires.Add(-min(renewLead, t.Expires.Sub(t.IssuedAt)/4))
	}
	v.seen.Store(max(a.LastSeenAt.UnixMilli(), now.UnixMilli()))
	v.noted.Store(a.LastSeenAt.UnixMilli())
	return v, nil
}

// refresh gets new tokens for a version of a session. Over: there are none to be had ever again. Consumed: another server is at it, or
// has done it.
func (s *Server) refresh(ctx context.Context, a *session.Session, k kept, now time.Time) (over bool, err error) {
	if k.Refresh == "" {
		return true, nil
	}
	until := now.Add(claimLife)
	if err := s.store.ClaimBFFSession(ctx, a.ID, a.Version, now, until); err != nil {
		return false, err
	}
	ev := web.EventOf(ctx)
	got, err := s.tokens.RedeemForSession(ctx, a.Client, session.CallbackPath, &oauth.Call{
		Form:   url.Values{"grant_type": {client.GrantTypeRefresh}, "refresh_token": {k.Refresh}, "redirect_uri": {k.Callback}},
		Method: http.MethodPost, IP: ev.IP, Agent: ev.Agent, RequestID: ev.ID, Now: now,
	})
	var no *oauth.Error
	switch {
	case errors.As(err, &no) || fault.Is(err, fault.NotFound):
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

// over ends a session whose tokens have ended.
func (s *Server) over(ctx context.Context, h secret.Hash, a *session.Session, now time.Time, why string) error {
	s.live.Invalidate(h)
	ev := record(ctx, audit.AppSessionEnded, a)
	ev.At, ev.Reason = now, why
	err := s.store.EndBFFSession(ctx, a, now, ev)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
