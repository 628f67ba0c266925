package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// step is one call of a story. The caller has all scopes.
type step struct {
	method, path, body string
	status             int
	want               map[string]any // members of the answer
}

// all is an access token with every scope.
const all = "Bearer admin"

// play calls the steps in order. {name} in an address or a body stands for what an earlier answer
// had as a member, as in {client_id}.
func (h *harness) play(steps []step) {
	h.Helper()
	seen := map[string]string{"ada": string(h.ada.ID)}
	fill := func(s string) string {
		for name, value := range seen {
			s = strings.ReplaceAll(s, "{"+name+"}", value)
		}
		return s
	}
	for _, x := range steps {
		w := h.call(x.method, fill(x.path), fill(x.body), "Authorization", all)
		if w.Code != x.status {
			h.Fatalf("%s %s %s: %d %s", x.method, fill(x.path), x.body, w.Code, w.Body)
		}
		if w.Body.Len() == 0 {
			continue
		}
		doc := h.document(w)
		for name, v := range doc {
			if s, ok := v.(string); ok {
				seen[name] = s
			}
		}
		for name, v := range x.want {
			if fmt.Sprint(doc[name]) != fmt.Sprint(v) {
				h.Errorf("%s %s: %s is %v, not %v", x.method, x.path, name, doc[name], v)
			}
		}
	}
}

type is = map[string]any

// nightly is a server that makes a backup each night.
type nightly struct{ admin.BackupWriter }

// Policy returns what the settings say.
func (nightly) Policy() admin.BackupPolicy {
	return admin.BackupPolicy{
		Place:     "/var/backups",
		Every:     24 * time.Hour,
		Keep:      7,
		Encrypted: true,
		Missing:   []string{"SECRET_KEY"},
	}
}

func TestStoryOfUsers(t *testing.T) {
	h := newHarness(t)
	h.play([]step{
		{"POST", "/api/v1/users", `{"email":"Bob@Example.com","name":"Bob","password":"` + goodPassword + `","role":"admin"}`, 201, is{
			"role": "admin", "roles": "[admin]", "has_password": true, "active": true, "email_verified": false,
		}},
		{"POST", "/api/v1/users", `{"email":"bob@example.com"}`, 409, is{"error": "conflict"}},
		{"POST", "/api/v1/users", `{"username":"eve","address":{"country":"France"},"phone_number":"+49 30 123456","active":false}`, 201, is{
			"address": is{"country": "France"}, "phone_number": "+49 30 123456", "active": false, "role": "user",
		}},
		{"GET", "/api/v1/users/{id}", "", 200, is{"username": "eve", "locked": false, "failed_attempts": 0, "mfa_enabled": false}},
		{"PATCH", "/api/v1/users/{id}", `{"active":true,"address":{"country":null,"locality":"Paris"},"nickname":"E"}`, 200, is{
			"active": true, "address": is{"locality": "Paris"}, "nickname": "E",
		}},
		{"PATCH", "/api/users/{id}", `{"nickname":null,"phone_number":null}`, 200, is{"nickname": "", "phone_number": ""}},
		{"PATCH", "/api/users/{id}", `{"password":"short","nickname":"X"}`, 400, is{"error": "validation_error"}},
		{"GET", "/api/v1/users/eve", "", 200, is{"nickname": "", "has_password": false}},
		{"PATCH", "/api/users/{id}", `{"password":"` + goodPassword + `"}`, 200, is{"has_password": true}},
		{"PATCH", "/api/users/{id}", `{"role":"admin"}`, 200, is{"role": "admin"}},
		{"PATCH", "/api/users/{id}", `{"role":"user"}`, 200, is{"role": "user"}},
		{"PATCH", "/api/users/{id}", `{"email":"eve@example.com","email_verified":true}`, 200, is{"email_verified": true}},
		{"PATCH", "/api/users/{id}", `{"email":"eve2@example.com"}`, 200, is{"email_verified": false}},
		{"POST", "/api/users/{id}/lock", `{"reason":" "}`, 400, is{"error": "validation_error"}},
		{"POST", "/api/users/{id}/lock", `{"reason":"left us"}`, 200, is{"locked": true, "lock_reason": "left us", "unlock_at": nil}},
		{"POST", "/api/users/{id}/unlock", "", 200, is{"locked": false, "lock_reason": nil}},
		{"POST", "/api/users/{id}/send-password-reset", "", 202, nil},
		{"POST", "/api/users/{id}/send-verification", "", 202, nil},
		{"POST", "/api/users/{id}/password-link", "", 201, nil},
		{"POST", "/api/users/{id}/revoke_tokens", "", 200, is{"revoked": true}},
		{"GET", "/api/users/{id}/password-status", "", 200, is{"expires_at": nil, "requires_change": false}},
		{"GET", "/api/users/{id}/sessions", "", 200, is{"total": 0}},
		{"DELETE", "/api/users/{id}/sessions?grants=true", "", 200, is{"revoked": 0}},
		{"GET", "/api/users/{id}/authorizations", "", 200, is{"total": 0}},
		{"DELETE", "/api/users/{id}/authorizations", "", 200, is{"revoked": 0}},
		{"DELETE", "/api/users/{id}/authorizations?client_id=nothing", "", 404, nil},
		{"GET", "/api/users/{id}/factors", "", 200, is{"total": 0}},
		{"DELETE", "/api/users/{id}/factors/none", "", 404, is{"error": "not_found"}},
		{"DELETE", "/api/users/{id}/factors", "", 409, is{"error": "conflict"}},
		{"DELETE", "/api/users/{id}/mfa", "", 409, is{"error": "conflict"}},
		{"DELETE", "/api/users/{id}", "", 204, nil},
		{"GET", "/api/users/{id}", "", 404, is{"error": "not_found"}},
		{"DELETE", "/api/users/bob@example.com", "", 204, nil},
	})
}

func TestStoryOfManyUsers(t *testing.T) {
	h := newHarness(t)
	h.play([]step{
		{"POST", "/api/v1/users", `{"email":"bob@example.com"}`, 201, nil},
		{"POST", "/api/v1/users/bulk", `{"action":"lock","ids":["{id}"]}`, 400, is{"error": "validation_error"}},
		{"POST", "/api/v1/users/bulk", `{"action":"lock","ids":["{id}"],"reason":"left us"}`, 200, is{"state": "done", "done": 1, "refused": 0}},
		{"POST", "/api/v1/users/bulk", `{"action":"unlock","filter":{"status":"locked"},"count":2,"at":"2100-01-01T00:00:00Z"}`, 409, nil},
		{"POST", "/api/v1/users/bulk", `{"action":"unlock","filter":{"status":"locked"},"count":1}`, 400, nil},
		{"POST", "/api/v1/users/bulk", `{"action":"unlock","filter":{"status":"locked"},"count":1,"at":"2100-01-01T00:00:00Z"}`, 200, is{"done": 1}},
		{"POST", "/api/v1/users/bulk", `{"action":"dance","ids":["x"]}`, 400, nil},
		{"POST", "/api/v1/users/bulk", `{"action":"delete"}`, 400, nil},
		{"GET", "/api/v1/bulk-actions/none", "", 404, nil},
		{"POST", "/api/v1/bulk-actions/none/stop", "", 404, nil},
		{"GET", "/api/v1/explain/NOTHING", "", 404, is{"error": "not_found"}},
		{"POST", "/api/v1/audit-logs/cleanup", "", 409, nil},
	})
}

func TestStoryOfClients(t *testing.T) {
	h := newHarness(t)
	h.play([]step{
		{"POST", "/api/v1/clients", `{"client_name":"Shop","grant_types":["client_credentials"],"scope":"shop:read shop:write"}`, 201, is{
			"client_secret_expires_at": 0, "scope": "shop:read shop:write", "refresh_token_rotation": nil, "access_token_ttl": nil,
		}},
		{"GET", "/api/v1/clients/{client_id}", "", 200, is{"client_secret": nil, "client_name": "Shop"}},
		{"GET", "/api/v1/clients/Shop", "", 200, nil},
		{"GET", "/api/v1/clients", "", 200, is{"total": 2}},
		{"PATCH", "/api/v1/clients/{client_id}", `{"access_token_ttl":600,"refresh_token_rotation":false,"contacts":["a@example.com"]}`, 200, is{
			"access_token_ttl": 600, "refresh_token_rotation": false, "contacts": "[a@example.com]",
		}},
		{"PATCH", "/api/v1/clients/{client_id}", `{"access_token_ttl":null,"refresh_token_rotation":null,"contacts":[]}`, 200, is{
			"access_token_ttl": nil, "refresh_token_rotation": nil, "contacts": "[]",
		}},
		{"PATCH", "/api/v1/clients/{client_id}", `{"client_name":null}`, 400, is{"error": "validation_error"}},
		{"PATCH", "/api/v1/clients/{client_id}", `{"client_id":"other"}`, 400, is{"error": "validation_error"}},
		{"PATCH", "/api/v1/clients/{client_id}", `{"client_id":"{client_id}","description":"D"}`, 200, is{"description": "D"}},
		{"POST", "/api/v1/clients/{client_id}/secrets", `{"action":"add","expires_in":60}`, 201, nil},
		{"DELETE", "/api/v1/clients/{client_id}/secrets/{secret_id}", "", 204, nil},
		{"DELETE", "/api/v1/clients/{client_id}/secrets/{secret_id}", "", 404, nil},
		{"POST", "/api/v1/clients/{client_id}/secrets", `{"rotate":true,"grace_period":3600}`, 201, is{"previous_secret_expires_at": "2026-05-04T11:00:00Z"}},
		{"DELETE", "/api/v1/clients/{client_id}/secrets", "", 200, is{"revoked": 1}},
		{"POST", "/api/v1/clients/{client_id}/revoke_tokens", "", 200, is{"revoked": true}},
		{"POST", "/api/v1/clients", `{"client_name":"App","public":true,"client_id":"app","grant_types":["authorization_code"],
			"redirect_uris":["https://app.example/cb"],"jwks":null,"logo_uri":null}`, 201, is{"client_secret": nil, "client_id": "app"}},
		{"POST", "/api/v1/clients", `{"client_name":"App","client_id":"app","grant_types":["client_credentials"]}`, 409, nil},
		{"PATCH", "/api/v1/clients/app", `{"redirect_uris":[]}`, 400, nil},
		{"DELETE", "/api/v1/clients/app", "", 204, nil},
		{"GET", "/api/v1/clients/app", "", 404, nil},
	})
}

func TestStoryOfScopesRoutesKeysAndMail(t *testing.T) {
	h := newHarness(t)
	h.play([]step{
		{"POST", "/api/v1/scopes", `{"name":"https://api.example.com/read","description":"read","default":false}`, 201, nil},
		{"GET", "/api/v1/scopes/https:%2F%2Fapi.example.com%2Fread", "", 200, is{"name": "https://api.example.com/read"}},
		{"GET", "/api/v1/scopes?name=https://api.example.com/read", "", 200, is{"total": 1}},
		{"PATCH", "/api/v1/scopes/https:%2F%2Fapi.example.com%2Fread", `{"description":"read it","name":"https://api.example.com/read"}`, 200, is{"description": "read it"}},
		{"PATCH", "/api/v1/scopes/https:%2F%2Fapi.example.com%2Fread", `{"name":"other"}`, 400, nil},
		{"PATCH", "/api/v1/scopes/openid", `{"description":null}`, 400, nil},
		{"POST", "/api/v1/scopes", `{"name":"shop:admin","description":"all","requires":["openid"],"role":"admin"}`, 201, is{"requires": "[openid]", "role": "admin"}},
		{"PATCH", "/api/v1/scopes/shop:admin", `{"requires":[],"role":null}`, 200, is{"requires": "[]", "role": ""}},
		{"DELETE", "/api/v1/scopes/https:%2F%2Fapi.example.com%2Fread", "", 204, nil},
		{"DELETE", "/api/v1/scopes/openid", "", 409, nil},

		{"POST", "/api/v1/routes", `{"domain":"shop","version":"v1","upstreams":["http://127.0.0.1:9000"],"timeout":"5s"}`, 201, is{"timeout": "5s", "source": "database"}},
		{"GET", "/api/v1/routes/{id}", "", 200, is{"domain": "shop", "rate_per": nil}},
		{"GET", "/api/v1/routes/shop%2Fv1", "", 200, nil},
		{"GET", "/api/v1/routes?search=shop", "", 200, is{"total": 1}},
		{"PATCH", "/api/v1/routes/{id}", `{"timeout":null,"scopes":["shop:read"],"rate":10,"rate_per":"30s"}`, 200, is{"timeout": nil, "rate": 10, "rate_per": "30s"}},
		{"PATCH", "/api/v1/routes/{id}", `{"timeout":"soon"}`, 400, is{"error": "validation_error"}},
		{"DELETE", "/api/v1/routes/{id}", "", 204, nil},

		{"POST", "/api/v1/keys/rotate", `{"alg":"ES256","now":true}`, 201, nil},
		{"POST", "/api/v1/keys/rotate", `{"alg":"none"}`, 400, nil},
		{"GET", "/api/v1/keys", "", 200, nil},
		{"DELETE", "/api/v1/keys/nothing", "", 404, nil},

		{"GET", "/api/v1/mail?state=queued", "", 200, is{"total": 0}},
		{"POST", "/api/v1/mail/test", `{"to":"a@example.com"}`, 409, nil},
		{"POST", "/api/v1/mail/nothing/retry", "", 404, nil},
		{"GET", "/api/v1/settings", "", 200, is{"total": 1}},
		{"GET", "/api/v1/backups", "", 200, is{
			"place": "/var/backups", "every": 86400, "keep": 7, "encrypted": true, "failures": 0, "total": 0, "data": "[]",
			"not_included": "[SECRET_KEY]", "newest": nil,
		}},
		{"POST", "/api/v1/backups", "", 202, is{"state": "queued", "place": "/var/backups", "finished_at": nil, "actor": "machine"}},
		{"POST", "/api/v1/backups", "", 409, is{"error": "conflict"}},
		{"GET", "/api/v1/backups", "", 200, is{"total": 1, "failures": 0}},
		{"GET", "/api/v1/doctor", "", 200, is{"worst": "ok", "problems": 0, "findings": "[]"}},
	})
}

func TestStoryOfSessions(t *testing.T) {
	h := newHarness(t)
	for i := range 3 {
		s := identity.NewSession(h.ada.ID, []string{"pwd"}, h.now.Add(-time.Duration(i)*48*time.Hour), 90*24*time.Hour,
			identity.Browser{IP: "192.0.2.1", Agent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"})
		s.LastSeenAt = h.now
		h.must(h.db.PutSession(t.Context(), secret.Hash(fmt.Sprint("cookie", i)), s, identity.SessionTerms{}))
	}
	list := h.get("/api/v1/users/ada@example.com/sessions", "admin")
	first := list["data"].([]any)[0].(map[string]any)
	if list["total"] != 3.0 || first["device"] != "Chrome on macOS" || first["location"] != nil || first["ip_address"] != "192.0.2.1" {
		t.Errorf("%v", list)
	}
	h.play([]step{
		{"GET", "/api/v1/metrics/sessions", "", 200, is{"active_sessions": 3, "sessions_today": 1, "unique_users": 1}},
		{"GET", "/api/v1/metrics/overview?period=7d", "", 200, is{"period": "7d", "step_seconds": 21600}},
		{"GET", "/api/v1/metrics/overview?period=1y", "", 400, nil},
		{"GET", "/api/v1/sessions?older_than=36h", "", 200, is{"total": 2}},
		{"GET", "/api/v1/sessions?ip=192.0.2.0/24&user={ada}", "", 200, is{"total": 3}},
		{"DELETE", "/api/v1/sessions", "", 400, nil},
		{"DELETE", "/api/v1/sessions?older_than=-1h", "", 400, nil},
		{"DELETE", "/api/v1/sessions?all=true&ip=192.0.2.1", "", 400, nil},
		{"DELETE", "/api/v1/sessions?older_than=3d", "", 200, is{"revoked": 1}},
		{"DELETE", "/api/v1/sessions/" + first["id"].(string), "", 204, nil},
		{"DELETE", "/api/v1/sessions/" + first["id"].(string), "", 404, nil},
		{"DELETE", "/api/v1/users/{ada}/sessions", "", 200, is{"revoked": 1}},
		{"DELETE", "/api/v1/sessions?all=true", "", 200, is{"revoked": 0}},
	})
}

// Each operation that needs a token names the scope that it lacks, and answers 401 without one.
func TestEveryOperationNeedsItsScope(t *testing.T) {
	h := newHarness(t)
	for path, item := range h.judge.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Security == nil || len(*op.Security) == 0 {
				continue
			}
			address, body := sampleRequest(path, op)
			w := h.call(method, address, body)
			if w.Code != http.StatusUnauthorized || len(w.Header()["Www-Authenticate"]) != 2 || h.document(w)["error"] != "authentication_required" {
				t.Errorf("%s %s without a token: %d %s", method, path, w.Code, w.Body)
			}
			scope := (*op.Security)[0]["token"][0]
			w = h.call(method, address, body, "Authorization", "Bearer openid", "Content-Type", contentType(op))
			doc := h.document(w)
			if w.Code != http.StatusForbidden || doc["error"] != "insufficient_scope" || doc["scope"] != scope ||
				!strings.Contains(w.Header().Get("WWW-Authenticate"), `scope="`+scope+`"`) {
				t.Errorf("%s %s without %s: %d %s", method, path, scope, w.Code, w.Body)
			}
		}
	}
}

// contentType returns the media type of an operation's body: JSON where the document allows it.
func contentType(op *openapi3.Operation) string {
	if op.RequestBody == nil || op.RequestBody.Value.Content["application/json"] != nil {
		return "application/json"
	}
	return slices.Sorted(maps.Keys(op.RequestBody.Value.Content))[0]
}

// sampleRequest returns an address and a body that the document allows for an operation.
func sampleRequest(path string, op *openapi3.Operation) (address, body string) {
	address = "/api/v1" + regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "x")
	query := url.Values{}
	if op.OperationID == "revokeSessions" { // it needs one of several parameters
		query.Set("all", "true")
	}
	for _, p := range op.Parameters {
		if p.Value.In == "query" && p.Value.Required {
			query.Set(p.Value.Name, fmt.Sprint(sample(p.Value.Schema.Value)))
		}
	}
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	if op.RequestBody == nil {
		return address, ""
	}
	for kind, media := range op.RequestBody.Value.Content {
		if kind == "application/json" {
			raw, _ := json.Marshal(sample(media.Schema.Value))
			return address, string(raw)
		}
	}
	return address, ""
}

// sample returns a value that a schema allows.
func sample(s *openapi3.Schema) any {
	switch {
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type.Is("object"):
		out := map[string]any{}
		for _, name := range s.Required {
			out[name] = sample(s.Properties[name].Value)
		}
		return out
	case s.Type.Is("array"):
		return []any{sample(s.Items.Value)}
	case s.Type.Is("integer"):
		return 1
	case s.Type.Is("boolean"):
		return true
	}
	return "xx"
}

func TestStoryOfRoles(t *testing.T) {
	h := newHarness(t)
	h.play([]step{
		{"GET", "/api/v1/roles", "", 200, is{"total": 3}},
		{"POST", "/api/v1/roles", `{"name":"helpdesk","scopes":["admin:users:read"],"description":"First aid"}`, 201, is{"scopes": "[admin:users:read]"}},
		{"POST", "/api/v1/roles", `{"name":"helpdesk"}`, 409, nil},
		{"POST", "/api/v1/roles", `{"name":"other","scopes":["nothing"]}`, 400, is{"error": "validation_error"}},
		{"GET", "/api/v1/roles/helpdesk", "", 200, is{"system": false, "version": 1}},
		{"PATCH", "/api/v1/roles/{id}", `{"description":null,"scopes":["admin:users:read","admin:sessions:read"]}`, 200, is{"description": "", "version": 2}},
		{"PATCH", "/api/v1/roles/super_admin", `{"scopes":[]}`, 409, nil},
		{"DELETE", "/api/v1/roles/{id}", "", 204, nil},
		{"GET", "/api/v1/roles/helpdesk", "", 404, nil},
	})
}

// The numbers of the audit log have the addresses of old scripts, and the scope of the numbers.
func TestNumbersOfTheAuditLog(t *testing.T) {
	h := newHarness(t)
	h.play([]step{
		{"GET", "/api/v1/audit-logs/stats", "", 200, is{"period": "24h", "step_seconds": 3600}},
		{"GET", "/api/audit-logs/stats?period=30d", "", 200, is{"period": "30d"}},
		{"GET", "/admin/audit/api/stats?period=7d", "", 200, is{"period": "7d"}},
		{"GET", "/admin/audit/api/stats?period=9d", "", 400, nil},
	})
	w := h.call("GET", "/admin/audit/api/stats", "", "Authorization", "Bearer openid")
	if doc := h.document(w); w.Code != http.StatusForbidden || doc["scope"] != "admin:metrics:read" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
