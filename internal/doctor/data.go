package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

const (
	slowQuery     = 100 * time.Millisecond
	slowDatabase  = 20 * time.Millisecond
	largeLog      = 256 << 20 // bytes of a write-ahead log
	littleDisk    = 0.10      // of a disk
	leastDisk     = 1 << 30   // bytes
	weakKey       = 16        // different bytes that a good key of 32 has at least, nearly always
	connections   = 20        // that one server opens to PostgreSQL
	oldSecret     = 365 * 24 * time.Hour
	oldSigningKey = 365 * 24 * time.Hour
	soon          = 30 * 24 * time.Hour
)

func examineDatabase(f *Facts, s *findings) {
	d := f.Database
	switch {
	case d == nil:
		return
	case d.Err != "":
		s.problem("reachable", "The database cannot be used: "+d.Err+".",
			"Check DATABASE_URL, and that the database runs.")
		return
	}
	s.good("reachable", fmt.Sprintf("%s %s answers in %s.", engineName(d.Engine), d.Version, milliseconds(d.Latency)))
	if d.Latency > slowDatabase {
		s.warn("latency", "The simplest query takes "+milliseconds(d.Latency)+".",
			"Move the database closer, or look at its load and its disk.")
	}
	if d.ReadOnly {
		s.problem("read-only", "The database accepts no changes.", "Check whether it is a standby that "+
			"was not promoted, or whether its disk is full.")
	}
	if d.Engine == "sqlite" {
		examineSQLite(d, s)
		return
	}
	examinePostgres(d, s)
}

func engineName(engine string) string {
	if engine == "sqlite" {
		return "SQLite"
	}
	return "PostgreSQL"
}

func examineSQLite(d *Database, s *findings) {
	if d.Corrupt != "" {
		s.problem("corrupt", "The database file is damaged: "+d.Corrupt+".",
			"Stop the server, keep a copy of the files, and restore the newest backup.")
	}
	if d.Unchecked {
		s.note("unchecked", "The database file is large, so that it was not checked for damage.",
			"Check it when there is time: sqlite3 FILE 'PRAGMA quick_check'")
	}
	examineFileSystem(d, s)
	if d.Litestream && !d.External {
		s.problem("litestream", "Litestream replicates this database, but the server copies the "+
			"write-ahead log itself.",
			"Set SQLITE_CHECKPOINT=external, or Litestream loses its place and starts over.")
	}
	if d.External && !d.Litestream {
		s.warn("checkpoint", "SQLITE_CHECKPOINT is external, but there is no trace of a program that "+
			"copies the write-ahead log.",
			"Start that program, or set SQLITE_CHECKPOINT=own: the log grows without bound.")
	}
	if d.WAL > largeLog {
		s.warn("wal", fmt.Sprintf("The write-ahead log has %s.", bytes(d.WAL)),
			"Look for a program that reads the database for a long time, such as a backup or sqlite3.")
	}
}

func examineFileSystem(d *Database, s *findings) {
	switch PlacementOf(d.FileSystem) {
	case NetworkPlacement:
		s.problem("file-system", "The database file is on "+d.FileSystem+", a network file system, where SQLite's "+
			"locks and shared memory do not work between machines: in production the server does not start.",
			"Move it to a local disk, or use PostgreSQL.")
	case SharedPlacement:
		s.warn("file-system", "The database file is on "+d.FileSystem+", where SQLite's locks and shared memory "+
			"may not be reliable.", "Move it to a local disk, or use PostgreSQL.")
	}
	switch d.FileSystem {
	case "overlay":
		s.warn("file-system", "The database file is in the container's own layer: it is gone when the "+
			"container is removed.", "Mount a volume for it.")
	case "tmpfs":
		s.warn("file-system", "The database file is in memory (tmpfs): it is gone when the machine "+
			"restarts.", "Move it to a disk.")
	}
}

// examineStandbys reports whether a token that was issued outlives the primary.
func examineStandbys(d *Database, s *findings) {
	switch by := d.Standbys; {
	case by.Synchronous > 0:
		s.good("standby", fmt.Sprintf("Commits wait for %d synchronous and are sent to %d other standbys.",
			by.Synchronous, by.Asynchronous))
	case by.Hidden > 0:
		s.note("standby", "There are standbys, but this role may not see whether one is synchronous.",
			"GRANT pg_monitor to the role of DATABASE_URL.")
	case d.SynchronousNames != "":
		s.problem("standby", "No synchronous standby is connected: writes wait, or will be lost with this server.",
			"Start a standby that synchronous_standby_names lists.")
	case by.Asynchronous > 0:
		s.warn("standby", "No standby is synchronous: after a failover, tokens that were issued or revoked shortly "+
			"before are forgotten.", "Set synchronous_standby_names, or synchronous_mode and "+
			"synchronous_mode_strict of Patroni.")
	}
}

func examinePostgres(d *Database, s *findings) {
	for _, need := range []struct{ name, value, why string }{
		{"fsync", "on", "a crash of the machine can destroy the database"},
		{"full_page_writes", "on", "a crash of the machine can destroy the database"},
		{"server_encoding", "UTF8", "some names cannot be stored"},
	} {
		if v, ok := d.Settings[need.name]; ok && v != need.value {
			s.problem("settings", fmt.Sprintf("%s is %s: %s.", need.name, v, need.why), "Set "+need.name+" = "+need.value+" in PostgreSQL.")
		}
	}
	if d.Settings["synchronous_commit"] == "off" {
		s.problem("commit", "synchronous_commit is off: tokens that were issued or revoked are forgotten in a crash.",
			"Set synchronous_commit = on in PostgreSQL.")
	}
	examineStandbys(d, s)
	if most := d.MaxConnections; most > 0 && most < connections {
		s.warn("connections", fmt.Sprintf("PostgreSQL accepts %d connections; each server needs up to %d.", most, connections),
			"Raise max_connections, or put PgBouncer between.")
	}
	if d.Statements == "exec" {
		s.note("statements", "Queries are sent without prepared statements, since a pooler stands "+
			"between; that costs a few percent.",
			"PgBouncer 1.21 or later with max_prepared_statements, and DATABASE_STATEMENTS=prepare, avoid it.")
	}
	if d.Polling {
		s.note("listen", "Changes by other servers are found by asking each second: LISTEN does not work "+
			"through the pooler.",
			"Set DATABASE_LISTEN_URL to an address of PostgreSQL past the pooler.")
	}
	slices.SortFunc(d.Slow, func(a, b SlowQuery) int { return cmp.Compare(b.Mean, a.Mean) })
	for i, q := range d.Slow {
		if q.Mean > slowQuery && i < 3 {
			s.warn("slow", fmt.Sprintf("A query takes %s on average (%d calls): %s", milliseconds(q.Mean), q.Calls, q.Text),
				"Run ANALYZE in the database; if that does not help, report it.")
		}
	}
}

func examineFiles(f *Facts, s *findings) {
	bad := false
	for _, x := range f.Files {
		switch {
		case x.Err != "":
			s.problem("readable", fmt.Sprintf("%s (%s) cannot be examined: %s.", x.Path, x.What, x.Err),
				"Check the path and its owner.")
		case x.Owner != x.Our && x.Owner != 0:
			s.warn("owner", fmt.Sprintf("%s (%s) belongs to the user %d, and this program runs as %d.", x.Path, x.What, x.Owner, x.Our),
				fmt.Sprintf("Run: chown %d %s", x.Our, x.Path))
		case x.Secret && x.Mode&0o077 != 0:
			mode := "600"
			if x.Dir {
				mode = "700"
			}
			l := s.problem
			if x.Dir {
				l = s.warn
			}
			l("mode", fmt.Sprintf("Other users of this machine may read %s (%s).", x.Path, x.What), "Run: chmod "+mode+" "+x.Path).
				Repair = "chmod " + mode + " " + x.Path
		default:
			continue
		}
		bad = true
	}
	if len(f.Files) > 0 && !bad {
		s.good("mode", "Only the server's user can read the files that hold secrets.")
	}
}

func examineDisk(f *Facts, s *findings) {
	for _, d := range f.Disks {
		switch {
		case d.Total == 0:
		case d.Free < leastDisk || float64(d.Free) < littleDisk*float64(d.Total):
			l := s.warn
			if d.Free < leastDisk/4 {
				l = s.problem
			}
			l("space", fmt.Sprintf("%s of %s are free at %s.", bytes(int64(d.Free)), bytes(int64(d.Total)), d.Path),
				"Make room, or shorten AUDIT_LOG_RETENTION_DAYS: nothing can be stored on a full disk, "+
					"and nobody can sign in.")
		default:
			s.good("space", fmt.Sprintf("%s of %s are free at %s.", bytes(int64(d.Free)), bytes(int64(d.Total)), d.Path))
		}
	}
}

func examineSecrets(f *Facts, s *findings) {
	if k := f.MasterKey; k != nil {
		switch {
		case k.Err != "":
			s.problem("master", "SECRET_KEY does not fit the database: "+k.Err+".",
				"Nobody can sign in until it does; take it from where the server was set up.")
		case k.Generated:
			s.note("master", "The server made SECRET_KEY itself and keeps it beside the database.",
				"Keep a copy of the file elsewhere: without it a backup is worth nothing.")
		case k.Distinct < weakKey:
			s.problem("master", "SECRET_KEY looks as if a person had chosen it.",
				"Create a random one with: openssl rand -hex 32. "+
					"Set the present one as SECRET_KEY_PREVIOUS while servers change over.")
		default:
			s.good("master", "SECRET_KEY is random enough.")
		}
		if k.Previous {
			s.note("previous", "SECRET_KEY_PREVIOUS is set.", "Remove it once every server has the new SECRET_KEY.")
		}
	}
	for _, k := range f.SigningKeys {
		if age := f.Now.Sub(k.Since); k.Active && age > oldSigningKey {
			s.warn("signing", fmt.Sprintf("The %s key %s has signed tokens for %s.", k.Algorithm, k.ID, days(age)),
				"Run: gatehouse key rotate")
		}
	}
}
