package api_test

import (
	"fmt"
	"net/url"
	"testing"
)

// Of two who change the same version, the second one is told what it is now.
func TestLostUpdates(t *testing.T) {
	h := newHarness(t)
	h.play([]step{
		{"POST", "/api/v1/clients", `{"client_name":"Shop","client_id":"shop","grant_types":["client_credentials"]}`, 201, nil},
		{"POST", "/api/v1/scopes", `{"name":"shop:read","description":"read"}`, 201, nil},
		{"POST", "/api/v1/roles", `{"name":"helpdesk"}`, 201, nil},
		{"POST", "/api/v1/routes", `{"name":"s","prefix":"/s","upstreams":["http://127.0.0.1:9000"]}`, 201, nil},
	})
	for path, field := range map[string]string{
		"/api/v1/users/ada@example.com": "nickname", "/api/v1/clients/shop": "description", "/api/v1/scopes/shop:read": "description",
		"/api/v1/roles/helpdesk": "description", "/api/v1/routes/s": "host",
	} {
		tag := h.call("GET", path, "", "Authorization", all).Header().Get("ETag")
		change := func(text, ifMatch string) (int, string, map[string]any) {
			w := h.call("PATCH", path, fmt.Sprintf(`{%q:%q}`, field, text), "Authorization", all, "If-Match", ifMatch)
			return w.Code, w.Header().Get("ETag"), h.document(w)
		}
		status, second, _ := change("first.example", tag)
		if status != 200 || second == tag {
			t.Errorf("%s: %d, %s after %s", path, status, second, tag)
		}
		status, now, doc := change("second.example", tag)
		if status != 412 || now != second || doc["error"] != "precondition_failed" || doc["etag"] != second ||
			fmt.Sprint(doc["details"]) == "<nil>" {
			t.Errorf("%s: %d %s %v", path, status, now, doc)
		}
		for _, wrong := range []string{"W/" + second, `"other"`, "v2", `"v0"`, second + ", " + tag} {
			if status, _, _ := change("third.example", wrong); status != 412 {
				t.Errorf("%s with %s: %d", path, wrong, status)
			}
		}
		if status, _, _ := change("fourth.example", "*"); status != 200 {
			t.Errorf("%s with *: %d", path, status)
		}
		if path == "/api/v1/roles/helpdesk" {
			continue
		}
		if w := h.call("DELETE", path, "", "Authorization", all, "If-Match", tag); w.Code != 412 {
			t.Errorf("deleting %s: %d", path, w.Code)
		}
	}
}

// Paging to the end delivers as many users as the total says, each one once.
func TestPaging(t *testing.T) {
	h := newHarness(t)
	for i := range 7 {
		h.play([]step{{"POST", "/api/v1/users", fmt.Sprintf(`{"email":"ann%d@example.com"}`, i), 201, nil}})
	}
	for _, query := range []string{"", "search=ann", "status=active", "sort=-name", "search=ann&status=active&sort=name&total=exact"} {
		seen, next, total := map[string]bool{}, "", 0.0
		for {
			address := "/api/v1/users?limit=3&" + query
			if next != "" {
				address += "&cursor=" + url.QueryEscape(next)
			}
			list := h.get(address, "admin")
			for _, u := range list["data"].([]any) {
				id := u.(map[string]any)["id"].(string)
				if seen[id] {
					t.Errorf("%s: %s is on two pages", query, id)
				}
				seen[id] = true
			}
			total = list["total"].(float64)
			if next, _ = list["next"].(string); next == "" {
				break
			}
		}
		if float64(len(seen)) != total || total < 7 {
			t.Errorf("%s: %d users, total %v", query, len(seen), total)
		}
	}
	next := url.QueryEscape(h.get("/api/v1/users?limit=3&search=ann", "admin")["next"].(string))
	h.play([]step{
		{"GET", "/api/v1/users?limit=3&search=bob&cursor=" + next, "", 400, is{"error": "validation_error"}},
		{"GET", "/api/v1/users?cursor=x", "", 400, is{"error": "validation_error"}},
		{"GET", "/api/v1/users?offset=10001", "", 400, is{"error": "validation_error"}},
		{"GET", "/api/v1/users?created_from=yesterday", "", 400, is{"error": "validation_error"}},
		{"GET", "/api/v1/users?created_from=2026-05-04&created_to=2026-05-04", "", 200, is{"total": 8}},
		{"GET", "/api/v1/users?created_to=2026-05-03", "", 200, is{"total": 0}},
		{"GET", "/api/v1/clients?secret_expires_before=2026-06-01", "", 200, is{"total": 0}},
	})
}
