package gateway

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// maxReturn bounds an address to come back to, in bytes and written as a parameter: it travels through every page of signing in.
const maxReturn = 900

// loginURL is where somebody who opens a page signs in, with the way back; "" if there is no such place. At the issuer's own host the
// browser session is seen. On any other it is not, because a cookie belongs to one host: there the person gets a session of the app.
func (g *Gateway) loginURL(a *asked) string {
	back := a.raw
	if a.target.Query != "" {
		back += "?" + a.target.Query
	}
	origin := a.target.Scheme + "://" + a.authority
	if a.target.Host == g.host {
		to := url.QueryEscape(origin + back)
		if len(to) > maxReturn || !printable(back) {
			to = url.QueryEscape(origin + a.entry.Prefix())
		}
		return g.Issuer + pathLogin + "?return_to=" + to
	}
	if g.Apps == nil {
		return ""
	}
	if !printable(back) || len(back) > maxAppReturn {
		back = a.entry.Prefix()
	}
	return appLogin(origin, back, a.entry.Route())
}

// appLogin is where the token handler signs a person in at an origin, as strongly and recently as the route asks for: coming back with
// less would lead here again, for ever.
func appLogin(origin, back string, r *access.Route) string {
	to := origin + "/session/login?return_to=" + url.QueryEscape(back)
	if r.ACR != "" {
		to += "&acr_values=" + r.ACR
	}
	if r.MaxAge > 0 {
		to += "&max_age=" + itoa(int64(r.MaxAge.D()/time.Second))
	}
	return to
}

// maxAppReturn is the longest path that the token handler brings people back to.
const maxAppReturn = 512

// Login signs a person in, as strongly and recently as the page asks that they come from, and sends them back there.
func (g *Gateway) Login(w http.ResponseWriter, r *http.Request) {
	r.Pattern = pathLogin
	w.Header().Set("Cache-Control", "no-store")
	if err := g.login(w, r); err != nil {
		g.Browser.Fail(w, r, err)
	}
}

func (g *Gateway) login(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return fault.New(fault.Invalid, "Open this address as a page.")
	}
	q, err := web.Parse(r.URL.RawQuery)
	if err != nil {
		return err
	}
	back := q.Get("return_to")
	u, route, err := g.wayBack(back)
	if err != nil {
		return err
	}
	if host, _ := hostOf(u.Host); host != g.host { // the cookie of this host would not be seen there
		return see(w, appLogin(u.Scheme+"://"+u.Host, pathOf(u), route))
	}
	sess, err := g.Browser.Session(r)
	if err != nil {
		return err
	}
	want := SignIn{Next: pathLogin + "?return_to=" + url.QueryEscape(back)}
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
		return see(w, back)
	}
	return g.Browser.SignIn(w, r, want)
}

// wayBack reads an address to come back to: one at the host of a route, or at our own. Any other would make this page a way to lead
// people to a stranger's (RFC 9700 §4.11).
func (g *Gateway) wayBack(raw string) (*url.URL, *access.Route, error) {
	bad := fault.InvalidField("return_to", "This login would not lead back to a page that it knows. Open the page that you came from again.")
	if len(raw) > maxReturn || !printable(raw) {
		return nil, nil, bad
	}
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "https" && u.Scheme != g.base.Scheme) || u.User != nil || u.Opaque != "" || u.Fragment != "" ||
		!strings.HasPrefix(raw, u.Scheme+"://"+u.Host) {
		return nil, nil, bad
	}
	host, ok := hostOf(u.Host)
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	clean, err := access.Clean(path)
	if !ok || err != nil {
		return nil, nil, bad
	}
	c, _, ok := g.table.Load().routes.Match(host, clean)
	switch {
	case ok && (c.Route().Host != "" || host == g.host):
		return u, c.Route(), nil
	case u.Scheme == g.base.Scheme && strings.EqualFold(u.Host, g.base.Host):
		return u, nil, nil
	}
	return nil, nil, bad
}

// pathOf is an address from its path on.
func pathOf(u *url.URL) string {
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return path
}

// see sends the browser on with a GET, to the letter: http.Redirect would tidy the path.
func see(w http.ResponseWriter, to string) error {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// printable refuses what browsers and Go read differently in an address: backslashes, spaces, control characters, and all that is not
// ASCII.
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= 0x20 || s[i] >= 0x7f || s[i] == '\\' {
			return false
		}
	}
	return true
}
