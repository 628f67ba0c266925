package store

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// Meta reads a value that concerns the whole database, or NotFound.
func (d *DB) Meta(ctx context.Context, name string) (value string, err error) {
	err = d.sql.Row(ctx, "SELECT value FROM meta WHERE name = $1", name).Scan(&value)
	return value, asNotFound(err, "value")
}

// SetMeta stores a value that concerns the whole database.
func (d *DB) SetMeta(ctx context.Context, name, value string) error {
	return setMeta(ctx, d.sql, name, value)
}

func setMeta(ctx context.Context, c sqldb.Conn, name, value string) error {
	_, err := c.Exec(ctx, "INSERT INTO meta (name, value) VALUES ($1, $2)"+
		" ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, value)
	return err
}

// InitMeta stores such a value unless there is one, and returns the one that is stored then. It
// writes nothing if there is one, so that a start does not need a database that can be written.
func (d *DB) InitMeta(ctx context.Context, name, value string) (current string, err error) {
	if current, err = d.Meta(ctx, name); !fault.Is(err, fault.NotFound) {
		return current, err
	}
	err = d.sql.Row(ctx, "INSERT INTO meta (name, value) VALUES ($1, $2)"+
		" ON CONFLICT (name) DO UPDATE SET value = meta.value RETURNING value", name, value).Scan(&current)
	return current, err
}
