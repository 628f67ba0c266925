package ui

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

// View is the data of one page. The views of this package are the only ones; a page is named by
// its view, so that a handler cannot render one page with another's data.
type View interface {
	Page() PageName
	base() *Base
}

// PageName names a page; its template is templates/<name>.html.
type PageName string

// Base is what every page may show. The zero value is a plain page for a person who is not
// signed in.
type Base struct {
	RequestID string          // shown where a person may have to quote it
	Now       time.Time       // the request's time, which relative times ("2 hours ago") count from
	Zone      *time.Location  // for absolute times; nil: the browser's, or UTC without scripts
	Signed    *Signed         // the account that is signed in, or nil
	Notice    string          // one sentence about what has just been done
	Problem   string          // one sentence about what went wrong; the title then begins with "Error:"
	Errors    []FieldError    // what is wrong with single fields
	Client    *ClientView     // the app that the page is about, or nil
	Switch    bool            // on account pages: the browser may be signed in to several accounts
	Recovery  *RecoveryNotice // on account pages: a request to turn off two-step verification waits
	Leaves    bool            // a form of the page leads to another site
	Acting    *ActingNotice   // somebody acts as the person; or nil

	MailRejected *MailRejectedView // mail to the person does not arrive; or nil

	UILocales string      // the request's parameter, which its forms and links carry on
	Return    string      // the address that opens the page, for the choice of a language
	texts     *text.Texts // the language of the page
	fixed     bool        // the language was asked for
}

func (b *Base) base() *Base { return b }

// AppName returns the name of the app that the page is about.
func (b Base) AppName() string {
	if b.Client == nil {
		return b.T("common.this-app")
	}
	return b.Client.Name
}

// Failed reports whether the page shows a problem.
func (b Base) Failed() bool { return b.Problem != "" || len(b.Errors) > 0 }

// ErrorFor returns the messages about a field, or "".
func (b Base) ErrorFor(field string) string {
	var all []string
	for _, e := range b.Errors {
		if e.Field == field {
			all = append(all, e.Message)
		}
	}
	return strings.Join(all, " ")
}

// RecoveryNotice tells of a request to turn off two-step verification.
type RecoveryNotice struct {
	ReadyAt  time.Time // from when it can be completed
	Ready    bool      // it can be completed
	Passkeys bool      // it replaces passkeys
}

// ActingNotice tells an administrator, across all pages, that they act as another person.
type ActingNotice struct {
	Person string
	Actor  string // who acts, or "" for the command line
	Until  time.Time
}

// FieldError is what is wrong with one field and what to do about it, in a sentence.
type FieldError struct {
	Field   string // the field's name, or its key where two forms of a page share a field's name
	Message string
}

// Signed is the account that a browser is signed in to.
type Signed struct {
	Label string // name, username or email address
	Email string // second line below the label; may be empty
}

// Mark returns the account's initials.
func (s Signed) Mark() string { return Initials(s.Label) }

// ClientView is an app as people see it. All its texts come from whoever registered it.
type ClientView struct {
	Name         string
	Home         string // https or http address of its home page, or ""
	Logo         string // https address of its logo, or ""
	Terms        string // https address of its terms of service, or ""
	Policy       string // https address of its privacy policy, or ""
	Color        string // #rrggbb, or ""
	RedirectHost string // where the browser goes afterwards: host, host:port, or an app's scheme:
	Unverified   bool   // anybody has registered it; nobody has checked who is behind it
	Contacts     []string
	ThisDevice   bool // RedirectHost is a loopback address (RFC 8252 §7.3)
}

// Initial returns the letter that stands for the app when it has no logo.
func (c ClientView) Initial() string {
	s := Initials(c.Name)
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}

// Initials returns the first letters of the first and the last word of a name, in upper case, or
// "?" if it has none.
func Initials(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\''
	})
	if at := strings.IndexByte(name, '@'); at > 0 && len(words) > 1 {
		words = words[:1] // the domain of an address says nothing about the person
	}
	if len(words) == 0 {
		return "?"
	}
	first, _ := utf8.DecodeRuneInString(words[0])
	out := string(unicode.ToUpper(first))
	if len(words) > 1 {
		last, _ := utf8.DecodeRuneInString(words[len(words)-1])
		out += string(unicode.ToUpper(last))
	}
	return out
}

// Form is where a page's main form goes and what it carries in hidden fields.
type Form struct {
	Action string // address the form is posted to; each view names its default
	Flow   string // hidden field `flow`, left out when empty
	Next   string // hidden field `next`, left out when empty
	Hidden []Pair // further hidden fields
}

func (f *Form) fields() *Form { return f }

// Pair is one hidden field.
type Pair struct{ Name, Value string }

// ScopeView is one scope in words.
type ScopeView struct {
	Name   string // as in the protocol
	Words  string // what it lets the app do; the name is shown when empty
	Symbol string // the icon that the operator has chosen, or ""
	Badge  string // shown beside it: it was not allowed before, in a consent that asks for more
}

// Text returns what people read: the description with a capital first letter, or the name.
func (s ScopeView) Text() string {
	if s.Words == "" {
		return s.Name
	}
	first, n := utf8.DecodeRuneInString(s.Words)
	return string(unicode.ToUpper(first)) + s.Words[n:]
}

// Icon returns the name of the scope's icon.
func (s ScopeView) Icon() string {
	if slices.Contains(oauth.ScopeIcons(), s.Symbol) {
		return s.Symbol
	}
	switch s.Name {
	case "openid":
		return "shield"
	case "profile":
		return "user"
	case "email":
		return "mail"
	case "phone":
		return "mobile"
	case "address":
		return "pin"
	case "offline_access":
		return "clock"
	}
	return "key"
}
