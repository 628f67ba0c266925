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
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
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

// ground is what all sites share, because it is slow to create.
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
	pages, err := ui.NewPages(ui.Brand{Name: "Example ID", SupportURL: "https://help.example/"})
	if err != nil {
		return nil, err
	}
	pages.OnRender(shown.add)
	return &ground{db, pages, keys, jose.NewRing(db, keys)}, nil
})

// site serves the pages and the protocol behind one handler, with a clock that the test moves.
type site struct {
	*ground
	t       *testing.T
	now     time.Time
	handler http.Handler
	server  *ui.Server
	fail    func(w http.ResponseWriter, r *http.Request, err error)
	login   *login.Server
	account *account.Server
	grace   time.Duration // of deletions
	limiter *limiter
	mailbox ui.Mailbox // served at /dev/mail, if set
	user    *identity.User
	app     *client.Client

	stayChecked bool
}

func newSite(t *testing.T) *site {
	t.Helper()
	g, err := shared()
	testkit.Must(t, err)
	s := &site{ground: g, t: t, now: time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC), limiter: &limiter{}, grace: 14 * 24 * time.Hour}
	s.login = s.newLogin(nil)
	s.serve()
	s.user = s.newUser()
	id := secret.NewID(s.now)
	s.app = &client.Client{
		ID: client.ID(id), Name: "Demo <App>", Redirects: []string{callback}, PostLogout: []string{"https://app.example/bye"},
		Grants: []string{client.GrantTypeCode, client.GrantTypeRefresh, client.GrantTypeDevice}, Scopes: []string{"openid", "email"}, CreatedAt: s.now, UpdatedAt: s.now,
		Secrets: []client.Secret{{ID: secret.NewID(s.now), Hash: g.keys.Hash(appSecret), CreatedAt: s.now}},
	}
	testkit.Must(t, g.db.CreateClient(t.Context(), s.app))
	return s
}

// newLogin returns a sign-in, with settings that change may change.
func (s *site) newLogin(change func(*login.Config)) *login.Server {
	cfg := login.Config{
		AppName: "Example ID", SessionTTL: 24 * time.Hour, Idle: time.Hour, StaySignedIn: true, BrowserAccounts: 5, RememberAccounts: true, TrustFor: 30 * 24 * time.Hour, RecoveryDelay: 24 * time.Hour, RevokeTokens: true, LockThreshold: 5, LockDuration: time.Minute, AutoUnlock: true,
		Policy: identity.Policy{MinLength: 12}, AdminPolicy: identity.Policy{MinLength: 12},
	}
	if change != nil {
		change(&cfg)
	}
	return login.New(cfg, s.db, s.keys, secret.NewPasswords(2, 8))
}

// serve makes the handler over s.login.
func (s *site) serve() {
	g := s.ground
	cfg := oauth.Config{
		Issuer: origin, CodeTTL: time.Minute, AccessTTL: time.Hour, IDTokenTTL: time.Hour, RefreshTTL: 90 * 24 * time.Hour, DeviceTTL: 10 * time.Minute, Rotation: true,
		TokenFormat: oauth.FormatJWT, Alg: jose.EdDSA, DefaultScopes: []string{"openid"}, EndWithSession: true,
	}
	core := oauth.New(cfg, g.db, g.ring, g.keys, nil)
	tokens := token.New(cfg, token.Parts{Store: g.db, Ring: g.ring, Keys: g.keys})
	var pages *ui.Server
	kit := web.New(web.Options{
		ErrorPage: func(w http.ResponseWriter, r *http.Request, err error) { pages.ErrorPage(w, r, err) },
		Now:       func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler), BodyLimit: 64 << 10, BodyLimits: map[string]int64{ui.PathPicture: 32 << 20}, Deadline: time.Minute, Secure: true, Origin: origin,
		Limiter: s.limiter, Rates: map[string]web.Rate{"login": {Max: 5, Window: time.Minute}, "register": {Max: 5, Window: time.Minute}, "password_reset": {Max: 3, Window: time.Hour}, "device": {Max: 5, Window: time.Minute}},
	})
	s.account = account.New(account.Config{RevokeTokens: true, BaseURL: origin, DeletionGrace: s.grace, Places: atlas{}}, g.db, s.login)
	pages = ui.NewServer(ui.Config{
		Kit: kit, Pages: g.pages, Login: s.login, OAuth: core, Storage: g.db,
		Account:     s.account,
		StayChecked: s.stayChecked,
	})
	pages.ShowConsole(func(u *identity.User) bool { return u.Name == "Ada" })
	if s.mailbox != nil {
		pages.ShowMailbox(s.mailbox)
	}
	mux := http.NewServeMux()
	protocol.New(kit, core, tokens, pages).Routes(mux)
	pages.Routes(mux)
	s.handler, s.fail, s.server = kit.Stack(mux), pages.Fail, pages
}

func (s *site) newUser() *identity.User {
	s.t.Helper()
	id := secret.NewID(s.now)
	u := &identity.User{
		ID: identity.UserID(id), Email: "ada" + id[len(id)-8:] + "@example.com", Name: "Ada", PasswordHash: cheapHash, PasswordChangedAt: s.now.Add(-time.Hour),
		CreatedAt: s.now.Add(-time.Hour), UpdatedAt: s.now.Add(-time.Hour),
	}
	testkit.Must(s.t, s.db.CreateUser(s.t.Context(), u))
	return u
}

// limiter allows every request until it is full.
type limiter struct{ full bool }

func (l *limiter) Take(context.Context, string, web.Rate) web.LimitResult {
	return web.LimitResult{Allowed: !l.full, RetryAfter: 30 * time.Second}
}

// browser keeps cookies and follows redirects like a browser, as long as they stay on the site.
type browser struct {
	*site
	cookies map[string]string
	agent   string // the User-Agent
	last    *httptest.ResponseRecorder
	path    string // where the page that it shows came from
}

func (s *site) browser() *browser { return &browser{site: s, cookies: map[string]string{}} }

// signedIn returns a browser with a session.
func (s *site) signedIn(u *identity.User) *browser {
	s.t.Helper()
	b := s.browser()
	cookie := secret.NewToken(secret.PrefixSession)
	testkit.Must(s.t, s.db.PutSession(s.t.Context(), s.keys.Hash(cookie), identity.NewSession(u.ID, []string{"pwd"}, s.now, time.Hour, identity.Browser{IP: "192.0.2.1", Agent: "Browser/1"}), identity.SessionTerms{}))
	b.cookies["__Host-gatehouse"] = cookie
	return b
}

func (b *browser) send(r *http.Request) *httptest.ResponseRecorder {
	r.Header.Set("Accept", "text/html")
	r.Header.Set("User-Agent", b.agent)
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

// get opens an address and follows redirects. It ends at a page, or at an address of another site.
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

// post sends a form as a page of the site does, and follows redirects.
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

// postForm sends a form as a page of the site does, and does not follow the redirect.
func (b *browser) postForm(to string, form url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest("POST", origin+to, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.send(r)
}

var (
	formTag   = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)
	hiddenTag = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)
)

// submit fills in and sends the first form of the current page.
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

// shows checks the status and the text of the current page.
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

// hides checks that the current page does not contain a text.
func (b *browser) hides(words ...string) {
	b.t.Helper()
	for _, w := range words {
		if strings.Contains(b.last.Body.String(), w) {
			b.t.Fatalf("%s: the page says %q\n%s", b.path, w, b.last.Body)
		}
	}
}

// leaves checks that the browser is redirected to another site, and returns the parameters.
func (b *browser) leaves(prefix string) url.Values {
	b.t.Helper()
	to := b.last.Header().Get("Location")
	if b.last.Code != http.StatusSeeOther || !strings.HasPrefix(to, prefix) {
		b.t.Fatalf("%s: %d to %q, want %s…\n%s", b.path, b.last.Code, to, prefix, b.last.Body)
	}
	u, err := url.Parse(to)
	testkit.Must(b.t, err)
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

// redeem exchanges a code at the token endpoint and returns the status.
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

// totp returns the code of RFC 6238 for a key as the page shows it.
func totp(t *testing.T, key string, at time.Time) string {
	t.Helper()
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(key, " ", ""))
	testkit.Must(t, err)
	m := hmac.New(sha1.New, seed)
	var step [8]byte
	binary.BigEndian.PutUint64(step[:], uint64(at.Unix()/30))
	m.Write(step[:])
	sum := m.Sum(nil)
	n := binary.BigEndian.Uint32(sum[sum[19]&15:]) & 0x7fffffff
	return fmt.Sprintf("%06d", n%1000000)
}

// enroll sets up an authenticator app for a user.
func (s *site) enroll(u *identity.User) (key string, backup []string) {
	s.t.Helper()
	v := login.Visit{Now: s.now}
	e, err := s.login.Enroll(s.t.Context(), v, u, "totp", "")
	testkit.Must(s.t, err)
	backup, err = s.login.ConfirmEnrollment(s.t.Context(), v, u, "totp", url.Values{"code": {totp(s.t, e.Secret, s.now)}})
	testkit.Must(s.t, err)
	s.now = s.now.Add(time.Minute)
	return e.Secret, backup
}

// pair requests a device code and a user code.
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

// poll requests the tokens of a device and returns the response.
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
