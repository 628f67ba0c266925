package ui_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

var changing = regexp.MustCompile(`<code dir="ltr">[A-Z2-7]{16}</code>|<time[^>]*>[^<]*</time>|value="[^"]*@example.com"`)

// The pages for an unknown user and for a wrong password differ only in what the person typed.
func TestWrongPasswordAndUnknownUserLookAlike(t *testing.T) {
	s := newSite(t)
	say := map[string]string{}
	for _, name := range []string{s.user.Email, "nobody-at-all@example.com"} {
		b := s.browser()
		b.get("/login")
		w := b.submit("username", name, "password", "wrong")
		b.shows(403, "Error:")
		heads := w.Header().Clone()
		heads.Del("X-Request-Id")
		heads.Del("Content-Length") // the name that was typed has another length
		say[name] = changing.ReplaceAllString(w.Body.String(), "…") + fmt.Sprint(heads)
		if len(b.cookies) != 0 {
			t.Errorf("%s: cookies %v", name, b.cookies)
		}
	}
	if say[s.user.Email] != say["nobody-at-all@example.com"] {
		t.Errorf("told apart:\n%s\n%s", say[s.user.Email], say["nobody-at-all@example.com"])
	}
}

func TestPasswordIsNeverShownAgain(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get("/login")
	b.submit("username", s.user.Email, "password", "MyTypedSecret1")
	if strings.Contains(b.last.Body.String(), "MyTypedSecret1") {
		t.Fatal("the page repeats the password")
	}
}

func TestLockout(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for range 5 {
		b.get("/login")
		b.submit("username", s.user.Email, "password", "wrong")
	}
	b.get("/login")
	b.submit("username", s.user.Email, "password", "password")
	if b.last.Code != 429 || b.last.Header().Get("Retry-After") == "" {
		t.Fatalf("%d %v", b.last.Code, b.last.Header())
	}
	s.now = s.now.Add(2 * time.Minute)
	b.submit("username", s.user.Email, "password", "password")
	b.shows(200, "Ada")
}

// Wrong passwords from elsewhere lock strangers out, not a browser in which the person has signed
// in before.
func TestLockoutLeavesKnownBrowsers(t *testing.T) {
	s := newSite(t)
	known, stranger := s.browser(), s.browser()
	known.get("/login")
	known.submit("username", s.user.Email, "password", "password")
	known.shows(200, "Ada")
	device := known.cookies["__Host-gatehouse_device"]
	if device == "" {
		t.Fatalf("cookies %v", known.cookies)
	}
	known.cookies = map[string]string{"__Host-gatehouse_device": device} // signed out
	for range 5 {
		stranger.get("/login")
		stranger.submit("username", s.user.Email, "password", "wrong")
	}
	stranger.get("/login")
	stranger.submit("username", s.user.Email, "password", "password")
	stranger.shows(429, "Too many attempts")
	known.get("/login")
	known.submit("username", s.user.Email, "password", "password")
	known.shows(200, "Ada")
	stranger.get("/login")
	stranger.submit("username", s.user.Email, "password", "password")
	stranger.shows(429, "Too many attempts")
}

func TestRateLimitedLogin(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get("/login")
	s.limiter.full = true
	b.submit("username", s.user.Email, "password", "password")
	b.shows(429, "Too many")
	if b.last.Header().Get("Retry-After") != "30" || len(b.cookies) != 0 {
		t.Fatalf("%v %v", b.last.Header(), b.cookies)
	}
}

func TestSecondFactor(t *testing.T) {
	s := newSite(t)
	key, backup := s.enroll(s.user)
	b := s.browser()
	b.get("/login?next=/account/security")
	b.submit("username", s.user.Email, "password", "password")
	b.shows(200, `name="code"`)
	if b.cookies["__Host-gatehouse"] != "" || b.cookies["__Host-gatehouse_login"] == "" {
		t.Fatalf("cookies between two factors: %v", b.cookies)
	}
	b.submit("code", "000000")
	b.shows(403, "Incorrect")
	b.submit("code", "x")
	b.shows(400)
	code := totp(t, key, s.now)
	b.submit("code", code)
	b.shows(200, "Security")
	if b.path != "/account/security" || b.cookies["__Host-gatehouse_login"] != "" {
		t.Fatalf("at %s with %v", b.path, b.cookies)
	}
	// The same code again, in another browser (RFC 6238 §5.2).
	other := s.browser()
	other.get("/login")
	other.submit("username", s.user.Email, "password", "password")
	other.submit("code", code)
	other.shows(403, "used already")
	other.submit("code", backup[0])
	other.shows(200, "Ada")
}

// The code page redirects to the start unless the password was entered before.
func TestCodePageWithoutPassword(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get("/login/code")
	b.shows(200, `name="password"`)
	b.cookies["__Host-gatehouse_login"] = "made-up"
	b.post("/login/code", url.Values{"code": {"123456"}})
	b.shows(200, `name="password"`)
	for _, path := range []string{"/login/enroll", "/login/password"} {
		b.post(path, url.Values{"new_password": {"x"}, "confirm_password": {"x"}, "code": {"1"}})
		b.shows(200, `name="password"`)
	}
}

// Cookies under https are bound to the host and out of reach of scripts (RFC 9700 §4.16).
func TestCookieFlags(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	r := httptest.NewRequest("POST", origin+"/login", strings.NewReader(url.Values{"username": {s.user.Email}, "password": {"password"}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := b.send(r)
	found := false
	for _, line := range w.Header().Values("Set-Cookie") {
		if strings.HasPrefix(line, "__Host-gatehouse=gth_ss_") {
			found = true
		}
		for _, flag := range []string{"Path=/", "HttpOnly", "Secure", "SameSite=Lax"} {
			if !strings.Contains(line, flag) {
				t.Errorf("%s lacks %s", line, flag)
			}
		}
		if strings.Contains(line, "Domain") {
			t.Errorf("%s has a domain", line)
		}
	}
	if !found {
		t.Fatalf("no session: %d %v", w.Code, w.Header())
	}
}

// A session cookie that was planted before the sign-in does not work after it.
func TestSessionFixation(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	planted := b.cookies["__Host-gatehouse"]
	b.get("/login?other=1")
	b.submit("username", s.user.Email, "password", "password")
	if b.cookies["__Host-gatehouse"] == planted {
		t.Fatal("the cookie stayed")
	}
	attacker := s.browser()
	attacker.cookies["__Host-gatehouse"] = planted
	attacker.get("/account")
	attacker.shows(200, `name="password"`)
}

// A class that the account cannot reach does not cause a redirect loop.
func TestStepUp(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get(s.ask())
	b.submit("consent_action", "approve")
	s.now = s.now.Add(time.Second)
	b.get(s.ask("acr_values", "aal2"))
	b.leaves(callback + "?code=")
	b.get(s.ask("claims", `{"id_token":{"acr":{"essential":true,"value":"aal2"}}}`))
	if q := b.leaves(callback + "?"); q.Get("error") != "unmet_authentication_requirements" {
		t.Fatalf("%v", q)
	}
	key, _ := s.enroll(s.user)
	b.get(s.ask("claims", `{"id_token":{"acr":{"essential":true,"value":"aal2"}}}`))
	b.shows(200, `name="code"`)
	b.submit("code", totp(t, key, s.now))
	b.leaves(callback + "?code=")
}

func TestSetUpLink(t *testing.T) {
	s := newSite(t)
	token, err := s.login.SetupLink(t.Context(), s.now)
	testkit.Must(t, err)
	b := s.browser()
	b.get("/setup?token=" + token)
	b.shows(200, `id="submit"`)
	email := "root" + string(s.user.ID)[30:] + "@example.com"
	b.submit("email", email, "password", "short")
	b.shows(400)
	b.submit("email", email, "password", "quite a long pass phrase 7")
	b.shows(200, email)
	again := s.browser()
	again.get("/setup?token=" + token)
	again.shows(409, "used already")
}

func TestPasswordLink(t *testing.T) {
	s := newSite(t)
	token, err := s.login.PasswordLink(t.Context(), login.Visit{Now: s.now}, s.user)
	testkit.Must(t, err)
	signed := s.signedIn(s.user)
	b := s.browser()
	b.get("/reset-password?token=" + token)
	b.submit("new_password", "quite a long pass phrase 7", "confirm_password", "another")
	b.shows(400, "do not match")
	b.submit("new_password", "quite a long pass phrase 7", "confirm_password", "quite a long pass phrase 7")
	b.shows(200, "Your password was changed", `value="`+s.user.Email+`"`)
	b.submit("username", s.user.Email, "password", "quite a long pass phrase 7")
	b.shows(200, "Ada")
	signed.get("/account")
	signed.shows(200, `name="password"`)
	b.get("/reset-password?token=" + token)
	b.shows(409, "used already")
}

// A second password link ends the first one.
func TestSecondPasswordLink(t *testing.T) {
	s := newSite(t)
	first, err := s.login.PasswordLink(t.Context(), login.Visit{Now: s.now}, s.user)
	testkit.Must(t, err)
	second, err := s.login.PasswordLink(t.Context(), login.Visit{Now: s.now}, s.user)
	testkit.Must(t, err)
	b := s.browser()
	b.get("/reset-password?token=" + first)
	b.shows(409, "used already")
	b.get("/reset-password?token=" + second)
	b.shows(200, `name="new_password"`)
	// A password that is rejected does not count as an attempt: the limit is not even asked.
	s.limiter.full = true
	b.submit("new_password", "short", "confirm_password", "short")
	b.shows(400)
	b.submit("new_password", "quite a long pass phrase 7", "confirm_password", "quite a long pass phrase 8")
	b.shows(400, "do not match")
	b.submit("new_password", "quite a long pass phrase 7", "confirm_password", "quite a long pass phrase 7")
	b.shows(429)
	s.limiter.full = false
	b.submit("new_password", "quite a long pass phrase 7", "confirm_password", "quite a long pass phrase 7")
	b.shows(200, "Your password was changed")
}

// Password managers find the page that changes the password.
func TestChangePasswordAddress(t *testing.T) {
	b := newSite(t).browser()
	w := b.send(httptest.NewRequest("GET", origin+"/.well-known/change-password", nil))
	if to := w.Header().Get("Location"); w.Code != 303 || to != "/account/security" {
		t.Fatalf("%d to %s", w.Code, to)
	}
}
