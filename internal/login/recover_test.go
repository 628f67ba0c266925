package login

import (
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func recovering(c *Config) {
	withMail(c)
	c.RecoveryDelay = 24 * time.Hour
}

// lost is alice with a second factor that she can no longer use.
type lost struct {
	*harness
	app     func() string
	pending string
	sent    int // deliveries that were processed
}

func newLost(t *testing.T, set ...func(*Config)) *lost {
	t.Helper()
	h := newHarness(t, append([]func(*Config){recovering}, set...)...)
	app, _ := h.enroll(h.alice)
	l := &lost{harness: h, app: app}
	l.begin()
	return l
}

// begin enters the password, and waits at the second step.
func (l *lost) begin() {
	l.Helper()
	step, err := l.signIn("alice", right)
	if err != nil || step.Next != StepFactor {
		l.Fatalf("%+v, %v", step, err)
	}
	l.pending = step.Pending
}

// due processes the tasks that are due now, as the outbox does, and returns how many there were.
func (l *lost) due() (n int) {
	l.Helper()
	sender := l.s.RecoverySender(func() time.Time { return l.now })
	var tasks []outbox.Delivery
	for _, e := range l.m.events {
		for _, d := range e.Deliveries {
			if d.Kind == outbox.KindRecovery {
				tasks = append(tasks, d)
			}
		}
	}
	for _, d := range tasks[l.sent:] {
		if d.NextAttemptAt.After(l.now) {
			break
		}
		testkit.Must(l.T, sender.Send(ctx, &d))
		l.sent++
		n++
	}
	return n
}

// mails returns the messages about recovery so far.
func (l *lost) mails() (all []outbox.Mail) {
	l.Helper()
	for _, e := range l.m.events {
		for i := range e.Deliveries {
			if e.Deliveries[i].Kind != outbox.KindMail {
				continue
			}
			m, err := l.s.notices.sealer.OpenMail(&e.Deliveries[i])
			testkit.Must(l.T, err)
			if strings.HasPrefix(m.Message, "recovery-") {
				all = append(all, *m)
			}
		}
	}
	return all
}

// token returns the token of the latest link of a kind.
func (l *lost) token(kind RecoveryLink) string {
	l.Helper()
	all := l.mails()
	for i := len(all) - 1; i >= 0; i-- {
		if token, ok := strings.CutPrefix(all[i].Values["link"], "https://id.example.com/recover/"+string(kind)+"?token="); ok {
			return token
		}
	}
	l.Fatalf("no link to %s in %d messages", kind, len(all))
	return ""
}

// start asks for a recovery and opens the link that starts its wait.
func (l *lost) start() {
	l.Helper()
	testkit.Must(l.T, l.s.RequestRecovery(ctx, l.visit(), l.pending))
	must(l.s.StartRecovery(ctx, l.visit(), l.token(RecoveryStart)))
}

// wait lets the delay pass.
func (l *lost) wait() {
	l.Helper()
	l.now = l.now.Add(24 * time.Hour)
	l.due()
}

// A person who has lost everything but the password and the mailbox waits, gets the notices, and
// signs in with the password.
func TestRecoveryOfALostFactor(t *testing.T) {
	l := newLost(t)
	elsewhere := l.browserSession()
	state := must(l.s.RecoveryState(ctx, l.visit(), l.pending))
	if !state.Possible || state.Mailbox != "a…@example.com" || state.Waiting != nil {
		t.Fatalf("%+v", state)
	}
	from := len(l.m.events)
	testkit.Must(t, l.s.RequestRecovery(ctx, l.visit(), l.pending))
	token := l.token(RecoveryStart)
	_, u, err := l.s.RecoveryByLink(ctx, l.visit(), RecoveryStart, token)
	testkit.Must(t, err)
	testkit.Equal(t, "account", u.ID, l.alice)
	r := must(l.s.StartRecovery(ctx, l.visit(), token))
	testkit.Equal(t, "ready", r.ReadyAt, l.now.Add(24*time.Hour))
	_, err = l.s.StartRecovery(ctx, l.visit(), token)
	l.wantErr(err, fault.NotFound, "")
	l.wantEvents(from, "RECOVERY_REQUESTED", "RECOVERY_STARTED")
	testkit.Equal(t, "notices", len(l.mails()), 2)

	// During the wait nothing can be completed, and asking again sends nothing.
	testkit.Must(t, l.s.RequestRecovery(ctx, l.visit(), l.pending))
	testkit.Equal(t, "tasks that are due", l.due(), 0)
	l.now = l.now.Add(12 * time.Hour)
	testkit.Equal(t, "tasks halfway", l.due(), 1)
	testkit.Equal(t, "notices halfway", len(l.mails()), 3)
	if m := l.mails()[2]; m.Message != outbox.MessageRecoveryWaiting || m.Values["ready"] != r.ReadyAt.Format(time.RFC3339) {
		t.Errorf("%+v", m)
	}
	l.now = l.now.Add(12 * time.Hour)
	testkit.Equal(t, "tasks at the end", l.due(), 1)
	u, err = l.s.FinishRecovery(ctx, l.visit(), l.token(RecoveryFinish))
	testkit.Must(t, err)
	testkit.Equal(t, "account", u.ID, l.alice)
	_, err = l.s.FinishRecovery(ctx, l.visit(), l.token(RecoveryFinish))
	l.wantErr(err, fault.NotFound, "")
	all := l.letters()
	testkit.Equal(t, "last message", all[len(all)-1].Message, outbox.MessageTwoStepOff)
	_, err = l.s.Resume(ctx, l.visit(), elsewhere)
	l.wantErr(err, fault.NotFound, "")
	l.wantDone(l.signIn("alice", right))
}

// browserSession opens a session of alice with both factors, and lets time pass for the next code.
func (l *lost) browserSession() string {
	l.Helper()
	step := must(l.signIn("alice", right))
	d := l.wantDone(l.answer(step.Pending, StepFactor, "code", l.app()))
	l.now = l.now.Add(time.Minute)
	return d.Cookie
}

// Where the policy requires a second step, it is set up anew.
func TestRecoveryLeadsToANewFactor(t *testing.T) {
	l := newLost(t, func(c *Config) { c.RequireMFA = true })
	l.start()
	l.wait()
	must(l.s.FinishRecovery(ctx, l.visit(), l.token(RecoveryFinish)))
	if step := must(l.signIn("alice", right)); step.Next != StepEnroll {
		t.Errorf("%+v", step)
	}
}

// The owner refuses by the link of the notice, in a session, or by using the factor.
func TestRecoveryIsRefused(t *testing.T) {
	for name, refuse := range map[string]func(l *lost){
		"link": func(l *lost) {
			stop := l.token(RecoveryStop)
			_, _, err := l.s.RecoveryByLink(ctx, l.visit(), RecoveryStop, stop)
			testkit.Must(l.T, err) // looking changes nothing
			testkit.Must(l.T, l.s.StopRecovery(ctx, l.visit(), stop))
			l.wantErr(l.s.StopRecovery(ctx, l.visit(), stop), fault.NotFound, "")
		},
		"session": func(l *lost) {
			testkit.Must(l.T, l.s.RefuseRecovery(ctx, l.visit(), l.get(l.alice)))
			testkit.Must(l.T, l.s.RefuseRecovery(ctx, l.visit(), l.get(l.alice)))
		},
		"factor":   func(l *lost) { l.browserSession() },
		"password": func(l *lost) { testkit.Must(l.T, l.s.SetPassword(ctx, l.visit(), l.get(l.alice), newWord)) },
		"new factor": func(l *lost) {
			testkit.Must(l.T, l.s.RemoveFactor(ctx, l.visit(), l.get(l.alice), kindTOTP))
			l.enroll(l.alice)
		},
		"disabled": func(l *lost) { l.m.users[l.alice].Disabled = true },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLost(t)
			l.now = l.now.Add(time.Minute)
			l.begin()
			l.start()
			refuse(l)
			if w := must(l.s.WaitingRecovery(ctx, l.visit(), l.get(l.alice))); w != nil && name != "disabled" {
				t.Errorf("it still waits: %+v", w)
			}
			n := len(l.mails())
			l.wait()
			testkit.Equal(t, "messages after the wait", len(l.mails()), n)
		})
	}
}

// A request that was refused after its wait, while the link to complete it is on its way, is over.
func TestRecoveryIsRefusedAfterItsWait(t *testing.T) {
	l := newLost(t)
	l.start()
	l.wait()
	finish := l.token(RecoveryFinish)
	testkit.Must(t, l.s.RefuseRecovery(ctx, l.visit(), l.get(l.alice)))
	_, err := l.s.FinishRecovery(ctx, l.visit(), finish)
	l.wantErr(err, fault.NotFound, "")
	if ev := l.m.events[len(l.m.events)-1]; ev.Type != audit.RecoveryRefused || ev.Detail["by"] != "session" {
		t.Errorf("%+v", ev)
	}
}

// Links do only what they are for, in their time, once.
func TestRecoveryLinks(t *testing.T) {
	l := newLost(t)
	testkit.Must(t, l.s.RequestRecovery(ctx, l.visit(), l.pending))
	start := l.token(RecoveryStart)
	for _, bad := range []string{"", "x", newLinkToken()} {
		_, err := l.s.StartRecovery(ctx, l.visit(), bad)
		l.wantErr(err, fault.NotFound, "")
	}
	_, err := l.s.FinishRecovery(ctx, l.visit(), start)
	l.wantErr(err, fault.NotFound, "")
	l.wantErr(l.s.StopRecovery(ctx, l.visit(), start), fault.NotFound, "")
	l.now = l.now.Add(time.Hour)
	_, err = l.s.StartRecovery(ctx, l.visit(), start)
	l.wantErr(err, fault.NotFound, "")

	l.begin()
	testkit.Must(t, l.s.RequestRecovery(ctx, l.visit(), l.pending))
	var wg sync.WaitGroup
	var won atomic.Int64
	token, visit := l.token(RecoveryStart), l.visit()
	for range 20 {
		wg.Go(func() {
			if _, err := l.s.StartRecovery(ctx, visit, token); err == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	testkit.Equal(t, "starts", won.Load(), 1)
	l.wait()
	l.begin()
	testkit.Must(t, l.s.RequestRecovery(ctx, l.visit(), l.pending)) // asks for the last link again
	finish := l.token(RecoveryFinish)
	l.now = l.now.Add(7 * 24 * time.Hour)
	_, err = l.s.FinishRecovery(ctx, l.visit(), finish)
	l.wantErr(err, fault.NotFound, "")
}

// Asking again ends no link that was mailed: both links are mailed once more. A link of a request
// that was refused does not become one of the next.
func TestRecoveryLinksOutliveAskingAgain(t *testing.T) {
	l := newLost(t)
	ask := func() {
		t.Helper()
		l.begin()
		n := len(l.mails())
		testkit.Must(t, l.s.RequestRecovery(ctx, l.visit(), l.pending))
		testkit.Equal(t, "messages", len(l.mails()), n+1)
	}
	ask()
	start := l.token(RecoveryStart)
	l.now = l.now.Add(59 * time.Minute)
	ask()
	testkit.Equal(t, "first link", l.token(RecoveryStart), start)
	l.now = l.now.Add(59 * time.Minute) // it lives as long as the message that came last says
	r := must(l.s.StartRecovery(ctx, l.visit(), start))
	testkit.Equal(t, "ready", r.ReadyAt, l.now.Add(24*time.Hour))
	l.wait()
	finish := l.token(RecoveryFinish)
	ask()
	testkit.Equal(t, "second link", l.token(RecoveryFinish), finish)
	testkit.Must(t, l.s.RefuseRecovery(ctx, l.visit(), l.get(l.alice)))

	ask()
	_, err := l.s.StartRecovery(ctx, l.visit(), start)
	l.wantErr(err, fault.NotFound, "")
	must(l.s.StartRecovery(ctx, l.visit(), l.token(RecoveryStart)))
	l.wait()
	_, err = l.s.FinishRecovery(ctx, l.visit(), finish)
	l.wantErr(err, fault.NotFound, "")
	finish = l.token(RecoveryFinish)
	l.begin()
	testkit.Must(t, l.s.RequestRecovery(ctx, l.visit(), l.pending))
	must(l.s.FinishRecovery(ctx, l.visit(), finish))
}

// Only who has proved the password may ask, where the operator lets them, and not without end.
func TestRecoveryIsNotForEverybody(t *testing.T) {
	for name, set := range map[string]func(*Config){
		"off":     func(c *Config) { c.RecoveryDelay = 0 },
		"no mail": func(c *Config) { c.Mail = false },
	} {
		l := newLost(t, set)
		if state := must(l.s.RecoveryState(ctx, l.visit(), l.pending)); state.Possible {
			t.Errorf("%s: possible", name)
		}
		l.wantErr(l.s.RequestRecovery(ctx, l.visit(), l.pending), fault.Denied, "")
	}
	l := newLost(t)
	l.wantErr(l.s.RequestRecovery(ctx, l.visit(), "forged"), fault.Consumed, "")
	for range 10 {
		testkit.Must(t, l.s.RequestRecovery(ctx, l.visit(), l.pending))
	}
	testkit.Equal(t, "messages", len(l.mails()), 3)
	must(l.s.StartRecovery(ctx, l.visit(), l.token(RecoveryStart))) // the last link works

	// A step-up is not a sign-in: the session is already there.
	cookie := l.browserSession()
	step, err := l.s.BeginStepUp(ctx, l.visit(), cookie, identity.ACR2)
	testkit.Must(t, err)
	l.wantErr(l.s.RequestRecovery(ctx, l.visit(), step.Pending), fault.Denied, "")
}

// Guesses at the second factor still count after a recovery, and during its wait.
func TestRecoveryForgetsNoGuesses(t *testing.T) {
	l := newLost(t)
	for range 4 {
		_, err := l.s.Continue(ctx, l.visit(), l.pending, StepFactor, url.Values{"code": {"000000"}})
		l.wantErr(err, fault.Denied, "")
	}
	l.start()
	_, err := l.s.Continue(ctx, l.visit(), l.pending, StepFactor, url.Values{"code": {"000000"}})
	l.wantErr(err, fault.Limited, "")
}

// A mailbox alone does not remove a second factor: a password that was set by a mailed link counts
// for a recovery only after the factor was proved again.
func TestRecoveryNeedsMoreThanTheMailbox(t *testing.T) {
	l := newLost(t)
	reset := func(email, password string) {
		t.Helper()
		token := newLinkToken()
		link := &Link{
			Kind:      LinkPassword,
			User:      l.alice,
			Email:     email,
			CreatedAt: l.now,
			ExpiresAt: l.now.Add(time.Hour),
		}
		testkit.Must(t, l.m.PutLink(ctx, l.s.keys.Hash(token), link))
		must(l.s.UsePasswordLink(ctx, l.visit(), token, password))
	}
	possible := func(password string) bool {
		t.Helper()
		step, err := l.signIn("alice", password)
		testkit.Must(t, err)
		l.pending = step.Pending
		return must(l.s.RecoveryState(ctx, l.visit(), l.pending)).Possible
	}

	reset(l.get(l.alice).Email, chosen)
	for range 3 { // no wait is long enough
		testkit.Equal(t, "possible after a mailed link", possible(chosen), false)
		l.wantErr(l.s.RequestRecovery(ctx, l.visit(), l.pending), fault.Denied, "")
		l.now = l.now.Add(400 * 24 * time.Hour)
	}
	testkit.Equal(t, "messages", len(l.mails()), 0)

	testkit.Equal(t, "possible before the factor", possible(chosen), false)
	l.wantDone(l.s.Continue(ctx, l.visit(), l.pending, StepFactor, url.Values{"code": {l.app()}}))
	testkit.Equal(t, "possible after the factor", possible(chosen), true)

	reset("", right+" again") // an administrator vouches for whoever got this link
	testkit.Equal(t, "possible after an administrator's link", possible(right+" again"), true)
}
