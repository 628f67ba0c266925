package accounts

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// The codes of errors. They are stable.
const (
	codeAuthorization   = "AUTHORIZATION-INVALID"
	codeClientRequired  = "CLIENT-REQUIRED"
	codeClientInvalid   = "CLIENT-INVALID"
	codeSessionRequired = "SESSION-REQUIRED"
	codeScope           = "SCOPE-INSUFFICIENT"
	codeBody            = "BODY-INVALID"
	codeData            = "DATA-INVALID"
	codeState           = "STATE-INVALID"
	codeMethod          = "METHOD-NOT-ALLOWED"
	codeNotFound        = "NOT-FOUND"
	codeDuplicate       = "DUPLICATE"
	codeLimited         = "TOO-MANY-REQUESTS"
	codeServer          = "SERVER-ERROR"
	codeUnavailable     = "UNAVAILABLE"

	codeIncorrectPassword = "INCORRECT-PASSWORD"
	codeUserBanned        = "USER-BANNED"
	codeUserDeleted       = "USER-DELETED"
	codeCodeNotFound      = "CODE-NOT-FOUND"
	codeCodeNotValid      = "CODE-NOT-VALID"
	codeCodeExpired       = "CODE-EXPIRED"
	codeCodeConsumed      = "CODE-CONSUMED"
	codeCodeInvalidated   = "CODE-INVALIDATED"
	codePasskey           = "PASSKEY-NOT-ACCEPTED"
	codeStepUnavailable   = "STEP-NOT-AVAILABLE"
	codeBrowserRequired   = "BROWSER-REQUIRED"

	codeRefreshPassed      = "REFRESH-TOKEN-PASSED"
	codeRefreshInvalid     = "REFRESH-TOKEN-INVALID"
	codeRefreshConsumed    = "REFRESH-TOKEN-CONSUMED"
	codeRefreshExpired     = "REFRESH-TOKEN-EXPIRED"
	codeRefreshInvalidated = "REFRESH-TOKEN-INVALIDATED"
	codeTokenInvalid       = "TOKEN-INVALID"
	codeSessionExpired     = "SESSION-EXPIRED"
	codeSessionInvalidated = "SESSION-INVALIDATED"
	codeLoginRequired      = "LOGIN-REQUIRED"
	codeLastEmail          = "LAST-EMAIL"
	codeDuplicateEmail     = "DUPLICATE-EMAIL"
	codeEmailCode          = "EMAIL-VERIFY-CODE-NOT-VALID"
	codeEmailCodeExpired   = "EMAIL-VERIFY-CODE-EXPIRED"
	codeEmailCodeConsumed  = "EMAIL-VERIFY-CODE-CONSUMED"
	codeNoSession          = "NO-SESSION-TO-INVALIDATE"
)

// problem is an error with its status and code.
type problem struct {
	Status       int           `json:"status"`
	Code         string        `json:"code"`
	Title        string        `json:"title"`
	Detail       string        `json:"detail"`
	Obstructions []obstruction `json:"obstructions"`

	after time.Duration // when to try again, or 0
}

// obstruction is one thing that must be changed before an operation can succeed.
type obstruction struct {
	Code   string            `json:"code"`
	Text   string            `json:"text"`
	Params map[string]string `json:"params"`
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }

func newProblem(status int, code, detail string) *problem {
	return &problem{Status: status, Code: code, Detail: detail}
}

func badBody(format string, args ...any) error {
	return newProblem(http.StatusBadRequest, codeBody, fmt.Sprintf(format, args...))
}

func invalidField(field, text string) error { return fault.InvalidField(field, "%s", text) }

// problemOf returns what a caller may know of an error.
func problemOf(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	var f *fault.Error
	if errors.As(err, &f) {
		if code, status := codeOfReason(f.Reason); code != "" {
			return newProblem(status, code, fault.Text(err))
		}
	}
	return problemOfKind(err, f)
}

// problemOfKind returns the problem of an error by its kind.
func problemOfKind(err error, f *fault.Error) *problem {
	shown := web.ProblemOf(err) // which hides the texts of faults of the server
	out := newProblem(shown.Status, codeData, shown.Text)
	out.after = shown.RetryAfter
	switch {
	case shown.Status >= http.StatusInternalServerError && shown.Status != http.StatusServiceUnavailable:
		out.Code = codeServer
	case shown.Status == http.StatusServiceUnavailable:
		out.Code = codeUnavailable
	case shown.Status == http.StatusTooManyRequests:
		out.Code = codeLimited
	case shown.Status == http.StatusNotFound:
		out.Code = codeNotFound
	case shown.Status == http.StatusUnauthorized:
		out.Code = codeTokenInvalid
	case fault.Is(err, fault.Conflict):
		out.Code = codeDuplicate
	case fault.Is(err, fault.Consumed):
		out.Status, out.Code = http.StatusUnauthorized, codeCodeExpired
	}
	if f != nil && f.Kind == fault.Invalid && f.Field != "" {
		out.Detail = "The request cannot be carried out as it is."
		for _, in := range f.Inputs() {
			out.Obstructions = append(out.Obstructions, obstruction{
				Code:   strings.ToUpper(strings.ReplaceAll(in.Field, "_", "-")) + "-INVALID",
				Text:   in.Text,
				Params: map[string]string{"field": in.Field},
			})
		}
	}
	return out
}

// codeOfReason returns the code and the status of a rejection by its reason, or "".
func codeOfReason(reason string) (code string, status int) {
	switch reason {
	case audit.ReasonWrongPassword, audit.ReasonUnknownUser, audit.ReasonUnusableHash:
		return codeIncorrectPassword, http.StatusUnauthorized
	case audit.ReasonWrongCode:
		return codeCodeNotValid, http.StatusUnauthorized
	case audit.ReasonReplayedCode:
		return codeCodeConsumed, http.StatusUnauthorized
	case audit.ReasonWrongPasskey, audit.ReasonUnknownPasskey, audit.ReasonUnverifiedPasskey,
		audit.ReasonReplayedPasskey, audit.ReasonClonedPasskey:
		return codePasskey, http.StatusUnauthorized
	case audit.ReasonDisabled:
		return codeUserBanned, http.StatusForbidden
	case login.ReasonCodeExpired:
		return codeEmailCodeExpired, http.StatusUnauthorized
	case login.ReasonCodeConsumed:
		return codeEmailCodeConsumed, http.StatusUnauthorized
	case login.ReasonStateUnknown:
		return codeCodeNotFound, http.StatusUnauthorized
	case login.ReasonTokenInvalid:
		return codeTokenInvalid, http.StatusUnauthorized
	case login.ReasonTokenConsumed:
		return codeRefreshConsumed, http.StatusUnauthorized
	case login.ReasonTokenExpired, login.ReasonSessionExpired:
		return codeSessionExpired, http.StatusUnauthorized
	case login.ReasonSessionInvalidated:
		return codeSessionInvalidated, http.StatusUnauthorized
	}
	return "", 0
}

// writeError answers with an error.
func writeError(w http.ResponseWriter, r *http.Request, err error) {
	p := *problemOf(err)
	p.Title = http.StatusText(p.Status)
	if p.Obstructions == nil {
		p.Obstructions = []obstruction{}
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="accounts", charset="UTF-8"`)
	}
	if p.after > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(max(int(p.after/time.Second), 1)))
	}
	write(w, r, p.Status, struct {
		T     string  `json:"t"`
		Error problem `json:"error"`
	}{"error", p})
}

// write answers with a JSON document.
func write(w http.ResponseWriter, r *http.Request, status int, doc any) {
	out, err := json.Marshal(doc)
	if err != nil { // documents are structs of texts, numbers and lists
		panic(err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(out)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(out) // the caller is gone if it fails
	}
}

// writeNothing answers that something was done.
func writeNothing(w http.ResponseWriter, c *call) error {
	write(w, c.r, http.StatusOK, struct {
		Data any `json:"data"`
	}{})
	return nil
}

// writeOne answers with one resource.
func writeOne(w http.ResponseWriter, c *call, status int, data any) error {
	write(w, c.r, status, struct {
		T    string `json:"t"`
		Data any    `json:"data"`
	}{"single", data})
	return nil
}

// millis returns a time in Unix milliseconds, or nil for none.
func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

func cutPattern(pattern string) (method, path string, ok bool) { return strings.Cut(pattern, " ") }

// fieldError returns an error about an input, or nil.
func fieldError(err error) *fault.Error {
	var f *fault.Error
	if errors.As(err, &f) && f.Field != "" {
		return f
	}
	return nil
}
