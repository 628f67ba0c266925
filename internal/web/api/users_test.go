package api_test

import (
	"testing"
)

func TestUsersAreShown(t *testing.T) {
	h := newHarness(t)
	list := h.get("/api/v1/users", "admin:users:read")
	if list["total"] != 1.0 || list["limit"] != 50.0 || len(list["data"].([]any)) != 1 {
		t.Errorf("%v", list)
	}
	u := h.get("/api/users/ada@example.com", "admin:users:read")
	if u["id"] != string(h.ada.ID) || u["active"] != true || u["last_login_at"] != nil || u["role"] != "user" {
		t.Errorf("%v", u)
	}
}
