package ui

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// SignInFor sends the browser to sign in and then on to next, a path that ownPath knows. Who is signed in already proves more: the second
// factor where acr asks for it, or all of it again.
func (s *Server) SignInFor(w http.ResponseWriter, r *http.Request, next, acr string, again bool) error {
	j := journey{next: ownPath(next)}
	if j.next == "" {
		return fault.New(fault.Invalid, "This login would not lead back to a page that it knows. Open the page that you came from again.")
	}
	sess, err := s.Session(r)
	if err != nil {
		return err
	}
	if sess == nil {
		return see(w, r, j.at("/login"))
	}
	if again || identity.ACRRank(acr) <= identity.ACRRank(sess.ACR) {
		return see(w, r, j.at("/login", "other", "1"))
	}
	st, err := s.login.BeginStepUp(r.Context(), visit(r), s.kit.Cookie(r, web.CookieSession), acr)
	if err != nil {
		return err
	}
	if st.Done != nil {
		return fault.New(fault.Denied, "This page needs a second factor, and your account has none. Add one under Security in your account, then open the page again.")
	}
	return s.obey(w, r, j, st)
}
