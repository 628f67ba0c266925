package console_test

import (
	"context"
	"errors"
	"html"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/console"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

const (
	origin = "https://id.example"
	// The hash of "password" of argon2's reference vectors: cheap to compare with.
	cheapHash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
)

// site serves the console, with a clock that the test moves.
type site struct {
	t       *testing.T
	db      *store.DB
	keys    *secret.Keys
	login   *login.Server
	ops     *admin.Operations
	now     time.Time
	handler http.Handler
	console *console.Server
	ring    *jose.Ring
	mail    *sender
	oauth   *oauth.Server
	facts   *doctor.Facts // what is known about the installation
	backups admin.BackupPolicy

	user    *identity.User // the person who uses the console; nil: nobody
	session *identity.Session
	went    string // where the browser was sent to sign in for
}

var errServer = errors.New("535 wrong password")

// actor returns the user of the console as the operations know them.
func (s *site) actor() admin.Actor {
	s.t.Helper()
	_, a, err := s.who(s.t.Context(), nil, s.session)
	testkit.Must(s.t, err)
	return a
}

// backupWriter has a policy that the test sets.
type backupWriter struct {
	policy *admin.BackupPolicy
	admin.BackupWriter
}

// Policy returns the policy.
func (w backupWriter) Policy() admin.BackupPolicy { return *w.policy }

// sender takes messages, or fails.
type sender struct{ err error }

// Parallel returns how many messages are sent at once.
func (s *sender) Parallel() int { return 1 }

// Send fails with the error that the test sets.
func (s *sender) Send(context.Context, *outbox.Delivery) error { return s.err }

// assets are style sheets and scripts under their plain names.
type assets map[string][]byte

func (a assets) Add(name string, body []byte) error { a[name] = body; return nil }
func (a assets) URL(name string) (string, error)    { return "/static/" + name, nil }

func newSite(t *testing.T) *site {
	t.Helper()
	keys, err := secret.NewKeys([]byte("a master key of at least 32 bytes"))
	testkit.Must(t, err)
	s := &site{
		t: t, db: storetest.Memory(t), keys: keys, mail: &sender{},
		now: time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC), facts: &doctor.Facts{},
	}
	s.login = login.New(login.Config{
		Methods: []string{"password"}, AppName: "Example ID", SessionTTL: 24 * time.Hour, Idle: time.Hour, BrowserAccounts: 1,
		LockThreshold: 5, LockDuration: time.Minute, AutoUnlock: true, RevokeTokens: true, Mail: true, BaseURL: origin,
		Policy: identity.Policy{MinLength: 12}, AdminPolicy: identity.Policy{MinLength: 12},
	}, s.db, keys, secret.NewPasswords(2, 8))
	ring := jose.NewRing(s.db, keys)
	testkit.Must(t, ring.Ensure(t.Context(), jose.EdDSA, s.now))
	s.ring = ring
	now := func() time.Time { return s.now }
	protocol := oauth.Config{
		Issuer: origin, CodeTTL: time.Minute, AccessTTL: time.Hour, IDTokenTTL: time.Hour, RefreshTTL: time.Hour, TokenFormat: oauth.FormatJWT, Alg: jose.EdDSA,
	}
	s.ops = admin.New(admin.Config{Issuer: origin, AccessTTL: time.Hour, Algorithm: jose.EdDSA, RevokeTokens: true, Reauth: 15 * time.Minute, RequireMFA: true}, admin.Parts{
		Store: s.db, Keys: keys, Ring: ring, Passwords: secret.NewPasswords(2, 8), Accounts: s.login,
		Rules: token.ClientRules(), Routes: func() (*access.File, error) { return &access.File{}, nil },
		Mail: s.mail, Sealer: outbox.NewSealer(keys), Now: now,
		WebhookKeys: webhook.NewKeys(keys), Webhooks: s, Settings: settings,
		Facts:   func(context.Context) *doctor.Facts { return s.facts },
		Backups: backupWriter{&s.backups, nil},
		SignIns: token.New(protocol, token.Parts{Store: s.db, Ring: ring, Keys: keys}),
	})
	s.oauth = oauth.New(protocol, s.db, ring, keys, nil)
	kit := web.New(web.Options{
		Now: now, Log: slog.New(slog.DiscardHandler), BodyLimit: 64 << 10, Deadline: time.Minute, Secure: true, Origin: origin,
	})
	c, err := console.New(console.Config{
		Kit: kit, Ops: s.ops, Browser: s, Who: s.who, Assets: assets{}, Keys: keys, Issuer: origin, CanMail: true,
		Look: console.Look{Name: "Example ID", Scheme: "light dark", Theme: "/theme.css", Favicon: "/icon.svg"},
		Banners: func() []console.Banner {
			return []console.Banner{{Text: "Set SMTP_HOST.", Link: "https://help.example/", More: "How"}}
		},
		Places: atlas{},
	})
	testkit.Must(t, err)
	console.OnRender(c, shown.add)
	s.console = c
	mux := http.NewServeMux()
	c.Routes(mux)
	s.handler = kit.Stack(mux)
	s.signIn(s.newUser("Ada Lovelace", identity.RoleSuperAdmin))
	return s
}

// Session returns the session of the user of the console.
func (s *site) Session(*http.Request) (*identity.Session, error) { return s.session, nil }

// SignInFor records that the browser was sent to sign in.
func (s *site) SignInFor(w http.ResponseWriter, _ *http.Request, next, _ string, _ bool) error {
	s.went = next
	w.Header().Set("Location", "/login")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func (s *site) who(ctx context.Context, _ *http.Request, sess *identity.Session) (*identity.User, admin.Actor, error) {
	a, err := s.ops.SessionActor(ctx, sess, login.Visit{Now: s.now, IP: "192.0.2.1", Agent: "Browser/1"})
	return s.user, a, err
}

func (s *site) newUser(name string, roles ...string) *identity.User {
	s.t.Helper()
	id := secret.NewID(s.now)
	u := &identity.User{
		ID: identity.UserID(id), Email: "u" + id[len(id)-8:] + "@example.com", Name: name, Roles: roles,
		PasswordHash: cheapHash, PasswordChangedAt: s.now.Add(-time.Hour), CreatedAt: s.now.Add(-time.Hour), UpdatedAt: s.now,
	}
	testkit.Must(s.t, s.db.CreateUser(s.t.Context(), u))
	return u
}

// newSession signs a user in at a browser.
func (s *site) newSession(u *identity.User, from identity.Browser) *identity.Session {
	s.t.Helper()
	x := identity.NewSession(u.ID, []string{"pwd", "otp", identity.AMRMultiFactor}, s.now, 24*time.Hour, from)
	testkit.Must(s.t, s.db.PutSession(s.t.Context(), s.keys.Hash(secret.NewToken(secret.PrefixSession)), x, identity.SessionTerms{}))
	return x
}

// signIn makes a user the one who uses the console.
func (s *site) signIn(u *identity.User) {
	s.user, s.session = u, s.newSession(u, identity.Browser{IP: "192.0.2.1", Agent: "Browser/1"})
}

// page is an answer of the console.
type page struct {
	*site
	*httptest.ResponseRecorder
	path string
}

func (s *site) send(r *http.Request) page {
	s.t.Helper()
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return page{s, w, r.URL.RequestURI()}
}

func (s *site) get(path string, cookies ...*http.Cookie) page {
	s.t.Helper()
	r := httptest.NewRequest("GET", origin+path, nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return s.send(r)
}

// post sends a form as a page of the site does.
func (s *site) post(path string, pairs ...string) page {
	s.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r := httptest.NewRequest("POST", origin+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return s.send(r)
}

var hiddenTag = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// submit sends the last form of a page with its hidden inputs.
func (p page) submit(action string, pairs ...string) page {
	p.t.Helper()
	var all []string
	for _, h := range hiddenTag.FindAllStringSubmatch(p.Body.String(), -1) {
		all = append(all, h[1], html.UnescapeString(h[2]))
	}
	return p.post(action, append(all, pairs...)...)
}

// shows checks the status and texts of a page.
func (p page) shows(status int, words ...string) page {
	p.t.Helper()
	if p.Code != status {
		p.t.Fatalf("%s: status %d, want %d (to %s)\n%s", p.path, p.Code, status, p.Header().Get("Location"), p.Body)
	}
	for _, w := range words {
		if !strings.Contains(p.Body.String(), w) {
			p.t.Fatalf("%s: the page does not say %q\n%s", p.path, w, p.Body)
		}
	}
	return p
}

// hides checks that a page does not contain texts.
func (p page) hides(words ...string) page {
	p.t.Helper()
	for _, w := range words {
		if strings.Contains(p.Body.String(), w) {
			p.t.Fatalf("%s: the page says %q\n%s", p.path, w, p.Body)
		}
	}
	return p
}

// leads checks where a page redirects to.
func (p page) leads(to string) page {
	p.t.Helper()
	if got := p.Header().Get("Location"); p.Code != http.StatusSeeOther || got != to {
		p.t.Fatalf("%s: %d to %q, want %q\n%s", p.path, p.Code, got, to, p.Body)
	}
	return p
}

// askRecovery gives an account a request for recovery that waits.
func (s *site) askRecovery(u *identity.User) {
	s.t.Helper()
	r := &login.Recovery{ID: secret.NewID(s.now), User: u.ID, State: "state", CreatedAt: s.now, ExpiresAt: s.now.Add(time.Hour)}
	testkit.Must(s.t, s.db.PutRecovery(s.t.Context(), r, u.Email, "start"))
	r.StartedAt, r.ReadyAt, r.ExpiresAt = s.now, s.now.Add(time.Hour), s.now.Add(2*time.Hour)
	testkit.Must(s.t, s.db.StartRecovery(s.t.Context(), r, "start", "stop"))
}

// furnish gives an account a second factor and a connected app, and returns their ids.
func (s *site) furnish(u *identity.User) (factor, app string) {
	s.t.Helper()
	c := &identity.Credential{
		ID: identity.CredentialID(secret.NewID(s.now)), User: u.ID, Kind: "totp", Label: hostile, Sealed: "x",
		CreatedAt: s.now, ConfirmedAt: s.now, LastUsedAt: s.now,
	}
	testkit.Must(s.t, s.db.PutCredential(s.t.Context(), c))
	cl := &client.Client{
		ID: client.ID(secret.NewID(s.now)), Name: hostile, Redirects: []string{"https://app.example/callback"}, Public: true,
		Grants: []string{client.GrantTypeCode}, Scopes: []string{"openid"}, CreatedAt: s.now, UpdatedAt: s.now,
	}
	testkit.Must(s.t, s.db.CreateClient(s.t.Context(), cl))
	testkit.Must(s.t, s.db.AddConsent(s.t.Context(), &oauth.Consent{User: u.ID, Client: cl.ID, Scopes: []string{"openid"}, CreatedAt: s.now, UpdatedAt: s.now}))
	testkit.Must(s.t, s.db.PutGrant(s.t.Context(), &oauth.Grant{
		ID: oauth.GrantID(secret.NewID(s.now)), User: u.ID, Client: cl.ID, Scopes: []string{"openid"}, CreatedAt: s.now, LastUsedAt: s.now, ExpiresAt: s.now.Add(time.Hour),
	}))
	return string(c.ID), string(cl.ID)
}
