package app

import (
	"context"
	"errors"

	"github.com/gatehouse-id/gatehouse/internal/store"
)

// migrateCommand brings the database schema up to date.
type migrateCommand struct {
	DryRun bool `help:"Only list what would be applied."`
}

// Run applies the pending migrations, or lists them.
func (f *migrateCommand) Run(ctx context.Context, c *call) (err error) {
	cfg, err := loadConfig(c.env, c.flags)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, store.Options{URL: string(cfg.Storage.DatabaseURL), Readers: 1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if f.DryRun {
		pending, err := db.Pending(ctx)
		if err != nil {
			return err
		}
		return c.show(map[string][]string{"pending": words(pending)}, func(s *sheet) { listMigrations(s, "pending", pending) })
	}
	applied, err := db.Migrate(ctx)
	if err != nil {
		return err
	}
	return c.show(map[string][]string{"applied": words(applied)}, func(s *sheet) { listMigrations(s, "applied", applied) })
}

func listMigrations(s *sheet, what string, names []string) {
	for _, n := range names {
		s.pair(what, n)
	}
	if len(names) == 0 {
		s.line("The database is up to date.")
	}
}
