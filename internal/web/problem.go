package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Texts for errors whose own words must stay private.
const (
	textServerError = "Something went wrong on the server. Tell its operator the request id."
	textUnavailable = "The server cannot answer now. Try again in a moment."
)

// Problem is an error as its caller may see it. Nothing in it is private.
type Problem struct {
	Status     int
	Code       string        // the `error` member; "" sends a challenge without a body (RFC 6750 §3.1)
	Text       string        // the `error_description` member: what happened and what to do next
	Challenge  string        // the authentication scheme to ask for, or ""
	Scope      string        // the scope that is missing, with insufficient_scope
	RequestID  string        // sent where it is set
	RetryAfter time.Duration // when to try again, or 0
}

// ProblemOf returns what a caller may know of an error. An error that nobody classified becomes
// server_error, and its own words stay in the log.
func ProblemOf(err error) Problem {
	var oe *oauth.Error
	if errors.As(err, &oe) {
		return Problem{
			Status: oe.Status, Code: oe.Code, Text: oe.Description,
			Challenge: oe.Challenge, Scope: oe.Scope,
		}
	}
	var d *access.Denial
	if errors.As(err, &d) {
		return Problem{Status: d.Status, Code: d.Code, Text: d.Public, RetryAfter: d.RetryAfter}
	}
	p := Problem{Status: Status(err), Text: fault.Text(err), RetryAfter: retryAfter(err)}
	switch {
	case p.Status >= http.StatusInternalServerError && p.Status != http.StatusServiceUnavailable:
		p.Code, p.Text = "server_error", textServerError
	case p.Status == http.StatusServiceUnavailable:
		p.Code, p.Text = "temporarily_unavailable", textUnavailable
	case p.Status == http.StatusTooManyRequests:
		p.Code = "rate_limit_exceeded"
	case p.Status == http.StatusForbidden:
		p.Code = "access_denied"
	case p.Status == http.StatusNotFound:
		p.Code = "not_found"
	default:
		p.Code = "invalid_request"
	}
	if p.Text == "" {
		p.Text = http.StatusText(p.Status) + "."
	}
	return p
}

// Fail answers a request with an error: with a page where a person waits for one, else with JSON.
func (k *Kit) Fail(w http.ResponseWriter, r *http.Request, err error) {
	ev := EventOf(r.Context())
	ev.Err = err
	p := ProblemOf(err)
	if k.ErrorPage != nil && WantsPage(r) {
		writeRetryAfter(w.Header(), p)
		k.ErrorPage(w, r, err)
		return
	}
	WriteProblem(w, r, p)
}

// problemBody is a Problem in JSON.
type problemBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
	RequestID   string `json:"request_id,omitempty"`
	RetryAfter  int64  `json:"retry_after,omitempty"`
}

// WriteProblem writes a problem as JSON with its status and Retry-After. The caller writes
// WWW-Authenticate headers before. Server errors always carry the request's id.
func WriteProblem(w http.ResponseWriter, r *http.Request, p Problem) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	writeRetryAfter(h, p)
	if p.Code == "" {
		w.WriteHeader(p.Status)
		return
	}
	if p.Status >= http.StatusInternalServerError {
		p.RequestID = EventOf(r.Context()).ID
	}
	out := problemBody{Error: p.Code, Description: oauth.Printable(p.Text), RequestID: p.RequestID}
	if p.Status == http.StatusTooManyRequests {
		out.RetryAfter = wholeSeconds(p.RetryAfter)
	}
	body, _ := json.Marshal(out) // strings and a number always marshal
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the caller is gone if it fails
	}
}

// retryAfter returns how long the caller should wait, at least a second, or 0 where waiting does
// not help.
func retryAfter(err error) time.Duration {
	var e *fault.Error
	if !errors.As(err, &e) || (e.Kind != fault.Limited && e.Kind != fault.Unavailable) {
		return 0
	}
	return max(e.After, time.Second)
}

func writeRetryAfter(h http.Header, p Problem) {
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(wholeSeconds(p.RetryAfter), 10))
	}
}

func wholeSeconds(d time.Duration) int64 { return int64(d / time.Second) }
