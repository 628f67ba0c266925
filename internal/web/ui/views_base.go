package ui

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// View is what one page shows. The views of this package are the only ones; a page is named by its view, so that a
// handler cannot render one page with another's data.
type View interface {
	Page() PageName
	base() *Base
}

// PageName names a page; its template is templates/<name>.html.
type PageName string

// Base is what every page may show. The zero value is a plain page for a person who is not signed in.
type Base struct {
	Title     string         // replaces the page's own title when set
	RequestID string         // shown where a person may have to quote it
	Now       time.Time      // the request's time; relative times ("2 hours ago") are left out when it is zero
	Zone      *time.Location // for absolute times; nil: UTC
	Signed    *Signed        // who is signed in, or nil
	Notice    string         // one sentence about what has just been done
	Problem   string         // one sentence about what went wrong; the page's title then begins with "Error:"
	Errors    []FieldError   // what is wrong with single fields
	Client    *ClientView    // the application this is about, or nil
}

func (b *Base) base() *Base { return b }

// Failed reports whether the page tells of a problem.
func (b Base) Failed() bool { return b.Problem != "" || len(b.Errors) > 0 }

// ErrorFor is the message about a field, or "".
func (b Base) ErrorFor(field string) string {
	for _, e := range b.Errors {
		if e.Field == field {
			return e.Message
		}
	}
	return ""
}

// FieldError says what is wrong with one field and what to do, in a sentence.
type FieldError struct {
	Field   string // the field's name, or its key where a page has two forms with a field of the same name
	Message string
}

// Signed is the account a browser is signed in to.
type Signed struct {
	Label    string // name, user name or address: what the person recognises
	Initials string // at most two letters; made from Label when empty
	Email    string // second line below the label; may be empty
	Admin    bool
}

// Mark is the account's initials.
func (s Signed) Mark() string {
	if s.Initials != "" {
		return s.Initials
	}
	return Initials(s.Label)
}

// ClientView is an application as people see it. All its texts come from whoever registered it.
type ClientView struct {
	Name         string
	Home         string // https or http address of its home page, or ""
	Logo         string // https address of its logo, or ""
	RedirectHost string // where the browser goes afterwards: host, or host:port, as registered
	ThisDevice   bool   // RedirectHost is a loopback address (RFC 8252 §7.3)
}

// Initial is the letter that stands for the application when it has no logo.
func (c ClientView) Initial() string {
	s := Initials(c.Name)
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}

// Initials takes the first letters of the first and the last word of a name, in upper case; "?" if it has none.
func Initials(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\'' })
	if at := strings.IndexByte(name, '@'); at > 0 && len(words) > 1 {
		words = words[:1] // of an address, the domain says nothing about the person
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

// Form says where a page's main form goes and what it carries unseen.
type Form struct {
	Action string // address the form is posted to; each view names its default
	Flow   string // hidden field `flow`, left out when empty
	Next   string // hidden field `next`, left out when empty
	Hidden []Pair // further hidden fields
}

// Pair is one hidden field.
type Pair struct{ Name, Value string }

// ScopeView is one scope in words.
type ScopeView struct {
	Name  string // as in the protocol
	Words string // what it lets the application do; the name is shown when empty
	New   bool   // not allowed before, in a consent that asks for more
}

// Text is what people read.
func (s ScopeView) Text() string {
	if s.Words != "" {
		return s.Words
	}
	return s.Name
}

// Icon is the name of the scope's picture.
func (s ScopeView) Icon() string {
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
