package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // database/sql driver "pgx"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// logMark begins every entry of the server's log, followed by the id of the virtual transaction.
const logMark = "@@"

// A pgServer is a PostgreSQL server of our own, with the settings of Debian except for its memory.
// It is durable: what it acknowledges is on the disk.
type pgServer struct {
	*process
	*testkit.Postgres
}

func startPostgres(ctx context.Context, parent string) (*pgServer, error) {
	dir, err := os.MkdirTemp(parent, "gatehouse-bench-postgres-")
	if err != nil {
		return nil, err
	}
	made, err := testkit.NewPostgres(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	p := &pgServer{Postgres: made}
	cmd := p.Command("fsync=on", "synchronous_commit=on", "shared_buffers=256MB", "max_wal_size=4GB",
		"log_line_prefix="+logMark+"%v ")
	if p.process, err = startProcess(cmd, filepath.Join(dir, "log"), syscall.SIGINT); err == nil {
		err = p.await(60*time.Second, 50*time.Millisecond, func() error {
			return p.run(ctx, "postgres", "SELECT 1")
		})
	}
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// run executes statements, each by itself, in one of its databases.
func (p *pgServer) run(ctx context.Context, database string, statements ...string) error {
	db, err := sql.Open("pgx", p.URL(database))
	if err != nil {
		return err
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%.80s: %w", s, err)
		}
	}
	return nil
}

// end stops the server and removes its directory.
func (p *pgServer) end() error {
	if p == nil {
		return nil
	}
	var err error
	if p.process != nil {
		err = p.stop(syscall.SIGINT, 60*time.Second) // fast shutdown
	}
	return errors.Join(err, os.RemoveAll(p.Dir))
}
