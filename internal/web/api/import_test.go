package api_test

import (
	"net/http"
	"strings"
	"testing"
)

// A file of users is imported as a stream of results, repeated without effect, and exported again.
func TestImportAndExport(t *testing.T) {
	h := newHarness(t)
	const file = `{"email":"eve@example.com","name":"=1+1"}` + "\n" + `{"email":"bad"}` + "\n" + `{"email":"root@example.com","roles":["super_admin"]}` + "\n"
	send := func(query, scopes string) (int, []string) {
		w := h.call("POST", "/api/v1/users/import"+query, file, "Authorization", "Bearer "+scopes,
			"Content-Type", "application/octet-stream")
		return w.Code, strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	}
	if code, _ := send("", "admin:users:read"); code != http.StatusForbidden {
		t.Errorf("without the scope: %d", code)
	}
	for _, query := range []string{"", "?on_error=stop", "?dry_run=true&on_error=skip"} {
		code, lines := send(query, "admin:users:write")
		if end := lines[len(lines)-1]; code != http.StatusOK || !strings.HasPrefix(end, `{"end":true`) {
			t.Errorf("%s: %d %q", query, code, lines)
		}
	}
	if n := h.get("/api/v1/users", "admin:users:read")["total"]; n != 1.0 {
		t.Errorf("%v users after imports that store nothing", n)
	}
	code, lines := send("?on_error=skip", "admin:users:write")
	if code != http.StatusOK || len(lines) != 4 ||
		!strings.Contains(lines[0], `"created"`) || !strings.Contains(lines[1], `"field":"email"`) ||
		!strings.Contains(lines[2], "confers more than you have") || lines[3] != `{"end":true,"lines":3,"created":1,"unchanged":0,"failed":2,"stopped":false}` {
		t.Errorf("%d %q", code, lines)
	}
	if _, lines = send("?on_error=skip", "admin:users:write"); !strings.Contains(lines[0], `"unchanged"`) {
		t.Errorf("again: %q", lines)
	}
	if code, _ := send("?on_error=maybe", "admin:users:write"); code != http.StatusBadRequest {
		t.Errorf("an unknown choice: %d", code)
	}

	w := h.call("GET", "/api/v1/users/export?format=csv", "", "Authorization", "Bearer admin:users:read")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"'=1+1"`) || strings.Contains(w.Body.String(), "password_hash") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = h.call("GET", "/api/v1/users/export", "", "Authorization", "Bearer admin:users:read")
	if w.Code != http.StatusOK || !strings.HasSuffix(w.Body.String(), `{"end":true,"count":2}`+"\n") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w = h.call("GET", "/api/v1/users/export?password_hashes=true", "", "Authorization", "Bearer admin:users:read")
	if w.Code != http.StatusForbidden {
		t.Errorf("hashes without the scope: %d %s", w.Code, w.Body)
	}
}

// An export of another server brings its clients, each under its id.
func TestImportClients(t *testing.T) {
	h := newHarness(t)
	const file = `[{"client_id":"job","name":"Job","client_secret":"AbCdEfGhIjKlMnOp1234","grant_types":["client_credentials"]},
{"client_id":"wild","name":"Wild","callbacks":["https://*.example/cb"],"grant_types":["authorization_code"]}]`
	send := func(scopes string) (int, []string) {
		w := h.call("POST", "/api/v1/clients/import?format=auth0", file, "Authorization", "Bearer "+scopes,
			"Content-Type", "application/octet-stream")
		return w.Code, strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	}
	if code, _ := send("admin:users:write"); code != http.StatusForbidden {
		t.Errorf("without the scope: %d", code)
	}
	code, lines := send("admin:clients:write")
	if code != http.StatusOK || len(lines) != 3 || lines[0] != `{"line":1,"client_id":"job","result":"created"}` ||
		!strings.Contains(lines[1], `"field":"redirect_uris"`) ||
		lines[2] != `{"end":true,"lines":2,"created":1,"unchanged":0,"failed":1,"stopped":false}` {
		t.Errorf("%d %q", code, lines)
	}
	if _, lines = send("admin:clients:write"); !strings.Contains(lines[0], `"unchanged"`) {
		t.Errorf("again: %q", lines)
	}
}
