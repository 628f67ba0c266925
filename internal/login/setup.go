package login

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	setupLinkTTL    = 24 * time.Hour
	passwordLinkTTL = time.Hour
)

// SetupForm is what the first administrator enters.
type SetupForm struct {
	Email, Username, Name, Password string
}

// SetupLink makes the one-time link for the first administrator. It works for a day.
func (s *Server) SetupLink(ctx context.Context, now time.Time) (token string, err error) {
	v := Visit{Now: now, Actor: "system"}
	l := &Link{Kind: LinkSetup, CreatedAt: now, ExpiresAt: now.Add(setupLinkTTL)}
	return s.putLink(ctx, l, v.event(audit.SetupLinkMade, ""))
}

// PasswordLink makes a one-time link to set a user's password. It works for an hour.
func (s *Server) PasswordLink(ctx context.Context, v Visit, u *identity.User) (token string, err error) {
	l := &Link{Kind: LinkPassword, User: u.ID, CreatedAt: v.Now, ExpiresAt: v.Now.Add(passwordLinkTTL)}
	return s.putLink(ctx, l, v.event(audit.PasswordLinkMade, u.ID))
}

func (s *Server) putLink(ctx context.Context, l *Link, ev audit.Event) (string, error) {
	token := newLinkToken()
	if err := s.store.PutLink(ctx, s.keys.Hash(token), l, ev); err != nil {
		return "", err
	}
	return token, nil
}

func errLink() error {
	return fault.New(fault.Consumed, "This link was used already or has expired. Ask for a new one.")
}

// linkError returns errLink if the link cannot be used, and err if the store failed.
func linkError(err error) error {
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Consumed:
		return errLink()
	}
	return err
}

// link returns a usable link of a kind without consuming it.
func (s *Server) link(
	ctx context.Context, v Visit, token, kind string,
) (*Link, secret.Hash, error) {
	if !secret.WellFormed(secret.PrefixLink, token) {
		return nil, "", errLink()
	}
	h := s.keys.Hash(token)
	l, err := s.store.Link(ctx, h, v.Now)
	if err != nil {
		return nil, "", linkError(err)
	}
	if l.Kind != kind {
		return nil, "", errLink()
	}
	return l, h, nil
}

// CheckSetupLink returns Consumed unless a setup link can still be used.
func (s *Server) CheckSetupLink(ctx context.Context, v Visit, token string) error {
	_, _, err := s.link(ctx, v, token, LinkSetup)
	return err
}

// CompleteSetup makes the first administrator and signs them in. A mistake in the form leaves the
// link usable.
func (s *Server) CompleteSetup(
	ctx context.Context, v Visit, token string, form SetupForm,
) (Step, error) {
	_, h, err := s.link(ctx, v, token, LinkSetup)
	if err != nil {
		return Step{}, err
	}
	u, err := s.firstAdmin(ctx, v, form)
	if err != nil {
		return Step{}, err
	}
	if u.PasswordHash == "" {
		return s.askFirstPasskey(ctx, v, joining{Setup: token}, u)
	}
	if err := s.storeSetup(ctx, v, h, u, nil); err != nil {
		return Step{}, err
	}
	return s.advance(ctx, v, &signIn{user: u, amr: s.password().AMR()})
}

// NewAdministrator returns an account that may do everything, with a password that the policy
// accepts. It is not stored yet.
func (s *Server) NewAdministrator(
	ctx context.Context, v Visit, form SetupForm,
) (*identity.User, error) {
	return s.firstAdmin(ctx, v, form)
}

func (s *Server) firstAdmin(
	ctx context.Context, v Visit, form SetupForm,
) (*identity.User, error) {
	u := &identity.User{
		ID:                identity.UserID(secret.NewID(v.Now)),
		Email:             strings.TrimSpace(form.Email),
		Username:          strings.TrimSpace(form.Username),
		Name:              strings.TrimSpace(form.Name),
		Roles:             []string{identity.RoleSuperAdmin},
		PasswordChangedAt: v.Now,
		CreatedAt:         v.Now,
		UpdatedAt:         v.Now,
	}
	u.NormalizeEmail()
	if s.FirstIsPasskey() && form.Password == "" {
		return u, u.Validate()
	}
	c := change{password: form.Password, field: "password"}
	if err := fault.Join(u.Validate(), s.checkNewPassword(ctx, u, c)); err != nil {
		return nil, err
	}
	var err error
	u.PasswordHash, err = s.pw.Hash(ctx, form.Password)
	return u, err
}

// LinkUser returns the user whose password a link sets, or Consumed.
func (s *Server) LinkUser(ctx context.Context, v Visit, token string) (*identity.User, error) {
	if !s.PasswordAllowed() && !s.FirstIsPasskey() {
		return nil, errLink()
	}
	l, _, err := s.link(ctx, v, token, LinkPassword)
	if err != nil {
		return nil, err
	}
	if !s.PasswordAllowed() && l.Email != "" { // the mailbox alone does not replace a passkey
		return nil, errLink()
	}
	u, err := s.store.User(ctx, l.User)
	if err != nil {
		return nil, linkError(err)
	}
	if u.PasswordChangedAt.After(l.CreatedAt) { // an old link does not undo a newer password
		return nil, errLink()
	}
	if err := s.checkEnabled(ctx, v, u); err != nil {
		return nil, err
	}
	return u, nil
}

// UsePasskeyLink begins to replace the passkeys of the link's user, where people sign in with
// nothing else. The link is consumed with the new passkey.
func (s *Server) UsePasskeyLink(ctx context.Context, v Visit, token string) (Step, error) {
	u, err := s.LinkUser(ctx, v, token)
	if err != nil {
		return Step{}, err
	}
	if !s.FirstIsPasskey() {
		return Step{}, errLink()
	}
	return s.askFirstPasskey(ctx, v, joining{Reset: token}, u)
}

// UsePasswordLink sets the password of the link's user and ends all of the user's sessions. It
// opens no session: the next sign-in asks for the new password and for the second factor. A
// password that is rejected leaves the link usable. A link that is not usable is recorded.
func (s *Server) UsePasswordLink(
	ctx context.Context, v Visit, token, password string,
) (*identity.User, error) {
	u, err := s.usePasswordLink(ctx, v, token, password)
	if fault.Is(err, fault.Consumed) {
		err = cmp.Or(s.recordResetFailure(ctx, v), err)
	}
	return u, err
}

func (s *Server) usePasswordLink(
	ctx context.Context, v Visit, token, password string,
) (*identity.User, error) {
	u, err := s.LinkUser(ctx, v, token)
	if err == nil && !s.PasswordAllowed() {
		err = errLink()
	}
	if err != nil {
		return nil, err
	}
	l, _, err := s.link(ctx, v, token, LinkPassword)
	if err != nil {
		return nil, err
	}
	c := change{password: password, field: "new_password", how: "link", reset: true}
	if err := s.checkNewPassword(ctx, u, c); err != nil {
		return nil, err
	}
	if err := s.store.ConsumeLink(ctx, s.keys.Hash(token), v.Now); err != nil {
		return nil, linkError(err)
	}
	if err := s.proveByReset(ctx, v, u, l); err != nil {
		return nil, err
	}
	if l.Email != "" {
		if err := s.markMailedPassword(ctx, v, u); err != nil {
			return nil, err
		}
	}
	if err := s.storePassword(ctx, v, u, c); err != nil {
		return nil, err
	}
	return u, s.resetByPassword(ctx, v, u)
}

// proveByReset ends all access to the account of a link that sets a password. A link that was
// mailed to the account's own address proves it; at the first proof of an address that nobody has
// vouched for, all that was there before ends.
func (s *Server) proveByReset(ctx context.Context, v Visit, u *identity.User, l *Link) error {
	mailed := l.Email != "" && identity.LoginKey(l.Email) == identity.LoginKey(u.Email)
	if !mailed || u.EmailVerified {
		ev := v.event(audit.SessionRevoked, u.ID)
		ev.Detail = map[string]string{"because": "password_reset"}
		return s.store.EndUserAccess(ctx, u.ID, v.Now, "", ev)
	}
	err := s.store.ProveEmail(ctx, Proven{
		User: u.ID, Email: u.Email, Access: true, Factors: u.MustVerify,
	}, v.Now, v.event(audit.EmailVerified, u.ID))
	return linkError(err)
}
