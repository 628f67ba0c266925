package ui

// Pages of signing in with a message by mail.
const (
	PageEmail     PageName = "email"
	PageEmailCode PageName = "email_code"
	PageEmailLink PageName = "email_link"
)

// EmailView asks where to send a message to sign in with. Field: `email`. Posted to /login/email.
type EmailView struct {
	Base
	Form
	Email string // pre-filled: the login_hint, or what was typed before
}

// Page names the template.
func (*EmailView) Page() PageName { return PageEmail }

// EmailCodeView asks for the code of the message. Field: `code`; `stay_signed_in`. Posted to
// /login/email.
type EmailCodeView struct {
	Base
	Form
	Email    string // what the person typed
	HasCode  bool   // the message contains a code
	HasLink  bool   // the message contains a link
	CanStay  bool   // the page offers to stay signed in
	Mailbox  bool   // messages are shown at /dev/mail
	OtherURL string // asks for another address
}

// Page names the template.
func (*EmailCodeView) Page() PageName { return PageEmailCode }

// EmailLinkView is what the link of the message opens. Hidden field: `link`. Posted to
// /login/email.
type EmailLinkView struct {
	Base
	Form
	Account string // whom the link signs in
	Code    string // to type in the browser that asked; "" in that browser
	CanStay bool   // the page offers to stay signed in
}

// Page names the template.
func (*EmailLinkView) Page() PageName { return PageEmailLink }
