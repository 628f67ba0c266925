package store

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

var configTable = table[admin.ConfigDocument]{
	name: "config_documents",
	columns: []column[admin.ConfigDocument]{
		{"label", func(c *admin.ConfigDocument) any { return &c.Label }},
		{"document", func(c *admin.ConfigDocument) any { return &c.Text }},
		{"applied_at", func(c *admin.ConfigDocument) any { return unixMillis{&c.AppliedAt} }},
		{"applied_by", func(c *admin.ConfigDocument) any { return &c.AppliedBy }},
	},
}

var (
	selectConfig = "SELECT " + configTable.list() + " FROM config_documents"
	saveConfig   = configTable.insert() + " ON CONFLICT (label) DO UPDATE SET document = excluded.document," +
		" applied_at = excluded.applied_at, applied_by = excluded.applied_by"
	saveConfigLabel = "INSERT INTO config_labels (section, mark, label) VALUES ($1, $2, $3)" +
		" ON CONFLICT (section, mark) DO UPDATE SET label = excluded.label"
)

// ConfigDocuments returns the documents that were applied last, by their labels.
func (d *DB) ConfigDocuments(ctx context.Context) ([]admin.ConfigDocument, error) {
	all, err := list(ctx, d.sql, configTable.scan, selectConfig+" ORDER BY label")
	return all, err
}

// ConfigLabels returns the labels of all things that carry one.
func (d *DB) ConfigLabels(ctx context.Context) (map[admin.ConfigMark]string, error) {
	out := map[admin.ConfigMark]string{}
	err := each(ctx, d.sql, func(r sqldb.Row) error {
		var m admin.ConfigMark
		var label string
		err := r.Scan(&m.Section, &m.Mark, &label)
		out[m] = label
		return err
	}, "SELECT section, mark, label FROM config_labels")
	return out, err
}

// SaveConfig stores a document, and the labels of things; "" takes the label from a thing.
func (d *DB) SaveConfig(
	ctx context.Context, c *admin.ConfigDocument, labels map[admin.ConfigMark]string, ev ...audit.Event,
) error {
	return d.write(ctx, ev, func(tx sqldb.Tx) error {
		if _, err := tx.Exec(ctx, saveConfig, configTable.args(c)...); err != nil {
			return err
		}
		for m, label := range labels {
			text, args := saveConfigLabel, []any{m.Section, m.Mark, label}
			if label == "" {
				text, args = "DELETE FROM config_labels WHERE section = $1 AND mark = $2", args[:2]
			}
			if _, err := tx.Exec(ctx, text, args...); err != nil {
				return err
			}
		}
		return nil
	})
}
