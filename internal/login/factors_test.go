package login

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// mailFactor sends a code in Begin and remembers it in the browser. It is the shape of every factor
// that needs a message: emailed codes, text messages.
type mailFactor struct {
	store Store
	sent  *[]string // the codes, in the order in which they were sent
}

func (mailFactor) Kind() string  { return "mail" }
func (mailFactor) AMR() []string { return []string{"otp"} }
func (mailFactor) Use() Use      { return UseSecond }
func (mailFactor) Serial() bool  { return true }

func (mailFactor) Enrolled(creds []identity.Credential) bool {
	return slices.ContainsFunc(creds, func(c identity.Credential) bool {
		return c.Kind == "mail" && !c.ConfirmedAt.IsZero()
	})
}

func (f mailFactor) Begin(_ context.Context, fl Flow, u *identity.User) (Challenge, error) {
	c := Challenge{SentTo: u.Email[:1] + "…", State: fl.State}
	if fl.State == nil {
		c.State = f.send()
	}
	return c, nil
}

func (f mailFactor) send() []byte {
	code := "m-" + secret.NewToken("")[:8]
	*f.sent = append(*f.sent, code)
	return []byte(code)
}

func (mailFactor) CheckInput(in url.Values) error {
	if !strings.HasPrefix(in.Get("code"), "m-") {
		return fault.InvalidField("code", "Enter the code from the message.")
	}
	return nil
}

func (mailFactor) Check(_ context.Context, fl Flow, _ *identity.User, in url.Values) (Proof, error) {
	if fl.State == nil || !secret.Equal(string(fl.State), in.Get("code")) {
		return Proof{Reason: audit.ReasonWrongCode, Text: "Incorrect code."}, nil
	}
	return Proof{OK: true}, nil
}

func (f mailFactor) Enroll(_ context.Context, fl Flow, u *identity.User) (Enrollment, error) {
	e := Enrollment{SentTo: u.Email[:1] + "…", State: fl.State}
	if fl.State == nil {
		e.State = f.send()
	}
	return e, nil
}

func (f mailFactor) Confirm(ctx context.Context, fl Flow, u *identity.User, in url.Values) (Proof, error) {
	proof, err := f.Check(ctx, fl, u, in)
	if err != nil || !proof.OK {
		return proof, err
	}
	return proof, f.store.PutCredential(ctx, &identity.Credential{
		ID: identity.CredentialID(secret.NewID(fl.Now)), User: u.ID, Kind: "mail", CreatedAt: fl.Now, ConfirmedAt: fl.Now,
	}, fl.event(audit.MFAEnabled, u.ID))
}

// keyFactor begins a sign-in without a name or a password: the input says whose it is. It is the
// shape of a passkey, which proves possession and a fingerprint or PIN at once.
type keyFactor struct {
	owner func() *identity.User
	amr   []string
}

func (keyFactor) Kind() string                        { return "key" }
func (keyFactor) AMR() []string                       { return []string{"hwk"} }
func (keyFactor) Use() Use                            { return UseFirst | UseSecond }
func (keyFactor) Enrolled([]identity.Credential) bool { return false }
func (keyFactor) Serial() bool                        { return false }

func (keyFactor) Begin(_ context.Context, _ Flow, _ *identity.User) (Challenge, error) {
	return Challenge{State: []byte("challenge"), Options: `{"challenge":"…"}`}, nil
}

func (keyFactor) CheckInput(in url.Values) error {
	if in.Get("credential") == "" {
		return fault.InvalidField("credential", "Use your key.")
	}
	return nil
}

func (f keyFactor) Check(_ context.Context, fl Flow, _ *identity.User, in url.Values) (Proof, error) {
	proof := Proof{User: f.owner(), AMR: f.amr, Reason: "wrong_key", Text: "Incorrect key."}
	proof.OK = in.Get("credential") == "signed:"+string(fl.State)
	return proof, nil
}

// enrollMail sets up the mail factor of a user.
func (h *harness) enrollMail(id identity.UserID) *[]string {
	h.Helper()
	sent := &[]string{}
	h.s.factors = append(h.s.factors, mailFactor{store: h.m, sent: sent})
	u := h.get(id)
	e := must(h.s.Enroll(ctx, h.visit(), u, "mail", ""))
	again := must(h.s.Enroll(ctx, h.visit(), u, "mail", e.Token)) // the page is shown again
	if len(*sent) != 1 || e.Token == "" || e.SentTo != "a…" {
		h.Fatalf("%d messages, enrollment %+v", len(*sent), e)
	}
	in := url.Values{"code": {"m-wrong"}, "enrollment": {again.Token}}
	_, err := h.s.ConfirmEnrollment(ctx, h.visit(), u, "mail", in)
	h.wantErr(err, fault.Denied, "Incorrect")
	bob := h.get(h.user("bob", right))
	in.Set("code", (*sent)[0])
	_, err = h.s.ConfirmEnrollment(ctx, h.visit(), bob, "mail", in)
	h.wantErr(err, fault.Denied, "Incorrect") // another person's token
	if _, err := h.s.ConfirmEnrollment(ctx, h.visit(), u, "mail", in); err != nil {
		h.Fatal(err)
	}
	*sent = nil
	return sent
}

func TestAFactorSendsWhenItsStepIsEntered(t *testing.T) {
	h := newHarness(t)
	sent := h.enrollMail(h.alice)
	st, err := h.signIn("alice", right)
	p := h.wantStep(st, StepFactor, err)
	if st.Kind != "mail" || len(*sent) != 1 {
		t.Fatalf("the step is %q, %d messages were sent", st.Kind, len(*sent))
	}
	for range 3 { // the page is shown and shown again
		w := must(h.s.Pending(ctx, h.visit(), p))
		if c := must(h.s.Challenge(ctx, h.visit(), w)); c.SentTo != "a…" {
			t.Fatalf("challenge %+v", c)
		}
	}
	_, err = h.answer(p, StepFactor, "code", "nonsense")
	h.wantErr(err, fault.Invalid, "from the message")
	_, err = h.answer(p, StepFactor, "code", "m-wrong")
	h.wantErr(err, fault.Denied, "Incorrect")
	if len(*sent) != 1 {
		t.Fatalf("%d messages were sent", len(*sent))
	}
	st = must(h.s.Choose(ctx, h.visit(), p, "mail")) // "send it again"
	if len(*sent) != 2 {
		t.Fatalf("%d messages were sent", len(*sent))
	}
	_, err = h.answer(st.Pending, StepFactor, "code", (*sent)[0])
	h.wantErr(err, fault.Denied, "Incorrect")
	d := h.wantDone(h.answer(st.Pending, StepFactor, "code", (*sent)[1]))
	if !slices.Equal(d.Session.AMR, []string{"pwd", "otp", "mfa"}) || d.Session.ACR != identity.ACR2 {
		t.Fatalf("session %+v", d.Session)
	}
}

func TestAPersonChoosesAmongSeveralFactors(t *testing.T) {
	h := newHarness(t)
	app, backup := h.enroll(h.alice)
	sent := h.enrollMail(h.alice)
	f := must(h.s.Factors(ctx, h.alice))
	if !f.Has(kindTOTP) || !f.Has("mail") || f.Only("mail") || f.BackupLeft != 10 {
		t.Fatalf("factors %+v", f)
	}
	st, err := h.signIn("alice", right)
	p := h.wantStep(st, StepFactor, err)
	w := must(h.s.Pending(ctx, h.visit(), p))
	if w.Kind != kindTOTP || !slices.Equal(w.Others, []string{"mail", kindBackup}) || len(*sent) != 0 {
		t.Fatalf("asks for %s, or else %q, after %d messages", w.Kind, w.Others, len(*sent))
	}
	_, err = h.s.Choose(ctx, h.visit(), p, "password")
	h.wantErr(err, fault.Consumed, "")
	_, err = h.s.Choose(ctx, h.visit(), p, "carrier pigeon")
	h.wantErr(err, fault.Consumed, "")

	mail := must(h.s.Choose(ctx, h.visit(), p, "mail")).Pending
	if w := must(h.s.Pending(ctx, h.visit(), mail)); w.Kind != "mail" || len(*sent) != 1 {
		t.Fatalf("asks for %s, after %d messages", w.Kind, len(*sent))
	}
	_, err = h.answer(mail, StepFactor, "code", app()) // of the factor that was not chosen
	h.wantErr(err, fault.Invalid, "from the message")
	h.wantDone(h.answer(mail, StepFactor, "code", (*sent)[0]))
	h.wantDone(h.answer(mail, StepFactor, "code", backup[0])) // stands in for any of them
	h.wantDone(h.answer(p, StepFactor, "code", app()))

	code := must(h.s.Choose(ctx, h.visit(), mail, kindBackup)).Pending
	_, err = h.answer(code, StepFactor, "code", "hello")
	h.wantErr(err, fault.Invalid, "backup codes")
	h.wantDone(h.answer(code, StepFactor, "code", backup[1]))

	// A factor that was removed meanwhile is asked for no longer; the other one still is.
	if err := h.s.RemoveFactor(ctx, h.visit(), h.get(h.alice), kindTOTP); err != nil {
		t.Fatal(err)
	}
	_, err = h.answer(p, StepFactor, "code", app())
	h.wantErr(err, fault.Consumed, "")
	st, err = h.signIn("alice", right)
	h.wantStep(st, StepFactor, err)
	if f := must(h.s.Factors(ctx, h.alice)); st.Kind != "mail" || !f.Only("mail") || f.BackupLeft != 8 {
		t.Fatalf("asks for %s, factors %+v", st.Kind, f)
	}
}

func TestAFactorMayBeginASignIn(t *testing.T) {
	h := newHarness(t)
	key := keyFactor{owner: func() *identity.User { return h.get(h.alice) }, amr: []string{"user", "mfa"}}
	h.s.factors = append(h.s.factors, key)
	h.s.methods = append(h.s.methods, key.Kind())
	o := must(h.s.Open(ctx, h.visit(), "key", ""))
	if o.Challenge.Options == "" || o.Token == "" {
		t.Fatalf("opening %+v", o)
	}
	attempt := Attempt{Kind: "key", Token: o.Token, Input: url.Values{"credential": {"signed:challenge"}}}
	d := h.wantDone(h.s.SignIn(ctx, h.visit(), attempt))
	if d.User.ID != h.alice || !slices.Equal(d.Session.AMR, []string{"hwk", "user", "mfa"}) || d.Session.ACR != identity.ACR2 {
		t.Fatalf("%+v", d.Session)
	}

	bad := attempt
	bad.Input = url.Values{}
	_, err := h.s.SignIn(ctx, h.visit(), bad)
	h.wantErr(err, fault.Invalid, "key")
	bad = attempt
	bad.Username = "bob" // the challenge was made for nobody in particular
	_, err = h.s.SignIn(ctx, h.visit(), bad)
	h.wantErr(err, fault.Consumed, "")
	h.now = h.now.Add(pendingTTL)
	_, err = h.s.SignIn(ctx, h.visit(), attempt)
	h.wantErr(err, fault.Consumed, "")
	_, err = h.s.SignIn(ctx, h.visit(), Attempt{Kind: kindTOTP, Username: "alice"})
	h.wantErr(err, fault.NotFound, "totp")
	_, err = h.s.Open(ctx, h.visit(), "carrier pigeon", "alice")
	h.wantErr(err, fault.NotFound, "pigeon")

	// Failures count against the owner of the key, and only against them.
	attempt.Token = must(h.s.Open(ctx, h.visit(), "key", "")).Token
	attempt.Input = url.Values{"credential": {"forged"}}
	for range 5 {
		_, err = h.s.SignIn(ctx, h.visit(), attempt)
	}
	h.wantErr(err, fault.Limited, "")
	if len(h.m.locks) != 1 || !h.m.locks[LockKey(h.alice)].Locked(h.now) {
		t.Fatalf("locks %v", h.m.locks)
	}
	attempt.Input = url.Values{"credential": {"signed:challenge"}}
	_, err = h.s.SignIn(ctx, h.visit(), attempt)
	h.wantErr(err, fault.Limited, "") // locked, although the name was not known before the check
}

// A key that proves possession alone would be asked for twice and count as two factors.
func TestASecondFactorDoesNotBeginASignInAlone(t *testing.T) {
	h := newHarness(t)
	h.s.factors = append(h.s.factors, keyFactor{owner: func() *identity.User { return h.get(h.alice) }})
	h.s.methods = append(h.s.methods, "key")
	in := url.Values{"credential": {"signed:"}}
	_, err := h.s.SignIn(ctx, h.visit(), Attempt{Kind: "key", Input: in})
	h.wantErr(err, fault.Internal, "")
	if len(h.m.sessions) != 0 {
		t.Fatal("a session was opened")
	}
}

func TestAFactorsStateIsBounded(t *testing.T) {
	h := newHarness(t)
	h.enrollMail(h.alice)
	h.s.factors = []Factor{h.s.factors[0], greedyFactor{mailFactor{store: h.m}}}
	_, err := h.signIn("alice", right)
	h.wantErr(err, fault.Internal, "")
	_, err = h.s.Enroll(ctx, h.visit(), h.get(h.alice), "mail", "")
	h.wantErr(err, fault.Internal, "")
}

// greedyFactor wants to store more in the browser than a cookie can hold.
type greedyFactor struct{ mailFactor }

func (greedyFactor) Begin(context.Context, Flow, *identity.User) (Challenge, error) {
	return Challenge{State: make([]byte, maxState+1)}, nil
}

func (greedyFactor) Enroll(context.Context, Flow, *identity.User) (Enrollment, error) {
	return Enrollment{State: make([]byte, maxState+1)}, nil
}

func TestTheLargestStateFitsTheCookie(t *testing.T) {
	h := newHarness(t)
	sealed := h.s.seal(h.visit(), &signIn{
		user:    h.get(h.alice),
		step:    StepFactor,
		kind:    strings.Repeat("k", 32),
		state:   make([]byte, maxState),
		amr:     []string{"pwd", "hwk", "user", "otp", "mfa"},
		needACR: identity.ACR2,
		cookie:  h.s.keys.Hash("x"),
		raise:   true,
		skipped: true,
	})
	if len(sealed) > maxPending {
		t.Fatalf("%d bytes", len(sealed))
	}
}

func TestAnEnrollmentExpires(t *testing.T) {
	h := newHarness(t)
	sent := &[]string{}
	h.s.factors = append(h.s.factors, mailFactor{store: h.m, sent: sent})
	u := h.get(h.alice)
	e := must(h.s.Enroll(ctx, h.visit(), u, "mail", ""))
	h.now = h.now.Add(enrollTTL + time.Second)
	in := url.Values{"code": {(*sent)[0]}, "enrollment": {e.Token}}
	_, err := h.s.ConfirmEnrollment(ctx, h.visit(), u, "mail", in)
	h.wantErr(err, fault.Denied, "Incorrect")
	_, err = h.s.Enroll(ctx, h.visit(), u, kindBackup, "")
	h.wantErr(err, fault.NotFound, kindBackup)
	h.wantErr(h.s.RemoveFactor(ctx, h.visit(), h.get(h.alice), kindPassword), fault.NotFound, kindPassword)
}
