package store

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// slowQueries is how many of the slowest queries Diagnose reads.
const slowQueries = 5

// Diagnose examines the database itself. What it may not read it leaves out. With check it reads
// the whole file of an SQLite database.
func (d *DB) Diagnose(ctx context.Context, check bool) *doctor.Database {
	out := &doctor.Database{Engine: string(d.Engine()), External: d.o.ExternalCheckpoint}
	begin := time.Now()
	if err := d.sql.Ping(ctx); err != nil {
		out.Err = err.Error()
		return out
	}
	out.Latency = time.Since(begin)
	if d.Engine() == sqldb.SQLite {
		d.diagnoseSQLite(ctx, out, check)
		return out
	}
	status := d.sql.Status()
	out.Statements, out.Polling = status.Statements, status.Pooler && status.Changes == sqldb.ChangesPoll
	d.diagnosePostgres(ctx, out)
	return out
}

func (d *DB) diagnoseSQLite(ctx context.Context, out *doctor.Database, check bool) {
	out.Version = d.text(ctx, "SELECT sqlite_version()")
	out.Litestream = d.text(ctx, "SELECT name FROM sqlite_master WHERE name = '_litestream_seq'") != ""
	if !check {
		return
	}
	if problem := d.text(ctx, "PRAGMA quick_check(1)"); problem != "ok" {
		out.Corrupt = problem
	}
}

func (d *DB) diagnosePostgres(ctx context.Context, out *doctor.Database) {
	out.Settings = map[string]string{}
	for _, name := range []string{
		"fsync", "full_page_writes", "synchronous_commit", "server_encoding", "server_version",
		"synchronous_standby_names", "transaction_read_only",
	} {
		out.Settings[name] = d.text(ctx, "SELECT current_setting($1)", name)
	}
	out.Version = out.Settings["server_version"]
	out.SynchronousNames = out.Settings["synchronous_standby_names"]
	out.ReadOnly = out.Settings["transaction_read_only"] == "on"
	out.MaxConnections = int(d.number(ctx, "SELECT CAST(current_setting('max_connections') AS BIGINT)"))
	out.Standbys = d.Standbys(ctx)
	out.Slow = d.slowQueries(ctx)
}

// Standbys returns the standbys that are connected to the primary; none where they cannot be read.
func (d *DB) Standbys(ctx context.Context) (out doctor.Standbys) {
	if d.Engine() != sqldb.Postgres {
		return out
	}
	err := d.sql.Row(ctx, "SELECT COUNT(CASE WHEN sync_state IN ('sync', 'quorum') THEN 1 END),"+
		" COUNT(CASE WHEN sync_state NOT IN ('sync', 'quorum') THEN 1 END),"+
		" COUNT(CASE WHEN sync_state IS NULL THEN 1 END) FROM pg_stat_replication").
		Scan(&out.Synchronous, &out.Asynchronous, &out.Hidden)
	if err != nil {
		return doctor.Standbys{}
	}
	return out
}

// slowQueries returns the queries that take longest on average, if pg_stat_statements counts them.
func (d *DB) slowQueries(ctx context.Context) []doctor.SlowQuery {
	slow, err := list(ctx, d.sql, func(r sqldb.Row) (*doctor.SlowQuery, error) {
		var q doctor.SlowQuery
		var mean float64
		err := r.Scan(&q.Text, &mean, &q.Calls)
		q.Mean = time.Duration(mean * float64(time.Millisecond))
		return &q, err
	}, "SELECT left(s.query, 160), s.mean_exec_time, s.calls FROM pg_stat_statements s"+
		" JOIN pg_database b ON b.oid = s.dbid WHERE b.datname = current_database()"+
		" ORDER BY s.mean_exec_time DESC LIMIT $1", int64(slowQueries))
	if err != nil { // the extension is not installed, or we may not read it
		return nil
	}
	return slow
}

// ClockSkew returns how far the clock of the database is ahead of this process's. SQLite has none.
func (d *DB) ClockSkew(ctx context.Context) (time.Duration, bool) {
	if d.Engine() == sqldb.SQLite {
		return 0, false
	}
	begin := time.Now()
	millis := d.number(ctx, "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)")
	if millis == 0 {
		return 0, false
	}
	middle := begin.Add(time.Since(begin) / 2)
	return time.UnixMilli(millis).Sub(middle), true
}

// text returns the only value of a query, or "" where there is none.
func (d *DB) text(ctx context.Context, query string, args ...any) (value string) {
	_ = d.sql.Row(ctx, query, args...).Scan(&value)
	return value
}

// number returns the only value of a query, or 0 where there is none.
func (d *DB) number(ctx context.Context, query string, args ...any) (value int64) {
	_ = d.sql.Row(ctx, query, args...).Scan(&value)
	return value
}

// AdminsWithoutFactor returns up to limit active administrators who have neither a second factor
// nor a passkey.
func (d *DB) AdminsWithoutFactor(ctx context.Context, limit int) ([]identity.User, error) {
	return list(ctx, d.sql, userTable.scan, selectUser+" WHERE "+activeAdministrator+
		" AND NOT EXISTS (SELECT 1 FROM credentials WHERE credentials.user_id = users.id"+
		" AND credentials.confirmed_at > 0) ORDER BY created_at, id LIMIT $1", limit)
}
