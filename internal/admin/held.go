package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// MaxHolders is how many things of a kind Holders names and counts.
const MaxHolders = 20

// Holders are things of one kind that have or name another thing, so that it cannot be deleted.
type Holders struct {
	Names []string // nil where the actor may not read things of this kind
	N     int      // how many there are, up to MaxHolders
}

// HoldersOf returns things with names.
func HoldersOf(names []string) Holders { return Holders{Names: names, N: len(names)} }

// visible returns the holders without their names, unless the actor may read things of their kind.
func (h Holders) visible(a Actor, read Scope) Holders {
	if !a.Can(read) {
		h.Names = nil
	}
	return h
}

// subject returns the holders for a sentence, by the nouns for one and for many: the first of those
// that have names, or how many there are; "" if there is none.
func (h Holders) subject(one, many string) string {
	switch {
	case h.N == 0:
		return ""
	case len(h.Names) > 0:
		return "the " + one + " " + h.Names[0]
	case h.N == 1:
		return "1 " + one
	case h.N >= MaxHolders:
		return fmt.Sprintf("%d or more %s", MaxHolders, many)
	}
	return fmt.Sprintf("%d %s", h.N, many)
}

// held returns the error for a thing that cannot be deleted while something has or names it.
func held(format string, args ...any) error {
	e := fault.New(fault.Conflict, format, args...)
	e.Reason = ReasonHeld
	return e
}

// ScopeUse is what names a scope, so that it cannot be deleted.
type ScopeUse struct {
	Clients Holders
	Roles   Holders
	Scopes  Holders // that require it
	Routes  Holders // by their addresses
}

// None reports whether nothing names the scope.
func (u *ScopeUse) None() bool { return u.Clients.N+u.Roles.N+u.Scopes.N+u.Routes.N == 0 }

// denial returns the error for a scope that something names, or nil.
func (u *ScopeUse) denial(name string) error {
	return namedBy("scope", name, u.Routes.subject("route", "routes"), u.Clients.subject("client", "clients"),
		u.Roles.subject("role", "roles"), u.Scopes.subject("scope", "scopes"))
}

// RoleUse lists the users, scopes, clients and routes that use a role. While there is one, the role
// cannot be deleted.
type RoleUse struct {
	People  int // who have it, up to MaxTotal and one more
	Clients Holders
	Scopes  Holders // for people with the role
	Routes  Holders // by their addresses
}

// denial returns the error for a role that somebody has or something names, or nil.
func (u *RoleUse) denial(name string) error {
	switch {
	case u.People > MaxTotal:
		return held("more than %d people have the role %s; take it from them first", MaxTotal, name)
	case u.People == 1:
		return held("1 person has the role %s; take it from them first", name)
	case u.People > 0:
		return held("%d people have the role %s; take it from them first", u.People, name)
	}
	return namedBy("role", name, u.Routes.subject("route", "routes"), u.Clients.subject("client", "clients"),
		u.Scopes.subject("scope", "scopes"))
}

// namedBy returns the error for a thing that others name, the first of those that are not "", or
// nil if none do.
func namedBy(what, name string, others ...string) error {
	by := cmp.Or(others...)
	if by == "" {
		return nil
	}
	return held("the %s %s is named by %s; change that first", what, name, by)
}

// scopeUse returns what names a scope, as far as the actor may know it.
func (o *Operations) scopeUse(ctx context.Context, a Actor, name string) (*ScopeUse, error) {
	use, err := o.store.ScopeUse(ctx, name, MaxHolders)
	if err != nil {
		return nil, err
	}
	routes, err := o.routesWith(func(r *access.Route) bool {
		return len(r.Issuers) == 0 && slices.Contains(r.Scopes, name)
	})
	return &ScopeUse{
		Clients: use.Clients.visible(a, ScopeClientsRead),
		Roles:   use.Roles.visible(a, ScopeRolesRead),
		Scopes:  use.Scopes.visible(a, ScopeScopesRead),
		Routes:  HoldersOf(routes).visible(a, ScopeRoutesRead),
	}, err
}

// roleUse returns what uses a role. Names are included only of what the actor may read.
func (o *Operations) roleUse(ctx context.Context, a Actor, name string) (*RoleUse, error) {
	use, err := o.store.RoleUse(ctx, name, MaxHolders)
	if err != nil {
		return nil, err
	}
	routes, err := o.routesWith(func(r *access.Route) bool { return slices.Contains(r.Roles, name) })
	return &RoleUse{
		People:  use.People,
		Clients: use.Clients.visible(a, ScopeClientsRead),
		Scopes:  use.Scopes.visible(a, ScopeScopesRead),
		Routes:  HoldersOf(routes).visible(a, ScopeRoutesRead),
	}, err
}

// routesWith returns the addresses of up to MaxHolders routes of a kind.
func (o *Operations) routesWith(some func(*access.Route) bool) (addresses []string, err error) {
	set, err := o.routeSet()
	if err != nil {
		return nil, err
	}
	for i := range set.all {
		if r := &set.all[i]; some(r) && len(addresses) < MaxHolders {
			addresses = append(addresses, set.describe(r).Address)
		}
	}
	return addresses, nil
}

// heldScope returns, for a change of a scope that storage has refused because something names it,
// what that is. Other errors stay as they are.
func (o *Operations) heldScope(ctx context.Context, a Actor, name string, err error) error {
	if fault.Reason(err) != ReasonHeld {
		return err
	}
	use, failed := o.scopeUse(ctx, a, name)
	if failed != nil {
		return failed
	}
	return cmp.Or(use.denial(name), err) // nothing names it any more
}

// heldRole does for a role what heldScope does for a scope.
func (o *Operations) heldRole(ctx context.Context, a Actor, name string, err error) error {
	if fault.Reason(err) != ReasonHeld {
		return err
	}
	use, failed := o.roleUse(ctx, a, name)
	if failed != nil {
		return failed
	}
	return cmp.Or(use.denial(name), err)
}
