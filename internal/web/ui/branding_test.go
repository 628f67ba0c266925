package ui_test

import (
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The pages and the authenticator app call the server by the same name, and the app can be opened
// by a link on the phone that it is on, with the key that the page shows.
func TestAuthenticatorLink(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.post("/account/security/totp/enable", url.Values{"current_password": {"password"}})
	b.shows(200, "<title>Set up your authenticator app – Example ID</title>", `<svg class="qr"`)
	page := b.last.Body.String()
	m := regexp.MustCompile(`<a class="button" href="(otpauth://[^"]*)">`).FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("no link to an authenticator app\n%s", page)
	}
	u, err := url.Parse(html.UnescapeString(m[1]))
	testkit.Must(t, err)
	_, key, _ := strings.Cut(page, `<p class="key" id="key" dir="ltr" translate="no">`)
	key, _, _ = strings.Cut(key, "</p>")
	key = strings.Join(regexp.MustCompile(`[A-Z2-7]{4}`).FindAllString(key, -1), "")
	if u.Path != "/Example ID:"+s.user.Email || u.Query().Get("issuer") != "Example ID" || u.Query().Get("secret") != key || len(key) != 32 {
		t.Errorf("the link is %s, the key %s", u, key)
	}
}

// Where people get help is on the pages where they are stuck, if the operator names it.
func TestHelp(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for _, path := range []string{"/login", "/nowhere"} {
		if page := b.get(path).Body.String(); !strings.Contains(page, `<a href="https://help.example/" rel="noreferrer">Get help</a>`) {
			t.Errorf("%s has no link to help\n%s", path, page)
		}
	}
}
