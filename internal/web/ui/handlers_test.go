package ui_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/protocol"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

const (
	origin    = "https://id.example"
	callback  = "https://app.example/callback"
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	appSecret = "the-secret"

	// The hash of "password" of argon2's reference vectors: cheap to compare with.
	cheapHash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
)

// ground is what all sites of this file share, because it takes long to make.
type ground struct {
	db    *store.DB
	pages *ui.Pages
	keys  *secret.Keys
	ring  *jose.Ring
}

var shared = sync.OnceValues(func() (*ground, error) {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{URL: "sqlite::memory:"})
	if err != nil {
		return nil, err
	}
	if _, err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	keys, err := secret.NewKeys([]byte("a master key of at least 32 bytes"))
	if err != nil {
		return nil, err
	}
	pages, err := ui.NewPages(ui.Brand{Name: "Gatehouse"})
	return &ground{db, pages, keys, jose.NewRing(db, keys)}, err
})

// site is a whole browser side: pages and protocol behind one handler, with a clock that the test moves.
type site struct {
	*ground
	t       *testing.T
	now     time.Time
	handler http.Handler
	fail    func(w http.ResponseWriter, r *http.Request, err error)
	login   *login.Server
	limiter *limiter
	user    *identity.User
	app     *client.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	g, err := shared()
	must(t, err)
	s := &site{ground: g, t: t, now: time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC), limiter: &limiter{}}
	s.login = login.New(login.Config{
		Issuer: "Gatehouse", SessionTTL: 24 * time.Hour, Idle: time.Hour, RevokeTokens: true, LockThreshold: 5, LockDuration: time.Minute, AutoUnlock: true,
		Policy: identity.Policy{MinLength: 12}, AdminPolicy: identity.Policy{MinLength: 12},
	}, g.db, g.keys, secret.NewPasswords(2, 8))
	cfg := oauth.Config{
		Issuer: origin, CodeTTL: time.Minute, AccessTTL: time.Hour, IDTokenTTL: time.Hour, RefreshTTL: 24 * time.Hour, DeviceTTL: 10 * time.Minute, Rotation: true,
		TokenFormat: oauth.FormatJWT, Alg: jose.EdDSA, DefaultScopes: []string{"openid"}, EndWithSession: true,
	}
	core := oauth.New(cfg, g.db, g.ring, g.keys)
	tokens := token.New(cfg, token.Parts{Store: g.db, Ring: g.ring, Keys: g.keys})
	var pages *ui.Server
	kit := web.New(web.Options{
		ErrorPage: func(w http.ResponseWriter, r *http.Request, err error) { pages.ErrorPage(w, r, err) },
		Now:       func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler), BodyLimit: 64 << 10, Deadline: time.Minute, Secure: true,
		Limiter: s.limiter, Rates: map[string]web.Rate{"login": {Max: 5, Window: time.Minute}, "device": {Max: 5, Window: time.Minute}},
	})
	pages = ui.NewServer(ui.Config{
		Kit: kit, Pages: g.pages, Login: s.login, OAuth: core, Storage: g.db,
		Account:    account.New(account.Config{RevokeTokens: true}, g.db, s.login),
		SessionTTL: 24 * time.Hour,
	})
	mux := http.NewServeMux()
	protocol.New(kit, core, tokens, pages).Routes(mux)
	pages.Routes(mux)
	s.handler, s.fail = kit.Stack(mux), pages.Fail
	s.user = s.newUser()
	id := secret.NewID(s.now)
	s.app = &client.Client{
		ID: client.ID(id), Name: "Demo <App>", Redirects: []string{callback}, PostLogout: []string{"https://app.example/bye"},
		Grants: []string{client.GrantTypeCode, client.GrantTypeRefresh, client.GrantTypeDevice}, Scopes: []string{"openid", "email"}, CreatedAt: s.now, UpdatedAt: s.now,
		Secrets: []client.Secret{{ID: secret.NewID(s.now), Hash: g.keys.Hash(appSecret), CreatedAt: s.now}},
	}
	must(t, g.db.CreateClient(t.Context(), s.app))
	return s
}

func (s *site) newUser() *identity.User {
	s.t.Helper()
	id := secret.NewID(s.now)
	u := &identity.User{
		ID: identity.UserID(id), Email: "ada" + id[len(id)-8:] + "@example.com", Name: "Ada", PasswordHash: cheapHash, PasswordChangedAt: s.now.Add(-time.Hour),
		CreatedAt: s.now.Add(-time.Hour), UpdatedAt: s.now.Add(-time.Hour),
	}
	must(s.t, s.db.CreateUser(s.t.Context(), u))
	return u
}

// limiter lets everything pass until it is told not to.
type limiter struct{ full bool }

func (l *limiter) Take(context.Context, string, web.Rate) web.LimitResult {
	return web.LimitResult{Allowed: !l.full, RetryAfter: 30 * time.Second}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// browser keeps cookies as a browser does and goes where it is sent, as long as that is on the site.
type browser struct {
	*site
	cookies map[string]string
	last    *httptest.ResponseRecorder
	path    string // where the page that it shows came from
}

func (s *site) browser() *browser { return &browser{site: s, cookies: map[string]string{}} }

// signedIn is a browser with a session.
func (s *site) signedIn(u *identity.User) *browser {
	s.t.Helper()
	b := s.browser()
	cookie := secret.NewToken(secret.PrefixSession)
	must(s.t, s.db.PutSession(s.t.Context(), s.keys.Hash(cookie), identity.NewSession(u.ID, []string{"pwd"}, s.now, time.Hour, "192.0.2.1", "Browser/1"), false, false))
	b.cookies["__Host-gatehouse"] = cookie
	return b
}

func (b *browser) send(r *http.Request) *httptest.ResponseRecorder {
	r.Header.Set("Accept", "text/html")
	for n, v := range b.cookies {
		r.AddCookie(&http.Cookie{Name: n, Value: v})
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c.Value
	}
	b.last, b.path = w, r.URL.RequestURI()
	return w
}

// get opens an address and follows redirects on the site. It ends at a page, or at an address elsewhere.
func (b *browser) get(to string) *httptest.ResponseRecorder {
	b.t.Helper()
	for range 10 {
		w := b.send(httptest.NewRequest("GET", origin+to, nil))
		next := w.Header().Get("Location")
		if w.Code != http.StatusSeeOther || !strings.HasPrefix(next, "/") {
			return w
		}
		to = next
	}
	b.t.Fatalf("too many redirects, last to %s", to)
	return nil
}

// post sends a form as the site's own page does, and follows.
func (b *browser) post(to string, form url.Values, heads ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest("POST", origin+to, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Origin", origin)
	for i := 0; i+1 < len(heads); i += 2 {
		r.Header.Set(heads[i], heads[i+1])
	}
	w := b.send(r)
	if next := w.Header().Get("Location"); w.Code == http.StatusSeeOther && strings.HasPrefix(next, "/") {
		return b.get(next)
	}
	return w
}

var (
	formTag   = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	hiddenTag = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
)

// submit fills in the first form of the page that is shown.
func (b *browser) submit(pairs ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	page := b.last.Body.String()
	m := formTag.FindStringSubmatch(page)
	if m == nil {
		b.t.Fatalf("no form on the page at %s: %d\n%s", b.path, b.last.Code, page)
	}
	form := url.Values{}
	for _, h := range hiddenTag.FindAllStringSubmatch(page, -1) {
		form.Set(h[1], html.UnescapeString(h[2]))
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return b.post(html.UnescapeString(m[1]), form)
}

// shows checks the page that is shown.
func (b *browser) shows(status int, words ...string) {
	b.t.Helper()
	if b.last.Code != status {
		b.t.Fatalf("%s: status %d, want %d (to %s)\n%s", b.path, b.last.Code, status, b.last.Header().Get("Location"), b.last.Body)
	}
	for _, w := range words {
		if !strings.Contains(b.last.Body.String(), w) {
			b.t.Fatalf("%s: the page does not say %q\n%s", b.path, w, b.last.Body)
		}
	}
}

// leaves checks that the browser is sent to an address elsewhere, and gives its parameters.
func (b *browser) leaves(prefix string) url.Values {
	b.t.Helper()
	to := b.last.Header().Get("Location")
	if b.last.Code != http.StatusSeeOther || !strings.HasPrefix(to, prefix) {
		b.t.Fatalf("%s: %d to %q, want %s…\n%s", b.path, b.last.Code, to, prefix, b.last.Body)
	}
	u, err := url.Parse(to)
	must(b.t, err)
	return u.Query()
}

func (s *site) ask(pairs ...string) string {
	q := url.Values{
		"client_id": {string(s.app.ID)}, "response_type": {"code"}, "redirect_uri": {callback}, "scope": {"openid email"}, "state": {"xyz"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return "/oauth/authorize?" + q.Encode()
}

// redeem takes a code to the token endpoint.
func (s *site) redeem(code string) int {
	s.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	r := httptest.NewRequest("POST", origin+"/oauth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(string(s.app.ID), appSecret)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Code
}

// A person's whole way: request, sign-in, consent, back to the application; the second time straight through.
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

func TestConsentRefused(t *testing.T) {
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

// A consent page is of one session: nobody answers for another.
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

// The answer with the code is no page, is kept nowhere, and its address is in no referrer.
func TestReplyIsClean(t *testing.T) {
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
	if csp := b.last.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://app.example;") {
		t.Fatalf("the policy forbids the form: %s", csp)
	}
}

var changing = regexp.MustCompile(`<code>[A-Z2-7]{16}</code>|<time[^>]*>[^<]*</time>|value="[^"]*@example.com"`)

// An unknown user and a wrong password look the same but for what the person typed.
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

// totp is the code of RFC 6238 for a key as the page shows it.
func totp(t *testing.T, key string, at time.Time) string {
	t.Helper()
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(key, " ", ""))
	must(t, err)
	m := hmac.New(sha1.New, seed)
	var step [8]byte
	binary.BigEndian.PutUint64(step[:], uint64(at.Unix()/30))
	m.Write(step[:])
	sum := m.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[19]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1000000)
}

// enroll gives a user an authenticator app.
func (s *site) enroll(u *identity.User) (key string, backup []string) {
	s.t.Helper()
	v := login.Visit{Now: s.now}
	e, err := s.login.Enroll(s.t.Context(), v, u, "totp", "")
	must(s.t, err)
	backup, err = s.login.ConfirmEnrollment(s.t.Context(), v, u, "totp", url.Values{"code": {totp(s.t, e.Secret, s.now)}})
	must(s.t, err)
	s.now = s.now.Add(time.Minute)
	return e.Secret, backup
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
	b.shows(403, "not right")
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

// A wrong password in the form of a factor is shown at the field of that form, which stays open.
func TestTurnOffWithWrongPassword(t *testing.T) {
	s := newSite(t)
	s.enroll(s.user)
	b := s.signedIn(s.user)
	b.post("/account/security/totp/disable", url.Values{"current_password": {"wrong"}})
	b.shows(403, `<details open><summary>Turn off</summary>`, `id="f-totp_disable_password-error"`)
}

// The code page is nothing to somebody who has not shown the password.
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

// RFC 9700 §4.16, contract: cookies under https.
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

// A session cookie planted before the sign-in is worth nothing after it.
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

// Forms of other sites do nothing.
func TestCrossOriginForms(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	for _, path := range []string{
		"/login", "/signin", "/consent", "/activate", "/activate/confirm", "/logout/confirm", "/account/profile", "/account/security/password",
		"/account/security/totp/disable", "/account/sessions/revoke", "/account/sessions/revoke-all", "/account/authorizations/remove", "/setup", "/reset-password",
	} {
		for name, heads := range map[string][]string{
			"cross-site":   {"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
			"same-site":    {"Sec-Fetch-Site", "same-site", "Origin", "https://blog.id.example"},
			"old browser":  {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
			"opaque frame": {"Sec-Fetch-Site", "", "Origin", "null"},
		} {
			w := b.post(path, url.Values{"name": {"Eve"}}, heads...)
			if w.Code != 403 || !strings.Contains(w.Body.String(), "another site") {
				t.Errorf("%s, %s: %d", path, name, w.Code)
			}
		}
	}
	u, err := s.db.User(t.Context(), s.user.ID)
	must(t, err)
	if u.Name != "Ada" {
		t.Fatal("the profile was changed")
	}
}

// RFC 9700 §4.11: `next` leads to our own pages only.
func TestOpenRedirects(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	for next, want := range map[string]string{
		"/account/security":               "/account/security",
		"/activate?user_code=WDJB-MJHT":   "/activate?user_code=WDJB-MJHT",
		"/account?x=https://evil.example": "/account",
		"https://evil.example":            "/account",
		"//evil.example":                  "/account",
		"//evil.example/account":          "/account",
		"/\\evil.example":                 "/account",
		"/account/\\evil.example":         "/account",
		"/account/../../evil":             "/account",
		"/account/..%2f..%2fevil":         "/account",
		"/account/%0d%0aX-Evil:1":         "/account",
		"/account/%5cevil":                "/account",
		"javascript:alert(1)":             "/account",
		"/oauth/authorize?client_id=x":    "/account",
		"/accountant":                     "/account",
		"/logout":                         "/account",
		" /account/security":              "/account",
		"\t//evil.example":                "/account",
		"https:/account/security":         "/account",
		"//user@/account":                 "/account",
	} {
		w := b.send(httptest.NewRequest("GET", origin+"/login?"+url.Values{"next": {next}}.Encode(), nil))
		if got := w.Header().Get("Location"); got != want || w.Code != 303 {
			t.Errorf("%q leads to %q (%d)", next, got, w.Code)
		}
	}
}

// What is sealed into the browser's way cannot be altered by it.
func TestTamperedFlow(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.get(s.ask())
	u, err := url.Parse(b.path)
	must(t, err)
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
		if b.last.Code != 400 || len(b.cookies) != 0 {
			t.Errorf("%s, posted: %d %v", name, b.last.Code, b.cookies)
		}
	}
	b.get("/consent?flow=" + flow)
	b.shows(400, "another step")
	s.now = s.now.Add(61 * time.Minute)
	b.get("/login?flow=" + flow)
	b.shows(400, "longer than an hour")
}

// Every page keeps strangers' frames and scripts out.
func TestPagePolicy(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	for _, path := range []string{"/login?other=1", "/account", "/account/sessions", "/account/security", "/activate", "/nowhere", "/setup"} {
		h := b.get(path).Header()
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: %s", path, csp)
			}
		}
		if strings.Contains(csp, "unsafe") || h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, h)
		}
	}
}

func TestErrorPages(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for path, status := range map[string]int{
		"/nowhere": 404, "/static/none.css": 404, "/login?flow=x&flow=y": 400, "/setup?token=x": 409, "/reset-password?token=x": 409, "/login?next=%ff": 400,
	} {
		w := b.get(path)
		if w.Code != status || !strings.Contains(w.Body.String(), w.Header().Get("X-Request-Id")) {
			t.Errorf("%s: %d\n%s", path, w.Code, w.Body)
		}
	}
}

// An error is a page for a person and JSON for a program, at any address.
func TestErrorsByTheRequest(t *testing.T) {
	s := newSite(t)
	for path, status := range map[string]int{"/nowhere": 404, "/login?flow=x": 400, "/static/none.css": 404, "/oauth/authorize": 400} {
		person := s.browser()
		page := person.get(path)
		if page.Code != status || !strings.Contains(page.Body.String(), "<h1>") {
			t.Errorf("%s in a browser: %d\n%s", path, page.Code, page.Body)
		}
		program := httptest.NewRecorder()
		s.handler.ServeHTTP(program, httptest.NewRequest("GET", origin+path, nil))
		if program.Code != status || !strings.HasPrefix(program.Body.String(), `{"error":`) {
			t.Errorf("%s in a program: %d\n%s", path, program.Code, program.Body)
		}
	}
}

// "Try again" leads back to the page itself, and to no other server.
func TestErrorPageTryAgain(t *testing.T) {
	s := newSite(t)
	for path, want := range map[string]string{
		"/activate?user_code=WDJB-MJHT": "/activate?user_code=WDJB-MJHT",
		"//evil.example/":               "/account",
		`/\evil.example`:                `/%5Cevil.example`,
	} {
		r := httptest.NewRequest("GET", origin+"/", nil)
		u, err := url.Parse(origin + path)
		must(t, err)
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		r.Header.Set("Accept", "text/html")
		w := httptest.NewRecorder()
		s.fail(w, r, fault.New(fault.Unavailable, "the database is away"))
		if page := w.Body.String(); w.Code != 503 || !strings.Contains(page, `href="`+want+`">Try again`) || strings.Contains(page, "database") {
			t.Errorf("%s: %d\n%s", path, w.Code, page)
		}
	}
}

// pair asks for a device's code.
func (s *site) pair() (device, user string) {
	s.t.Helper()
	r := httptest.NewRequest("POST", origin+"/device", strings.NewReader("scope=openid+email"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "Television/2")
	r.SetBasicAuth(string(s.app.ID), appSecret)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	m := regexp.MustCompile(`"device_code":"([^"]+)","user_code":"([^"]+)"`).FindStringSubmatch(w.Body.String())
	if m == nil {
		s.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return m[1], m[2]
}

// poll asks for the device's tokens.
func (s *site) poll(device string) string {
	s.t.Helper()
	form := url.Values{"grant_type": {client.GrantTypeDevice}, "device_code": {device}}
	r := httptest.NewRequest("POST", origin+"/oauth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(string(s.app.ID), appSecret)
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Body.String()
}

// RFC 8628 §3.3: the person signs in, sees what asks, and answers.
func TestActivate(t *testing.T) {
	for action, want := range map[string]string{"approve": `"access_token"`, "deny": `"access_denied"`} {
		t.Run(action, func(t *testing.T) {
			s := newSite(t)
			device, code := s.pair()
			b := s.browser()
			b.get("/device?user_code=" + code)
			b.shows(200, `name="password"`)
			b.submit("username", s.user.Email, "password", "password")
			b.shows(200, `name="user_code"`, `value="`+code+`"`)
			b.submit("user_code", strings.ToLower(strings.ReplaceAll(code, "-", " ")))
			b.shows(200, code, "Demo &lt;App&gt;", "View your email address")
			if got := s.poll(device); !strings.Contains(got, "authorization_pending") {
				t.Fatalf("before the answer: %s", got)
			}
			b.submit("consent_action", action)
			b.shows(200, "Demo &lt;App&gt;")
			s.now = s.now.Add(6 * time.Second)
			if got := s.poll(device); !strings.Contains(got, want) {
				t.Fatalf("after it: %s", got)
			}
		})
	}
}

func TestActivateRefusals(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get("/activate?code=<script>")
	b.shows(200, `name="user_code"`)
	if strings.Contains(b.last.Body.String(), "<script>") {
		t.Fatal("markup comes back")
	}
	for _, typed := range []string{"", "BBBB-BBBB", "no code"} {
		b.get("/activate")
		b.submit("user_code", typed)
		b.shows(400, "not known")
	}
	b.post("/activate/confirm", url.Values{"user_code": {"BBBB-BBBB"}, "consent_action": {"approve"}})
	b.shows(400)
	_, code := s.pair()
	b.post("/activate/confirm", url.Values{"user_code": {code}})
	b.shows(400, "Your decision is missing")
	s.limiter.full = true
	b.post("/activate", url.Values{"user_code": {code}})
	b.shows(429)
	s.limiter.full = false
	stranger := s.browser()
	stranger.post("/activate/confirm", url.Values{"user_code": {code}, "consent_action": {"approve"}})
	stranger.shows(200, `name="password"`)
	if _, err := s.db.DeviceByUserCode(t.Context(), strings.ReplaceAll(code, "-", ""), s.now); err != nil {
		t.Fatalf("somebody answered: %v", err)
	}
}

// /account/sessions: each entry can be ended by its owner, and by nobody else.
func TestRevokeSessions(t *testing.T) {
	s := newSite(t)
	here, there := s.signedIn(s.user), s.signedIn(s.user)
	other := s.signedIn(s.newUser())
	sessions, err := s.db.UserSessions(t.Context(), s.user.ID, s.now)
	must(t, err)
	if len(sessions) != 2 {
		t.Fatalf("%d sessions", len(sessions))
	}
	for _, x := range sessions { // somebody else's form does nothing
		other.post("/account/sessions/revoke", url.Values{"kind": {"session"}, "id": {string(x.ID)}})
	}
	there.get("/account/sessions")
	there.shows(200, "Where you’re signed in")
	here.post("/account/sessions/revoke-all", nil)
	here.shows(200, "signed out everywhere except this browser")
	there.get("/account/sessions")
	there.shows(200, `name="password"`)
	here.post("/account/sessions/revoke-inactive", nil)
	here.shows(200, "There were no inactive devices or apps.")
	here.get("/account/sessions?done=revoked_inactive&count=2")
	here.shows(200, "2 inactive devices and apps were signed out.")
	here.get("/account/sessions")
	here.shows(200, "This device")
	mine, err := s.db.UserSessions(t.Context(), s.user.ID, s.now)
	must(t, err)
	here.post("/account/sessions/revoke", url.Values{"kind": {"session"}, "id": {string(mine[0].ID)}})
	here.shows(200, `name="password"`)
	if here.cookies["__Host-gatehouse"] != "" {
		t.Fatal("the cookie stays")
	}
	other.get("/account/sessions")
	other.shows(200, "This device")
}

func TestRevokeGrants(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get(s.ask())
	b.submit("consent_action", "approve")
	if code := s.redeem(b.leaves(callback).Get("code")); code != 200 {
		t.Fatal(code)
	}
	grants, err := s.db.UserGrants(t.Context(), s.user.ID, s.now)
	must(t, err)
	b.get("/account/sessions")
	b.shows(200, "Demo &lt;App&gt;", string(grants[0].ID))
	s.signedIn(s.newUser()).post("/account/sessions/revoke", url.Values{"kind": {"grant"}, "id": {string(grants[0].ID)}})
	if left, err := s.db.UserGrants(t.Context(), s.user.ID, s.now); err != nil || len(left) != 1 {
		t.Fatalf("another person ended it: %v", err)
	}
	b.post("/account/sessions/revoke", url.Values{"kind": {"grant"}, "id": {string(grants[0].ID)}})
	b.shows(200, "Access removed.")
	if left, err := s.db.UserGrants(t.Context(), s.user.ID, s.now); err != nil || len(left) != 0 {
		t.Fatalf("%d left, %v", len(left), err)
	}
	b.post("/account/sessions/revoke", url.Values{"kind": {"grant"}, "id": {string(grants[0].ID)}}) // twice is no error
	b.shows(200)
	b.post("/account/sessions/revoke", url.Values{"kind": {"nothing"}})
	b.shows(400)
	// What was allowed is asked anew once the permission is taken back.
	b.post("/account/authorizations/remove", url.Values{"client_id": {string(s.app.ID)}})
	b.shows(200, "Access removed.")
	b.get(s.ask())
	b.shows(200, `value="approve"`)
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
	if csp := b.last.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "https://app.example") {
		t.Errorf("the policy forbids the way out: %s", csp)
	}
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

// Pages of the account are for who is signed in.
func TestMembersOnly(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for _, path := range []string{"/account", "/account/profile", "/account/security", "/account/sessions", "/account/authorizations"} {
		w := b.send(httptest.NewRequest("GET", origin+path, nil))
		if w.Code != 303 || w.Header().Get("Location") != "/login?next="+url.QueryEscape(path) {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Location"))
		}
	}
	for _, path := range []string{"/account/profile", "/account/security/password", "/account/sessions/revoke-all"} {
		b.post(path, url.Values{"name": {"x"}})
		b.shows(200, `name="password"`)
	}
	s.now = s.now.Add(2 * time.Hour)
	idle := s.signedIn(s.user)
	s.now = s.now.Add(61 * time.Minute)
	idle.get("/account")
	idle.shows(200, `name="password"`)
}

// prompt=login and prompt=select_account, as a person meets them.
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
	// Signing in as somebody else ends the former session.
	u := s.newUser()
	b.submit("username", u.Email, "password", "password")
	b.shows(200, u.Email, `value="approve"`)
}

// A class that the person cannot reach does not catch the browser in a circle.
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
	must(t, err)
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
	must(t, err)
	signed := s.signedIn(s.user)
	b := s.browser()
	b.get("/reset-password?token=" + token)
	b.submit("new_password", "quite a long pass phrase 7", "confirm_password", "another")
	b.shows(400, "do not match")
	b.submit("new_password", "quite a long pass phrase 7", "confirm_password", "quite a long pass phrase 7")
	b.shows(200, "Your password was changed")
	b.submit("username", s.user.Email, "password", "quite a long pass phrase 7")
	b.shows(200, "Ada")
	signed.get("/account")
	signed.shows(200, `name="password"`)
	b.get("/reset-password?token=" + token)
	b.shows(409, "used already")
}

// Repeated, oversized and broken forms are refused with a page.
func TestBadForms(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	for name, body := range map[string]struct {
		text   string
		status int
	}{
		"repeated":  {"username=a&username=b&password=c", 400},
		"not UTF-8": {"username=%ff", 400},
		"too large": {"username=" + strings.Repeat("x", 65<<10), 413},
		"too many":  {strings.Repeat("a=1&", 70), 400},
	} {
		r := httptest.NewRequest("POST", origin+"/login", strings.NewReader(body.text))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := b.send(r)
		if w.Code != body.status || !strings.Contains(w.Body.String(), "<!doctype html>") {
			t.Errorf("%s: %d\n%s", name, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest("POST", origin+"/login", strings.NewReader("{}"))
	r.Header.Set("Content-Type", "application/json")
	if w := b.send(r); w.Code != 400 {
		t.Errorf("JSON: %d", w.Code)
	}
	if w := b.send(httptest.NewRequest("POST", origin+"/login?password=x", nil)); w.Code != 400 {
		t.Errorf("password in the address: %d", w.Code)
	}
	if w := b.send(httptest.NewRequest("PUT", origin+"/login", nil)); w.Code != 404 && w.Code != 405 {
		t.Errorf("PUT: %d", w.Code)
	}
}
