package login

import (
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const openingContext = "opening/1"

// Opening is what the first page shows of a factor that begins a sign-in.
type Opening struct {
	Challenge Challenge
	Token     string // carried by the page and handed back in Attempt.Token
}

// openingState is what a factor keeps between Open and SignIn, as it is sealed into the page.
type openingState struct {
	Name   string `json:"u,omitempty"` // the login key that it was made for
	State  []byte `json:"t"`
	Issued int64  `json:"i"` // Unix milliseconds
}

// Open enters the first step with a factor that sends something or makes a challenge. username may
// be empty. Known and unknown names look the same from outside.
func (s *Server) Open(ctx context.Context, v Visit, kind, username string) (*Opening, error) {
	f := s.factor(kind, UseFirst)
	if f == nil {
		return nil, errNoFirstFactor(kind)
	}
	if _, mails := f.(emailFactor); mails && username != "" {
		if err := s.admit(ctx, v, RequestCode); err != nil {
			return nil, err
		}
	}
	key := identity.LoginKey(username)
	u, err := s.userByLogin(ctx, key)
	if err != nil {
		return nil, err
	}
	c, err := f.Begin(ctx, Flow{Visit: v, First: true, Alone: true, Login: key}, u)
	if err != nil {
		return nil, err
	}
	if err := checkState(kind, c.State); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(openingState{Name: key, State: c.State, Issued: v.Now.UnixMilli()})
	if err != nil {
		return nil, err
	}
	return &Opening{Challenge: c, Token: s.pending.Seal(plain, openingContext+"/"+kind)}, nil
}

func errNoFirstFactor(kind string) error {
	return fault.New(fault.NotFound, "There is no way to sign in that is called %q.", kind)
}

func errNoPasswords() error {
	return fault.New(fault.Denied, "People sign in to this server without passwords.")
}

// openState returns the state that Open sealed for the same factor and name.
func (s *Server) openState(v Visit, kind, key, token string) ([]byte, error) {
	if token == "" {
		return nil, nil
	}
	o, err := s.unsealOpening(v, kind, token)
	if err == nil && o.Name != key {
		err = errStale()
	}
	return o.State, err
}

// unsealOpening returns what Open sealed for a factor, or Consumed.
func (s *Server) unsealOpening(v Visit, kind, token string) (o openingState, err error) {
	if token == "" || len(token) > maxPending {
		return o, errStale()
	}
	plain, err := s.pending.Open(token, openingContext+"/"+kind)
	if err != nil {
		return o, errStale()
	}
	err = json.Unmarshal(plain, &o)
	if err != nil || !inTime(v.Now, o.Issued, pendingTTL) {
		return openingState{}, errStale()
	}
	return o, nil
}

// Password checks name and password, the usual first step. An unknown name and a wrong password
// cannot be told apart.
func (s *Server) Password(ctx context.Context, v Visit, a Attempt) (Step, error) {
	a.Kind, a.Input = kindPassword, url.Values{"password": {a.Password}}
	return s.SignIn(ctx, v, a)
}

// SignIn checks the first step of a sign-in with any factor that may begin one.
func (s *Server) SignIn(ctx context.Context, v Visit, a Attempt) (Step, error) {
	u, f, proof, err := s.checkFirst(ctx, v, a)
	if err != nil {
		return Step{}, err
	}
	si := &signIn{user: u, stay: a.Stay && s.cfg.StaySignedIn, client: a.Client}
	si.leaked = s.leaked(ctx, a)
	si.add(f.AMR()...)
	si.add(proof.AMR...)
	if identity.ACRRank(a.NeedACR) > 0 {
		si.needACR = a.NeedACR
	}
	cookie, err := s.ownCookie(ctx, v, u.ID, append([]string{a.Cookie}, a.Others...))
	if err != nil {
		return Step{}, err
	}
	if secret.WellFormed(secret.PrefixSession, cookie) {
		si.cookie = s.keys.Hash(cookie)
	}
	return s.advance(ctx, v, si)
}

// checkFirst proves the first factor, for the browser and for the password grant.
func (s *Server) checkFirst(
	ctx context.Context, v Visit, a Attempt,
) (*identity.User, Factor, Proof, error) {
	f := s.factor(a.Kind, UseFirst)
	if f == nil && a.Kind == kindPassword {
		return nil, nil, Proof{}, errNoPasswords()
	}
	if f == nil {
		return nil, nil, Proof{}, errNoFirstFactor(a.Kind)
	}
	u, proof, err := s.proveFirst(ctx, v, f, a)
	if err != nil {
		return nil, nil, Proof{}, err
	}
	if err := s.checkEnabled(ctx, v, u); err != nil {
		return nil, nil, Proof{}, err
	}
	if a.Kind == kindPassword {
		err = s.rehash(ctx, u, a.Password)
	} else {
		u, err = s.provedMailbox(ctx, v, u, proof.Mailbox)
	}
	return u, f, proof, err
}

func (s *Server) proveFirst(
	ctx context.Context, v Visit, f Factor, a Attempt,
) (*identity.User, Proof, error) {
	var nameErr error
	if a.Username != "" || a.Kind == kindPassword {
		nameErr = checkUsername(a.Username)
	}
	if err := fault.Join(nameErr, f.CheckInput(a.Input)); err != nil {
		return nil, Proof{}, err
	}
	key := identity.LoginKey(a.Username)
	state, err := s.openState(v, a.Kind, key, a.Token)
	if err != nil {
		return nil, Proof{}, err
	}
	u, err := s.userByLogin(ctx, key)
	if err != nil {
		return nil, Proof{}, err
	}
	fl := Flow{Visit: v, First: true, Alone: true, State: state, Login: key}
	proof, err := s.prove(ctx, fl, f, s.subject(u, key), a.Input)
	if err != nil {
		return nil, Proof{}, err
	}
	if proof.User != nil {
		u = proof.User
	}
	// A factor that also serves as a second one would otherwise be asked for twice and count as
	// two.
	alone := f.Use()&UseSecond != 0 && !slices.Contains(proof.AMR, identity.AMRMultiFactor)
	if u == nil || alone {
		return nil, Proof{}, fault.New(fault.Internal, "factor %s proves too little to begin with", a.Kind)
	}
	return u, proof, nil
}

// userByLogin returns the user of a login key, or nil if there is none.
func (s *Server) userByLogin(ctx context.Context, key string) (*identity.User, error) {
	if key == "" {
		return nil, nil
	}
	u, err := s.store.UserByLogin(ctx, key)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return u, nil
}

// Pending is a sign-in that waits for an answer.
type Pending struct {
	User   *identity.User
	Step   string   // StepFactor, StepNewPassword, StepEnroll or StepDeletion
	Kind   string   // at StepFactor: the kind of factor asked for
	Others []string // at StepFactor: the kinds that the person may choose instead
	Trust  bool     // at StepFactor: the person may trust the browser
	Reason string   // at StepNewPassword: ReasonExpired or another constant
	state  []byte

	// Grace is how long the step may still be skipped; 0 is not at all.
	Grace time.Duration
}

// Pending returns the sign-in that a browser is in the middle of, or Consumed.
func (s *Server) Pending(ctx context.Context, v Visit, pending string) (*Pending, error) {
	si, err := s.open(ctx, v, pending)
	if err != nil {
		return nil, err
	}
	p := &Pending{
		User:  si.user,
		Step:  si.step,
		Kind:  si.kind,
		Trust: si.step == StepFactor && s.mayTrust(si),
		state: si.state,
	}
	for _, kind := range si.choices {
		if kind != si.kind {
			p.Others = append(p.Others, kind)
		}
	}
	p.Reason, p.Grace, err = s.skippable(ctx, v, si)
	return p, err
}

// Challenge returns what the page of a sign-in at StepFactor shows. It sends nothing: that was done
// when the step was entered.
func (s *Server) Challenge(ctx context.Context, v Visit, p *Pending) (Challenge, error) {
	f := s.factor(p.Kind, UseSecond|UseSubstitute)
	if f == nil {
		return Challenge{}, errStale()
	}
	return f.Begin(ctx, Flow{Visit: v, State: p.state}, p.User)
}

// Choose enters the step of another second factor of the person, or the same one again, which sends
// its message anew.
func (s *Server) Choose(ctx context.Context, v Visit, pending, kind string) (Step, error) {
	si, err := s.open(ctx, v, pending)
	if err != nil {
		return Step{}, err
	}
	if si.step != StepFactor || !si.accepts(kind) {
		return Step{}, errStale()
	}
	if err := s.enter(ctx, v, si, kind); err != nil {
		return Step{}, err
	}
	return s.wait(ctx, v, si)
}

// Continue answers the step that a pending sign-in waits for.
func (s *Server) Continue(
	ctx context.Context, v Visit, pending, step string, in url.Values,
) (Step, error) {
	si, err := s.open(ctx, v, pending)
	if err != nil {
		return Step{}, err
	}
	if step != si.step && (step != StepSkip || si.step == StepFactor) {
		return Step{}, errStale()
	}
	switch step {
	case StepVerifyEmail:
		err = s.answerVerifyEmail(ctx, v, si, in)
	case StepNewPassword:
		err = s.answerNewPassword(ctx, v, si, in)
	case StepEnroll:
		err = s.answerEnroll(ctx, v, si, in)
	case StepSkip:
		err = s.answerSkip(ctx, v, si)
	case StepDeletion:
		err = s.answerDeletion(ctx, v, si)
	default:
		err = s.answerFactor(ctx, v, si, in)
	}
	if err != nil {
		return Step{}, err
	}
	return s.advance(ctx, v, si)
}

// ResourceOwner checks name and password for the password grant (RFC 6749 §4.3). The grant has no
// second step, so it is Denied to people who have, or must have, more than a password.
func (s *Server) ResourceOwner(
	ctx context.Context, v Visit, username, password string,
) (*identity.User, error) {
	a := Attempt{
		Username: username,
		Password: password,
		Kind:     kindPassword,
		Input:    url.Values{"password": {password}},
	}
	u, f, _, err := s.checkFirst(ctx, v, a)
	if err != nil {
		return nil, err
	}
	si := &signIn{user: u, amr: f.AMR(), noTrust: true, leaked: s.leaked(ctx, a), postponed: true}
	missing, err := s.missing(ctx, v, si)
	if err != nil {
		return nil, err
	}
	if missing == StepFactor {
		missing = si.choices[0]
	}
	if missing != "" {
		ev := v.failure(u.ID, audit.ReasonInteractionRequired)
		ev.Detail = map[string]string{"missing": missing, "by": "password_grant"}
		if err := s.recordFailureEvent(ctx, v, ev); err != nil {
			return nil, err
		}
		return nil, fault.New(fault.Denied,
			"This account cannot sign in with a password alone. Sign in through the browser.")
	}
	if err := s.resetFailures(ctx, v, u); err != nil {
		return nil, err
	}
	ev := v.event(audit.LoginSucceeded, u.ID)
	ev.Detail = map[string]string{"by": "password_grant"}
	return u, s.store.Record(ctx, append(s.administers(v, u, ev), ev)...)
}

// disabled returns the error of an account that is disabled, or locked by an administrator, whose
// reason it does not show. It is shown only after the first factor was
// proved, so that it does not reveal who has an account.
func (s *Server) disabled(ctx context.Context, v Visit, u *identity.User) error {
	reason := audit.ReasonDisabled
	if !u.Disabled {
		reason = audit.ReasonLockedByAdmin
	}
	if err := s.recordFailureEvent(ctx, v, v.failure(u.ID, reason)); err != nil {
		return err
	}
	return &fault.Error{
		Kind:   fault.Denied,
		Reason: reason,
		Text:   "This account is disabled. Ask your administrator.",
	}
}

// checkEnabled returns the error of a disabled account, unless its owner wished its deletion: then
// the sign-in goes on, to StepDeletion.
func (s *Server) checkEnabled(ctx context.Context, v Visit, u *identity.User) error {
	if !u.LockedAt.IsZero() {
		return s.disabled(ctx, v, u)
	}
	if !u.Disabled {
		return nil
	}
	deleting, err := s.deleting(ctx, u)
	if err != nil || deleting {
		return err
	}
	return s.disabled(ctx, v, u)
}

// deleting reports whether a disabled account waits for its deletion, which its owner may cancel.
func (s *Server) deleting(ctx context.Context, u *identity.User) (bool, error) {
	d, err := s.store.Deletion(ctx, u.ID)
	if fault.Is(err, fault.NotFound) {
		return false, nil
	}
	return err == nil && !d.Held, err
}

// Deletion returns when the account of a sign-in at StepDeletion will be erased.
func (s *Server) Deletion(ctx context.Context, p *Pending) (*identity.Deletion, error) {
	return s.store.Deletion(ctx, p.User.ID)
}

// answerDeletion keeps an account that was to be deleted.
func (s *Server) answerDeletion(ctx context.Context, v Visit, si *signIn) error {
	ev := v.event(audit.DeletionCancelled, si.user.ID)
	s.notices.notify(&ev, si.user, outbox.MessageDeletionCancelled, pageSecurity)
	err := s.store.CancelDeletion(ctx, si.user.ID, v.Now, ev)
	if fault.Is(err, fault.NotFound) {
		return errStale()
	}
	if err != nil {
		return err
	}
	si.user.Disabled = false
	return nil
}

// advance asks for what is missing, or ends the sign-in.
func (s *Server) advance(ctx context.Context, v Visit, si *signIn) (Step, error) {
	step, err := s.missing(ctx, v, si)
	if err != nil {
		return Step{}, err
	}
	if step == "" {
		return s.finish(ctx, v, si)
	}
	si.step, si.kind, si.state = step, "", nil
	if step == StepEnroll {
		if err := s.store.SetMFARequiredSince(ctx, si.user.ID, v.Now); err != nil {
			return Step{}, err
		}
	}
	if step == StepFactor {
		if err := s.enter(ctx, v, si, si.choices[0]); err != nil {
			return Step{}, err
		}
	}
	if step == StepVerifyEmail {
		// The person may have had as many messages as they may: the page says where to look.
		err := s.SendVerification(ctx, v, si.user)
		if err != nil && !fault.Is(err, fault.Limited) {
			return Step{}, err
		}
	}
	return s.wait(ctx, v, si)
}

// wait seals the sign-in into the step that the browser takes next.
func (s *Server) wait(ctx context.Context, v Visit, si *signIn) (step Step, err error) {
	step = Step{Next: si.step, Kind: si.kind, Pending: s.seal(v, si)}
	step.Reason, step.Grace, err = s.skippable(ctx, v, si)
	return step, err
}

// enter begins the step of a second factor. It is Limited while that is locked.
func (s *Server) enter(ctx context.Context, v Visit, si *signIn, kind string) error {
	f := s.factor(kind, UseSecond|UseSubstitute)
	if f == nil {
		return errStale()
	}
	if guessable(f) {
		who, err := s.known(ctx, v, s.subject(si.user, ""))
		if err != nil {
			return err
		}
		if err := s.checkLocked(ctx, v, who.apart(f)); err != nil {
			return err
		}
	}
	c, err := f.Begin(ctx, Flow{Visit: v, Alone: si.alone()}, si.user)
	if err != nil {
		return err
	}
	si.kind, si.state = kind, c.State
	return checkState(kind, c.State)
}

// missing returns the next step, or "", and sets the choices of StepFactor. The order matters: a
// password or a factor is set only after the second factor that the account has was proved.
func (s *Server) missing(ctx context.Context, v Visit, si *signIn) (string, error) {
	creds, err := s.store.Credentials(ctx, si.user.ID)
	if err != nil {
		return "", err
	}
	if si.factors == nil {
		si.factors = confirmedFactors(creds)
	}
	second := s.kindsOf(creds)
	si.choices = nil
	if len(second) > 0 {
		si.choices = slices.Concat(passkeyFirst(second), s.Kinds(UseSubstitute))
	}
	lacking := identity.ACRFor(si.amr) != identity.ACR2
	if lacking {
		if lacking, err = s.asksSecond(ctx, si, creds, second); err != nil {
			return "", err
		}
	}
	if lacking {
		if si.trusted, err = s.trustedBrowser(ctx, v, si); err != nil {
			return "", err
		}
	}
	switch {
	case lacking && si.trusted == "":
		return StepFactor, nil
	case si.user.Disabled:
		return StepDeletion, nil
	case si.raise:
		return "", nil
	case s.mustVerify(si.user):
		return StepVerifyEmail, nil
	case s.wantsPassword(v, si):
		return StepNewPassword, nil
	case len(second) == 0 && s.MFARequired(si.user) && !si.skipped:
		return StepEnroll, nil
	}
	return "", nil
}

func (s *Server) answerFactor(ctx context.Context, v Visit, si *signIn, in url.Values) error {
	f, err := s.claimant(si.kind, in)
	if err != nil {
		return err
	}
	fl := Flow{Visit: v, Alone: si.alone()}
	if f.Kind() == si.kind {
		fl.State = si.state
	}
	proof, err := s.prove(ctx, fl, f, s.subject(si.user, ""), in)
	if err != nil {
		return err
	}
	si.add(f.AMR()...)
	si.add(proof.AMR...)
	si.add(identity.AMRMultiFactor)
	si.trust = in.Get("trust_browser") != "" && s.mayTrust(si)
	return nil
}

func (s *Server) answerNewPassword(ctx context.Context, v Visit, si *signIn, in url.Values) error {
	c := change{password: in.Get("new_password"), field: "new_password", how: "required"}
	if old, err := s.currentSession(ctx, v, si); err != nil {
		return err
	} else if old != nil && old.User == si.user.ID {
		c.keep = old.ID
	}
	err := s.replacePassword(ctx, v, si.user, c)
	if err == nil {
		si.leaked = false
	}
	return err
}

func (s *Server) answerEnroll(ctx context.Context, v Visit, si *signIn, in url.Values) error {
	kind := in.Get("factor")
	if kinds := s.EnrollableKinds(); kind == "" && len(kinds) > 0 {
		kind = kinds[0]
	}
	codes, err := s.ConfirmEnrollment(ctx, v, si.user, kind, in)
	if fault.Is(err, fault.Conflict) { // set up meanwhile: from now on it must be proved
		return errStale()
	}
	if err != nil {
		return err
	}
	si.backup, si.factors = codes, nil // read again: the new one is among them
	si.add(s.factor(kind, UseSecond).AMR()...)
	si.add(identity.AMRMultiFactor)
	return nil
}

func (s *Server) answerSkip(ctx context.Context, v Visit, si *signIn) error {
	if si.step == StepNewPassword {
		if _, grace := s.newPassword(v, si); grace <= 0 {
			return fault.New(fault.Denied, "You have to change your password now to continue.")
		}
		si.postponed = true
		return nil
	}
	grace, err := s.Grace(ctx, v, si.user)
	if err != nil {
		return err
	}
	if grace <= 0 {
		return fault.New(fault.Denied,
			"Your account needs two-step verification now. Set it up to continue.")
	}
	si.skipped = true
	return nil
}

// finish opens the session.
func (s *Server) finish(ctx context.Context, v Visit, si *signIn) (Step, error) {
	if !si.alone() { // a passkey alone says nothing about who guesses at the password
		if err := s.resetFailures(ctx, v, si.user); err != nil {
			return Step{}, err
		}
	}
	if err := s.endByFactor(ctx, v, si); err != nil {
		return Step{}, err
	}
	if si.client != "" {
		done, err := s.openTokenSession(ctx, v, si)
		return Step{Done: done}, err
	}
	cookie := secret.NewToken(secret.PrefixSession)
	sess, err := s.openSession(ctx, v, si, s.keys.Hash(cookie))
	if err != nil {
		return Step{}, err
	}
	device, known, err := s.remember(ctx, v, si.user.ID)
	if err != nil {
		return Step{}, err
	}
	if err := s.keepTrust(ctx, v, si, known); err != nil {
		return Step{}, err
	}
	return Step{Done: &Done{
		Cookie:  cookie,
		Device:  device,
		Session: sess,
		User:    si.user,
		Backup:  si.backup,
	}}, nil
}
