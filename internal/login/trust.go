package login

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// maxTrusted bounds the browsers that one person trusts.
const maxTrusted = 10

// TrustedBrowser is a browser in which an account skips the second step of signing in. It proves
// no factor: a session that begins there has the class of the first step.
type TrustedBrowser struct {
	ID         string // names the browser, as its device cookie does
	User       identity.UserID
	State      string // names the account's state: a change ends the trust
	IP, Agent  string // of the last use
	CreatedAt  time.Time
	LastUsedAt time.Time
	ExpiresAt  time.Time
}

// TrustFor returns how long a browser may skip the second step, or 0.
func (s *Server) TrustFor() time.Duration { return s.cfg.TrustFor }

// provesAlways reports whether a user must have a second factor for a role, and so proves it each
// time.
func (s *Server) provesAlways(u *identity.User) bool {
	if s.adminMFA(u) {
		return true
	}
	return slices.ContainsFunc(u.Roles, func(role string) bool {
		_, ok := s.cfg.MFARoles[role]
		return ok
	})
}

// mayTrust reports whether the person of a sign-in may trust the browser.
func (s *Server) mayTrust(si *signIn) bool {
	browser := !si.raise && !si.noTrust && si.client == ""
	return s.cfg.TrustFor > 0 && browser && !s.provesAlways(si.user)
}

// trustedBrowser returns the name of the browser if the second step is skipped in it, else "".
// Nothing but the second step is skipped: what an application asks for is proved, and so is what a
// new password needs.
func (s *Server) trustedBrowser(ctx context.Context, v Visit, si *signIn) (string, error) {
	if v.Device == "" || !s.mayTrust(si) || identity.ACRRank(si.needACR) > identity.ACRRank(identity.ACR1) ||
		s.wantsPassword(v, si) {
		return "", nil
	}
	device, err := s.device(ctx, v, si.user)
	if err != nil || device == "" {
		return "", err
	}
	b, err := s.store.TrustedBrowser(ctx, si.user.ID, device, v.Now)
	if fault.Is(err, fault.NotFound) {
		return "", nil
	}
	if err != nil || !secret.Equal(b.State, s.stateMark(si)) {
		return "", err
	}
	return b.ID, nil
}

// keepTrust stores that the browser of a completed sign-in is trusted, or that it was.
func (s *Server) keepTrust(ctx context.Context, v Visit, si *signIn, a knownAccount) error {
	if si.trusted != "" {
		return s.store.TouchTrustedBrowser(ctx, si.trusted, v.Now, v.IP, v.agent())
	}
	if !si.trust || !s.mayTrust(si) {
		return nil
	}
	b := &TrustedBrowser{
		ID:         a.Device,
		User:       a.User,
		State:      a.State,
		IP:         v.IP,
		Agent:      v.agent(),
		CreatedAt:  v.Now,
		LastUsedAt: v.Now,
		ExpiresAt:  v.Now.Add(s.cfg.TrustFor),
	}
	ev := v.event(audit.BrowserTrusted, a.User)
	ev.Detail = map[string]string{"browser": b.ID, "until": b.ExpiresAt.UTC().Format(time.RFC3339)}
	return s.store.PutTrustedBrowser(ctx, b, maxTrusted, ev)
}

// TrustedBrowsers returns the browsers in which a user skips the second step, the latest first.
func (s *Server) TrustedBrowsers(
	ctx context.Context, v Visit, u *identity.User,
) ([]TrustedBrowser, error) {
	if s.cfg.TrustFor <= 0 {
		return nil, nil
	}
	all, err := s.store.TrustedBrowsers(ctx, u.ID, v.Now)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	state, err := s.currentState(ctx, u)
	return slices.DeleteFunc(all, func(b TrustedBrowser) bool { return b.State != state }), err
}

// Distrust ends the trust in one browser of a user. One that is not trusted is not an error.
func (s *Server) Distrust(ctx context.Context, v Visit, id identity.UserID, browser string) error {
	ev := v.event(audit.BrowserDistrusted, id)
	ev.Detail = map[string]string{"browser": browser}
	err := s.store.DeleteTrustedBrowser(ctx, id, browser, ev)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// DeviceName returns the name by which an account knows the browser of the visit, or "".
func (s *Server) DeviceName(ctx context.Context, v Visit, u *identity.User) (string, error) {
	return s.device(ctx, v, u)
}

// DistrustOthers ends the trust in all browsers of a user but the one of the visit.
func (s *Server) DistrustOthers(ctx context.Context, v Visit, u *identity.User) error {
	device, err := s.device(ctx, v, u)
	if err != nil {
		return err
	}
	return s.store.DeleteTrustedBrowsers(ctx, u.ID, device)
}
