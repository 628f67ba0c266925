package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/management"
)

// Codes of errors beside those of web.ProblemOf.
const (
	codeValidation     = "validation_error"
	codeInvalidToken   = "invalid_token"
	codeAuthentication = "authentication_required"
	codeConflict       = "conflict"
	codePrecondition   = "precondition_failed"
)

// statusError is an error that an operation answers in another way than its kind says.
type statusError struct {
	error
	status int
	code   string
}

// Unwrap returns the error itself.
func (e *statusError) Unwrap() error { return e.error }

// problemOf returns what a caller may know of an error.
func problemOf(err error) (management.Problem, web.Problem) {
	p := web.ProblemOf(err)
	var f *fault.Error
	isFault := errors.As(err, &f)
	switch {
	case p.Status == http.StatusUnauthorized && p.Code == "":
		p.Code, p.Text = codeAuthentication, "Send an access token in the Authorization header."
	case isFault && f.Reason == admin.ReasonOtherBody:
		p.Status, p.Code = http.StatusUnprocessableEntity, f.Reason
	case p.Status == http.StatusConflict:
		p.Code = codeConflict
		if isFault && f.Reason != "" {
			p.Code = f.Reason
		}
		if isFault {
			p.RetryAfter = f.After
		}
	case isFault && f.Reason == admin.ReasonInsufficientScope:
		p.Code = f.Reason
	case isFault && f.Kind == fault.Stale:
		p.Code = codePrecondition
	case isFault && f.Reason == admin.ReasonStepUp:
		p.Code, p.Status = f.Reason, http.StatusUnauthorized
	case isFault && f.Kind == fault.Invalid && f.Field != "":
		p.Code = codeValidation
	}
	var denied *admin.AccessError
	if errors.As(err, &denied) {
		p.Scope = string(denied.Scope)
	}
	var own *statusError
	if errors.As(err, &own) {
		p.Status, p.Code = own.status, own.code
	}
	out := management.Problem{
		Type:             "about:blank",
		Title:            http.StatusText(p.Status),
		Status:           p.Status,
		Error:            p.Code,
		Detail:           optional(p.Text),
		ErrorDescription: optional(p.Text),
		Scope:            optional(p.Scope),
		RetryAfter:       optional(int(p.RetryAfter / time.Second)),
	}
	if denied != nil {
		out.ACRValues = optional(denied.ACR)
		out.MaxAge = optional(int(denied.MaxAge / time.Second))
	}
	if isFault && f.Kind == fault.Stale {
		describeStale(&out, f)
	}
	if isFault && f.Field != "" && p.Status < http.StatusInternalServerError {
		var details []management.ProblemDetail
		for _, input := range f.Inputs() {
			details = append(details, management.ProblemDetail{Field: input.Field, Message: input.Text})
		}
		out.Details = &details
	}
	return out, p
}

// describeStale adds the present version of a thing to a problem, and in which of the requested
// fields it differs.
func describeStale(p *management.Problem, f *fault.Error) {
	if f.At > 0 {
		p.Etag = optional(etag(f.At))
	}
	var details []management.ProblemDetail
	for _, name := range f.Fields {
		details = append(details, management.ProblemDetail{Field: name, Message: "This differs from what is stored now."})
	}
	if details != nil {
		p.Details = &details
	}
}

// optional returns the address of a value, or nil for the zero value.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// rejected answers what the generated code cannot read. The document was checked before, so that
// this is rare; the words of the error are for the log.
func (s *Server) rejected(w http.ResponseWriter, r *http.Request, err error) {
	s.fail(w, r, fault.Wrap(fault.Invalid, err, "The request does not have the form that the document describes."))
}

// fail answers a request with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	ev := web.EventOf(r.Context())
	ev.Err = err
	body, p := problemOf(err)
	var denied *admin.AccessError
	unnamed := errors.As(err, &denied) && denied.Unnamed
	if x := exchangeOf(r.Context()); x != nil && p.Code == admin.ReasonInsufficientScope && p.Scope == "" && !unnamed {
		p.Scope = x.op.scope()
		body.Scope = optional(p.Scope)
	}
	if p.Status >= http.StatusInternalServerError {
		body.Instance = optional("urn:gatehouse:request:" + ev.ID)
	}
	h := w.Header()
	for _, c := range challenges(r, p, body) {
		h.Add("WWW-Authenticate", c)
	}
	if body.Etag != nil {
		h.Set("ETag", *body.Etag)
	}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(p.RetryAfter/time.Second)))
	}
	write(w, p.Status, typeProblem, body)
}

// challenges returns the WWW-Authenticate headers of an error (RFC 6750 §3, RFC 9449 §7.1, RFC 9470
// §3).
func challenges(r *http.Request, p web.Problem, body management.Problem) []string {
	needScope := p.Code == admin.ReasonInsufficientScope
	if p.Challenge == "" && p.Status != http.StatusUnauthorized && !needScope {
		return nil
	}
	params := fmt.Sprintf(`realm="%s"`, "Gatehouse")
	if p.Code != codeAuthentication {
		params += fmt.Sprintf(`, error="%s", error_description="%s"`, p.Code, quotable(p.Text))
	}
	if p.Scope != "" {
		params += fmt.Sprintf(`, scope="%s"`, p.Scope)
	}
	if body.ACRValues != nil {
		params += fmt.Sprintf(`, acr_values="%s"`, *body.ACRValues)
	}
	if body.MaxAge != nil {
		params += fmt.Sprintf(`, max_age="%d"`, *body.MaxAge)
	}
	algs := strings.Join(token.ProofAlgorithms(), " ")
	bearer := oauth.SchemeBearer + " " + params
	dpop := oauth.SchemeDPoP + " " + params + fmt.Sprintf(`, algs="%s"`, algs)
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case p.Code == codeAuthentication:
		return []string{bearer, dpop}
	case strings.EqualFold(scheme, oauth.SchemeDPoP):
		return []string{dpop}
	}
	return []string{bearer}
}

// quotable returns a text for a quoted string of a header.
func quotable(s string) string {
	return strings.NewReplacer(`"`, "'", `\`, "/").Replace(oauth.Printable(s))
}
