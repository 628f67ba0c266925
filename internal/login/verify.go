package login

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// mustVerify reports whether a user has to confirm the email address before the sign-in goes on.
func (s *Server) mustVerify(u *identity.User) bool {
	return s.cfg.RequireVerified && s.CanMail() && u.MustVerify && !u.EmailVerified && u.Email != ""
}

// SendVerification sends a user a link and a code that prove the account's own address. Limited if
// the mailbox got as many as it may have; the last of them still works then. Conflict if the
// address is verified.
func (s *Server) SendVerification(ctx context.Context, v Visit, u *identity.User) error {
	if !s.CanMail() {
		return fault.New(fault.Unavailable, "This server cannot send email. Ask your administrator.")
	}
	if u.EmailVerified || u.Email == "" {
		return fault.New(fault.Conflict, "There is no address to confirm.")
	}
	send, err := s.brake(ctx, v, brakeAddress, u.Email)
	if err != nil {
		return err
	}
	if !send {
		return errBraked(s)
	}
	return s.sendVerification(ctx, v, u)
}

// errBraked returns the error of a person whose mailbox has got as many messages as it may.
func errBraked(s *Server) error {
	return fault.RetryAfter(fault.Limited, s.cfg.ResetWindow,
		"We have sent several messages to this address already. Look for them, also in your spam folder, "+
			"or try again later.")
}

// sendVerification stores the confirmation of a user's own address and queues its message.
func (s *Server) sendVerification(ctx context.Context, v Visit, u *identity.User) error {
	c, secrets := s.newConfirmation(v, Confirmation{
		Kind: ConfirmAddress, User: u.ID, Email: u.Email,
	}, s.cfg.VerifyTTL)
	ev := v.event(audit.VerificationSent, u.ID)
	ev.Detail = map[string]string{"email": u.Email, "kind": c.Kind}
	s.notices.attach(&ev, u, outbox.Mail{
		Message: outbox.MessageVerification,
		Locale:  v.Locale,
		Expires: c.ExpiresAt,
		Values:  s.proofValues(c, secrets, pageVerify),
	})
	return s.store.PutConfirmation(ctx, c, maxRequests, nil, ev)
}

// RequestVerification asks for the message that proves an address again: of a sign-up, of an
// account, or an invitation. It does the same work and returns the same whether there is anything
// to prove or not.
func (s *Server) RequestVerification(ctx context.Context, v Visit, email string) error {
	if !s.CanMail() {
		return fault.New(fault.Unavailable, "This server cannot send email. Ask your administrator.")
	}
	normal, ok := identity.NormalAddress(email)
	if !ok {
		return fault.InvalidField("email", "Enter your email address.")
	}
	if err := s.admit(ctx, v, RequestSignUp); err != nil {
		return err
	}
	return s.store.Queue(ctx, s.addressRequest(v, &Confirmation{Email: normal}, proofSecrets{}))
}

// sendAgain processes a request for the message of an address.
func (s *Server) sendAgain(ctx context.Context, v Visit, email string) error {
	u, err := s.userByLogin(ctx, identity.LoginKey(email))
	if err != nil {
		return err
	}
	if u == nil {
		return s.signUpAgain(ctx, v, email)
	}
	if u.Blocked() || u.EmailVerified || identity.LoginKey(u.Email) != identity.LoginKey(email) {
		return nil
	}
	if u.Unclaimed() {
		return s.inviteAgain(ctx, v, u)
	}
	if send, err := s.brake(ctx, v, brakeAddress, u.Email); err != nil || !send {
		return err
	}
	return s.sendVerification(ctx, v, u)
}

// signUpAgain sends the message of the latest sign-up with an address again.
func (s *Server) signUpAgain(ctx context.Context, v Visit, email string) error {
	c, err := s.store.LatestSignUp(ctx, email, v.Now)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.putSignUp(ctx, v, c.Email, s.openSignUp(c))
	return err
}

// The reasons of codes for an address that are rejected. They are not given for other codes.
const (
	ReasonCodeExpired  = "code_expired"  // the code was right
	ReasonCodeConsumed = "code_consumed" // the account has proved the address
)

// expiredFor is how long the right code of an address is known to have expired.
const expiredFor = 24 * time.Hour

// ConfirmByCode proves the address of a user by the code that was mailed to it. Input: code.
// Denied, with ReasonCodeExpired or ReasonCodeConsumed where that can be said without telling
// whether somebody else has the address.
func (s *Server) ConfirmByCode(
	ctx context.Context, v Visit, u *identity.User, email, code string,
) error {
	waiting, err := s.store.UserConfirmations(ctx, u.ID, v.Now.Add(-expiredFor))
	if err != nil {
		return err
	}
	key, late := identity.LoginKey(email), false
	for i := len(waiting) - 1; i >= 0; i-- {
		c := &waiting[i]
		if c.Kind == ConfirmUndo || identity.LoginKey(c.Email) != key {
			continue
		}
		if !c.ExpiresAt.After(v.Now) {
			late = late || secret.Equal(string(c.Code), string(s.codeHash(c.ID, typedCode(code))))
			continue
		}
		c, err := s.guess(ctx, v, c.ID, code)
		if err != nil {
			return err
		}
		return s.completeConfirmation(ctx, v, u, c)
	}
	return s.lateCode(ctx, u, key, late)
}

// lateCode returns the error of a code for an address that waits for none. late says that it was
// the right one, but has expired.
func (s *Server) lateCode(ctx context.Context, u *identity.User, key string, late bool) error {
	if late {
		return &fault.Error{
			Kind: fault.Denied, Field: "code", Reason: ReasonCodeExpired,
			Text: "This code is wrong or has expired. Check it, or ask for a new message.",
		}
	}
	proved, err := s.VerifiedEmails(ctx, u)
	if err != nil {
		return err
	}
	for _, email := range proved {
		if identity.LoginKey(email) == key && (key != identity.LoginKey(u.Email) || u.EmailVerified) {
			return &fault.Error{
				Kind: fault.Denied, Field: "code", Reason: ReasonCodeConsumed,
				Text: "Your account has this address already.",
			}
		}
	}
	return errCode()
}

// ConfirmByLink proves an address of a signed-in user by the token of a mailed link. Denied for the
// link of another account.
func (s *Server) ConfirmByLink(ctx context.Context, v Visit, u *identity.User, token string) error {
	c, err := s.confirmationOf(ctx, v, token)
	if err != nil {
		return err
	}
	if c.User != u.ID {
		return fault.New(fault.Denied, "This link belongs to another account. Sign in to that account to use it.")
	}
	return s.completeConfirmation(ctx, v, u, c)
}

// completeConfirmation carries out what a proved address was to be proved for. The person has
// signed in to the account.
func (s *Server) completeConfirmation(
	ctx context.Context, v Visit, u *identity.User, c *Confirmation,
) error {
	switch c.Kind {
	case ConfirmAddress:
		return linkError(s.store.ProveEmail(ctx, Proven{
			User: u.ID, Email: c.Email, Confirmation: c.ID,
		}, v.Now, v.event(audit.EmailVerified, u.ID)))
	case ConfirmAdd:
		return s.completeAdd(ctx, v, u, c)
	case ConfirmChange:
		return s.completeChange(ctx, v, u, c)
	}
	return errLink()
}

// ClaimByLink proves the own address of an account by a mailed link, for a person who does not know
// its password, and sets a new one. All that was there before ends: sessions, access of apps,
// mailed links and, if nobody has vouched for the address, second factors and further addresses,
// too. The person is not signed in. Input: new_password.
func (s *Server) ClaimByLink(
	ctx context.Context, v Visit, token, password string,
) (*identity.User, error) {
	m, err := s.OpenLink(ctx, v, token, "")
	if err != nil {
		return nil, err
	}
	if m.Kind != ConfirmAddress || m.User.EmailVerified {
		return nil, errLink()
	}
	u := m.User
	c := change{password: password, field: "new_password", how: "link"}
	if err := s.checkNewPassword(ctx, u, c); err != nil {
		return nil, err
	}
	hash, err := s.pw.Hash(ctx, password)
	if err != nil {
		return nil, err
	}
	if !u.MustVerify { // else the factors end
		if err := s.markMailedPassword(ctx, v, u); err != nil {
			return nil, err
		}
	}
	changed := v.event(audit.PasswordChanged, u.ID)
	changed.Detail = map[string]string{"how": c.how}
	s.notices.notify(&changed, u, outbox.MessagePasswordChanged, pageForgot)
	err = s.store.ProveEmail(ctx, Proven{
		User:         u.ID,
		Email:        u.Email,
		Confirmation: m.id,
		Access:       true,
		Factors:      u.MustVerify,
		Password:     hash,
	}, v.Now, v.event(audit.EmailVerified, u.ID), changed, v.event(audit.PasswordResetCompleted, u.ID))
	if err != nil {
		return nil, linkError(err)
	}
	return u, s.resetByPassword(ctx, v, u)
}

// MailedLink is a link that proves an address, before it is used.
type MailedLink struct {
	Kind  string         // of the Confirmation
	Email string         // the address that it proves
	User  *identity.User // whose; nil for a sign-up
	Own   bool           // of a sign-up: this browser began it
	Blank bool           // of a sign-up: nothing but the address is stored

	id string
}

// OpenLink returns what a mailed link is for, without consuming it, or Consumed. The cookie is that
// of the browser's sign-up, or "".
func (s *Server) OpenLink(ctx context.Context, v Visit, token, cookie string) (*MailedLink, error) {
	c, err := s.confirmationOf(ctx, v, token)
	if err != nil {
		return nil, err
	}
	m := &MailedLink{Kind: c.Kind, Email: c.Email, id: c.ID}
	if c.Kind == ConfirmSignUp {
		mine := s.openSignUpCookie(v, cookie)
		m.Own = mine != nil && mine.ID == c.ID
		content := s.openSignUp(c)
		// Where there is no password to prove it by, nothing that somebody else entered counts.
		m.Blank = content == nil || content.Hash == "" && !m.Own
		return m, nil
	}
	m.User, err = s.store.User(ctx, c.User)
	if err != nil {
		return nil, linkError(err)
	}
	if m.User.Blocked() {
		return nil, s.disabled(ctx, v, m.User)
	}
	return m, nil
}

// ResendVerification sends the message of a sign-in at StepVerifyEmail again.
func (s *Server) ResendVerification(ctx context.Context, v Visit, pending string) error {
	si, err := s.open(ctx, v, pending)
	if err != nil {
		return err
	}
	if si.step != StepVerifyEmail {
		return errStale()
	}
	return s.SendVerification(ctx, v, si.user)
}

// answerVerifyEmail checks the code, or the link, that was mailed. Inputs: code, token.
func (s *Server) answerVerifyEmail(ctx context.Context, v Visit, si *signIn, in url.Values) error {
	var err error
	if token := strings.TrimSpace(in.Get("token")); token != "" {
		err = s.ConfirmByLink(ctx, v, si.user, token)
	} else {
		err = s.ConfirmByCode(ctx, v, si.user, si.user.Email, in.Get("code"))
	}
	if err == nil {
		si.user.EmailVerified, si.user.MustVerify = true, false
	}
	return err
}

// VerifyByToken proves an address by a mailed link, for a program, and opens no session. It asks
// for the password of the account, or of the sign-up, unless an administrator has vouched for the
// address, or the sign-up began in the same browser. Inputs: token, password, username.
func (s *Server) VerifyByToken(ctx context.Context, v Visit, p SignUpProof) error {
	m, err := s.OpenLink(ctx, v, p.Token, p.Cookie)
	if err != nil {
		return err
	}
	switch m.Kind {
	case ConfirmSignUp:
		if !m.Own && p.Password == "" && s.PasswordAllowed() {
			return fault.InvalidField("password", "Enter the password that was chosen at the sign-up.")
		}
		c, u, err := s.signedUp(ctx, v, p)
		if err == nil && s.FirstIsPasskey() {
			err = fault.New(fault.Denied, "Open this link in a browser, which can make a passkey.")
		}
		if err != nil {
			return err
		}
		return s.storeSignUp(ctx, v, c.ID, u, nil)
	case ConfirmAddress:
		if m.User.MustVerify {
			if err := s.CheckPassword(ctx, v, m.User, p.Password); err != nil {
				return err
			}
		}
		return s.ConfirmByLink(ctx, v, m.User, p.Token)
	}
	return fault.New(fault.Denied, "Open this link in a browser that is signed in to the account.")
}
