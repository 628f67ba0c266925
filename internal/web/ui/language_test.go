package ui_test

import (
	"html"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

var langTag = regexp.MustCompile(`<html lang="([^"]*)" dir="([^"]*)">`)

// speaks checks the language of the current page.
func (b *browser) speaks(tag string) {
	b.t.Helper()
	m := langTag.FindStringSubmatch(b.last.Body.String())
	if m == nil || m[1] != tag {
		b.t.Fatalf("%s: the page is in %q, want %q\n%s", b.path, m, tag, b.last.Body)
	}
	want := "ltr"
	if tag == "ar" {
		want = "rtl"
	}
	testkit.Equal(b.t, "direction", m[2], want)
}

// switchTo chooses a language on the current page.
func (b *browser) switchTo(tag string) {
	b.t.Helper()
	_, form, _ := strings.Cut(b.last.Body.String(), `<form method="post" action="/language">`)
	m := hiddenTag.FindStringSubmatch(form)
	if m == nil || m[1] != "back" || !strings.Contains(form, `value="`+tag+`"`) {
		b.t.Fatalf("%s: no choice of %s\n%s", b.path, tag, b.last.Body)
	}
	b.post("/language", url.Values{"back": {html.UnescapeString(m[2])}, "language": {tag}})
}

// TestLanguages renders the sign-in page in every language.
func TestLanguages(t *testing.T) {
	s := newSite(t)
	c, err := text.Load()
	testkit.Must(t, err)
	testkit.Equal(t, "languages", len(c.Languages()), 12)
	for _, tag := range c.Languages() {
		b := s.browser()
		b.get("/login?ui_locales=" + tag)
		b.shows(200, `<summary><span class="unseen">`, `aria-current="true">`+c.For(tag).Get("common.language.name"))
		b.speaks(tag)
	}
}

// TestLanguageOrder selects among all that says something about a person's language.
func TestLanguageOrder(t *testing.T) {
	s := newSite(t)
	for name, row := range map[string]struct{ query, cookie, header, want string }{
		"nothing":             {"", "", "", "en"},
		"header":              {"", "", "de-CH, en;q=0.5", "de"},
		"header by weight":    {"", "", "en;q=0.3, fr", "fr"},
		"unknown header":      {"", "", "fi, xx", "en"},
		"not a header":        {"", "", "!!", "en"},
		"cookie":              {"", "ar", "de", "ar"},
		"unknown cookie":      {"", "xx", "de", "de"},
		"ui_locales":          {"fr", "ar", "de", "fr"},
		"list of ui_locales":  {"fi es-MX fr", "ar", "de", "es"},
		"unknown ui_locales":  {"fi", "ar", "de", "ar"},
		"damaged ui_locales":  {"de;q=x,,\x7f", "", "it", "it"},
		"traditional Chinese": {"", "", "zh-TW, zh;q=0.9", "zh-Hans"},
		"regions of Chinese":  {"", "", "zh-TW", "en"},
		"a long header":       {"", "", strings.Repeat("de,", 400), "en"},
	} {
		t.Run(name, func(t *testing.T) {
			b := s.browser()
			b.site.t = t
			if row.cookie != "" {
				b.cookies["__Host-gatehouse_language"] = row.cookie
			}
			r := httptest.NewRequest("GET", origin+"/login?ui_locales="+url.QueryEscape(row.query), nil)
			r.Header.Set("Accept-Language", row.header)
			b.send(r)
			b.speaks(row.want)
			if got := b.cookies["__Host-gatehouse_language"]; got != row.cookie {
				t.Errorf("the cookie became %q", got)
			}
			testkit.Equal(t, "caching", b.last.Header().Get("Cache-Control"), "no-store")
		})
	}
	s.t = t
	u := *s.user
	u.Locale = "it-IT"
	testkit.Must(t, s.db.UpdateUser(t.Context(), s.user, &u))
	b := s.signedIn(&u)
	b.get("/account")
	b.speaks("it")
	b.switchTo("pl")
	b.speaks("pl")
	testkit.Equal(t, "where the choice leads", b.path, "/account")
	after, err := s.db.User(t.Context(), u.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "the account", after.Locale, "it-IT")
}

// TestLanguageOfAFlow follows a person through the pages of a flow: its ui_locales count on all of
// them and change nothing, until the person chooses another language.
func TestLanguageOfAFlow(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get(s.ask("ui_locales", "de", "prompt", "login"))
	b.speaks("de")
	login := b.path
	b.submit("username", "nobody@example.com", "password", "wrong")
	b.speaks("de")
	m := regexp.MustCompile(`href="(/forgot-password[^"]*)"`).FindStringSubmatch(b.last.Body.String())
	if m == nil {
		t.Fatal("no link to the forgotten password")
	}
	b.get(html.UnescapeString(m[1]))
	b.speaks("de")
	b.get(strings.Replace(login, "/login", "/consent", 1))
	b.shows(400)
	b.speaks("de")
	if b.cookies["__Host-gatehouse_language"] != "" {
		t.Error("a parameter set the cookie")
	}
	b.get(login)
	b.switchTo("fr")
	b.speaks("fr")
	testkit.Equal(t, "the page after the choice", b.path, login)
	b.submit("username", "nobody@example.com", "password", "wrong")
	b.speaks("fr")
	b.get(s.ask("ui_locales", "ja"))
	b.speaks("ja")
	b.get(s.ask())
	b.speaks("fr")
	s.now = s.now.Add(2 * 60 * 60 * 1e9)
	b.get(login)
	b.speaks("fr")
	fresh := s.browser()
	fresh.get(login)
	fresh.shows(400)
	fresh.speaks("de")
	fresh.switchTo("ar")
	fresh.shows(400)
	fresh.speaks("ar")
}

// TestPlainLocales carries ui_locales on where there is no flow.
func TestPlainLocales(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get("/login?ui_locales=ar&next=/account")
	b.submit("username", "nobody@example.com", "password", "wrong")
	b.speaks("ar")
	b.shows(403, `href="/forgot-password?next=%2Faccount&amp;ui_locales=ar"`)
	b.get("/account/security?ui_locales=ar")
	b.speaks("ar")
	b.get("/nowhere?ui_locales=ar")
	b.shows(404)
	b.speaks("ar")
	b.get("/oauth/authorize?client_id=x&ui_locales=ar")
	b.speaks("ar")
}

// TestMailOfAForeignBrowser opens the link of a message in a browser that speaks another language:
// the page speaks the account's, or else that of the message.
func TestMailOfAForeignBrowser(t *testing.T) {
	s := newSite(t)
	link, err := s.login.PasswordLink(t.Context(), login.Visit{Now: s.now}, s.user)
	testkit.Must(t, err)
	b := s.browser()
	r := httptest.NewRequest("GET", origin+"/reset-password?ui_locales=de&token="+link, nil)
	r.Header.Set("Accept-Language", "en")
	b.get(b.send(r).Header().Get("Location"))
	b.speaks("de")
	b.submit("new_password", "x", "confirm_password", "y")
	b.shows(400)
	b.speaks("de")
	u := *s.user
	u.Locale = "ja"
	testkit.Must(t, s.db.UpdateUser(t.Context(), s.user, &u))
	b = s.browser()
	b.get("/reset-password?token=" + link)
	b.speaks("ja")
}

// TestNamesAreIsolated shows names whose letters are written from right to left, and an Arabic page
// with addresses and codes.
func TestNamesAreIsolated(t *testing.T) {
	s := newSite(t)
	u := *s.user
	u.Name, u.Locale = "שלום (admin)", "ar"
	testkit.Must(t, s.db.UpdateUser(t.Context(), s.user, &u))
	b := s.signedIn(&u)
	b.get("/account")
	b.speaks("ar")
	b.shows(200, "<bdi>שלום (admin)</bdi>", "<bdi>"+u.Email+"</bdi>")
	b.post("/account/security/totp/enable", url.Values{"current_password": {"password"}})
	b.shows(200, `id="key" dir="ltr"`, `name="code" type="text" value="" dir="ltr"`)
	b.get("/account/sessions")
	b.shows(200, `<code dir="ltr">`)
	b.get("/account/profile")
	b.shows(200, `name="name" type="text" value="שלום (admin)" dir="auto"`)
	b.post("/account/profile", url.Values{"name": {"\u202Eevil"}})
	b.shows(400)
	b.post("/account/profile", url.Values{"name": {"می\u200cخواهم"}}) // joiners are needed in Persian
	b.shows(200, "می\u200cخواهم")
}

// TestLanguageChoice rejects what no page of ours sends.
func TestLanguageChoice(t *testing.T) {
	s := newSite(t)
	for _, back := range []string{"", "https://evil.example/", "//evil.example", `/\evil.example`, "x", "/a\nb", "javascript:x"} {
		b := s.browser()
		r := httptest.NewRequest("POST", origin+"/language", strings.NewReader(url.Values{"language": {"de"}, "back": {back}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := b.send(r)
		testkit.Equal(t, back, w.Header().Get("Location"), "/")
	}
	b := s.browser()
	b.post("/language", url.Values{"language": {"de-AT"}, "back": {"/login"}})
	b.shows(400)
	b.post("/language", url.Values{"language": {"de"}, "back": {"/login"}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example")
	b.shows(403)
	if b.cookies["__Host-gatehouse_language"] != "" {
		t.Error("the cookie is set")
	}
}
