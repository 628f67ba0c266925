package ui

import (
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
	next   string      // one of our own pages, or ""
}

// loginContext reads the fields `flow` and `next`.
func (s *Server) loginContext(r *http.Request, form url.Values) (loginContext, error) {
	lc := loginContext{sealed: form.Get("flow"), next: ownPath(form.Get("next"))}
	if lc.sealed == "" {
		return lc, nil
	}
	now := web.EventOf(r.Context()).Now
	var err error
	lc.flow, err = s.oauth.OpenFlow(r.Context(), lc.sealed, oauth.StepLogin, now)
	return lc, err
}

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
	return lc.flow != nil || strings.HasPrefix(lc.next, "/gateway/login")
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

// acr returns the authentication class that the request asks for, or "".
func (lc loginContext) acr() string {
	if lc.flow == nil {
		return ""
	}
	return lc.flow.ACR
}
