package accounts_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/store/storetest"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/accounts"
)

const (
	origin = "https://id.example"
	state  = "00112233445566778899aabbccddeeff"

	password = "Tr4verse-the-Quiet-Valley"
	another  = "Nine lanterns 4 the ferry"
)

// harness is the interface over a database of its own, with a client and a person.
type harness struct {
	*testing.T
	db      *store.DB
	keys    *secret.Keys
	login   *login.Server
	tokens  *token.Server
	account *account.Server
	serve   http.Handler
	now     time.Time
	rates   map[string]int
	issued  map[string]*oauth.AccessToken // by the header

	app, public *client.Client
	appSecret   string
	ada         *identity.User
	app2FA      func() string // the authenticator app of enroll
}

// Take counts; the limits of a test are its own.
func (h *harness) Take(_ context.Context, key string, r web.Rate) web.LimitResult {
	name, _, _ := strings.Cut(key, ":")
	if name != accounts.RateName {
		return web.LimitResult{Allowed: true}
	}
	h.rates[key]++
	return web.LimitResult{Allowed: h.rates[key] <= r.Max, RetryAfter: time.Minute}
}

// Caller returns the access token that a test has issued under a name, or asks the server.
func (h *harness) Caller(ctx context.Context, c *oauth.Call) (*oauth.AccessToken, error) {
	if t := h.issued[c.Authorization]; t != nil {
		return t, nil
	}
	return h.tokens.Caller(ctx, c)
}

func newHarness(t *testing.T, set ...func(*login.Config)) *harness {
	t.Helper()
	h := &harness{T: t, now: time.Now().Truncate(time.Second), rates: map[string]int{}}
	db := storetest.Open(t, store.Options{URL: "sqlite::memory:", IdleTimeout: time.Hour})
	h.db = db
	var err error
	h.keys, err = secret.NewKeys([]byte(strings.Repeat("k", secret.MinMaster)))
	testkit.Must(t, err)
	cfg := login.Config{
		Methods: []string{"password", "email_code"},
		Policy:  identity.Policy{MinLength: 12}, AdminPolicy: identity.Policy{MinLength: 12}, AppName: "Example",
		SessionTTL: 24 * time.Hour, Idle: time.Hour, RevokeTokens: true,
		LockThreshold: 5, LockDuration: 30 * time.Minute, AutoUnlock: true,
		Mail: true, BaseURL: origin, ResetTTL: time.Hour, ResetLimit: 3, ResetWindow: time.Hour,
		SignUp: true, VerifyTTL: 24 * time.Hour,
	}
	for _, f := range set {
		f(&cfg)
	}
	h.login = login.New(cfg, db, h.keys, secret.NewPasswords(2, 100))
	h.account = account.New(account.Config{RevokeTokens: true}, db, h.login)
	ring := jose.NewRing(db, h.keys)
	oc := oauth.Config{
		Issuer: origin, AccessTTL: time.Hour, IDTokenTTL: time.Hour, TokenFormat: oauth.FormatJWT, Alg: jose.EdDSA,
	}
	testkit.Must(t, ring.Ensure(t.Context(), jose.EdDSA, h.now))
	h.tokens = token.New(oc, token.Parts{Store: db, Ring: ring, Keys: h.keys, Replays: token.NewReplays()})
	kit := web.New(web.Options{
		Now: func() time.Time { return h.now }, Log: slog.New(slog.DiscardHandler), BodyLimit: 4096, Deadline: time.Minute,
		Origin: origin, Limiter: h, Rates: map[string]web.Rate{accounts.RateName: accounts.Rate(), "login": {Max: 100, Window: time.Minute}},
	})
	mux := http.NewServeMux()
	accounts.New(accounts.Config{
		Kit: kit, Login: h.login, Account: h.account, Clients: h.tokens, Tokens: h, Users: db,
		Administration: admin.New(admin.Config{Issuer: origin, Reauth: 15 * time.Minute}, admin.Parts{
			Store: db, Keys: h.keys, Ring: ring, Accounts: h.login, Sealer: outbox.NewSealer(h.keys),
			Now: func() time.Time { return h.now },
		}),
	}).Routes(mux)
	h.serve = kit.Stack(mux)
	h.seed()
	return h
}

// seed registers a confidential and a public client, and a person.
func (h *harness) seed() {
	ctx := h.Context()
	h.appSecret = secret.NewToken(secret.PrefixClientSecret)
	h.app = &client.Client{
		ID: client.ID(secret.NewID(h.now)), Name: "App", Grants: []string{client.GrantTypeClient}, CreatedAt: h.now, UpdatedAt: h.now,
		Secrets: []client.Secret{{ID: secret.NewID(h.now), Hash: h.keys.Hash(h.appSecret), CreatedAt: h.now}},
	}
	h.public = &client.Client{
		ID: client.ID(secret.NewID(h.now)), Name: "Phone", Public: true, Grants: []string{client.GrantTypeDevice}, CreatedAt: h.now, UpdatedAt: h.now,
	}
	testkit.Must(h.T, h.db.CreateClient(ctx, h.app))
	testkit.Must(h.T, h.db.CreateClient(ctx, h.public))
	h.ada = h.user("ada@example.com")
}

func (h *harness) user(email string) *identity.User {
	h.Helper()
	ctx := h.Context()
	u := &identity.User{ID: identity.UserID(secret.NewID(h.now)), Email: email, Name: "Ada", CreatedAt: h.now.Add(-time.Hour), UpdatedAt: h.now}
	testkit.Must(h.T, h.db.CreateUser(ctx, u))
	testkit.Must(h.T, h.login.SetPassword(ctx, login.Visit{Now: h.now.Add(-time.Hour), Actor: "cli"}, u, password))
	got, err := h.db.User(ctx, u.ID)
	testkit.Must(h.T, err)
	return got
}

func (h *harness) basic() string { return basic(h.app.ID, h.appSecret) }

func basic(id client.ID, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(string(id)+":"+pass))
}

// as returns the Authorization header of the app on behalf of a session.
func (h *harness) as(token string) string { return h.basic() + ",Bearer session:" + token }

// answer is what the interface has answered.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	doc    map[string]any
	raw    string
}

// call sends a request with a body, which is JSON unless it is "".
func (h *harness) call(method, path, authorization, body string) *answer {
	h.Helper()
	r := httptest.NewRequest(method, origin+"/accounts/v1"+path, bytes.NewReader([]byte(body)))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	r.Header.Set("User-Agent", "app/1")
	return h.do(r)
}

func (h *harness) do(r *http.Request) *answer {
	h.Helper()
	w := httptest.NewRecorder()
	h.serve.ServeHTTP(w, r)
	a := &answer{t: h.T, status: w.Code, header: w.Header(), raw: w.Body.String()}
	if err := json.Unmarshal(w.Body.Bytes(), &a.doc); err != nil {
		h.Errorf("%s %s: %d %q is not JSON", r.Method, r.URL, w.Code, w.Body)
	}
	if c := w.Header()["Set-Cookie"]; c != nil {
		h.Errorf("a cookie is set: %s", c)
	}
	if c := w.Header().Get("Access-Control-Allow-Origin"); c != "" {
		h.Errorf("pages of %s may read it", c)
	}
	return a
}

// get returns a member by its path.
func (a *answer) get(path ...string) string {
	var v any = a.doc
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// ok checks that the answer is not an error.
func (a *answer) ok() *answer {
	a.t.Helper()
	if a.status >= 300 {
		a.t.Fatalf("%d %s", a.status, a.raw)
	}
	return a
}

// fails checks the status and the code of an error, and its form.
func (a *answer) fails(status int, code string) *answer {
	a.t.Helper()
	if a.status != status || a.get("error", "code") != code {
		a.t.Fatalf("got %d %s, want %d %s", a.status, a.raw, status, code)
	}
	e, _ := a.doc["error"].(map[string]any)
	_, list := e["obstructions"].([]any)
	if a.get("t") != "error" || a.get("error", "status") != fmt.Sprint(status) || a.get("error", "title") == "" ||
		a.get("error", "detail") == "" || !list {
		a.t.Fatalf("the error has not the form of one: %s", a.raw)
	}
	return a
}

// code processes the requests for messages, and returns the code of the newest.
func (h *harness) code() (code string) {
	h.Helper()
	ctx, sealer := h.Context(), outbox.NewSealer(h.keys)
	sender := h.login.EmailCodeSender(func() time.Time { return h.now })
	for range 2 { // the requests, then what they have led to
		due, err := h.db.ClaimDeliveries(ctx, outbox.Claim{Now: h.now, Until: h.now.Add(time.Hour), Limit: 100})
		testkit.Must(h.T, err)
		for i := range due {
			switch d := &due[i]; d.Kind {
			case outbox.KindCodeRequest:
				testkit.Must(h.T, sender.Send(ctx, d))
			case outbox.KindAddressRequest:
				testkit.Must(h.T, h.login.AddressSender(func() time.Time { return h.now }).Send(ctx, d))
			case outbox.KindMail:
				m, err := sealer.OpenMail(d)
				testkit.Must(h.T, err)
				if m.Values["code"] != "" {
					code = m.Values["code"]
				}
			}
			due[i].State, due[i].FinishedAt = outbox.Sent, h.now
		}
		testkit.Must(h.T, h.db.FinishDeliveries(ctx, due))
	}
	return code
}

// body returns a JSON object of texts.
func body(pairs ...string) string {
	m := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	out, _ := json.Marshal(m) // texts always encode
	return string(out)
}

// signIn signs ada in by password and returns the tokens.
func (h *harness) signIn() (token, refresh string) {
	h.Helper()
	a := h.call("POST", "/sessions/login/password", h.basic(), body("email", "ada@example.com", "password", password, "state", state)).ok()
	testkit.Equal(h.T, "t", a.get("t"), "session")
	return a.get("token"), a.get("refresh")
}

// signInByTOTP signs ada in by password and authenticator app.
func (h *harness) signInByTOTP() (token, refresh string) {
	h.Helper()
	a := h.call("POST", "/sessions/login/password", h.basic(), body("email", "ada@example.com", "password", password, "state", state)).ok()
	a = h.call("POST", "/sessions/login/totp", h.basic(), body("totp", h.app2FA(), "code", a.get("code"), "state", state)).ok()
	return a.get("token"), a.get("refresh")
}

// enroll gives ada an authenticator app; the function returned is the app.
func (h *harness) enroll() func() string {
	h.Helper()
	v := login.Visit{Now: h.now}
	e, err := h.login.Enroll(h.Context(), v, h.ada, "totp", "")
	testkit.Must(h.T, err)
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(e.Secret, " ", ""))
	testkit.Must(h.T, err)
	h.app2FA = func() string {
		m := hmac.New(sha1.New, seed)
		_ = binary.Write(m, binary.BigEndian, h.now.Unix()/30)
		sum := m.Sum(nil)
		return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
	}
	_, err = h.login.ConfirmEnrollment(h.Context(), v, h.ada, "totp", url.Values{"code": {h.app2FA()}})
	testkit.Must(h.T, err)
	h.now = h.now.Add(time.Minute)
	return h.app2FA
}

// ownCaller returns ada as her account page does.
func (h *harness) ownCaller() account.Caller {
	return account.Caller{Visit: login.Visit{Now: h.now}, User: h.ada}
}

func created(op string, at int64) string {
	return fmt.Sprintf(`{"createdMs":{"op":%q,"val":%d}}`, op, at)
}

func escape(s string) string { return url.QueryEscape(s) }
