package ui

import "github.com/gatehouse-id/gatehouse/internal/identity"

// Pages of joining.
const (
	PageSignUp     PageName = "signup"
	PageConfirm    PageName = "confirm"
	PageVerify     PageName = "verify"
	PageInvitation PageName = "invitation"
	PageUndoEmail  PageName = "undo_email"
	PageEmails     PageName = "account_email"
	PageUsername   PageName = "account_username"
)

// SignUpView asks a new person for what an account needs. Fields: `email`, `name`, `username`,
// `password`. Posted to /signup.
type SignUpView struct {
	Base
	Form
	Email, Name, Username string          // what was entered before
	Domains               string          // whose addresses may sign up, separated by commas; "" is any
	Rules                 []identity.Rule // of passwords; none where people join without one
	Closed                bool            // nobody can sign up here
}

// Page names the template.
func (*SignUpView) Page() PageName { return PageSignUp }

// ConfirmView asks for the code that was mailed to a person's address. Field: `code`, or `again` to
// get the message again. Posted to Action.
type ConfirmView struct {
	Base
	Form
	Email     string
	NameTaken bool   // asks for another username
	Username  string // what was entered before
	Linked    bool   // the link of the message is open in this browser, so no code is needed
	Mailbox   bool   // messages are shown at /dev/mail
	OtherURL  string // starts again with another address
}

// Page names the template.
func (*ConfirmView) Page() PageName { return PageConfirm }

// VerifyView is what a mailed link opens that proves an address. Hidden field: `token`. Posted to
// /verify-email.
type VerifyView struct {
	Base
	Form
	Email     string
	SignIn    bool   // the person has to sign in first
	Password  bool   // asks for the password that was chosen at the sign-up: `password`
	Fresh     bool   // asks for a new password: `new_password`
	Profile   bool   // with Fresh: asks for `name` and `username`, too
	Name      string // with Profile
	Username  string // with Profile, or of a sign-up whose username is taken
	FreshURL  string // leads to the page with Fresh, or ""
	Rules     []identity.Rule
	NameTaken bool // asks for another username
}

// Page names the template.
func (*VerifyView) Page() PageName { return PageVerify }

// InvitationView hands an account over to an invited person, or to one whose passkeys are lost.
// Fields: `name`, `username`, `password`. Posted to /invitation unless Form names another address.
type InvitationView struct {
	Base
	Form
	Email          string
	Name, Username string
	Rules          []identity.Rule
	Replace        bool // a link replaces the passkeys of an account; there is no field
}

// Page names the template.
func (*InvitationView) Page() PageName { return PageInvitation }

// UndoEmailView brings a former address back. Fields: `password`, `code`, or `passkey` with
// `passkey_token`. Posted to /undo-email.
type UndoEmailView struct {
	Base
	Form
	Email   string // the former address
	Passkey *PasskeyView
}

// Page names the template.
func (*UndoEmailView) Page() PageName { return PageUndoEmail }

// EmailsView shows the addresses of an account. The form of the primary address has the fields
// `email`, `old_lost`, `current_password` and `code`, and is posted to /account/email.
type EmailsView struct {
	Base
	Email       string
	Verified    bool
	CanMail     bool   // messages can be sent
	NewEmail    string // what was entered before
	OldLost     bool   // likewise
	HasPassword bool   // forms ask for the password
	TwoStep     bool   // forms ask for a code
	Others      []OtherEmail
	Waiting     []WaitingEmail
	Mailbox     bool // messages are shown at /dev/mail
}

// Page names the template.
func (*EmailsView) Page() PageName { return PageEmails }

// OtherEmail is an address beside the primary one.
type OtherEmail struct {
	Email string
	Key   string // names the inputs of its form

	Rejected bool // mail to it was rejected for good
}

// WaitingEmail is an address that waits for its confirmation.
type WaitingEmail struct {
	Email  string
	Key    string // names the input of its form
	Change bool   // it is to be the primary one
}

// UsernameView changes the username. Fields: `username`, `current_password`, `code`. Posted to
// /account/username.
type UsernameView struct {
	Base
	Username    string
	HasPassword bool
	TwoStep     bool
}

// Page names the template.
func (*UsernameView) Page() PageName { return PageUsername }
