package login

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	signUpContext = "signup/1"        // of what is stored, followed by the confirmation's id
	cookieContext = "signup-cookie/1" // of the browser's cookie
	maxSignUp     = 1000              // bytes of the cookie
)

// SignUpForm is what a new person enters. Inputs: email, name, username, password.
type SignUpForm struct {
	Email, Name, Username, Password string
}

// signUp is what a sign-up stores until the address is proved, encrypted.
type signUp struct {
	Name     string `json:"n,omitempty"`
	Username string `json:"u,omitempty"`
	Hash     string `json:"h"` // "" where people join without a password
	Locale   string `json:"l,omitempty"`
}

// signUpCookie names a browser's sign-up, as it is sealed into a cookie.
type signUpCookie struct {
	ID     string `json:"i"`
	Email  string `json:"e"`
	Issued int64  `json:"t"` // Unix milliseconds
}

// CanSignUp reports whether new people may make an account of their own. It begins with a password,
// or where there are none, with messages to sign in with, since the proof of the address is the way
// in, or with a passkey that is made once the address is proved.
func (s *Server) CanSignUp() bool {
	return s.cfg.SignUp && s.CanMail() && (s.PasswordAllowed() || s.EmailKind() != "" || s.FirstIsPasskey())
}

// firstPassword checks the first password of a new person and returns its hash. Where people sign
// in without passwords, it returns "", whatever was entered.
func (s *Server) firstPassword(ctx context.Context, u *identity.User, c change) (string, error) {
	if !s.PasswordAllowed() {
		return "", nil
	}
	if err := s.checkNewPassword(ctx, u, c); err != nil {
		return "", err
	}
	return s.pw.Hash(ctx, c.password)
}

// joinedBy returns the authentication methods of a person who has just got an account.
func (s *Server) joinedBy(u *identity.User) []string {
	if f := s.factor(s.EmailKind(), UseFirst); u.PasswordHash == "" && f != nil {
		return f.AMR()
	}
	return s.password().AMR()
}

// SignUpDomains returns the domains whose addresses may sign up, separated by commas; "" is any.
func (s *Server) SignUpDomains() string { return strings.Join(s.cfg.SignUpDomains, ", ") }

// SignUp begins the account of a new person: a message to the address carries a link and a code
// that prove it, and the account is made by ConfirmSignUp. Until then nothing but an encrypted row
// that expires is stored, and no name is reserved. It does the same work and returns the same, a
// cookie for the browser, whether the address belongs to an account or not; in that case its owner
// is sent another message. Invalid names the inputs at fault.
func (s *Server) SignUp(ctx context.Context, v Visit, form SignUpForm) (cookie string, err error) {
	if !s.CanSignUp() {
		return "", fault.New(fault.Denied, "Nobody can sign up here. Ask your administrator for an account.")
	}
	u := s.newUser(v, form)
	c := change{password: form.Password, field: "password"}
	if err := fault.Join(u.Validate(), s.checkDomain(u.Email), requireEmail(u.Email)); err != nil {
		if s.PasswordAllowed() {
			err = fault.Join(err, s.checkPolicy(ctx, u, c))
		}
		return "", err
	}
	if err := s.admit(ctx, v, RequestSignUp); err != nil {
		return "", err
	}
	hash, err := s.firstPassword(ctx, u, c)
	if err != nil {
		return "", err
	}
	if s.cfg.ShowExistence {
		if known, err := s.userByLogin(ctx, identity.LoginKey(u.Email)); err != nil || known != nil {
			return "", fault.Join(err, emailTaken(known))
		}
	}
	return s.putSignUp(ctx, v, u.Email, &signUp{
		Name: u.Name, Username: u.Username, Hash: hash, Locale: v.Locale,
	})
}

func emailTaken(known *identity.User) error {
	if known == nil {
		return nil
	}
	return fault.InvalidField("email", "There is already an account with this address. Sign in instead.")
}

// newUser returns the account that a form describes, not stored.
func (s *Server) newUser(v Visit, form SignUpForm) *identity.User {
	u := &identity.User{
		ID:                identity.UserID(secret.NewID(v.Now)),
		Email:             strings.TrimSpace(form.Email),
		Username:          strings.TrimSpace(form.Username),
		Name:              strings.TrimSpace(form.Name),
		PasswordChangedAt: v.Now,
		CreatedAt:         v.Now,
		UpdatedAt:         v.Now,
	}
	u.NormalizeEmail()
	return u
}

func requireEmail(email string) error {
	if email == "" {
		return fault.InvalidField("email", "Enter your email address.")
	}
	return nil
}

// checkDomain returns Invalid for an address whose domain may not sign up.
func (s *Server) checkDomain(email string) error {
	_, domain, _ := strings.Cut(email, "@")
	if len(s.cfg.SignUpDomains) == 0 || email == "" || slices.Contains(s.cfg.SignUpDomains, domain) {
		return nil
	}
	return fault.InvalidField("email", "Only people with an address at %s can sign up here.",
		strings.Join(s.cfg.SignUpDomains, ", "))
}

// putSignUp stores a sign-up, asks for its message, and returns the cookie of its browser. Without
// content, the person chooses a password when the address is proved.
func (s *Server) putSignUp(ctx context.Context, v Visit, email string, content *signUp) (string, error) {
	c, secrets := s.newConfirmation(v, Confirmation{
		Kind: ConfirmSignUp, Email: email, Network: s.networkMark(v),
	}, s.cfg.VerifyTTL)
	if content != nil {
		plain, err := json.Marshal(content)
		if err != nil {
			return "", err
		}
		c.Sealed = s.pending.Seal(plain, signUpContext+"/"+c.ID)
	}
	err := s.store.PutConfirmation(ctx, c, maxSignUps, []outbox.Delivery{s.addressRequest(v, c, secrets)})
	if err != nil {
		return "", err
	}
	plain, err := json.Marshal(signUpCookie{ID: c.ID, Email: email, Issued: v.Now.UnixMilli()})
	if err != nil {
		return "", err
	}
	return s.pending.Seal(plain, cookieContext), nil
}

// networkMark names the network of a request without revealing it.
func (s *Server) networkMark(v Visit) string {
	network := v.IP
	if a, err := netip.ParseAddr(v.IP); err == nil {
		network = netaddr.Key(a)
	}
	return string(s.keys.Hash("signup-network:" + network))[:16]
}

// openSignUpCookie returns the sign-up of a browser, or nil.
func (s *Server) openSignUpCookie(v Visit, cookie string) *signUpCookie {
	if cookie == "" || len(cookie) > maxSignUp {
		return nil
	}
	plain, err := s.pending.Open(cookie, cookieContext)
	c := new(signUpCookie)
	if err != nil || json.Unmarshal(plain, c) != nil || !inTime(v.Now, c.Issued, s.cfg.VerifyTTL) {
		return nil
	}
	return c
}

// SignUpEmail returns the address whose sign-up waits in a browser, or "".
func (s *Server) SignUpEmail(v Visit, cookie string) string {
	if c := s.openSignUpCookie(v, cookie); c != nil {
		return c.Email
	}
	return ""
}

// ResendSignUp sends the message of a browser's sign-up again, and returns the browser's new
// cookie. The mailbox gets no more messages than its limit.
func (s *Server) ResendSignUp(ctx context.Context, v Visit, cookie string) (string, error) {
	waiting := s.openSignUpCookie(v, cookie)
	if waiting == nil || !s.CanSignUp() {
		return "", errStale()
	}
	if err := s.admit(ctx, v, RequestSignUp); err != nil {
		return "", err
	}
	c, err := s.store.ConfirmationByID(ctx, waiting.ID, v.Now)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return "", err
	}
	var content *signUp
	if err == nil {
		content = s.openSignUp(c)
	}
	return s.putSignUp(ctx, v, waiting.Email, content)
}

// openSignUp returns what a sign-up stores, or nil.
func (s *Server) openSignUp(c *Confirmation) *signUp {
	plain, err := s.pending.Open(c.Sealed, signUpContext+"/"+c.ID)
	content := new(signUp)
	if err != nil || json.Unmarshal(plain, content) != nil {
		return nil
	}
	return content
}

// notifyOwner notifies the owner of an address that somebody tried to use it for an account.
func (s *Server) notifyOwner(ctx context.Context, v Visit, owner *identity.User, c *Confirmation) error {
	if owner.ID == c.User || owner.Disabled {
		return nil
	}
	if owner.Unclaimed() {
		return s.inviteAgain(ctx, v, owner)
	}
	send, err := s.brake(ctx, v, brakeInUse, c.Email)
	if err != nil || !send {
		return err
	}
	to, err := s.recoveryAddress(ctx, owner, c.Email)
	if err != nil {
		return err
	}
	ev := v.event(audit.AddressInUse, owner.ID)
	ev.Actor = "" // nobody has proved who asks
	s.notices.attachTo(&ev, owner, to, outbox.Mail{
		Message: outbox.MessageAddressInUse,
		Locale:  v.Locale,
		Values: map[string]string{
			"link":  s.cfg.BaseURL + "/login",
			"link2": s.cfg.BaseURL + pageForgot,
			"ip":    v.IP,
		},
	})
	return s.store.Record(ctx, ev)
}

// mailConfirmation queues the message of a confirmation. A sign-up whose mailbox has got as many as
// it may ends: its code is known to nobody. An earlier message still works.
func (s *Server) mailConfirmation(ctx context.Context, v Visit, c *Confirmation, p proofSecrets) error {
	m := outbox.Mail{
		To:      c.Email,
		Message: outbox.MessageVerification,
		Locale:  v.Locale,
		Expires: c.ExpiresAt,
		Values:  s.proofValues(c, p, pageVerify),
	}
	ev := v.event(audit.VerificationSent, c.User)
	ev.Detail = map[string]string{"email": c.Email, "kind": c.Kind}
	if c.Kind == ConfirmSignUp {
		ev.Actor, m.Values["ip"] = "", v.IP
		send, err := s.brake(ctx, v, brakeSignUp, c.Email)
		if err != nil {
			return err
		}
		if !send {
			return s.store.DeleteConfirmation(ctx, c.ID)
		}
	} else {
		u, err := s.store.User(ctx, c.User)
		if err != nil {
			return err
		}
		m.Message = outbox.MessageEmailConfirm
		s.notices.attachTo(&ev, u, c.Email, m)
		return s.store.Record(ctx, ev)
	}
	ev.Deliveries = append(ev.Deliveries, s.notices.sealer.Mail(m, v.Now))
	return s.store.Record(ctx, ev)
}

// SignUpProof proves the address of a sign-up, by the token of the link, or by the code in the
// browser that signed up. In another browser, the link asks for the password that was chosen at the
// sign-up; a person who does not know it enters everything anew, so that nothing of the sign-up
// remains.
type SignUpProof struct {
	Token  string
	Code   string
	Cookie string // of the browser's sign-up, or ""

	Password    string // the one chosen at the sign-up
	NewPassword string // instead of Password
	Name        string // with NewPassword
	Username    string // with NewPassword, or instead of one that is taken
	Client      string // of the accounts API, which gets tokens; "" for a browser
}

// ConfirmSignUp makes the account of a sign-up whose address is proved, and signs the person in.
// Inputs: code, password, new_password, name, username.
func (s *Server) ConfirmSignUp(ctx context.Context, v Visit, p SignUpProof) (Step, error) {
	c, u, err := s.signedUp(ctx, v, p)
	if err != nil {
		return Step{}, err
	}
	if s.FirstIsPasskey() {
		return s.askFirstPasskey(ctx, v, joining{SignUp: c.ID}, u)
	}
	if err := s.storeSignUp(ctx, v, c.ID, u, nil); err != nil {
		return Step{}, err
	}
	si := &signIn{user: u, amr: s.joinedBy(u), client: p.Client}
	return s.advance(ctx, v, si)
}

// signedUp returns the sign-up whose address is proved, and the account that it makes.
func (s *Server) signedUp(
	ctx context.Context, v Visit, p SignUpProof,
) (*Confirmation, *identity.User, error) {
	c, own, err := s.provenSignUp(ctx, v, p)
	if err != nil {
		return nil, nil, err
	}
	u, err := s.signedUpUser(ctx, v, c, p, own)
	return c, u, err
}

// storeSignUp makes the account of a sign-up.
func (s *Server) storeSignUp(
	ctx context.Context, v Visit, confirmation string, u *identity.User, first *FirstPasskey,
	ev ...audit.Event,
) error {
	created := v.event(audit.UserCreated, u.ID)
	created.Detail = map[string]string{"email": u.Email, "how": "signup"}
	s.notices.attach(&created, u, outbox.Mail{
		Message: outbox.MessageWelcome,
		Values:  map[string]string{"link": s.cfg.BaseURL + "/account"},
	})
	ev = append([]audit.Event{created, v.event(audit.EmailVerified, u.ID)}, ev...)
	if err := s.store.CompleteSignUp(ctx, confirmation, u, first, v.Now, ev...); err != nil {
		return signUpError(err)
	}
	return nil
}

// signUpError returns the error of a sign-up that cannot be completed, in words for the person.
func signUpError(err error) error {
	switch {
	case fault.Is(err, fault.Conflict) && conflictsAt(err, "username"):
		return fault.InvalidField("username", "This username is taken. Choose another one.")
	case fault.Is(err, fault.Conflict):
		return fault.New(fault.Consumed, "There is already an account with this address. Sign in instead.")
	}
	return linkError(err)
}

// provenSignUp returns the sign-up whose address is proved, and whether this browser began it.
func (s *Server) provenSignUp(
	ctx context.Context, v Visit, p SignUpProof,
) (c *Confirmation, own bool, err error) {
	mine := s.openSignUpCookie(v, p.Cookie)
	if p.Token == "" {
		if mine == nil {
			return nil, false, errStale()
		}
		c, err = s.guess(ctx, v, mine.ID, p.Code)
	} else {
		c, err = s.confirmationOf(ctx, v, p.Token)
	}
	if err != nil {
		return nil, false, err
	}
	if c.Kind != ConfirmSignUp {
		return nil, false, errLink()
	}
	return c, mine != nil && mine.ID == c.ID, nil
}

// signedUpUser returns the account of a sign-up.
func (s *Server) signedUpUser(
	ctx context.Context, v Visit, c *Confirmation, p SignUpProof, own bool,
) (*identity.User, error) {
	content := s.openSignUp(c)
	if content == nil || !own && (p.NewPassword != "" || content.Hash == "") {
		return s.claimedUser(ctx, v, c, p)
	}
	if !own {
		if err := s.checkSignUpPassword(ctx, v, c, content, p.Password); err != nil {
			return nil, err
		}
	}
	u := s.newUser(v, SignUpForm{Email: c.Email, Name: content.Name, Username: content.Username})
	if p.Username != "" {
		u.Username = strings.TrimSpace(p.Username)
	}
	u.EmailVerified, u.PasswordHash, u.Locale = true, content.Hash, content.Locale
	return u, u.Validate()
}

// claimedUser returns an account with what the owner of the address enters, and nothing of what was
// entered at the sign-up.
func (s *Server) claimedUser(
	ctx context.Context, v Visit, c *Confirmation, p SignUpProof,
) (*identity.User, error) {
	u := s.newUser(v, SignUpForm{Email: c.Email, Name: p.Name, Username: p.Username})
	u.EmailVerified, u.Locale = true, v.Locale
	password := change{password: p.NewPassword, field: "new_password"}
	hash, err := s.firstPassword(ctx, u, password)
	u.PasswordHash = hash
	return u, fault.Join(u.Validate(), err)
}

// checkSignUpPassword asks for the password that was chosen at a sign-up. Every try counts.
func (s *Server) checkSignUpPassword(
	ctx context.Context, v Visit, c *Confirmation, content *signUp, password string,
) error {
	if err := checkPasswordInput("password", password); err != nil {
		return err
	}
	_, err := s.store.GuessConfirmation(ctx, c.ID, maxGuesses, v.Now)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Limited, "Too many wrong passwords. Choose a new password instead.")
	}
	if err != nil {
		return err
	}
	ok, err := s.pw.Verify(ctx, password, content.Hash)
	if err == nil && !ok {
		err = &fault.Error{Kind: fault.Denied, Field: "password", Text: "Incorrect password."}
	}
	return err
}

// conflictsAt reports whether an error is about a field.
func conflictsAt(err error, field string) bool {
	var e *fault.Error
	return errors.As(err, &e) && e.Field == field
}
