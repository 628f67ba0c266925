package ui

import "time"

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

// LoginView asks for an account name and a password. Fields: `username`, `password`, and the form's
// `flow` and `next`. Posted to /login.
type LoginView struct {
	Base
	Form
	Username string        // pre-filled: the login_hint, or what was typed before
	Wait     time.Duration // until a lockout ends; 0: none, over a year: until somebody unlocks it
}

// Page names the template.
func (*LoginView) Page() PageName { return PageLogin }

// WaitWords returns what to do about the lockout.
func (v *LoginView) WaitWords() string { return waitWords(v.Wait) }

// CodeView asks for the second factor. Field: `code`, which takes a code of the authenticator app as well as a backup
// code. Posted to /login/code unless Form says otherwise.
type CodeView struct {
	Base
	Form
	Account   string        // whose second factor is asked for
	Backup    bool          // asks for a backup code: letters allowed by the phone's keyboard
	SwitchURL string        // the same page for the other kind of code; when empty, the one page asks for either
	StartURL  string        // begins the sign-in again, as somebody else; left out when empty
	Wait      time.Duration // left of a lockout; 0: none, over a year: until somebody unlocks
}

// Page names the template.
func (*CodeView) Page() PageName { return PageCode }

// WaitWords says what to do about the lockout.
func (v *CodeView) WaitWords() string { return waitWords(v.Wait) }

// EnrollView sets up an authenticator app. Fields: `code`; `skip`=1 from the skip button.
// Posted to /login/enroll unless Form says otherwise.
type EnrollView struct {
	Base
	Form
	Account   string
	URI       string    // otpauth://totp/…, drawn as a QR code by the page
	Key       string    // the same secret in base32, shown in groups of four
	Required  bool      // the account must have a second factor
	SkipUntil time.Time // when it becomes required; zero: never
	CanSkip   bool
	CancelURL string // back to where the person came from; left out when empty
}

// Page names the template.
func (*EnrollView) Page() PageName { return PageEnroll }

// KeyGroups is the key in groups of four, for typing.
func (v *EnrollView) KeyGroups() []string {
	var groups []string
	for s := v.Key; s != ""; {
		n := min(4, len(s))
		groups, s = append(groups, s[:n]), s[n:]
	}
	return groups
}

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
	Account string   // login name; password managers file the new password under it
	Reason  string   // why the person has to choose one, in a sentence
	Rules   []string // what a password must satisfy, one short line each
}

// Page names the template.
func (*NewPasswordView) Page() PageName { return PageNewPassword }

// ChooserView asks which account to use (prompt=select_account). Base.Signed is the account
// offered. Field: `choice` = continue | other. Posted to /login/choose.
type ChooserView struct {
	Base
	Form
}

// Page names the template.
func (*ChooserView) Page() PageName { return PageChooser }

// LogoutView asks whether to sign out (OpenID Connect RP-Initiated Logout §2). Base.Signed is the
// account that signs out. Field: `choice` = logout | stay. Posted to Form.Action.
type LogoutView struct {
	Base
	Form
}

// Page names the template.
func (*LogoutView) Page() PageName { return PageLogout }

// LoggedOutView confirms that the browser is signed out.
type LoggedOutView struct {
	Base
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
	Rules    []string
}

// Page names the template.
func (*SetupView) Page() PageName { return PageSetup }
