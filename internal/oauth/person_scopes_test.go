package oauth_test

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestAdminIsWhatTheRolesHave: of the scope of the whole management API, people hand out the part
// that their roles have.
func TestAdminIsWhatTheRolesHave(t *testing.T) {
	d := oauth.Definitions{
		Scopes: map[string]*oauth.Scope{"openid": {Name: "openid"}, "shop": {Name: "shop", Role: "desk"}},
		Roles: map[string]*identity.Role{
			"desk": {Name: "desk", Scopes: []string{"admin:users:read", "openid"}},
		},
	}
	for _, tt := range []struct{ roles, names, want []string }{
		{[]string{"super_admin"}, []string{"openid", "admin"}, []string{"openid", "admin"}},
		{[]string{"desk"}, []string{"openid", "admin"}, []string{"openid", "admin:users:read"}},
		{[]string{"desk"}, []string{"admin", "admin:users:read"}, []string{"admin:users:read"}},
		{[]string{"desk"}, []string{"openid"}, []string{"openid"}},
		{[]string{"desk"}, []string{"admin:users:write"}, []string{}},
		{nil, []string{"openid", "admin"}, []string{"openid"}},
	} {
		testkit.Equal(t, "scopes", d.ForPerson(tt.roles, tt.names), tt.want)
	}
}
