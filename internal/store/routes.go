package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var routeTable = table[access.Route]{
	name: "routes",
	columns: []column[access.Route]{
		{"id", func(r *access.Route) any { return &r.ID }},
		{"definition", func(r *access.Route) any { return definitionJSON{r} }},
		{"created_at", func(r *access.Route) any { return unixMillis{&r.CreatedAt} }},
		{"updated_at", func(r *access.Route) any { return unixMillis{&r.UpdatedAt} }},
		{"version", func(r *access.Route) any { return &r.Revision }},
	},
}

var (
	insertRoute = routeTable.insert()
	selectRoute = "SELECT " + routeTable.list() + " FROM routes"
)

// definitionJSON is a route as a JSON object, without the fields that have columns of their own.
type definitionJSON struct{ r *access.Route }

// Scan reads a definition. A member that this release does not know may be a rule, and without it
// the route would let requests pass that it should deny: so it is an error.
func (c definitionJSON) Scan(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: a route cannot be read from %T", v)
	}
	var route access.Route
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&route); err != nil {
		return err
	}
	route.ID, route.CreatedAt, route.UpdatedAt, route.Revision = c.r.ID, c.r.CreatedAt, c.r.UpdatedAt, c.r.Revision
	*c.r = route
	return nil
}

func (c definitionJSON) stored() any {
	route := *c.r
	route.ID, route.CreatedAt, route.UpdatedAt = "", time.Time{}, time.Time{}
	b, err := json.Marshal(route)
	if err != nil { // not for a struct of texts, numbers and lists
		panic(err)
	}
	return string(b)
}

// scanRoute reads one route. The error names the route.
func scanRoute(r sqldb.Row) (*access.Route, error) {
	v, err := routeTable.scan(r)
	if err != nil && v.ID != "" {
		err = fmt.Errorf("the route %s in the database cannot be read: %w; a newer release may have written it", v.ID, err)
	}
	return v, err
}

// Routes returns all stored routes from memory, in the order of their creation. The slice is
// shared and must not be changed.
func (d *DB) Routes() []access.Route { return *d.memory.routes.Load() }

// loadRoutes replaces the routes in memory by those in the database.
func (d *DB) loadRoutes(ctx context.Context) error {
	all, err := allRoutes(ctx, d.sql)
	if err == nil {
		d.memory.routes.Store(&all)
	}
	return err
}

func allRoutes(ctx context.Context, c sqldb.Conn) ([]access.Route, error) {
	return list(ctx, c, scanRoute, selectRoute+" ORDER BY id")
}

// changeRoutes runs a change of routes. It locks the topic's row first, so that such changes come
// one after another. check, if not nil, receives all routes as they will be, and its error undoes
// the change: two commands at once cannot create two routes for one address.
func (d *DB) changeRoutes(
	ctx context.Context, check func([]access.Route) error, ev []audit.Event, f func(tx sqldb.Tx) error,
) error {
	err := d.write(ctx, ev, func(tx sqldb.Tx) error {
		if err := bump(ctx, tx, TopicRoutes); err != nil {
			return err
		}
		if err := f(tx); err != nil || check == nil {
			return err
		}
		all, err := allRoutes(ctx, tx)
		if err != nil {
			return err
		}
		return check(all)
	})
	if err == nil {
		d.committed(ctx)
	}
	return err
}

// CreateRoute stores a new route. It returns Conflict if the id is taken. check, if not nil,
// receives all routes as they will be, and its error undoes the change.
func (d *DB) CreateRoute(
	ctx context.Context, r *access.Route, check func([]access.Route) error, ev ...audit.Event,
) error {
	return d.changeRoutes(ctx, check, ev, func(tx sqldb.Tx) error {
		r.Revision = max(r.Revision, 1)
		_, err := tx.Exec(ctx, insertRoute, routeTable.args(r)...)
		return err
	})
}

// UpdateRoute stores the fields in which new differs from old, and the time new.UpdatedAt with
// them; of all other fields the stored values stay, whatever old and new say. CreatedAt is not
// updated. check is as for CreateRoute. Where nothing differs, only the events are recorded.
func (d *DB) UpdateRoute(
	ctx context.Context, old, new *access.Route, check func([]access.Route) error, ev ...audit.Event,
) error {
	return d.UpdateRouteAt(ctx, 0, old, new, check, ev...)
}

// UpdateRouteAt does what UpdateRoute does, or returns Stale unless the route has a version; 0 is
// any.
func (d *DB) UpdateRouteAt(
	ctx context.Context, version int64, old, new *access.Route, check func([]access.Route) error,
	ev ...audit.Event,
) error {
	changes, err := routeChanges(old, new)
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		return d.Record(ctx, ev...)
	}
	return d.changeRoutes(ctx, check, ev, func(tx sqldb.Tx) error {
		current, err := scanRoute(tx.Row(ctx, selectRoute+" WHERE id = $1", new.ID))
		if err != nil {
			return asNotFound(err, "route")
		}
		if err := admin.CheckVersion(version, current.Revision, nil); err != nil {
			return err
		}
		next, err := withChanges(current, changes)
		if err != nil {
			return err
		}
		next.UpdatedAt, next.Revision = new.UpdatedAt, current.Revision+1
		new.Revision = next.Revision
		_, err = routeTable.update(ctx, tx, current, next)
		return err
	})
}

// routeMembers returns the members of a route's definition.
func routeMembers(r *access.Route) (map[string]json.RawMessage, error) {
	members := make(map[string]json.RawMessage)
	return members, json.Unmarshal([]byte(definitionJSON{r}.stored().(string)), &members)
}

// routeChanges returns the members in which two definitions differ, with their values in new; nil
// for a member that new does not have.
func routeChanges(old, new *access.Route) (map[string]json.RawMessage, error) {
	before, err := routeMembers(old)
	if err != nil {
		return nil, err
	}
	after, err := routeMembers(new)
	if err != nil {
		return nil, err
	}
	changes := make(map[string]json.RawMessage)
	for name, value := range after {
		if !bytes.Equal(value, before[name]) {
			changes[name] = value
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			changes[name] = nil
		}
	}
	return changes, nil
}

// withChanges returns a route with the changes of routeChanges.
func withChanges(r *access.Route, changes map[string]json.RawMessage) (*access.Route, error) {
	members, err := routeMembers(r)
	if err != nil {
		return nil, err
	}
	for name, value := range changes {
		if value == nil {
			delete(members, name)
		} else {
			members[name] = value
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		return nil, err
	}
	next := &access.Route{ID: r.ID, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, Revision: r.Revision}
	return next, definitionJSON{next}.Scan(string(text))
}

// DeleteRoute deletes a route.
func (d *DB) DeleteRoute(ctx context.Context, id string, ev ...audit.Event) error {
	return d.DeleteRouteAt(ctx, 0, id, ev...)
}

// DeleteRouteAt does what DeleteRoute does, or returns Stale unless the route has a version; 0 is
// any.
func (d *DB) DeleteRouteAt(ctx context.Context, version int64, id string, ev ...audit.Event) error {
	return d.changeRoutes(ctx, nil, ev, func(tx sqldb.Tx) error {
		if err := atVersion(ctx, tx, routeTable.name, "id", id, version); err != nil {
			return asNotFound(err, "route")
		}
		n, err := tx.Exec(ctx, "DELETE FROM routes WHERE id = $1", id)
		return requireOne(n, err, "route")
	})
}
