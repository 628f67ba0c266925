package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
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

// EnvPostgres names the variable with the URL of a PostgreSQL server to use instead of an own one.
const EnvPostgres = "GATEHOUSE_TEST_POSTGRES"

// running is a PostgreSQL server that tests use.
type running struct {
	url  string
	life io.Closer // an own server runs until this is closed, also by the end of the process or, if nobody held it, its collection
}

// server is the PostgreSQL server of this test binary, started by whoever asks first.
var server = sync.OnceValues(func() (*running, error) {
	if u := os.Getenv(EnvPostgres); u != "" {
		return &running{url: u}, nil
	}
	return startPostgres()
})

// Postgres gives the URL of an empty schema of its own on a real PostgreSQL server; the schema goes with the test. The
// server is the one that GATEHOUSE_TEST_POSTGRES names or, without it, one that is started for this test
// binary on a free loopback port and goes with it.
func Postgres(t testing.TB) string {
	t.Helper()
	pg, err := server()
	if err != nil {
		t.Fatal(err)
	}
	base := pg.url
	schema := "gatehouse_" + strings.ToLower(rand.Text()[:16])
	admin(t, base, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { admin(t, base, "DROP SCHEMA "+schema+" CASCADE") })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatalf("%s cannot be read as a URL", EnvPostgres)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func admin(t testing.TB, url, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatal(err)
	}
}

// guardian makes and runs the server until its standard input ends, which it does however the test binary ends, and
// cleans up. TERM comes first because a shell starts background commands with INT ignored; INT makes it quick.
const guardian = `
"$1/initdb" -D "$2/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync --no-instructions >"$2/log" 2>&1 </dev/null ||
	{ cat "$2/log" >&2; rm -rf "$2"; exit 1; }
"$1/postgres" -D "$2/data" -k "$2" -p "$3" -c listen_addresses=127.0.0.1 -c fsync=off -c synchronous_commit=off \
	-c full_page_writes=off -c max_connections=200 -c shared_buffers=64MB -c autovacuum=off >"$2/log" 2>&1 </dev/null &
server=$!
cat >/dev/null
kill -TERM "$server"
kill -INT "$server"
wait "$server"
rm -rf "$2"
`

func startPostgres() (*running, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "gatehouse-postgres-")
	if err != nil {
		return nil, err
	}
	cred, err := serverAccount(dir)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	run := exec.Command("/bin/sh", "-c", guardian, "sh", bin, dir, strconv.Itoa(port))
	run.Dir = dir
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: cred} // Ctrl-C at the terminal does not reach it
	var trouble bytes.Buffer
	run.Stderr = &trouble
	life, err := run.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := run.Start(); err != nil {
		return nil, err
	}
	address := fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
	ended := make(chan error, 1)
	go func() { ended <- fmt.Errorf("PostgreSQL did not start (%v): %s", run.Wait(), trouble.String()) }()
	return &running{address, life}, awaitPostgres(address, filepath.Join(dir, "log"), ended)
}

// postgresBin finds the newest server that Debian has installed.
func postgresBin() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", errors.New("no PostgreSQL server: install the Debian package postgresql, or set " + EnvPostgres)
	}
	slices.SortFunc(found, func(a, b string) int { return release(a) - release(b) })
	return filepath.Dir(found[len(found)-1]), nil
}

func release(path string) int {
	n, _ := strconv.Atoi(strings.Split(path, "/")[4]) // a directory that is no number sorts first
	return n
}

// serverAccount is the account that PostgreSQL runs as, and owns dir: it refuses to run as root.
func serverAccount(dir string) (*syscall.Credential, error) {
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

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func awaitPostgres(address, log string, ended <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, address)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			text, _ := os.ReadFile(log)
			return fmt.Errorf("PostgreSQL did not start: %w\n%s", err, text)
		case <-time.After(30 * time.Millisecond):
		}
	}
}
