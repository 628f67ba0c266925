package gateway

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	// maxReturn bounds the path and query that people return to, in bytes.
	maxReturn = 2 << 10
	// maxReadable is the longest return address that travels as it is, escaped: each page of
	// signing in escapes it again. A longer one travels in base64url.
	maxReadable = 900
)

// signInURL returns where a person who opens a page can sign in, with the way back, or "" if
// signing in does not help. At the issuer's own host the browser session is visible. At other
// hosts it is not, because a cookie belongs to one host: there the person gets a session of the
// app.
func (g *Gateway) signInURL(req *Request, d Decision) string {
	if !d.Denial.SignIn || d.Route == nil || !d.Route.source.Browser || !req.Target.Page {
		return ""
	}
	back := returnPath(req.Target.Path, req.Target.Query, d.Route.Prefix())
	if req.Target.Host == g.host {
		return g.Issuer + pathLogin + "?" + returnParam(req.origin()+back)
	}
	if g.Apps == nil {
		return ""
	}
	return appSignInURL(req.origin(), back, d.Route.Compiled.Route())
}

// returnPath returns what people return to: a path with its query, without the query if both are
// too long, or the first page of the route.
func returnPath(path, query, prefix string) string {
	back := path
	if query != "" {
		back += "?" + query
	}
	if len(back) > maxReturn {
		back = path
	}
	if len(back) > maxReturn || !unambiguous(back) {
		return prefix
	}
	return back
}

// returnParam returns a return address as a parameter of our own sign-in pages.
func returnParam(address string) string {
	if escaped := url.QueryEscape(address); len(escaped) <= maxReadable {
		return "return_to=" + escaped
	}
	return "back=" + base64.RawURLEncoding.EncodeToString([]byte(address))
}

// returnAddress reads what returnParam has written.
func returnAddress(q url.Values) string {
	if back := q.Get("back"); back != "" {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(back)
		if err != nil {
			return ""
		}
		return string(raw)
	}
	return q.Get("return_to")
}

// appSignInURL returns where the token handler signs a person in at an origin, as strongly and
// recently as the route requires: with less, the person would be sent here again without end.
func appSignInURL(origin, back string, r *access.Route) string {
	to := origin + "/session/login?return_to=" + url.QueryEscape(back)
	if r.ACR != "" {
		to += "&acr_values=" + r.ACR
	}
	if r.MaxAge > 0 {
		to += "&max_age=" + itoa(int64(r.MaxAge.D()/time.Second))
	}
	return to
}

// Login signs a person in, as strongly and recently as the page requires that they come from, and
// sends them back there.
func (g *Gateway) Login(w http.ResponseWriter, r *http.Request) {
	r.Pattern = pathLogin
	w.Header().Set("Cache-Control", "no-store")
	if err := g.signIn(w, r); err != nil {
		g.Browser.Fail(w, r, err)
	}
}

func (g *Gateway) signIn(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return fault.New(fault.Invalid, "Open this address as a page.")
	}
	q, err := web.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	u, found, err := g.parseReturnTo(returnAddress(q))
	if err != nil {
		return err
	}
	prefix, route := "/", (*access.Route)(nil)
	if found != nil {
		prefix, route = found.Prefix(), found.Route()
	}
	origin := u.Scheme + "://" + u.Host
	path := returnPath(cmp.Or(u.EscapedPath(), "/"), u.RawQuery, prefix)
	if host, _ := hostOf(u.Host); host != g.host { // which would not see the cookie of this host
		return seeOther(w, appSignInURL(origin, path, route))
	}
	sess, err := g.Browser.Session(r)
	if err != nil {
		return err
	}
	back := origin + path
	want := SignIn{Next: pathLogin + "?" + returnParam(back)}
	if route != nil {
		want.ACR = route.ACR
	}
	now := web.EventOf(r.Context()).Now
	switch {
	case sess == nil:
	case identity.ACRRank(want.ACR) > identity.ACRRank(sess.ACR):
	case route != nil && route.MaxAge > 0 && now.Sub(sess.AuthTime) > route.MaxAge.D():
		want.Again = true
	default:
		return seeOther(w, back)
	}
	return g.Browser.SignIn(w, r, want)
}

// parseReturnTo returns a return address and its route, which is nil for a page of this server. It
// accepts addresses at the host of a route, or at this server's own. Any other would make this page
// an open redirector (RFC 9700 §4.11).
func (g *Gateway) parseReturnTo(raw string) (*url.URL, *access.Compiled, error) {
	bad := fault.InvalidField("return_to", "The address to return to does not belong to this server. "+
		"Open the page that you came from again.")
	if !unambiguous(raw) {
		return nil, nil, bad
	}
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "https" && u.Scheme != g.base.Scheme) || u.User != nil ||
		u.Opaque != "" || u.Fragment != "" || !strings.HasPrefix(raw, u.Scheme+"://"+u.Host) {
		return nil, nil, bad
	}
	host, ok := hostOf(u.Host)
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	c, err := g.table.Load().routes.Locate(host, path)
	if !ok || err != nil {
		return nil, nil, bad
	}
	ok = c != nil
	own := host == g.host && u.Scheme == g.base.Scheme && portOf(u) == portOf(g.base)
	switch {
	case own && ok:
		return u, c, nil
	case own:
		return u, nil, nil
	case ok && host != g.host && c.Route().Host != "" && g.knownPort(u):
		return u, c, nil
	}
	return nil, nil, bad
}

// knownPort reports whether routes may be served at the port of an address: the scheme's own, or
// the issuer's. Another program may listen on any other one.
func (g *Gateway) knownPort(u *url.URL) bool {
	port := portOf(u)
	return port == portOf(&url.URL{Scheme: u.Scheme}) ||
		u.Scheme == g.base.Scheme && port == portOf(g.base)
}

// portOf returns the port of an address, or that of its scheme.
func portOf(u *url.URL) string {
	switch port := u.Port(); {
	case port != "":
		return port
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// seeOther redirects the browser with a GET to exactly this address, which http.Redirect would
// clean.
func seeOther(w http.ResponseWriter, to string) error {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// unambiguous reports whether browsers and Go read an address alike: one with backslashes, spaces,
// control characters or other characters outside ASCII they may not.
func unambiguous(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= 0x20 || s[i] >= 0x7f || s[i] == '\\' {
			return false
		}
	}
	return true
}
