package ui

import "time"

// Pages that ask for a decision about an application.
const (
	PageConsent         PageName = "consent"
	PageActivate        PageName = "activate"
	PageActivateConfirm PageName = "activate_confirm"
	PageActivateDone    PageName = "activate_done"
	PageFormPost        PageName = "form_post"
)

// ConsentView asks whether Base.Client may do what it asks for. Field: `consent_action` = approve | deny.
// Posted to /consent unless Form says otherwise. Base.Signed is who decides.
type ConsentView struct {
	Base
	Form
	Scopes    []ScopeView
	SwitchURL string // decide as somebody else; left out when empty
}

// Page names the template.
func (*ConsentView) Page() PageName { return PageConsent }

// More reports whether the application was allowed something before and now asks for more.
func (v *ConsentView) More() bool {
	var before, added bool
	for _, s := range v.Scopes {
		before, added = before || !s.New, added || s.New
	}
	return before && added
}

// ActivateView asks for the code that a device shows (RFC 8628 §3.3). Field: `user_code`.
// Posted to /activate unless Form says otherwise.
type ActivateView struct {
	Base
	Form
	UserCode string // pre-filled (RFC 8628 §3.3.1); the person still has to send it
	PhoneURL string // drawn as a QR code, for going on with the phone; left out when empty
}

// Page names the template.
func (*ActivateView) Page() PageName { return PageActivate }

// ActivateConfirmView asks whether a device may have access (RFC 8628 §5.4: remote phishing).
// Fields: `user_code`, `consent_action` = approve | deny. Posted to /activate/confirm unless Form says otherwise.
type ActivateConfirmView struct {
	Base
	Form
	UserCode string // to compare, as the device shows it: ABCD-EFGH
	Scopes   []ScopeView
	IP       string // where the request came from
	Agent    string // User-Agent of the device, shown in words
	AskedAt  time.Time
}

// Page names the template.
func (*ActivateConfirmView) Page() PageName { return PageActivateConfirm }

// AgentWords is the asking device in words.
func (v *ActivateConfirmView) AgentWords() string { return DescribeAgent(v.Agent).Words }

// ActivateDoneView says how a device request ended.
type ActivateDoneView struct {
	Base
	Approved bool
}

// Page names the template.
func (*ActivateDoneView) Page() PageName { return PageActivateDone }

// FormPostView hands the parameters of an authorization response to the client by a form (OAuth 2.0 Form Post Response
// Mode §2). Its script sends it; the button does where there is none. The answer's form-action policy must name the
// origin of Action.
type FormPostView struct {
	Base
	Action string // the redirect URI
	Params []Pair
}

// Page names the template.
func (*FormPostView) Page() PageName { return PageFormPost }
