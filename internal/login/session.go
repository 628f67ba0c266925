package login

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const touchEvery = time.Minute // how exactly a session's last use is known

// Resume gives the live session of a cookie, or NotFound.
func (s *Server) Resume(ctx context.Context, v Visit, cookie string) (*identity.Session, error) {
	if !secret.WellFormed(secret.PrefixSession, cookie) {
		return nil, fault.New(fault.NotFound, "You are not signed in.")
	}
	sess, err := s.store.SessionByCookie(ctx, s.keys.Hash(cookie), v.Now, s.cfg.Idle)
	if err != nil {
		return nil, err
	}
	if v.Now.Sub(sess.LastSeenAt) < touchEvery {
		return sess, nil
	}
	if err := s.store.TouchSession(ctx, sess.ID, v.Now, v.IP, v.agent()); err != nil {
		return nil, err
	}
	seen := *sess
	seen.LastSeenAt, seen.IP, seen.Agent = v.Now, v.IP, v.agent()
	return &seen, nil
}

// End signs out.
func (s *Server) End(ctx context.Context, v Visit, sess *identity.Session) error {
	return s.end(ctx, v, sess, "")
}

func (s *Server) end(ctx context.Context, v Visit, sess *identity.Session, why string) error {
	ev := v.event(audit.Logout, sess.User)
	ev.Session = string(sess.ID)
	if why != "" {
		ev.Detail = map[string]string{"because": why}
	}
	return s.store.EndSession(ctx, sess.ID, v.Now, s.cfg.RevokeTokens, ev)
}

// BeginStepUp asks a signed-in person for the second factor again, which renews the session's authentication time and
// may raise its class. Somebody who has none gets the session back as it is, under the same cookie: whether that is
// enough is for the asker to say. NotFound without a live session.
func (s *Server) BeginStepUp(ctx context.Context, v Visit, cookie, needACR string) (Step, error) {
	sess, err := s.Resume(ctx, v, cookie)
	if err != nil {
		return Step{}, err
	}
	u, err := s.store.User(ctx, sess.User)
	if err != nil {
		return Step{}, err
	}
	if u.Disabled {
		return Step{}, s.disabled(ctx, v, u)
	}
	f := &flow{user: u, cookie: s.keys.Hash(cookie), raise: true}
	if identity.ACRRank(needACR) > 0 {
		f.asked = needACR
	}
	for _, m := range sess.AMR {
		if m != "otp" && m != "mfa" {
			f.add(m)
		}
	}
	next, err := s.missing(ctx, v, f)
	if err != nil {
		return Step{}, err
	}
	if next == "" {
		return Step{Done: &Done{Cookie: cookie, Session: sess, User: u}}, nil
	}
	f.next = next
	return Step{Next: next, Pending: s.seal(v, f)}, nil
}

// present is the live session of the cookie that the browser came with, or nil.
func (s *Server) present(ctx context.Context, v Visit, f *flow) (*identity.Session, error) {
	if f.cookie == "" {
		return nil, nil
	}
	sess, err := s.store.SessionByCookie(ctx, f.cookie, v.Now, s.cfg.Idle)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	return sess, err
}

// begin opens a session under a cookie nobody has seen before, so that a cookie planted in the browser is worth
// nothing. A session of the same person goes on under it; another person's ends.
func (s *Server) begin(ctx context.Context, v Visit, f *flow, h secret.Hash) (*identity.Session, error) {
	old, err := s.present(ctx, v, f)
	if err != nil {
		return nil, err
	}
	if old != nil && old.User == f.user.ID {
		sess, err := s.raise(ctx, v, f, old, h)
		if err == nil || !fault.Is(err, fault.Consumed) {
			return sess, err
		}
		old = nil // it was raised or ended at the same moment
	}
	if f.raise {
		return nil, errStale()
	}
	if old != nil {
		if err := s.end(ctx, v, old, "another_user"); err != nil {
			return nil, err
		}
	}
	sess := identity.NewSession(f.user.ID, f.amr, v.Now, s.cfg.SessionTTL, v.IP, v.agent())
	err = s.store.PutSession(ctx, h, sess, s.cfg.SingleSession, s.cfg.RevokeTokens, s.succeeded(v, f, sess))
	if err != nil {
		return nil, err
	}
	return sess, nil
}

// raise renews a session. Its absolute end stays where it was.
func (s *Server) raise(ctx context.Context, v Visit, f *flow, old *identity.Session, h secret.Hash) (*identity.Session, error) {
	sess := *old
	sess.AuthTime, sess.AMR, sess.ACR = v.Now, slices.Clone(f.amr), identity.ACRFor(f.amr)
	sess.LastSeenAt, sess.IP, sess.Agent = v.Now, v.IP, v.agent()
	if err := s.store.RaiseSession(ctx, f.cookie, h, &sess, s.succeeded(v, f, &sess)); err != nil {
		return nil, err
	}
	return &sess, nil
}

func (s *Server) succeeded(v Visit, f *flow, sess *identity.Session) audit.Event {
	ev := v.event(audit.LoginSucceeded, sess.User)
	ev.Session = string(sess.ID)
	ev.Detail = map[string]string{"amr": strings.Join(sess.AMR, " "), "acr": sess.ACR}
	if f.asked != "" {
		ev.Detail["asked"] = f.asked
	}
	if f.raise {
		ev.Detail["step_up"] = "true"
	}
	if f.skipped {
		ev.Detail["enrolment"] = "put_off"
	}
	return ev
}
