package store

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const routeCols = "id, definition, created_at, updated_at"

// scanRoute reads one route. A field that this release does not know may be a rule: without it the route would let pass whom it
// should not, so it is an error.
func scanRoute(r sqldb.Row) (*access.Route, error) {
	var id, definition string
	var created, updated time.Time
	if err := r.Scan(&id, &definition, stamp{&created}, stamp{&updated}); err != nil {
		return nil, err
	}
	var v access.Route
	dec := json.NewDecoder(bytes.NewReader([]byte(definition)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return nil, fmt.Errorf("the route %s in the database cannot be read: %w; a newer release may have written it", id, err)
	}
	v.ID, v.CreatedAt, v.UpdatedAt = id, created, updated
	return &v, nil
}

// Routes gives all stored routes from memory, in the order in which they were made. Never change them.
func (d *DB) Routes() []access.Route { return *d.memory.routes.Load() }

func (d *DB) loadRoutes(ctx context.Context) error {
	all, err := allRoutes(ctx, d.sql)
	if err == nil {
		d.memory.routes.Store(&all)
	}
	return err
}

func allRoutes(ctx context.Context, c sqldb.Conn) ([]access.Route, error) {
	return list(ctx, c, scanRoute, "SELECT "+routeCols+" FROM routes ORDER BY id")
}

// changeRoutes runs a change of routes. The topic's row is locked first, so that such changes come one after another, and
// fits judges all routes as they will be: two commands at once cannot make two routes of one address.
func (d *DB) changeRoutes(ctx context.Context, fits func([]access.Route) error, ev []audit.Event, f func(tx sqldb.Tx) error) error {
	err := d.write(ctx, ev, func(tx sqldb.Tx) error {
		if _, err := bump(ctx, tx, TopicRoutes, 1); err != nil {
			return err
		}
		if err := f(tx); err != nil || fits == nil {
			return err
		}
		all, err := allRoutes(ctx, tx)
		if err != nil {
			return err
		}
		return fits(all)
	})
	if err == nil {
		d.committed(ctx)
	}
	return err
}

// CreateRoute stores a new route: Conflict if the id is taken. If fits is not nil, it is given all routes as they
// will be, and its error undoes the change.
func (d *DB) CreateRoute(ctx context.Context, r *access.Route, fits func([]access.Route) error, ev ...audit.Event) error {
	definition, err := defined(r)
	if err != nil {
		return err
	}
	return d.changeRoutes(ctx, fits, ev, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO routes ("+routeCols+") VALUES ($1, $2, $3, $4)", r.ID, definition, ms(r.CreatedAt), ms(r.UpdatedAt))
		return err
	})
}

// UpdateRoute replaces all of a route but when it was made; fits as for CreateRoute.
func (d *DB) UpdateRoute(ctx context.Context, r *access.Route, fits func([]access.Route) error, ev ...audit.Event) error {
	definition, err := defined(r)
	if err != nil {
		return err
	}
	return d.changeRoutes(ctx, fits, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE routes SET definition = $1, updated_at = $2 WHERE id = $3", definition, ms(r.UpdatedAt), r.ID)
		return one(n, err, "route")
	})
}

// DeleteRoute deletes a route.
func (d *DB) DeleteRoute(ctx context.Context, id string, ev ...audit.Event) error {
	return d.changeRoutes(ctx, nil, ev, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "DELETE FROM routes WHERE id = $1", id)
		return one(n, err, "route")
	})
}

// defined is a route as its column holds it: what has columns of its own is left out.
func defined(r *access.Route) (string, error) {
	v := *r
	v.ID, v.CreatedAt, v.UpdatedAt = "", time.Time{}, time.Time{}
	b, err := json.Marshal(v)
	return string(b), err
}
