package cli

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// scopeCommands manage what clients can request.
type scopeCommands struct {
	Create scopeCreate `cmd:"" help:"Define a scope."`
	List   scopeList   `cmd:"" aliases:"ls" help:"List the scopes."`
	Show   scopeShow   `cmd:"" help:"Show one scope, and what is granted with it."`
	Update scopeUpdate `cmd:"" help:"Change a scope. Only what is named changes."`
	Delete scopeDelete `cmd:"" aliases:"rm" help:"Delete a scope that no client, role, route or other scope names."`
}

func newScopeCommands() *scopeCommands {
	fields := admin.ScopeFields()
	return &scopeCommands{
		Create: scopeCreate{
			fieldFlags: fieldFlags[oauth.Scope]{fields: fields, required: []string{"description"}},
		},
		Update: scopeUpdate{fieldFlags: fieldFlags[oauth.Scope]{fields: fields}},
	}
}

// scopeMembers returns a scope as JSON.
func scopeMembers(s *oauth.Scope) object {
	doc := append(object{{"name", s.Name}}, fieldMembers(admin.ScopeFields(), s)...)
	return append(doc, object{{"system", s.System}, {"created_at", timestamp{s.CreatedAt}}}...)
}

// noScope adds where to look to the error for a scope that does not exist.
func noScope(err error) error { return withHint(err, fault.NotFound, "see %s scope list", program) }

// scopeCreate defines a scope.
type scopeCreate struct {
	Name string `arg:"" help:"The name, such as metrics:read."`
	fieldFlags[oauth.Scope]
}

// Run stores the scope.
func (f *scopeCreate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		s, err := ops.CreateScope(ctx, a, f.Name, p)
		if err != nil {
			err = withHint(err, fault.Conflict, "run %s scope update", program)
			return f.explain(err)
		}
		return c.done(scopeMembers(s), "Scope %s is created.", s.Name)
	})
}

// scopeList lists the scopes.
type scopeList struct{}

// Run prints all scopes by name.
func (*scopeList) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		scopes, err := ops.Scopes(ctx, a)
		if err != nil {
			return err
		}
		docs := make([]object, 0, len(scopes))
		for i := range scopes {
			docs = append(docs, scopeMembers(&scopes[i]))
		}
		return showList(c, docs, len(docs), func(s *table) {
			s.row("NAME", "DEFAULT", "SYSTEM", "DESCRIPTION")
			for _, sc := range scopes {
				s.row(sc.Name, yesNo(sc.Default), yesNo(sc.System), sc.Description)
			}
		})
	})
}

// scopeRef names a scope.
type scopeRef struct {
	Name string `arg:"" name:"scope" help:"The scope's name."`
}

// scopeShow shows a scope.
type scopeShow struct{ scopeRef }

// Run prints the scope.
func (f *scopeShow) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		x, err := ops.Scope(ctx, a, f.Name)
		if err != nil {
			return noScope(err)
		}
		return c.show(scopeMembers(x), func(s *table) {
			s.row("name", x.Name)
			s.row("description", x.Description)
			s.row("default", yesNo(x.Default))
			s.row("system", yesNo(x.System))
			for i, name := range x.Requires {
				s.row([]string{"requires", ""}[min(i, 1)], name)
			}
			s.pair("role", x.Role)
			s.pair("icon", x.Icon)
			s.pair("created_at", timestamp{x.CreatedAt}.String())
		})
	})
}

// scopeUpdate changes a scope.
type scopeUpdate struct {
	scopeRef
	fieldFlags[oauth.Scope]
}

// Run stores the changed scope.
func (f *scopeUpdate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		s, err := ops.UpdateScope(ctx, a, f.Name, p)
		if err != nil {
			return noScope(f.explain(err))
		}
		return c.done(scopeMembers(s), "Scope %s is updated.", s.Name)
	})
}

// scopeDelete deletes a scope.
type scopeDelete struct {
	scopeRef
	Yes bool `short:"y" help:"Do not ask for confirmation."`
}

// Run deletes the scope after confirmation.
func (f *scopeDelete) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		if err := ops.CanDeleteScope(ctx, a, f.Name); err != nil {
			return noScope(err)
		}
		if err := c.confirm(f.Yes, "scope", f.Name); err != nil {
			return err
		}
		s, err := ops.DeleteScope(ctx, a, f.Name, 0)
		if err != nil {
			return noScope(err)
		}
		return c.done(map[string]string{"name": s.Name, "result": "deleted"}, "Scope %s is deleted.", s.Name)
	})
}
