package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // database/sql driver "pgx"
)

// logMark begins every entry of the server's log, followed by the id of the virtual transaction.
const logMark = "@@"

// pgServer is a PostgreSQL server of our own, on a directory and port that go with it: as Debian ships it, but for the size of its
// memory. What it acknowledges is on the disk.
type pgServer struct {
	*process
	bin, dir string
	port     int
	as       *syscall.Credential // it refuses to run as root
}

func startPostgres(ctx context.Context, parent string) (*pgServer, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	p := &pgServer{bin: bin}
	if p.dir, err = os.MkdirTemp(parent, "gatehouse-bench-postgres-"); err != nil {
		return nil, err
	}
	if err := p.start(ctx); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

func (p *pgServer) start(ctx context.Context) error {
	var err error
	if p.as, err = postgresAccount(p.dir); err != nil {
		return err
	}
	if p.port, err = freePort(); err != nil {
		return err
	}
	data := filepath.Join(p.dir, "data")
	if out, err := p.command(ctx, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-instructions").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	cmd := p.command(context.WithoutCancel(ctx), "postgres", "-D", data, "-k", p.dir, "-p", strconv.Itoa(p.port), "-c", "listen_addresses=127.0.0.1",
		"-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "shared_buffers=256MB", "-c", "max_wal_size=4GB",
		"-c", "log_line_prefix="+logMark+"%v ")
	if p.process, err = startProcess(cmd, filepath.Join(p.dir, "log"), syscall.SIGINT); err != nil {
		return err
	}
	return p.await(60*time.Second, 50*time.Millisecond, func() error { return p.run(ctx, "postgres", "SELECT 1") })
}

// command is a program of PostgreSQL's, run as its account.
func (p *pgServer) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cmd.Env = plainEnviron()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.as}
	return cmd
}

// url is the address of one of its databases.
func (p *pgServer) url(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", p.port, database)
}

// run executes statements, each by itself, in one of its databases.
func (p *pgServer) run(ctx context.Context, database string, statements ...string) error {
	db, err := sql.Open("pgx", p.url(database))
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

// end stops the server and removes what it has.
func (p *pgServer) end() error {
	if p == nil {
		return nil
	}
	var err error
	if p.process != nil {
		err = p.stop(syscall.SIGINT, 60*time.Second) // fast shutdown
	}
	return errors.Join(err, os.RemoveAll(p.dir))
}

// postgresBin finds the newest release that Debian has installed.
func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", errors.New("PostgreSQL is missing; install it with: apt-get install --no-install-recommends postgresql, or measure with -engines sqlite")
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return release(a) - release(b) })
	return filepath.Dir(newest), nil
}

func release(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // a directory that is no number comes first
	return n
}

// postgresAccount gives the directory to the account that the server runs as.
func postgresAccount(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, uid, gid)
}
