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

const touchEvery = time.Minute // the precision of a session's last use

// Resume returns the active session of a cookie, or NotFound.
func (s *Server) Resume(ctx context.Context, v Visit, cookie string) (*identity.Session, error) {
	if ImpersonationCookie(cookie) {
		return s.resumeImpersonation(ctx, v, cookie)
	}
	if !secret.WellFormed(secret.PrefixSession, cookie) {
		return nil, errNotSignedIn()
	}
	sess, err := s.store.SessionByCookie(ctx, s.keys.Hash(cookie), v.Now, s.cfg.Idle)
	if err != nil {
		return nil, err
	}
	if sess.Impersonated() { // not by this kind of cookie
		return nil, errNotSignedIn()
	}
	return s.touch(ctx, v, sess)
}

// errNotSignedIn returns the error of a browser without an active session.
func errNotSignedIn() error { return fault.New(fault.NotFound, "You are not signed in.") }

// touch notes that a session is used, and returns it.
func (s *Server) touch(ctx context.Context, v Visit, sess *identity.Session) (*identity.Session, error) {
	if v.Now.Sub(sess.LastSeenAt) < touchEvery {
		return sess, nil
	}
	if err := s.store.TouchSession(ctx, sess.ID, v.Now, v.IP, v.agent()); err != nil {
		return nil, err
	}
	touched := *sess
	touched.LastSeenAt, touched.IP, touched.Agent = v.Now, v.IP, v.agent()
	return &touched, nil
}

// End signs out.
func (s *Server) End(ctx context.Context, v Visit, sess *identity.Session) error {
	return s.end(ctx, v, sess, "")
}

func (s *Server) end(ctx context.Context, v Visit, sess *identity.Session, reason string) error {
	ev := v.event(audit.Logout, sess.User)
	ev.Session = string(sess.ID)
	if reason != "" {
		ev.Detail = map[string]string{"because": reason}
	}
	return s.store.EndSession(ctx, sess.ID, v.Now, s.cfg.RevokeTokens, ev)
}

// CookieTTL returns how long the browser keeps the cookie of a session: until the session's end if
// the person stays signed in, else 0, which is until the browser closes.
func CookieTTL(v Visit, sess *identity.Session) time.Duration {
	if !sess.Stay {
		return 0
	}
	return max(sess.ExpiresAt.Sub(v.Now), time.Second)
}

// StayOffered reports whether people may choose to stay signed in.
func (s *Server) StayOffered() bool { return s.cfg.StaySignedIn }

// Renew replaces the cookie of a session and returns the new one, after the person has changed what
// protects the account: a copy of the former cookie is worthless from then on. NotFound if the
// session has ended. A session whose cookie somebody else renewed at the same moment ends.
func (s *Server) Renew(
	ctx context.Context, v Visit, cookie string,
) (string, *identity.Session, error) {
	sess, err := s.ownSession(ctx, v, cookie)
	if err != nil {
		return "", nil, err
	}
	renewed := secret.NewToken(secret.PrefixSession)
	err = s.store.RaiseSession(ctx, s.keys.Hash(cookie), s.keys.Hash(renewed), sess, nil)
	if fault.Is(err, fault.Consumed) {
		if err := s.End(ctx, v, sess); err != nil {
			return "", nil, err
		}
		return "", nil, errNotSignedIn()
	}
	return renewed, sess, err
}

// BeginStepUp asks a signed-in person for the second factor again, which renews the session's
// authentication time and may raise its class. A person who has none gets the session back as it
// is, under the same cookie: the caller decides whether that is enough. NotFound without an active
// session.
func (s *Server) BeginStepUp(ctx context.Context, v Visit, cookie, needACR string) (Step, error) {
	sess, err := s.ownSession(ctx, v, cookie)
	if err != nil {
		return Step{}, err
	}
	u, err := s.store.User(ctx, sess.User)
	if err != nil {
		return Step{}, err
	}
	if u.Blocked() {
		return Step{}, s.disabled(ctx, v, u)
	}
	si := &signIn{user: u, cookie: s.keys.Hash(cookie), raise: true, stay: sess.Stay}
	if identity.ACRRank(needACR) > 0 {
		si.needACR = needACR
	}
	si.add(s.firstMethods(sess.AMR)...)
	step, err := s.missing(ctx, v, si)
	if err != nil {
		return Step{}, err
	}
	if step == "" {
		return Step{Done: &Done{Cookie: cookie, Session: sess, User: u}}, nil
	}
	return s.advance(ctx, v, si)
}

// firstMethods returns what a session has proved that a second factor does not prove again. A
// passkey may have been the only factor; then it stays, but no longer counts as two.
func (s *Server) firstMethods(proved []string) []string {
	renewed := s.secondMethods()
	var first, passkey []string
	for _, m := range proved {
		switch {
		case slices.Contains(passkeyMethods(), m):
			passkey = append(passkey, m)
		case !slices.Contains(renewed, m):
			first = append(first, m)
		}
	}
	if len(first) == 0 {
		return passkey
	}
	return first
}

// secondMethods returns the authentication methods that a second factor proves.
func (s *Server) secondMethods() []string {
	methods := []string{identity.AMRMultiFactor}
	for _, f := range s.factors {
		if f.Use()&(UseSecond|UseSubstitute) != 0 {
			methods = append(methods, f.AMR()...)
		}
	}
	return methods
}

// currentSession returns the active session of the cookie that the browser came with, or nil.
func (s *Server) currentSession(
	ctx context.Context, v Visit, si *signIn,
) (*identity.Session, error) {
	if si.cookie == "" {
		return nil, nil
	}
	sess, err := s.store.SessionByCookie(ctx, si.cookie, v.Now, s.cfg.Idle)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err == nil && sess.Impersonated() { // nobody who acts as a person becomes them by a sign-in
		return nil, s.EndImpersonation(ctx, v, sess)
	}
	return sess, err
}

// openSession opens a session under a new cookie, so that a cookie planted in the browser is
// worthless. A session of the same person goes on under it; another person's ends unless a browser
// may be signed in to several accounts.
func (s *Server) openSession(
	ctx context.Context, v Visit, si *signIn, h secret.Hash,
) (*identity.Session, error) {
	old, err := s.currentSession(ctx, v, si)
	if err != nil {
		return nil, err
	}
	if old != nil && old.User == si.user.ID {
		sess, err := s.raiseSession(ctx, v, si, old, h)
		if err == nil || !fault.Is(err, fault.Consumed) {
			return sess, err
		}
		old = nil // it was raised or ended at the same moment
	}
	if si.raise {
		return nil, errStale()
	}
	if old != nil && !s.SeveralAccounts() {
		if err := s.end(ctx, v, old, audit.ReasonAnotherUser); err != nil {
			return nil, err
		}
	}
	sess := identity.NewSession(si.user.ID, si.amr, v.Now, s.cfg.SessionTTL, identity.Browser{IP: v.IP, Agent: v.agent()})
	sess.Stay = si.stay
	ev := s.succeeded(v, si, sess)
	if err := s.noticeNewDevice(ctx, v, si.user, &ev); err != nil {
		return nil, err
	}
	err = s.store.PutSession(ctx, h, sess, s.terms(si), s.opened(v, si.user, sess, ev)...)
	if err != nil {
		return nil, sessionRejected(err)
	}
	return sess, nil
}

// terms returns when the session of a sign-in may be stored, and what it ends.
func (s *Server) terms(si *signIn) identity.SessionTerms {
	return identity.SessionTerms{
		Proved: si.proved(),
		Single: s.cfg.SingleSession,
		Tokens: s.cfg.RevokeTokens,
	}
}

// sessionRejected returns the error of a session that was not stored, for the person.
func sessionRejected(err error) error {
	if fault.Is(err, fault.Consumed) {
		return fault.Wrap(fault.Consumed, err, "Your password or two-step verification was "+
			"changed while you signed in. Sign in again.")
	}
	return err
}

// raiseSession renews a session under the cookie of hash h. Its absolute end stays where it was.
func (s *Server) raiseSession(
	ctx context.Context, v Visit, si *signIn, old *identity.Session, h secret.Hash,
) (*identity.Session, error) {
	sess := *old
	sess.AuthTime, sess.AMR, sess.ACR = v.Now, slices.Clone(si.amr), identity.ACRFor(si.amr)
	sess.LastSeenAt, sess.IP, sess.Agent = v.Now, v.IP, v.agent()
	sess.Stay = si.stay
	err := s.store.RaiseSession(ctx, si.cookie, h, &sess, si.proved(), s.succeeded(v, si, &sess))
	if err != nil {
		return nil, err
	}
	return &sess, nil
}

// opened returns the events of a new session: what else a successful sign-in means, and the
// sign-in.
func (s *Server) opened(
	v Visit, u *identity.User, sess *identity.Session, signIn audit.Event,
) []audit.Event {
	created := v.event(audit.SessionCreated, u.ID)
	created.Session, created.Client = signIn.Session, signIn.Client
	created.Detail = map[string]string{"expires": sess.ExpiresAt.UTC().Format(time.RFC3339)}
	return append(s.administers(v, u, signIn), created, signIn)
}

// administers returns the event that an administrator has signed in, or nothing for others.
func (s *Server) administers(v Visit, u *identity.User, signIn audit.Event) []audit.Event {
	if s.cfg.Administers == nil || !s.cfg.Administers(u) {
		return nil
	}
	ev := v.event(audit.AdminLogin, u.ID)
	ev.Session, ev.Client, ev.Detail = signIn.Session, signIn.Client, signIn.Detail
	return []audit.Event{ev}
}

func (s *Server) succeeded(v Visit, si *signIn, sess *identity.Session) audit.Event {
	ev := v.event(audit.LoginSucceeded, sess.User)
	ev.Client = v.Client
	ev.Session = string(sess.ID)
	ev.Detail = map[string]string{"amr": strings.Join(sess.AMR, " "), "acr": sess.ACR}
	if si.needACR != "" {
		ev.Detail["asked"] = si.needACR
	}
	if si.raise {
		ev.Detail["step_up"] = "true"
	}
	if si.trusted != "" {
		ev.Detail["trusted_browser"] = si.trusted
	}
	if si.skipped {
		ev.Detail["enrolment"] = "put_off"
	}
	return ev
}
