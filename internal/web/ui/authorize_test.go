package ui_test

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The whole flow: request, sign-in, consent, back to the app. The second request asks nothing.
func TestSignInAndConsent(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get(s.ask("login_hint", s.user.Email))
	b.shows(200, "Demo &lt;App&gt;", `value="`+s.user.Email+`"`, `id="submit"`)
	b.submit("username", s.user.Email, "password", "password")
	b.shows(200, "Demo &lt;App&gt;", "app.example", "View your email address", `id="submit"`)
	b.submit("consent_action", "approve")
	q := b.leaves(callback + "?")
	if q.Get("state") != "xyz" || q.Get("iss") != origin {
		t.Fatalf("%v", q)
	}
	if code := s.redeem(q.Get("code")); code != 200 {
		t.Fatalf("redemption: %d", code)
	}
	b.get(s.ask())
	b.leaves(callback + "?code=")
	b.get(s.ask("prompt", "none"))
	b.leaves(callback + "?code=")
}

// The consent page links to what the app says about itself, each in a tab that cannot reach the
// page.
func TestConsentLinksTermsAndPolicy(t *testing.T) {
	s := newSite(t)
	next := *s.app
	next.TermsURI, next.PolicyURI = "https://app.example/terms", "https://app.example/privacy"
	b := s.signedIn(s.user)
	b.get(s.ask())
	b.shows(200, "consent_action")
	if page := b.last.Body.String(); strings.Contains(page, "Terms of service") || strings.Contains(page, "Privacy policy") {
		t.Error("links without addresses")
	}
	testkit.Must(t, s.db.UpdateClient(t.Context(), s.app, &next))
	b.get(s.ask())
	const tab = `" target="_blank" rel="noopener noreferrer">`
	b.shows(200, `<a href="https://app.example/terms`+tab+"Terms of service", `<a href="https://app.example/privacy`+tab+"Privacy policy")
}

// An app that anybody registered is announced by the address that it leads to, and with a warning.
func TestConsentOfUnverifiedApp(t *testing.T) {
	s := newSite(t)
	next := *s.app
	next.Registration.By, next.Contacts = client.ByAnybody, []string{"<help>@app.example"}
	b := s.signedIn(s.user)
	b.get(s.ask())
	if page := b.last.Body.String(); strings.Contains(page, "Not a verified app") {
		t.Error("a verified app has the warning")
	}
	testkit.Must(t, s.db.UpdateClient(t.Context(), s.app, &next))
	b.get(s.ask())
	b.shows(200, "Not a verified app", "Contact: <bdi>&lt;help&gt;@app.example</bdi>")
	page := b.last.Body.String()
	if host, name := strings.Index(page, "<strong>app.example</strong>"), strings.Index(page, "Demo &lt;App&gt;"); host < 0 || host > name {
		t.Errorf("the host is at %d, the name at %d", host, name)
	}
}

func TestConsentDenied(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get(s.ask())
	b.submit("consent_action", "deny")
	if q := b.leaves(callback + "?"); q.Get("error") != "access_denied" || q.Get("state") != "xyz" || q.Has("code") {
		t.Fatalf("%v", q)
	}
	b.get(s.ask())
	b.submit("consent_action", "perhaps")
	b.shows(400, "Your decision is missing")
}

var switchLink = regexp.MustCompile(`<a href="([^"]+)">Not you\?</a>`)

// "Not you?" on the consent page continues the request with another account.
func TestConsentWithAnotherAccount(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get(s.ask("login_hint", s.user.Email))
	m := switchLink.FindStringSubmatch(b.last.Body.String())
	if m == nil {
		t.Fatalf("no link to use another account:\n%s", b.last.Body)
	}
	b.get(html.UnescapeString(m[1]))
	b.shows(200, `name="password"`, "Demo &lt;App&gt;")
	if strings.Contains(b.last.Body.String(), s.user.Email) {
		t.Error("the form is filled in with the account that the person wants to leave")
	}
	other := s.newUser()
	b.submit("username", other.Email, "password", "password")
	b.shows(200, other.Email, `value="approve"`)
	b.submit("consent_action", "approve")
	if q := b.leaves(callback + "?"); q.Get("code") == "" || q.Get("state") != "xyz" {
		t.Fatalf("%v", q)
	}
}

// A consent page belongs to one session, and no other session can answer it.
func TestConsentOfAnotherSession(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get(s.ask())
	other := s.signedIn(s.newUser())
	other.get(b.path)
	other.shows(400, "signed in or out")
	other.last = b.last
	other.submit("consent_action", "approve")
	other.shows(400, "signed in or out")
}

// The response with the code has no body, is not cached, and its address is not sent as a referrer.
func TestReplyLeaksNothing(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get(s.ask())
	b.submit("consent_action", "approve")
	h := b.last.Header()
	if b.last.Body.Len() != 0 || h.Get("Cache-Control") != "no-store" || strings.Contains(h.Get("Referrer-Policy"), "unsafe") {
		t.Fatalf("%v %s", h, b.last.Body)
	}
}

func TestFormPost(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get(s.ask("response_mode", "form_post"))
	b.submit("consent_action", "approve")
	b.shows(200, `action="`+callback+`"`, `name="code" value="gth_ac_`, `name="state" value="xyz"`, `name="iss" value="`+origin+`"`)
	b.mayLeave()
}

// mayLeave checks that the policy of the current page does not restrict where its forms lead:
// browsers apply such a restriction to every redirect of the app that follows.
func (b *browser) mayLeave() {
	b.t.Helper()
	csp := b.last.Header().Get("Content-Security-Policy")
	if strings.Contains(csp, "form-action") || !strings.Contains(csp, "default-src 'none'") {
		b.t.Errorf("%s: the policy is %s", b.path, csp)
	}
}

// No page that a person passes on the way back to an app restricts the app's redirects.
func TestPagesOnTheWayToAnApp(t *testing.T) {
	s := newSite(t)
	key, _ := s.enroll(s.user)
	b := s.browser()
	b.get(s.ask())
	b.mayLeave()
	b.submit("username", s.user.Email, "password", "wrong")
	b.mayLeave()
	b.submit("username", s.user.Email, "password", "password")
	b.mayLeave()
	b.submit("code", totp(t, key, s.now))
	b.shows(200, `value="approve"`)
	b.mayLeave()
	b.get("/oauth/logout?client_id=" + string(s.app.ID) + "&post_logout_redirect_uri=https%3A%2F%2Fapp.example%2Fbye")
	b.shows(200, `value="logout"`)
	b.mayLeave()
	b.get("/login?other=1&next=%2Fgateway%2Flogin%3Freturn_to%3D%252F")
	b.mayLeave()
}

// A sealed flow that was altered, cut, or made up is rejected.
func TestTamperedFlow(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get(s.ask())
	u, err := url.Parse(b.path)
	testkit.Must(t, err)
	flow := u.Query().Get("flow")
	other := "A"
	if flow[0] == 'A' {
		other = "B"
	}
	for name, bad := range map[string]string{"altered": other + flow[1:], "cut": flow[:len(flow)/2], "made up": "x"} {
		for _, path := range []string{"/login?flow=", "/consent?flow=", "/oauth/authorize?flow="} {
			b.get(path + bad)
			if b.last.Code != 400 || !strings.Contains(b.last.Body.String(), "start again") {
				t.Errorf("%s at %s: %d", name, path, b.last.Code)
			}
		}
		b.post("/login", url.Values{"flow": {bad}, "username": {s.user.Email}, "password": {"password"}})
		if b.last.Code != 400 || b.cookies["__Host-gatehouse"] != "" || len(b.cookies) != 1 {
			t.Errorf("%s, posted: %d %v", name, b.last.Code, b.cookies)
		}
	}
	b.get("/consent?flow=" + flow)
	b.shows(400, "another step")
	s.now = s.now.Add(61 * time.Minute)
	b.get("/login?flow=" + flow)
	b.shows(400, "longer than an hour")
}

func TestLogout(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	cookie := b.cookies["__Host-gatehouse"]
	b.get("/logout")
	b.shows(200, "Sign out?", s.user.Email)
	b.submit("choice", "stay")
	b.shows(200, "Ada")
	b.get("/logout?" + url.Values{"client_id": {string(s.app.ID)}, "post_logout_redirect_uri": {"https://app.example/bye"}, "state": {"s"}}.Encode())
	b.shows(200, "Demo &lt;App&gt;")
	b.mayLeave()
	b.submit("choice", "logout")
	b.leaves("https://app.example/bye?state=s")
	if len(b.cookies) != 0 {
		t.Fatalf("cookies stay: %v", b.cookies)
	}
	b.cookies["__Host-gatehouse"] = cookie
	b.get("/account")
	b.shows(200, `name="password"`)
	b.get("/logout?post_logout_redirect_uri=https://evil.example&client_id=" + string(s.app.ID))
	b.shows(400, "not registered")
}

// The pages for prompt=login and prompt=select_account.
func TestPrompts(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get(s.ask())
	b.submit("consent_action", "approve")
	s.now = s.now.Add(time.Minute)
	b.get(s.ask("prompt", "login"))
	b.shows(200, `name="password"`, `value="`+s.user.Email+`"`)
	b.submit("username", s.user.Email, "password", "password")
	b.leaves(callback + "?code=")
	s.now = s.now.Add(time.Minute)
	b.get(s.ask("prompt", "select_account"))
	b.shows(200, "Choose an account")
	b.submit("choice", "continue")
	b.leaves(callback + "?code=")
	b.get(s.ask("prompt", "select_account", "state", "again"))
	s.now = s.now.Add(time.Minute)
	b.get(s.ask("prompt", "select_account"))
	b.submit("choice", "other")
	b.shows(200, `name="password"`)
	// Signing in with another account ends the former session.
	u := s.newUser()
	b.submit("username", u.Email, "password", "password")
	b.shows(200, u.Email, `value="approve"`)
}

// The icon that an operator has chosen for a scope stands beside it.
func TestConsentShowsTheIconOfAScope(t *testing.T) {
	s := newSite(t)
	old := s.db.Scopes()["email"]
	next := *old
	next.Icon = "key"
	b := s.signedIn(s.user)
	b.get(s.ask())
	before := strings.Count(b.last.Body.String(), `<circle cx="8" cy="15.5" r="4.5"/>`)
	testkit.Must(t, s.db.UpdateScope(t.Context(), old, &next))
	b.get(s.ask())
	testkit.Equal(t, "icons of a key", strings.Count(b.last.Body.String(), `<circle cx="8" cy="15.5" r="4.5"/>`), before+1)
}
