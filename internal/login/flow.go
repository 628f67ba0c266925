// Package login answers one question: who is this? A sign-in is a sequence of steps; each proves one thing, and what
// has been proved so far travels sealed in the browser, so that nobody can fill the database by starting sign-ins.
//
// Errors carry a fault kind: Invalid for input that cannot be tried, Denied for a wrong answer (the same step may be
// tried again), Limited while locked, Consumed when the sign-in must start anew, Unavailable under overload.
package login

import (
	"context"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Config is what the operator decides about signing in.
type Config struct {
	Issuer       string          // the name shown in authenticator apps
	Policy       identity.Policy // for new passwords
	AdminPolicy  identity.Policy // the same, for administrators
	HistoryCount int             // how many former passwords may not come back
	ExpiryDays   int             // a password's life in days; 0 is endless

	SessionTTL    time.Duration // absolute
	Idle          time.Duration // between two requests
	SingleSession bool          // a new session ends the user's others
	RevokeTokens  bool          // the end of a session ends the tokens issued in it

	LockThreshold int           // failures that lock an account; 0 never locks
	LockDuration  time.Duration // of the first lock
	AutoUnlock    bool          // a lock ends by itself; else an administrator ends it
	Progressive   bool          // each lock lasts twice as long as the one before
	LockByIP      bool          // addresses are locked too
	IPThreshold   int           // failures that lock an address
	LockWhitelist []netip.Prefix

	RequireMFA      bool // everybody needs a second factor
	RequireAdminMFA bool // administrators do
	MFAGrace        time.Duration
}

// Visit is who asks, and when.
type Visit struct {
	IP, Agent, RequestID string
	Now                  time.Time // read once per request
	Actor                string    // who acts in a person's place (an administrator's id, "cli"), or ""
}

// What a Step asks for next. The kinds of second factors are steps, too.
const (
	StepTOTP        = identity.KindTOTP // the parameter `code`: a one-time or a backup code
	StepNewPassword = "new_password"    // the parameter `new_password`
	StepEnroll      = "enroll"          // the parameter `code`: confirms the authenticator shown by BeginEnroll
	StepSkip        = "skip"            // answers StepEnroll within the days of grace
)

// Step is what a sign-in needs next, or its end. Exactly one of Next and Done is set.
type Step struct {
	Next    string        // StepTOTP, StepNewPassword or StepEnroll
	Pending string        // what the browser keeps and brings back, for ten minutes
	Grace   time.Duration // for StepEnroll: how long it may still be skipped; 0 is not at all
	Done    *Done
}

// Done is a completed sign-in.
type Done struct {
	Cookie  string // the browser's new secret; the old one is worth nothing from now on
	Session *identity.Session
	User    *identity.User
	Backup  []string // after StepEnroll: the backup codes, shown this once
}

// Attempt is the first step of a sign-in.
type Attempt struct {
	Username string // or e-mail address
	Password string
	NeedACR  string // the context class that the application asks for, or ""
	Cookie   string // the browser's present session cookie, or ""
}

// Server signs people in. It is safe for concurrent use.
type Server struct {
	cfg     Config
	store   Store
	keys    *secret.Keys
	pw      hasher
	pending *secret.Box
	totp    totpFactor
	backup  backupFactor
	factors []Factor
	turns   turns
}

// hasher is what this package needs of secret.Passwords.
type hasher interface {
	Hash(ctx context.Context, password string) (string, error)
	Verify(ctx context.Context, password, stored string) (bool, error)
	Outdated(stored string) bool
}

// New makes a Server over a store.
func New(cfg Config, st Store, keys *secret.Keys, pw *secret.Passwords) *Server {
	return build(cfg, st, keys, pw)
}

func build(cfg Config, st Store, keys *secret.Keys, pw hasher) *Server {
	s := &Server{cfg: cfg, store: st, keys: keys, pw: pw, pending: keys.Box("login"), turns: newTurns()}
	s.totp = totpFactor{store: st, box: keys.Box("totp")}
	s.backup = backupFactor{store: st, keys: keys}
	s.factors = []Factor{passwordFactor{store: st, pw: pw}, s.totp, s.backup}
	return s
}

// Password is the first step: name and password. An unknown name and a wrong password cannot be told apart.
func (s *Server) Password(ctx context.Context, v Visit, a Attempt) (Step, error) {
	u, proof, err := s.byPassword(ctx, v, a.Username, a.Password)
	if err != nil {
		return Step{}, err
	}
	f := &flow{user: u, amr: proof.AMR}
	if identity.ACRRank(a.NeedACR) > 0 {
		f.asked = a.NeedACR
	}
	if secret.WellFormed(secret.PrefixSession, a.Cookie) {
		f.cookie = s.keys.Hash(a.Cookie)
	}
	return s.advance(ctx, v, f)
}

// Continue answers the step that a pending sign-in waits for.
func (s *Server) Continue(ctx context.Context, v Visit, pending, kind string, in url.Values) (Step, error) {
	f, err := s.open(ctx, v, pending)
	if err != nil {
		return Step{}, err
	}
	if kind != f.next && (kind != StepSkip || f.next != StepEnroll) {
		return Step{}, errStale()
	}
	switch kind {
	case StepNewPassword:
		err = s.answerNewPassword(ctx, v, f, in)
	case StepEnroll:
		err = s.answerEnroll(ctx, v, f, in)
	case StepSkip:
		err = s.answerSkip(v, f)
	default:
		err = s.answerFactor(ctx, v, f, in)
	}
	if err != nil {
		return Step{}, err
	}
	return s.advance(ctx, v, f)
}

// PendingUser tells whose a pending sign-in is and what it waits for, or Consumed.
func (s *Server) PendingUser(ctx context.Context, v Visit, pending string) (*identity.User, string, error) {
	f, err := s.open(ctx, v, pending)
	if err != nil {
		return nil, "", err
	}
	return f.user, f.next, nil
}

// ResourceOwner checks name and password for the password grant (RFC 6749 §4.3). It has no second step, so it is
// Denied to everybody who has, or must have, more than a password.
func (s *Server) ResourceOwner(ctx context.Context, v Visit, username, password string) (*identity.User, error) {
	u, proof, err := s.byPassword(ctx, v, username, password)
	if err != nil {
		return nil, err
	}
	missing, err := s.missing(ctx, v, &flow{user: u, amr: proof.AMR})
	if err != nil {
		return nil, err
	}
	if missing != "" {
		ev := v.failure(u.ID, "interaction_required")
		ev.Detail = map[string]string{"missing": missing, "by": "password_grant"}
		if err := s.store.Record(ctx, ev); err != nil {
			return nil, err
		}
		return nil, fault.New(fault.Denied, "This account cannot sign in with a password alone. Sign in through the browser.")
	}
	if err := s.forgive(ctx, v, u.ID); err != nil {
		return nil, err
	}
	ev := v.event(audit.LoginSucceeded, u.ID)
	ev.Detail = map[string]string{"by": "password_grant"}
	return u, s.store.Record(ctx, ev)
}

// byPassword proves name and password, for the browser and for the password grant.
func (s *Server) byPassword(ctx context.Context, v Visit, username, password string) (*identity.User, Proof, error) {
	if err := checkInput(username, password); err != nil {
		return nil, Proof{}, err
	}
	key := identity.LoginKey(username)
	u, err := s.store.UserByLogin(ctx, key)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, Proof{}, err
	}
	if err != nil {
		u = nil
	}
	proof, err := s.prove(ctx, v, s.factors[0], s.subject(u, key), url.Values{"password": {password}})
	if err != nil {
		return nil, Proof{}, err
	}
	if u.Disabled {
		return nil, Proof{}, s.disabled(ctx, v, u)
	}
	return u, proof, s.rehash(ctx, u, password)
}

// disabled is told only to someone who knows the password, so that it does not give away who has an account.
func (s *Server) disabled(ctx context.Context, v Visit, u *identity.User) error {
	if err := s.store.Record(ctx, v.failure(u.ID, "disabled")); err != nil {
		return err
	}
	return fault.New(fault.Denied, "This account is disabled. Ask your administrator.")
}

// advance asks for what is missing, or ends the sign-in.
func (s *Server) advance(ctx context.Context, v Visit, f *flow) (Step, error) {
	next, err := s.missing(ctx, v, f)
	if err != nil {
		return Step{}, err
	}
	if next == "" {
		return s.finish(ctx, v, f)
	}
	f.next = next
	step := Step{Next: next, Pending: s.seal(v, f)}
	if next == StepEnroll {
		step.Grace = s.Grace(v, f.user)
	}
	return step, nil
}

// missing is the next thing to prove or to do, or "". The order matters: nobody sets a password or an authenticator
// for an account whose second factor they have not shown.
func (s *Server) missing(ctx context.Context, v Visit, f *flow) (string, error) {
	second, err := s.second(ctx, f.user.ID)
	switch {
	case err != nil:
		return "", err
	case second != "" && identity.ACRFor(f.amr) != identity.ACR2:
		return second, nil
	case f.raise:
		return "", nil
	case f.user.MustChange || s.expired(v, f.user):
		return StepNewPassword, nil
	case second == "" && s.MFARequired(f.user) && !f.skipped:
		return StepEnroll, nil
	}
	return "", nil
}

// second is the step of the second factor that the user holds, or "".
func (s *Server) second(ctx context.Context, id identity.UserID) (string, error) {
	creds, err := s.store.Credentials(ctx, id)
	if err != nil {
		return "", err
	}
	for _, f := range s.factors {
		if f.Held(creds) {
			return f.Step(), nil
		}
	}
	return "", nil
}

// MFARequired reports whether the user has to have a second factor.
func (s *Server) MFARequired(u *identity.User) bool {
	return s.cfg.RequireMFA || s.cfg.RequireAdminMFA && u.Admin()
}

// Grace is how long the user may still do without a second factor.
func (s *Server) Grace(v Visit, u *identity.User) time.Duration {
	return max(u.CreatedAt.Add(s.cfg.MFAGrace).Sub(v.Now), 0)
}

func (s *Server) expired(v Visit, u *identity.User) bool {
	since := u.PasswordChangedAt
	if since.IsZero() {
		since = u.CreatedAt
	}
	return s.cfg.ExpiryDays > 0 && !v.Now.Before(since.AddDate(0, 0, s.cfg.ExpiryDays))
}

func (s *Server) answerFactor(ctx context.Context, v Visit, f *flow, in url.Values) error {
	for _, factor := range s.factors {
		if factor.Step() != f.next || !factor.Claims(in) {
			continue
		}
		proof, err := s.prove(ctx, v, factor, s.subject(f.user, ""), in)
		if err != nil {
			return err
		}
		f.add(proof.AMR...)
		return nil
	}
	return fault.InvalidField("code", "Enter the six digits that your app shows, or one of your backup codes.")
}

func (s *Server) answerNewPassword(ctx context.Context, v Visit, f *flow, in url.Values) error {
	var keep identity.SessionID
	if old, err := s.present(ctx, v, f); err != nil {
		return err
	} else if old != nil && old.User == f.user.ID {
		keep = old.ID
	}
	return s.replace(ctx, v, f.user, change{password: in.Get("new_password"), field: "new_password", how: "required", keep: keep})
}

func (s *Server) answerEnroll(ctx context.Context, v Visit, f *flow, in url.Values) error {
	codes, err := s.ConfirmEnroll(ctx, v, f.user.ID, in.Get("code"))
	if fault.Is(err, fault.Conflict) { // set up meanwhile: from now on it must be proved
		return errStale()
	}
	if err != nil {
		return err
	}
	f.backup = codes
	f.add("otp", "mfa")
	return nil
}

func (s *Server) answerSkip(v Visit, f *flow) error {
	if s.Grace(v, f.user) <= 0 {
		return fault.New(fault.Denied, "Your account needs a second factor now. Set one up to go on.")
	}
	f.skipped = true
	return nil
}

// finish opens the session.
func (s *Server) finish(ctx context.Context, v Visit, f *flow) (Step, error) {
	if err := s.forgive(ctx, v, f.user.ID); err != nil {
		return Step{}, err
	}
	cookie := secret.NewToken(secret.PrefixSession)
	sess, err := s.begin(ctx, v, f, s.keys.Hash(cookie))
	if err != nil {
		return Step{}, err
	}
	return Step{Done: &Done{Cookie: cookie, Session: sess, User: f.user, Backup: f.backup}}, nil
}

// flow is a sign-in under way.
type flow struct {
	user    *identity.User
	next    string
	amr     []string
	asked   string      // the context class asked for, or ""
	cookie  secret.Hash // of the session cookie that the browser came with, or ""
	raise   bool        // a signed-in person proves more; nothing else is asked
	skipped bool        // enrolment was put off
	backup  []string    // never leaves with the pending state
}

func (f *flow) add(amr ...string) {
	for _, m := range amr {
		if !slices.Contains(f.amr, m) {
			f.amr = append(f.amr, m)
		}
	}
}
