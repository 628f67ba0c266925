package ui

import (
	"slices"
	"time"
)

// Pages that ask for a decision about an app.
const (
	PageConsent         PageName = "consent"
	PageActivate        PageName = "activate"
	PageActivateConfirm PageName = "activate_confirm"
	PageActivateDone    PageName = "activate_done"
	PageFormPost        PageName = "form_post"
)

// ConsentView asks whether Base.Client may have the access it requests. Base.Signed is the account
// that decides. Field: `consent_action` = approve | deny. Posted to /consent.
type ConsentView struct {
	Base
	Form
	Scopes    []ScopeView
	SwitchURL string // signs in with another account; left out when empty
}

// Page names the template.
func (*ConsentView) Page() PageName { return PageConsent }

// More reports whether the app has access already and now asks for more.
func (v *ConsentView) More() bool {
	return slices.ContainsFunc(v.Scopes, func(s ScopeView) bool { return s.Badge != "" })
}

// ActivateView asks for the code that a device shows (RFC 8628 §3.3). Field: `user_code`. Posted
// to /activate.
type ActivateView struct {
	Base
	UserCode string // pre-filled (RFC 8628 §3.3.1); the person still has to send it
	PhoneURL string // drawn as a QR code, to continue on a phone; left out when empty
}

// Page names the template.
func (*ActivateView) Page() PageName { return PageActivate }

// ActivateConfirmView asks whether a device may have access (RFC 8628 §5.4: remote phishing).
// Fields: `user_code`, `consent_action` = approve | deny. Posted to /activate/confirm.
type ActivateConfirmView struct {
	Base
	UserCode    string // to compare, as the device shows it: ABCD-EFGH
	Scopes      []ScopeView
	IP          string // address that the request came from
	Agent       string // User-Agent of the device, shown in words
	RequestedAt time.Time
}

// Page names the template.
func (*ActivateConfirmView) Page() PageName { return PageActivateConfirm }

// AgentWords returns the requesting device in words.
func (v *ActivateConfirmView) AgentWords() string { return v.Device(v.Agent).Words }

// ActivateDoneView shows how a device request ended.
type ActivateDoneView struct {
	Base
	Approved bool
}

// Page names the template.
func (*ActivateDoneView) Page() PageName { return PageActivateDone }

// FormPostView sends the parameters of an authorization response to the client by a form (OAuth 2.0
// Form Post Response Mode §2). Its script submits the form; without scripts the button does.
type FormPostView struct {
	Base
	Action string // the redirect URI
	Params []Pair
}

// Page names the template.
func (*FormPostView) Page() PageName { return PageFormPost }
