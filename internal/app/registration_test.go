package app

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
)

// TestRegistrationOnPostgreSQL runs stories of registration on the other engine.
func TestRegistrationOnPostgreSQL(t *testing.T) {
	for name, story := range map[string]func(*testing.T, ...string){
		"initial token":     registrationByAnInitialToken,
		"policies":          initialTokenPolicies,
		"managed by itself": registrationIsManagedByItsToken,
		"open":              openRegistration,
		"unused":            unusedClientsAreDeleted,
	} {
		t.Run(name, func(t *testing.T) {
			story(t, "DATABASE_URL="+storetest.Postgres(t), "SECRET_KEY="+strings.Repeat("k1", 20))
		})
	}
}

// registrar calls the registration endpoint of a server.
type registrar struct {
	*testing.T
	*testServer
	ops  *admin.Operations
	cli  admin.Actor
	last http.Header // of the last response
}

func newRegistrar(t *testing.T, settings ...string) *registrar {
	t.Helper()
	h := newTestServer(t, append([]string{"RATE_LIMIT_REGISTRATION_MAX=0"}, settings...)...)
	e := &env{stdout: io.Discard, stderr: io.Discard, now: time.Now}
	ops, err := h.parts.operations(e)
	if err != nil {
		t.Fatal(err)
	}
	return &registrar{T: t, testServer: h, ops: ops, cli: admin.CommandLine()}
}

// call sends a request with a body of JSON, and returns the status and the members of the answer.
func (r *registrar) call(method, path, token, body string) (int, map[string]any) {
	r.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.RemoteAddr = "127.0.0.1:50000"
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, req)
	r.last = w.Header()
	doc := map[string]any{}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			r.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	return w.Code, doc
}

// expect calls and fails unless the status is as wanted.
func (r *registrar) expect(status int, method, path, token, body string) map[string]any {
	r.Helper()
	code, doc := r.call(method, path, token, body)
	if code != status {
		r.Fatalf("%s %s %s: %d %v, want %d", method, path, body, code, doc, status)
	}
	return doc
}

// machine returns the Authorization header of a client that acts for itself with scopes.
func (r *registrar) machine(scopes ...string) string {
	r.Helper()
	id := "ops-" + secret.NewID(time.Now())
	pass := secret.NewToken(secret.PrefixClientSecret)
	err := r.parts.db.CreateClient(r.Context(), &client.Client{
		ID:        client.ID(id),
		Name:      "Operations",
		Grants:    []string{client.GrantTypeClient, client.GrantTypePassword},
		Scopes:    scopes,
		CreatedAt: time.Now(),
		Secrets:   []client.Secret{{ID: id, Hash: r.parts.keys.Hash(pass), CreatedAt: time.Now()}},
	})
	if err != nil {
		r.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {strings.Join(scopes, " ")}}
	req := r.request("POST", "/oauth/token", form, "")
	req.SetBasicAuth(id, pass)
	return "Bearer " + member(r.do(r, req), "access_token")
}

// initial returns the Authorization header of a new initial access token.
func (r *registrar) initial(in admin.NewInitialToken) string {
	r.Helper()
	_, text, err := r.ops.CreateInitialToken(r.Context(), r.cli, in)
	if err != nil {
		r.Fatal(err)
	}
	return "Bearer " + text
}

const sampleRegistration = `{
	"client_name": "My Application",
	"redirect_uris": ["https://myapp.com/callback", "https://myapp.com/auth/callback"],
	"grant_types": ["authorization_code", "refresh_token"],
	"response_types": ["code"],
	"scope": "openid profile email",
	"token_endpoint_auth_method": "client_secret_basic",
	"logo_uri": "https://myapp.com/logo.png",
	"client_uri": "https://myapp.com",
	"tos_uri": "https://myapp.com/tos",
	"policy_uri": "https://myapp.com/privacy",
	"contacts": ["support@myapp.com"],
	"something_new": {"a": [1]}
}`

func TestRegistrationByAnAdministrator(t *testing.T) {
	r := newRegistrar(t)
	write := r.machine("admin:clients:write", "admin:clients:read")
	doc := r.expect(201, "POST", "/register", write, sampleRegistration)
	id, _ := doc["client_id"].(string)
	if id == "" || doc["client_secret_expires_at"] != 0.0 || doc["scope"] != "openid profile email" ||
		doc["something_new"] != nil || doc["tos_uri"] != "https://myapp.com/tos" ||
		doc["registration_client_uri"] != "http://localhost:8080/oauth/register/"+id {
		t.Errorf("registered: %v", doc)
	}
	if s, _ := doc["client_secret"].(string); !secret.WellFormed(secret.PrefixClientSecret, s) {
		t.Errorf("the secret is %q", s)
	}
	if s, _ := doc["registration_access_token"].(string); !strings.HasPrefix(s, "gth_ra_") {
		t.Errorf("the registration access token is %q", s)
	}
	if r.last.Get("Cache-Control") != "no-store" || r.last.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("headers: %v", r.last)
	}
	doc = r.expect(200, "PATCH", "/register/"+id, write, `{"redirect_uris":["https://myapp.com/callback"]}`)
	if got := doc["redirect_uris"].([]any); len(got) != 1 || doc["client_name"] != "My Application" || doc["tos_uri"] == nil {
		t.Errorf("patched: %v", doc)
	}
	renewed := r.expect(200, "POST", "/register/"+id+"/renew_secret", write, "")
	if renewed["client_id"] != id || renewed["client_secret_expires_at"] != 0.0 {
		t.Errorf("renewed: %v", renewed)
	}
	added := r.expect(201, "POST", "/register/"+id+"/secrets", write, `{"action":"add"}`)
	r.expect(204, "DELETE", "/register/"+id+"/secrets/"+added["secret_id"].(string), write, "")
	r.expect(400, "POST", "/register/"+id+"/secrets", write, `{"action":"drop"}`)
	if c, _ := r.parts.db.Client(t.Context(), client.ID(id)); c.ActiveSecrets(time.Now()) != 1 {
		t.Errorf("%d secrets are active, want the renewed one", c.ActiveSecrets(time.Now()))
	}
	read := r.machine("admin:clients:read")
	r.expect(200, "GET", "/oauth/register/"+id, read, "")
	for _, c := range [][3]string{
		{"PATCH", "/oauth/register/" + id, `{"client_name":"x"}`},
		{"DELETE", "/oauth/register/" + id, ""},
		{"POST", "/oauth/register", sampleRegistration},
	} {
		if doc := r.expect(403, c[0], c[1], read, c[2]); doc["error"] != "insufficient_scope" {
			t.Errorf("%s: %v", c[0], doc)
		}
	}
	r.expect(404, "GET", "/oauth/register/unknown", read, "")
	r.expect(204, "DELETE", "/oauth/register/"+id, write, "")
	r.expect(405, "PUT", "/oauth/register", write, "{}")
	r.expect(401, "POST", "/oauth/register", "", sampleRegistration)
	r.expect(401, "POST", "/oauth/register", "Bearer invented", sampleRegistration)
	if !strings.Contains(r.last.Get("WWW-Authenticate"), `Bearer`) {
		t.Errorf("challenge: %v", r.last)
	}
}

func TestRegistrationByAnInitialToken(t *testing.T) { registrationByAnInitialToken(t) }

func registrationByAnInitialToken(t *testing.T, more ...string) {
	r := newRegistrar(t, append(more, "DYNAMIC_CLIENT_REGISTRATION_TOKEN=the-token-of-the-settings")...)
	token := r.initial(admin.NewInitialToken{Count: 2, Policy: admin.RegistrationPolicy{
		Grants:        []string{"authorization_code", "refresh_token"},
		Scopes:        []string{"openid", "notes:read"},
		RedirectHosts: []string{"*.example.com"},
		AuthMethods:   []string{"none", "client_secret_basic"},
	}})
	for _, c := range []struct{ body, code string }{
		{`{"redirect_uris":["https://app.example.com/cb"],"scope":"openid email"}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://app.example.com/cb"],"grant_types":["client_credentials"]}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://app.example.com/cb"],"grant_types":["magic"]}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://app.example.com/cb"],"first_party":true}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://app.example.com/cb"],"roles":["admin"]}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://app.example.com/cb"],"token_endpoint_auth_method":"client_secret_post"}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://app.example.com/cb"],"response_types":["token"]}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://app.example.com/cb"],"subject_type":"pairwise"}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://app.example.com/cb"],"software_statement":"x"}`, "invalid_software_statement"},
		{`{"redirect_uris":["https://app.example.com/cb"],"software_statement":"a.b.c"}`, "unapproved_software_statement"},
		{`{"redirect_uris":["https://evil.example/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["https://example.com/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["https://app.example.com.evil.net/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["com.example.app:/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":"https://app.example.com/cb"}`, "invalid_redirect_uri"},
		{`{"redirect_uris":[]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["https://app.example.com/cb"]`, "invalid_client_metadata"},
		{`[]`, "invalid_client_metadata"},
		{`{"scope":"openid","scope":"openid"}`, "invalid_client_metadata"},
	} {
		if doc := r.expect(400, "POST", "/oauth/register", token, c.body); doc["error"] != c.code {
			t.Errorf("%s: %v", c.body, doc)
		}
	}
	// What is refused costs no use.
	doc := r.expect(201, "POST", "/oauth/register", token, `{"redirect_uris":["https://app.example.com/cb"]}`)
	if doc["scope"] != "openid notes:read" || doc["client_name"] != "app.example.com" ||
		doc["token_endpoint_auth_method"] != "none" {
		t.Errorf("registered: %v", doc)
	}
	r.expect(201, "POST", "/oauth/register", token, `{"client_name":"B","redirect_uris":["https://b.example.com/"],
		"scope":"openid","token_endpoint_auth_method":"client_secret_basic"}`)
	r.expect(401, "POST", "/oauth/register", token, `{"redirect_uris":["https://app.example.com/cb"]}`)

	settings := r.expect(201, "POST", "/oauth/register", "Bearer the-token-of-the-settings", `{"redirect_uris":["https://c.net/"]}`)
	if settings["scope"] != "openid profile email offline_access" {
		t.Errorf("by the settings: %v", settings)
	}
	gone := r.initial(admin.NewInitialToken{})
	all, _, err := r.ops.ListInitialTokens(t.Context(), r.cli, 1, 0)
	if err == nil {
		err = r.ops.RevokeInitialToken(t.Context(), r.cli, all[0].ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.expect(401, "POST", "/oauth/register", gone, `{"redirect_uris":["https://c.net/"]}`)
	r.expect(401, "POST", "/oauth/register", "Bearer "+secret.NewToken(secret.PrefixInitialAccess), `{"redirect_uris":["https://c.net/"]}`)
}

// Nobody makes a token that gives what administrators give.
func TestInitialTokenPolicies(t *testing.T) { initialTokenPolicies(t) }

func initialTokenPolicies(t *testing.T, settings ...string) {
	r := newRegistrar(t, settings...)
	for name, in := range map[string]admin.NewInitialToken{
		"scope":     {Policy: admin.RegistrationPolicy{Scopes: []string{"openid", "admin:keys:write"}}},
		"superuser": {Policy: admin.RegistrationPolicy{Scopes: []string{"superuser"}}},
		"admin":     {Policy: admin.RegistrationPolicy{Scopes: []string{"admin"}}},
		"grant":     {Policy: admin.RegistrationPolicy{Grants: []string{"magic"}}},
		"method":    {Policy: admin.RegistrationPolicy{AuthMethods: []string{"magic"}}},
		"host":      {Policy: admin.RegistrationPolicy{RedirectHosts: []string{"https://a.example"}}},
		"wildcard":  {Policy: admin.RegistrationPolicy{RedirectHosts: []string{"*"}}},
		"resource":  {Policy: admin.RegistrationPolicy{Resources: []string{"notes"}}},
		"count":     {Count: -1},
		"expiry":    {ExpiresIn: 400 * 24 * time.Hour},
		"text":      {Description: "a\x00b"},
	} {
		if _, _, err := r.ops.CreateInitialToken(t.Context(), r.cli, in); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestRegistrationIsManagedByItsToken(t *testing.T) { registrationIsManagedByItsToken(t) }

func registrationIsManagedByItsToken(t *testing.T, settings ...string) {
	r := newRegistrar(t, settings...)
	doc := r.expect(201, "POST", "/oauth/register", r.initial(admin.NewInitialToken{Count: 3}), sampleRegistration)
	id, first := doc["client_id"].(string), "Bearer "+doc["registration_access_token"].(string)
	at := "/oauth/register/" + id
	if read := r.expect(200, "GET", at, first, ""); "Bearer "+read["registration_access_token"].(string) != first {
		t.Error("reading rotates the token")
	}
	put := `{"client_id":"` + id + `","client_name":"Renamed","redirect_uris":["https://myapp.com/callback"],"grant_types":["authorization_code"],"scope":"openid"}`
	for body, code := range map[string]string{
		`{"client_name":"X","redirect_uris":["https://myapp.com/callback"]}`:                   "invalid_request",
		strings.Replace(put, `"`+id+`"`, `"other"`, 1):                                         "invalid_request",
		strings.Replace(put, "{", `{"client_secret":"mine",`, 1):                               "invalid_request",
		strings.Replace(put, "{", `{"registration_access_token":"x",`, 1):                      "invalid_request",
		strings.Replace(put, "{", `{"client_secret_expires_at":0,`, 1):                         "invalid_request",
		strings.Replace(put, `"scope":"openid"`, `"scope":"openid admin:keys:write"`, 1):       "invalid_client_metadata",
		strings.Replace(put, "{", `{"first_party":true,`, 1):                                   "invalid_client_metadata",
		strings.Replace(put, "https://myapp.com/callback", "javascript:alert(1)", 1):           "invalid_redirect_uri",
		strings.Replace(put, `["authorization_code"]`, `["authorization_code","password"]`, 1): "invalid_client_metadata",
	} {
		if doc := r.expect(400, "PUT", at, first, body); doc["error"] != code {
			t.Errorf("%s: %v", body, doc)
		}
	}
	// The answer is lost twice; the same successor comes each time.
	lost := r.expect(200, "PUT", at, first, put)["registration_access_token"]
	again := r.expect(200, "PUT", at, first, strings.Replace(put, "{", `{"client_secret":"`+doc["client_secret"].(string)+`",`, 1))
	if lost == first || again["registration_access_token"] != lost {
		t.Errorf("two successors: %v and %v", lost, again["registration_access_token"])
	}
	if again["contacts"] != nil || again["tos_uri"] != nil || again["client_name"] != "Renamed" || again["scope"] != "openid" {
		t.Errorf("an update replaces all: %v", again)
	}
	second := "Bearer " + lost.(string)
	r.expect(200, "GET", at, second, "")
	added := r.expect(201, "POST", at+"/secrets", second, `{"action":"add"}`)
	third := "Bearer " + added["registration_access_token"].(string)
	r.expect(200, "PATCH", at, third, `{"scope":"openid profile","contacts":["a@example.com"]}`)

	other := r.expect(201, "POST", "/oauth/register", r.initial(admin.NewInitialToken{}), sampleRegistration)
	r.expect(401, "GET", at, "Bearer "+other["registration_access_token"].(string), "")
	r.expect(401, "GET", at, "", "")
	r.expect(401, "GET", "/oauth/register/unknown", third, "")
	// Whoever uses a token that was replaced has a copy: the series ends.
	r.expect(401, "PUT", at, first, put)
	r.expect(401, "GET", at, third, "")
	events, err := r.parts.db.ListAudit(t.Context(), admin.AuditQuery{Type: audit.RegistrationTokenReplayed})
	if err != nil || len(events) != 1 {
		t.Errorf("%d replays are recorded, %v", len(events), err)
	}
	otherAt, otherToken := "/register/"+other["client_id"].(string), "Bearer "+other["registration_access_token"].(string)
	r.expect(204, "DELETE", otherAt, otherToken, "")
	r.expect(401, "GET", otherAt, otherToken, "")
}

func TestOpenRegistrationIsOffByDefault(t *testing.T) {
	r := newRegistrar(t)
	r.expect(401, "POST", "/register", "", `{"redirect_uris":["https://a.example/cb"]}`)
}

func TestOpenRegistration(t *testing.T) { openRegistration(t) }

func openRegistration(t *testing.T, settings ...string) {
	r := newRegistrar(t, append(settings, "OPEN_REGISTRATION=public", "RATE_LIMIT_OPEN_REGISTRATION_MAX=0",
		"OPEN_REGISTRATION_SCOPES=openid mcp:tools", "OPEN_REGISTRATION_RESOURCES=https://notes.example/mcp")...)
	for _, c := range []struct{ body, code string }{
		{`{"redirect_uris":["JavaScript:alert(1)"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["data:text/html,x"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["http://10.0.0.1/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["http://localhost.evil.com/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["http://localhost@evil.com/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["http://127.0.0.1.evil.com/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["http://2130706433/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["http://0.0.0.0/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["https://a@b"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["https:///cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["https://a.example/cb#x"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["https://a.example/*"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["com.example.app:/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["cursor://x/cb"]}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["https://good.example/cb","http://evil.example/cb"]}`, "invalid_redirect_uri"},
		{`{"client_name":"X"}`, "invalid_redirect_uri"},
		{`{"redirect_uris":["https://a.example/cb"],"grant_types":["client_credentials"]}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://a.example/cb"],"token_endpoint_auth_method":"private_key_jwt"}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://a.example/cb"],"scope":"admin"}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://a.example/cb"],"first_party":true}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://a.example/cb"],"client_name":" w e b "}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://a.example/cb"],"client_name":"Ｗéb"}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://a.example/cb"],"client_name":"GATEHOUSE!"}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://a.example/cb"],"client_name":"Gаtehouse"}`, "invalid_client_metadata"}, // Cyrillic а
		{`{"redirect_uris":["https://a.example/cb"],"client_name":"\u202eweb"}`, "invalid_client_metadata"},
		{`{"redirect_uris":["https://a.example/cb"],"client_name":"--"}`, "invalid_client_metadata"},
	} {
		if doc := r.expect(400, "POST", "/register", "", c.body); doc["error"] != c.code {
			t.Errorf("%s: %v", c.body, doc)
		}
	}
	// As an MCP client of a well-known editor registers: what nobody may have is left out.
	doc := r.expect(201, "POST", "/register", "", `{"client_name":"Editor","client_uri":"https://elsewhere.example",
		"logo_uri":"https://vscode.dev/logo.png","tos_uri":"https://vscode.dev/tos",
		"grant_types":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"],
		"response_types":["code"],"token_endpoint_auth_method":"client_secret_post","application_type":"native",
		"scope":"mcp:tools openid email","redirect_uris":["https://vscode.dev/redirect","http://127.0.0.1/"]}`)
	if doc["client_secret"] != nil || doc["token_endpoint_auth_method"] != "none" || doc["logo_uri"] != nil ||
		doc["client_uri"] != nil || doc["tos_uri"] != "https://vscode.dev/tos" || doc["scope"] != "mcp:tools openid" ||
		len(doc["grant_types"].([]any)) != 2 {
		t.Errorf("registered: %v", doc)
	}
	id := client.ID(doc["client_id"].(string))
	c, err := r.parts.db.Client(t.Context(), id)
	if err != nil || !c.Unverified() || !c.Public || !slices.Equal(c.Resources, []string{"https://notes.example/mcp"}) {
		t.Errorf("stored: %+v, %v", c, err)
	}
	if r.parts.db.OriginRegistered("https://vscode.dev") {
		t.Error("people may be sent to an origin that anybody registered")
	}
	// Its own token does not make more of it.
	at, token := "/register/"+string(id), "Bearer "+doc["registration_access_token"].(string)
	base := `{"client_id":"` + string(id) + `","redirect_uris":["https://a.example/cb"],`
	for body, code := range map[string]string{
		base + `"client_name":"Web"}`:                                   "invalid_client_metadata",
		base + `"grant_types":["password"]}`:                            "invalid_client_metadata",
		base + `"scope":"admin"}`:                                       "invalid_client_metadata",
		strings.Replace(base, "https", "http", 1) + `"scope":"openid"}`: "invalid_redirect_uri",
	} {
		if doc := r.expect(400, "PUT", at, token, body); doc["error"] != code {
			t.Errorf("%s: %v", body, doc)
		}
	}
}

func TestOpenRegistrationIsLimited(t *testing.T) {
	r := newRegistrar(t, "OPEN_REGISTRATION=public", "RATE_LIMIT_OPEN_REGISTRATION_MAX=2")
	for _, status := range []int{201, 201, 429} {
		doc := r.expect(status, "POST", "/register", "", `{"redirect_uris":["https://a.example/cb"]}`)
		if status == 429 && doc["error"] != "rate_limit_exceeded" {
			t.Errorf("limited: %v", doc)
		}
	}
	r.expect(201, "POST", "/register", r.initial(admin.NewInitialToken{}), `{"redirect_uris":["https://a.example/cb"]}`)
}

// The API of older programs: its callers send the token alone.
func TestClientsByName(t *testing.T) {
	r := newRegistrar(t)
	token := strings.TrimPrefix(r.machine("admin:clients:write", "admin:clients:read"), "Bearer ")
	doc := r.expect(200, "POST", "/api/v1/client", token,
		`{"client_name":"foo","scopes":["reports"],"grants":["password","refresh_token"]}`)
	if len(doc) != 1 {
		t.Errorf("registered: %v", doc)
	}
	got := r.expect(200, "GET", "/api/v1/client/"+doc["client_id"].(string), token, "")
	want := map[string]any{
		"client_id": doc["client_id"], "client_name": "foo",
		"grants": []any{"password", "refresh_token"}, "scopes": []any{"reports"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("shown: %v", got)
	}
	doc = r.expect(200, "POST", "/api/v1/client", "Bearer "+token,
		`{"client_name":"robot","scopes":[],"grants":["client_credentials"]}`)
	if doc["client_secret"] == nil {
		t.Errorf("a client that acts for itself: %v", doc)
	}
	r.expect(400, "POST", "/api/v1/client", token, `{"client_name":"foo","roles":["admin"]}`)
	r.expect(401, "POST", "/api/v1/client", "", `{"client_name":"foo"}`)
	r.expect(401, "GET", "/api/v1/client/x", "invented", "")
	weak := strings.TrimPrefix(r.machine("reports"), "Bearer ")
	r.expect(403, "POST", "/api/v1/client", weak, `{"client_name":"foo","scopes":[],"grants":["client_credentials"]}`)
}

func TestUnusedClientsAreDeleted(t *testing.T) { unusedClientsAreDeleted(t) }

func unusedClientsAreDeleted(t *testing.T, settings ...string) {
	r := newRegistrar(t, append(settings, "OPEN_REGISTRATION=public", "RATE_LIMIT_OPEN_REGISTRATION_MAX=0")...)
	register := func() client.ID {
		doc := r.expect(201, "POST", "/register", "", `{"redirect_uris":["https://a.example/cb"]}`)
		return client.ID(doc["client_id"].(string))
	}
	unused, used := register(), register()
	byToken := r.expect(201, "POST", "/register", r.initial(admin.NewInitialToken{}), `{"redirect_uris":["https://a.example/cb"]}`)
	err := r.parts.db.PutCode(t.Context(), "a code", &oauth.Code{
		Grant:     oauth.Grant{ID: "g", Client: used, CreatedAt: time.Now()},
		ExpiresAt: time.Now().Add(time.Minute),
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	later := func(d time.Duration) *admin.Registrar {
		ops, err := r.parts.operations(&env{stdout: io.Discard, stderr: io.Discard, now: func() time.Time { return now.Add(d) }})
		if err != nil {
			t.Fatal(err)
		}
		return admin.NewRegistrar(ops)
	}
	for _, step := range []struct {
		after   time.Duration
		deleted int
	}{{23 * time.Hour, 0}, {25 * time.Hour, 1}, {29 * 24 * time.Hour, 0}, {31 * 24 * time.Hour, 1}, {400 * 24 * time.Hour, 0}} {
		n, err := later(step.after).DeleteUnused(t.Context())
		if err != nil || n != step.deleted {
			t.Errorf("after %v: %d are deleted, %v; want %d", step.after, n, err, step.deleted)
		}
	}
	_, errUnused := r.parts.db.Client(t.Context(), unused)
	_, errUsed := r.parts.db.Client(t.Context(), used)
	if _, err := r.parts.db.Client(t.Context(), client.ID(byToken["client_id"].(string))); err != nil || errUnused == nil || errUsed == nil {
		t.Errorf("left over: %v, %v, %v", errUnused, errUsed, err)
	}
}

func TestOwnRateOfAClient(t *testing.T) {
	r := newRegistrar(t, "RATE_LIMIT_TOKEN_MAX=1000")
	old, err := r.parts.db.Client(t.Context(), "web")
	if err != nil {
		t.Fatal(err)
	}
	next := *old
	next.RateLimits = json.RawMessage(`{"token":{"max":2,"window":60}}`)
	if err := r.parts.db.UpdateClient(t.Context(), old, &next); err != nil {
		t.Fatal(err)
	}
	ask := func(address, pass string) *httptest.ResponseRecorder {
		form := url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}}
		req := r.request("POST", "/oauth/token", form, "")
		req.RemoteAddr = address + ":50000"
		req.SetBasicAuth("web", pass)
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, req)
		return w
	}
	// A stranger uses up nothing but the share of their own address.
	for i, status := range []int{401, 401, 429} {
		if w := ask("192.0.2.1", "guess"); w.Code != status {
			t.Errorf("guess %d: %d", i+1, w.Code)
		}
	}
	for i, c := range []struct {
		address string
		status  int
	}{{"192.0.2.2", 200}, {"192.0.2.3", 200}, {"192.0.2.4", 429}} {
		w := ask(c.address, r.secret)
		if w.Code != c.status || w.Header().Get("X-RateLimit-Limit") != "2" {
			t.Errorf("request %d: %d %v", i+1, w.Code, w.Header())
		}
		if c.status == 429 && (w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"rate_limit_exceeded"`)) {
			t.Errorf("limited: %v %s", w.Header(), w.Body)
		}
	}
}

func TestLoopbackOnlyClients(t *testing.T) {
	local := func(t *testing.T, settings ...string) *registrar {
		r := newRegistrar(t, settings...)
		old, err := r.parts.db.Client(t.Context(), "web")
		if err != nil {
			t.Fatal(err)
		}
		next := *old
		next.LoopbackOnly = true
		if err := r.parts.db.UpdateClient(t.Context(), old, &next); err != nil {
			t.Fatal(err)
		}
		return r
	}
	shared := local(t)
	for name, c := range map[string]struct {
		settings []string
		change   func(*http.Request)
		status   int
	}{
		"this machine":      {nil, func(*http.Request) {}, 200},
		"localhost":         {nil, func(r *http.Request) { r.Host = "localhost:8080" }, 200},
		"IPv6":              {nil, func(r *http.Request) { r.RemoteAddr, r.Host = "[::1]:5", "[::1]:8080" }, 200},
		"mapped IPv4":       {nil, func(r *http.Request) { r.RemoteAddr = "[::ffff:127.0.0.1]:5" }, 200},
		"another machine":   {nil, func(r *http.Request) { r.RemoteAddr = "192.0.2.1:5" }, 401},
		"another host":      {nil, func(r *http.Request) { r.Host = "id.example" }, 401},
		"rebound name":      {nil, func(r *http.Request) { r.Host = "localhost.evil.example" }, 401},
		"no host":           {nil, func(r *http.Request) { r.Host = "" }, 401},
		"X-Forwarded-For":   {nil, func(r *http.Request) { r.Header.Set("X-Forwarded-For", "127.0.0.1") }, 401},
		"an empty header":   {nil, func(r *http.Request) { r.Header["X-Forwarded-For"] = []string{""} }, 401},
		"Forwarded":         {nil, func(r *http.Request) { r.Header.Set("Forwarded", "for=127.0.0.1") }, 401},
		"X-Real-IP":         {nil, func(r *http.Request) { r.Header.Set("X-Real-IP", "127.0.0.1") }, 401},
		"X-Forwarded-Proto": {nil, func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") }, 401},
		"a tunnel":          {nil, func(r *http.Request) { r.Header.Set("CF-Connecting-IP", "192.0.2.1") }, 401},
		"Via":               {nil, func(r *http.Request) { r.Header.Set("Via", "1.1 x") }, 401},
		"trusted proxy":     {[]string{"TRUSTED_PROXIES=127.0.0.1"}, func(*http.Request) {}, 401},
		"trusted network":   {[]string{"TRUSTED_PROXIES=127.0.0.0/8"}, func(*http.Request) {}, 401},
		"trusted IPv6":      {[]string{"TRUSTED_PROXIES=::1"}, func(*http.Request) {}, 401},
		"trusted everybody": {[]string{"TRUSTED_PROXIES=0.0.0.0/0"}, func(*http.Request) {}, 401},
		"trusted others":    {[]string{"TRUSTED_PROXIES=10.0.0.0/8"}, func(*http.Request) {}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			r := shared
			if c.settings != nil {
				r = local(t, c.settings...)
			}
			for path, form := range map[string]url.Values{
				"/oauth/token":    {"grant_type": {"client_credentials"}, "scope": {"read"}},
				"/oauth/userinfo": nil,
			} {
				method, bearer := "POST", ""
				if form == nil {
					method, bearer = "GET", r.access
				}
				req := r.request(method, path, form, bearer)
				req.Host = "127.0.0.1:8080"
				c.change(req)
				w := httptest.NewRecorder()
				r.handler.ServeHTTP(w, req)
				if w.Code != c.status {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
			}
			req := r.request("GET", "/oauth/authorize?response_type=code&client_id=web&redirect_uri=https://a.example/cb", nil, "")
			req.Host = "127.0.0.1:8080"
			c.change(req)
			w := httptest.NewRecorder()
			r.handler.ServeHTTP(w, req)
			if served := w.Code == http.StatusFound || w.Code == http.StatusSeeOther; served != (c.status == 200) {
				t.Errorf("authorize: %d", w.Code)
			}
		})
	}
}

// A program of the server's machine gets a token by its administrator's password, and registers
// clients with it, as older programs do.
func TestSuperuserOnThisMachine(t *testing.T) {
	r := newRegistrar(t, "ENABLE_PASSWORD_GRANT=true", "PASSWORD_GRANT_ALLOWED_CLIENTS=loopback")
	ctx := t.Context()
	fields := admin.ScopeFields()
	var p admin.ScopePatch
	for name, value := range map[string]string{"description": "administer everything", "requires": "admin"} {
		f, ok := field.Named(fields, name)
		if !ok {
			t.Fatalf("scopes have no field %s", name)
		}
		if err := p.Set(f, value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.ops.CreateScope(ctx, r.cli, admin.ScopeSuperuser, p); err != nil {
		t.Fatal(err)
	}
	_, err := r.ops.CreateClient(ctx, r.cli, admin.NewClient{ID: "loopback", Fields: admin.ClientPatch{
		Values: client.Client{
			Name: "loopback", Public: true, Grants: []string{"password"},
			Scopes: []string{admin.ScopeSuperuser}, LoopbackOnly: true,
		},
		Names: []string{"client_name", "public", "grant_types", "scope", "loopback_only"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := r.parts.passwords.Hash(ctx, "4Lo7W-y73P7HxUZ4FXBfdgGb4yLhylGs")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	err = r.parts.db.CreateUser(ctx, &identity.User{
		ID: identity.UserID(secret.NewID(now)), Username: "admin", PasswordHash: hash, PasswordChangedAt: now,
		Roles: []string{identity.RoleSuperAdmin}, CreatedAt: now, UpdatedAt: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{
		"grant_type": {"password"}, "username": {"admin"}, "password": {"4Lo7W-y73P7HxUZ4FXBfdgGb4yLhylGs"},
		"client_id": {"loopback"}, "scope": {"superuser"},
	}
	ask := func(host string) (int, string) {
		req := r.request("POST", "/api/v1/token", form, "")
		req.Header.Del("Authorization")
		req.Host = host
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, req)
		return w.Code, w.Body.String()
	}
	if status, _ := ask("id.example"); status != 401 {
		t.Errorf("from elsewhere: %d", status)
	}
	status, body := ask("localhost:8080")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	token := member(body, "access_token")
	show := func(method, path, body string) (int, string) {
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		req.RemoteAddr, req.Host = "127.0.0.1:50000", "localhost:8080"
		req.Header.Set("Authorization", token)
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		r.handler.ServeHTTP(w, req)
		return w.Code, w.Body.String()
	}
	const shown = `{"client_id":"loopback","client_name":"loopback","grants":["password"],"scopes":["superuser"]}`
	if status, body := show("GET", "/api/v1/client/loopback", ""); status != 200 || body != shown {
		t.Errorf("%d %s", status, body)
	}
	status, body = show("POST", "/api/v1/client",
		`{"client_name":"foo","scopes":["superuser"],"grants":["password","refresh_token"]}`)
	if status != 200 || len(body) != 52 {
		t.Errorf("%d %s", status, body)
	}
}

// An initial access token works while the person who made it may make one.
func TestInitialTokenOfAFormerAdministrator(t *testing.T) {
	r := newRegistrar(t)
	now := time.Now()
	id := identity.UserID(secret.NewID(now))
	old := &identity.User{ID: id, Username: "root", Roles: []string{identity.RoleSuperAdmin}, CreatedAt: now, UpdatedAt: now}
	if err := r.parts.db.CreateUser(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	maker := admin.Actor{User: id, Scopes: []admin.Scope{admin.ScopeAll}, AuthTime: now, ACR: identity.ACR2}
	_, text, err := r.ops.CreateInitialToken(t.Context(), maker, admin.NewInitialToken{Count: 5})
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"redirect_uris":["https://a.example/cb"]}`
	r.expect(201, "POST", "/register", "Bearer "+text, body)
	other := *old // the last administrator cannot lose the role
	other.ID, other.Username, other.PasswordHash = identity.UserID(secret.NewID(now)), "other", "a hash"
	if err := r.parts.db.CreateUser(t.Context(), &other); err != nil {
		t.Fatal(err)
	}
	next := *old
	next.Roles = []string{"editor"}
	if err := r.parts.db.UpdateUser(t.Context(), old, &next); err != nil {
		t.Fatal(err)
	}
	r.expect(401, "POST", "/register", "Bearer "+text, body)

	// Nor once the maker is gone.
	maker.User = other.ID
	_, text, err = r.ops.CreateInitialToken(t.Context(), maker, admin.NewInitialToken{Count: 5})
	if err != nil {
		t.Fatal(err)
	}
	r.expect(201, "POST", "/register", "Bearer "+text, body)
	third := other // the last administrator cannot be deleted
	third.ID, third.Username = identity.UserID(secret.NewID(now)), "third"
	if err := r.parts.db.CreateUser(t.Context(), &third); err != nil {
		t.Fatal(err)
	}
	if err := r.parts.db.DeleteUser(t.Context(), other.ID, now); err != nil {
		t.Fatal(err)
	}
	r.expect(401, "POST", "/register", "Bearer "+text, body)
}
