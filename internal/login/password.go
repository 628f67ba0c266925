package login

import (
	"context"
	"net/url"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

const (
	product    = "gatehouse"
	maxHistory = 24 // former passwords compared, whatever is configured: each costs a slow hash
)

// change is a new password that is to be checked and stored.
type change struct {
	password string
	field    string             // the input that an error is about
	how      string             // for the audit log
	reset    bool               // the person did not know the former one
	keep     identity.SessionID // the session that goes on
}

// password returns the factor that checks passwords. It is used directly where a signed-in person
// proves to be the one who set the password, which needs no way to begin a sign-in.
func (s *Server) password() Factor { return passwordFactor{pw: s.pw} }

// CheckPassword asks a signed-in person for the password again. Wrong ones count as failed
// attempts.
func (s *Server) CheckPassword(
	ctx context.Context, v Visit, u *identity.User, password string,
) error {
	in := url.Values{"password": {password}}
	if err := s.password().CheckInput(in); err != nil {
		return err
	}
	if err := s.provePassword(ctx, v, u, in); err != nil {
		return err
	}
	return s.resetByPassword(ctx, v, u)
}

func (s *Server) provePassword(
	ctx context.Context, v Visit, u *identity.User, in url.Values,
) error {
	f := s.password()
	_, err := s.prove(ctx, Flow{Visit: v}, f, s.subject(u, ""), in)
	if fault.Is(err, fault.Denied) {
		return &fault.Error{Kind: fault.Denied, Field: "password", Text: "Incorrect password."}
	}
	return err
}

// Reauthenticate asks a signed-in person for the password again, and for a code of the second
// factor or a backup code if there is one. Inputs: password, code. The code is checked, and so
// consumed, after the password only. What is wrong counts as a failed attempt.
func (s *Server) Reauthenticate(
	ctx context.Context, v Visit, u *identity.User, in url.Values,
) error {
	kinds, err := s.enrolledKinds(ctx, u.ID)
	if err != nil {
		return err
	}
	if len(kinds) == 0 {
		return s.CheckPassword(ctx, v, u, in.Get("password"))
	}
	f, codeErr := s.claimant(kinds[0], in)
	if err := fault.Join(s.password().CheckInput(in), codeErr); err != nil {
		return err
	}
	if err := s.provePassword(ctx, v, u, in); err != nil {
		return err
	}
	_, err = s.prove(ctx, Flow{Visit: v}, f, s.subject(u, ""), in)
	if fault.Is(err, fault.Denied) {
		return &fault.Error{Kind: fault.Denied, Field: "code", Text: fault.Text(err), Cause: err}
	}
	if err != nil {
		return err
	}
	return s.resetFailures(ctx, v, u)
}

// ProveFactor asks a signed-in person without a password for a code of the second factor, or a
// backup code. Denied where there is no second factor. Input: code. A wrong code counts as a failed
// attempt.
func (s *Server) ProveFactor(
	ctx context.Context, v Visit, u *identity.User, in url.Values,
) error {
	kinds, err := s.enrolledKinds(ctx, u.ID)
	if err != nil {
		return err
	}
	if len(kinds) == 0 {
		return fault.New(fault.Denied, "Sign out and in again to confirm that it is you.")
	}
	f, err := s.claimant(kinds[0], in)
	if err != nil {
		return err
	}
	_, err = s.prove(ctx, Flow{Visit: v}, f, s.subject(u, ""), in)
	if fault.Is(err, fault.Denied) {
		return &fault.Error{Kind: fault.Denied, Field: "code", Text: fault.Text(err), Cause: err}
	}
	return err
}

// Change is what a person enters to change their own password.
type Change struct {
	Current, New string
	Keep         identity.SessionID // the session that goes on
}

// ChangePassword replaces a signed-in person's own password and ends their sessions except c.Keep.
func (s *Server) ChangePassword(ctx context.Context, v Visit, u *identity.User, c Change) error {
	if err := s.CheckPassword(ctx, v, u, c.Current); err != nil {
		return err
	}
	return s.ReplacePassword(ctx, v, u, c.New, c.Keep)
}

// ReplacePassword replaces the password of a person who has just proved to be its owner, and ends
// their sessions except keep. Denied where people sign in without passwords.
func (s *Server) ReplacePassword(
	ctx context.Context, v Visit, u *identity.User, password string, keep identity.SessionID,
) error {
	if !s.PasswordAllowed() {
		return errNoPasswords()
	}
	return s.replacePassword(ctx, v, u, change{
		password: password,
		field:    "new_password",
		how:      "self",
		keep:     keep,
	})
}

// SetPassword stores a new password for a user without asking for the old one, on behalf of
// v.Actor, and ends all of the user's sessions.
func (s *Server) SetPassword(ctx context.Context, v Visit, u *identity.User, password string) error {
	c := change{password: password, field: "password", how: "administrator"}
	if err := s.replacePassword(ctx, v, u, c); err != nil {
		return err
	}
	return s.resetByPassword(ctx, v, u)
}

// PasswordRules describes what a user's new password must be like.
func (s *Server) PasswordRules(u *identity.User) []identity.Rule {
	rules := s.policy(u).Rules()
	if s.cfg.Breached != nil {
		text := "Not a password that was published after a breach."
		rules = append(rules, identity.Rule{Code: identity.RuleBreached, Text: text})
	}
	return rules
}

func (s *Server) policy(u *identity.User) identity.Policy {
	if u != nil && u.Admin() {
		return s.cfg.AdminPolicy
	}
	return s.cfg.Policy
}

// replacePassword checks and stores a new password; u is updated.
func (s *Server) replacePassword(ctx context.Context, v Visit, u *identity.User, c change) error {
	if err := s.checkNewPassword(ctx, u, c); err != nil {
		return err
	}
	return s.storePassword(ctx, v, u, c)
}

// storePassword stores a password that was checked, and ends the sessions that knew the old one.
func (s *Server) storePassword(ctx context.Context, v Visit, u *identity.User, c change) error {
	hash, err := s.pw.Hash(ctx, c.password)
	if err != nil {
		return err
	}
	ev := v.event(audit.PasswordChanged, u.ID)
	ev.Detail = map[string]string{"how": c.how}
	s.notices.notify(&ev, u, outbox.MessagePasswordChanged, pageForgot)
	evs := []audit.Event{ev}
	if c.reset {
		evs = append(evs, v.event(audit.PasswordResetCompleted, u.ID))
	}
	if err := s.store.SetPassword(ctx, u.ID, hash, s.history(), v.Now, evs...); err != nil {
		return err
	}
	u.PasswordHash, u.PasswordChangedAt, u.MustChange = hash, v.Now, false
	ended := v.event(audit.SessionRevoked, u.ID)
	ended.Detail = map[string]string{"because": "password_changed"}
	return s.store.EndOtherSessions(ctx, u.ID, c.keep, v.Now, s.cfg.RevokeTokens, ended)
}

// Breached knows the passwords that were published after breaches. It may look at the password as
// it was typed, too, since that is how the lists were made.
type Breached interface {
	// Contains reports whether the list has a password. An error means that it cannot be read.
	Contains(ctx context.Context, password string) (bool, error)
}

// AssessPassword checks a new password against the policy and the list of breached passwords.
// Unavailable if the list cannot be read.
func (s *Server) AssessPassword(
	ctx context.Context, u *identity.User, password string,
) (identity.Assessment, error) {
	a := s.policy(u).AssessFor(u, password, product, s.cfg.Host, s.cfg.AppName)
	if len(password) > identity.MaxPassword {
		return a, nil
	}
	found, err := s.breached(ctx, password)
	if err != nil {
		return a, fault.Wrap(fault.Unavailable, err, "The list of breached passwords cannot be read.")
	}
	if found {
		a.Strength = identity.Weak
		a.Wrong = append(a.Wrong, &fault.Error{
			Kind:   fault.Invalid,
			Reason: identity.RuleBreached,
			Text: "This password was published after a breach of another site. " +
				"Choose one that you use nowhere else.",
		})
	}
	return a, nil
}

// breached reports whether a password is known from a breach, as it was typed or in the form that
// is hashed.
func (s *Server) breached(ctx context.Context, typed string) (bool, error) {
	if s.cfg.Breached == nil {
		return false, nil
	}
	found, err := s.cfg.Breached.Contains(ctx, typed)
	if normal := identity.NormalizePassword(typed); err == nil && !found && normal != typed {
		found, err = s.cfg.Breached.Contains(ctx, normal)
	}
	return found, err
}

// CheckPolicy returns Invalid, about `new_password`, if the policy does not accept a password.
func (s *Server) CheckPolicy(ctx context.Context, u *identity.User, password string) error {
	return s.checkPolicy(ctx, u, change{password: password, field: "new_password"})
}

func (s *Server) checkPolicy(ctx context.Context, u *identity.User, c change) error {
	a, err := s.AssessPassword(ctx, u, c.password)
	if err != nil {
		return err
	}
	return a.At(c.field)
}

// checkNewPassword applies the policy, then the history, which costs slow hashes.
func (s *Server) checkNewPassword(ctx context.Context, u *identity.User, c change) error {
	if err := s.checkPolicy(ctx, u, c); err != nil {
		return err
	}
	former := []string{u.PasswordHash}
	if s.history() > 0 {
		old, err := s.store.PasswordHistory(ctx, u.ID, s.history())
		if err != nil {
			return err
		}
		former = append(former, old...)
	}
	for _, h := range former {
		if h == "" {
			continue
		}
		same, err := s.pw.Verify(ctx, c.password, h)
		if err != nil && !fault.Is(err, fault.Invalid) { // Invalid: a kind of hash we cannot compare
			return err
		}
		if same {
			return &fault.Error{
				Kind:   fault.Invalid,
				Field:  c.field,
				Reason: identity.RuleFormer,
				Text:   "This password was used before. Choose a different one.",
			}
		}
	}
	return nil
}

func (s *Server) history() int { return min(max(s.cfg.HistoryCount, 0), maxHistory) }
