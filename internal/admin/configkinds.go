package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/plan"
)

// configKind is one kind of thing in configuration documents.
type configKind interface {
	section() *plan.Section
	scopes() (read, write Scope)
	// guard decides, in the transaction, whether an actor may apply a list with its labels.
	guard(c *comparison) audit.Guard
	// compare plans the changes of a list on the store of the operations, which is a draft.
	compare(ctx context.Context, c *comparison, l *plan.List) error
	// prune plans the deletions of what carries the label and is not in the list.
	prune(ctx context.Context, c *comparison, l *plan.List) error
	entries(ctx context.Context, o *Operations, labels map[ConfigMark]string, label string) ([]plan.Entry, error)
}

// describedKind is a kind whose things are values of T.
type describedKind[T any] struct {
	spec        plan.Section
	read, write Scope
	fields      []field.Field[T]
	list        func(ctx context.Context, o *Operations) ([]*T, error)
	key         func(*T) string
	mark        func(*T) string // names this thing and no later one with the same key
	state       func(*T) string // changes with every change
	fixed       func(*T) bool   // it is not deleted by documents
	hidden      func(*T) bool   // it is not exported
	remark      func(*T) string // of an export
	order       func(l *plan.List) []*plan.Item
	deletions   func(all []*T) []*T // in an order in which they can be deleted
	// postpone takes from a patch what needs things that come later, and plans it for the end.
	postpone func(c *comparison, i *plan.Item, p *field.Patch[T])

	create func(ctx context.Context, o *Operations, a Actor, i *plan.Item, p field.Patch[T]) (*T, *IssuedSecret, error)
	update func(ctx context.Context, o *Operations, a Actor, t *T, p field.Patch[T]) (*T, error)
	remove func(ctx context.Context, o *Operations, a Actor, t *T) error
	// subjects returns what the guard of an update of a thing that stays as it is covers.
	subjects func(t *T) []subject
	secret   string // the member that refers to its secret, or ""
	// extra plans a change that is not in the list of fields, such as a secret; nil if none is.
	extra func(c *comparison, i *plan.Item, t *T) (*extraChange, error)
}

// extraChange is a change that is not in the list of fields, such as a new secret.
type extraChange struct {
	field plan.FieldChange
	state string
	do    func(ctx context.Context, o *Operations, a Actor) error
}

func (k *describedKind[T]) section() *plan.Section      { return &k.spec }
func (k *describedKind[T]) scopes() (read, write Scope) { return k.read, k.write }

func (k *describedKind[T]) guard(c *comparison) audit.Guard {
	return c.o.covers(c.a, k.write, c.claimed[k.spec.Name]...)
}

// configKinds returns the kinds in the order in which they are created.
func (o *Operations) configKinds() []configKind {
	return []configKind{
		scopeKind(), roleKind(), clientKind(o.parts.Rules), o.routeKind(), webhookKind(),
	}
}

// ConfigSections returns the sections of configuration documents.
func ConfigSections(r client.Rules) []plan.Section {
	o := &Operations{parts: Parts{Rules: r}}
	var out []plan.Section
	for _, k := range o.configKinds() {
		out = append(out, *k.section())
	}
	return out
}

func scopeKind() configKind {
	return &describedKind[oauth.Scope]{
		spec: plan.Section{
			Name: "scopes", Noun: "scope", Key: "name", KeyHelp: "The name, such as orders:read.",
			Members: plan.Members(ScopeFields(), "name"),
		},
		read: ScopeScopesRead, write: ScopeScopesWrite,
		fields: ScopeFields(),
		list: func(_ context.Context, o *Operations) ([]*oauth.Scope, error) {
			return byKey(o.store.Scopes()), nil
		},
		key:    func(s *oauth.Scope) string { return s.Name },
		mark:   func(s *oauth.Scope) string { return s.ID },
		state:  func(s *oauth.Scope) string { return version(s.Version) },
		fixed:  func(s *oauth.Scope) bool { return s.System },
		hidden: func(s *oauth.Scope) bool { return oauth.IsAdminScope(s.Name) },
		order:  byRequirements,

		deletions: requiringFirst,
		postpone:  postponeRole,
		create: func(
			ctx context.Context, o *Operations, a Actor, i *plan.Item, p field.Patch[oauth.Scope],
		) (*oauth.Scope, *IssuedSecret, error) {
			s, err := o.CreateScope(ctx, a, i.Key, p)
			return s, nil, err
		},
		update: func(
			ctx context.Context, o *Operations, a Actor, s *oauth.Scope, p field.Patch[oauth.Scope],
		) (*oauth.Scope, error) {
			return o.UpdateScope(ctx, a, s.Name, p)
		},
		subjects: func(s *oauth.Scope) []subject {
			return []subject{ofScopes(s.Name), ofScopes(s.Requires...)}
		},
		remove: func(ctx context.Context, o *Operations, a Actor, s *oauth.Scope) error {
			return only(o.DeleteScope(ctx, a, s.Name, s.Version))
		},
	}
}

func roleKind() configKind {
	return &describedKind[identity.Role]{
		spec: plan.Section{
			Name: "roles", Noun: "role", Key: "name", KeyHelp: "The name, such as support.",
			Members: plan.Members(RoleFields(), "name"),
		},
		read: ScopeRolesRead, write: ScopeRolesWrite,
		fields: RoleFields(),
		list: func(_ context.Context, o *Operations) ([]*identity.Role, error) {
			return byKey(o.store.RoleDefinitions()), nil
		},
		key:    func(r *identity.Role) string { return r.Name },
		mark:   func(r *identity.Role) string { return r.ID },
		state:  func(r *identity.Role) string { return version(r.Version) },
		fixed:  func(r *identity.Role) bool { return r.System },
		hidden: func(r *identity.Role) bool { return r.System },
		create: func(
			ctx context.Context, o *Operations, a Actor, i *plan.Item, p field.Patch[identity.Role],
		) (*identity.Role, *IssuedSecret, error) {
			r, err := o.CreateRole(ctx, a, i.Key, p)
			return r, nil, err
		},
		update: func(
			ctx context.Context, o *Operations, a Actor, r *identity.Role, p field.Patch[identity.Role],
		) (*identity.Role, error) {
			return o.UpdateRole(ctx, a, r.Name, p)
		},
		subjects: func(r *identity.Role) []subject {
			return []subject{ofRoles(r.Name), ofScopes(r.Scopes...)}
		},
		remove: func(ctx context.Context, o *Operations, a Actor, r *identity.Role) error {
			return only(o.DeleteRole(ctx, a, r.Name, r.Version))
		},
	}
}

// routesSection is the name of the list of routes.
const routesSection = "routes"

func (o *Operations) routeKind() configKind {
	fields := access.RouteFields()
	return &describedKind[access.Route]{
		spec: plan.Section{
			Name: routesSection, Noun: "route", Key: "name", KeyHelp: "The name, which no other route has.",
			Members: plan.Members(fields, "name"),
		},
		read: ScopeRoutesRead, write: ScopeRoutesWrite,
		fields: fields,
		list: func(_ context.Context, o *Operations) ([]*access.Route, error) {
			s, err := o.routeSet()
			if err != nil {
				return nil, err
			}
			var out []*access.Route
			for i := range s.all {
				r := s.all[i]
				r.Name = s.describe(&r).Name
				out = append(out, &r)
			}
			return out, nil
		},
		key:    func(r *access.Route) string { return r.Name },
		mark:   func(r *access.Route) string { return r.ID },
		state:  func(r *access.Route) string { return version(r.Revision) },
		fixed:  func(r *access.Route) bool { return r.FromFile() },
		hidden: func(r *access.Route) bool { return r.FromFile() },
		create: func(
			ctx context.Context, o *Operations, a Actor, i *plan.Item, p RoutePatch,
		) (*access.Route, *IssuedSecret, error) {
			f, _ := field.Named(fields, "name")
			if err := p.Set(f, i.Key); err != nil {
				return nil, nil, err
			}
			r, err := o.CreateRoute(ctx, a, p)
			return routeOf(r), nil, err
		},
		update: func(
			ctx context.Context, o *Operations, a Actor, r *access.Route, p RoutePatch,
		) (*access.Route, error) {
			out, err := o.UpdateRoute(ctx, a, r.ID, p)
			return routeOf(out), err
		},
		subjects: func(r *access.Route) []subject { return []subject{ofRoles(r.Roles...)} },
		remove: func(ctx context.Context, o *Operations, a Actor, r *access.Route) error {
			return only(o.DeleteRoute(ctx, a, r.ID, r.Revision))
		},
	}
}

func routeOf(r *Route) *access.Route {
	if r == nil {
		return nil
	}
	return &r.Route
}

// only returns the error of an operation.
func only[T any](_ T, err error) error { return err }

// requiringFirst returns scopes, each before those that it requires.
func requiringFirst(all []*oauth.Scope) []*oauth.Scope {
	named := map[string]*oauth.Scope{}
	for _, s := range all {
		named[s.Name] = s
	}
	var out []*oauth.Scope
	done := map[string]bool{}
	var add func(s *oauth.Scope)
	add = func(s *oauth.Scope) {
		if s == nil || done[s.Name] {
			return
		}
		done[s.Name] = true
		for _, name := range s.Requires {
			add(named[name])
		}
		out = append(out, s)
	}
	for _, s := range all {
		add(s)
	}
	slices.Reverse(out)
	return out
}

// postponeRole sets the role of a scope at the end if the document defines the role: a role names
// scopes, and a scope may name a role.
func postponeRole(c *comparison, i *plan.Item, p *field.Patch[oauth.Scope]) {
	name := p.Values.Role
	roles := c.document.List("roles")
	if name == "" || c.o.store.RoleDefinitions()[name] != nil || roles == nil || roles.Item(name) == nil {
		return
	}
	p.Names = slices.DeleteFunc(p.Names, func(n string) bool { return n == "role" })
	p.Values.Role = ""
	shown := plan.FieldChange{Field: "role", After: name}
	if v := i.Value("role"); v != nil && v.Hidden {
		shown = plan.FieldChange{Field: "role", Hidden: true}
	}
	c.later = append(c.later, func(ctx context.Context) error {
		rest := field.Patch[oauth.Scope]{Values: oauth.Scope{Role: name}, Names: []string{"role"}}
		if _, err := c.o.UpdateScope(ctx, c.a, i.Key, rest); err != nil {
			return i.Located(err)
		}
		c.add(plan.Change{
			Action: plan.Update, Section: "scopes", Key: i.Shown(), Line: i.Line,
			Fields: []plan.FieldChange{shown},
		}, func(ctx context.Context, o *Operations, a Actor, _ *AppliedConfig) error {
			return only(o.UpdateScope(ctx, a, i.Key, rest))
		})
		return nil
	})
}

func version(n int64) string { return strconv.FormatInt(n, 10) }

// byKey returns the values of a map in the order of their keys.
func byKey[T any](all map[string]*T) []*T {
	var out []*T
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name])
	}
	return out
}

func pointers[T any](all []T) []*T {
	var out []*T
	for i := range all {
		out = append(out, &all[i])
	}
	return out
}

// byRequirements returns the scopes of a list, each after those of the list that it requires.
func byRequirements(l *plan.List) []*plan.Item {
	var out []*plan.Item
	done := map[string]bool{}
	var add func(i *plan.Item)
	add = func(i *plan.Item) {
		if i == nil || done[i.Key] {
			return
		}
		done[i.Key] = true
		if v := i.Value("requires"); v != nil {
			for _, name := range v.Texts {
				add(l.Item(name))
			}
		}
		out = append(out, i)
	}
	for i := range l.Items {
		add(&l.Items[i])
	}
	return out
}

// sameJSON reports whether two documents say the same.
func sameJSON(a, b json.RawMessage) bool {
	return bytes.Equal(canonicalJSON(a), canonicalJSON(b))
}

func canonicalJSON(raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return raw
	}
	out, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return out
}

// patchOfItem returns what an item says about the fields of a thing, without those that are left
// open.
func patchOfItem[T any](c *comparison, s *plan.Section, fields []field.Field[T], i *plan.Item) (field.Patch[T], error) {
	var p field.Patch[T]
	for j := range i.Values {
		v := &i.Values[j]
		f, ok := field.Named(fields, v.Member.Name)
		switch {
		case !ok: // no field; see describedKind.extra
			continue
		case v.Open != "":
			c.plan.Open = append(c.plan.Open, plan.Open{
				Section: s.Name, Key: i.Shown(), Field: v.Member.Name, Reference: v.Open,
			})
			continue
		}
		if err := p.Set(f, v.Texts...); err != nil {
			return p, i.Located(err)
		}
	}
	return p, nil
}

// ambiguous returns the error for a key that several things have.
func ambiguous(noun, key string) error {
	return fault.New(fault.Conflict, "several %ss are called %.80q, and a document cannot tell them apart; "+
		"rename one of them", noun, strings.ToValidUTF8(key, ""))
}
