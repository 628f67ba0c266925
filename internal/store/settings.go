package store

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// metaSettings is the name of the settings of the server that started last.
const metaSettings = "settings"

// LastSettings returns the settings of the server that started last, in the form in which they were
// stored. At the first start it stores those of now, and returns them.
func (d *DB) LastSettings(ctx context.Context, now string) (string, error) {
	return d.InitMeta(ctx, metaSettings, now)
}

// SettingsStarted replaces the settings of the server that started last, with the event of what is
// different. It does nothing if others were stored meanwhile: of several servers that start at
// once, one records it.
func (d *DB) SettingsStarted(ctx context.Context, last, now string, ev audit.Event) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE meta SET value = $1 WHERE name = $2 AND value = $3", now, metaSettings, last)
		if err != nil || n == 0 {
			return err
		}
		return d.record(ctx, tx, []audit.Event{ev})
	})
}
