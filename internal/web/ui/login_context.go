package ui

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// loginContext is where a sign-in was started from and where it continues afterwards.
type loginContext struct {
	sealed string      // the flow as the browser carries it, or ""
	flow   *oauth.Flow // opened, or nil
	next   string      // one of our own pages, an address of a registered origin, or ""
}

// loginContext reads the fields `flow` and `next`.
func (s *Server) loginContext(r *http.Request, form url.Values) (loginContext, error) {
	lc := loginContext{sealed: form.Get("flow"), next: s.nextOf(form)}
	if lc.sealed == "" {
		return lc, nil
	}
	ev := web.EventOf(r.Context())
	opened, _ := ev.Unsealed.(*oauth.Unsealed)
	var err error
	lc.flow, err = s.oauth.OpenUnsealed(r.Context(), opened, lc.sealed, oauth.StepLogin, ev.Now)
	if err == nil {
		ev.Client = string(lc.flow.Client.ID)
	}
	return lc, err
}

// nextOf returns where a sign-in continues, by the field `next` or, in base64, `forward_url`.
func (s *Server) nextOf(form url.Values) string {
	if next := form.Get("next"); next != "" {
		return s.nextURL(next)
	}
	encoded := form.Get("forward_url")
	if len(encoded) > maxNext {
		return ""
	}
	encoded = strings.NewReplacer("+", "-", "/", "_", " ", "-").Replace(strings.TrimRight(encoded, "="))
	raw, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return ""
	}
	return s.nextURL(string(raw))
}

// nextURL returns where to continue after signing in without a flow: a page that ownPath accepts,
// an address of our own host by way of the gateway, which knows its routes, or one of an origin
// that a client has registered. It returns "" for every other address.
func (s *Server) nextURL(next string) string {
	if !strings.HasPrefix(next, "https://") && !strings.HasPrefix(next, "http://") {
		return ownPath(next)
	}
	u, err := url.Parse(next)
	origin, path, _ := strings.Cut(next, "://")
	host, path, _ := strings.Cut(path, "/")
	origin += "://" + host
	switch {
	case err != nil || len(next) > maxNext || u.User != nil || u.Fragment != "" ||
		u.Scheme+"://"+u.Host != origin || strings.ContainsFunc(next, ambiguous):
		return ""
	case origin == s.kit.Origin:
		if own := ownPath("/" + path); own != "" {
			return own
		}
		return with("/gateway/login", "back", base64.RawURLEncoding.EncodeToString([]byte(next)))
	case s.storage.OriginRegistered(origin):
		return next
	}
	return ""
}

// ambiguous reports whether a browser and Go may read an address with this character differently.
func ambiguous(c rune) bool { return c <= ' ' || c >= 0x7f || c == '\\' }

// loadContext reads what a page of signing in needs: its fields, where the sign-in comes from, and
// the browser's session, or nil.
func (s *Server) loadContext(r *http.Request) (
	form url.Values, lc loginContext, sess *identity.Session, err error,
) {
	if form, err = s.form(r); err != nil {
		return nil, lc, nil, err
	}
	if lc, err = s.loginContext(r, form); err != nil {
		return nil, lc, nil, err
	}
	sess, err = s.Session(r)
	return form, lc, sess, err
}

// form returns the hidden fields that carry the context through a form.
func (lc loginContext) form() Form { return Form{Flow: lc.sealed, Next: lc.next} }

// nextURL returns where the browser goes when the person has signed in.
func (lc loginContext) nextURL() string {
	switch {
	case lc.sealed != "":
		return with("/oauth/authorize", "flow", lc.sealed)
	case lc.next != "":
		return lc.next
	}
	return "/account"
}

// url returns the address of another page of the same sign-in.
func (lc loginContext) url(path string, pairs ...string) string {
	return with(path, append([]string{"flow", lc.sealed, "next", lc.next}, pairs...)...)
}

// leaves reports whether the sign-in continues at an app, whose redirects are its own.
func (lc loginContext) leaves() bool {
	return lc.flow != nil || strings.HasPrefix(lc.next, "/gateway/login") ||
		lc.next != "" && lc.next[0] != '/'
}

// redirectURI returns where the client is answered: what the request names, or the only address
// that is registered.
func (lc loginContext) redirectURI() string {
	if uri := lc.flow.Form.Get("redirect_uri"); uri != "" {
		return uri
	}
	if len(lc.flow.Client.Redirects) == 1 {
		return lc.flow.Client.Redirects[0]
	}
	return ""
}

// base returns what every page of the sign-in shows.
func (lc loginContext) base(r *http.Request) Base {
	b := begin(r)
	b.Leaves = lc.leaves()
	if lc.flow != nil {
		b.Client = clientView(lc.flow.Client, lc.redirectURI())
	}
	return b
}

// account returns the session of the browser that the request is for, or "" for the one in use.
func (lc loginContext) account() identity.SessionID {
	if lc.flow == nil {
		return ""
	}
	return lc.flow.Account
}

// acr returns the authentication class that the request asks for, or "".
func (lc loginContext) acr() string {
	if lc.flow == nil {
		return ""
	}
	return lc.flow.ACR
}
