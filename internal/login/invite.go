package login

import (
	"context"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
)

// Invite sends the link by which a person takes over an account that nobody has claimed, and
// returns it. All earlier links of the account end. Conflict if the account is in use.
func (s *Server) Invite(ctx context.Context, v Visit, u *identity.User) (link string, err error) {
	token := newLinkToken()
	link = s.cfg.BaseURL + pageInvitation + "?token=" + token
	l := &Link{
		Kind:      LinkInvite,
		User:      u.ID,
		Email:     u.Email,
		CreatedAt: v.Now,
		ExpiresAt: v.Now.Add(invitationTTL),
	}
	ev := v.event(audit.InvitationSent, u.ID)
	ev.Detail = map[string]string{detailEmail: u.Email}
	s.notices.attach(&ev, u, outbox.Mail{
		Message: outbox.MessageInvitation,
		Locale:  v.Locale,
		Expires: l.ExpiresAt,
		Values:  map[string]string{"link": link, "minutes": strconv.Itoa(int(invitationTTL.Minutes()))},
	})
	return link, s.store.Invite(ctx, s.keys.Hash(token), l, ev)
}

// inviteAgain sends an invitation again, because somebody tried to use the address otherwise.
func (s *Server) inviteAgain(ctx context.Context, v Visit, u *identity.User) error {
	send, err := s.brake(ctx, v, brakeInvite, u.Email)
	if err != nil || !send {
		return err
	}
	_, err = s.Invite(ctx, v, u)
	if fault.Is(err, fault.Conflict) { // it was accepted meanwhile
		return nil
	}
	return err
}

// InvitedUser returns the account that the link of an invitation hands over, or Consumed.
func (s *Server) InvitedUser(ctx context.Context, v Visit, token string) (*identity.User, error) {
	l, _, err := s.link(ctx, v, token, LinkInvite)
	if err != nil {
		return nil, err
	}
	u, err := s.store.User(ctx, l.User)
	if err != nil {
		return nil, linkError(err)
	}
	if !u.Unclaimed() || identity.LoginKey(u.Email) != identity.LoginKey(l.Email) {
		return nil, errLink()
	}
	if u.Blocked() {
		return nil, s.disabled(ctx, v, u)
	}
	return u, nil
}

// AcceptForm is what an invited person enters. Inputs: name, username, password.
type AcceptForm struct {
	Name, Username, Password string
}

// AcceptInvitation hands an account over to the person who was invited, and signs them in. The
// mailbox is proved by the link.
func (s *Server) AcceptInvitation(
	ctx context.Context, v Visit, token string, form AcceptForm,
) (Step, error) {
	old, err := s.InvitedUser(ctx, v, token)
	if err != nil {
		return Step{}, err
	}
	u := *old
	u.Name, u.Username = strings.TrimSpace(form.Name), strings.TrimSpace(form.Username)
	c := change{password: form.Password, field: "password"}
	u.PasswordHash, err = s.firstPassword(ctx, &u, c)
	if err := fault.Join(u.ValidateChange(old), err); err != nil {
		return Step{}, err
	}
	u.EmailVerified, u.PasswordChangedAt = true, v.Now
	if s.FirstIsPasskey() {
		return s.askFirstPasskey(ctx, v, joining{Invite: token}, &u)
	}
	fresh, err := s.storeInvited(ctx, v, token, &u, nil)
	if err != nil {
		return Step{}, err
	}
	return s.advance(ctx, v, &signIn{user: fresh, amr: s.joinedBy(fresh)})
}

// storeInvited hands an account over and returns it as it is stored.
func (s *Server) storeInvited(
	ctx context.Context, v Visit, token string, u *identity.User, first *FirstPasskey,
	ev ...audit.Event,
) (*identity.User, error) {
	accepted := v.event(audit.InvitationAccepted, u.ID)
	s.notices.attach(&accepted, u, outbox.Mail{
		Message: outbox.MessageWelcome,
		Values:  map[string]string{"link": s.cfg.BaseURL + "/account"},
	})
	ev = append([]audit.Event{accepted, v.event(audit.EmailVerified, u.ID)}, ev...)
	err := s.store.AcceptInvitation(ctx, s.keys.Hash(token), u, first, v.Now, ev...)
	if err != nil {
		return nil, signUpError(err)
	}
	return s.store.User(ctx, u.ID)
}
