package oauth

import (
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// ScopeAdmin is the scope that covers all scopes of the management API.
const ScopeAdmin = "admin"

// IsAdminScope reports whether a scope opens the management API.
func IsAdminScope(name string) bool {
	return name == ScopeAdmin || strings.HasPrefix(name, ScopeAdmin+":")
}

// ScopeIcons returns the names of the icons that a scope may have on the consent page.
func ScopeIcons() []string {
	return []string{
		"user", "home", "mail", "mobile", "laptop", "terminal", "pin", "key", "shield", "clock", "apps",
		"box", "check", "plus",
	}
}

// Rights is a set of scopes together with all that these require. ScopeAdmin in it stands for
// everything.
type Rights map[string]bool

// Has reports whether a scope is among the rights.
func (r Rights) Has(name string) bool { return r[name] || r[ScopeAdmin] }

// Missing returns the first of other rights, in the order of their names, that is not among these,
// or "".
func (r Rights) Missing(other Rights) string {
	missing := ""
	for name := range other {
		if !r.Has(name) && (missing == "" || name < missing) {
			missing = name
		}
	}
	return missing
}

// And returns the rights that are in both sets.
func (r Rights) And(other Rights) Rights {
	out := Rights{}
	for name := range r {
		if other.Has(name) {
			out[name] = true
		}
	}
	for name := range other {
		if r.Has(name) {
			out[name] = true
		}
	}
	return out
}

// Definitions are the scopes and the roles that are defined, by name. Never change the maps.
type Definitions struct {
	Scopes map[string]*Scope
	Roles  map[string]*identity.Role
}

// Closure returns the scopes with those names and all that they require.
func (d Definitions) Closure(names ...string) Rights {
	out := Rights{}
	var add func(name string)
	add = func(name string) {
		if out[name] {
			return
		}
		out[name] = true
		if s := d.Scopes[name]; s != nil {
			for _, required := range s.Requires {
				add(required)
			}
		}
	}
	for _, name := range names {
		add(name)
	}
	return out
}

// RoleRights returns what people with these roles may do beyond everybody: the scopes of the roles,
// and those that name one of the roles. A role that is not defined has no scopes.
func (d Definitions) RoleRights(roles []string) Rights {
	if slices.Contains(roles, identity.RoleSuperAdmin) {
		return Rights{ScopeAdmin: true}
	}
	var names []string
	for _, name := range roles {
		if role := d.Roles[name]; role != nil {
			names = append(names, role.Scopes...)
		}
	}
	for name, s := range d.Scopes {
		if s.Role != "" && slices.Contains(roles, s.Role) {
			names = append(names, name)
		}
	}
	return d.Powers(names...)
}

// restricted reports whether a scope means something that not everybody may hand out, by itself.
func (d Definitions) restricted(name string) bool {
	s := d.Scopes[name]
	return IsAdminScope(name) || s != nil && s.Role != ""
}

// Powers returns the scopes with those names and all that they require, without those that
// everybody may hand out.
func (d Definitions) Powers(names ...string) Rights {
	out := d.Closure(names...)
	for name := range out {
		if !d.restricted(name) {
			delete(out, name)
		}
	}
	return out
}

// ForPerson returns the scopes that a person with these roles may hand to an app, of those in
// names. The scopes of the management API, those that name a role, and those that require one of
// these are for people whose roles have them. Of the scope of the whole management API, people
// whose roles have a part of it hand out that part. It returns names itself where nothing is taken
// away.
func (d Definitions) ForPerson(roles, names []string) []string {
	if !d.Special(names) {
		return names
	}
	rights := d.RoleRights(roles)
	out := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return d.special(name) && rights.Missing(d.Powers(name)) != ""
	})
	if slices.Contains(names, ScopeAdmin) && !rights[ScopeAdmin] {
		for _, name := range slices.Sorted(maps.Keys(rights)) {
			if IsAdminScope(name) && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// Special reports whether there is a scope in names that not everybody may hand to an app, or that
// may require one.
func (d Definitions) Special(names []string) bool { return slices.ContainsFunc(names, d.special) }

func (d Definitions) special(name string) bool {
	return d.restricted(name) || d.Scopes[name] != nil && len(d.Scopes[name].Requires) > 0
}

// WithRequired returns names followed by the scopes that these require and that are not among them,
// in the order of their names. It returns names itself where there are none.
func (d Definitions) WithRequired(names []string) []string {
	requires := func(name string) bool { return d.Scopes[name] != nil && len(d.Scopes[name].Requires) > 0 }
	if !slices.ContainsFunc(names, requires) {
		return names
	}
	out := slices.Clone(names)
	for _, name := range slices.Sorted(maps.Keys(d.Closure(names...))) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// ClientPowers returns what a client confers on whoever controls it: the scopes that are not for
// everybody, which it may get for itself, or which a person may hand to it.
func (d Definitions) ClientPowers(c *client.Client) Rights { return d.Powers(c.Scopes...) }
