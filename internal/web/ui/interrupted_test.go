package ui_test

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

var wayOn = regexp.MustCompile(`<a class="button primary" id="submit" href="([^"]*)">([^<]*)</a>`)

// wayOn returns the one way on that an error page offers.
func (b *browser) wayOn() (address, text string) {
	b.t.Helper()
	m := wayOn.FindStringSubmatch(b.last.Body.String())
	if m == nil {
		b.t.Fatalf("%s offers no way on\n%s", b.path, b.last.Body)
	}
	return html.UnescapeString(m[1]), m[2]
}

// A sign-in page that was left open for too long leads back to the app, by the same request.
func TestExpiredSignInStartsAgain(t *testing.T) {
	s := newSite(t)
	for name, expire := range map[string]func(*browser, string){
		"submitted":        func(b *browser, _ string) { b.submit("username", b.user.Email, "password", "password") },
		"reloaded":         func(b *browser, flow string) { b.get("/login?" + flow) },
		"at the authorize": func(b *browser, flow string) { b.get("/oauth/authorize?" + flow) },
	} {
		b := s.browser()
		b.get(s.ask("state", "from the app", "nonce", "n-1"))
		_, flow, _ := strings.Cut(b.path, "?")
		s.now = s.now.Add(61 * time.Minute)
		expire(b, flow)
		b.shows(400, "<h1>This page has expired</h1>")
		address, text := b.wayOn()
		if text != "Sign in again" || !strings.HasPrefix(address, "/oauth/authorize?flow=") {
			t.Fatalf("%s: %q leads to %s", name, text, address)
		}
		b.get(address)
		b.shows(200, `name="password"`, "Demo &lt;App&gt;")
		b.submit("username", s.user.Email, "password", "password")
		if b.last.Code == 200 {
			b.submit("consent_action", "approve")
		}
		got := b.leaves(callback + "?code=")
		if got.Get("state") != "from the app" || s.redeem(got.Get("code")) != 200 {
			t.Errorf("%s: returned with %v", name, got)
		}
	}
}

// What was decided before the new start does not count: a consent is asked for again, and so is a
// password that the request asks for.
func TestExpiredRequestsAskAgain(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get(s.ask("prompt", "login consent"))
	b.submit("username", s.user.Email, "password", "password")
	b.shows(200, `value="approve"`)
	s.now = s.now.Add(61 * time.Minute)
	b.cookies = s.signedIn(s.user).cookies
	s.now = s.now.Add(time.Minute)
	b.submit("consent_action", "approve")
	b.shows(400, "<h1>This page has expired</h1>")
	address, _ := b.wayOn()
	b.get(address)
	b.shows(200, `name="password"`)
}

// A request can be started again for a day after it was first made. Then the page leads to the
// home page of the app, or to the account where the app has none.
func TestRequestsTooOldToStartAgain(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get(s.ask())
	first := b.path
	s.now = s.now.Add(23 * time.Hour)
	b.get(first)
	again, text := b.wayOn()
	if text != "Sign in again" {
		t.Fatalf("after 23 hours: %q", text)
	}
	s.now = s.now.Add(2 * time.Hour) // the second start has expired, and the first was 25 hours ago
	for _, path := range []string{first, again} {
		b.get(path)
		b.shows(400, "<h1>This page has expired</h1>", "Go back to the app")
		if address, text := b.wayOn(); address != "/account" || text != "Go to your account" {
			t.Errorf("%.40s: %q leads to %s", path, text, address)
		}
	}
	app := *s.app
	app.ID, app.URI = client.ID(secret.NewID(s.now)), "https://app.example/home"
	app.Secrets = nil
	testkit.Must(t, s.db.CreateClient(t.Context(), &app))
	b.get(s.ask("client_id", string(app.ID)))
	first = b.path
	s.now = s.now.Add(25 * time.Hour)
	b.get(first)
	if address, text := b.wayOn(); address != app.URI || text != "Go to Demo &lt;App&gt;" {
		t.Errorf("%q leads to %s", text, address)
	}
}

// A consent page that another tab has signed out from leads back to the same request.
func TestConsentAfterSigningOutInAnotherTab(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get(s.ask("state", "tab one"))
	b.shows(200, `value="approve"`)
	form := url.Values{"consent_action": {"approve"}}
	for _, m := range hiddenTag.FindAllStringSubmatch(b.last.Body.String(), -1) {
		form.Set(m[1], html.UnescapeString(m[2]))
	}
	b.get("/logout")
	b.submit("choice", "logout")
	b.post("/consent", form)
	b.shows(400, "<h1>Your sign-in changed</h1>")
	address, text := b.wayOn()
	if text != "Continue" {
		t.Errorf("the way on is %q", text)
	}
	b.get(address)
	b.submit("username", s.user.Email, "password", "password")
	b.submit("consent_action", "approve")
	if got := b.leaves(callback + "?code="); got.Get("state") != "tab one" {
		t.Errorf("returned with %v", got)
	}
}
