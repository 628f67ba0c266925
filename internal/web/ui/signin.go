package ui

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// SignInFor redirects the browser to sign in and then to next, a path that ownPath accepts. A
// person who is signed in already completes the second step where acr asks for it, or signs in
// again.
func (s *Server) SignInFor(
	w http.ResponseWriter, r *http.Request, next, acr string, again bool,
) error {
	lc := loginContext{next: ownPath(next)}
	if lc.next == "" {
		return fault.New(fault.Invalid, "The address to return to after signing in is "+
			"not valid. Open the page that you came from again.")
	}
	sess, err := s.Session(r)
	if err != nil {
		return err
	}
	if sess == nil {
		return seeOther(w, r, lc.url("/login"))
	}
	if again || identity.ACRRank(acr) <= identity.ACRRank(sess.ACR) {
		return seeOther(w, r, lc.url("/login", "other", "1"))
	}
	st, err := s.login.BeginStepUp(r.Context(), s.visit(r), s.kit.Cookie(r, web.CookieSession), acr)
	if err != nil {
		return err
	}
	if st.Done != nil {
		return fault.New(fault.Denied, "This page requires two-step verification. "+
			"Turn it on under Security in your account, then open the page again.")
	}
	return s.followStep(w, r, lc, st)
}
