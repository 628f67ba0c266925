package admin

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const maxRoleDescription = 200 // characters

// RolePatch is a change of the fields in RoleFields.
type RolePatch = field.Patch[identity.Role]

// RoleFields returns the fields of a role that can be set.
func RoleFields() []field.Field[identity.Role] {
	return []field.Field[identity.Role]{
		{
			Name:        "description",
			Flag:        "description",
			Placeholder: "TEXT",
			Help:        "What people with the role do.",
			Audited:     true,
			Text:        func(r *identity.Role) *string { return &r.Description },
			Normalize:   strings.TrimSpace,
		},
		{
			Name:        "scopes",
			Flag:        "scope",
			Placeholder: "SCOPES",
			Help:        "The scopes that people get with the role, separated by spaces. May be repeated.",
			Audited:     true,
			List:        func(r *identity.Role) *[]string { return &r.Scopes },
			Separators:  " \t\n",
		},
	}
}

// ListRoles returns all roles by name.
func (o *Operations) ListRoles(_ context.Context, a Actor) ([]identity.Role, error) {
	if err := o.authorize(a, ScopeRolesRead); err != nil {
		return nil, err
	}
	var out []identity.Role
	for r := range maps.Values(o.store.RoleDefinitions()) {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(x, y identity.Role) int { return cmp.Compare(x.Name, y.Name) })
	return out, nil
}

// Role returns the role with that name or id.
func (o *Operations) Role(_ context.Context, a Actor, ref string) (*identity.Role, error) {
	if err := o.authorize(a, ScopeRolesRead); err != nil {
		return nil, err
	}
	return o.role(a, ref)
}

// role returns a shared value that must not be changed.
func (o *Operations) role(a Actor, ref string) (*identity.Role, error) {
	all := o.store.RoleDefinitions()
	if r := all[ref]; r != nil {
		return r, nil
	}
	for _, r := range all {
		if r.ID == ref {
			return r, nil
		}
	}
	near := a.nearest(ScopeRolesRead, ref, slices.Sorted(maps.Keys(all)))
	if near != "" {
		return nil, fault.New(fault.NotFound, "there is no role %q; did you mean %s?", ref, near)
	}
	return nil, fault.New(fault.NotFound, "there is no role %q", ref)
}

// CreateRole defines a role.
func (o *Operations) CreateRole(
	ctx context.Context, a Actor, name string, p RolePatch,
) (*identity.Role, error) {
	if err := o.authorize(a, ScopeRolesWrite); err != nil {
		return nil, err
	}
	now := o.parts.Now()
	r := &identity.Role{
		ID:        secret.NewID(now),
		Name:      name,
		Version:   1,
		CreatedAt: now,
		UpdatedAt: now,
	}
	p.Apply(RoleFields(), r)
	if err := o.checkRole(a, r, &identity.Role{}); err != nil {
		return nil, err
	}
	ev := roleEvent(a, audit.RoleCreated, r.Name, now)
	ev.Guard = o.covers(a, ScopeRolesWrite, ofScopes(r.Scopes...))
	ev.Changes = field.Changes(RoleFields(), &identity.Role{}, r)
	err := o.store.CreateRole(ctx, r, ev)
	if fault.Is(err, fault.Conflict) && fault.Reason(err) == "" {
		return nil, fault.New(fault.Conflict, "there is a role %q already; update it instead", name)
	}
	return r, o.heldRole(ctx, a, name, err)
}

func roleEvent(a Actor, t audit.Type, name string, now time.Time) audit.Event {
	ev := a.event(t, now)
	ev.TargetType, ev.TargetID = audit.TargetRole, name
	return ev
}

// checkRole checks a role that replaces old. Its scopes come in the order of their names.
func (o *Operations) checkRole(a Actor, r, old *identity.Role) error {
	d := r.Description
	switch {
	case !identity.ValidRoleName(r.Name) || identity.ShapedLikeID(r.Name):
		return fault.InvalidField("name",
			"%.80q cannot name a role: use one word of at most 64 letters, digits and . _ : - that is not an id", r.Name)
	case utf8.RuneCountInString(d) > maxRoleDescription:
		return fault.InvalidField("description",
			"the description of a role has at most %d characters", maxRoleDescription)
	}
	if what := identity.InvalidText(d); what != "" && d != old.Description {
		return fault.InvalidField("description",
			"the description of a role contains %s; remove it, or type the text again", what)
	}
	if old.Name == "" {
		if err := checkAddress("name", r.Name, "role"); err != nil {
			return err
		}
	}
	slices.Sort(r.Scopes)
	r.Scopes = slices.Compact(r.Scopes)
	known := o.store.Scopes()
	for _, name := range without(r.Scopes, old.Scopes) {
		if known[name] != nil {
			continue
		}
		if near := a.nearest(ScopeScopesRead, name, slices.Sorted(maps.Keys(known))); near != "" {
			return fault.InvalidField("scopes", "there is no scope %.80q; did you mean %s?", name, near)
		}
		return fault.InvalidField("scopes", "there is no scope %.80q; define it first", name)
	}
	return nil
}

// UpdateRole changes fields of a role. Everybody who has it follows within a second. Where nothing
// differs, nothing is stored or recorded.
func (o *Operations) UpdateRole(
	ctx context.Context, a Actor, ref string, p RolePatch,
) (*identity.Role, error) {
	if err := o.authorize(a, ScopeRolesWrite); err != nil {
		return nil, err
	}
	old, err := o.ownRole(a, ref)
	if err != nil {
		return nil, err
	}
	r := *old
	r.Scopes = slices.Clone(old.Scopes)
	p.Apply(RoleFields(), &r)
	if err := o.checkRole(a, &r, old); err != nil {
		return nil, err
	}
	differ := field.Differences(RoleFields(), old, &r)
	if err := CheckVersion(p.IfVersion, old.Version, differ); err != nil {
		return nil, err
	}
	if len(differ) == 0 {
		return old, nil
	}
	r.UpdatedAt, r.Version = o.parts.Now(), old.Version+1
	ev := roleEvent(a, audit.RoleUpdated, r.Name, r.UpdatedAt)
	ev.Guard = o.covers(a, ScopeRolesWrite, ofRoles(r.Name), ofScopes(r.Scopes...))
	ev.Changes = field.Changes(RoleFields(), old, &r)
	return &r, o.store.UpdateRole(ctx, old, &r, ev)
}

// ownRole returns a role that is not built in.
func (o *Operations) ownRole(a Actor, ref string) (*identity.Role, error) {
	r, err := o.role(a, ref)
	if err == nil && r.System {
		return nil, fault.New(fault.Conflict,
			"the role %s is built in and cannot be changed or deleted; create one of your own", r.Name)
	}
	return r, err
}

// CanDeleteRole returns why a role cannot be deleted, or nil. Whether somebody has it is checked by
// DeleteRole alone.
func (o *Operations) CanDeleteRole(_ context.Context, a Actor, ref string) error {
	if err := o.authorize(a, ScopeRolesWrite); err != nil {
		return err
	}
	_, err := o.deletableRole(a, ref)
	return err
}

// deletableRole returns a role that is not built in and that no route names.
func (o *Operations) deletableRole(a Actor, ref string) (*identity.Role, error) {
	r, err := o.ownRole(a, ref)
	if err != nil {
		return nil, err
	}
	routes, err := o.routesWith(func(x *access.Route) bool { return slices.Contains(x.Roles, r.Name) })
	if err != nil {
		return nil, err
	}
	use := RoleUse{Routes: HoldersOf(routes).visible(a, ScopeRoutesRead)}
	return r, use.denial(r.Name)
}

// DeleteRole deletes a role that nobody has and that no scope or route names. A version other than
// 0 is the one that the role must have.
func (o *Operations) DeleteRole(
	ctx context.Context, a Actor, ref string, version int64,
) (*identity.Role, error) {
	if err := o.authorize(a, ScopeRolesWrite); err != nil {
		return nil, err
	}
	r, err := o.deletableRole(a, ref)
	if err != nil {
		return nil, err
	}
	ev := roleEvent(a, audit.RoleDeleted, r.Name, o.parts.Now())
	ev.Guard = o.covers(a, ScopeRolesWrite, ofRoles(r.Name))
	return r, o.heldRole(ctx, a, r.Name, o.store.DeleteRoleAt(ctx, version, r.Name, ev))
}
