package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// authorize takes an authorization request as the browser makes it, with the consent of its person,
// and returns where the response goes.
func (s *site) authorize(address string, approve bool) string {
	s.t.Helper()
	u, err := url.Parse(address)
	testkit.Must(s.t, err)
	call := &oauth.Call{Form: u.Query(), Method: "GET", URL: origin + "/oauth/authorize", Session: s.session, Now: s.now, Browser: "browser"}
	step, err := s.oauth.Authorize(s.t.Context(), call)
	testkit.Must(s.t, err)
	if step.Consent != nil {
		sealed, err := s.oauth.SealFlow(step.Consent)
		testkit.Must(s.t, err)
		step, err = s.oauth.Consent(s.t.Context(), call, sealed, approve)
		testkit.Must(s.t, err)
	}
	if step.Reply == nil {
		s.t.Fatalf("%+v", step)
	}
	return step.Reply.Location()
}

// begin starts a test of a client and returns the address of the request.
func (s *site) beginTest(id, scope string) string {
	s.t.Helper()
	p := s.post("/admin/clients/"+id+"/test", "scope", scope)
	if p.Code != http.StatusSeeOther {
		s.t.Fatalf("%d %s", p.Code, p.Body)
	}
	return p.Header().Get("Location")
}

// A test shows what the app would get, and leaves neither a token nor a consent behind.
func TestSignInTest(t *testing.T) {
	s := newSite(t)
	app := webApp()
	app.Scopes = []string{"openid", "profile", "offline_access"}
	id := s.newClient(app)
	s.get("/admin/clients/"+id).shows(200, "/admin/clients/"+id+"/test")
	s.get("/admin/clients/"+id+"/test").shows(200, `value="openid profile"`, "no token is issued").wellFormed()
	back := s.authorize(s.beginTest(id, "openid profile"), true)
	if !strings.HasPrefix(back, origin+"/admin/test-sign-in?") {
		t.Fatal(back)
	}
	path := strings.TrimPrefix(back, origin)
	p := s.get(path).shows(200, "The app would get tokens", "Ada Lovelace", "&#34;aud&#34;", id, "&#34;nonce&#34;", "may leave out PKCE", "was not part of the test").wellFormed()
	p.hides("gth_", "eyJ")
	s.get(path).shows(403, "was used or has expired")
	_, err := s.db.Consent(t.Context(), s.user.ID, client.ID(id))
	testkit.Equal(t, "no consent", fault.Is(err, fault.NotFound), true)
	grants, err := s.db.ClientGrants(t.Context(), client.ID(id), "", s.now, 10)
	testkit.Must(t, err)
	testkit.Equal(t, "grants", len(grants), 0)
	events, err := s.db.ListAudit(t.Context(), store.AuditQuery{Type: audit.SignInTested})
	testkit.Must(t, err)
	testkit.Equal(t, "records", len(events), 1)

	s.get(strings.TrimPrefix(s.authorize(s.beginTest(id, "profile unknown"), true), origin)).
		shows(200, "no ID token without the scope openid", "The scope unknown was requested and not granted")
	s.get(strings.TrimPrefix(s.authorize(s.beginTest(id, "openid"), false), origin)).shows(200, "The app would get an error", "access_denied")
}

// The response goes to the console for the request of a test alone, and what it says to the person
// alone who has begun the test.
func TestSignInTestOfOthers(t *testing.T) {
	s := newSite(t)
	id := s.newClient(webApp())
	other := s.newClient(client.Client{Name: "Other", Grants: []string{"authorization_code"}, Redirects: []string{"https://other.example/cb"}})
	address := s.beginTest(id, "openid")
	u, err := url.Parse(address)
	testkit.Must(t, err)
	for what, change := range map[string]func(url.Values){
		"no state":             func(q url.Values) { q.Del("state") },
		"another state":        func(q url.Values) { q.Set("state", "x"+q.Get("state")[1:]) },
		"another client":       func(q url.Values) { q.Set("client_id", other) },
		"a verifier of theirs": func(q url.Values) { q.Set("code_challenge", strings.Repeat("a", 43)) },
		"without PKCE":         func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") },
		"another address":      func(q url.Values) { q.Set("redirect_uri", origin+"/admin/test-sign-in/x") },
	} {
		q := u.Query()
		change(q)
		step, err := s.oauth.Authorize(t.Context(), &oauth.Call{Form: q, Method: "GET", Session: s.session, Now: s.now, Browser: "b"})
		if err == nil || step != nil {
			t.Errorf("%s: %+v", what, step)
		}
	}
	// The code is of no use to the client, nor to whoever finds it.
	back, err := url.Parse(s.authorize(address, true))
	testkit.Must(t, err)
	ada := s.user
	s.signIn(s.newUser("Eve", identity.RoleSuperAdmin))
	s.get(back.RequestURI()).shows(403, "Somebody else has begun").hides("Claims")
	s.signIn(s.newUser("Nobody"))
	s.get(back.RequestURI()).shows(403).hides("Claims")
	s.signIn(ada)
	s.now = s.now.Add(61 * time.Second)
	s.get(back.RequestURI()).shows(403, "was used or has expired")
	// Somebody else's sign-in does not answer a test.
	address = s.beginTest(id, "openid")
	eve := s.newUser("Eve Other", identity.RoleSuperAdmin)
	s.signIn(eve)
	taken := s.authorize(address, true)
	s.signIn(ada)
	s.get(strings.TrimPrefix(taken, origin)).shows(403, "Somebody else signed in").hides("Claims")
	// A test that takes longer than an hour is over.
	address = s.beginTest(id, "openid")
	s.now = s.now.Add(61 * time.Minute)
	s.signIn(ada)
	s.get(strings.TrimPrefix(s.authorize(address, true), origin)).shows(403, "unknown or over")
	_, err = s.ops.UpdateClient(t.Context(), s.actor(), id, admin.ClientPatch{Values: client.Client{Disabled: true}, Names: []string{"disabled"}})
	testkit.Must(t, err)
	s.post("/admin/clients/"+id+"/test", "scope", "openid").shows(409, "is disabled")
}
