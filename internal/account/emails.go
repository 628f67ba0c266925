package account

import (
	"context"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

// Emails is the addresses of an account.
type Emails struct {
	Primary  string // "" if none
	Verified bool   // the primary one
	Others   []identity.OtherEmail
	Rejected []string // of all of them, by identity.LoginKey: mail to them was rejected for good
	Waiting  []WaitingEmail
}

// WaitingEmail is an address that waits for its confirmation.
type WaitingEmail struct {
	Email  string
	Change bool // it is to be the primary one
}

// Emails returns the addresses of the caller.
func (s *Server) Emails(ctx context.Context, c Caller) (*Emails, error) {
	out := &Emails{Primary: c.User.Email, Verified: c.User.EmailVerified}
	var err error
	if out.Others, err = s.store.UserEmails(ctx, c.User.ID); err != nil {
		return nil, err
	}
	if out.Rejected, err = s.store.RejectedEmails(ctx, c.User.ID); err != nil {
		return nil, err
	}
	waiting, err := s.store.UserConfirmations(ctx, c.User.ID, c.Now)
	for _, w := range waiting {
		if w.Kind == login.ConfirmAdd || w.Kind == login.ConfirmChange {
			out.Waiting = append(out.Waiting, WaitingEmail{Email: w.Email, Change: w.Kind == login.ConfirmChange})
		}
	}
	return out, err
}

// ChangeEmail asks to make another address the primary one: a message goes to it, and the change is
// made when ConfirmEmail gets its code or link. Inputs: email, current_password, code, old_lost
// (whether mail to the present address cannot be read any more).
func (s *Server) ChangeEmail(ctx context.Context, c Caller, in url.Values) error {
	if err := c.own(); err != nil {
		return err
	}
	if err := s.reauthenticateFully(ctx, c, in); err != nil {
		return err
	}
	email := strings.TrimSpace(in.Get("email"))
	return s.login.RequestEmail(ctx, c.Visit, c.User, login.ConfirmChange, email, in.Get("old_lost") != "")
}

// AddEmail asks to add an address, as ChangeEmail does. Inputs: email, current_password, code.
func (s *Server) AddEmail(ctx context.Context, c Caller, in url.Values) error {
	if err := c.own(); err != nil {
		return err
	}
	if err := s.reauthenticateFully(ctx, c, in); err != nil {
		return err
	}
	return s.login.RequestEmail(ctx, c.Visit, c.User, login.ConfirmAdd, strings.TrimSpace(in.Get("email")), false)
}

// SendVerification sends the message again that proves the caller's primary address. Conflict if it
// is verified.
func (s *Server) SendVerification(ctx context.Context, c Caller) error {
	if err := c.own(); err != nil {
		return err
	}
	return s.login.SendVerification(ctx, c.Visit, c.User)
}

// ConfirmEmail proves an address of the caller, or one that the caller asked for, by the code that
// was mailed to it. Input: code.
func (s *Server) ConfirmEmail(ctx context.Context, c Caller, email, code string) error {
	if err := c.own(); err != nil {
		return err
	}
	return s.login.ConfirmByCode(ctx, c.Visit, c.User, email, code)
}

// RemoveEmail removes an address beside the primary one, which stays. NotFound if the caller has no
// such address. Inputs: email, current_password, code.
func (s *Server) RemoveEmail(ctx context.Context, c Caller, in url.Values) error {
	if err := c.own(); err != nil {
		return err
	}
	if err := s.hasOther(ctx, c, in.Get("email")); err != nil {
		return err
	}
	if err := s.reauthenticateFully(ctx, c, in); err != nil {
		return err
	}
	return s.login.RemoveEmail(ctx, c.Visit, c.User, in.Get("email"))
}

// MakePrimary makes an address that the caller has the primary one. The former one stays. Inputs:
// email, current_password, code.
func (s *Server) MakePrimary(ctx context.Context, c Caller, in url.Values) error {
	if err := c.own(); err != nil {
		return err
	}
	if err := s.hasOther(ctx, c, in.Get("email")); err != nil {
		return err
	}
	if err := s.reauthenticateFully(ctx, c, in); err != nil {
		return err
	}
	return s.login.MakePrimary(ctx, c.Visit, c.User, in.Get("email"))
}

// hasOther returns NotFound unless the caller has an address beside the primary one.
func (s *Server) hasOther(ctx context.Context, c Caller, email string) error {
	others, err := s.store.UserEmails(ctx, c.User.ID)
	if err != nil {
		return err
	}
	for _, e := range others {
		if identity.LoginKey(e.Email) == identity.LoginKey(email) {
			return nil
		}
	}
	return fault.New(fault.NotFound, "Your account has no such address.")
}

// ChangeUsername replaces the caller's username. Inputs: username, current_password, code.
func (s *Server) ChangeUsername(ctx context.Context, c Caller, in url.Values) error {
	if err := c.own(); err != nil {
		return err
	}
	if err := s.reauthenticateFully(ctx, c, in); err != nil {
		return err
	}
	return s.login.ChangeUsername(ctx, c.Visit, c.User, strings.TrimSpace(in.Get("username")))
}
