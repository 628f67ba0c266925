package store

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// A Server is a process that serves from this database, or has ended without saying so.
type Server struct {
	ID        string
	Version   string // of the program
	Schema    string // the newest migration that the program has
	KeyID     string // of the SECRET_KEY that it wraps the data key with
	StartedAt time.Time
	SeenAt    time.Time     // by the clock of the database
	Settled   int64         // the number up to which its attempts are settled
	Quiet     time.Duration // since SeenAt, by the clock of the database
}

// Active reports whether a server is probably running.
func (s *Server) Active() bool { return s.Quiet < serverDead }

// serverTries bounds how long the end of a server waits for a database that is away.
const serverTries = 2 * time.Second

// serverRetention is how long the rows of dead servers stay: as long as a grant that they rotated
// may be valid.
const serverRetention = 400 * 24 * time.Hour

// Serve keeps this process known as a server until ctx ends: it writes signs of life, and which
// rotations are unanswered. Run it once; it reports its errors, and goes on.
func (d *DB) Serve(ctx context.Context, s Server) {
	s.ID = newServerName()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	var last serverBeat
	for {
		err := d.beat(ctx, &s, &last)
		if err != nil && ctx.Err() == nil && !last.failed { // the first of a series
			d.o.Report(err)
		}
		last.failed = err != nil
		wake := d.attempts.wake
		if last.failed { // what failed would fail again at once
			wake = nil
		}
		select {
		case <-ctx.Done():
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), serverTries)
			defer cancel()
			if err := d.endServer(end, &s); err != nil {
				d.o.Report(err)
			}
			return
		case <-wake:
		case <-tick.C:
		}
	}
}

// serverBeat is what a server wrote last.
type serverBeat struct {
	settled int64
	at      time.Time // zero: it has no row yet
	failed  bool
}

// beat writes what is due. A server names attempts once it has a row.
func (d *DB) beat(ctx context.Context, s *Server, last *serverBeat) error {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	now := time.Now()
	settled := d.attempts.settled(now)
	if last.at.IsZero() || settled != last.settled || now.Sub(last.at) >= beatEvery {
		if err := d.putServer(ctx, s, settled); err != nil {
			return err
		}
		last.settled, last.at = settled, now
		d.attempts.serveAs(s.ID)
	}
	return d.writeUnanswered(ctx, now)
}

func (d *DB) putServer(ctx context.Context, s *Server, settled int64) error {
	clock := sqldb.Clock(d.Engine())
	_, err := d.sql.Exec(ctx, "INSERT INTO servers (id, version, schema, key_id, settled, started_at, seen_at)"+
		" VALUES ($1, $2, $3, $4, $5, "+clock+", "+clock+")"+
		" ON CONFLICT (id) DO UPDATE SET settled = excluded.settled, key_id = excluded.key_id,"+
		" seen_at = excluded.seen_at", s.ID, s.Version, s.Schema, s.KeyID, settled)
	return err
}

// endServer removes the row of a server all of whose attempts are settled. It stays otherwise, and
// says which are not.
func (d *DB) endServer(ctx context.Context, s *Server) error {
	err := d.writeUnanswered(ctx, time.Now())
	settled, all := d.attempts.open()
	if err == nil && settled == all {
		_, err = d.sql.Exec(ctx, "DELETE FROM servers WHERE id = $1", s.ID)
		return err
	}
	return errors.Join(err, d.putServer(ctx, s, settled))
}

// Servers returns the servers of this database, the newest first.
func (d *DB) Servers(ctx context.Context) ([]Server, error) { return servers(ctx, d.sql, d.Engine()) }

func servers(ctx context.Context, c sqldb.Conn, e sqldb.Engine) ([]Server, error) {
	return list(ctx, c, func(r sqldb.Row) (*Server, error) {
		var s Server
		var quiet int64
		err := r.Scan(&s.ID, &s.Version, &s.Schema, &s.KeyID, unixMillis{&s.StartedAt}, unixMillis{&s.SeenAt},
			&s.Settled, &quiet)
		s.Quiet = time.Duration(quiet) * time.Millisecond
		return &s, err
	}, "SELECT id, version, schema, key_id, started_at, seen_at, settled, "+sqldb.Clock(e)+" - seen_at"+
		" FROM servers ORDER BY started_at DESC, id")
}

// firstWithServers is the migration since which there is a list of servers.
const firstWithServers = "0024"

// hasServers reports whether the schema has the list of servers.
func (d *DB) hasServers(ctx context.Context, c sqldb.Conn) (bool, error) {
	return exists(ctx, c, "SELECT 1 FROM migrations WHERE name = $1", firstWithServers+"_upgrade")
}

// forgetServers deletes the rows of servers that ended long ago.
func (d *DB) forgetServers(ctx context.Context) error {
	_, err := d.sql.Exec(ctx, "DELETE FROM servers WHERE seen_at < "+sqldb.Clock(d.Engine())+" - CAST($1 AS BIGINT)",
		serverRetention.Milliseconds())
	return err
}
