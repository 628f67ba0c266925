package identity

import (
	"slices"
	"time"
)

// The system roles. They exist in every database and cannot be changed.
const (
	RoleSuperAdmin = "super_admin" // everything
	RoleAdmin      = "admin"       // everything but administrators, keys and settings
	RoleUser       = "user"        // what everybody has: nothing of the management
)

// Role is a named set of scopes that people get with it.
type Role struct {
	ID          string // UUIDv7
	Name        string
	Description string
	Scopes      []string // of the management API, and others that only some people may hand out
	System      bool     // built in: it can neither be changed nor deleted
	Version     int64    // raised by every change
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// HighestRole returns the highest of the system roles among those of a user.
func HighestRole(roles []string) string {
	for _, name := range []string{RoleSuperAdmin, RoleAdmin} {
		if slices.Contains(roles, name) {
			return name
		}
	}
	return RoleUser
}
