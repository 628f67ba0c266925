package login

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// mfaGrace returns for how long a user may go without a second factor, from when one is needed, and
// whether one is: by everybody, by administrators, or by a role. The shortest time counts.
func (s *Server) mfaGrace(u *identity.User) (grace time.Duration, required bool) {
	add := func(d time.Duration) {
		if !required || d < grace {
			grace = d
		}
		required = true
	}
	if s.cfg.RequireMFA || s.adminMFA(u) {
		add(s.cfg.MFAGrace)
	}
	for _, role := range u.Roles {
		if d, ok := s.cfg.MFARoles[role]; ok {
			add(d)
		}
	}
	return grace, required
}

// adminMFA reports whether a user needs a second factor as an administrator: by the name of a role,
// or because a role allows anything of the management.
func (s *Server) adminMFA(u *identity.User) bool {
	return s.cfg.RequireAdminMFA && (u.Admin() || s.cfg.Administers != nil && s.cfg.Administers(u))
}

// MFARequired reports whether the user has to have a second factor.
func (s *Server) MFARequired(u *identity.User) bool {
	_, required := s.mfaGrace(u)
	return required
}

// Grace returns how long the user may still go without a second factor. It counts from the first
// sign-in at which the user needs one.
func (s *Server) Grace(ctx context.Context, v Visit, u *identity.User) (time.Duration, error) {
	grace, required := s.mfaGrace(u)
	if !required || grace == 0 {
		return 0, nil
	}
	since, err := s.store.MFARequiredSince(ctx, u.ID)
	if err != nil || since.IsZero() {
		return grace, err
	}
	return max(since.Add(grace).Sub(v.Now), 0), nil
}

// RestartGrace lets the days of grace count anew for a user whose new roles need a second factor
// although the old ones did not.
func (s *Server) RestartGrace(ctx context.Context, old, new *identity.User) error {
	if s.MFARequired(old) || !s.MFARequired(new) {
		return nil
	}
	return s.store.SetMFARequiredSince(ctx, new.ID, time.Time{})
}

// Why a person has to choose a new password.
const (
	ReasonMustChange = "must_change" // an administrator wants it
	ReasonExpired    = "expired"
	ReasonBreached   = "breached"
)

// passwordSet returns when a user's password was set.
func passwordSet(u *identity.User) time.Time {
	if u.PasswordChangedAt.IsZero() {
		return u.CreatedAt
	}
	return u.PasswordChangedAt
}

// PasswordEnd is when a user's password expires.
type PasswordEnd struct {
	At   time.Time // zero: never
	Must time.Time // until when the change can be put off
	Warn bool      // the person is to be told: the end is near, or has passed
}

// PasswordEnd returns when a user's password expires.
func (s *Server) PasswordEnd(v Visit, u *identity.User) PasswordEnd {
	days := s.cfg.ExpiryDays
	if a := s.cfg.AdminExpiryDays; a > 0 && u.Admin() && (days == 0 || a < days) {
		days = a
	}
	if days == 0 || u.PasswordHash == "" || !s.PasswordAllowed() {
		return PasswordEnd{}
	}
	end := passwordSet(u).AddDate(0, 0, days)
	return PasswordEnd{
		At:   end,
		Must: end.Add(s.cfg.ExpiryGrace),
		Warn: !v.Now.Before(end.Add(-s.cfg.ExpiryWarning)),
	}
}

// newPassword returns why a sign-in needs a new password, or "", and for how long the change may
// still be put off.
func (s *Server) newPassword(v Visit, si *signIn) (reason string, grace time.Duration) {
	switch end := s.PasswordEnd(v, si.user); {
	case !s.PasswordAllowed():
		return "", 0
	case si.user.MustChange:
		return ReasonMustChange, 0
	case si.leaked:
		return ReasonBreached, 0
	case end.At.IsZero() || v.Now.Before(end.At):
		return "", 0
	default:
		grace = max(end.Must.Sub(v.Now), 0)
		if si.postponed && grace > 0 {
			return "", 0
		}
		return ReasonExpired, grace
	}
}

// expiryBatch is how many users WarnOfExpiry reads at a time.
const expiryBatch = 200

// WarnOfExpiry sends a message to everybody whose password expires within the days of warning, once
// for each password. It returns how many were sent.
func (s *Server) WarnOfExpiry(ctx context.Context, now time.Time) (sent int, err error) {
	days := s.cfg.ExpiryDays
	if a := s.cfg.AdminExpiryDays; a > 0 && (days == 0 || a < days) {
		days = a
	}
	if days == 0 || !s.CanMail() || !s.PasswordAllowed() {
		return 0, nil
	}
	v := Visit{Now: now, Actor: "system"}
	before := now.Add(s.cfg.ExpiryWarning).AddDate(0, 0, -days)
	for after := identity.UserID(""); ; {
		users, err := s.store.OldPasswords(ctx, after, before, expiryBatch)
		if err != nil || len(users) == 0 {
			return sent, err
		}
		for i := range users {
			noticed, err := s.warnOfExpiry(ctx, v, &users[i])
			if err != nil {
				return sent, err
			}
			if noticed {
				sent++
			}
		}
		after = users[len(users)-1].ID
	}
}

func (s *Server) warnOfExpiry(ctx context.Context, v Visit, u *identity.User) (bool, error) {
	end := s.PasswordEnd(v, u)
	if !end.Warn || !v.Now.Before(end.At) {
		return false, nil
	}
	ev := v.event(audit.PasswordExpiryNotice, u.ID)
	ev.Detail = map[string]string{"expires_at": end.At.UTC().Format(time.RFC3339)}
	s.notices.attach(&ev, u, outbox.Mail{
		Message: outbox.MessagePasswordExpires,
		Expires: end.At,
		Values: map[string]string{
			"expires": end.At.UTC().Format(time.RFC3339),
			"link":    s.cfg.BaseURL + pageSecurity,
		},
	})
	err := s.store.MarkExpiryNotice(ctx, u.ID, passwordSet(u), ev)
	if fault.Is(err, fault.Consumed) { // another server was faster, or the password is new
		return false, nil
	}
	return err == nil, err
}

// wantsPassword reports whether a sign-in needs a new password before it goes on.
func (s *Server) wantsPassword(v Visit, si *signIn) bool {
	reason, _ := s.newPassword(v, si)
	return reason != ""
}

// skippable returns why a step is asked for, and for how long it may still be skipped.
func (s *Server) skippable(
	ctx context.Context, v Visit, si *signIn,
) (reason string, grace time.Duration, err error) {
	switch si.step {
	case StepEnroll:
		grace, err = s.Grace(ctx, v, si.user)
	case StepNewPassword:
		reason, grace = s.newPassword(v, si)
	}
	return reason, grace, err
}

// leaked reports whether the password of a first step is known from a breach. If the list cannot be
// read, which it reports itself, the sign-in goes on.
func (s *Server) leaked(ctx context.Context, a Attempt) bool {
	if a.Kind != kindPassword {
		return false
	}
	found, err := s.breached(ctx, a.Password)
	return err == nil && found
}
