package ui

import "time"

// Pages for a lost second step.
const (
	PageRecover     PageName = "recover"
	PageRecoverLink PageName = "recover_link"
	PageRecoverDone PageName = "recover_done"
)

// RecoverView offers what a person in the middle of signing in can do without the second step.
// Posted to /recover.
type RecoverView struct {
	Base
	Form
	Account  string         // the account that signs in
	Possible bool           // the person may ask to turn two-step verification off
	Passkeys bool           // it makes a new passkey instead
	Mailbox  string         // where links are sent, shortened
	Wait     time.Duration  // the waiting time
	Sent     bool           // the link was just sent
	ReadyAt  time.Time      // until when a request waits; zero: none does
	Ready    bool           // the wait is over
	Others   []FactorChoice // what the person may use instead
	CodeURL  string         // back to the page that asks for the second step
	DevMail  bool           // messages are shown at /dev/mail
}

// Page names the template.
func (*RecoverView) Page() PageName { return PageRecover }

// WaitWords returns the waiting time in words.
func (v *RecoverView) WaitWords() string { return v.delay(v.Wait) }

// RecoverLinkView asks before what a link about a lost second step does. Posted to
// /recover/STAGE, where STAGE is start, finish or stop.
type RecoverLinkView struct {
	Base
	Stage    string
	Account  string        // the account that the link belongs to
	Wait     time.Duration // at start: the waiting time
	Passkeys bool          // it replaces passkeys
	Code     bool          // at finish: a code of another factor is asked for, in `code`
}

// Page names the template.
func (*RecoverLinkView) Page() PageName { return PageRecoverLink }

// WaitWords returns the waiting time in words.
func (v *RecoverLinkView) WaitWords() string { return v.delay(v.Wait) }

// RecoverDoneView says what a link about a lost second step has done.
type RecoverDoneView struct {
	Base
	Stage    string
	ReadyAt  time.Time // at start: when the wait ends
	NextURL  string    // where the person goes on
	Passkeys bool      // it replaces passkeys
}

// Page names the template.
func (*RecoverDoneView) Page() PageName { return PageRecoverDone }

// delay returns a waiting time in the page's language.
func (b Base) delay(d time.Duration) string {
	switch {
	case d > day:
		return b.N("recovery.delay.days", int((d+day-1)/day))
	case d > time.Hour:
		return b.N("recovery.delay.hours", int((d+time.Hour-1)/time.Hour))
	}
	return b.N("recovery.delay.minutes", max(1, int((d+time.Minute-1)/time.Minute)))
}
