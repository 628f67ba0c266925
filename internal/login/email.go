package login

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

const (
	// UndoTTL is how long a change of the email address can be undone.
	UndoTTL = 72 * time.Hour
	// MaxOtherEmails is how many addresses an account may have beside the primary one.
	MaxOtherEmails = 10

	usernameHold     = 90 * 24 * time.Hour
	maxFormerNames   = 3
	undoContext      = "undo-email/1"
	pageUndo         = "/undo-email"
	pageVerify       = "/verify-email"
	pageEmails       = "/account/email"
	pageInvitation   = "/invitation"
	invitationTTL    = 7 * 24 * time.Hour
	detailEmail      = "email"
	detailFormerMail = "former_email"
)

// undo is what the link that undoes a change of the address needs, encrypted.
type undo struct {
	Hash string `json:"h"` // of the password when the address changed
	// Then is the hash of the password UndoTTL before: whoever has changed the address may have
	// changed the password first. "" if there was none, nil if it was the same one.
	Then *string `json:"t,omitempty"`
}

// passwords returns the hashes of the passwords that prove the owner, the one to restore first.
func (x undo) passwords() []string {
	all := []string{x.Hash}
	if x.Then != nil {
		all = []string{*x.Then, x.Hash}
	}
	return slices.DeleteFunc(all, func(hash string) bool { return hash == "" })
}

// restored returns the hash of the password to restore where none was typed; "" is none.
func (x undo) restored() string {
	if x.Then != nil {
		return *x.Then
	}
	return x.Hash
}

// RequestEmail sends a link and a code to an address that a signed-in user wants to have: kind is
// ConfirmAdd for a further one, ConfirmChange for another primary one. Nothing of the account
// changes until the address is proved. For an address of another account it does the same, but the
// message goes to that account's owner. The other addresses are told of a change at once. oldLost
// says that the person cannot read mail at the present address, so that nobody who gets hold of
// that mailbox can undo the change. Input: email.
func (s *Server) RequestEmail(
	ctx context.Context, v Visit, u *identity.User, kind, email string, oldLost bool,
) error {
	if !s.CanMail() {
		return fault.New(fault.Unavailable, "This server cannot send email. Ask your administrator.")
	}
	normal, err := s.newAddress(ctx, u, kind, email)
	if err != nil {
		return err
	}
	send, err := s.brake(ctx, v, brakeAddress, normal)
	if err != nil {
		return err
	}
	if !send {
		return errBraked(s)
	}
	c, secrets := s.newConfirmation(v, Confirmation{Kind: kind, User: u.ID, Email: normal}, s.cfg.VerifyTTL)
	if oldLost && kind == ConfirmChange {
		c.Sealed = requestWithoutUndo
	}
	ev := v.event(audit.EmailRequested, u.ID)
	ev.Detail = map[string]string{detailEmail: normal, "kind": kind}
	if kind == ConfirmChange {
		if err := s.notifyAll(ctx, &ev, u, outbox.MessageEmailChange, pageEmails, normal); err != nil {
			return err
		}
	}
	return s.store.PutConfirmation(ctx, c, maxRequests, []outbox.Delivery{s.addressRequest(v, c, secrets)}, ev)
}

// requestWithoutUndo marks a change whose person has lost the present mailbox.
const requestWithoutUndo = "no-undo"

// newAddress returns an address that a user may ask for, in its normal form.
func (s *Server) newAddress(
	ctx context.Context, u *identity.User, kind, email string,
) (string, error) {
	normal, ok := identity.NormalAddress(email)
	if !ok {
		return "", fault.InvalidField("email", "Enter an email address, such as ada@example.com.")
	}
	key := identity.LoginKey(normal)
	if key == identity.LoginKey(u.Email) {
		return "", fault.InvalidField("email", "This is the address of your account already.")
	}
	others, err := s.store.UserEmails(ctx, u.ID)
	if err != nil {
		return "", err
	}
	for _, e := range others {
		if identity.LoginKey(e.Email) == key {
			return "", fault.InvalidField("email", "Your account has this address already.")
		}
	}
	if kind == ConfirmAdd && len(others) >= MaxOtherEmails {
		return "", fault.InvalidField("email", "An account may have at most %d more addresses. Remove one first.",
			MaxOtherEmails)
	}
	return normal, nil
}

// VerifiedEmails returns the addresses of a user that are proved, the primary one first. The
// primary one is among them even if it is not proved: an administrator has entered it.
func (s *Server) VerifiedEmails(ctx context.Context, u *identity.User) ([]string, error) {
	others, err := s.store.UserEmails(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	var all []string
	if u.Email != "" {
		all = append(all, u.Email)
	}
	for _, e := range others {
		all = append(all, e.Email)
	}
	return all, nil
}

// notifyAll adds a notice to every address of a user to an event. subject is what it is about, such
// as an address, or "".
func (s *Server) notifyAll(
	ctx context.Context, ev *audit.Event, u *identity.User, message, page, subject string,
) error {
	all, err := s.VerifiedEmails(ctx, u)
	if err != nil {
		return err
	}
	for _, to := range all {
		s.notices.attachTo(ev, u, to, s.notice(*ev, message, page, subject))
	}
	return nil
}

// notice returns a message about what happened to an account.
func (s *Server) notice(ev audit.Event, message, page, subject string) outbox.Mail {
	values := map[string]string{"time": ev.At.UTC().Format(time.RFC3339), "ip": ev.IP}
	if page != "" {
		values["link"] = s.cfg.BaseURL + page
	}
	if subject != "" && message == outbox.MessageUsernameChanged {
		values["username"] = subject
	} else if subject != "" {
		values["email"] = subject
	}
	return outbox.Mail{Message: message, Values: values}
}

// completeAdd adds a proved address to an account, and tells all its addresses.
func (s *Server) completeAdd(ctx context.Context, v Visit, u *identity.User, c *Confirmation) error {
	ev := v.event(audit.EmailAdded, u.ID)
	ev.Detail = map[string]string{detailEmail: c.Email}
	if err := s.notifyAll(ctx, &ev, u, outbox.MessageEmailAdded, pageEmails, c.Email); err != nil {
		return err
	}
	return emailError(s.store.AddEmail(ctx, c.ID, MaxOtherEmails, v.Now, ev))
}

// completeChange makes a proved address the primary one. The former address is sent a link that
// undoes it, and the others are told.
func (s *Server) completeChange(ctx context.Context, v Visit, u *identity.User, c *Confirmation) error {
	return s.changeEmail(ctx, v, u, c.ID, c.Email, c.Sealed != requestWithoutUndo)
}

// MakePrimary makes an address that a user has the primary one. The former one stays a further one.
func (s *Server) MakePrimary(ctx context.Context, v Visit, u *identity.User, email string) error {
	others, err := s.store.UserEmails(ctx, u.ID)
	if err != nil {
		return err
	}
	for _, e := range others {
		if identity.LoginKey(e.Email) == identity.LoginKey(email) {
			return s.changeEmail(ctx, v, u, "", e.Email, true)
		}
	}
	return fault.New(fault.NotFound, "Your account has no such address.")
}

func (s *Server) changeEmail(
	ctx context.Context, v Visit, u *identity.User, id, email string, undoable bool,
) error {
	change := EmailChange{User: u.ID, Email: email}
	ev := v.event(audit.EmailChanged, u.ID)
	ev.Detail = map[string]string{detailEmail: email, detailFormerMail: u.Email}
	if err := s.notifyAll(ctx, &ev, u, outbox.MessageEmailChanged, pageEmails, email); err != nil {
		return err
	}
	if id != "" { // else it is among those told already
		s.notices.attachTo(&ev, u, email, s.notice(ev, outbox.MessageEmailChanged, pageEmails, email))
	}
	if undoable && u.Email != "" && s.notices.on {
		var link string
		var err error
		if change.Undo, link, err = s.newUndo(ctx, v, u); err != nil {
			return err
		}
		// The message to the former address, which is the first, has the link.
		m := s.notice(ev, outbox.MessageEmailUndo, "", email)
		m.Values["link"], m.Expires = link, change.Undo.ExpiresAt
		first := audit.Event{At: ev.At}
		s.notices.attachTo(&first, u, u.Email, m)
		ev.Deliveries[0] = first.Deliveries[0]
	}
	return emailError(s.store.ChangeEmail(ctx, id, change, v.Now, ev))
}

// newUndo returns the confirmation by which a user gets the present address back, and its link.
func (s *Server) newUndo(
	ctx context.Context, v Visit, u *identity.User,
) (*Confirmation, string, error) {
	c, secrets := s.newConfirmation(v, Confirmation{
		Kind: ConfirmUndo, User: u.ID, Email: u.Email,
	}, UndoTTL)
	content := undo{Hash: u.PasswordHash}
	then, replaced, err := s.store.PasswordAt(ctx, u.ID, v.Now.Add(-UndoTTL))
	if err != nil {
		return nil, "", err
	}
	if replaced {
		content.Then = &then
	}
	plain, err := json.Marshal(content)
	if err != nil {
		return nil, "", err
	}
	c.Code, c.Sealed = "", s.pending.Seal(plain, undoContext+"/"+c.ID)
	return c, s.cfg.BaseURL + pageUndo + "?token=" + secrets.token, nil
}

// emailError returns the error of an address that cannot become an account's, in words for the
// person.
func emailError(err error) error {
	if fault.Is(err, fault.Conflict) {
		return fault.New(fault.Consumed, "This address belongs to another account now, so nothing was changed.")
	}
	return linkError(err)
}

// RemoveEmail removes an address beside the primary one, and tells all addresses, the removed one
// included. NotFound if the account has no such address.
func (s *Server) RemoveEmail(ctx context.Context, v Visit, u *identity.User, email string) error {
	ev := v.event(audit.EmailRemoved, u.ID)
	ev.Detail = map[string]string{detailEmail: email}
	if err := s.notifyAll(ctx, &ev, u, outbox.MessageEmailRemoved, pageEmails, email); err != nil {
		return err
	}
	err := s.store.RemoveEmail(ctx, u.ID, email, ev)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "Your account has no such address.")
	}
	return err
}

// ChangeUsername replaces the username of a user. The former one stays theirs for 90 days. Input:
// username.
func (s *Server) ChangeUsername(ctx context.Context, v Visit, u *identity.User, username string) error {
	next := *u
	next.Username = username
	if err := next.ValidateChange(u); err != nil {
		return err
	}
	if username == u.Username {
		return fault.InvalidField("username", "This is your username already.")
	}
	if username == "" && u.Email == "" {
		return fault.InvalidField("username", "Enter a username.")
	}
	ev := v.event(audit.UsernameChanged, u.ID)
	ev.Detail = map[string]string{"username": username, "former_username": u.Username}
	err := s.notifyAll(ctx, &ev, u, outbox.MessageUsernameChanged, "/account/profile", username)
	if err != nil {
		return err
	}
	err = s.store.ChangeUsername(ctx, u.ID, username, v.Now.Add(usernameHold), maxFormerNames, v.Now, ev)
	if fault.Is(err, fault.Conflict) {
		return fault.InvalidField("username", "This username is taken. Choose another one.")
	}
	return err
}
