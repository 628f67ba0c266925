package cli

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// scopeCommands manage what clients can ask for.
type scopeCommands struct {
	Create scopeCreate `cmd:"" help:"Define a scope."`
	List   scopeList   `cmd:"" help:"List the scopes."`
	Update scopeUpdate `cmd:"" help:"Change what is said of a scope."`
	Delete scopeDelete `cmd:"" help:"Delete a scope. Clients that may ask for it keep its name."`
}

// scopeView is a scope as the command line shows it.
type scopeView struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	Default     bool   `json:"default"`
	System      bool   `json:"system"`
	CreatedAt   when   `json:"created_at"`
}

func viewScope(s *oauth.Scope) scopeView {
	return scopeView{s.Name, s.Description, s.Default, s.System, when{s.CreatedAt}}
}

// scopeCreate defines a scope.
type scopeCreate struct {
	Name        string `arg:"" help:"The name, such as metrics:read."`
	Description string `required:"" help:"What people are told; completes \"This application wants to …\"."`
	Default     bool   `help:"Give it to clients that ask for no scope."`
}

// Run stores the scope.
func (f *scopeCreate) Run(ctx context.Context, c *call) error {
	now := c.Now()
	s := &oauth.Scope{Name: f.Name, Description: strings.TrimSpace(f.Description), Default: f.Default, CreatedAt: now}
	if err := checkScope(s); err != nil {
		return err
	}
	return c.with(ctx, func(p *Parts) error {
		if p.DB.Scopes()[f.Name] != nil {
			return fault.New(fault.Conflict, "there is a scope %q already; change it with %s scope update", f.Name, program)
		}
		return putScope(ctx, c, p, s, c.event(audit.ScopeCreated, now))
	})
}

func checkScope(s *oauth.Scope) error {
	switch {
	case !oauth.ValidScope(s.Name):
		return wrong("%q cannot name a scope: use ASCII without spaces, quotes and backslashes (RFC 6749 section 3.3)", s.Name)
	case s.Description == "" || !plainText(s.Description, maxName):
		return wrong("a scope's description has 1 to %d bytes of text", maxName)
	}
	return nil
}

func putScope(ctx context.Context, c *call, p *Parts, s *oauth.Scope, ev audit.Event) error {
	ev.Detail = map[string]string{"scope": s.Name}
	if err := p.DB.PutScope(ctx, s, ev); err != nil {
		return err
	}
	return c.done(viewScope(s), "Scope %s is stored.", s.Name)
}

// scopeList lists the scopes.
type scopeList struct{}

// Run prints all scopes by name.
func (*scopeList) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(p *Parts) error {
		var views []scopeView
		for _, s := range p.DB.Scopes() {
			views = append(views, viewScope(s))
		}
		slices.SortFunc(views, func(a, b scopeView) int { return cmp.Compare(a.Name, b.Name) })
		return showList(c, views, len(views), func(s *sheet) {
			s.row("NAME", "DEFAULT", "SYSTEM", "DESCRIPTION")
			for _, v := range views {
				s.row(v.Name, yesNo(v.Default), yesNo(v.System), v.Description)
			}
		})
	})
}

// scopeRef names a scope.
type scopeRef struct {
	Name string `arg:"" name:"scope" help:"The scope's name."`
}

func (r scopeRef) find(p *Parts) (*oauth.Scope, error) {
	s := p.DB.Scopes()[r.Name]
	if s == nil {
		return nil, fault.New(fault.NotFound, "there is no scope %q; see %s scope list", r.Name, program)
	}
	own := *s
	return &own, nil
}

// scopeUpdate changes a scope.
type scopeUpdate struct {
	scopeRef
	Description *string `help:"What people are told; completes \"This application wants to …\"."`
	Default     *bool   `negatable:"" help:"Give it to clients that ask for no scope."`
}

// Run stores the changed scope.
func (f *scopeUpdate) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(p *Parts) error {
		s, err := f.find(p)
		if err != nil {
			return err
		}
		if f.Description != nil {
			s.Description = strings.TrimSpace(*f.Description)
		}
		set(&s.Default, f.Default)
		if err := checkScope(s); err != nil {
			return err
		}
		return putScope(ctx, c, p, s, c.event(audit.ScopeUpdated, c.Now()))
	})
}

// scopeDelete deletes a scope.
type scopeDelete struct {
	scopeRef
	Yes bool `help:"Do not ask."`
}

// Run deletes the scope once that is confirmed.
func (f *scopeDelete) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(p *Parts) error {
		s, err := f.find(p)
		if err != nil {
			return err
		}
		if s.System {
			return fault.New(fault.Denied, "scope %s belongs to OpenID Connect and cannot be deleted; no client needs to be allowed it", s.Name)
		}
		if err := c.confirm(f.Yes, "scope", s.Name); err != nil {
			return err
		}
		ev := c.event(audit.ScopeDeleted, c.Now())
		ev.Detail = map[string]string{"scope": s.Name}
		if err := p.DB.DeleteScope(ctx, s.Name, ev); err != nil {
			return err
		}
		return c.done(map[string]string{"name": s.Name, "result": "deleted"}, "Scope %s is deleted.", s.Name)
	})
}
