package ui

import "time"

// SignInURL returns the sign-in page, which goes on where the person came from.
func (f Form) SignInURL() string { return with("/login", "flow", f.Flow, "next", f.Next) }

// ForgotURL returns the page for a forgotten password, which leads back to the same sign-in.
func (f Form) ForgotURL() string { return with("/forgot-password", "flow", f.Flow, "next", f.Next) }

// Pages of recovering an account, and of mail in development.
const (
	PageForgot     PageName = "forgot"
	PageForgotSent PageName = "forgot_sent"
	PageMailbox    PageName = "mailbox"
	PageLetter     PageName = "letter"
)

// ForgotView asks whose password is forgotten, or whose passkeys are lost. Field: `email`. Posted
// to /forgot-password.
type ForgotView struct {
	Base
	Form
	Email    string        // pre-filled
	Passkeys bool          // passkeys are lost, not a password
	Wait     time.Duration // with Passkeys: the waiting time
	Closed   bool          // the server cannot help
}

// Page names the template.
func (*ForgotView) Page() PageName { return PageForgot }

// WaitWords returns the waiting time in words.
func (v *ForgotView) WaitWords() string { return v.delay(v.Wait) }

// ForgotSentView says that a link was sent, if there is such an account.
type ForgotSentView struct {
	Base
	Form
	Email    string // what the person typed
	Passkeys bool   // passkeys are lost, not a password
	Mailbox  bool   // messages are shown at /dev/mail
}

// Page names the template.
func (*ForgotSentView) Page() PageName { return PageForgotSent }

// MailboxView lists the messages that a development server has sent.
type MailboxView struct {
	Base
	Letters []LetterLine // newest first
}

// Page names the template.
func (*MailboxView) Page() PageName { return PageMailbox }

// LetterLine is one message in a list.
type LetterLine struct {
	URL, Subject, To string
	At               time.Time
}

// LetterView shows a message that a development server has sent.
type LetterView struct {
	Base
	Subject, To string
	At          time.Time
	Parts       []LetterPart // its text, with the links to click
	HTMLURL     string       // shows the message as a mail program does
}

// Page names the template.
func (*LetterView) Page() PageName { return PageLetter }

// LetterPart is a piece of a message's text: words, or an address.
type LetterPart struct {
	Text string
	Link bool
}
