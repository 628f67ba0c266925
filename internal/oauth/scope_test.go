package oauth

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// RFC 6749 §3.3.
func TestParseScope(t *testing.T) {
	for in, want := range map[string][]string{
		"":                        nil,
		"openid":                  {"openid"},
		" openid  email ":         {"openid", "email"},
		"b a b":                   {"b", "a"},
		"api:read https://x/y.z!": {"api:read", "https://x/y.z!"},
	} {
		got, err := ParseScope(in)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{`a"b`, `a\b`, "a\tb", "ä", "a\x7f", "a\x00", strings.Repeat("x", 129)} {
		if _, err := ParseScope(in); err == nil || Wire(err).Code != "invalid_scope" {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// Unknown scopes are left out of what is granted, known ones that the client may not have are
// refused, and scopes that mean nothing in a grant are left out.
func TestScopePolicy(t *testing.T) {
	p := ScopePolicy{Defined: func() map[string]*Scope {
		return map[string]*Scope{"openid": {}, "email": {}, "offline_access": {}, "api:admin": {}, "api:read": {}}
	}}
	cl := &client.Client{Scopes: []string{"openid", "api:read", "undefined"}, Grants: []string{client.GrantTypeCode}}
	refreshing := &client.Client{Scopes: cl.Scopes, Grants: []string{client.GrantTypeCode, client.GrantTypeRefresh}}
	user := func(cl *client.Client) func(string) ([]string, error) {
		return func(scope string) ([]string, error) { return p.ForUser(cl, scope) }
	}
	self := func(scope string) ([]string, error) { return p.ForClient(cl, scope) }
	narrow := func(scope string) ([]string, error) { return p.Narrow(cl, []string{"openid", "api:read"}, scope) }
	for _, row := range []struct {
		name  string
		ask   func(string) ([]string, error)
		scope string
		want  string
		ok    bool
	}{
		{"user", user(cl), "openid groups", "openid", true},
		{"user", user(cl), "groups", "", true},
		{"user", user(cl), "openid undefined", "openid undefined", true},
		{"user", user(cl), "openid email", "", false},
		{"user", user(cl), "openid api:admin", "", false},
		{"user", user(cl), "openid offline_access", "openid", true},
		{"user with refresh", user(refreshing), "openid offline_access", "", false},
		{"client", self, "openid email phone api:read", "api:read", true},
		{"client", self, "api:read groups", "api:read", true},
		{"client", self, "api:read api:admin", "", false},
		{"refresh", narrow, "openid groups", "openid", true},
		{"refresh", narrow, "openid email", "", false},
		{"refresh", narrow, "undefined", "", false},
		{"refresh", narrow, "", "openid api:read", true},
	} {
		got, err := row.ask(row.scope)
		if (err == nil) != row.ok || strings.Join(got, " ") != row.want ||
			(err != nil && Wire(err).Code != "invalid_scope") {
			t.Errorf("%s, %q: %q %v", row.name, row.scope, got, err)
		}
	}
}

func FuzzParseScope(f *testing.F) {
	for _, s := range []string{"openid email", "a  b", `x"y`, "ä", strings.Repeat("s ", 100), ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseScope(s)
		if err != nil {
			return
		}
		if len(got) > maxScopes {
			t.Fatalf("%d scopes", len(got))
		}
		again, err := ParseScope(strings.Join(got, " "))
		if err != nil || !slices.Equal(got, again) {
			t.Fatalf("%q reads back as %q (%v)", got, again, err)
		}
		for i, name := range got {
			if !ValidScope(name) || slices.Contains(got[:i], name) {
				t.Fatalf("%q in %q", name, got)
			}
		}
	})
}
