package ui

import (
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

// Pages of what an account knows and tells.
const (
	PageNotMe             PageName = "not_me"
	PageDeletion          PageName = "deletion"
	PageDeletionRequested PageName = "deletion_requested"
	PageAccountData       PageName = "account_data"
	PageAccountSignIns    PageName = "account_sign_ins"
)

// NotMeView is what the link in the notice of a new sign-in opens: one button ends everything.
// Hidden field: `token`. Posted to /login/not-me.
type NotMeView struct {
	Base
	Form
	Account string
	Device  string // in the page's language
	IP      string
	Place   visitor.Place
	At      time.Time
	Done    bool // it has been done
	Mailed  bool // done, and a link for a new password was sent
	Mailbox bool // messages are shown at /dev/mail
}

// Page names the template.
func (*NotMeView) Page() PageName { return PageNotMe }

// DeletionView is all that a sign-in shows of an account that is to be deleted. Posted to
// /login/deletion.
type DeletionView struct {
	Base
	Form
	Account string
	Due     time.Time // when the account is erased
}

// Page names the template.
func (*DeletionView) Page() PageName { return PageDeletion }

// DeletionRequestedView says that an account will be deleted.
type DeletionRequestedView struct {
	Base
	Due time.Time
}

// Page names the template.
func (*DeletionRequestedView) Page() PageName { return PageDeletionRequested }

// AccountDataView offers a copy of one's data and the deletion of the account. Its forms:
//
//	/account/data/download  current_password, code  (keys of errors: download_password, …_code)
//	/account/data/delete    current_password, code  (keys: delete_password, delete_code)
type AccountDataView struct {
	Base
	LoginName    string // password managers fill in its password
	SecondFactor bool   // the forms ask for a code
	GraceDays    int    // between the wish and the deletion; 0: at once
	Due          time.Time
}

// Page names the template.
func (*AccountDataView) Page() PageName { return PageAccountData }

// AccountSignInsView lists who has tried to sign in.
type AccountSignInsView struct {
	Base
	SignIns []SignInView

	HasPassword bool
	OlderURL    string // the next page, or ""
	NewerURL    string // the first page, on all others
}

// Page names the template.
func (*AccountSignInsView) Page() PageName { return PageAccountSignIns }

// SignInView is one attempt to sign in.
type SignInView struct {
	At         time.Time
	Failed     bool
	Count      int // failures that were counted together; 0: one
	StepUp     bool
	Methods    []string // RFC 8176
	Client     *ClientView
	Agent      string // User-Agent
	IP         string
	Place      visitor.Place
	NewDevice  bool
	NewCountry bool

	Impersonated bool   // an administrator began to act as the person
	Why          string // their reason
}

// PlaceText returns a place in the page's language, or "" if it is not known.
func (b Base) PlaceText(p visitor.Place) string {
	city, country := p.In(b.Lang())
	if city == "" || country == "" {
		return city + country
	}
	return b.T("data.place", "City", city, "Country", country)
}

// MethodsText returns in words how a person proved who they are, or "".
func (b Base) MethodsText(methods []string) string {
	var words []string
	for _, m := range methods {
		word := ""
		switch m {
		case "pwd":
			word = b.T("data.method.password")
		case "otp":
			word = b.T("data.method.code")
		case "hwk", "swk":
			word = b.T("data.method.passkey")
		}
		if word != "" && !slices.Contains(words, word) {
			words = append(words, word)
		}
	}
	return strings.Join(words, " + ")
}

// MailRejectedView says that mail to a person's address does not arrive.
type MailRejectedView struct {
	Address string
	Answer  string // what the mail server said
	At      time.Time
}

// LocaleChoice is a language that a person may choose for messages and pages.
type LocaleChoice struct {
	Tag, Name string
	Chosen    bool
}

// Locales returns the languages to choose from. A language that the person or an administrator has
// set, and that there is none of, stays.
func (v *AccountProfileView) Locales() []LocaleChoice {
	choices := []LocaleChoice{{Name: v.T("data.profile.browser-language"), Chosen: v.Locale == ""}}
	found := v.Locale == ""
	for _, l := range v.Languages() {
		chosen := l.Tag == v.Locale
		found = found || chosen
		choices = append(choices, LocaleChoice{Tag: l.Tag, Name: l.Name, Chosen: chosen})
	}
	if !found {
		choices = append(choices, LocaleChoice{Tag: v.Locale, Name: v.Locale, Chosen: true})
	}
	return choices
}
