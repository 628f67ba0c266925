package gateway

import (
	"html"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// deny answers a request that may not pass: with a redirect to sign in where that helps a person,
// with a page for other people, and with JSON for programs. It queues the denial for gatehouse
// explain.
func (g *Gateway) deny(w http.ResponseWriter, req *Request, d Decision) {
	req.event.Err = d.Denial
	g.meterOf(d).Deny(d.Denial.Status, d.Denial.Rule)
	g.denials.put(recordOf(req, d), req.Target.Now)
	h := w.Header()
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	if to := g.signInURL(req, d); to != "" {
		if !req.OnlyAuthStatus {
			redirectToSignIn(w, req, to)
			return
		}
		h["X-Auth-Login"] = []string{to}
	}
	g.challenge(h, req, d)
	status := d.Denial.Status
	if req.OnlyAuthStatus && status != http.StatusUnauthorized && status != http.StatusForbidden {
		// nginx turns all others into an error of its own; its configuration can restore this one.
		h["X-Auth-Status"] = []string{strconv.Itoa(status)}
		status = http.StatusForbidden
	}
	wait := time.Duration(0)
	if d.Denial.RetryAfter > 0 {
		wait = time.Duration(seconds(d.Denial.RetryAfter)) * time.Second
		h["Retry-After"] = []string{itoa(seconds(wait))}
	}
	if web.PrefersPage(req.Header) { // whatever its method, it is a person's
		writePage(w, req, status, d.Denial.Public)
		return
	}
	if d.Denial.Status != http.StatusTooManyRequests {
		wait = 0 // only rate limits repeat it in the body
	}
	web.WriteProblem(w, req.http, web.Problem{
		Status:     status,
		Code:       d.Denial.Code,
		Text:       d.Denial.Public,
		RequestID:  req.event.ID,
		RetryAfter: wait,
	})
}

// redirectToSignIn sends a person to sign in.
func redirectToSignIn(w http.ResponseWriter, req *Request, to string) {
	w.Header()["Location"] = []string{to}
	status := http.StatusSeeOther
	if req.ForwardAuth { // as the proxies' manuals show
		status = http.StatusFound
	}
	w.WriteHeader(status)
}

// writePage writes what happened for a person who has opened a page. It has no styles, because a
// route's host serves none of the server's own files.
func writePage(w http.ResponseWriter, req *Request, status int, text string) {
	title := http.StatusText(status)
	body := "<!doctype html><html lang=en><meta charset=utf-8>" +
		"<meta name=viewport content=\"width=device-width\"><title>" + title + "</title>" +
		"<h1>" + title + "</h1><p>" + html.EscapeString(text) +
		"<p>Request id: <code>" + html.EscapeString(req.event.ID) + "</code></html>"
	h := w.Header()
	h["Content-Type"] = []string{"text/html; charset=utf-8"}
	h["Content-Security-Policy"] = []string{"default-src 'none'; frame-ancestors 'none'"}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	if req.http.Method != http.MethodHead {
		_, _ = w.Write([]byte(body)) // the caller is gone if it fails
	}
}

// challenge writes what a 401 and some 403 tell a program: the authentication schemes, the address
// of the route's metadata, and what is wrong (RFC 6750 §3, RFC 9449 §7.1, RFC 9470 §3, RFC 9728
// §5.1).
func (g *Gateway) challenge(h http.Header, req *Request, d Decision) {
	if d.Nonce != "" {
		h["Dpop-Nonce"] = []string{d.Nonce}
	}
	if len(d.Denial.Allow) > 0 {
		h["Allow"] = []string{strings.Join(d.Denial.Allow, ", ")}
	}
	if d.Denial.Status != http.StatusUnauthorized && d.Denial.Code != access.CodeInsufficientScope {
		return
	}
	if d.Denial.Challenge.Scheme == schemeBasic {
		h["Www-Authenticate"] = []string{schemeBasic + ` realm="` + g.Issuer + `", charset="UTF-8"`}
		return
	}
	h["Www-Authenticate"] = []string{
		g.tokenChallenge(schemeBearer, req, d),
		g.tokenChallenge(schemeDPoP, req, d) + `, algs="` + strings.Join(dpop.Algorithms(), " ") + `"`,
	}
}

// tokenChallenge returns the challenge of one scheme for access tokens.
func (g *Gateway) tokenChallenge(scheme string, req *Request, d Decision) string {
	var b strings.Builder
	b.WriteString(scheme + ` realm="` + g.Issuer + `"`)
	add := func(name, value string) {
		if value != "" {
			b.WriteString(`, ` + name + `="` + oauth.Printable(value) + `"`)
		}
	}
	if d.Route != nil {
		add("resource_metadata", metadataURL(d.Route.ResourceAt(req.Target.Host)))
	}
	carriesCode := d.Denial.Challenge.Scheme == scheme
	if carriesCode && d.Denial.Code != access.CodeLoginRequired {
		add("error", d.Denial.Code)
		add("error_description", d.Denial.Public)
	}
	add("scope", strings.Join(d.Denial.Challenge.Scope, " "))
	if carriesCode && d.Denial.Code == access.CodeStepUp {
		add("acr_values", d.Denial.Challenge.ACR)
		if age := d.Denial.Challenge.MaxAge; age > 0 {
			b.WriteString(`, max_age=` + itoa(int64(age.D()/time.Second)))
		}
	}
	return b.String()
}

// recordOf returns a denial as it is stored.
func recordOf(req *Request, d Decision) *access.DenialRecord {
	r := &access.DenialRecord{
		RequestID: req.event.ID,
		At:        req.Target.Now,
		Method:    req.Target.Method,
		Host:      req.Target.Host,
		Path:      req.Target.Path,
		Caller:    access.RecordedCaller{By: d.Caller.By, Client: d.Caller.Client, User: d.Caller.User},
		IP:        req.event.IP,
		Status:    d.Denial.Status,
		Denial:    d.Denial.Recorded(),
	}
	if d.Route != nil {
		r.Route, r.RouteName = d.Route.id(), d.Route.name()
	}
	if r.Host == "" {
		r.Host = req.Authority
	}
	return r
}
