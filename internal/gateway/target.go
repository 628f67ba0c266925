package gateway

import (
	"context"
	"crypto/x509"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// asked is one request as the gateway judges it, whoever brought it here: its caller, or a proxy that holds it.
type asked struct {
	r         *http.Request // that carries the caller's headers
	ev        *web.Event
	target    access.Target
	authority string // host and port as the caller sent them
	raw       string // the path as it was sent, for the record
	entry     *entry // the route; nil if none matches
	rest      string // of the path, behind the route's prefix
	caller    *known
	nonce     string // for the next DPoP proof
	stay      *stay  // once the call has lasted for a while; the upstream's watch alone looks at it
	nginx     bool   // the proxy that asks can only hear yes, 401 and 403
	asker     bool   // a proxy asks about the request
}

// certificate is the caller's in TLS, or nil: of a connection that ends here, and not at a proxy.
func (a *asked) certificate() *x509.Certificate {
	if a.asker || a.r.TLS == nil || len(a.r.TLS.PeerCertificates) == 0 {
		return nil
	}
	return a.r.TLS.PeerCertificates[0]
}

// url is the address as the caller sees it, without a query (RFC 9449 §4.3, htu).
func (a *asked) url() string { return a.target.Scheme + "://" + a.authority + a.raw }

// direct is a request that was sent to the gateway itself.
func (g *Gateway) direct(r *http.Request) *asked {
	ev := web.EventOf(r.Context())
	a := &asked{r: r, ev: ev, authority: r.Host, raw: rawPath(r), caller: g.nobody}
	a.target = access.Target{Method: r.Method, Scheme: g.scheme(r), Query: r.URL.RawQuery, Now: ev.Now}
	a.browser()
	return a
}

// decideWithin bounds what a decision waits for storage. A proxied request as a whole has no deadline: it may be a stream.
const decideWithin = 10 * time.Second

// patience is the request's context for a question to storage.
func (a *asked) patience() (context.Context, context.CancelFunc) {
	return context.WithTimeout(a.r.Context(), decideWithin)
}

// browser reads what a browser says of itself.
func (a *asked) browser() {
	a.target.IP, _ = netip.ParseAddr(a.ev.IP)
	a.target.Origin = first(a.r.Header, "Origin")
	a.target.Page = opensPage(a.r.Header, a.target.Method)
}

// find looks the route up: a refusal if the address is none that a route could have.
func (g *Gateway) find(a *asked) *access.Denial {
	host, ok := hostOf(a.authority)
	if !ok {
		return badRequest("path", "The Host header is not a host name.", "Send the host's name, and at most a port behind it.")
	}
	a.target.Host = host
	path, err := access.Clean(a.raw)
	if err != nil {
		return badPath(err)
	}
	a.target.Path = a.raw
	tab := g.table.Load()
	compiled, _, ok := tab.routes.Match(host, path)
	if !ok {
		return noRoute()
	}
	a.entry, a.rest = tab.entries[compiled], compiled.Rest(a.raw)
	return nil
}

// scheme is http or https, as the caller sees it: a proxy that is trusted says so, or it is taken to serve what the issuer's
// address says.
func (g *Gateway) scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	if !g.trusted(r) {
		return "http"
	}
	switch proto := first(r.Header, "X-Forwarded-Proto"); {
	case strings.EqualFold(proto, "https") || strings.EqualFold(proto, "wss"):
		return "https"
	case proto != "":
		return "http"
	}
	return g.base.Scheme
}

// trusted reports whether a request's connection comes from a proxy of TRUSTED_PROXIES.
func (g *Gateway) trusted(r *http.Request) bool {
	if len(g.Kit.Proxies) == 0 {
		return false
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return false
	}
	return within(g.Kit.Proxies, peer.Addr().Unmap().WithZone(""))
}

func within(prefixes []netip.Prefix, ip netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// rawPath is a request's path as it stands on the request line, or in :path.
func rawPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		return path
	}
	return r.URL.EscapedPath() // the absolute form (RFC 9112 §3.2.2), or a request that came over no wire
}

// maxHost is the longest name there is (RFC 1035 §2.3.4).
const maxHost = 253

// hostOf takes the port off an authority and writes the name in lower case, as routes are looked up by; false if it is no name, or if
// something else than a port stands behind the colon: another program may find its host there (RFC 3986 §3.2).
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
	host = strings.TrimSuffix(host, ".") // the same host, spelt absolutely
	if host == "" || len(host) > maxHost {
		return "", false
	}
	lower := true
	for i := 0; i < len(host); i++ {
		switch c := host[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.' && i > 0 && i < len(host)-1 && host[i-1] != '.': // no label is empty (RFC 1035 §2.3.1)
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

// portLike reports whether s can stand behind a host's colon (RFC 3986 §3.2.3), where it may be empty.
func portLike(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) <= len("65535")
}

// opensPage reports whether a browser opens a page, so that sending it to another makes sense: scripts and pictures are told
// 401. Sec-Fetch-Mode says it where it is sent (Fetch Metadata §2.2).
func opensPage(h http.Header, method string) bool {
	if method != http.MethodGet && method != http.MethodHead {
		return false
	}
	if mode := first(h, "Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(first(h, "Accept"), "text/html")
}

// first is the first value of a header by its canonical name, or "".
func first(h http.Header, name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}
