package api_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
)

// headersOf returns the operations of the document by method and path, with the names of the
// headers that each takes.
func headersOf(t *testing.T) map[string][]string {
	t.Helper()
	type parameter struct{ Ref, Name, In string }
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []map[string]any
			Security   []any
		}
		Components struct{ Parameters map[string]parameter }
	}
	if err := json.Unmarshal(gen.Document, &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for path, item := range doc.Paths {
		for method, op := range item {
			at := strings.ToUpper(method) + " " + path
			out[at] = []string{}
			if len(op.Security) == 0 {
				out[at] = append(out[at], "public")
			}
			for _, p := range op.Parameters {
				in, name := p["in"], p["name"]
				if ref, ok := p["$ref"].(string); ok {
					found := doc.Components.Parameters[strings.TrimPrefix(ref, "#/components/parameters/")]
					in, name = found.In, found.Name
				}
				if in == "header" {
					out[at] = append(out[at], name.(string))
				}
			}
		}
	}
	return out
}

// Every POST takes a name of the caller's, but those that nobody needs to name.
func TestEveryPostTakesAKey(t *testing.T) {
	without := []string{
		"POST /clients/import", "POST /users/import", // streams; a repetition changes nothing
		"POST /config/plan", // changes nothing
	}
	for at, headers := range headersOf(t) {
		post := strings.HasPrefix(at, "POST ") && !slices.Contains(headers, "public")
		if want := post && !slices.Contains(without, at); want != slices.Contains(headers, "Idempotency-Key") {
			t.Errorf("%s takes %v", at, headers)
		}
	}
}

// Every change of a thing that has a version takes the version that it is based on. What takes none
// has none, and denies a condition that it could not keep.
func TestEveryChangeTakesAVersion(t *testing.T) {
	h := newHarness(t)
	versioned := []string{"clients", "roles", "routes", "scopes", "users", "webhooks"}
	for at, headers := range headersOf(t) {
		method, path, _ := strings.Cut(at, " ")
		if method == "GET" || slices.Contains(headers, "public") {
			continue
		}
		segments := strings.Split(strings.Trim(path, "/"), "/")
		thing := len(segments) == 2 && strings.HasPrefix(segments[1], "{") && slices.Contains(versioned, segments[0])
		has := slices.Contains(headers, "If-Match")
		if want := thing && (method == http.MethodDelete || method == http.MethodPatch); want != has {
			t.Errorf("%s takes %v", at, headers)
		}
		if has {
			continue
		}
		address := "/api/v1" + strings.NewReplacer("{id}", "x", "{", "", "}", "").Replace(path)
		w := h.call(method, address, "", "Authorization", all, "If-Match", `"v1"`)
		if w.Code != http.StatusPreconditionFailed {
			t.Errorf("%s on a condition: %d %s", at, w.Code, w.Body)
		}
	}
}

// A link is made once for each name, and a caller who may no longer make it does not read it again.
func TestKeyOfAnAction(t *testing.T) {
	h := newHarness(t)
	post := func(token string) (int, string, map[string]any) {
		w := h.call("POST", "/api/v1/users/ada@example.com/password-link", "", "Authorization", "Bearer "+token, "Idempotency-Key", "k")
		return w.Code, w.Header().Get("Idempotent-Replayed"), h.document(w)
	}
	status, replayed, first := post("admin:users:write")
	if status != 201 || replayed != "" || first["link"] == nil {
		t.Fatalf("%d %q %v", status, replayed, first)
	}
	if status, replayed, again := post("admin:users:write"); status != 201 || replayed != "true" || again["link"] != first["link"] {
		t.Errorf("again: %d %q %v", status, replayed, again)
	}
	if status, _, doc := post("admin:users:read"); status != 403 || doc["link"] != nil {
		t.Errorf("without the scope: %d %v", status, doc)
	}
}

// A request with a name has its effect once, and the same answer each time.
func TestIdempotencyKey(t *testing.T) {
	h := newHarness(t)
	post := func(path, body, key, token string) (int, string, map[string]any) {
		w := h.call("POST", path, body, "Authorization", "Bearer "+token, "Idempotency-Key", key)
		return w.Code, w.Header().Get("Idempotent-Replayed"), h.document(w)
	}
	const client = `{"client_name":"Shop","grant_types":["client_credentials"]}`
	status, replayed, first := post("/api/v1/clients", client, "one", "admin")
	if status != 201 || replayed != "" || first["client_secret"] == nil {
		t.Fatalf("%d %q %v", status, replayed, first)
	}
	status, replayed, again := post("/api/clients", `{ "grant_types":["client_credentials"], "client_name":"Shop" }`, "one", "admin")
	if status != 201 || replayed != "true" || again["client_id"] != first["client_id"] || again["client_secret"] != first["client_secret"] {
		t.Errorf("again: %d %q %v", status, replayed, again)
	}
	if status, _, doc := post("/api/v1/clients", `{"client_name":"Other","grant_types":["client_credentials"]}`, "one", "admin"); status != 422 {
		t.Errorf("another body: %d %v", status, doc)
	}
	if status, _, doc := post("/api/v1/clients", client, "one", "openid"); status != 403 || doc["client_secret"] != nil {
		t.Errorf("without the scope: %d %v", status, doc)
	}
	if _, _, other := post("/api/v1/clients", client, "two", "admin"); other["client_id"] == first["client_id"] {
		t.Error("another name: the same client")
	}
	// What has had no effect may be repeated in another way.
	if status, _, _ := post("/api/v1/clients", `{"client_name":"Shop"}`, "three", "admin"); status != 400 {
		t.Error(status)
	}
	if status, _, doc := post("/api/v1/clients", client, "three", "admin"); status != 201 {
		t.Errorf("after a mistake: %d %v", status, doc)
	}
	if list := h.get("/api/v1/clients", "admin"); list["total"] != 4.0 {
		t.Errorf("%v clients", list["total"])
	}
}
