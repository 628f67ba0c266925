package web_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

func TestProblemOf(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
		text   string
		after  time.Duration
	}{
		"unclassified": {
			err: errors.New("pq: secret detail"), status: 500, code: "server_error",
			text: "Something went wrong on the server. Tell its operator the request id.",
		},
		"protocol error, wrapped": {
			err:    fmt.Errorf("token: %w", &oauth.Error{Code: "invalid_grant", Status: 400, Description: "Expired."}),
			status: 400, code: "invalid_grant", text: "Expired.",
		},
		"invalid":     {fault.New(fault.Invalid, "Bad."), 400, "invalid_request", "Bad.", 0},
		"not found":   {fault.New(fault.NotFound, "None."), 404, "not_found", "None.", 0},
		"denied":      {fault.New(fault.Denied, "No."), 403, "access_denied", "No.", 0},
		"limited":     {fault.RetryAfter(fault.Limited, 7*time.Second, "Wait."), 429, "rate_limit_exceeded", "Wait.", 7 * time.Second},
		"too large":   {&http.MaxBytesError{Limit: 1}, 413, "invalid_request", "Request Entity Too Large.", 0},
		"reason only": {fault.WithReason(fault.Denied, "wrong_secret"), 403, "access_denied", "Forbidden.", 0},
		"unavailable": {
			err: fault.New(fault.Unavailable, "database at 10.0.0.7 is away"), status: 503,
			code: "temporarily_unavailable", text: "The server cannot answer now. Try again in a moment.",
			after: time.Second,
		},
	} {
		p := web.ProblemOf(c.err)
		if p.Status != c.status || p.Code != c.code || p.Text != c.text || p.RetryAfter != c.after {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// A person gets a page, a program gets JSON, at every address.
func TestFailAnswersByTheRequest(t *testing.T) {
	kit := web.New(web.Options{ErrorPage: func(w http.ResponseWriter, _ *http.Request, err error) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(web.Status(err))
		fmt.Fprint(w, "<h1>", fault.Text(err), "</h1>")
	}})
	for name, c := range map[string]struct {
		header http.Header
		page   bool
	}{
		"a browser opens a page":     {http.Header{"Sec-Fetch-Mode": {"navigate"}, "Accept": {"text/html"}}, true},
		"a browser without metadata": {http.Header{"Accept": {"text/html,application/xhtml+xml,*/*;q=0.8"}}, true},
		"a script in a page":         {http.Header{"Sec-Fetch-Mode": {"cors"}, "Accept": {"text/html"}}, false},
		"a picture in a page":        {http.Header{"Sec-Fetch-Mode": {"no-cors"}, "Accept": {"image/*"}}, false},
		"curl":                       {http.Header{"Accept": {"*/*"}}, false},
		"a client without Accept":    {http.Header{}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/nothing", nil)
		r.Header = c.header
		w := httptest.NewRecorder()
		kit.Fail(w, r, fault.New(fault.NotFound, "There is no page at this address."))
		if page := strings.Contains(w.Header().Get("Content-Type"), "text/html"); page != c.page || w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s", name, w.Code, w.Header().Get("Content-Type"))
		}
	}
}

func TestWriteProblem(t *testing.T) {
	w := httptest.NewRecorder()
	web.WriteProblem(w, httptest.NewRequest(http.MethodPost, "/", nil), web.Problem{
		Status: 429, Code: "rate_limit_exceeded", Text: "say \"wait\"\n\\", RetryAfter: 3 * time.Second,
	})
	var body map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if body["error_description"] != "say 'wait'" || body["retry_after"] != 3.0 || w.Header().Get("Retry-After") != "3" {
		t.Errorf("body %v, header %v", body, w.Header())
	}
	w = httptest.NewRecorder()
	web.WriteProblem(w, httptest.NewRequest(http.MethodHead, "/", nil), web.Problem{Status: 404, Code: "not_found", Text: "None."})
	if w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD was answered with %q", w.Body)
	}
	w = httptest.NewRecorder()
	web.WriteProblem(w, httptest.NewRequest(http.MethodGet, "/", nil), web.Problem{Status: 401})
	if w.Code != 401 || w.Body.Len() != 0 {
		t.Errorf("a challenge without an error has the body %q", w.Body)
	}
}
