package api_test

import "testing"

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
