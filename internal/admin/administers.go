package admin

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Administers reports whether the actor may do anything of the management.
func (a Actor) Administers() bool {
	return slices.ContainsFunc(a.Scopes, func(s Scope) bool { return oauth.IsAdminScope(string(s)) })
}

// Administers reports whether the roles of an account allow anything of the management.
func (o *Operations) Administers(u *identity.User) bool { return Administers(o.definitions(), u) }

// Administers reports whether the roles of an account allow anything of the management.
func Administers(d oauth.Definitions, u *identity.User) bool {
	return len(managementScopes(d, u.Roles)) > 0
}

// managementScopes returns the scopes of the management that roles confer, in the order of their
// names.
func managementScopes(d oauth.Definitions, roles []string) []string {
	var out []string
	for name := range d.RoleRights(roles) {
		if oauth.IsAdminScope(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// administratorEvents returns the event that an account becomes one that manages the server, or may
// manage more or less than before, to be recorded beside that of the change of its roles. It
// returns none where the change is about something else.
func (o *Operations) administratorEvents(
	a Actor, id identity.UserID, now time.Time, before, after []string,
) []audit.Event {
	d := o.definitions()
	had, has := managementScopes(d, before), managementScopes(d, after)
	if slices.Equal(had, has) {
		return nil
	}
	ev := a.event(audit.AdminRoleChanged, now)
	if len(had) == 0 {
		ev.Type = audit.AdminCreated
	}
	ev.User = string(id)
	ev.Detail = map[string]string{
		"roles_before": strings.Join(before, " "), "roles_after": strings.Join(after, " "),
		"scopes_before": strings.Join(had, " "), "scopes_after": strings.Join(has, " "),
	}
	maps.DeleteFunc(ev.Detail, func(_, value string) bool { return value == "" })
	return []audit.Event{ev}
}
