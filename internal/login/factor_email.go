package login

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	kindEmailCode = "email_code" // the message has a code to type
	kindMagicLink = "magic_link" // the message has a link

	emailCodeDigits = 8
	emailCodeTTL    = 10 * time.Minute
	emailCounter    = "email" // ends the names of the counters of wrong codes
	// Where accounts are never locked, codes must not be guessed without end all the same.
	emailGuesses = 20

	wrongEmailCode = "Incorrect code. Check the newest message, or ask for another code."
)

// emailFactor begins a sign-in with a message to the account's mailbox. Both kinds are this factor:
// they differ in what the message contains.
//
// A message belongs to one request of one browser, which gets back the request's secret, sealed;
// without it neither the code nor the link signs in. The code is derived from that secret, so that
// the link can show it to who opens it in another browser. When a mailbox gets no further message
// for a while, requests for its account are answered by the code of the last one.
type emailFactor struct {
	kind    string
	store   Store
	keys    *secret.Keys
	notices notices
}

func (f emailFactor) Kind() string { return f.kind }

// AMR returns `otp` (RFC 8176 §2): what the mailbox was sent is a password for one use.
func (emailFactor) AMR() []string                       { return []string{"otp"} }
func (emailFactor) Use() Use                            { return UseFirst }
func (emailFactor) Enrolled([]identity.Credential) bool { return false }
func (emailFactor) Serial() bool                        { return true }
func (emailFactor) Counter() string                     { return emailCounter }

// emailRequest is the content of an outbox.KindCodeRequest.
type emailRequest struct {
	Login     string `json:"login"` // what the person typed
	Attempt   string `json:"attempt"`
	IP        string `json:"ip"`
	Agent     string `json:"agent"`
	RequestID string `json:"request_id"`
	Locale    string `json:"locale"`
	Device    string `json:"device,omitempty"`
}

// Begin stores a request for a message, which EmailCodeSender processes later: the work is the same
// whether the account exists or not.
func (f emailFactor) Begin(ctx context.Context, fl Flow, _ *identity.User) (Challenge, error) {
	if fl.State != nil {
		return Challenge{State: fl.State}, nil
	}
	if !f.notices.on {
		return Challenge{}, fault.New(fault.Unavailable, "This server cannot send email.")
	}
	if fl.Login == "" || len(fl.Login) > maxLoginName {
		return Challenge{}, fault.InvalidField("email", "Enter the email address of your account.")
	}
	attempt := newLinkToken()
	content, err := json.Marshal(emailRequest{
		Login:     fl.Login,
		Attempt:   attempt,
		IP:        fl.IP,
		Agent:     fl.agent(),
		RequestID: fl.RequestID,
		Locale:    fl.Locale,
		Device:    fl.Device,
	})
	if err != nil {
		return Challenge{}, err
	}
	// Requests for one account are processed in order, so that its limit counts each of them.
	target := string(f.keys.Hash("sign-in:" + fl.Login))
	d := f.notices.sealer.New(outbox.KindCodeRequest, target, content, fl.Now)
	d.ExpiresAt = fl.Now.Add(emailCodeTTL)
	return Challenge{State: []byte(attempt)}, f.store.Queue(ctx, d)
}

func (f emailFactor) CheckInput(in url.Values) error {
	if in.Get("link") != "" {
		return nil
	}
	if _, ok := emailCode(in.Get("code")); !ok {
		return fault.InvalidField("code", "Enter the %d digits of the code in the message.", emailCodeDigits)
	}
	return nil
}

// Check accepts the code of the browser's own request, and the link that was sent because of it.
func (f emailFactor) Check(
	ctx context.Context, fl Flow, u *identity.User, in url.Values,
) (Proof, error) {
	attempt := string(fl.State)
	if attempt == "" { // this browser has asked for no message
		return Proof{}, errStale()
	}
	code, _ := emailCode(in.Get("code"))
	if link := in.Get("link"); link != "" {
		if !secret.Equal(link, attempt) {
			return Proof{}, errStale()
		}
		code = f.code(attempt)
	}
	use := EmailCodeUse{Attempt: f.attemptHash(attempt), Now: fl.Now}
	if u == nil {
		u = &identity.User{}
	}
	to := mailedTo(u, fl.Login)
	use.User, use.Code = u.ID, f.codeHash(u, to, code)
	err := f.store.ConsumeEmailCode(ctx, use)
	switch {
	case fault.Is(err, fault.Consumed):
		return Proof{
			Reason: audit.ReasonReplayedCode,
			Text:   "This code was used already. Ask for another one.",
		}, nil
	case fault.Is(err, fault.NotFound):
		return Proof{Reason: audit.ReasonWrongCode, Text: wrongEmailCode}, nil
	case err != nil:
		return Proof{}, err
	}
	return Proof{OK: true, Mailbox: to}, nil
}

// code returns the code of a request.
func (f emailFactor) code(attempt string) string {
	sum, err := base64.RawURLEncoding.DecodeString(string(f.keys.Hash("email-code:" + attempt)))
	if err != nil { // a hash is always base64url
		panic(err)
	}
	return fmt.Sprintf("%0*d", emailCodeDigits, binary.BigEndian.Uint64(sum)%100_000_000)
}

func (f emailFactor) attemptHash(attempt string) secret.Hash {
	return f.keys.Hash("email-attempt:" + attempt)
}

// mailedTo returns the login key of the address that a message goes to: the one that was typed,
// which is one of the account's, or its primary one.
func mailedTo(u *identity.User, login string) string {
	if strings.Contains(login, "@") {
		return login
	}
	return identity.LoginKey(u.Email)
}

// codeHash returns the stored form of a code. It names what the code proves: a code that was sent
// to an address that is no longer the account's, or before the password was changed, is worthless.
func (f emailFactor) codeHash(u *identity.User, to, code string) secret.Hash {
	changed := int64(0)
	if at := u.PasswordChangedAt; !at.IsZero() {
		changed = at.UnixMilli()
	}
	return f.keys.Hash("email-code:" + string(u.ID) + ":" + strconv.FormatInt(changed, 10) + ":" +
		to + ":" + code)
}

// emailCode parses a code as people type it.
func emailCode(in string) (string, bool) {
	code, ok := squeeze(in)
	if !ok || len(code) != emailCodeDigits || strings.Trim(code, "0123456789") != "" {
		return "", false
	}
	return code, true
}

// emailCodeSender processes requests for a message with which a sign-in begins.
type emailCodeSender struct {
	s   *Server
	now func() time.Time
}

// EmailCodeSender returns the sender of outbox.KindCodeRequest.
func (s *Server) EmailCodeSender(now func() time.Time) outbox.Sender {
	return emailCodeSender{s, now}
}

// Parallel returns how many requests are processed at a time.
func (emailCodeSender) Parallel() int { return 2 }

// Send makes a code for the account that a request names, and queues the message with it. A request
// that names no account is done.
func (e emailCodeSender) Send(ctx context.Context, d *outbox.Delivery) error {
	in, err := readTask[emailRequest](e.s.notices.sealer, d)
	if err != nil {
		return err
	}
	u, err := e.s.store.UserByLogin(ctx, identity.LoginKey(in.Login))
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if signsIn, err := e.s.signsIn(ctx, u); err != nil || !signsIn || u.Email == "" {
		return err
	}
	v := Visit{
		IP:        in.IP,
		Agent:     in.Agent,
		RequestID: in.RequestID,
		Now:       e.now(),
		Device:    in.Device,
		Locale:    in.Locale,
	}
	return e.s.mailCode(ctx, v, u, in)
}

// signsIn reports whether a user may sign in: the account is enabled, or waits for a deletion that
// its owner may cancel.
func (s *Server) signsIn(ctx context.Context, u *identity.User) (bool, error) {
	if !u.Disabled {
		return true, nil
	}
	return s.deleting(ctx, u)
}

// mailCode sends a user a message to sign in with, unless the mailbox was sent as many as it may be
// in the window. The last of them works as long as no other is sent, for every browser that has
// asked: a stranger who uses the limit up keeps nobody out. A browser that the account knows has a
// limit of its own.
func (s *Server) mailCode(ctx context.Context, v Visit, u *identity.User, in emailRequest) error {
	f, ok := s.emailFactor()
	if !ok {
		return nil
	}
	who, err := s.known(ctx, v, s.subject(u, ""))
	if err != nil {
		return err
	}
	for _, c := range s.counters(v, who.apart(f)) { // a code could not be used
		if l, err := s.store.Lock(ctx, c.Key, v.Now); err != nil || l.Locked(v.Now) {
			return err
		}
	}
	to, err := s.recoveryAddress(ctx, u, in.Login)
	if err != nil {
		return err
	}
	count := s.emailBrake(v, u, to, who)
	l, err := s.store.Lock(ctx, count.Key, v.Now)
	if err != nil || l.Locked(v.Now) {
		return err
	}
	if l, err = s.store.RecordFailure(ctx, count); err != nil {
		return err
	}
	expires := v.Now.Add(emailCodeTTL)
	if l.LockedUntil.After(expires) {
		expires = l.LockedUntil
	}
	c := &EmailCode{
		Attempt:   f.attemptHash(in.Attempt),
		User:      u.ID,
		Code:      f.codeHash(u, identity.LoginKey(to), f.code(in.Attempt)),
		CreatedAt: v.Now,
		ExpiresAt: expires,
	}
	return s.store.PutEmailCode(ctx, c, s.codeMailed(v, u, to, c, in.Attempt))
}

// emailBrake returns what a message to sign in with adds to.
func (s *Server) emailBrake(v Visit, u *identity.User, to string, who subject) Failure {
	key := "mailbox:" + string(s.keys.Hash("sign-in:"+mailbox(to)))
	if who.device {
		key += ":" + who.key[len(LockKey(u.ID))+1:]
	}
	return Failure{
		Key:       key,
		Now:       v.Now,
		Threshold: s.cfg.ResetLimit,
		Duration:  s.cfg.ResetWindow,
		Window:    s.cfg.ResetWindow,
	}
}

// codeMailed returns the event of a message to sign in with, and the message.
func (s *Server) codeMailed(
	v Visit, u *identity.User, to string, c *EmailCode, attempt string,
) audit.Event {
	ev := v.event(audit.LoginCodeSent, u.ID)
	ev.Actor = "" // nobody has proved who asks
	values := map[string]string{
		"minutes": strconv.Itoa(int(c.ExpiresAt.Sub(v.Now).Minutes())),
		"ip":      v.IP,
	}
	message := outbox.MessageSignInCode
	if s.Begins(kindEmailCode) {
		f, _ := s.emailFactor()
		values["code"] = f.code(attempt)
	}
	if s.Begins(kindMagicLink) {
		values["link"] = s.cfg.BaseURL + "/login/email?token=" + attempt
		message = outbox.MessageSignInLink
	}
	s.notices.attachTo(&ev, u, to, outbox.Mail{
		Message: message,
		Locale:  v.Locale,
		Expires: c.ExpiresAt,
		Values:  values,
	})
	return ev
}

// emailFactor returns the factor by which a sign-in begins with a message, or false if none does.
func (s *Server) emailFactor() (emailFactor, bool) {
	f, ok := s.factor(s.EmailKind(), UseFirst).(emailFactor)
	return f, ok
}

// EmailKind returns the kind of factor that begins a sign-in with a message, or "" if none does.
func (s *Server) EmailKind() string {
	for _, kind := range []string{kindEmailCode, kindMagicLink} {
		if s.Begins(kind) {
			return kind
		}
	}
	return ""
}

// OpenedFor returns the name that an Opening.Token of a factor was made for. Consumed if the token
// is too old or not ours.
func (s *Server) OpenedFor(v Visit, kind, token string) (string, error) {
	o, err := s.unsealOpening(v, kind, token)
	return o.Name, err
}

// EmailLink is a link that was sent to sign in with.
type EmailLink struct {
	User *identity.User
	Code string // to type in the browser that asked
	Own  bool   // the browser asked for it: it may sign in at once
}

// EmailLink returns what a link to sign in with is good for, in the browser that holds an opening.
// It uses nothing up. Consumed if the link was used or has expired.
func (s *Server) EmailLink(ctx context.Context, v Visit, token, opening string) (*EmailLink, error) {
	f, ok := s.emailFactor()
	if !ok || !secret.WellFormed(secret.PrefixLink, token) {
		return nil, errLink()
	}
	c, err := s.store.EmailCode(ctx, f.attemptHash(token), v.Now)
	if err != nil {
		return nil, linkError(err)
	}
	u, err := s.store.User(ctx, c.User)
	if err != nil {
		return nil, linkError(err)
	}
	code := f.code(token)
	valid, err := s.sentTo(ctx, f, u, c, code)
	if err != nil {
		return nil, err
	}
	signsIn, err := s.signsIn(ctx, u)
	if err != nil {
		return nil, err
	}
	if !signsIn || !valid {
		return nil, errLink()
	}
	out := &EmailLink{User: u, Code: code}
	if opening != "" {
		o, err := s.unsealOpening(v, f.kind, opening)
		out.Own = err == nil && secret.Equal(string(o.State), token)
	}
	return out, nil
}

// sentTo reports whether a code was sent to an address that is still the user's, and proves the
// account as it is.
func (s *Server) sentTo(
	ctx context.Context, f emailFactor, u *identity.User, c *EmailCode, code string,
) (bool, error) {
	all, err := s.VerifiedEmails(ctx, u)
	if err != nil {
		return false, err
	}
	for _, to := range all {
		h := f.codeHash(u, identity.LoginKey(to), code)
		if secret.Equal(string(c.Code), string(h)) {
			return true, nil
		}
	}
	return false, nil
}

// provedMailbox takes note that a person has read a message in a mailbox of the account, and
// returns the account as it is then. The message was not an unwanted one, so it does not count
// against the number that the mailbox is sent. It verifies the primary address. At the first proof
// of an address that nobody has vouched for, all that was there before ends, the password included.
func (s *Server) provedMailbox(
	ctx context.Context, v Visit, u *identity.User, to string,
) (*identity.User, error) {
	if to == "" {
		return u, nil
	}
	who, err := s.known(ctx, v, s.subject(u, ""))
	if err != nil {
		return nil, err
	}
	if err := s.store.ClearLock(ctx, s.emailBrake(v, u, to, who).Key); err != nil {
		return nil, err
	}
	if u.EmailVerified || to != identity.LoginKey(u.Email) {
		return u, nil
	}
	p := Proven{User: u.ID, Email: u.Email, Access: u.MustVerify, Factors: u.MustVerify}
	if u.MustVerify && u.PasswordHash != "" {
		if p.Password, err = s.pw.Hash(ctx, secret.NewToken("")); err != nil { // nobody knows it
			return nil, err
		}
	}
	err = s.store.ProveEmail(ctx, p, v.Now, v.event(audit.EmailVerified, u.ID))
	if err != nil {
		return nil, linkError(err)
	}
	return s.store.User(ctx, u.ID)
}
