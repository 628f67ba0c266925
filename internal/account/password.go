package account

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// PasswordChange is what a person enters to change their password.
type PasswordChange struct {
	Current, New, Repeated string
}

// ChangePassword replaces the caller's password and ends their other sessions. Inputs:
// current_password, new_password, confirm_password. An error names all inputs at fault.
func (s *Server) ChangePassword(ctx context.Context, c Caller, in PasswordChange) error {
	if err := c.own(); err != nil {
		return err
	}
	wrong := fault.Join(
		s.login.CheckPolicy(ctx, c.User, in.New),
		identity.CheckRepeated(in.New, in.Repeated),
	)
	if wrong != nil {
		return fault.Join(s.reauthenticate(ctx, c, in.Current), wrong)
	}
	if err := s.reauthenticate(ctx, c, in.Current); err != nil {
		return err
	}
	return s.login.ReplacePassword(ctx, c.Visit, c.User, in.New, c.Session)
}

// PasswordEnd returns when the caller's password expires, and until when the change can be put off.
// Both are zero if it does not expire, or not soon.
func (s *Server) PasswordEnd(c Caller) (expires, must time.Time) {
	if end := s.login.PasswordEnd(c.Visit, c.User); end.Warn {
		return end.At, end.Must
	}
	return time.Time{}, time.Time{}
}

// PasswordRules describes what the caller's new password must be like.
func (s *Server) PasswordRules(c Caller) []identity.Rule { return s.login.PasswordRules(c.User) }

// reauthenticate asks for the password before a dangerous change, so that whoever finds an unlocked
// screen cannot take over the account. Input: current_password.
// A passkey takes its place.
func (s *Server) reauthenticate(ctx context.Context, c Caller, password string) error {
	if len(c.Proof) > 0 {
		return s.login.ProveFresh(ctx, c.Visit, c.User, c.Proof)
	}
	if c.User.PasswordHash == "" {
		return s.recent(ctx, c)
	}
	err := s.login.CheckPassword(ctx, c.Visit, c.User, password)
	return renameInput(err, "password", "current_password")
}

// reauthenticateFully also asks for a code of the second factor, or a backup code, where there is
// a second factor. Inputs: current_password, code.
// A person without a password confirms with such a code, or by a recent sign-in.
func (s *Server) reauthenticateFully(ctx context.Context, c Caller, in url.Values) error {
	if len(c.Proof) == 0 && c.User.PasswordHash == "" && in.Get("code") != "" {
		return s.login.ProveFactor(ctx, c.Visit, c.User, url.Values{"code": {in.Get("code")}})
	}
	if len(c.Proof) > 0 || c.User.PasswordHash == "" {
		return s.reauthenticate(ctx, c, "")
	}
	err := s.login.Reauthenticate(ctx, c.Visit, c.User, url.Values{
		"password": {in.Get("current_password")},
		"code":     {in.Get("code")},
	})
	return renameInput(err, "password", "current_password")
}

// renameInput returns err with another name for an input at fault.
func renameInput(err error, from, to string) error {
	var e *fault.Error
	if !errors.As(err, &e) || e.Field == "" {
		return err
	}
	var inputs []error
	for _, input := range e.Inputs() {
		if input.Field == from {
			input.Field = to
		}
		inputs = append(inputs, input)
	}
	return fault.Join(inputs...)
}
