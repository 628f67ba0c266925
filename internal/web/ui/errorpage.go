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
		NextText: "Go to your account",
	}
	if v.Heading = headings()[fault.Reason(err)]; v.Heading != "" {
		var flow *oauth.InterruptedFlow
		if errors.As(err, &flow) {
			s.offerRestart(r, v, flow)
		}
		return v
	}
	switch p.Status {
	case http.StatusNotFound:
		v.Heading = "Page not found"
	case http.StatusForbidden:
		v.Heading = "You don't have access to this page"
	case http.StatusConflict:
		v.Heading = "This link is no longer valid"
		v.NextURL, v.NextText = "/login", "Go to sign-in"
		if r.URL.Path == "/reset-password" && s.login.CanMail() {
			v.NextURL, v.NextText = "/forgot-password", "Get a new link"
		}
	case http.StatusTooManyRequests:
		v.Heading = "Too many requests"
		v.NextURL, v.NextText = retryURL(r), "Try again"
	case http.StatusServiceUnavailable:
		v.Heading = "Temporarily unavailable"
		v.NextURL, v.NextText = retryURL(r), "Try again"
	case http.StatusInternalServerError:
		v.Heading = "Something went wrong on our side"
		v.Text = "Try again. If it happens again, give your administrator the request ID below."
		v.NextURL, v.NextText = retryURL(r), "Try again"
	default:
		v.Heading = "This request cannot continue"
	}
	return v
}

// offerRestart leads from an interrupted request back to its start, or else to the app that made
// it: to the home page that is registered, never to an address that a request names.
func (s *Server) offerRestart(r *http.Request, v *ErrorView, flow *oauth.InterruptedFlow) {
	if flow.Restart != "" {
		v.NextURL, v.NextText = with("/oauth/authorize", "flow", flow.Restart), "Continue"
		if fault.Reason(flow) == oauth.ReasonFlowExpired {
			v.NextText = "Sign in again"
		}
		return
	}
	cl, err := s.storage.Client(r.Context(), flow.Client)
	if err != nil { // the app was removed, or cannot be looked up now
		return
	}
	app := clientView(cl, "")
	if fault.Reason(flow) != oauth.ReasonFlowUsed {
		v.Text = "This sign-in was started too long ago. Go back to the app and sign in there again."
	}
	if app.Home != "" {
		v.NextURL, v.NextText = app.Home, "Go to "+app.Name
	}
}

// reasonCrossSite is the reason of a form that was sent from another site.
const reasonCrossSite = "cross_site_form"

// headings returns the headings of errors whose cause has a name, by reason.
func headings() map[string]string {
	return map[string]string{
		audit.ReasonUnknownClient:    "Unknown app",
		audit.ReasonClientDisabled:   "App disabled",
		oauth.ReasonClientMissing:    "Missing client_id",
		oauth.ReasonRedirectMissing:  "Missing redirect address",
		oauth.ReasonRedirectUnknown:  "Redirect address not allowed",
		oauth.ReasonRequestObject:    "Signed request not accepted",
		oauth.ReasonScopeNotAllowed:  "Access not allowed",
		oauth.ReasonRequestTooLong:   "Request too long",
		oauth.ReasonFlowDamaged:      "This link is damaged",
		oauth.ReasonFlowUsed:         "This request has been answered",
		oauth.ReasonFlowExpired:      "This page has expired",
		oauth.ReasonSessionChanged:   "Your sign-in changed",
		oauth.ReasonLogoutRedirect:   "Redirect address not allowed",
		oauth.ReasonLogoutNotAllowed: "Sign-out request not allowed",
		reasonCrossSite:              "Form blocked",
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
