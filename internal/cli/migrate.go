package cli

import (
	"context"
	"strings"
)

// migrateCommand brings the database schema up to date.
type migrateCommand struct {
	DryRun bool `help:"Only list what would be applied, and whether earlier releases can run afterwards."`
}

// A Migration is one step of the database schema.
type Migration struct {
	Name  string
	Realm string // of whose database it is a step; "": of the server's own
	// Oldest is the number of the oldest migration whose program may use the schema afterwards.
	Oldest string
}

// contracts reports whether a migration ends the use of the schema by all earlier programs.
func (m Migration) contracts() bool {
	number, _, _ := strings.Cut(m.Name, "_")
	return m.Oldest == number
}

// shown returns the name with that of the realm, if it is of one.
func (m Migration) shown() string {
	if m.Realm == "" {
		return m.Name
	}
	return m.Realm + ": " + m.Name
}

// migratedView is the output of the command.
type migratedView struct {
	Applied []string `json:"applied,omitzero"`
	Pending []string `json:"pending,omitzero"`
	// OldestProgram is the number of the migration that a program must have to use the database
	// afterwards; "" if that does not change.
	OldestProgram string `json:"oldest_program,omitempty"`
}

// Run applies the pending migrations, or lists them.
func (f *migrateCommand) Run(ctx context.Context, c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	all, err := c.Migrate(ctx, cfg, f.DryRun)
	if err != nil {
		return err
	}
	names, oldest := []string{}, ""
	for _, m := range all {
		names, oldest = append(names, m.shown()), max(oldest, m.Oldest)
	}
	v, what := migratedView{Applied: names, OldestProgram: oldest}, "applied"
	if f.DryRun {
		v, what = migratedView{Pending: names, OldestProgram: oldest}, "pending"
	}
	return c.show(v, func(s *table) { listMigrations(s, what, all) })
}

// listMigrations lists migrations, and says whether the release before can run afterwards.
func listMigrations(s *table, what string, all []Migration) {
	contracting := ""
	for _, m := range all {
		s.pair(what, m.shown())
		if m.contracts() {
			contracting = m.Name
		}
	}
	switch {
	case len(all) == 0:
		s.line("The database is up to date.")
	case contracting != "":
		s.line("Releases without the migration %s cannot use the database afterwards: stop their servers first. "+
			"The only way back is a backup that you made before.", contracting)
	default:
		s.line("Releases that have the migration %s can still use the database afterwards, "+
			"beside this one or after a rollback.", oldestOf(all))
	}
}

func oldestOf(all []Migration) (oldest string) {
	for _, m := range all {
		oldest = max(oldest, m.Oldest)
	}
	return oldest
}
