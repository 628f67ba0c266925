package gateway

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/web"
)

// reserved reports whether a header is one that says who calls, from where, or with what credential: it is never taken from a caller and
// never passed on. Servers that follow CGI (RFC 3875 §4.1.18) cannot tell X_Auth_Info from X-Auth-Info, so both are.
func reserved(name string) bool {
	if strings.IndexByte(name, '_') >= 0 {
		name = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
	}
	switch name {
	case "Authorization", "Dpop", "X-Client-Id", "Proxy-Authorization", "Forwarded", "X-Real-Ip", "X-Request-Id", "True-Client-Ip", "X-Client-Cert":
		return true
	}
	return strings.HasPrefix(name, "X-") &&
		(strings.HasPrefix(name, "X-Auth-") || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Original-") || strings.HasPrefix(name, "X-Rewrite-"))
}

// forward makes the headers that the upstream gets of those that the caller sent.
func (g *Gateway) forward(h http.Header, a *asked, p *pass) {
	for name := range h {
		if reserved(name) {
			delete(h, name)
		}
	}
	if lines := h["Cookie"]; len(lines) > 0 {
		if lines = foreignCookies(lines); len(lines) == 0 {
			delete(h, "Cookie")
		} else {
			h["Cookie"] = lines
		}
	}
	h[headerInfo] = p.info
	h["X-Forwarded-For"] = []string{a.ev.IP}
	h["X-Forwarded-Proto"] = []string{a.target.Scheme}
	h["X-Forwarded-Host"] = []string{a.authority}
	if cut := a.raw[:len(a.raw)-len(a.rest)]; cut != "" {
		h["X-Forwarded-Prefix"] = []string{cut}
	}
	h["X-Request-Id"] = []string{a.ev.ID}
	trace(h)
}

// ownCookie reports whether a cookie is one of ours, which no upstream may see or set: all are called gatehouse, or so with more
// behind it.
func ownCookie(name string) bool {
	more, ok := strings.CutPrefix(strings.TrimPrefix(strings.TrimPrefix(name, "__Host-"), "__Secure-"), web.CookieSession)
	return ok && (more == "" || more[0] == '-' || more[0] == '_')
}

// foreignCookies leaves our cookies out of Cookie headers, and the others as they are.
func foreignCookies(lines []string) []string {
	if !mentions(lines) {
		return lines
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		var parts []string
		for part := range strings.SplitSeq(line, ";") {
			part = strings.TrimSpace(part)
			name, _, _ := strings.Cut(part, "=")
			if part != "" && !ownCookie(strings.TrimSpace(name)) {
				parts = append(parts, part)
			}
		}
		if len(parts) > 0 {
			kept = append(kept, strings.Join(parts, "; "))
		}
	}
	return kept
}

func mentions(lines []string) bool {
	for _, line := range lines {
		if strings.Contains(line, web.CookieSession) {
			return true
		}
	}
	return false
}

// answered looks at an upstream's answer before it is passed on: it says nothing in our name, and sets none of our cookies.
func (g *Gateway) answered(w http.Header, h http.Header, a *asked) {
	delete(h, "X-Request-Id")
	for _, name := range [...]string{"X-Content-Type-Options", "Referrer-Policy", "Strict-Transport-Security"} {
		if a.target.Host != g.host || len(h[name]) > 0 {
			delete(w, name) // its own pages are the upstream's to guard
		}
	}
	if cookies := h["Set-Cookie"]; mentions(cookies) {
		var kept []string
		for _, c := range cookies {
			if name, _, _ := strings.Cut(c, "="); !ownCookie(strings.TrimSpace(name)) {
				kept = append(kept, c)
			}
		}
		if delete(h, "Set-Cookie"); len(kept) > 0 {
			h["Set-Cookie"] = kept
		}
	}
	if len(a.entry.source.CORS) > 0 { // who may read the answer is said by the route alone
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				delete(h, name)
			}
		}
	}
}
