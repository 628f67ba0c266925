package admin

import (
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Administers reports whether the actor may do anything of the management.
func (a Actor) Administers() bool {
	return slices.ContainsFunc(a.Scopes, func(s Scope) bool { return oauth.IsAdminScope(string(s)) })
}

// Administers reports whether the roles of an account allow anything of the management.
func (o *Operations) Administers(u *identity.User) bool {
	return Actor{Scopes: scopesOf(o.definitions().RoleRights(u.Roles))}.Administers()
}
