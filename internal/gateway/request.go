package gateway

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Request is one request that the gateway decides about: one that was sent to it, or one that a
// proxy holds and asks about. It is immutable.
type Request struct {
	Target    access.Target
	Header    http.Header // the caller's
	Authority string      // host and port as the caller sent them
	// ProxyPort is the port that the caller connected to, where a trusted proxy reports another one
	// than Authority has, or "". Proxies that listen behind a port mapping report a wrong one.
	ProxyPort string

	// ForwardAuth is set if a proxy asks about the request.
	ForwardAuth bool
	// OnlyAuthStatus is set if that proxy understands no answers but 200, 401 and 403, as nginx
	// does.
	OnlyAuthStatus bool

	http  *http.Request
	event *web.Event
}

// requestLine is what the caller of a request asked for.
type requestLine struct {
	method    string
	scheme    string
	authority string
	path      string // as it was sent
	query     string
}

// newRequest returns a request that was sent to the gateway itself.
func (g *Gateway) newRequest(r *http.Request) *Request {
	req := build(r, requestLine{
		method:    r.Method,
		scheme:    g.scheme(r),
		authority: g.authority(r),
		path:      rawPath(r),
		query:     r.URL.RawQuery,
	})
	req.Target.Local = g.Kit.Local(r)
	if g.trusted(r) {
		req.ProxyPort = proxyPort(req)
	}
	return req
}

// authority returns the host and port that the caller called. Some proxies leave the port out of
// Host: then that of X-Forwarded-Host or Forwarded counts, if a trusted proxy sent it and the host
// is the same.
func (g *Gateway) authority(r *http.Request) string {
	forwarded := first(r.Header, "X-Forwarded-Host")
	if forwarded == "" {
		forwarded = forwardedValue(r.Header, "host")
	}
	if forwarded == "" || hasPort(r.Host) || !g.trusted(r) {
		return r.Host
	}
	forwarded, _, _ = strings.Cut(forwarded, ",")
	forwarded = strings.Trim(forwarded, " \t\"")
	host, ok := hostOf(forwarded)
	own, _ := hostOf(r.Host)
	if !ok || host != own || !hasPort(forwarded) {
		return r.Host
	}
	return forwarded
}

// proxyPort returns the port in X-Forwarded-Port, or "" if there is none, or if the authority has a
// port, or if it is the scheme's own.
func proxyPort(req *Request) string {
	port, _, _ := strings.Cut(first(req.Header, "X-Forwarded-Port"), ",")
	port = strings.Trim(port, " \t\"")
	if port == "" || !portLike(port) || hasPort(req.Authority) ||
		port == portOf(&url.URL{Scheme: req.Target.Scheme}) {
		return ""
	}
	return port
}

// hasPort reports whether an authority ends with a port.
func hasPort(authority string) bool {
	i := strings.LastIndexByte(authority, ':')
	return i >= 0 && i+1 < len(authority) && strings.IndexByte(authority[i:], ']') < 0
}

// build returns the request with this line, whose other headers are those of r.
func build(r *http.Request, line requestLine) *Request {
	ev := web.EventOf(r.Context())
	ip, _ := netip.ParseAddr(ev.IP)
	host, _ := hostOf(line.authority) // "" matches no route; see matchRoute
	return &Request{
		Target: access.Target{
			Method: line.method,
			Scheme: line.scheme,
			Host:   host,
			Path:   line.path,
			Query:  line.query,
			IP:     ip,
			Origin: originOfPage(r.Header),
			Page:   opensPage(r.Header, line.method),
			Now:    ev.Now,
		},
		Header:    r.Header,
		Authority: line.authority,
		http:      r,
		event:     ev,
	}
}

// Context returns the context of the request.
func (r *Request) Context() context.Context { return r.http.Context() }

// proofURL returns the address that a DPoP proof must be made for (RFC 9449 §4.3, htu): that of the
// request, without a query. On a route of any host it is below the issuer's address: the Host
// header would let a proof pass that was made for another site (RFC 9449 §11.1).
func (g *Gateway) proofURL(req *Request, route *Route) string {
	if route.Compiled.Route().Host == "" {
		return g.base.Scheme + "://" + g.base.Host + req.Target.Path
	}
	if req.ProxyPort != "" && claimedPort(first(req.Header, "Dpop")) == req.ProxyPort {
		return req.origin() + ":" + req.ProxyPort + req.Target.Path
	}
	return req.origin() + req.Target.Path
}

// claimedPort returns the port of the address that an unverified proof is for, or "".
func claimedPort(proof string) string {
	_, rest, _ := strings.Cut(proof, ".")
	payload, _, _ := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	var claims struct {
		URL string `json:"htu"`
	}
	if err != nil || json.Unmarshal(raw, &claims) != nil {
		return ""
	}
	u, err := url.Parse(claims.URL)
	if err != nil {
		return ""
	}
	return u.Port()
}

// origin returns the scheme, host and port as the caller sees them.
func (r *Request) origin() string { return r.Target.Scheme + "://" + r.Authority }

// certificate returns the caller's TLS certificate, or nil. A connection that ends at a proxy has
// none here.
func (r *Request) certificate() *x509.Certificate {
	if r.ForwardAuth || r.http.TLS == nil || len(r.http.TLS.PeerCertificates) == 0 {
		return nil
	}
	return r.http.TLS.PeerCertificates[0]
}

// decideWithin bounds how long a decision waits for storage. A proxied request as a whole has no
// deadline, because it may be a stream.
const decideWithin = 10 * time.Second

// storageContext returns the request's context with the deadline for reading storage.
func (r *Request) storageContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), decideWithin)
}

// scheme returns http or https, as the caller sees it: what a trusted proxy reports or else, behind
// such a proxy, the scheme of the issuer's address.
func (g *Gateway) scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	if !g.trusted(r) {
		return "http"
	}
	proto := first(r.Header, "X-Forwarded-Proto")
	if proto == "" {
		proto = forwardedValue(r.Header, "proto")
	}
	if scheme := forwardedScheme(proto); scheme != "" {
		return scheme
	}
	return g.base.Scheme
}

// forwardedValue returns a parameter of the Forwarded header (RFC 7239): that of its first element,
// which the proxy next to the caller has written.
func forwardedValue(h http.Header, name string) string {
	line := first(h, "Forwarded")
	if line == "" {
		return ""
	}
	element, _, _ := strings.Cut(line, ",")
	return netaddr.ForwardedValue(element, name)
}

// forwardedScheme returns the scheme that X-Forwarded-Proto reports, or "" if it is not one. In a
// list the first value counts, that of the proxy next to the caller. Proxies report ws and wss for
// WebSocket requests.
func forwardedScheme(value string) string {
	proto, _, _ := strings.Cut(value, ",")
	switch proto = strings.Trim(proto, " \t\""); {
	case strings.EqualFold(proto, "https") || strings.EqualFold(proto, "wss"):
		return "https"
	case strings.EqualFold(proto, "http") || strings.EqualFold(proto, "ws"):
		return "http"
	}
	return ""
}

// trusted reports whether a request's connection comes from a proxy in TRUSTED_PROXIES.
func (g *Gateway) trusted(r *http.Request) bool {
	if len(g.Kit.Proxies) == 0 {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && netaddr.Contains(g.Kit.Proxies, peer.Addr())
}

// rawPath returns a request's path as it is on the request line, or in :path.
func rawPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	// The absolute form (RFC 9112 §3.2.2), or a request that no server has read.
	return r.URL.EscapedPath()
}

// maxHost is the length of the longest host name (RFC 1035 §2.3.4).
const maxHost = 253

// hostOf returns the host of an authority in lower case and without the port, as routes are matched
// by it. It reports false for what is not a host name, and if anything but a port follows the
// colon, because another program may find its host there (RFC 3986 §3.2).
func hostOf(authority string) (string, bool) {
	host := authority
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		if !portLike(host[i+1:]) {
			return "", false
		}
		host = host[:i]
	}
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		ip, err := netip.ParseAddr(host[1 : n-1])
		if err != nil || !ip.Is6() || ip.Zone() != "" {
			return "", false
		}
		return ip.String(), true
	}
	host = strings.TrimSuffix(host, ".") // the same host as an absolute name
	if host == "" || len(host) > maxHost {
		return "", false
	}
	return lowerHost(host)
}

// lowerHost returns a host name in lower case, or reports false if it is not one.
func lowerHost(host string) (string, bool) {
	lower := true
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.' && i > 0 && i < len(host)-1 && host[i-1] != '.':
			// No label is empty (RFC 1035 §2.3.1).
		case c >= 'A' && c <= 'Z':
			lower = false
		default:
			return "", false
		}
	}
	if !lower {
		host = strings.ToLower(host)
	}
	return host, true
}

// portLike reports whether s may follow the colon of an authority, where it may be empty
// (RFC 3986 §3.2.3).
func portLike(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) <= len("65535")
}

// opensPage reports whether a browser opens a page, so that a redirect to another page makes sense.
// Forms, scripts and images get a 401.
func opensPage(h http.Header, method string) bool {
	return (method == http.MethodGet || method == http.MethodHead) && web.PrefersPage(h)
}

// originOfPage returns the Origin header. Values of a repeated one are joined, so that the result
// is no origin.
func originOfPage(h http.Header) string {
	if v := h["Origin"]; len(v) > 1 {
		return strings.Join(v, ", ")
	}
	return first(h, "Origin")
}

// first returns the first value of a header by its canonical name, or "".
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}
