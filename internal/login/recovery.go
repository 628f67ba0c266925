package login

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

// resetRequest is the content of an outbox.KindResetRequest.
type resetRequest struct {
	Login     string `json:"login"` // what the person typed
	IP        string `json:"ip"`
	Agent     string `json:"agent"`
	RequestID string `json:"request_id"`
	Locale    string `json:"locale"`
}

// maxLocale bounds the name of a language (RFC 5646 §4.4.1), in bytes.
const maxLocale = 35

// maxLoginName bounds what may be typed as the name of an account, in bytes.
const maxLoginName = 320

// CanMail reports whether messages can be sent.
func (s *Server) CanMail() bool { return s.notices.on }

// RequestPasswordReset asks for a link by mail to set a new password, or where people sign in with
// passkeys alone, to replace those that are lost. It does the same work whether the account exists
// or not: the request is stored, and processed later by ResetSender. Name is an address or a
// username; locale is the language of the page, or "". Invalid if the name cannot be one,
// Unavailable if the server has no mail.
func (s *Server) RequestPasswordReset(ctx context.Context, v Visit, name, locale string) error {
	if !s.PasswordAllowed() && !s.ReplacesPasskeys() {
		return errNoPasswords()
	}
	if !s.CanMail() {
		return fault.New(fault.Unavailable,
			"This server cannot send email. Ask your administrator for a link to set a new password.")
	}
	name = strings.TrimSpace(name)
	if name == "" || len(name) > maxLoginName {
		return fault.InvalidField("email", "Enter the email address of your account.")
	}
	if err := s.admit(ctx, v, RequestReset); err != nil {
		return err
	}
	if len(locale) > maxLocale {
		locale = ""
	}
	if s.cfg.ShowExistence {
		if u, err := s.userByLogin(ctx, identity.LoginKey(name)); err != nil {
			return err
		} else if u == nil {
			return fault.InvalidField("email", "There is no account with this address.")
		}
	}
	content, err := json.Marshal(resetRequest{
		Login:     name,
		IP:        v.IP,
		Agent:     v.agent(),
		RequestID: v.RequestID,
		Locale:    locale,
	})
	if err != nil {
		return err
	}
	// Requests for one account are processed in order, so that its limit counts each of them.
	target := string(s.keys.Hash("reset:" + identity.LoginKey(name)))
	return s.store.Queue(ctx, s.notices.sealer.New(outbox.KindResetRequest, target, content, v.Now))
}

// readTask returns the content of a delivery that a sender of this package processes. Invalid if it
// cannot be read, which ends the delivery.
func readTask[T any](sealer *outbox.Sealer, d *outbox.Delivery) (task T, err error) {
	content, err := sealer.Open(d)
	if err == nil {
		err = json.Unmarshal(content, &task)
	}
	if err != nil {
		return task, fault.Wrap(fault.Invalid, err, "the task cannot be read")
	}
	return task, nil
}

// resetSender processes requests to reset a password.
type resetSender struct {
	s   *Server
	now func() time.Time
}

// ResetSender returns the sender of outbox.KindResetRequest.
func (s *Server) ResetSender(now func() time.Time) outbox.Sender { return resetSender{s, now} }

// Parallel returns how many requests are processed at a time.
func (resetSender) Parallel() int { return 2 }

// Send makes a link for the account that a request names, and queues the message with it. A request
// that names no account is done.
func (r resetSender) Send(ctx context.Context, d *outbox.Delivery) error {
	in, err := readTask[resetRequest](r.s.notices.sealer, d)
	if err != nil {
		return err
	}
	u, err := r.s.store.UserByLogin(ctx, identity.LoginKey(in.Login))
	if fault.Is(err, fault.NotFound) || err == nil && u.Email == "" {
		return nil
	}
	if err == nil && u.Blocked() {
		var open bool
		if open, err = r.s.deleting(ctx, u); err == nil && !open {
			return nil
		}
	}
	if err != nil {
		return err
	}
	v := Visit{IP: in.IP, Agent: in.Agent, RequestID: in.RequestID, Now: r.now(), Locale: in.Locale}
	to, err := r.s.recoveryAddress(ctx, u, in.Login)
	if err != nil {
		return err
	}
	if r.s.ReplacesPasskeys() {
		return r.s.mailPasskeyLink(ctx, v, u, to)
	}
	return r.s.mailPasswordLink(ctx, v, u, to)
}

// recoveryAddress returns the address of a user that gets a link: the one that the person typed, as
// it is stored, or the primary one.
func (s *Server) recoveryAddress(ctx context.Context, u *identity.User, typed string) (string, error) {
	all, err := s.VerifiedEmails(ctx, u)
	for _, email := range all {
		if identity.LoginKey(email) == identity.LoginKey(typed) {
			return email, nil
		}
	}
	return u.Email, err
}

// mailPasswordLink sends a link to set a new password to an address of a user, unless the mailbox
// was sent as many as it may be in the window. The last of them still works then, so that a
// stranger who uses the limit up keeps nobody out.
func (s *Server) mailPasswordLink(ctx context.Context, v Visit, u *identity.User, to string) error {
	send, err := s.brake(ctx, v, brakeReset, to)
	if err != nil || !send {
		return err
	}
	return s.sendPasswordLink(ctx, v, u, to)
}

// sendPasswordLink sends a link to set a new password to an address of a user.
func (s *Server) sendPasswordLink(ctx context.Context, v Visit, u *identity.User, to string) error {
	token := newLinkToken()
	l := &Link{
		Kind:      LinkPassword,
		User:      u.ID,
		Email:     to,
		CreatedAt: v.Now,
		ExpiresAt: v.Now.Add(s.cfg.ResetTTL),
	}
	ev := v.event(audit.PasswordResetRequested, u.ID)
	ev.Actor = v.Actor // without one, nobody has proved who asks
	s.notices.attachTo(&ev, u, to, outbox.Mail{
		Message: outbox.MessagePasswordReset,
		Locale:  v.Locale,
		Expires: l.ExpiresAt,
		Values: map[string]string{
			"link":    s.cfg.BaseURL + "/reset-password?token=" + token,
			"minutes": strconv.Itoa(int(s.cfg.ResetTTL.Minutes())),
			"ip":      v.IP,
		},
	})
	return s.store.PutLink(ctx, s.keys.Hash(token), l, ev)
}

// newLinkToken returns the token of a link.
func newLinkToken() string {
	for {
		if t := secret.NewToken(secret.PrefixLink); staysWhole(t) {
			return t
		}
	}
}

// staysWhole reports whether a token ends in a letter or a digit: some mail programs do not count
// another character at the end of a line as a part of the link.
func staysWhole(token string) bool {
	return !strings.HasSuffix(token, "-") && !strings.HasSuffix(token, "_")
}

// mailbox returns an address in the form that counts messages to it: without what many providers
// ignore, a tag and dots before the @. It is never used to send, or to find an account.
func mailbox(address string) string {
	local, domain, _ := strings.Cut(identity.LoginKey(address), "@")
	local, _, _ = strings.Cut(local, "+")
	return strings.ReplaceAll(local, ".", "") + "@" + domain
}

// notices attaches messages to events.
type notices struct {
	on      bool // the server has mail
	sealer  *outbox.Sealer
	baseURL string
	places  visitor.Places // or nil
	locale  string         // of people without a language
}

// attach adds a message to a user to an event. It adds nothing if the server has no mail or the
// user no address.
func (n notices) attach(ev *audit.Event, u *identity.User, m outbox.Mail) {
	n.attachTo(ev, u, u.Email, m)
}

// attachTo adds a message to one of a user's addresses to an event.
func (n notices) attachTo(ev *audit.Event, u *identity.User, to string, m outbox.Mail) {
	if !n.on || to == "" {
		return
	}
	m.To, m.Name, m.Zone = to, u.Name, u.Zoneinfo
	if u.Locale != "" {
		m.Locale = u.Locale
	}
	ev.Deliveries = append(ev.Deliveries, n.sealer.Mail(m, ev.At))
}

// notify adds a notice about what happened to an account, with a link to one of our pages.
func (n notices) notify(ev *audit.Event, u *identity.User, message, page string) {
	n.attach(ev, u, n.notice(ev, u, message, page))
}

// notice returns a message about what happened to an account, with a link to one of our pages.
func (n notices) notice(ev *audit.Event, u *identity.User, message, page string) outbox.Mail {
	values := n.where(ev, u)
	if page != "" {
		values["link"] = n.baseURL + page
	}
	return outbox.Mail{Message: message, Values: values}
}

// notifyPasskey adds a notice about a passkey, which it names.
func (n notices) notifyPasskey(ev *audit.Event, u *identity.User, message, name string) {
	values := n.where(ev, u)
	values["passkey"], values["link"] = name, n.baseURL+pagePasskeys
	n.attach(ev, u, outbox.Mail{Message: message, Values: values})
}

// where returns when and where something happened, for a message to a user: the time, the device,
// and the address with its place.
func (n notices) where(ev *audit.Event, u *identity.User) map[string]string {
	values := map[string]string{"time": ev.At.UTC().Format(time.RFC3339), "ip": ev.IP}
	if a := visitor.Describe(ev.Agent); a.Known() {
		values["program"], values["system"] = a.Program, a.System
	}
	if n.places != nil {
		values["city"], values["country"] = n.places.Find(ev.IP).In(cmp.Or(u.Locale, n.locale))
	}
	return values
}

// NotifyTwoStepOff adds the notice that two-step verification was turned off to an event of an
// administrator.
func (s *Server) NotifyTwoStepOff(ev *audit.Event, u *identity.User) {
	s.notices.notify(ev, u, outbox.MessageTwoStepOff, pageSecurity)
}

// NotifyAddress adds to an event of an administrator the notices to all addresses that an account
// has before it: that the primary one is replaced by another, or by none.
func (s *Server) NotifyAddress(
	ctx context.Context, ev *audit.Event, u *identity.User, email string,
) error {
	if email == "" {
		return s.notifyAll(ctx, ev, u, outbox.MessageEmailRemoved, pageEmails, u.Email)
	}
	return s.notifyAll(ctx, ev, u, outbox.MessageEmailChanged, pageEmails, email)
}

// Notify adds a notice about what happened to an account to an event, with a link to one of our
// pages.
func (s *Server) Notify(ev *audit.Event, u *identity.User, message, page string) {
	s.notices.notify(ev, u, message, page)
}

// Attach adds a message to a user to an event.
func (s *Server) Attach(ev *audit.Event, u *identity.User, m outbox.Mail) { s.notices.attach(ev, u, m) }

// The pages that notices link to.
const (
	pageSecurity = "/account/security"
	pagePasskeys = "/account/security/passkeys"
	pageForgot   = "/forgot-password"
)
