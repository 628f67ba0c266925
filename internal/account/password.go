package account

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

// ChangePassword replaces the caller's password and ends their other sessions. Inputs:
// current_password, new_password.
func (s *Server) ChangePassword(ctx context.Context, c Caller, current, password string) error {
	err := s.login.ChangePassword(ctx, c.Visit, c.User, login.Change{
		Current: current,
		New:     password,
		Keep:    c.Session,
	})
	if fault.Is(err, fault.Denied) {
		return errField(err, "current_password")
	}
	return err
}

// PasswordRules describes in sentences what the caller's new password must be like.
func (s *Server) PasswordRules(c Caller) []string { return s.login.PasswordRules(c.User) }

// reauthenticate asks for the password before a dangerous change, so that whoever finds an unlocked
// screen cannot take over the account. Input: current_password.
func (s *Server) reauthenticate(ctx context.Context, c Caller, password string) error {
	return errField(s.login.CheckPassword(ctx, c.Visit, c.User, password), "current_password")
}
