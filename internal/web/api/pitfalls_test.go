package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/store"
)

// What a token may do is what its person may do now.
func TestRightsAreThoseOfNow(t *testing.T) {
	h := newHarness(t)
	h.play([]step{
		{"POST", "/api/v1/roles", `{"name":"helpdesk","scopes":["admin:users:read"]}`, 201, nil},
		{"PATCH", "/api/v1/users/ada@example.com", `{"roles":["helpdesk"]}`, 200, nil},
	})
	status := func() int {
		t.Helper()
		return h.call("GET", "/api/v1/users", "", "Authorization", "Bearer "+string(h.ada.ID)+"@admin").Code
	}
	for _, x := range []struct {
		path, body string
		want       int
	}{
		{"", "", http.StatusOK},
		{"/api/v1/roles/helpdesk", `{"scopes":["admin:clients:read"]}`, http.StatusForbidden},
		{"/api/v1/roles/helpdesk", `{"scopes":["admin:users:read"]}`, http.StatusOK},
		{"/api/v1/users/ada@example.com", `{"roles":[]}`, http.StatusForbidden},
		{"/api/v1/users/ada@example.com", `{"roles":["helpdesk"]}`, http.StatusOK},
		{"/api/v1/users/ada@example.com", `{"active":false}`, http.StatusForbidden},
	} {
		if x.path != "" {
			h.play([]step{{"PATCH", x.path, x.body, 200, nil}})
		}
		if got := status(); got != x.want {
			t.Errorf("after %s: %d, want %d", x.body, got, x.want)
		}
	}
}

// No secret that a caller sends or gets is in the log, whatever it is a part of; and what is
// deleted keeps its history.
func TestNoSecretInTheLog(t *testing.T) {
	h := newHarness(t)
	var secrets []string
	take := func(method, path, body, member string) string {
		t.Helper()
		w := h.call(method, path, body, "Authorization", all)
		if w.Code >= 300 {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
		v, _ := h.document(w)[member].(string)
		if v == "" {
			t.Fatalf("%s %s: no %s", method, path, member)
		}
		return v
	}
	secrets = append(secrets,
		take("POST", "/api/v1/clients", `{"client_name":"Shop","client_id":"shop","grant_types":["client_credentials"]}`, "client_secret"),
		take("POST", "/api/v1/clients/shop/secrets", `{}`, "client_secret"),
		take("POST", "/api/v1/clients/shop/secrets", `{"rotate":true}`, "client_secret"),
		take("POST", "/api/v1/users/ada@example.com/password-link", "", "link"),
		take("POST", "/api/v1/registrations", `{"policy":{"grant_types":["authorization_code"],"scopes":["openid"]}}`, "token"))
	hook := h.document(h.call("POST", "/api/v1/webhooks", `{"url":"https://user:pass-of-a-hook@hooks.example/x?key=key-of-a-hook","events":["*"]}`, "Authorization", all))
	id, _ := hook["id"].(string)
	if hook["secret"] != nil {
		secrets = append(secrets, hook["secret"].(string), take("POST", "/api/v1/webhooks/"+id+"/rotate_secret", `{}`, "secret"))
	}
	secrets = append(secrets, "pass-of-a-hook", goodPassword)
	h.play([]step{
		{"PATCH", "/api/v1/users/ada@example.com", `{"password":"` + goodPassword + `"}`, 200, nil},
		{"PATCH", "/api/v1/clients/shop", `{"description":"changed"}`, 200, nil},
		{"DELETE", "/api/v1/clients/shop", "", 204, nil},
		{"DELETE", "/api/v1/users/ada@example.com", "", 204, nil},
	})
	events, err := h.db.ListAudit(t.Context(), store.AuditQuery{Limit: 500})
	h.must(err)
	text := fmt.Sprintf("%+v", events)
	for _, s := range secrets {
		if _, last, ok := strings.Cut(s, "="); ok { // of a link
			s = last
		}
		if strings.Contains(text, s) {
			t.Errorf("the log has %.12s…", s)
		}
	}
	seen := map[string]int{}
	for _, e := range events {
		seen[fmt.Sprint(e.Type.Name(), " ", e.Client)]++
	}
	for _, want := range []string{"client.created shop", "client.secret_added shop", "client.secret_rotated shop", "client.deleted shop"} {
		if seen[want] == 0 {
			t.Errorf("%s is not in the log: %v", want, seen)
		}
	}
}
