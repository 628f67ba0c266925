package admin

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const maxScopeDescription = 200 // bytes

// ScopePatch is a change of the fields in ScopeFields.
type ScopePatch = field.Patch[oauth.Scope]

// ScopeFields returns the fields of a scope that can be set.
func ScopeFields() []field.Field[oauth.Scope] {
	return []field.Field[oauth.Scope]{
		{
			Name:        "description",
			Audited:     true,
			Flag:        "description",
			Placeholder: "TEXT",
			Required:    true,
			Help:        "What the consent page says; it completes \"This application wants to …\".",
			Text:        func(s *oauth.Scope) *string { return &s.Description },
			Normalize:   strings.TrimSpace,
		},
		{
			Name:    "default",
			Audited: true,
			Flag:    "default",
			Help:    "Grant it to clients that request no scope.",
			Switch:  func(s *oauth.Scope) *bool { return &s.Default },
		},
		{
			Name:    "requires",
			Flag:    "requires",
			Audited: true,
			Help:    "A scope that is granted with this one. May be repeated.",
			List:    func(s *oauth.Scope) *[]string { return &s.Requires },
		},
		{
			Name:    "role",
			Flag:    "role",
			Audited: true,
			Help:    "Only people with this role can allow it to an app.",
			Text:    func(s *oauth.Scope) *string { return &s.Role },
		},
		{
			Name:    "icon",
			Flag:    "icon",
			Audited: true,
			Help:    "The icon on the consent page: " + strings.Join(oauth.ScopeIcons(), ", ") + ".",
			Text:    func(s *oauth.Scope) *string { return &s.Icon },
		},
	}
}

// Scopes returns all scopes by name.
func (o *Operations) Scopes(_ context.Context, a Actor) ([]oauth.Scope, error) {
	if err := o.authorize(a, ScopeScopesRead); err != nil {
		return nil, err
	}
	var out []oauth.Scope
	for s := range maps.Values(o.store.Scopes()) {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(x, y oauth.Scope) int { return cmp.Compare(x.Name, y.Name) })
	return out, nil
}

// Scope returns the scope with that name or id.
func (o *Operations) Scope(_ context.Context, a Actor, name string) (*oauth.Scope, error) {
	if err := o.authorize(a, ScopeScopesRead); err != nil {
		return nil, err
	}
	return o.scope(name)
}

func (o *Operations) scope(name string) (*oauth.Scope, error) {
	all := o.store.Scopes()
	if s := all[name]; s != nil {
		return s, nil
	}
	for _, s := range all {
		if s.ID == name {
			return s, nil
		}
	}
	return nil, fault.New(fault.NotFound, "there is no scope %q", name)
}

// CreateScope defines a scope.
func (o *Operations) CreateScope(ctx context.Context, a Actor, name string, p ScopePatch) (*oauth.Scope, error) {
	if err := o.authorize(a, ScopeScopesWrite); err != nil {
		return nil, err
	}
	now := o.parts.Now()
	s := &oauth.Scope{ID: secret.NewID(now), Name: name, CreatedAt: now}
	p.Apply(ScopeFields(), s)
	if err := o.checkScope(a, s, &oauth.Scope{}); err != nil {
		return nil, err
	}
	ev := scopeEvent(a, audit.ScopeCreated, s.Name, now)
	ev.Changes = field.Changes(ScopeFields(), &oauth.Scope{}, s)
	ev.Guard = o.covers(a, ScopeScopesWrite, ofScopes(s.Requires...))
	err := o.store.CreateScope(ctx, s, ev)
	if fault.Is(err, fault.Conflict) && fault.Reason(err) == "" {
		return nil, fault.New(fault.Conflict, "there is a scope %q already; update it instead", name)
	}
	return s, o.heldScope(ctx, a, name, err)
}

// checkScope checks a scope that replaces old. A description that stays is not checked for
// characters.
func (o *Operations) checkScope(a Actor, s, old *oauth.Scope) error {
	d := s.Description
	switch {
	case !client.ValidScope(s.Name):
		return fault.InvalidField("name",
			"%q cannot name a scope: use ASCII without spaces, quotes and backslashes (RFC 6749 section 3.3)", s.Name)
	case old.Name == "" && (oauth.IsAdminScope(s.Name) || identity.ShapedLikeID(s.Name)):
		return fault.InvalidField("name", "%q cannot name a scope: names that begin with admin: belong to the "+
			"management API, and others must not have the form of an id", s.Name)
	case d == "" || len(d) > maxScopeDescription:
		return fault.InvalidField("description", "the description of a scope has 1 to %d bytes of text", maxScopeDescription)
	}
	if what := identity.InvalidText(d); what != "" && d != old.Description {
		return fault.InvalidField("description",
			"the description of a scope contains %s; remove it, or type the text again", what)
	}
	if old.Name == "" {
		if err := checkAddress("name", s.Name, "scope"); err != nil {
			return err
		}
	}
	return o.checkScopeRules(a, s, old)
}

// checkScopeRules checks what a scope requires, its role and its icon. The scopes that it requires
// come in the order of their names.
func (o *Operations) checkScopeRules(a Actor, s, old *oauth.Scope) error {
	s.Requires = slices.Compact(slices.Sorted(slices.Values(s.Requires)))
	if old.System && (!slices.Equal(s.Requires, old.Requires) || s.Role != old.Role) {
		return fault.InvalidField("requires",
			"what the scope %s means is built in; only its text, icon and default can be changed", s.Name)
	}
	defs := o.definitions()
	for _, name := range s.Requires {
		if defs.Scopes[name] == nil {
			return fault.InvalidField("requires", "there is no scope %.80q%s; define it first", name,
				didYouMean(a.nearest(ScopeScopesRead, name, slices.Sorted(maps.Keys(defs.Scopes)))))
		}
	}
	if defs.Closure(s.Requires...)[s.Name] {
		return fault.InvalidField("requires", "the scope %s would require itself", s.Name)
	}
	if s.Role != old.Role && s.Role != "" && defs.Roles[s.Role] == nil {
		return fault.InvalidField("role", "there is no role %.80q%s; define it first", s.Role,
			didYouMean(a.nearest(ScopeRolesRead, s.Role, slices.Sorted(maps.Keys(defs.Roles)))))
	}
	if s.Icon != old.Icon && s.Icon != "" && !slices.Contains(oauth.ScopeIcons(), s.Icon) {
		return fault.InvalidField("icon", "there is no icon %.80q; use one of %s", s.Icon,
			strings.Join(oauth.ScopeIcons(), ", "))
	}
	return nil
}

// didYouMean returns a question about a name, to be put into a sentence, or "" without one.
func didYouMean(near string) string {
	if near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}

// UpdateScope changes fields of a scope. Where nothing differs, nothing is stored or recorded.
func (o *Operations) UpdateScope(ctx context.Context, a Actor, name string, p ScopePatch) (*oauth.Scope, error) {
	if err := o.authorize(a, ScopeScopesWrite); err != nil {
		return nil, err
	}
	old, err := o.scope(name)
	if err != nil {
		return nil, err
	}
	s := *old
	p.Apply(ScopeFields(), &s)
	if err := o.checkScope(a, &s, old); err != nil {
		return nil, err
	}
	differ := field.Differences(ScopeFields(), old, &s)
	if err := CheckVersion(p.IfVersion, old.Version, differ); err != nil {
		return nil, err
	}
	if len(differ) == 0 {
		return old, nil
	}
	ev := scopeEvent(a, audit.ScopeUpdated, s.Name, o.parts.Now())
	ev.Changes = field.Changes(ScopeFields(), old, &s)
	ev.Guard = o.covers(a, ScopeScopesWrite, ofScopes(s.Name), ofScopes(s.Requires...))
	return &s, o.store.UpdateScopeAt(ctx, p.IfVersion, old, &s, ev)
}

// CanDeleteScope returns why a scope cannot be deleted, or nil.
func (o *Operations) CanDeleteScope(_ context.Context, a Actor, name string) error {
	if err := o.authorize(a, ScopeScopesWrite); err != nil {
		return err
	}
	_, err := o.deletableScope(a, name)
	return err
}

// deletableScope returns a scope that is not built in and that no route names.
func (o *Operations) deletableScope(a Actor, name string) (*oauth.Scope, error) {
	s, err := o.scope(name)
	if err != nil {
		return nil, err
	}
	if s.System {
		return nil, builtInScope(s)
	}
	routes, err := o.routesWith(func(r *access.Route) bool {
		return len(r.Issuers) == 0 && slices.Contains(r.Scopes, s.Name)
	})
	if err != nil {
		return nil, err
	}
	use := ScopeUse{Routes: HoldersOf(routes).visible(a, ScopeRoutesRead)}
	return s, use.denial(s.Name)
}

// ScopeUse returns what names a scope, for a page that asks before the scope is deleted; names only
// of what the actor may read. It returns fault.Conflict for a built-in one, which is never deleted.
func (o *Operations) ScopeUse(ctx context.Context, a Actor, name string) (*ScopeUse, error) {
	if err := o.authorize(a, ScopeScopesWrite); err != nil {
		return nil, err
	}
	s, err := o.scope(name)
	if err != nil {
		return nil, err
	}
	if s.System {
		return nil, builtInScope(s)
	}
	return o.scopeUse(ctx, a, s.Name)
}

func builtInScope(s *oauth.Scope) error {
	return fault.New(fault.Conflict,
		"scope %s is built in and cannot be deleted; it has no effect until a client may request it", s.Name)
}

// DeleteScope deletes a scope that no client, role, route or other scope names. What people have
// allowed and what was granted loses it, so that nothing has a later scope of the same name. The
// built-in scopes cannot be deleted. A version other than 0 is the one that the scope must have.
func (o *Operations) DeleteScope(ctx context.Context, a Actor, name string, version int64) (*oauth.Scope, error) {
	if err := o.authorize(a, ScopeScopesWrite); err != nil {
		return nil, err
	}
	s, err := o.deletableScope(a, name)
	if err != nil {
		return nil, err
	}
	ev := scopeEvent(a, audit.ScopeDeleted, s.Name, o.parts.Now())
	ev.Guard = o.covers(a, ScopeScopesWrite, ofScopes(s.Name))
	return s, o.heldScope(ctx, a, s.Name, o.store.DeleteScopeAt(ctx, version, s.Name, ev))
}

func scopeEvent(a Actor, t audit.Type, name string, now time.Time) audit.Event {
	ev := a.event(t, now)
	ev.TargetType, ev.TargetID = audit.TargetScope, name
	ev.Detail = map[string]string{"scope": name}
	return ev
}
