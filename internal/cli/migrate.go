package cli

import "context"

// migrateCommand brings the database schema up to date.
type migrateCommand struct {
	DryRun bool `help:"Only list what would be applied."`
}

// Run applies the pending migrations, or lists them.
func (f *migrateCommand) Run(ctx context.Context, c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	names, err := c.Migrate(ctx, cfg, f.DryRun)
	if err != nil {
		return err
	}
	what := "applied"
	if f.DryRun {
		what = "pending"
	}
	return c.show(map[string][]string{
		what: orEmpty(names),
	}, func(s *table) { listMigrations(s, what, names) })
}

func listMigrations(s *table, what string, names []string) {
	for _, n := range names {
		s.pair(what, n)
	}
	if len(names) == 0 {
		s.line("The database is up to date.")
	}
}
