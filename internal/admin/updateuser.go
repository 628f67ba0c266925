package admin

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// UserUpdate is a change of an account.
type UserUpdate struct {
	Fields      UserPatch
	AddRoles    []string // given beside those that the account has
	RemoveRoles []string // taken from those that the account has
	Password    string   // a new password; "" for none. It ends all sessions
	Active      *bool    // whether the account can sign in; nil: as before
}

// UpdatedUser is a changed account.
type UpdatedUser struct {
	User     *identity.User
	Changed  []string // the names of the fields that differ, in alphabetical order
	Warnings []Warning
}

// staleTries bounds how often a change of roles is repeated that another one came between.
const staleTries = 5

// UpdateUser changes fields of an account. A new email address or telephone number is not verified
// unless the change says so, and the addresses that the account had are told. The last active
// administrator keeps the role super_admin. Where nothing differs, nothing is stored or recorded.
func (o *Operations) UpdateUser(ctx context.Context, a Actor, ref string, in UserUpdate) (*UpdatedUser, error) {
	if err := o.authorize(a, ScopeUsersWrite); err != nil {
		return nil, err
	}
	if in.Password != "" || in.Active != nil {
		return o.updateAccount(ctx, a, ref, in)
	}
	for try := 1; ; try++ {
		out, err := o.updateUser(ctx, a, ref, in)
		if fault.Reason(err) != ReasonStale || try == staleTries {
			return out, err
		}
	}
}

func (o *Operations) updateUser(ctx context.Context, a Actor, ref string, in UserUpdate) (*UpdatedUser, error) {
	old, err := o.user(ctx, ref)
	if err != nil {
		return nil, err
	}
	u := in.apply(old)
	if err := u.ValidateChange(old); err != nil {
		return nil, err
	}
	out := &UpdatedUser{User: u, Changed: field.Differences(identity.UserFields(), old, u)}
	if err := CheckVersion(in.Fields.IfVersion, old.Version, out.Changed); err != nil {
		return nil, err
	}
	if len(out.Changed) == 0 {
		return out, nil
	}
	added := without(u.Roles, old.Roles)
	if out.Warnings, err = o.roleWarnings(ctx, a, added); err != nil {
		return nil, err
	}
	if u.Admin() && !old.Admin() && u.PasswordHash != "" && !u.MustChange {
		out.Warnings = append(out.Warnings, Warning{Code: WarnAdminPassword, Subject: u.LoginName()})
	}
	u.UpdatedAt = o.parts.Now()
	ev := a.event(audit.UserUpdated, u.UpdatedAt)
	ev.User = string(u.ID)
	ev.Detail = map[string]string{"changed": strings.Join(out.Changed, " ")}
	ev.Changes = field.Changes(identity.UserFields(), old, u)
	ev.Guard = o.covers(a, ScopeUsersWrite, account(u.ID), ofRoles(added...))
	if a.User == u.ID && len(added) == 0 && slices.Equal(out.Changed, []string{"roles"}) {
		ev.Guard = o.covers(a, ScopeUsersWrite) // they lower themselves
	}
	if len(added) > 0 {
		ev.Detail["roles_given"] = strings.Join(added, " ")
	}
	if taken := without(old.Roles, u.Roles); len(taken) > 0 {
		ev.Detail["roles_taken"] = strings.Join(taken, " ")
	}
	if u.Email != old.Email {
		if err := o.parts.Accounts.NotifyAddress(ctx, &ev, old, u.Email); err != nil {
			return nil, err
		}
	}
	evs := append([]audit.Event{ev}, o.administratorEvents(a, u.ID, u.UpdatedAt, old.Roles, u.Roles)...)
	if err := o.store.UpdateUserAt(ctx, in.Fields.IfVersion, old, u, evs...); err != nil {
		return out, lastAdministrator(u, err)
	}
	return out, o.parts.Accounts.RestartGrace(ctx, old, u)
}

// apply returns the account as the change makes it.
func (in *UserUpdate) apply(old *identity.User) *identity.User {
	u := *old
	in.Fields.Apply(identity.UserFields(), &u)
	if u.Email != old.Email {
		u.NormalizeEmail()
	}
	u.Roles = without(u.Roles, in.RemoveRoles)
	for _, role := range in.AddRoles {
		if !slices.Contains(u.Roles, role) {
			u.Roles = append(u.Roles, role)
		}
	}
	// Not by LoginKey: what that equates may be another mailbox.
	if !strings.EqualFold(u.Email, old.Email) && !in.Fields.Has("email_verified") {
		u.EmailVerified = false
	}
	if u.Phone != old.Phone && !in.Fields.Has("phone_verified") {
		u.PhoneVerified = false
	}
	if u.Address != old.Address && !in.Fields.Has("formatted") {
		u.Address.Formatted = "" // it describes the former address
	}
	return &u
}

// without returns the items of a list that are not among others, as a new list.
func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(item string) bool { return slices.Contains(others, item) })
}

// lastAdministrator returns the error of a change that would leave no administrator, with the name
// of the account. Other errors stay as they are.
func lastAdministrator(u *identity.User, err error) error {
	if fault.Reason(err) != ReasonLastAdministrator {
		return err
	}
	return &fault.Error{
		Kind:   fault.Conflict,
		Reason: ReasonLastAdministrator,
		Text:   u.LoginName() + " is the last administrator; create another first",
	}
}

// maxRoles bounds how many of the roles that people have are searched for a known one.
const maxRoles = 1000

// roleWarnings returns a warning for each role that is not defined, that no user has and no route
// names. The nearest known one is for actors who may read roles.
func (o *Operations) roleWarnings(ctx context.Context, a Actor, roles []string) ([]Warning, error) {
	if len(roles) == 0 {
		return nil, nil
	}
	known := slices.Collect(maps.Keys(o.store.RoleDefinitions()))
	for _, r := range o.store.Routes() {
		known = append(known, r.Roles...)
	}
	held, err := o.store.Roles(ctx, maxRoles)
	if err != nil {
		return nil, err
	}
	known = append(known, held...)
	slices.Sort(known)
	return a.unknown(WarnUnknownRole, ScopeRolesRead, roles, slices.Compact(known)), nil
}

// scopeWarnings returns a warning for each scope that is not defined.
func (o *Operations) scopeWarnings(a Actor, names []string) []Warning {
	known := o.store.Scopes()
	if !slices.ContainsFunc(names, func(name string) bool { return known[name] == nil }) {
		return nil
	}
	return a.unknown(WarnUnknownScope, ScopeScopesRead, names, slices.Sorted(maps.Keys(known)))
}

// unknown returns a warning for each name that is not known, with the nearest one if the actor has
// the scope that reads them.
func (a Actor) unknown(code string, read Scope, names, known []string) []Warning {
	var out []Warning
	for _, name := range names {
		if !slices.Contains(known, name) {
			out = append(out, Warning{Code: code, Subject: name, Nearest: a.nearest(read, name, known)})
		}
	}
	return out
}

// nearest returns the known name that is most like another one, or "" if none is or the actor lacks
// the scope that reads them.
func (a Actor) nearest(read Scope, name string, known []string) string {
	if !a.Can(read) {
		return ""
	}
	return spell.Nearest(name, known)
}
