package store

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// DataKeyPrefix begins the names in meta under which the data key is stored, once for each master
// key that can open it.
const DataKeyPrefix = "data_key/"

// DataKeyNames returns the names of the master keys that can open the data key.
func (d *DB) DataKeyNames(ctx context.Context) ([]string, error) {
	names, err := listStrings[string](ctx, d.sql, "SELECT name FROM meta WHERE name LIKE 'data_key/%' ORDER BY name")
	for i, n := range names {
		names[i] = strings.TrimPrefix(n, DataKeyPrefix)
	}
	return names, err
}

// DropDataKeys takes from all master keys but one the data key, unless a server has one of them. It
// returns how many it took it from.
func (d *DB) DropDataKeys(ctx context.Context, keep string) (dropped int64, err error) {
	err = d.sql.Write(ctx, func(tx sqldb.Tx) error {
		all, err := servers(ctx, tx, d.Engine())
		if err != nil {
			return err
		}
		for _, s := range all {
			if s.Active() && s.KeyID != keep {
				return nil
			}
		}
		dropped, err = tx.Exec(ctx, "DELETE FROM meta WHERE name LIKE 'data_key/%' AND name <> $1", DataKeyPrefix+keep)
		return err
	})
	return dropped, err
}

// UseAuditKey sets what marks the pages of the audit log. Call it before there is an event.
func (d *DB) UseAuditKey(key []byte) { d.o.AuditKey = key }
