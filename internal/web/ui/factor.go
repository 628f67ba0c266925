package ui

import (
	"fmt"
	"html/template"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

// FactorChoice is a factor that a page offers.
type FactorChoice struct {
	Kind string
	URL  string // the page that sets it up; "" where a form chooses it
}

// FactorWords is what the parts of a factor's template that name it are run with.
type FactorWords struct {
	Base
	Kind string
}

// Factor returns what names a factor in the page's language.
func (b Base) Factor(kind string) FactorWords { return FactorWords{Base: b, Kind: kind} }

// FactorView is a second factor on the page of one's account.
type FactorView struct {
	*Base       // the page's, whose errors belong to the factor's forms, too
	Kind        string
	Enabled     bool
	Since       time.Time
	LastUsedAt  time.Time
	Only        bool // there is no other second factor
	Required    bool // it may not be turned off
	HasPassword bool
}

// DisableFailed reports whether something was wrong in the form that turns the factor off.
func (v FactorView) DisableFailed() bool {
	form := disableForm(v.Kind)
	return v.ErrorFor(passwordKey(form)) != "" || v.ErrorFor(codeKey(form)) != ""
}

// EnableOption returns the key of the password in the form that sets the factor up, as an option
// of a field in a template.
func (v FactorView) EnableOption() string { return "key=" + passwordKey(enableForm(v.Kind)) }

// DisableOption returns the key of the password in the form that turns the factor off, as an
// option of a field in a template.
func (v FactorView) DisableOption() string { return "key=" + passwordKey(disableForm(v.Kind)) }

// DisableCodeOption returns the key of the code in that form, as an option of a field.
func (v FactorView) DisableCodeOption() string { return "key=" + codeKey(disableForm(v.Kind)) }

func enableForm(kind string) string  { return kind + "_enable" }
func disableForm(kind string) string { return kind + "_disable" }

// factorNotice returns the notice for a value of `done` from postConfirmFactor or
// postDisableFactor, or "".
func (b Base) factorNotice(done string) string {
	switch {
	case strings.HasSuffix(done, doneOn):
		return b.T("account.done.two-step-on")
	case strings.HasSuffix(done, doneOff):
		return b.T("account.done.two-step-off")
	case strings.HasSuffix(done, doneRemoved):
		return b.T("account.done.factor-off")
	}
	return ""
}

// Endings of `done` after the kind of a factor.
const (
	doneOn      = "_on"
	doneOff     = "_off"
	doneRemoved = "_removed"
)

// enrollView returns the page that sets up a factor.
func enrollView(b Base, u *identity.User, e *login.Enrollment) *EnrollView {
	return &EnrollView{
		Base:    b,
		Form:    Form{Hidden: []Pair{{"factor", e.Kind}, {"enrollment", e.Token}}},
		Account: u.LoginName(),
		Kind:    e.Kind,
		URL:     e.URL,
		Secret:  e.Secret,
		SentTo:  e.SentTo,
		Options: e.Options,
	}
}

// accountEnrollView returns the page that sets up a factor from the page of one's account.
func accountEnrollView(b Base, u *identity.User, e *login.Enrollment) *EnrollView {
	v := enrollView(b, u, e)
	v.Action, v.CancelURL = "/account/security/"+e.Kind+"/confirm", "/account/security"
	return v
}

// factorParts returns the parts of pages that a factor's template may define, each as
// "<part>-<kind>": the page that asks for the factor (heading, lead, inputs; choice offers it
// instead of another), the page that sets it up (enroll-heading, enroll, confirm-heading, confirm),
// and its entry on the security page of the account (security).
func factorParts() []string {
	return []string{
		"heading", "lead", "inputs", "choice",
		"enroll-heading", "enroll", "confirm-heading", "confirm",
		"security",
	}
}

// factorKinds returns the kinds of factors that have a template.
func factorKinds() ([]string, error) {
	entries, err := fs.ReadDir(templateFiles, "templates/factor")
	if err != nil {
		return nil, err
	}
	var kinds []string
	for _, e := range entries {
		kinds = append(kinds, strings.TrimSuffix(e.Name(), ".html"))
	}
	return kinds, nil
}

// addFactors parses the factors' templates, and defines for each part a template "factor-<part>"
// that runs the one of .Kind.
func addFactors(frames *template.Template) error {
	if _, err := frames.ParseFS(templateFiles, "templates/factor/*.html"); err != nil {
		return err
	}
	kinds, err := factorKinds()
	if err != nil {
		return err
	}
	slices.Sort(kinds)
	for _, part := range factorParts() {
		var body strings.Builder
		for _, kind := range kinds {
			name := part + "-" + kind
			if frames.Lookup(name) != nil {
				fmt.Fprintf(&body, "{{if eq .Kind %q}}{{template %q .}}{{end}}", kind, name)
			}
		}
		if _, err := frames.New("factor-" + part).Parse(body.String()); err != nil {
			return err
		}
	}
	return nil
}
