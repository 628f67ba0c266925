package ui

import (
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// Pages of signing in and out.
const (
	PageLogin       PageName = "login"
	PageCode        PageName = "code"
	PageEnroll      PageName = "enroll"
	PageBackupCodes PageName = "backup_codes"
	PageNewPassword PageName = "new_password"
	PageChooser     PageName = "chooser"
	PageLogout      PageName = "logout"
	PageLoggedOut   PageName = "logged_out"
	PageSetup       PageName = "setup"
)

// LoginView asks for an account name and a password. Fields: `username`, `password`,
// `stay_signed_in`, and the form's `flow` and `next`. Posted to /login.
type LoginView struct {
	Base
	Form
	Username string        // pre-filled: the login_hint, or what was typed before
	Password bool          // people sign in with passwords
	EmailURL string        // sends a message to sign in with, or ""
	Passkey  *PasskeyView  // people sign in with passkeys, or nil
	Forget   string        // JSON of a passkey that the device may forget, or ""
	OtherURL string        // leaves the account that is filled in; "" if none is
	CanStay  bool          // the page offers to stay signed in
	Stay     bool          // its check box is checked
	Wait     time.Duration // until a lockout ends; 0: none, over a year: until somebody unlocks it

	SignUpURL  string // makes an account, or ""
	Waiting    string // the address whose sign-up waits in this browser, or ""
	WaitingURL string // confirms it
}

// Page names the template.
func (*LoginView) Page() PageName { return PageLogin }

// Autocomplete returns what browsers fill in for the name, as an option of a field: passkeys, too
// (HTML, autofill; `webauthn` comes last).
func (v *LoginView) Autocomplete() string {
	if v.Passkey != nil {
		return "autocomplete=username webauthn"
	}
	return "autocomplete=username"
}

// PasskeyView is a question to an authenticator.
type PasskeyView struct {
	Options string // JSON for the browser's credential API
	Token   string // carried by the page and sent back with the answer
}

// WaitWords returns what to do about the lockout.
func (v *LoginView) WaitWords() string { return v.waitWords(v.Wait) }

// CodeView asks for a second factor. Fields: the inputs of the factor's template, and
// `trust_browser`; `choose` with another kind switches to that one. Posted to /login/code.
type CodeView struct {
	Base
	Form
	Account    string         // the account that signs in
	Kind       string         // names the factor's template
	SentTo     string         // where a message was sent, shortened, or ""
	Options    string         // JSON for the browser's credential API, or ""
	Others     []FactorChoice // what the person may use instead
	StartURL   string         // starts the sign-in again, with another account
	RecoverURL string         // for people who cannot use any of the factors
	TrustFor   time.Duration  // for how long the browser may be trusted; 0: it may not
	Trust      bool           // the check box to trust it is checked
	Wait       time.Duration  // until a lockout ends; 0: none, over a year: until somebody unlocks it
}

// Page names the template.
func (*CodeView) Page() PageName { return PageCode }

// TrustDays returns for how many days the browser may be trusted.
func (v *CodeView) TrustDays() int { return int(v.TrustFor / day) }

// WaitWords returns what to do about the lockout.
func (v *CodeView) WaitWords() string { return v.waitWords(v.Wait) }

// EnrollView sets up a second factor. Fields: the inputs of the factor's template; the hidden
// fields `factor` and `enrollment`; `skip`=1 from the skip button. Posted to /login/enroll unless
// Form names another address.
type EnrollView struct {
	Base
	Form
	Account   string
	Kind      string         // names the factor's template
	URL       string         // drawn as a QR code, or ""
	Secret    string         // the key to type instead, in groups separated by spaces, or ""
	SentTo    string         // where a message was sent, shortened, or ""
	Options   string         // JSON for the browser's credential API, or ""
	Others    []FactorChoice // what can be set up instead
	Required  bool           // the account must have a second factor
	SkipUntil time.Time      // when it becomes required; zero: never
	CanSkip   bool
	CancelURL string // the page that the person came from; left out when empty
}

// Page names the template.
func (*EnrollView) Page() PageName { return PageEnroll }

// SecretGroups returns the groups that Secret consists of.
func (v *EnrollView) SecretGroups() []string { return strings.Fields(v.Secret) }

// BackupCodesView shows new backup codes, once.
type BackupCodesView struct {
	Base
	Account string
	Codes   []string
	DoneURL string // the page to continue with
}

// Page names the template.
func (*BackupCodesView) Page() PageName { return PageBackupCodes }

// NewPasswordView asks for a new password. Fields: `new_password`, `confirm_password`. Posted to
// /login/password unless Form names another address.
type NewPasswordView struct {
	Base
	Form
	Account string // login name; password managers file the new password under it
	Reason  string // why the person has to choose one, in a sentence
	Rules   []identity.Rule

	SkipUntil time.Time // until when the change can be put off, by `skip`=1; zero: it cannot
}

// Page names the template.
func (*NewPasswordView) Page() PageName { return PageNewPassword }

// ChooserView asks which account to use. Field: `choice` = an account's ID | other. Posted to
// /chooser; `account` to /chooser/forget removes one.
type ChooserView struct {
	Base
	Form
	Accounts []AccountChoice
}

// AccountChoice is an account that a browser offers.
type AccountChoice struct {
	ID       string // names it among the browser's accounts
	Label    string // name, username or email address
	Login    string // second line below the label; may be empty
	SignedIn bool
	Current  bool   // it is in use
	Picture  string // the address of the person's own picture on this server, or ""

	user  identity.UserID
	typed string // what its person types to sign in
}

// Mark returns the account's initials.
func (c AccountChoice) Mark() string { return Initials(c.Label) }

// Page names the template.
func (*ChooserView) Page() PageName { return PageChooser }

// LogoutView asks whether to sign out (OpenID Connect RP-Initiated Logout §2). Base.Signed is the
// account that signs out. Field: `choice` = logout | stay. Posted to Form.Action.
type LogoutView struct {
	Base
	Form
	Several    bool // the browser is signed in to other accounts, too
	Remembered bool // the browser remembers the account
}

// Page names the template.
func (*LogoutView) Page() PageName { return PageLogout }

// LoggedOutView confirms that the browser is signed out.
type LoggedOutView struct {
	Base
	Others bool // the browser is still signed in to other accounts
}

// Page names the template.
func (*LoggedOutView) Page() PageName { return PageLoggedOut }

// SetupView creates the first administrator. Fields: `token`, `email`, `username`, `name`,
// `password`. Posted to /setup.
type SetupView struct {
	Base
	Token    string // of the one-time link
	Email    string
	Username string
	Name     string
	Rules    []identity.Rule
}

// Page names the template.
func (*SetupView) Page() PageName { return PageSetup }
