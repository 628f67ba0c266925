package testkit

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// A PgBouncer is a connection pooler in front of the tests' PostgreSQL server.
type PgBouncer struct {
	*Process
	user url.Userinfo
}

// StartPgBouncer starts PgBouncer with a pool mode (session, transaction) and at most that many
// server connections a database. Without PgBouncer or PostgreSQL the test is skipped; see
// [Missing].
func StartPgBouncer(t testing.TB, mode string, connections int) *PgBouncer {
	t.Helper()
	path := Need(t, "pgbouncer")
	server := postgresConfig(t)
	// It refuses to run as root, and reads its files as the account that it runs as.
	dir, err := os.MkdirTemp("", "gatehouse-pgbouncer-")
	Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cred, err := postgresAccount(dir)
	Must(t, err)
	port := FreePort(t)
	users, settings := filepath.Join(dir, "users.txt"), filepath.Join(dir, "pgbouncer.ini")
	Must(t, os.WriteFile(users, fmt.Appendf(nil, "%q %q\n", server.User, server.Password), 0o644))
	Must(t, os.WriteFile(settings, fmt.Appendf(nil, `[databases]
* = host=%s port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = trust
auth_file = %s
pool_mode = %s
default_pool_size = %d
max_client_conn = 1000
`, server.Host, server.Port, port, users, mode, connections), 0o644))
	b := &PgBouncer{Process: &Process{
		t:    t,
		port: port,
		log:  filepath.Join(t.TempDir(), "pgbouncer.log"),
		command: func() *exec.Cmd {
			cmd := exec.Command(path, settings)
			cmd.Dir = dir
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
			return cmd
		},
		ready: func(net.Conn) bool { return true },
	}}
	b.user = *url.UserPassword(server.User, server.Password)
	start(b.Process)
	return b
}

// postgresConfig returns how to connect to the tests' PostgreSQL server.
func postgresConfig(t testing.TB) *pgx.ConnConfig {
	t.Helper()
	server, err := sharedPostgres()
	if errors.Is(err, ErrNoPostgres) {
		Missing(t, err.Error())
	}
	Must(t, err)
	cfg, err := pgx.ParseConfig(server.url)
	if err != nil {
		t.Fatalf("%s is not a URL", EnvPostgres) // the error would show the password
	}
	return cfg
}

// URL returns the address of a database of the server through the pooler.
func (b *PgBouncer) URL(database string) string { return b.address(b.Addr(), database) }

func (b *PgBouncer) address(host, database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     &b.user,
		Host:     host,
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Database creates an empty database, which is dropped when the test ends. It returns its address
// through the pooler, and its address without it. A pooler does not pass on the search_path, so
// that a schema is not enough.
func (b *PgBouncer) Database(t testing.TB) (pooled, direct string) {
	t.Helper()
	server := postgresConfig(t)
	name := "gatehouse_" + strings.ToLower(rand.Text()[:16])
	execute(t, server.ConnString(), "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, server.ConnString(), "DROP DATABASE "+name+" WITH (FORCE)") })
	at := net.JoinHostPort(server.Host, strconv.Itoa(int(server.Port)))
	return b.URL(name), b.address(at, name)
}
