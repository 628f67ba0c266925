package console

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// SignInTestView begins a test of a client's sign-in. The field is `scope`.
type SignInTestView struct {
	Base
	Action string
	Back   Link
}

// Page names the template.
func (*SignInTestView) Page() string { return "signintest" }

// SignInResultView shows what a client would get after a sign-in.
type SignInResultView struct {
	Base
	Facts    []Fact
	ID       string // the claims of the ID token, or ""
	Access   string // the claims of the access token, or ""
	Warnings []string
	Again    Link
	Back     Link
}

// Page names the template.
func (*SignInResultView) Page() string { return "signinresult" }

// canTest reports whether people sign in to a client.
func canTest(c *client.Client) bool { return c.CanUseGrant(client.GrantTypeCode) && !c.Disabled }

// testScopes returns the scopes that a test requests unless the administrator chooses others.
func testScopes(c *client.Client) string {
	usual := []string{oauth.ScopeOpenID, "profile", "email"}
	return strings.Join(slices.DeleteFunc(usual, func(s string) bool { return !slices.Contains(c.Scopes, s) }), " ")
}

func (s *Server) showSignInTest(w http.ResponseWriter, r *http.Request, q *request) error {
	c, err := s.loadClient(r, q)
	if err != nil {
		return err
	}
	if r.Method == http.MethodGet && !q.form.Has("scope") {
		q.form.Set("scope", testScopes(c))
	}
	return s.show(w, http.StatusOK, s.signInTestView(r, q, c))
}

func (s *Server) signInTestView(r *http.Request, q *request, c *client.Client) *SignInTestView {
	v := &SignInTestView{
		Base:   s.begin(r, q, "Test sign-in"),
		Action: at("/clients", string(c.ID), "test"),
		Back:   clientLink(c),
	}
	v.Lead = "You sign in to " + clientName(c) + " as its users do. The response comes back here and not to the app, " +
		"and no token is issued. The page shows what the app would get."
	v.Crumbs = []Link{{"Clients", Root + "/clients"}, v.Back}
	return v
}

// postSignInTest sends the browser to the authorization endpoint.
func (s *Server) postSignInTest(w http.ResponseWriter, r *http.Request, q *request) error {
	to, err := s.ops.BeginSignInTest(r.Context(), q.actor, r.PathValue("client"), q.form.Get("scope"))
	if err == nil {
		return seeOther(w, r, to)
	}
	c, loadErr := s.loadClient(r, q)
	if loadErr != nil {
		return loadErr
	}
	v := s.signInTestView(r, q, c)
	if err := retry(&v.Base, q, err); err != nil {
		return err
	}
	return s.show(w, v.status(), v)
}

// showSignInResult receives the response of the authorization endpoint.
func (s *Server) showSignInResult(w http.ResponseWriter, r *http.Request, q *request) error {
	x, err := s.ops.EndSignInTest(r.Context(), q.actor, admin.SignInResponse{
		State:       q.form.Get("state"),
		Code:        q.form.Get("code"),
		Error:       q.form.Get("error"),
		Description: q.form.Get("error_description"),
	})
	if err != nil {
		return err
	}
	c := x.Client
	v := &SignInResultView{
		Base:  s.begin(r, q, "Test sign-in"),
		Again: Link{"Test again", with(at("/clients", string(c.ID), "test"), "scope", strings.Join(x.Requested, " "))},
		Back:  clientLink(c),
	}
	v.Crumbs = []Link{{"Clients", Root + "/clients"}, v.Back}
	v.signInFacts(x)
	for _, warning := range x.Warnings {
		v.Warnings = append(v.Warnings, signInWarning(warning))
	}
	return s.show(w, http.StatusOK, v)
}

// signInFacts sets what the client would get.
func (v *SignInResultView) signInFacts(x *admin.SignInTest) {
	requested := Fact{Name: "Scopes requested", Cell: Cell{Text: strings.Join(x.Requested, " "), Never: "None"}}
	res := x.Result
	if res == nil {
		v.Facts = []Fact{
			{Name: "Result", Cell: Cell{Badge: "bad", Text: "The app would get an error", Sub: x.Error}},
			{Name: "Description", Cell: textCell(x.Description)},
			requested,
		}
		return
	}
	format := "A JWT, with the claims below"
	if res.Opaque {
		format = "An opaque token; introspection tells the claims below"
	}
	refresh := "No"
	if res.Refresh {
		refresh = "Yes"
	}
	v.Facts = []Fact{
		{Name: "Result", Cell: badgeCell("good", "The app would get tokens")},
		{Name: "User", Cell: linkCell(res.User.Label(), at("/users", string(res.User.ID)))},
		requested,
		{Name: "Scopes granted", Cell: Cell{Text: strings.Join(res.Scopes, " "), Never: "None"}},
		{Name: "Access token", Cell: textCell(format)},
		{Name: "Refresh token", Cell: textCell(refresh)},
	}
	v.ID, v.Access = indented(res.ID), indented(res.Access)
}

// indented returns JSON with a member a line.
func indented(raw json.RawMessage) string {
	var b bytes.Buffer
	if len(raw) == 0 || json.Indent(&b, raw, "", "  ") != nil {
		return ""
	}
	return b.String()
}

// signInWarning returns a warning as a sentence.
func signInWarning(w admin.Warning) string {
	switch w.Code {
	case admin.WarnNoActiveSecret:
		return "The client has no active secret: it could not redeem the code, and would get no token."
	case admin.WarnSecretExpiring:
		return "The last secret of the client expires within 30 days."
	case admin.WarnWithoutPKCE:
		return "The client may leave out PKCE. Require it once the app sends it."
	case admin.WarnNoIDToken:
		return "There is no ID token without the scope openid."
	case admin.WarnScopeLeftOut:
		return "The scope " + w.Subject + " was requested and not granted: it is unknown, or your roles do not have it."
	case admin.WarnNoRefreshToken:
		return "There is no refresh token, although offline_access was requested: the client may not use the refresh_token grant."
	}
	return "The app itself was not part of the test: its redirect address, and how it redeems the code and checks tokens."
}
