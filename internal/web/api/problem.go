package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// problem is an error in the form of RFC 9457, with the members that OAuth clients know.
type problem struct {
	Type        string   `json:"type"`
	Title       string   `json:"title"`
	Status      int      `json:"status"`
	Detail      string   `json:"detail,omitempty"`
	Instance    string   `json:"instance,omitempty"` // names the request
	Error       string   `json:"error"`
	Description string   `json:"error_description,omitempty"`
	Details     []detail `json:"details,omitempty"`
	RetryAfter  int64    `json:"retry_after,omitempty"` // seconds
}

// detail is what is wrong with one member of the request.
type detail struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Codes of errors beside those of web.ProblemOf.
const (
	codeValidation   = "validation_error"
	codeInvalidToken = "invalid_token"
)

// problemOf returns what a caller may know of an error.
func problemOf(err error) problem {
	p := web.ProblemOf(err)
	out := problem{
		Type:        "about:blank",
		Title:       http.StatusText(p.Status),
		Status:      p.Status,
		Detail:      p.Text,
		Error:       p.Code,
		Description: p.Text,
		RetryAfter:  int64(p.RetryAfter / time.Second),
	}
	var f *fault.Error
	if errors.As(err, &f) && f.Kind == fault.Invalid && f.Field != "" {
		out.Error = codeValidation
		for _, input := range f.Inputs() {
			out.Details = append(out.Details, detail{input.Field, input.Text})
		}
	}
	return out
}

func writeProblem(w http.ResponseWriter, r *http.Request, p problem) {
	if p.Status >= http.StatusInternalServerError {
		p.Instance = "urn:gatehouse:request:" + web.EventOf(r.Context()).ID
	}
	write(w, p.Status, "application/problem+json", p)
}
