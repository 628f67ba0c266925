package gateway

import (
	"encoding/json"
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/access"
)

// wireError is a refusal on the wire.
type wireError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	RequestID   string `json:"request_id"`
	RetryAfter  int64  `json:"retry_after,omitempty"`
}

// refuse answers a request that does not pass, and keeps the reason for the operator. A page of people goes to the login where that helps.
func (g *Gateway) refuse(w http.ResponseWriter, a *asked, denial *access.Denial) {
	g.note(a, denial)
	h := w.Header()
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	to := ""
	if denial.SignIn && a.entry != nil && a.entry.source.Browser && a.target.Page {
		to = g.loginURL(a)
	}
	if to != "" && !a.nginx {
		h["Location"] = []string{to}
		status := http.StatusSeeOther
		if a.asker { // the proxies' own manuals show 302
			status = http.StatusFound
		}
		w.WriteHeader(status)
		return
	}
	if to != "" {
		h["X-Auth-Login"] = []string{to}
	}
	g.challenge(h, a, denial)
	if denial.RetryAfter > 0 {
		h["Retry-After"] = []string{itoa(seconds(denial.RetryAfter))}
	}
	status := denial.Status
	if a.nginx && status != http.StatusUnauthorized && status != http.StatusForbidden {
		// nginx makes an error of its own of everything else; its configuration can give the caller this one.
		h["X-Auth-Status"] = []string{strconv.Itoa(status)}
		status = http.StatusForbidden
	}
	if a.entry != nil && a.entry.source.Browser && a.target.Page {
		person(w, a, status, denial.Public)
		return
	}
	body, _ := json.Marshal(wireError{denial.Code, denial.Public, a.ev.ID, retryAfter(denial)}) // strings and a number always marshal
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	if a.r.Method != http.MethodHead {
		_, _ = w.Write(body) // the caller has gone if it fails
	}
}

func retryAfter(denial *access.Denial) int64 {
	if denial.Status != http.StatusTooManyRequests {
		return 0
	}
	return seconds(denial.RetryAfter)
}

// person tells somebody who has opened a page, in words alone: on a route's host there is nothing of our pages to dress them with.
func person(w http.ResponseWriter, a *asked, status int, text string) {
	body := "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\"><title>" + http.StatusText(status) + "</title>" +
		"<h1>" + http.StatusText(status) + "</h1><p>" + html.EscapeString(text) + "<p>Request id: <code>" + html.EscapeString(a.ev.ID) + "</code></html>"
	h := w.Header()
	h["Content-Type"] = []string{"text/html; charset=utf-8"}
	h["Content-Security-Policy"] = []string{"default-src 'none'; frame-ancestors 'none'"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	if a.r.Method != http.MethodHead {
		_, _ = w.Write([]byte(body))
	}
}

// challenge writes what a 401 and some 403 tell a program: which schemes there are, where the route's metadata are, what is wrong
// (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3, RFC 9728 §5.1).
func (g *Gateway) challenge(h http.Header, a *asked, denial *access.Denial) {
	if a.nonce != "" {
		h["Dpop-Nonce"] = []string{a.nonce}
	}
	if len(denial.Allow) > 0 {
		h["Allow"] = []string{strings.Join(denial.Allow, ", ")}
	}
	if denial.Status != http.StatusUnauthorized && denial.Code != access.CodeInsufficientScope {
		return
	}
	if denial.Challenge.Scheme == schemeBasic {
		h["Www-Authenticate"] = []string{schemeBasic + ` realm="` + g.Issuer + `", charset="UTF-8"`}
		return
	}
	h["Www-Authenticate"] = []string{g.bearerChallenge(schemeBearer, a, denial), g.bearerChallenge(schemeDPoP, a, denial) + `, algs="` + strings.Join(dpop.Algorithms(), " ") + `"`}
}

func (g *Gateway) bearerChallenge(scheme string, a *asked, denial *access.Denial) string {
	var b strings.Builder
	b.WriteString(scheme + ` realm="` + g.Issuer + `"`)
	add := func(name, value string) {
		if value != "" {
			b.WriteString(`, ` + name + `="` + quotable(value) + `"`)
		}
	}
	if a.entry != nil {
		add("resource_metadata", g.metadataURL(a))
	}
	if denial.Challenge.Scheme == scheme && denial.Code != access.CodeLoginRequired {
		add("error", denial.Code)
		add("error_description", denial.Public)
	}
	if len(denial.Challenge.Scope) > 0 {
		add("scope", strings.Join(denial.Challenge.Scope, " "))
	}
	if denial.Code == access.CodeStepUp && denial.Challenge.Scheme == scheme {
		add("acr_values", denial.Challenge.ACR)
		if age := denial.Challenge.MaxAge; age > 0 {
			b.WriteString(`, max_age=` + itoa(int64(age.D()/time.Second)))
		}
	}
	return b.String()
}

// quotable keeps what may stand in a quoted string of a challenge (RFC 6750 §3).
func quotable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < 0x20 || r > 0x7e || r == '\\':
			return -1
		}
		return r
	}, s)
}

// note writes a denial into the request's record, and queues it for gatehouse explain.
func (g *Gateway) note(a *asked, denial *access.Denial) {
	a.ev.Err = denial
	g.denials.put(recordOf(a, denial), a.target.Now)
}

// recordOf returns a denial as it is stored.
func recordOf(a *asked, denial *access.Denial) *access.DenialRecord {
	who := &a.caller.caller
	r := &access.DenialRecord{
		RequestID: a.ev.ID,
		At:        a.target.Now,
		Method:    a.target.Method,
		Host:      a.target.Host,
		Path:      a.raw,
		Caller:    access.RecordedCaller{By: who.By, Client: who.Client, User: who.User},
		IP:        a.ev.IP,
		Status:    denial.Status,
		Denial:    denial.Recorded(),
	}
	if a.entry != nil {
		r.Route, r.RouteName = a.entry.Route().ID, a.entry.Route().Name
	}
	if r.Host == "" {
		r.Host = a.authority
	}
	return r
}
