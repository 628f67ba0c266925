package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
)

// upgradeCommand tries an upgrade on a copy of the database.
type upgradeCommand struct {
	Rehearse bool     `help:"Copy the database, migrate the copy with this program, start on it, and sign in. Nothing else changes."`
	From     string   `placeholder:"BACKUP" help:"Rehearse with a backup: a file, or a folder or s3://BUCKET/PREFIX for the newest one there. Default: the database."`
	Identity []string `placeholder:"FILE" help:"A file with the private key of age, for an encrypted backup. May be repeated."`
	In       string   `placeholder:"FOLDER" help:"Where the copy of a SQLite database is made. Default: beside the database."`
}

// RehearseInput says what to rehearse with, and where.
type RehearseInput struct {
	BackupSource        // From is "" for the database itself
	In           string // of SQLite: a folder, or "" for that of the database
}

// A Rehearsal is what an upgrade would do.
type Rehearsal struct {
	Program      string
	Realm        string // or "" for the server's own database
	Nothing      string // why no upgrade of this database was tried, or ""
	Source       string
	Engine       string
	SchemaBefore string
	SchemaAfter  string
	Rows         int64
	Servers      []RunningServer // of the database itself
	Migrations   []RehearsedMigration
	Probes       []Probe
	Failed       []string // what failed, in words

	CopyTook, MigrateTook, StartTook time.Duration
}

// A RunningServer is a server of the database.
type RunningServer struct{ Version, Schema string }

// A RehearsedMigration is a migration as it went on the copy.
type RehearsedMigration struct {
	Migration
	Took  time.Duration
	Locks []TakenLock
}

// A TakenLock is a lock of an existing table, or of all with Table "".
type TakenLock struct{ Table, Mode string }

// A Probe is something that was tried.
type Probe struct {
	Name    string
	Took    time.Duration
	Error   string // why it failed, or ""
	Skipped string // why it was not tried, or ""
}

// oldest returns the number of the migration that a program must have to use the database after the
// upgrade, or "" if nothing is migrated.
func (r *Rehearsal) oldest() (n string) {
	for _, m := range r.Migrations {
		n = max(n, m.Oldest)
	}
	return n
}

// sideBySide reports whether the programs that use the database now can go on after the upgrade.
func (r *Rehearsal) sideBySide() bool {
	now, _, _ := strings.Cut(r.SchemaBefore, "_")
	return r.oldest() <= now
}

// errStopFirst is that an upgrade works, but that servers of the release before must be stopped.
var errStopFirst = errors.New("the upgrade works, but servers of the release before cannot use the database " +
	"afterwards: stop them first, and make a backup, which is the only way back")

// errRehearsal is that an upgrade would not work.
var errRehearsal = errors.New("the upgrade would fail; nothing was changed")

// Run rehearses the upgrade of each database, and says what would happen.
func (f *upgradeCommand) Run(ctx context.Context, c *call) error {
	if !f.Rehearse {
		return wrong("an upgrade is a start of the new program: replace the binary and restart the server, " +
			"or send it SIGUSR2; with --rehearse this command tries that on a copy of the database first")
	}
	if f.From == "" && len(f.Identity) > 0 {
		return wrong("--identity opens the backup that --from names")
	}
	cfg, err := c.config()
	if err != nil {
		return err
	}
	all, err := c.Rehearse(ctx, cfg, RehearseInput{BackupSource{From: f.From, Identities: f.Identity}, f.In})
	if err != nil {
		return err
	}
	views := make([]rehearsalView, len(all))
	failed, stop := false, false
	for i, r := range all {
		views[i] = viewRehearsal(r)
		failed, stop = failed || len(r.Failed) > 0, stop || !r.sideBySide()
	}
	err = c.show(views, func(s *table) {
		for i, r := range all {
			if i > 0 {
				s.line("")
			}
			r.print(s)
		}
	})
	switch {
	case err != nil:
		return err
	case failed:
		return errRehearsal
	case stop:
		return errStopFirst
	}
	return nil
}

// rehearsalView is a rehearsal as JSON.
type rehearsalView struct {
	OK             bool            `json:"ok"`
	Realm          string          `json:"realm,omitempty"`
	Program        string          `json:"program"`
	Nothing        string          `json:"nothing,omitempty"`
	Source         string          `json:"source"`
	Engine         string          `json:"engine"`
	SchemaBefore   string          `json:"schema_before"`
	SchemaAfter    string          `json:"schema_after"`
	Rows           int64           `json:"rows"`
	CopySeconds    float64         `json:"copy_seconds"`
	MigrateSeconds float64         `json:"migrate_seconds"`
	StartSeconds   float64         `json:"start_seconds"`
	SideBySide     bool            `json:"release_before_may_run"`
	OldestProgram  string          `json:"oldest_program,omitempty"`
	Servers        []serverView    `json:"servers"`
	Migrations     []migrationView `json:"migrations"`
	Probes         []probeView     `json:"probes"`
	Failed         []string        `json:"failed"`
}

type serverView struct {
	Version string `json:"version"`
	Schema  string `json:"schema"`
	GoesOn  bool   `json:"goes_on"`
}

type migrationView struct {
	Name    string     `json:"name"`
	Oldest  string     `json:"oldest_program"`
	Seconds float64    `json:"seconds"`
	Locks   []lockView `json:"locks"`
}

type lockView struct {
	Table string `json:"table,omitempty"`
	Mode  string `json:"mode"`
}

type probeView struct {
	Name    string  `json:"name"`
	Result  string  `json:"result"` // ok, failed or skipped
	Seconds float64 `json:"seconds"`
	Text    string  `json:"text,omitempty"`
}

func viewRehearsal(r *Rehearsal) rehearsalView {
	v := rehearsalView{
		OK:             len(r.Failed) == 0,
		Realm:          r.Realm,
		Program:        r.Program,
		Nothing:        r.Nothing,
		Source:         r.Source,
		Engine:         r.Engine,
		SchemaBefore:   r.SchemaBefore,
		SchemaAfter:    r.SchemaAfter,
		Rows:           r.Rows,
		CopySeconds:    r.CopyTook.Seconds(),
		MigrateSeconds: r.MigrateTook.Seconds(),
		StartSeconds:   r.StartTook.Seconds(),
		SideBySide:     r.sideBySide(),
		OldestProgram:  r.oldest(),
		Servers:        []serverView{},
		Migrations:     []migrationView{},
		Probes:         []probeView{},
		Failed:         orEmpty(r.Failed),
	}
	for _, s := range r.Servers {
		v.Servers = append(v.Servers, serverView{s.Version, s.Schema, r.goesOn(s)})
	}
	for _, m := range r.Migrations {
		mv := migrationView{m.Name, m.Oldest, m.Took.Seconds(), []lockView{}}
		for _, l := range m.Locks {
			mv.Locks = append(mv.Locks, lockView(l))
		}
		v.Migrations = append(v.Migrations, mv)
	}
	for _, p := range r.Probes {
		result, text := p.outcome()
		v.Probes = append(v.Probes, probeView{p.Name, result, p.Took.Seconds(), text})
	}
	return v
}

// outcome returns what became of a probe, and why.
func (p *Probe) outcome() (result, why string) {
	switch {
	case p.Error != "":
		return "failed", p.Error
	case p.Skipped != "":
		return "skipped", p.Skipped
	}
	return "ok", ""
}

// goesOn reports whether a server can use the database after the upgrade.
func (r *Rehearsal) goesOn(s RunningServer) bool {
	number, _, _ := strings.Cut(s.Schema, "_")
	return number >= r.oldest()
}

// print writes what happened on the copy, and what that means.
func (r *Rehearsal) print(s *table) {
	if r.Realm != "" {
		s.pair("realm", r.Realm)
	}
	s.pair("program", r.Program)
	if r.Nothing != "" {
		s.pair("nothing", r.Nothing)
		return
	}
	s.pair("copy", fmt.Sprintf("of %s on %s, %d rows in %s", r.Source, r.Engine, r.Rows, shortTime(r.CopyTook)))
	s.pair("schema", r.SchemaBefore+" to "+r.SchemaAfter)
	s.pair("migrations", fmt.Sprintf("%d in %s", len(r.Migrations), shortTime(r.MigrateTook)))
	s.pair("start", shortTime(r.StartTook))
	if len(r.Migrations) > 0 {
		s.line("")
		s.row("MIGRATION", "TOOK", "LOCKS WHILE IT RUNS")
		for _, m := range r.Migrations {
			s.row(m.Name, shortTime(m.Took), m.locks())
		}
	}
	if len(r.Probes) > 0 {
		s.line("")
		s.row("TRIED", "RESULT", "TOOK", "WHY")
	}
	for _, p := range r.Probes {
		result, why := p.outcome()
		s.row(p.Name, result, shortTime(p.Took), why)
	}
	s.line("")
	r.conclude(s)
}

// conclude writes what an upgrade means for the servers that run, and what the way back is.
func (r *Rehearsal) conclude(s *table) {
	for _, text := range r.Failed {
		s.line("FAILED: %s", text)
	}
	switch {
	case len(r.Migrations) == 0:
		s.line("The schema does not change: servers of both releases can use the database. The way back is to start " +
			"the former program.")
	case r.sideBySide():
		s.line("Servers of the release before go on beside the new ones. The way back is to start the former program: " +
			"no backup is needed for it.")
	default:
		s.line("Programs without the migration %s cannot use the database afterwards: stop their servers first. "+
			"The only way back is a backup that was made before the upgrade.", r.oldest())
	}
	for _, server := range r.Servers {
		if !r.goesOn(server) {
			s.line("Running now, and to be stopped first: a server of %s.", server.Version)
		}
	}
	s.line("The copy is removed. It sent, deleted and renewed nothing.")
}

// locks returns in words what others wait for while a migration runs.
func (m *RehearsedMigration) locks() string {
	var out []string
	for _, l := range m.Locks {
		switch {
		case l.Table == "":
			out = append(out, "writes wait")
		case l.Mode == "ShareUpdateExclusiveLock":
			out = append(out, l.Table+": nobody waits")
		case l.Mode == "AccessExclusiveLock":
			out = append(out, l.Table+": reads and writes wait")
		default:
			out = append(out, l.Table+": writes wait ("+l.Mode+")")
		}
	}
	if len(out) == 0 {
		return "none"
	}
	return strings.Join(out, ", ")
}

// shortTime returns a duration with three digits or fewer behind the point.
func shortTime(d time.Duration) string {
	if d < time.Second {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// Rehearsals rehearses the upgrade of the databases of a server, and changes none of them.
type Rehearsals func(ctx context.Context, cfg *config.Config, in RehearseInput) ([]*Rehearsal, error)
