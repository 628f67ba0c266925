package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var roleTable = table[identity.Role]{
	name: "roles",
	columns: []column[identity.Role]{
		{"name", func(r *identity.Role) any { return &r.Name }},
		{"id", func(r *identity.Role) any { return &r.ID }},
		{"description", func(r *identity.Role) any { return &r.Description }},
		{"scopes", func(r *identity.Role) any { return spaceList{&r.Scopes} }},
		{"is_system", func(r *identity.Role) any { return &r.System }},
		{"version", func(r *identity.Role) any { return &r.Version }},
		{"created_at", func(r *identity.Role) any { return unixMillis{&r.CreatedAt} }},
		{"updated_at", func(r *identity.Role) any { return unixMillis{&r.UpdatedAt} }},
	},
}

var (
	selectRoles = "SELECT " + roleTable.list() + " FROM roles"
	insertRole  = roleTable.insert() + " ON CONFLICT (name) DO NOTHING"
	seedRole    = roleTable.insert() + " ON CONFLICT (name) DO UPDATE SET description = excluded.description," +
		" scopes = excluded.scopes, is_system = TRUE WHERE roles.scopes <> excluded.scopes OR roles.is_system = FALSE"
)

// hasRole returns the condition that the word in a parameter is one of a list of words.
func hasRole(column, param string) string {
	return "REPLACE(' ' || " + column + " || ' ', ' ' || " + param + " || ' ', '') <> ' ' || " + column + " || ' '"
}

// seedRoles creates the system roles that do not exist, and gives those that do the scopes of this
// version.
func (d *DB) seedRoles(ctx context.Context) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		changed := int64(0)
		for _, r := range admin.SystemRoles() {
			now := time.Now()
			r.ID, r.Version, r.CreatedAt, r.UpdatedAt = secret.NewID(now), 1, now, now
			n, err := tx.Exec(ctx, seedRole, roleTable.args(&r)...)
			if err != nil {
				return err
			}
			changed += n
		}
		if changed == 0 {
			return nil
		}
		return bump(ctx, tx, TopicRoles)
	})
}

// RoleDefinitions returns all roles by name, from memory. The map is shared and must not be
// changed.
func (d *DB) RoleDefinitions() map[string]*identity.Role { return *d.memory.roles.Load() }

// loadRoles replaces the roles in memory by those in the database.
func (d *DB) loadRoles(ctx context.Context) error {
	all, err := readRoles(ctx, d.sql)
	if err == nil {
		d.memory.roles.Store(&all)
	}
	return err
}

func readRoles(ctx context.Context, c sqldb.Conn) (map[string]*identity.Role, error) {
	all := make(map[string]*identity.Role)
	err := each(ctx, c, func(r sqldb.Row) error {
		role, err := roleTable.scan(r)
		all[role.Name] = role
		return err
	}, selectRoles)
	return all, err
}

// changeRoles does for roles what changeScopes does for scopes.
func (d *DB) changeRoles(
	ctx context.Context, ev []audit.Event, f func(tx sqldb.Tx) error, show func(map[string]*identity.Role),
) error {
	err := d.write(ctx, ev, func(tx sqldb.Tx) error {
		if err := lockAdmins(ctx, tx); err != nil {
			return err
		}
		if err := bump(ctx, tx, TopicRoles); err != nil {
			return err
		}
		return f(tx)
	})
	if err == nil && d.nested {
		show(d.RoleDefinitions())
	}
	if err == nil {
		d.committed(ctx)
	}
	return err
}

// CreateRole stores a new role. It returns Conflict if the name is taken, and Conflict with
// admin.ReasonHeld if somebody has its name already, who would get the scopes of now or later.
func (d *DB) CreateRole(ctx context.Context, r *identity.Role, ev ...audit.Event) error {
	custom := *r
	custom.System, custom.Version = false, 1
	return d.changeRoles(ctx, ev, func(tx sqldb.Tx) error {
		if err := roleFree(ctx, tx, custom.Name); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, insertRole, roleTable.args(&custom)...)
		if err == nil && n == 0 {
			err = fault.New(fault.Conflict, "there is a role %q already", r.Name)
		}
		return err
	}, func(all map[string]*identity.Role) { all[custom.Name] = &custom })
}

// UpdateRole stores the description and the scopes of a role where they differ in new and old. A
// role that is no longer in the state of old is a Conflict with admin.ReasonStale.
func (d *DB) UpdateRole(ctx context.Context, old, new *identity.Role, ev ...audit.Event) error {
	next := *old
	next.Description, next.Scopes = new.Description, slices.Clone(new.Scopes)
	if len(roleTable.differences(old, &next)) == 0 {
		return d.Record(ctx, ev...)
	}
	next.Version, next.UpdatedAt = old.Version+1, new.UpdatedAt
	return d.changeRoles(ctx, ev, func(tx sqldb.Tx) error {
		stays, err := exists(ctx, tx, "SELECT 1 FROM roles WHERE name = $1 AND version = $2 AND is_system = FALSE",
			old.Name, old.Version)
		if err != nil {
			return err
		}
		if !stays {
			return &fault.Error{
				Kind:   fault.Conflict,
				Reason: admin.ReasonStale,
				Text:   "the role has changed meanwhile; try again",
			}
		}
		n, err := roleTable.update(ctx, tx, old, &next)
		return requireOne(n, err, "role")
	}, func(all map[string]*identity.Role) { all[next.Name] = &next })
}

// DeleteRole deletes a role that nobody has. It returns Conflict with admin.ReasonHeld for one that
// a user has or a scope names, and Denied for a system role.
func (d *DB) DeleteRole(ctx context.Context, name string, ev ...audit.Event) error {
	return d.DeleteRoleAt(ctx, 0, name, ev...)
}

// DeleteRoleAt does what DeleteRole does, or returns Stale unless the role has a version; 0 is any.
func (d *DB) DeleteRoleAt(ctx context.Context, version int64, name string, ev ...audit.Event) error {
	return d.changeRoles(ctx, ev, func(tx sqldb.Tx) error {
		if err := atVersion(ctx, tx, roleTable.name, "name", name, version); err != nil {
			return asNotFound(err, "role")
		}
		if err := roleFree(ctx, tx, name); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, "DELETE FROM roles WHERE name = $1 AND is_system = FALSE", name)
		if err != nil || n > 0 {
			return err
		}
		found, err := exists(ctx, tx, "SELECT 1 FROM roles WHERE name = $1", name)
		if err == nil && found {
			return fault.New(fault.Denied, "the role %s belongs to the system and cannot be deleted", name)
		}
		return requireOne(0, err, "role")
	}, func(all map[string]*identity.Role) { delete(all, name) })
}

// RoleUse returns how many people have a role, up to admin.MaxTotal and one more, and up to limit
// clients and scopes each that name it.
func (d *DB) RoleUse(ctx context.Context, name string, limit int) (*admin.RoleUse, error) {
	return roleUse(ctx, d.sql, name, admin.MaxTotal+1, limit)
}

func roleUse(ctx context.Context, c sqldb.Conn, name string, people, limit int) (*admin.RoleUse, error) {
	out := &admin.RoleUse{}
	var errs [3]error
	errs[0] = c.Row(ctx, "SELECT COUNT(*) FROM (SELECT id FROM user_terms WHERE term = $1 LIMIT $2) found",
		identity.RoleTerm(clean(name)), int64(people)).Scan(&out.People)
	out.Clients, errs[1] = holders(ctx, c, "SELECT id FROM clients WHERE "+hasRole("roles", "$1"), name, limit)
	out.Scopes, errs[2] = holders(ctx, c, "SELECT name FROM scopes WHERE role = $1", name, limit)
	return out, errors.Join(errs[:]...)
}

// roleFree returns Conflict with admin.ReasonHeld if a user or a client has a role, or a scope
// names it. The error does not say which: not everybody may know it.
func roleFree(ctx context.Context, tx sqldb.Tx, name string) error {
	use, err := roleUse(ctx, tx, name, 1, 1)
	if err == nil && use.People+use.Clients.N+use.Scopes.N > 0 {
		err = held("the role %s is still in use; change that first", name)
	}
	return err
}

func held(format string, args ...any) error {
	e := fault.New(fault.Conflict, format, args...)
	e.Reason = admin.ReasonHeld
	return e
}
