package ui_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

const (
	activeCookie = "__Host-gatehouse"
	otherCookie  = "__Host-gatehouse_other1"
	rememberedIn = "__Host-gatehouse_accounts"
)

// signIn signs a person in, beside whoever is signed in.
func (b *browser) signIn(u *identity.User, pairs ...string) {
	b.t.Helper()
	b.get("/login?other=1&next=/account/profile")
	b.submit(append([]string{"username", u.Email, "password", "password"}, pairs...)...)
	b.shows(http.StatusOK, "Signed in as")
}

// user returns who the session in use belongs to, or "".
func (b *browser) inUse() identity.UserID {
	b.t.Helper()
	sess, err := b.login.Resume(b.t.Context(), login.Visit{Now: b.now}, b.cookies[activeCookie])
	if fault.Is(err, fault.NotFound) {
		return ""
	}
	testkit.Must(b.t, err)
	return sess.User
}

// choice returns the value of the button of an account on the chooser.
func (b *browser) choice(u *identity.User) string {
	b.t.Helper()
	mark := b.login.AccountMark(u.ID)
	b.shows(http.StatusOK, `name="choice" value="`+mark+`"`)
	return mark
}

// Two people share a browser, and switch without signing in again.
func TestTwoAccounts(t *testing.T) {
	s := newSite(t)
	ada, bob := s.user, s.newUser()
	b := s.browser()
	b.signIn(ada)
	first := b.cookies[activeCookie]
	b.signIn(bob)
	testkit.Equal(t, "in use", b.inUse(), bob.ID)
	testkit.Equal(t, "other", b.cookies[otherCookie], first)

	b.get("/chooser?next=/account/sessions")
	b.shows(http.StatusOK, ada.Email, bob.Email, "In use")
	b.hides("Signed out")
	b.post("/chooser", url.Values{"choice": {b.choice(ada)}}, "Sec-Fetch-Site", "cross-site")
	b.shows(http.StatusForbidden)
	b.get("/chooser?choice=" + b.login.AccountMark(ada.ID))
	testkit.Equal(t, "after links", b.inUse(), bob.ID)
	b.post("/chooser", url.Values{"choice": {b.choice(ada)}, "next": {"/account/sessions"}})
	testkit.Equal(t, "page", b.path, "/account/sessions")
	testkit.Equal(t, "in use", b.inUse(), ada.ID)
	if b.cookies[activeCookie] == first {
		t.Error("the cookie is the one that lay in the browser before")
	}
	// Signing in again goes on with the same session.
	before, err := s.db.UserSessions(t.Context(), bob.ID, s.now)
	testkit.Must(t, err)
	b.signIn(bob)
	after, err := s.db.UserSessions(t.Context(), bob.ID, s.now)
	testkit.Must(t, err)
	if len(after) != 1 || after[0].ID != before[0].ID {
		t.Errorf("sessions %+v, before %+v", after, before)
	}
	// An account that is none of the browser's cannot be chosen.
	b.get("/chooser")
	b.post("/chooser", url.Values{"choice": {b.login.AccountMark(s.newUser().ID)}})
	b.shows(http.StatusOK, `name="password"`)
	testkit.Equal(t, "in use", b.inUse(), bob.ID)
}

// One account is signed out, or all, and the browser never continues as another by itself.
func TestSignOutOfOneOrAll(t *testing.T) {
	s := newSite(t)
	ada, bob := s.user, s.newUser()
	b := s.browser()
	b.signIn(ada)
	b.signIn(bob)
	b.get("/logout")
	b.shows(http.StatusOK, "Sign out of all accounts")
	b.submit("choice", "logout")
	b.shows(http.StatusOK, "You’re signed out", `href="/chooser"`)
	testkit.Equal(t, "in use", b.inUse(), "")
	b.get("/account")
	b.shows(http.StatusOK, "Choose an account", ada.Email)
	b.hides(bob.Email)
	b.submit("choice", b.choice(ada))
	testkit.Equal(t, "in use", b.inUse(), ada.ID)

	b.signIn(bob)
	b.get("/logout")
	b.submit("choice", "all")
	b.shows(http.StatusOK, "You’re signed out", `href="/login"`)
	b.get("/account")
	b.shows(http.StatusOK, `name="password"`)
	for _, u := range []*identity.User{ada, bob} {
		left, err := s.db.UserSessions(t.Context(), u.ID, s.now)
		testkit.Must(t, err)
		testkit.Equal(t, "sessions left", len(left), 0)
	}
}

// A request of an application finds the account that it hints at, and switches nothing.
func TestHintsChooseAnAccount(t *testing.T) {
	s := newSite(t)
	ada, bob := s.user, s.newUser()
	b := s.browser()
	b.signIn(ada)
	b.get(s.ask())
	b.submit("consent_action", "approve")
	b.leaves(callback + "?code=")
	b.signIn(bob)
	s.now = s.now.Add(time.Minute)

	b.get(s.ask("login_hint", strings.ToUpper(ada.Email), "prompt", "none"))
	if q := b.leaves(callback + "?"); q.Get("code") == "" {
		t.Errorf("%v", q)
	}
	testkit.Equal(t, "in use", b.inUse(), bob.ID)
	b.get(s.ask("prompt", "none"))
	if q := b.leaves(callback + "?"); q.Get("error") != "consent_required" { // bob has not consented
		t.Errorf("%v", q)
	}
	// The consent page is about the account that is hinted at.
	b.get(s.ask("login_hint", ada.Email, "prompt", "consent"))
	b.shows(http.StatusOK, ada.Email, `value="approve"`)
	b.submit("consent_action", "approve")
	b.leaves(callback + "?code=")
	testkit.Equal(t, "in use", b.inUse(), bob.ID)
	// The choice of the person counts more than the hint.
	b.get(s.ask("login_hint", ada.Email, "prompt", "select_account"))
	b.submit("choice", b.choice(bob))
	b.shows(http.StatusOK, bob.Email, `value="approve"`)
	// Its own age counts for each account.
	s.now = s.now.Add(10 * time.Minute)
	b.get(s.ask("login_hint", ada.Email, "max_age", "60"))
	b.shows(http.StatusOK, `name="password"`, `value="`+ada.Email+`"`)
	b.submit("username", ada.Email, "password", "password")
	b.leaves(callback + "?code=")
	testkit.Equal(t, "in use", b.inUse(), ada.ID)
}

// The step-up of the account that is hinted at is that of its own session.
func TestStepUpOfAnotherAccount(t *testing.T) {
	s := newSite(t)
	ada, bob := s.user, s.newUser()
	b := s.browser()
	b.signIn(ada)
	key, _ := s.enroll(ada)
	b.signIn(bob)
	s.now = s.now.Add(time.Minute)
	b.get(s.ask("login_hint", ada.Email, "acr_values", "aal2"))
	b.shows(http.StatusOK, `name="code"`, ada.Email)
	b.submit("code", totp(t, key, s.now))
	b.shows(http.StatusOK, `value="approve"`, ada.Email)
	testkit.Equal(t, "in use", b.inUse(), ada.ID)
	all, err := s.db.UserSessions(t.Context(), ada.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "sessions", len(all), 1)
}

// Only who chose to stay signed in is remembered, as the account was then, until it is removed.
func TestRememberedAccounts(t *testing.T) {
	s := newSite(t)
	ada, bob := s.user, s.newUser()
	b := s.browser()
	b.signIn(bob)
	b.signIn(ada, "stay_signed_in", "1")
	b.get("/logout")
	b.shows(http.StatusOK, `name="forget"`)
	b.submit("choice", "all")
	b.get("/login")
	b.shows(http.StatusOK, `value="`+ada.Email+`"`, "Use another account")
	b.hides(bob.Email)
	if plain := b.cookies[rememberedIn]; strings.Contains(plain, "ada") || plain == "" {
		t.Errorf("the cookie is %q", plain)
	}
	// A later change is not revealed to whoever uses the browser.
	changed := *ada
	changed.Email, changed.Name = "new."+ada.Email, "Countess"
	testkit.Must(t, s.db.UpdateUser(t.Context(), ada, &changed))
	b.signIn(bob, "stay_signed_in", "1")
	b.get("/chooser")
	b.shows(http.StatusOK, ada.Email, bob.Email, "Signed out")
	b.hides("Countess", changed.Email)
	b.submit("choice", b.choice(ada))
	b.shows(http.StatusOK, `name="password"`, `value="`+ada.Email+`"`)

	b.get("/chooser")
	device := b.cookies["__Host-gatehouse_device"]
	b.post("/chooser/forget", url.Values{"account": {b.choice(ada)}})
	b.shows(http.StatusOK, bob.Email)
	b.hides(ada.Email)
	if b.cookies["__Host-gatehouse_device"] == device {
		t.Error("the device cookie still names the account")
	}
	b.post("/chooser/forget", url.Values{"account": {"unknown"}})
	b.shows(http.StatusOK, bob.Email)
	b.post("/chooser/forget", url.Values{"account": {b.login.AccountMark(bob.ID)}})
	b.shows(http.StatusOK, `name="password"`)
	b.hides(bob.Email)
	for name := range b.cookies {
		if !regexp.MustCompile(`^__Host-gatehouse_(browser|language)$`).MatchString(name) {
			t.Errorf("the cookie %s is left", name)
		}
	}
}

// Signing out with the box removes the account, too.
func TestSignOutForgets(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signIn(s.user, "stay_signed_in", "1")
	b.get("/logout")
	b.submit("choice", "logout", "forget", "1")
	b.get("/login")
	b.hides(s.user.Email)
	// So does a later sign-in of a person who does not stay.
	b.signIn(s.user, "stay_signed_in", "1")
	b.signIn(s.user)
	b.get("/logout")
	b.hides(`name="forget"`)
	b.submit("choice", "logout")
	b.get("/login")
	b.hides(s.user.Email)
}

// The number of accounts is bounded, and one account at a time is possible.
func TestAccountsAreBounded(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signIn(s.user)
	for range 5 {
		b.signIn(s.newUser())
	}
	left, err := s.db.UserSessions(t.Context(), s.user.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "sessions of the first", len(left), 0)
	n := 0
	for name := range b.cookies {
		if strings.HasPrefix(name, "__Host-gatehouse_other") {
			n++
		}
	}
	testkit.Equal(t, "other cookies", n, 4)

	s.login = s.newLogin(func(c *login.Config) { c.BrowserAccounts, c.RememberAccounts = 1, false })
	s.serve()
	one := s.browser()
	one.signIn(s.user, "stay_signed_in", "1")
	one.signIn(s.newUser())
	left, err = s.db.UserSessions(t.Context(), s.user.ID, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "sessions of the first", len(left), 0)
	if one.cookies[otherCookie] != "" || one.cookies[rememberedIn] != "" {
		t.Errorf("%v", one.cookies)
	}
}

// A cookie that was planted among the others opens nothing, and a damaged one is ignored.
func TestPlantedCookies(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signIn(s.user)
	b.cookies[otherCookie], b.cookies[rememberedIn] = "gth_bs_planted", "planted"
	b.get("/chooser")
	b.shows(http.StatusOK, s.user.Email)
	eve := s.newUser()
	b.cookies[otherCookie] = s.signedIn(eve).cookies[activeCookie]
	planted := b.cookies[otherCookie]
	b.get("/chooser")
	b.submit("choice", b.choice(eve))
	testkit.Equal(t, "in use", b.inUse(), eve.ID)
	b.cookies = map[string]string{activeCookie: planted}
	testkit.Equal(t, "the planted cookie", b.inUse(), "")
}
