package api_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
)

func TestBadInput(t *testing.T) {
	h := newHarness(t)
	for _, tt := range []struct {
		method, path, body string
		status             int
		field              string // of details, or ""
	}{
		// Method before existence.
		{"PUT", "/api/v1/users/unknown", "", 405, ""},
		{"POST", "/api/v1/users/unknown", "{}", 405, ""},
		{"OPTIONS", "/api/v1/clients", "", 405, ""},
		{"GET", "/api/v1/nothing", "", 404, ""},
		{"GET", "/api/v1/", "", 404, ""},
		{"GET", "/api/v1/users/", "", 404, ""},
		{"GET", "/api/v1/users/a/b/c", "", 404, ""},
		{"GET", "/api/v1/users/..%2f..", "", 404, ""},
		{"GET", "/api/v1/users/%2e%2e", "", 404, ""},

		// Names and parameters.
		{"GET", "/api/v1/users?Search=x", "", 400, "Search"},
		{"GET", "/api/v1/users?search=x&search=y", "", 400, "search"},
		{"GET", "/api/v1/users?search=%00", "", 400, "search"},
		{"GET", "/api/v1/users?search=%ff", "", 400, "search"},
		{"GET", "/api/v1/users?%ff=1", "", 400, "?"},
		{"GET", "/api/v1/users?search=%zz", "", 400, ""},
		{"GET", "/api/v1/users?search=" + strings.Repeat("x", 201), "", 400, "search"},
		{"GET", "/api/v1/users?limit=0", "", 400, "limit"},
		{"GET", "/api/v1/users?limit=501", "", 400, "limit"},
		{"GET", "/api/v1/users?limit=1e2", "", 400, "limit"},
		{"GET", "/api/v1/users?limit=0x10", "", 400, "limit"},
		{"GET", "/api/v1/users?limit=99999999999999999999", "", 400, "limit"},
		{"GET", "/api/v1/users?offset=-1", "", 400, "offset"},
		{"GET", "/api/v1/users?access_token=x", "", 400, "access_token"},
		{"GET", "/api/v1/users/a%00b", "", 400, "id"},
		{"GET", "/api/v1/users/a%ffb", "", 400, "id"},
		{"GET", "/api/v1/mail?state=lost", "", 400, "state"},
		{"GET", "/api/v1/mail?state=", "", 400, "state"},
		{"GET", "/api/v1/clients/export?type=", "", 400, "type"},
		{"DELETE", "/api/v1/sessions?all=yes", "", 400, "all"},
		{"GET", "/api/v1/sessions?ip=localhost", "", 400, "ip"},

		// Bodies.
		{"POST", "/api/v1/users", `{"nmae":"x"}`, 400, "nmae"},
		{"POST", "/api/v1/users", `{"Email":"a@example.com"}`, 400, "Email"},
		{"POST", "/api/v1/users", `{"email":"a@example.com","email":"b@example.com"}`, 400, "email"},
		{"POST", "/api/v1/users", `{"name":"a\u0000b"}`, 400, "name"},
		{"POST", "/api/v1/users", `{"address":{"planet":"x"}}`, 400, "address.planet"},
		{"POST", "/api/v1/users", `{"roles":["a",1]}`, 400, "roles.1"},
		{"POST", "/api/v1/users", `{"email":7}`, 400, "email"},
		{"POST", "/api/v1/users", `{"id":"x"}`, 400, "id"},
		{"POST", "/api/v1/users", `{"created_by":"x"}`, 400, "created_by"},
		{"POST", "/api/v1/users", `[]`, 400, ""},
		{"POST", "/api/v1/users", `null`, 400, ""},
		{"POST", "/api/v1/users", `{`, 400, ""},
		{"POST", "/api/v1/users", `{} {}`, 400, ""},
		{"POST", "/api/v1/users", `{"name":"` + "\xff" + `"}`, 400, ""},
		{"POST", "/api/v1/users", strings.Repeat(`{"address":`, 30) + "1" + strings.Repeat("}", 30), 400, ""},
		{"POST", "/api/v1/users", `{"name":"` + strings.Repeat("x", 5000) + `"}`, 413, ""},
		{"POST", "/api/v1/users", `{}`, 400, "email"},
		{"PATCH", "/api/v1/users/ada@example.com", `{"active":null}`, 400, "active"},
		{"PATCH", "/api/v1/users/ada@example.com", `{"role":"root"}`, 400, "role"},
		{"PATCH", "/api/v1/users/ada@example.com", `{"version":99}`, 400, "version"},
		{"PATCH", "/api/v1/users/ada@example.com", `{"last_login_at":"2026-05-04T10:00:00Z"}`, 400, "last_login_at"},
		{"POST", "/api/v1/clients", `{"client_name":""}`, 400, ""},
		{"POST", "/api/v1/clients", `{"client_name":"x","user_id":"y"}`, 400, "user_id"},
		{"POST", "/api/v1/clients", `{"client_name":"x","client_id":"..","grant_types":["client_credentials"]}`, 400, "client_id"},
		{"POST", "/api/v1/clients", `{"client_name":"x","client_id":"import","grant_types":["client_credentials"]}`, 400, "client_id"},
		{"PATCH", "/api/v1/clients/machine", `{"redirect_uris":"https://x"}`, 400, "redirect_uris"},
		{"PATCH", "/api/v1/clients/machine", `{"access_token_ttl":1.5}`, 400, "access_token_ttl"},
		{"PATCH", "/api/v1/clients/machine", `{"access_token_ttl":-1}`, 400, "access_token_ttl"},
		{"POST", "/api/v1/clients/machine/secrets", `{"expires_in":1e300}`, 400, "expires_in"},
		{"POST", "/api/v1/clients/machine/secrets", `{"grace_period":1}`, 400, "grace_period"},
		{"POST", "/api/v1/scopes", `{"name":"a b","description":"x"}`, 400, "name"},
		{"DELETE", "/api/v1/users/ada@example.com", `{"x":1}`, 400, ""},
		{"POST", "/api/v1/users/ada@example.com/unlock", `{}`, 400, ""},
	} {
		w := h.call(tt.method, tt.path, tt.body, "Authorization", all)
		doc := h.document(w)
		if w.Code != tt.status || doc["status"] != float64(tt.status) || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s %.60s: %d %s", tt.method, tt.path, tt.body, w.Code, w.Body)
			continue
		}
		if details, _ := doc["details"].([]any); tt.field != "" && (len(details) == 0 || details[0].(map[string]any)["field"] != tt.field) {
			t.Errorf("%s %s %.60s: %v", tt.method, tt.path, tt.body, details)
		}
		if tt.status == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s has no Allow", tt.method, tt.path)
		}
	}
	if list := h.get("/api/v1/users", "admin"); list["total"] != 1.0 {
		t.Errorf("a rejected request has created a user: %v", list)
	}
}

func TestMediaTypes(t *testing.T) {
	h := newHarness(t)
	for _, tt := range []struct {
		method, path, body, kind, accept string
		status                           int
	}{
		{"POST", "/api/v1/users", "email=a", "application/x-www-form-urlencoded", "", 415},
		{"POST", "/api/v1/users", "{}", "application/merge-patch+json", "", 415},
		{"POST", "/api/v1/users", "{}", "", "", 415},
		{"PATCH", "/api/v1/users/ada@example.com", `{"nickname":"A"}`, "application/merge-patch+json", "", 200},
		{"PATCH", "/api/v1/users/ada@example.com", `{"nickname":"A"}`, "application/json; charset=utf-8", "application/json;q=0.5, text/html", 200},
		{"GET", "/api/v1/users", "", "", "text/html", 406},
		{"GET", "/api/v1/users", "", "", "application/json;q=0, */*;q=0", 406},
		{"GET", "/api/v1/users", "", "", "application/*", 200},
		{"GET", "/api/v1/users", "", "", "application/problem+json", 200},
	} {
		headers := []string{"Authorization", all, "Content-Type", tt.kind}
		if tt.accept != "" {
			headers = append(headers, "Accept", tt.accept)
		}
		if w := h.call(tt.method, tt.path, tt.body, headers...); w.Code != tt.status {
			t.Errorf("%s %s as %q for %q: %d %s", tt.method, tt.path, tt.kind, tt.accept, w.Code, w.Body)
		}
	}
	if w := h.call("HEAD", "/api/v1/users", "", "Authorization", all); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
}

// What a caller reads, it may send back. Nothing changes then.
func TestReadingAndSendingBack(t *testing.T) {
	h := newHarness(t)
	h.play([]step{
		{"POST", "/api/v1/clients", `{"client_name":"Shop","client_id":"shop","grant_types":["client_credentials"],"scope":"a b"}`, 201, nil},
		{"POST", "/api/v1/scopes", `{"name":"shop:read","description":"read"}`, 201, nil},
		{"POST", "/api/v1/roles", `{"name":"helpdesk","scopes":["admin:users:read"]}`, 201, nil},
		{"POST", "/api/v1/routes", `{"name":"s","prefix":"/s","upstreams":["http://127.0.0.1:9000"],"rate":5,"max_age":"15m"}`, 201, nil},
	})
	for _, path := range []string{
		"/api/v1/users/" + string(h.ada.ID), "/api/v1/clients/shop", "/api/v1/scopes/shop:read", "/api/v1/roles/helpdesk", "/api/v1/routes/s",
	} {
		before := h.call("GET", path, "", "Authorization", all)
		after := h.call("PATCH", path, before.Body.String(), "Authorization", all)
		if after.Code != http.StatusOK || after.Body.String() != before.Body.String() || after.Header().Get("ETag") != before.Header().Get("ETag") {
			t.Errorf("%s: %d\n%s\n%s", path, after.Code, before.Body, after.Body)
		}
	}
}

// The schemas name the fields that can be set, so that no member is accepted and forgotten.
func TestSchemasNameTheFields(t *testing.T) {
	j := newJudge(t)
	check := func(schema string, fields []string, others ...string) {
		t.Helper()
		want := map[string]bool{}
		for _, name := range append(fields, others...) {
			want[name] = true
		}
		for name, p := range j.doc.Components.Schemas[schema].Value.Properties {
			if p.Value.ReadOnly == want[name] {
				t.Errorf("%s.%s: a field is what can be set", schema, name)
			}
			delete(want, name)
		}
		for name := range want {
			t.Errorf("%s lacks the field %s", schema, name)
		}
	}
	check("ClientPatch", rename(names(client.Fields(token.ClientRules())), "refresh_rotation", "refresh_token_rotation"))
	check("RoutePatch", names(access.RouteFields()))
	check("ScopePatch", names(admin.ScopeFields()))
	check("RolePatch", names(admin.RoleFields()))
	users := names(identity.UserFields())
	for _, old := range [][2]string{
		{"phone", "phone_number"},
		{"phone_verified", "phone_number_verified"},
		{"disabled", "active"},
		{"formatted", "address"},
		{"street_address", ""},
		{"locality", ""},
		{"region", ""},
		{"postal_code", ""},
		{"country", ""},
	} {
		users = rename(users, old[0], old[1])
	}
	check("UserPatch", users, "role", "password", "add_roles", "remove_roles")
	check("PostalAddress", []string{"formatted", "street_address", "locality", "region", "postal_code", "country"})
}

func names[T identity.User | client.Client | access.Route | oauth.Scope | identity.Role](fields []field.Field[T]) []string {
	var out []string
	for _, f := range fields {
		out = append(out, f.Name)
	}
	return out
}

// rename returns names with one renamed, or left out if it has no other.
func rename(names []string, from, to string) []string {
	var out []string
	for _, name := range names {
		switch {
		case name != from:
			out = append(out, name)
		case to != "":
			out = append(out, to)
		}
	}
	return out
}

// The page shows the document of this server and nothing else, and needs no script.
func TestDocs(t *testing.T) {
	h := newHarness(t)
	get := func(path string) (*httptest.ResponseRecorder, string) {
		w := httptest.NewRecorder()
		h.serve.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		return w, w.Body.String()
	}
	w, page := get("/api/docs")
	csp := w.Header().Get("Content-Security-Policy")
	if w.Code != 200 || !strings.Contains(page, `id="updateUser"`) || !strings.Contains(page, `href="#schema-UserPatch"`) ||
		strings.Contains(page, "<script") || strings.Contains(page, " style=") || !strings.HasPrefix(csp, "default-src 'none'") {
		t.Errorf("%d %s %.200s", w.Code, csp, page)
	}
	for _, address := range regexp.MustCompile(`(?:href|src)="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.HasPrefix(address[1], "#") && !strings.HasPrefix(address[1], "/") || strings.HasPrefix(address[1], "//") {
			t.Errorf("the page leads to %s", address[1])
		}
	}
	for _, m := range regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(page, `id="`+m[1]+`"`) {
			t.Errorf("#%s leads nowhere", m[1])
		}
	}
	if _, other := get("/api/docs?url=https://evil.example/spec.json&configUrl=//evil.example"); other != page {
		t.Error("a parameter changes the page")
	}
	if w, doc := get("/api/openapi.json"); w.Code != 200 || doc != string(gen.Document) {
		t.Error(w.Code)
	}
	t.Logf("%d bytes", len(page))
}
