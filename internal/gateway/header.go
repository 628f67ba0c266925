package gateway

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/web"
)

// reserved reports whether a header is one that says who calls, from where, or with what credential: it is never taken from a caller and
// never passed on, in whatever disguise.
func reserved(name string) bool {
	switch name = undisguised(name); name {
	case "Authorization", "Dpop", "X-Client-Id", "Proxy-Authorization", "Forwarded", "X-Real-Ip", "X-Request-Id", "True-Client-Ip", "X-Client-Cert":
		return true
	}
	return strings.HasPrefix(name, "X-") &&
		(strings.HasPrefix(name, "X-Auth-") || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Original-") || strings.HasPrefix(name, "X-Rewrite-"))
}

// undisguised is a header's name as servers that follow CGI (RFC 3875 §4.1.18) understand it. They cannot tell X_Auth_Info from
// X-Auth-Info, and some of them take every character that is no letter or digit for the same.
func undisguised(name string) string {
	for i := 0; i < len(name); i++ {
		if !plainLetter(name[i]) {
			return textproto.CanonicalMIMEHeaderKey(strings.Map(func(r rune) rune {
				if r < 0x80 && plainLetter(byte(r)) {
					return r
				}
				return '-'
			}, name))
		}
	}
	return name
}

func plainLetter(c byte) bool {
	return c == '-' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// disguised is a header of a request that would be taken for one of ours by some servers, or "". Where a proxy copies our headers over
// the caller's, it would be left there.
func disguised(h http.Header) string {
	for name := range h {
		if undisguised(name) != name && reserved(name) {
			return name
		}
	}
	return ""
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

// setsOwnCookie reports whether a Set-Cookie would set a cookie of ours. One without a name counts by its value: it is sent as that alone,
// and so =gatehouse=x comes back as ours (RFC 6265bis §5.7).
func setsOwnCookie(line string) bool {
	pair, _, _ := strings.Cut(line, ";")
	name, value, _ := strings.Cut(pair, "=")
	if strings.TrimSpace(name) == "" {
		name, _, _ = strings.Cut(value, "=")
	}
	return ownCookie(strings.TrimSpace(name))
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
	if a.target.Host == g.host { // a prefix of it is the upstream's, and these speak for all of the origin: the login page above all
		delete(h, "Service-Worker-Allowed")
		delete(h, "Clear-Site-Data")
		delete(h, "Strict-Transport-Security")
	}
	if cookies := h["Set-Cookie"]; mentions(cookies) {
		var kept []string
		for _, c := range cookies {
			if !setsOwnCookie(c) {
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
