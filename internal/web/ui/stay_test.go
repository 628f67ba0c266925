package ui_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/login"
)

// sessionCookie returns the session cookie that the latest response sets, or nil.
func (b *browser) sessionCookie() *http.Cookie {
	for _, c := range b.last.Result().Cookies() {
		if c.Name == "__Host-gatehouse" && c.MaxAge >= 0 {
			return c
		}
	}
	return nil
}

// postLogin signs the site's user in by a form of the given fields, and returns the session cookie
// that the response sets, or nil.
func (b *browser) postLogin(pairs ...string) *http.Cookie {
	b.t.Helper()
	form := map[string][]string{"username": {b.user.Email}, "password": {"password"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form[pairs[i]] = []string{pairs[i+1]}
	}
	b.postForm("/login", form)
	return b.sessionCookie()
}

// Without the check box the cookie ends with the browser; with it, at the end of the session.
func TestStaySignedIn(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get("/login")
	b.shows(200, `name="stay_signed_in" value="1" autocomplete="off">`)
	c := b.postLogin()
	if c == nil || c.MaxAge != 0 || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode {
		t.Fatalf("without the check box: %+v", c)
	}
	c = b.postLogin("stay_signed_in", "1")
	if c == nil || c.MaxAge != int((24*time.Hour).Seconds()) {
		t.Fatalf("with the check box: %+v", c)
	}
	s.now = s.now.Add(2 * time.Hour) // longer than the idle limit
	b.get("/account/sessions")
	b.shows(200, "Stays signed in")
	b.postLogin("password", "wrong", "stay_signed_in", "1")
	b.shows(403, `autocomplete="off" checked`)
}

// The operator may check the box, or take it away.
func TestStayIsTheOperatorsChoice(t *testing.T) {
	s := newSite(t)
	s.stayChecked = true
	s.serve()
	b := s.browser()
	b.get("/login")
	b.shows(200, `value="1" autocomplete="off" checked`)
	s.login = s.newLogin(func(c *login.Config) { c.StaySignedIn = false })
	s.serve()
	b.get("/login")
	b.hides("stay_signed_in")
	if c := b.postLogin("stay_signed_in", "1"); c == nil || c.MaxAge != 0 {
		t.Errorf("%+v", c)
	}
}
