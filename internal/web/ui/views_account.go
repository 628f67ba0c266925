package ui

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

// Pages of one's own account.
const (
	PageAccount               PageName = "account"
	PageAccountProfile        PageName = "account_profile"
	PageAccountSecurity       PageName = "account_security"
	PageAccountSessions       PageName = "account_sessions"
	PageAccountAuthorizations PageName = "account_authorizations"
	PageAccountConfirm        PageName = "account_confirm"

	PageAccountPasskeys      PageName = "account_passkeys"
	PageAccountPasskeyRename PageName = "account_passkey_rename"
	PageAccountPasskeyRemove PageName = "account_passkey_remove"
)

// AccountView is the overview.
type AccountView struct {
	Base
	Email             string
	EmailVerified     bool
	PasswordChangedAt time.Time // zero: unknown
	PasswordEnd       time.Time // when the password expires, if that is near or past; else zero
	PasswordMust      time.Time // with PasswordEnd: until when the change can be put off
	SecondFactor      bool      // a second factor is set up
	BackupCodesLeft   int
	Required          bool      // the account must have a second factor
	RequiredBy        time.Time // when the days of grace end; zero: at the next sign-in
	Sessions          int       // signed-in browsers
	Grants            int       // apps and devices with access
	Consents          int       // connected apps
	OnlyPasskeys      int       // the passkeys of a person who has no password to sign in with; else 0
	Offer             bool      // to make a passkey, after a sign-in with the password
	Administers       bool      // the console is open to the person
}

// Page names the template.
func (*AccountView) Page() PageName { return PageAccount }

// AccountProfileView edits the claims about a person (OpenID Connect Core §5.1). The fields are
// named like the claims: `name`, `given_name`, `middle_name`, `family_name`, `nickname`,
// `birthdate`, `gender`, `phone_number`, `locale`, `zoneinfo`, `picture`, `profile`, `website`,
// `street_address`, `locality`, `region`, `postal_code`, `country`. Posted to /account/profile.
type AccountProfileView struct {
	Base
	Details       string // JSON of the account's names for the device, after a change, or ""
	Email         string // shown only
	EmailVerified bool
	Username      string // shown only
	Name          string
	GivenName     string
	MiddleName    string
	FamilyName    string
	Nickname      string
	Birthdate     string
	Gender        string
	Picture       string
	Profile       string
	Website       string
	Locale        string
	Zoneinfo      string
	Phone         string
	StreetAddress string
	Locality      string
	Region        string
	PostalCode    string
	Country       string
}

// Page names the template.
func (*AccountProfileView) Page() PageName { return PageAccountProfile }

// AccountSecurityView manages the password and the second factors. Its forms, in which KIND is a
// kind of factor:
//
//	/account/security/password      current_password, new_password, confirm_password
//	/account/security/KIND/enable   current_password  (key of errors: KIND_enable_password)
//	/account/security/KIND/disable  current_password, code  (keys: KIND_disable_password, …_code)
//	/account/security/backup-codes  current_password, code  (keys: backup_password, backup_code)
//	/account/security/trusted/remove  id
type AccountSecurityView struct {
	Base
	LoginName         string // password managers file the new password under it
	PasswordOn        bool   // people sign in with passwords
	HasPassword       bool
	PasswordChangedAt time.Time
	PasswordEnd       time.Time // when the password expires, if that is near or past; else zero
	PasswordMust      time.Time // with PasswordEnd: until when the change can be put off
	Rules             []identity.Rule
	SecondFactor      bool      // at least one is set up
	Required          bool      // the account must have one
	RequiredBy        time.Time // when the days of grace end; zero: at the next sign-in
	Factors           []FactorView
	BackupCodesLeft   int
	Trusted           []TrustedView // where the second step is skipped
	PasskeysOn        bool          // this server uses passkeys
	Passkeys          int
	Fresh             bool // adding a passkey needs no proof
	AskChoice         bool // the person may wish to be asked for a passkey after the password
	Asks              bool // and does
}

// Page names the template.
func (*AccountSecurityView) Page() PageName { return PageAccountSecurity }

// TrustedView is a browser in which the second step is skipped.
type TrustedView struct {
	ID         string
	Agent      string // User-Agent
	IP         string
	Current    bool // the browser that shows the page
	LastUsedAt time.Time
	ExpiresAt  time.Time
}

// AccountSessionsView lists where the person is signed in and what has access. Its forms
// lead to pages that ask for a confirmation and post to the same address:
//
//	/account/sessions/revoke           kind=session|grant, id
//	/account/sessions/revoke-inactive
//	/account/sessions/revoke-all
type AccountSessionsView struct {
	Base
	Devices      []DeviceView
	Grants       []GrantView
	HasPassword  bool
	InactiveDays int // how long something is unused before it counts as inactive
}

// Page names the template.
func (*AccountSessionsView) Page() PageName { return PageAccountSessions }

// DeviceView is the sessions of one kind of device, such as Firefox on Linux.
type DeviceView struct {
	Agent    string // User-Agent of one of them
	Sessions []SessionView
}

// SessionView is one signed-in browser.
type SessionView struct {
	ID         string
	Agent      string // User-Agent
	IP         string
	Place      visitor.Place
	Current    bool // the browser that shows the page
	Stay       bool // it does not end by not being used
	Acting     bool // an administrator acts as the person
	NewDevice  bool // the account did not know the browser when it signed in
	NewCountry bool // nor the country
	SignedInAt time.Time
	LastUsedAt time.Time
}

// GrantView is the access of one app or device.
type GrantView struct {
	ID           string
	Client       ClientView
	Agent        string // User-Agent of the newest use
	IP           string
	AuthorizedAt time.Time
	LastUsedAt   time.Time // zero: never used
	Scopes       []ScopeView
	Inactive     bool // not used for a long time
}

// AccountAuthorizationsView lists the connected apps. Its form, /account/authorizations/remove with
// `client_id`, leads to a page that asks for a confirmation and posts to the same address.
type AccountAuthorizationsView struct {
	Base
	Consents []ConsentEntry
}

// Page names the template.
func (*AccountAuthorizationsView) Page() PageName { return PageAccountAuthorizations }

// ConsentEntry is what a person has allowed one app.
type ConsentEntry struct {
	ClientID string
	Client   ClientView
	Scopes   []ScopeView
	Since    time.Time
}

// AccountConfirmView asks whether to sign something out. Its form is Form.Action with Form.Hidden.
type AccountConfirmView struct {
	Base
	Form
	Heading   string // a question that names what ends
	Text      string // what that means, in whole sentences
	Button    string
	CancelURL string
}

// Page names the template.
func (*AccountConfirmView) Page() PageName { return PageAccountConfirm }
