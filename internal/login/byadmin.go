package login

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// MailPasswordLink mails a user a link to set a new password, on behalf of v.Actor. It returns
// Conflict for an account that cannot get one or a server without mail, and Limited if the mailbox
// has got as many links as it may.
func (s *Server) MailPasswordLink(ctx context.Context, v Visit, u *identity.User) error {
	switch {
	case !s.PasswordAllowed():
		return errNoPasswords()
	case !s.CanMail():
		return fault.New(fault.Conflict, "no mail server is configured; set SMTP_HOST and SMTP_FROM")
	case u.Email == "":
		return fault.New(fault.Conflict, "%s has no email address", u.LoginName())
	case u.Blocked():
		return fault.New(fault.Conflict, "the account of %s is disabled", u.LoginName())
	}
	send, err := s.brake(ctx, v, brakeReset, u.Email)
	if err == nil && !send {
		err = errBraked(s)
	}
	if err != nil {
		return err
	}
	return s.sendPasswordLink(ctx, v, u, u.Email)
}
