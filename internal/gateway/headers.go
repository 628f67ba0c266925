package gateway

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/web"
)

// reserved reports whether a header says who calls, from where, or with what credential. Such
// headers are never passed on, in whatever spelling; upstreams get the gateway's own.
func reserved(name string) bool {
	switch name = asCGI(name); name {
	case "Authorization", "Dpop", "X-Client-Id", "Proxy-Authorization", "Forwarded", "X-Real-Ip",
		"X-Request-Id", "True-Client-Ip",
		"Proxy", // as HTTP_PROXY it would redirect the requests of CGI programs (CVE-2016-5385)
		"X-Client-Ip", "Client-Ip", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Pseudo-Ipv4",
		"Fastly-Client-Ip", "X-Cluster-Client-Ip", "X-Envoy-External-Address", "X-Azure-Clientip",
		"X-Appengine-User-Ip", "X-Arr-Clientcert", "X-User", "X-Username":
		return true
	}
	for _, prefix := range [...]string{
		"X-Auth-", "X-Forwarded-", "X-Original-", "X-Rewrite-",
		"Remote-", "X-Remote-", "X-Webauth-", "X-Authenticated-", "X-Goog-Authenticated-User-",
		"X-Ms-Client-Principal", "X-Amzn-Oidc-", "X-Amzn-Mtls-", "Tailscale-User-", "Cf-Access-",
		"X-Client-Cert", "Client-Cert", "X-Ssl-", "Ssl-Client-", "Oidc-",
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// asCGI returns a header's canonical name as servers that follow CGI (RFC 3875 §4.1.18) read it.
// They cannot tell X_Auth_Info from X-Auth-Info, and some of them replace every character that is
// not a letter or a digit.
func asCGI(name string) string {
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

// forwardHeaders turns the headers that the caller sent into those that the upstream gets.
func forwardHeaders(h http.Header, req *Request, route *Route, headers *identityHeaders) {
	keepsBasic := route.passesBasic(h)
	for name := range h {
		if reserved(name) && (name != "Authorization" || !keepsBasic) {
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
	h[headerInfo] = headers.info
	h["X-Forwarded-For"] = []string{forwardedFor(req.event.IP)}
	h["X-Forwarded-Proto"] = []string{req.Target.Scheme}
	h["X-Forwarded-Host"] = []string{req.Authority}
	h["X-Request-Id"] = []string{req.event.ID}
	keepTrace(h)
}

// ownCookie reports whether a cookie is one of this server's, which no upstream may see or set: all
// are called gatehouse, or gatehouse followed by - or _ and more.
func ownCookie(name string) bool {
	more, ok := strings.CutPrefix(
		strings.TrimPrefix(strings.TrimPrefix(name, "__Host-"), "__Secure-"), web.CookieSession)
	return ok && (more == "" || more[0] == '-' || more[0] == '_')
}

// forwardedFor returns the value of X-Forwarded-For for the upstream. A caller without a known
// address gets "unknown" (RFC 7239 §6.2): the upstream must not take the gateway for the caller.
func forwardedFor(ip string) string {
	if ip == "" {
		return "unknown"
	}
	return ip
}

// foreignCookies returns Cookie headers without this server's own cookies.
func foreignCookies(lines []string) []string {
	if !mentions(lines) {
		return lines
	}
	out := make([]string, 0, len(lines))
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
			out = append(out, strings.Join(parts, "; "))
		}
	}
	return out
}

// setsOwnCookie reports whether a Set-Cookie header would set one of this server's cookies. A
// cookie without a name is sent as its value alone, so =gatehouse=x counts as gatehouse (RFC
// 6265bis §5.7).
func setsOwnCookie(line string) bool {
	pair, _, _ := strings.Cut(line, ";")
	name, value, _ := strings.Cut(pair, "=")
	if strings.TrimSpace(name) == "" {
		name, _, _ = strings.Cut(value, "=")
	}
	return ownCookie(strings.TrimSpace(name))
}

// mentions reports whether a header could contain one of this server's cookies.
func mentions(lines []string) bool {
	for _, line := range lines {
		if strings.Contains(line, web.CookieSession) {
			return true
		}
	}
	return false
}

// sandbox makes a response at the issuer's own host harmless there: a page of it gets an origin of
// its own, so that its scripts cannot act as the person at the sign-in pages (CSP Level 3 §6.4.2).
// Of several policies, each is enforced.
func sandbox(w, h http.Header) {
	delete(w, "Content-Security-Policy")
	delete(w, "X-Content-Type-Options")
	h["Content-Security-Policy"] = append(slices.Clip(h["Content-Security-Policy"]), "sandbox")
	h["X-Content-Type-Options"] = []string{"nosniff"}
}

// filterResponse removes from an upstream's response headers, and from those that the server has
// set for its own pages (w), what must not reach the caller: the upstream speaks for itself and not
// for this server.
func (g *Gateway) filterResponse(w, h http.Header, req *Request, route *Route) {
	delete(h, "X-Request-Id")
	ownHost := req.Target.Host == g.host
	for _, name := range [...]string{"X-Content-Type-Options", "Referrer-Policy", "Strict-Transport-Security"} {
		if !ownHost || len(h[name]) > 0 {
			delete(w, name) // the upstream protects its own pages
		}
	}
	// the upstream has a prefix of it, and these apply to the whole origin, the login page included
	if ownHost {
		sandbox(w, h)
		delete(h, "Service-Worker-Allowed")
		delete(h, "Clear-Site-Data")
		delete(h, "Strict-Transport-Security")
	}
	if cookies := h["Set-Cookie"]; mentions(cookies) {
		cookies = slices.DeleteFunc(slices.Clone(cookies), setsOwnCookie)
		if delete(h, "Set-Cookie"); len(cookies) > 0 {
			h["Set-Cookie"] = cookies
		}
	}
	if len(route.source.CORS) > 0 { // the route alone says which origins may read the response
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				delete(h, name)
			}
		}
	}
}
