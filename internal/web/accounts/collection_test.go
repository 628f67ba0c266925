package accounts_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// ids returns the ids of the items of a collection.
func (a *answer) ids() (out []string) {
	for _, x := range a.ok().doc["data"].([]any) {
		out = append(out, x.(map[string]any)["id"].(string))
	}
	return out
}

// A collection is read page by page, forwards and backwards, in the order that is asked for.
func TestPages(t *testing.T) {
	h := newHarness(t)
	token := ""
	for range 5 {
		h.now = h.now.Add(time.Second)
		token, _ = h.signIn()
	}
	list := func(query string) *answer {
		t.Helper()
		return h.call("GET", "/sessions?"+query, h.as(token), "")
	}
	all := list("sort=createdMs").ids()
	testkit.Equal(t, "sessions", len(all), 5)
	reversed := slices.Clone(all)
	slices.Reverse(reversed)
	testkit.Equal(t, "newest first", list("sort=-createdMs").ids(), reversed)
	testkit.Equal(t, "by two members", list("sort=userAgent,-createdMs").ids(), reversed)

	const first = "sort=createdMs&pg[size]=2"
	var found []string
	a := list(first)
	for found = a.ids(); a.get("meta", "pg", "nextCursor") != ""; found = append(found, a.ids()...) {
		a = list(first + "&pg[cursor]=" + a.get("meta", "pg", "nextCursor"))
	}
	testkit.Equal(t, "by pages", found, all)
	testkit.Equal(t, "size of the last page", a.get("meta", "pg", "size"), "1")
	testkit.Equal(t, "sort", a.get("meta", "pg", "sort"), "createdMs")
	a = list(first + "&pg[cursor]=" + a.get("meta", "pg", "prevCursor"))
	testkit.Equal(t, "the page before the last", a.ids(), all[2:4])
	a = list(first + "&pg[cursor]=" + a.get("meta", "pg", "prevCursor"))
	testkit.Equal(t, "the first page", a.ids(), all[:2])
	testkit.Equal(t, "before the first page", a.get("meta", "pg", "prevCursor"), "")

	for _, bad := range []string{"pg[size]=0", "pg[size]=x", "pg[size]=501", "pg[cursor]=!", "pg[cursor]=eA", "pg[cursor]=Pm5vbmU", "sort=password", "sort=-"} {
		list(bad).fails(http.StatusBadRequest, "DATA-INVALID")
	}
	for path, sort := range map[string]string{"/users": "name", "/users/current/emails": "-verifiedMs", "/users/current/roles": "id"} {
		h.call("GET", path+"?sort="+url.QueryEscape(sort), h.as(token), "").ok()
	}
}

// An address says when it was verified, and a code that has expired says so to whoever has it.
func TestVerifiedMs(t *testing.T) {
	h := newHarness(t)
	verified := func(token string) string {
		t.Helper()
		first := h.call("GET", "/users/current/emails", h.as(token), "").ok().doc["data"].([]any)[0]
		return (&answer{doc: first.(map[string]any)}).get("verifiedMs")
	}
	token, _ := h.signIn()
	testkit.Equal(t, "before", verified(token), "")
	send := func() string {
		t.Helper()
		h.call("POST", "/users/current/emails/ada@example.com/generate-verification", h.as(token), "").ok()
		return h.code()
	}
	verify := func(code string) *answer {
		t.Helper()
		return h.call("POST", "/users/current/emails/ada@example.com/verify", h.as(token), body("code", code))
	}
	late := send()
	h.now = h.now.Add(24*time.Hour + time.Minute)
	token, _ = h.signIn()
	verify(late).fails(http.StatusUnauthorized, "EMAIL-VERIFY-CODE-EXPIRED")
	verify("BBBB-BBBB").fails(http.StatusUnauthorized, "EMAIL-VERIFY-CODE-NOT-VALID")
	code := send()
	verify(late).fails(http.StatusUnauthorized, "EMAIL-VERIFY-CODE-NOT-VALID")
	verify(code).ok()
	u, err := h.db.User(t.Context(), h.ada.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "verified at", u.EmailVerifiedAt.Equal(h.now), true)
	h.now = h.now.Add(time.Minute)
	if verified(token) == "" {
		t.Error("the address does not say when it was verified")
	}
	verify(code).fails(http.StatusUnauthorized, "EMAIL-VERIFY-CODE-CONSUMED")
}

// Roles are given and taken with an administrator's access token, as far as the client and the
// person may, and not with a session.
func TestRoles(t *testing.T) {
	h := newHarness(t)
	c := &client.Client{
		ID: "console", Name: "Console", Public: true, Grants: []string{client.GrantTypeDevice},
		Scopes: []string{"accounts", "admin", "admin:users:write"}, CreatedAt: h.now, UpdatedAt: h.now,
	}
	testkit.Must(t, h.db.CreateClient(t.Context(), c))
	boss, bob := h.user("boss@example.com"), h.user("bob@example.com")
	next := *boss
	next.Roles = []string{identity.RoleSuperAdmin}
	testkit.Must(t, h.db.UpdateUser(t.Context(), boss, &next))
	issue := func(name string, u *identity.User, scopes string, at time.Time) string {
		if h.issued == nil {
			h.issued = map[string]*oauth.AccessToken{}
		}
		h.issued["Bearer "+name] = &oauth.AccessToken{
			Client: c.ID, User: u.ID, Scopes: strings.Fields(scopes), AuthTime: at, ACR: identity.ACR2,
		}
		return "Bearer " + name
	}
	good := issue("good", boss, "accounts admin:users:write", h.now)
	session, _ := h.signIn()
	const path = "/users/"
	id := string(bob.ID)
	for _, who := range []string{
		h.as(session),
		issue("mere", boss, "accounts", h.now),
		issue("ada", h.ada, "accounts admin:users:write", h.now),
		issue("old", boss, "accounts admin:users:write", h.now.Add(-time.Hour)),
		issue("none", boss, "admin:users:write", h.now),
	} {
		a := h.call("POST", path+id+"/roles", who, body("type", "user-roles", "id", identity.RoleAdmin))
		testkit.Equal(t, who, a.status, http.StatusForbidden)
		nobody := h.call("POST", path+"nobody/roles", who, body("id", identity.RoleAdmin))
		testkit.Equal(t, who+": an unknown user", nobody.raw, a.raw)
	}
	roles := func(want ...string) {
		t.Helper()
		stored, err := h.db.User(t.Context(), bob.ID)
		testkit.Must(t, err)
		testkit.Equal(t, "roles", strings.Join(stored.Roles, " "), strings.Join(want, " "))
	}
	h.call("POST", path+id+"/roles", good, `{"data":{"type":"user-roles","id":"staff"}}`).ok()
	roles("staff")
	h.call("POST", path+id+"/roles", good, body("id", "sysadmin")).fails(http.StatusForbidden, "SCOPE-INSUFFICIENT")
	roles("staff")
	root := issue("root", boss, "accounts admin", h.now)
	a := h.call("POST", path+id+"/roles", root, body("id", "sysadmin")).ok()
	testkit.Equal(t, "role", a.get("data", "id"), identity.RoleSuperAdmin)
	h.call("DELETE", path+id+"/roles/sysadmin", root, "").ok()
	h.call("DELETE", path+id+"/roles/staff", good, "").ok()
	roles()
	h.call("DELETE", path+string(boss.ID)+"/roles/sysadmin", root, "").fails(http.StatusConflict, "DUPLICATE")
	h.call("POST", path+"nobody/roles", good, body("id", "staff")).fails(http.StatusNotFound, "NOT-FOUND")
	h.call("POST", path+id+"/roles", good, body("id", "")).fails(http.StatusBadRequest, "DATA-INVALID")
}
