package audit

import "context"

// A Guard decides, in the transaction of a change and before it, whether the change may be made:
// its error undoes it.
type Guard func(ctx context.Context, rows Rows) error

// Rows reads what a Guard decides by, in the transaction of the change. While a Guard runs and
// until the transaction ends, no other guarded change is made.
type Rows interface {
	// UserRoles returns the roles of a user, or fault.NotFound. ActiveUserRoles does not find a
	// user who is disabled or whom an administrator has locked.
	UserRoles(ctx context.Context, id string) (roles []string, err error)
	ActiveUserRoles(ctx context.Context, id string) (roles []string, err error)
	// Client returns the scopes that a client may have and its roles, or fault.NotFound.
	// ActiveClient does not find one that is disabled.
	Client(ctx context.Context, id string) (scopes, roles []string, err error)
	ActiveClient(ctx context.Context, id string) (scopes []string, err error)
	// SessionUser returns whose session it is, or fault.NotFound.
	SessionUser(ctx context.Context, id string) (user string, err error)
	// RoleScopes returns the scopes of all roles by their names.
	RoleScopes(ctx context.Context) (map[string][]string, error)
	// ScopeRules returns what all scopes require, by their names.
	ScopeRules(ctx context.Context) (map[string]ScopeRule, error)
}

// ScopeRule says what is granted with a scope, and who may hand it out.
type ScopeRule struct {
	Requires []string
	Role     string
}
