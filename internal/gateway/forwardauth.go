package gateway

import (
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Check answers a proxy that asks whether a request it holds may pass: 200 with headers that say who makes it, or what the proxy should answer
// in place of the upstream. It is served at /gateway/check and, with the request's own path behind it, below.
func (g *Gateway) Check(w http.ResponseWriter, r *http.Request) {
	r.Pattern = pathCheck
	a := &asked{r: r, ev: web.EventOf(r.Context()), asker: true, caller: g.nobody}
	a.target.Now = a.ev.Now
	denial := g.original(a)
	if denial == nil && !g.preflights(a) { // a preflight is the upstream's to answer, as nobody's
		denial = g.check(a)
	}
	if denial == nil {
		denial = g.rate(w, a)
	}
	var p *pass
	if denial == nil {
		var err error
		if p, err = g.pass(a); err != nil {
			denial = unjudged(err)
		}
	}
	if denial != nil {
		if denial.Status == http.StatusNotFound { // the address exists at the proxy, so it is not ours to say that it does not
			denial.Status, denial.Code = http.StatusForbidden, access.CodeAccessDenied
			denial.Public = "There is no route for this address, so nobody may pass."
		}
		g.refuse(w, a, denial)
		return
	}
	h := w.Header()
	p.put(h)
	if a.nonce != "" {
		h["Dpop-Nonce"] = []string{a.nonce}
	}
	h["Cache-Control"] = []string{"no-store"}
	h["Content-Length"] = []string{"0"}
	w.WriteHeader(http.StatusOK)
}

// original reads the request that a proxy asks about. A proxy tells it in one of four ways; each is read by itself, and who tells it in
// two ways is refused, since one of them may be the caller's.
func (g *Gateway) original(a *asked) *access.Denial {
	r, h := a.r, a.r.Header
	if !g.trusted(r) {
		denial := badRequest("proxy", "The question comes from an address that is no trusted proxy.", "Add the proxy's address to TRUSTED_PROXIES.")
		denial.Status, denial.Code = http.StatusForbidden, access.CodeAccessDenied
		return denial
	}
	path := rawPath(r)
	ways := 0
	for _, told := range [...]bool{len(path) > len(pathCheck), len(h["X-Forwarded-Uri"]) > 0, len(h["X-Original-Uri"]) > 0, len(h["X-Original-Url"]) > 0} {
		if told {
			ways++
		}
	}
	var denial *access.Denial
	switch {
	case ways > 1:
		return badRequest("proxy", "The question tells the request's address in two ways.", "Let the proxy clear X-Forwarded-Uri, X-Original-URI and X-Original-URL of what the caller sends, but the one that it sets.")
	case ways == 0:
		return badRequest("proxy", "The question does not tell the address of the request.", "Set X-Forwarded-Uri, X-Original-URI or X-Original-URL at the proxy, or ask below /gateway/check with the request's own path.")
	case len(path) > len(pathCheck):
		denial = a.fromPath(path[len(pathCheck):])
	case len(h["X-Forwarded-Uri"]) > 0:
		denial = a.fromHeaders("X-Forwarded-Uri", "X-Forwarded-Method", "X-Forwarded-Host")
	case len(h["X-Original-Uri"]) > 0:
		a.nginx = true
		denial = a.fromHeaders("X-Original-Uri", "X-Original-Method", "X-Original-Host")
	default:
		a.nginx = true
		denial = a.fromURL()
	}
	if name := disguised(h); denial == nil && name != "" {
		denial = badRequest("header", "A header's name is a disguise of one that is ours.", "Send no headers such as X_Auth_User.")
		denial.Had = []string{name}
	}
	if a.target.Scheme == "" {
		a.target.Scheme = g.scheme(r)
	}
	a.browser()
	return denial
}

// fromPath is how Envoy asks (ext_authz over HTTP): with the request's method, host and headers, and its path behind ours.
func (a *asked) fromPath(path string) *access.Denial {
	a.target.Method, a.authority, a.raw, a.target.Query = a.r.Method, a.r.Host, path, a.r.URL.RawQuery
	return nil
}

// fromHeaders is how Traefik and Caddy ask, and nginx as the guide configures it. All three must be there: what the proxy does not
// set, the caller could.
func (a *asked) fromHeaders(uri, method, host string) *access.Denial {
	value := map[string]string{}
	for _, name := range [...]string{uri, method, host} {
		switch v := a.r.Header[name]; {
		case len(v) == 0 || v[0] == "":
			return badRequest("proxy", "The header "+name+" is missing.", "Set it at the proxy, so that no caller can.")
		case len(v) > 1 || name != uri && strings.ContainsAny(v[0], ", "):
			return badRequest("proxy", "The header "+name+" has more than one value.", "Let the proxy replace what the caller sends.")
		default:
			value[name] = v[0]
		}
	}
	a.target.Method, a.authority = value[method], value[host]
	a.raw, a.target.Query, _ = strings.Cut(value[uri], "?")
	return nil
}

// fromURL is how some configurations of nginx ask: with the whole address in one header.
func (a *asked) fromURL() *access.Denial {
	method, address := a.r.Header["X-Original-Method"], a.r.Header["X-Original-Url"]
	if len(method) != 1 || len(address) != 1 || method[0] == "" {
		return badRequest("proxy", "X-Original-URL and X-Original-Method must be there, once each.", "Set both at the proxy, so that no caller can.")
	}
	rest, secure := strings.CutPrefix(address[0], "https://")
	rest, plain := strings.CutPrefix(rest, "http://")
	if secure == plain {
		return badRequest("proxy", "X-Original-URL is no http or https address.", "Set it to $scheme://$http_host$request_uri.")
	}
	a.target.Scheme = "http"
	if secure {
		a.target.Scheme = "https"
	}
	at := strings.IndexAny(rest, "/?")
	if at < 0 {
		at = len(rest)
	}
	a.target.Method, a.authority = method[0], rest[:at]
	a.raw, a.target.Query, _ = strings.Cut(rest[at:], "?")
	if a.raw == "" {
		a.raw = "/"
	}
	return nil
}
