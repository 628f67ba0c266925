package testkit

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// EnvPostgres names the environment variable with the URL of a PostgreSQL server to test on,
// instead of one that the tests start.
const EnvPostgres = "GATEHOUSE_TEST_POSTGRES"

// ErrNoPostgres is the error of a machine without a PostgreSQL server.
var ErrNoPostgres = errors.New("PostgreSQL is not installed: run make deps, install the package " +
	"postgresql, or set " + EnvPostgres + " to the URL of a server")

// StartPostgres returns the URL of an empty schema on a PostgreSQL server; the schema is dropped
// when the test ends. The server is the one that GATEHOUSE_TEST_POSTGRES names. Without it, the
// first call in a test binary starts one on a free port of 127.0.0.1, which ends with the binary.
// Without PostgreSQL the test is skipped; see [Missing].
func StartPostgres(t testing.TB) string {
	t.Helper()
	server, err := sharedPostgres()
	if errors.Is(err, ErrNoPostgres) {
		Missing(t, err.Error())
	}
	Must(t, err)
	base := server.url
	schema := "gatehouse_" + strings.ToLower(rand.Text()[:16])
	execute(t, base, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { execute(t, base, "DROP SCHEMA "+schema+" CASCADE") })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatalf("%s is not a URL", EnvPostgres) // the error would show the password
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func execute(t testing.TB, url, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), HangAfter)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	Must(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	Must(t, err)
}

// A sharedServer is the PostgreSQL server of a test binary.
type sharedServer struct {
	url  string
	pipe io.Closer // a server of our own runs until this end of the pipe is closed
}

// sharedPostgres returns this test binary's server, and starts it at the first call.
var sharedPostgres = sync.OnceValues(func() (*sharedServer, error) {
	if u := os.Getenv(EnvPostgres); u != "" {
		return &sharedServer{url: u}, nil
	}
	dir, err := os.MkdirTemp("", "gatehouse-postgres-")
	if err != nil {
		return nil, err
	}
	p, err := NewPostgres(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	pipe, err := p.serveUntilClosed()
	return &sharedServer{p.URL("postgres"), pipe}, err
})

// A Postgres is a PostgreSQL server of our own: a data directory and a port. Command makes the
// process that serves it.
type Postgres struct {
	Dir  string // holds the data, the Unix socket and the log; the caller removes it
	Port int
	bin  string
	cred *syscall.Credential // PostgreSQL refuses to run as root
}

// NewPostgres creates a database cluster in dir, which must exist, and takes a free port. Where the
// process runs as root, dir is given to the account postgres. It returns [ErrNoPostgres] if
// PostgreSQL is not installed.
func NewPostgres(dir string) (*Postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	p := &Postgres{Dir: dir, bin: bin}
	if p.cred, err = postgresAccount(dir); err != nil {
		return nil, err
	}
	if p.Port, err = UnusedPort(); err != nil {
		return nil, err
	}
	initdb := p.Tool("initdb", "-D", p.data(), "-U", "postgres", "-A", "trust", "-E", "UTF8",
		"--locale=C.UTF-8", "--no-sync", "--no-instructions")
	if out, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return p, nil
}

// Standby copies a server that runs into dir, which must exist, as a standby of it with a port of
// its own.
func (p *Postgres) Standby(dir string) (*Postgres, error) {
	s := &Postgres{Dir: dir, bin: p.bin}
	var err error
	if s.cred, err = postgresAccount(dir); err != nil {
		return nil, err
	}
	if s.Port, err = UnusedPort(); err != nil {
		return nil, err
	}
	copying := s.Tool("pg_basebackup", "-D", s.data(), "-h", "127.0.0.1", "-p", strconv.Itoa(p.Port), "-U", "postgres",
		"-c", "fast", "-R", "--no-sync")
	if out, err := copying.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w\n%s", err, out)
	}
	return s, nil
}

func (p *Postgres) data() string { return filepath.Join(p.Dir, "data") }

// URL returns the address of one of the server's databases.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", p.Port, database)
}

// Command returns the process that serves the databases, not started yet, with settings such as
// "fsync=off". It runs in a process group of its own, so that an interrupt at the terminal reaches
// only the tests.
func (p *Postgres) Command(settings ...string) *exec.Cmd {
	args := []string{"-D", p.data(), "-k", p.Dir, "-p", strconv.Itoa(p.Port)}
	for _, s := range append([]string{"listen_addresses=127.0.0.1"}, settings...) {
		args = append(args, "-c", s)
	}
	return p.Tool("postgres", args...)
}

// Tool returns a process of one of PostgreSQL's programs, such as pgbench, not started yet. It runs
// as the account that the server runs as.
func (p *Postgres) Tool(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.Dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.cred}
	return cmd
}

// Wait returns once the server answers, or the error of ctx.
func (p *Postgres) Wait(ctx context.Context) error {
	for {
		conn, err := pgx.Connect(ctx, p.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL did not start: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// guardian runs the server until its standard input ends, which happens however the test binary
// ends, and removes its directory. TERM comes first because a shell starts background commands with
// INT ignored; INT makes PostgreSQL stop without waiting for its connections.
const guardian = `
dir=$1
shift
"$@" >"$dir/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -TERM "$server"
kill -INT "$server"
wait "$server"
rm -rf "$dir"
`

// serveUntilClosed serves the databases until the pipe is closed, as it is by the end of the test
// binary, and returns once they answer.
func (p *Postgres) serveUntilClosed() (pipe io.Closer, err error) {
	server := p.Command("fsync=off", "synchronous_commit=off", "full_page_writes=off",
		"max_connections=200", "shared_buffers=64MB", "autovacuum=off")
	run := exec.Command("/bin/sh", append([]string{"-c", guardian, "sh", p.Dir}, server.Args...)...)
	run.Dir, run.Env, run.SysProcAttr = server.Dir, server.Env, server.SysProcAttr
	var stderr bytes.Buffer
	run.Stderr = &stderr
	if pipe, err = run.StdinPipe(); err != nil {
		return nil, err
	}
	if err := run.Start(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), HangAfter)
	defer cancel()
	ctx, ended := context.WithCancelCause(ctx)
	go func() { ended(fmt.Errorf("its process ended: %v %s", run.Wait(), stderr.String())) }()
	if err := p.Wait(ctx); err != nil {
		log, _ := os.ReadFile(filepath.Join(p.Dir, "log"))
		return pipe, fmt.Errorf("%w (%w)\n%s", err, context.Cause(ctx), log)
	}
	return pipe, nil
}

// postgresBin returns the directory of the server's programs: that of the newest release where
// Debian installs them, or the one in PATH.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err == nil && len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int { return release(a) - release(b) })
		return filepath.Dir(newest), nil
	}
	path, err := exec.LookPath("postgres")
	if err != nil {
		return "", ErrNoPostgres
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", err
	}
	return filepath.Dir(path), nil
}

func release(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // a directory without a number sorts first
	return n
}

// postgresAccount returns the account that PostgreSQL runs as, nil for our own, and makes it the
// owner of dir.
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
