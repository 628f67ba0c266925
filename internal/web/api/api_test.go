package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/store/storetest"

	"github.com/gatehouse-id/gatehouse/internal/access"
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
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/api"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

const goodPassword = "Tr4verse-the-Quiet-Valley"

// leaked is a list of breached passwords.
type leaked map[string]bool

func (l leaked) Contains(_ context.Context, password string) (bool, error) {
	if l == nil {
		return false, errors.New("broken")
	}
	return l[password], nil
}

// limits counts down for each name.
type limits map[string]int

func (l limits) Take(_ context.Context, key string, r web.Rate) web.LimitResult {
	name, _, _ := strings.Cut(key, ":")
	l[name]++
	return web.LimitResult{Allowed: l[name] <= r.Max, RetryAfter: time.Minute}
}

// scopeTokens reads access tokens that are lists of scopes, separated by commas. They belong to a
// client that acts for itself, or with the prefix USER@ to a user.
type scopeTokens struct{}

func (scopeTokens) Caller(_ context.Context, c *oauth.Call) (*oauth.AccessToken, error) {
	scheme, text, _ := strings.Cut(c.Authorization, " ")
	switch {
	case c.Authorization == "":
		e := oauth.NewError("", 401, "")
		e.Challenge = oauth.SchemeBearer
		return nil, e
	case scheme != "Bearer":
		return nil, oauth.InvalidToken("The access token is invalid, expired or revoked.")
	}
	t := &oauth.AccessToken{Client: "machine"}
	if user, scopes, ok := strings.Cut(text, "@"); ok {
		t.User, text = identity.UserID(user), scopes
	}
	t.Scopes = strings.Split(text, ",")
	return t, nil
}

type harness struct {
	*testing.T
	judge *judge
	db    *store.DB
	login *login.Server
	log   strings.Builder
	serve http.Handler
	now   time.Time
	ada   *identity.User
}

func newHarness(t *testing.T, set ...func(*login.Config)) *harness {
	t.Helper()
	h := &harness{T: t, judge: newJudge(t), now: time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)}
	db := storetest.Memory(t)
	keys, err := secret.NewKeys([]byte(strings.Repeat("k", secret.MinMaster)))
	h.must(err)
	cfg := login.Config{
		Policy: identity.Policy{MinLength: 12, Upper: true, Number: true, Common: true}, AdminPolicy: identity.Policy{MinLength: 12},
		Breached: leaked{"Leaked-7-lighthouse-rows": true},
		Mail:     true, BaseURL: "https://id.example", ResetTTL: time.Hour, ResetLimit: 3, ResetWindow: time.Hour,
	}
	for _, f := range set {
		f(&cfg)
	}
	h.db, h.login = db, login.New(cfg, db, keys, secret.NewPasswords(2, 8))
	kit := web.New(web.Options{
		Now: func() time.Time { return h.now }, Log: slog.New(slog.NewTextHandler(&h.log, nil)), BodyLimit: 4096, Deadline: time.Minute,
		Limiter: limits{}, Rates: map[string]web.Rate{api.RateName: api.Rate(), "validate_password": {Max: 30, Window: time.Minute}, "password_reset": {Max: 30, Window: time.Minute}},
	})
	mux := http.NewServeMux()
	passwords := secret.NewPasswords(2, 8)
	ops := admin.New(admin.Config{Issuer: "https://id.example"}, admin.Parts{
		Store: db, Keys: keys, Ring: jose.NewRing(db, keys), Passwords: passwords, Accounts: h.login,
		Rules: token.ClientRules(), Routes: func() (*access.File, error) { return &access.File{}, nil },
		Now: func() time.Time { return h.now }, Sealer: outbox.NewSealer(keys), WebhookKeys: webhook.NewKeys(keys),
		Settings: func() []admin.Setting { return []admin.Setting{{Name: "SECRET_KEY", Secret: true}} },
		Backups:  nightly{},
	})
	server := api.New(api.Config{
		Kit: kit, Login: h.login, Operations: ops, Tokens: scopeTokens{},
	})
	server.Routes(mux)
	h.serve = kit.Stack(mux)
	h.ada = &identity.User{ID: identity.UserID(secret.NewID(h.now)), Email: "ada@example.com", CreatedAt: h.now, UpdatedAt: h.now}
	h.must(db.CreateUser(t.Context(), h.ada))
	h.must(db.CreateClient(t.Context(), &client.Client{
		ID: "machine", Name: "Machine", Grants: []string{client.GrantTypeClient}, Scopes: []string{"admin", "openid"},
		CreatedAt: h.now, UpdatedAt: h.now,
	}))
	return h
}

func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// call sends a request and checks the answer against the document.
func (h *harness) call(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	h.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.serve.ServeHTTP(w, r)
	if w.Header().Get("Cache-Control") != "no-store, no-transform" {
		h.Errorf("%s may be cached", path)
	}
	if strings.HasPrefix(path, "/api/") {
		if err := h.judge.check(r, w); err != nil {
			h.Errorf("%s %s: %d %s\n%v", method, path, w.Code, w.Body, err)
		}
	}
	return w
}

// document returns the JSON of an answer.
func (h *harness) document(w *httptest.ResponseRecorder) map[string]any {
	h.Helper()
	doc := map[string]any{}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		h.Fatalf("%d %q: %v", w.Code, w.Body, err)
	}
	return doc
}

// get returns what a caller with some scopes is answered, which must be a success.
func (h *harness) get(path, scopes string) map[string]any {
	h.Helper()
	w := h.call("GET", path, "", "Authorization", "Bearer "+scopes)
	if w.Code != http.StatusOK {
		h.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return h.document(w)
}

// post sends a body and returns the status, the media type and the document.
func (h *harness) post(path, body string, headers ...string) (int, string, map[string]any) {
	h.Helper()
	w := h.call("POST", path, body, headers...)
	return w.Code, w.Header().Get("Content-Type"), h.document(w)
}

func body(kv ...string) string {
	doc := map[string]string{}
	for i := 0; i+1 < len(kv); i += 2 {
		doc[kv[i]] = kv[i+1]
	}
	b, _ := json.Marshal(doc)
	return string(b)
}

func TestValidatePassword(t *testing.T) {
	h := newHarness(t)
	for _, tt := range []struct {
		body            string
		valid           bool
		unmet, strength string
	}{
		{body("password", goodPassword), true, "", "strong"},
		{body("password", "Kettle-77-bx"), true, "", "fair"},
		{body("password", "short"), false, "length uppercase number common", "weak"},
		{body("password", "Leaked-7-lighthouse-rows"), false, "breached", "weak"},
		{body("password", "Xy7-ada.lovelace-rows", "email", "ada.lovelace@example.com"), false, "common", "weak"},
		{body("password", "Xy7-countess-rows-77", "username", "countess"), false, "common", "weak"},
		{body("password", "Zerberoff2026x", "name", "Ada Zerberoff"), false, "common", "weak"},
		{body("password", strings.Repeat("Xy7-", 300)), false, "text", "weak"},
		{body("password", "   "), false, "length uppercase number common", "weak"},
	} {
		for _, path := range []string{"/api/v1/validate-password", "/api/validate-password"} {
			status, kind, doc := h.post(path, tt.body)
			var unmet []string
			for _, code := range doc["unmet"].([]any) {
				unmet = append(unmet, code.(string))
			}
			if status != 200 || kind != "application/json" || doc["valid"] != tt.valid || doc["strength"] != tt.strength ||
				strings.Join(unmet, " ") != tt.unmet || len(doc["errors"].([]any)) != len(unmet) {
				t.Errorf("%s %s: %d %v", path, tt.body, status, doc)
			}
		}
	}
	if strings.Contains(h.log.String(), "lighthouse") || strings.Contains(h.log.String(), "Quiet") {
		t.Errorf("a password is logged: %s", h.log.String())
	}
}

func TestProblems(t *testing.T) {
	h := newHarness(t)
	for _, tt := range []struct {
		path, body, contentType string
		status                  int
		code, field             string
	}{
		{"/api/v1/validate-password", `{}`, "", 400, "validation_error", "password"},
		{"/api/v1/validate-password", `{"password":"x","Email":"y"}`, "", 400, "validation_error", "Email"},
		{"/api/v1/validate-password", `{"password":"x","password":"y"}`, "", 400, "validation_error", "password"},
		{"/api/v1/validate-password", `{"password":["x"]}`, "", 400, "validation_error", "password"},
		{"/api/v1/validate-password", `password=x`, "application/x-www-form-urlencoded", 415, "unsupported_media_type", ""},
		{"/api/v1/validate-password", `{"password":"x"}`, "text/plain", 415, "unsupported_media_type", ""},
		{"/api/v1/validate-password", body("password", strings.Repeat("x", 5000)), "", 413, "invalid_request", ""},
		{"/api/v1/validate-password", body("password", "x", "name", strings.Repeat("x", 321)), "", 400, "validation_error", "name"},
		{"/api/v1/password-reset", `{}`, "", 400, "validation_error", "email"},
		{"/api/v1/password-reset/complete", `{"password":"x"}`, "", 400, "validation_error", "token"},
		{"/api/v1/password-reset/complete", `{"token":"x","password":"x"}`, "", 400, "invalid_token", ""},
		{"/account/password/confirm", `{"token":"x","password":"y"}`, "", 400, "invalid_token", ""},
	} {
		kind := tt.contentType
		if kind == "" {
			kind = "application/json"
		}
		status, got, doc := h.post(tt.path, tt.body, "Content-Type", kind)
		if status != tt.status || got != "application/problem+json" || doc["error"] != tt.code || doc["status"] != float64(tt.status) ||
			doc["error_description"] == nil || doc["title"] == nil || doc["type"] != "about:blank" {
			t.Errorf("%s %.60s: %d %s %v", tt.path, tt.body, status, got, doc)
		}
		details, _ := doc["details"].([]any)
		if (tt.field != "") != (len(details) > 0) || tt.field != "" && details[0].(map[string]any)["field"] != tt.field {
			t.Errorf("%s %.60s: details %v", tt.path, tt.body, details)
		}
	}
}

func TestValidatePasswordIsLimited(t *testing.T) {
	h := newHarness(t)
	for i := range 31 {
		status, _, doc := h.post("/api/v1/validate-password", body("password", "x"))
		if limited := i == 30; (status == 429) != limited || limited && (doc["error"] != "rate_limit_exceeded" || doc["retry_after"] != 60.0) {
			t.Errorf("%d: %d %v", i, status, doc)
		}
	}
}

func TestValidatePasswordWithoutItsList(t *testing.T) {
	h := newHarness(t, func(c *login.Config) { c.Breached = leaked(nil) })
	status, _, doc := h.post("/api/v1/validate-password", body("password", goodPassword))
	if status != 503 || doc["error"] != "temporarily_unavailable" || doc["instance"] == nil {
		t.Errorf("%d %v", status, doc)
	}
}

// The answer is the same whether the account exists or not.
func TestRequestReset(t *testing.T) {
	h := newHarness(t)
	for _, path := range []string{"/api/v1/password-reset", "/api/password-reset", "/account/password/reset"} {
		status, _, known := h.post(path, body("email", "ada@example.com"))
		other, _, unknown := h.post(path, body("email", "nobody@example.com"))
		if status != 200 || other != 200 || known["success"] != true || known["message"] != unknown["message"] {
			t.Errorf("%s: %d %v, %d %v", path, status, known, other, unknown)
		}
	}
	status, _, doc := newHarness(t, func(c *login.Config) { c.Mail = false }).post("/api/v1/password-reset", body("email", "ada@example.com"))
	if status != 503 || doc["error"] != "temporarily_unavailable" {
		t.Errorf("without mail: %d %v", status, doc)
	}
}

func TestCompleteReset(t *testing.T) {
	h := newHarness(t)
	for _, path := range []string{"/api/v1/password-reset/complete", "/api/password-reset/complete", "/account/password/confirm"} {
		token, err := h.login.PasswordLink(t.Context(), login.Visit{Now: h.now}, h.ada)
		h.must(err)
		for password, unmet := range map[string]int{"short": 4, "Leaked-7-lighthouse-rows": 1} {
			status, _, doc := h.post(path, body("token", token, "password", password))
			details, _ := doc["details"].([]any)
			if status != 400 || doc["error"] != "validation_error" || len(details) != unmet || details[0].(map[string]any)["field"] != "password" {
				t.Errorf("%s %q: %d %v", path, password, status, doc)
			}
		}
		password := goodPassword + path
		status, _, doc := h.post(path, body("token", token, "password", password))
		if status != 200 || doc["success"] != true {
			t.Errorf("%s: %d %v", path, status, doc)
		}
		if status, _, doc := h.post(path, body("token", token, "password", password)); status != 400 || doc["error"] != "invalid_token" {
			t.Errorf("%s again: %d %v", path, status, doc)
		}
		h.now = h.now.Add(time.Second)
	}
	u, err := h.db.User(t.Context(), h.ada.ID)
	h.must(err)
	if ok, err := secret.NewPasswords(1, 1).Verify(t.Context(), goodPassword+"/account/password/confirm", u.PasswordHash); !ok || err != nil {
		t.Error(ok, err)
	}
	status, _, doc := h.post("/api/v1/password-reset/complete", body("token", mustLink(h), "password", goodPassword+"/account/password/confirm"))
	if status != 400 || doc["error"] != "validation_error" || !strings.Contains(doc["detail"].(string), "used before") {
		t.Errorf("%d %v", status, doc)
	}
	if strings.Contains(h.log.String(), "Quiet") {
		t.Error("a password is logged")
	}
}

func mustLink(h *harness) string {
	u, err := h.db.User(h.Context(), h.ada.ID)
	h.must(err)
	token, err := h.login.PasswordLink(h.Context(), login.Visit{Now: h.now}, u)
	h.must(err)
	return token
}

func TestDisabledAccountsStayClosed(t *testing.T) {
	h := newHarness(t)
	token := mustLink(h)
	h.must(h.db.SetUserDisabled(t.Context(), h.ada.ID, true, h.now))
	if status, _, doc := h.post("/api/v1/password-reset/complete", body("token", token, "password", goodPassword)); status != 403 || doc["error"] != "access_denied" {
		t.Errorf("%d %v", status, doc)
	}
}
