package cli

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// roleCommands manage what people with a role may do.
type roleCommands struct {
	Create roleCreate `cmd:"" help:"Define a role."`
	List   roleList   `cmd:"" aliases:"ls" help:"List the roles."`
	Show   roleShow   `cmd:"" help:"Show a role."`
	Update roleUpdate `cmd:"" help:"Change a role. Only what is named changes. Who has it follows within a second."`
	Delete roleDelete `cmd:"" aliases:"rm" help:"Delete a role that nobody has."`
}

func newRoleCommands() *roleCommands {
	fields := admin.RoleFields()
	return &roleCommands{
		Create: roleCreate{fieldFlags: fieldFlags[identity.Role]{fields: fields}},
		Update: roleUpdate{fieldFlags: fieldFlags[identity.Role]{fields: fields}},
	}
}

// roleMembers returns a role as JSON.
func roleMembers(r *identity.Role) object {
	doc := append(object{{"id", r.ID}, {"name", r.Name}}, fieldMembers(admin.RoleFields(), r)...)
	return append(doc, object{
		{"system", r.System},
		{"version", r.Version},
		{"created_at", timestamp{r.CreatedAt}},
		{"updated_at", timestamp{r.UpdatedAt}},
	}...)
}

// noRole adds where to look to the error for a role that does not exist.
func noRole(err error) error { return withHint(err, fault.NotFound, "see %s role list", program) }

// roleCreate defines a role.
type roleCreate struct {
	Name string `arg:"" help:"The name, such as helpdesk."`
	fieldFlags[identity.Role]
}

// Run stores the role.
func (f *roleCreate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		r, err := ops.CreateRole(ctx, a, f.Name, p)
		if err != nil {
			return f.explain(err)
		}
		return c.done(roleMembers(r), "Role %s is created. Give it with: %s user update USER --role %s",
			r.Name, program, r.Name)
	})
}

// roleList lists the roles.
type roleList struct{}

// Run prints all roles by name.
func (*roleList) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		roles, err := ops.ListRoles(ctx, a)
		if err != nil {
			return err
		}
		docs := make([]object, 0, len(roles))
		for i := range roles {
			docs = append(docs, roleMembers(&roles[i]))
		}
		return showList(c, docs, len(docs), func(s *table) {
			s.row("NAME", "SYSTEM", "SCOPES", "DESCRIPTION")
			for _, r := range roles {
				s.row(r.Name, yesNo(r.System), shortScopes(r.Scopes), r.Description)
			}
		})
	})
}

// shortScopes returns scopes in one cell of a table, shortened where they are many.
func shortScopes(scopes []string) string {
	const most = 3
	if len(scopes) <= most {
		return strings.Join(scopes, " ")
	}
	return strings.Join(scopes[:most], " ") + " …"
}

// roleRef names a role.
type roleRef struct {
	Name string `arg:"" name:"role" help:"The role's name."`
}

// roleShow shows a role.
type roleShow struct{ roleRef }

// Run prints the role.
func (f *roleShow) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		r, err := ops.Role(ctx, a, f.Name)
		if err != nil {
			return noRole(err)
		}
		return c.show(roleMembers(r), func(s *table) {
			s.row("name", r.Name)
			s.row("id", r.ID)
			s.row("description", r.Description)
			s.row("system", yesNo(r.System))
			for i, scope := range r.Scopes {
				s.row([]string{"scopes", ""}[min(i, 1)], scope)
			}
		})
	})
}

// roleUpdate changes a role.
type roleUpdate struct {
	roleRef
	fieldFlags[identity.Role]
}

// Run stores the changed role.
func (f *roleUpdate) Run(ctx context.Context, c *call) error {
	p, err := f.patch()
	if err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		r, err := ops.UpdateRole(ctx, a, f.Name, p)
		if err != nil {
			return noRole(f.explain(err))
		}
		return c.done(roleMembers(r), "Role %s is updated.", r.Name)
	})
}

// roleDelete deletes a role.
type roleDelete struct {
	roleRef
	Yes bool `short:"y" help:"Do not ask for confirmation."`
}

// Run deletes the role after confirmation.
func (f *roleDelete) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		if err := ops.CanDeleteRole(ctx, a, f.Name); err != nil {
			return noRole(err)
		}
		if err := c.confirm(f.Yes, "role", f.Name); err != nil {
			return err
		}
		r, err := ops.DeleteRole(ctx, a, f.Name, 0)
		if err != nil {
			return noRole(err)
		}
		return c.done(map[string]string{"name": r.Name, "result": "deleted"}, "Role %s is deleted.", r.Name)
	})
}
