package ui

import (
	"errors"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Fail answers a request with an error: a person gets a page, a program gets JSON.
func (s *Server) Fail(w http.ResponseWriter, r *http.Request, err error) { s.kit.Fail(w, r, err) }

// ErrorPage shows an error to a person: its cause as the heading, what to do about it, and one way
// to continue. The text of an unexpected error is logged and not shown.
func (s *Server) ErrorPage(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("Cache-Control", "no-store")
	s.readAddress(r)
	if s.actingCookie(r) && web.Status(err) < http.StatusInternalServerError {
		_, _ = s.Session(r) // for the banner: many errors come before anything asks for the session
	}
	v := s.errorView(r, err)
	if failed := s.show(w, web.Status(err), v); failed != nil {
		ev := web.EventOf(r.Context())
		ev.Err = errors.Join(err, failed)
		http.Error(w, v.Heading+". Request ID: "+ev.ID, http.StatusInternalServerError)
	}
}

// errorView returns the page about an error.
func (s *Server) errorView(r *http.Request, err error) *ErrorView {
	p := web.ProblemOf(err)
	b := begin(r)
	if b.texts == nil { // outside of a request
		b.texts = s.pages.fallback
	}
	v := &ErrorView{
		Base:     b,
		Text:     b.ErrorText(err),
		NextURL:  "/account",
		NextText: b.T("problem.to-account"),
	}
	if id := headings()[fault.Reason(err)]; id != "" {
		v.Heading = b.T(id)
		var flow *oauth.InterruptedFlow
		if errors.As(err, &flow) {
			s.offerRestart(r, v, flow)
		}
		return v
	}
	switch p.Status {
	case http.StatusNotFound:
		v.Heading = b.T("problem.not-found")
	case http.StatusForbidden:
		v.Heading = b.T("problem.denied")
	case http.StatusConflict:
		v.Heading = b.T("problem.conflict")
		v.NextURL, v.NextText = "/login", b.T("problem.to-login")
		if r.URL.Path == "/reset-password" && s.login.CanMail() {
			v.NextURL, v.NextText = "/forgot-password", b.T("problem.new-link")
		}
	case http.StatusTooManyRequests:
		v.Heading = b.T("problem.limited")
		v.NextURL, v.NextText = retryURL(r), b.T("problem.again")
	case http.StatusServiceUnavailable:
		v.Heading = b.T("problem.unavailable")
		v.NextURL, v.NextText = retryURL(r), b.T("problem.again")
	case http.StatusInternalServerError:
		v.Heading = b.T("problem.internal")
		v.Text = b.T("problem.internal-text")
		v.NextURL, v.NextText = retryURL(r), b.T("problem.again")
	default:
		v.Heading = b.T("problem.invalid")
	}
	return v
}

// offerRestart leads from an interrupted request back to its start, or else to the app that made
// it: to the home page that is registered, never to an address that a request names.
func (s *Server) offerRestart(r *http.Request, v *ErrorView, flow *oauth.InterruptedFlow) {
	if flow.Restart != "" {
		v.NextURL, v.NextText = with("/oauth/authorize", "flow", flow.Restart), v.T("common.continue")
		if fault.Reason(flow) == oauth.ReasonFlowExpired {
			v.NextText = v.T("problem.sign-in-again")
		}
		return
	}
	cl, err := s.storage.Client(r.Context(), flow.Client)
	if err != nil { // the app was removed, or cannot be looked up now
		return
	}
	app := clientView(cl, "")
	if fault.Reason(flow) != oauth.ReasonFlowUsed {
		v.Text = v.T("problem.too-long-ago")
	}
	if app.Home != "" {
		v.NextURL, v.NextText = app.Home, v.T("problem.to-app", "App", app.Name)
	}
}

// reasonCrossSite is the reason of a form that was sent from another site.
const reasonCrossSite = "cross_site_form"

// headings returns the texts of the headings of errors whose cause has a name, by reason.
func headings() map[string]string {
	return map[string]string{
		audit.ReasonUnknownClient:    "problem.unknown-client",
		audit.ReasonClientDisabled:   "problem.client-disabled",
		oauth.ReasonClientMissing:    "problem.client-missing",
		oauth.ReasonRedirectMissing:  "problem.redirect-missing",
		oauth.ReasonRedirectUnknown:  "problem.redirect-unknown",
		oauth.ReasonRequestObject:    "problem.request-object",
		oauth.ReasonScopeNotAllowed:  "problem.scope",
		oauth.ReasonRequestTooLong:   "problem.too-long",
		oauth.ReasonFlowDamaged:      "problem.damaged",
		oauth.ReasonFlowUsed:         "problem.answered",
		oauth.ReasonFlowExpired:      "problem.expired",
		oauth.ReasonSessionChanged:   "problem.session",
		oauth.ReasonLogoutRedirect:   "problem.redirect-unknown",
		oauth.ReasonLogoutNotAllowed: "problem.logout",
		reasonCrossSite:              "problem.cross-site",
	}
}

// retryURL returns the address to send a request to again: a page that was opened itself, or the
// account pages in place of a form.
func retryURL(r *http.Request) string {
	to := r.URL.RequestURI()
	isPath := strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "//") && !strings.HasPrefix(to, `/\`)
	if r.Method != http.MethodGet || !isPath {
		return "/account"
	}
	return to
}
