package console

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// View is the data of one page. Its template is templates/<Page>.html.
type View interface {
	Page() string
	base() *Base
}

// Base is what every page may show.
type Base struct {
	Title     string // of the page, also its heading
	Lead      string // one sentence below the heading, or ""
	Crumbs    []Link // the pages above this one
	Primary   *Link  // the one thing that people come to the page for, or nil
	Menu      []MenuGroup
	Banners   []Banner
	Signed    string // the administrator
	RequestID string
	Now       time.Time
	Zone      *time.Location // for absolute times; nil: the browser's, or UTC without scripts
	Return    string         // the address of this page, to which forms lead back

	Notice  string       // what has just been done
	Undo    *Button      // takes it back, or nil
	Problem string       // what went wrong
	Errors  []FieldError // what is wrong with single inputs
	Draft   bool         // the form has come back filled in after a new sign-in
	Form    url.Values   // the values of inputs
	Version string       // of the thing that a form changes, or ""
	Refresh int          // seconds after which the page loads itself again; 0: never
	code    int          // the status of the error of the form; 0: none
	Confirm string       // address that asks for a newer sign-in, which changes need; or ""
}

func (b *Base) base() *Base { return b }

// FieldError is what is wrong with one input.
type FieldError struct{ Field, Message string }

// Link is an address with its text.
type Link struct{ Text, URL string }

// Button is a form with nothing but hidden inputs and a button.
type Button struct {
	Text   string
	Action string // address that the form is posted to
	Danger bool
	Hidden []Pair
}

// Pair is one hidden input.
type Pair struct{ Name, Value string }

// Failed reports whether the page shows a problem.
func (b Base) Failed() bool { return b.Problem != "" || len(b.Errors) > 0 }

// ErrorFor returns the messages about an input, or "".
func (b Base) ErrorFor(name string) string {
	var all []string
	for _, e := range b.Errors {
		if e.Field == name {
			all = append(all, e.Message)
		}
	}
	return strings.Join(all, " ")
}

// Value returns the value of an input.
func (b Base) Value(name string) string { return b.Form.Get(name) }

// Mark returns the initials of the administrator.
func (b Base) Mark() string { return initials(b.Signed) }

// begin returns what every page shows to an administrator.
func (s *Server) begin(r *http.Request, q *request, title string) Base {
	ev := web.EventOf(r.Context())
	b := Base{
		Title:     title,
		Menu:      s.menu(q),
		RequestID: ev.ID,
		Now:       q.now,
		Return:    ownAddress(r),
		Form:      q.form,
		Draft:     q.draft,
		Signed:    q.user.Label(),
		Notice:    s.note(q),
	}
	if neededProof(s.ops.StepUpNeeded(q.actor)) != nil {
		b.Confirm = with(confirmPath, "page", b.Return)
	}
	if s.cfg.Banners != nil {
		b.Banners = s.cfg.Banners()
	}
	if zone, err := time.LoadLocation(q.user.Zoneinfo); err == nil && q.user.Zoneinfo != "" {
		b.Zone = zone
	}
	return b
}

// ownAddress returns the address of a page without what a visit before has left in it. The address
// of a form that was sent is that of the page that it stood on.
func ownAddress(r *http.Request) string {
	if r.Method != http.MethodGet {
		return ""
	}
	query := r.URL.Query()
	query.Del("draft")
	query.Del("done")
	out := url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
	return out.String()
}

// retry returns a page that shows a form again with what is wrong with it. It returns the error
// where the person cannot mend it there.
func retry(b *Base, q *request, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Text == "" {
		return err
	}
	switch f.Kind {
	case fault.Invalid, fault.Conflict, fault.Limited, fault.Denied, fault.Consumed:
	default:
		return err
	}
	if neededProof(err) != nil {
		return err
	}
	b.Return, b.code = q.form.Get("page"), web.Status(err)
	for _, input := range f.Inputs() {
		if input.Field == "" {
			b.Problem = sentence(input.Text)
			continue
		}
		b.Errors = append(b.Errors, FieldError{Field: input.Field, Message: sentence(input.Text)})
	}
	return nil
}

// sentence returns the text of an error as a whole sentence.
func sentence(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	s = string(unicode.ToUpper(first)) + s[n:]
	if strings.HasSuffix(s, ".") || strings.HasSuffix(s, "?") || strings.HasSuffix(s, "!") {
		return s
	}
	return s + "."
}

// status returns the status of a page: that of the error of its form, or OK.
func (b *Base) status() int {
	if b.code != 0 {
		return b.code
	}
	return http.StatusOK
}

// initials returns the first letters of the first and the last word of a name, or "?".
func initials(name string) string {
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

// ErrorView is the page about an error, inside the console.
type ErrorView struct {
	Base
	Text string
}

// Page names the template.
func (*ErrorView) Page() string { return "error" }

// StaleView shows a change that was not stored, because the thing was changed meanwhile.
type StaleView struct {
	Base
	Moved []Move // where what was entered differs from what is stored
	Back  Link   // opens the form with what is stored now
}

// Move is a value that was entered and the one that is stored now.
type Move struct{ Name, Entered, Stored string }

// Page names the template.
func (*StaleView) Page() string { return "stale" }

// versionOf returns the version of the thing that a form was made from. A form without one is not
// accepted: it would undo what somebody else has changed.
func versionOf(q *request) (int64, error) {
	n, err := strconv.ParseInt(q.form.Get("version"), 10, 64)
	if err != nil || n < 1 {
		return 0, fault.New(fault.Invalid, "The form has lost its version. Open the page again.")
	}
	return n, nil
}

// showStale shows what differs between a form and what is stored by now. The form at the address
// begins with what is stored.
func (s *Server) showStale(w http.ResponseWriter, b Base, form string, moved []Move) error {
	v := &StaleView{Base: b, Moved: moved, Back: Link{"Edit what is stored now", form}}
	v.Problem = "Somebody changed this while the form was open. Nothing of yours was stored."
	return s.show(w, http.StatusPreconditionFailed, v)
}

// fail shows an error inside the console. The text of an unexpected error is logged and not shown.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, q *request, err error) {
	web.EventOf(r.Context()).Err = err
	p := web.ProblemOf(err)
	v := &ErrorView{Base: s.begin(r, q, errorHeading(p.Status)), Text: sentence(p.Text)}
	v.Notice = ""
	web.RetryAfter(w.Header(), err)
	if shown := s.show(w, p.Status, v); shown != nil {
		s.kit.Fail(w, r, errors.Join(err, shown))
	}
}

// errorHeading returns the heading of the page about an error with a status.
func errorHeading(status int) string {
	switch status {
	case http.StatusNotFound:
		return "Not found"
	case http.StatusForbidden:
		return "Not allowed"
	case http.StatusConflict, http.StatusPreconditionFailed:
		return "Not possible now"
	case http.StatusTooManyRequests:
		return "Too many requests"
	case http.StatusServiceUnavailable:
		return "Not available at the moment"
	case http.StatusBadRequest:
		return "There is a problem"
	}
	return "Something went wrong"
}
