package faults_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A disk is a file system that a test can fill.
type disk interface {
	fill(t testing.TB)
	free(t testing.TB)
	database(s *server) string // the path of the database, or of a readable copy
}

// smallDisk starts a server on a disk of 24 MiB, which has room for a full write-ahead log: a tmpfs
// in the server's own mount namespace. Where mounting is not permitted, it limits the size of every
// file that the server writes instead.
func smallDisk(t *testing.T) (*server, disk) {
	t.Helper()
	dir := t.TempDir()
	h := newHost(t, "sqlite:"+filepath.Join(dir, "gatehouse.db"), nil)
	mount := []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=24m,mode=700 tmpfs "$0" && exec "$@"`, dir}
	if os.Getuid() != 0 {
		mount = append([]string{"unshare", "--map-root-user"}, mount[1:]...)
	}
	try := append(mount[:len(mount):len(mount)], "true")
	if output, err := exec.Command(try[0], try[1:]...).CombinedOutput(); err != nil {
		t.Logf("no file system can be mounted here (%v: %s); the size of the server's files is bounded in its place", err, output)
		s := h.serve()
		return s, sizeLimit(s.pid)
	}
	s := h.serveOn(h.port, nil, mount...)
	h.enter = []string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", s.pid)}
	if os.Getuid() != 0 {
		h.enter = append(h.enter, fmt.Sprintf("--user=/proc/%d/ns/user", s.pid), "--preserve-credentials")
	}
	return s, &tmpfs{fmt.Sprintf("/proc/%d/root%s", s.pid, dir)}
}

// A tmpfs is a file system in the mount namespace of another process.
type tmpfs struct{ dir string }

func (m *tmpfs) filler() string { return filepath.Join(m.dir, "filler") }

func (m *tmpfs) fill(t testing.TB) {
	t.Helper()
	f, err := os.OpenFile(m.filler(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 64 << 10; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func (m *tmpfs) free(t testing.TB) {
	t.Helper()
	if err := os.Remove(m.filler()); err != nil {
		t.Fatal(err)
	}
}

// database copies the database and its write-ahead log while the server is stopped. The copy is in
// the state that a crash would leave.
func (m *tmpfs) database(s *server) string {
	s.t.Helper()
	to := s.t.TempDir()
	_ = s.cmd.Process.Signal(syscall.SIGSTOP)
	defer func() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }()
	for _, name := range []string{"gatehouse.db", "gatehouse.db-wal"} {
		raw, err := os.ReadFile(filepath.Join(m.dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), raw, 0o600)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return filepath.Join(to, "gatehouse.db")
}

// A sizeLimit is a process whose files have a maximum size (RLIMIT_FSIZE).
type sizeLimit int

func (b sizeLimit) fill(t testing.TB) { b.limit(t, "65536:unlimited") }
func (b sizeLimit) free(t testing.TB) { b.limit(t, "unlimited:unlimited") }

func (b sizeLimit) database(s *server) string {
	return strings.TrimPrefix(s.h.env["DATABASE_URL"], "sqlite:")
}

func (b sizeLimit) limit(t testing.TB, to string) {
	t.Helper()
	if output, err := exec.Command("prlimit", "--pid", strconv.Itoa(int(b)), "--fsize="+to).CombinedOutput(); err != nil {
		t.Fatalf("prlimit: %v: %s", err, output)
	}
}

// The disk fills up. Requests that write get the status 503, and requests that only read still
// succeed. When there is room again, all requests succeed.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s, d := smallDisk(t)
	c := s.h.workload(s)
	known := []issuedToken{{c.machine, c.call.own(c.machine).tokens().Access}, {c.opaque, c.call.own(c.opaque).tokens().Access}}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { c.load(ctx); close(done) }()
	c.progress(t)

	d.fill(t)
	// Writes that fit in the room of the write-ahead log still succeed.
	eventually(t, "tokens are refused", func() error { return c.call.own(c.opaque).unavailable() })
	eventually(t, "signing in is refused", func() error {
		page := newPerson(t, s.url, "ada@example.com")
		a := page.submit(page.open("/login"), "/login", "username", "ada@example.com", "password", password)
		return want(a.status == 503 && a.header.Get("Retry-After") != "", "%v", a.answer)
	})
	for _, k := range known {
		if on, err := c.call.active(k.by, k.token); err != nil || !on {
			t.Errorf("a token of %s on a full disk: active is %v, %v", k.by.id, on, err)
		}
	}
	if a := c.person.open("/account"); a.status != 200 {
		t.Errorf("the account's page on a full disk: %v", a.answer)
	}
	if a := c.call.get("/.well-known/openid-configuration"); a.status != 200 {
		t.Errorf("discovery on a full disk: %v", a)
	}

	d.free(t)
	healed := eventually(t, "the server heals", func() error {
		a := c.call.own(c.opaque)
		return want(a.status == 200, "%v", a)
	})
	time.Sleep(200 * time.Millisecond)
	stop()
	<-done
	t.Logf("healed after %s; %d requests", healed.Round(time.Millisecond), c.requests.Load())
	c.live = append(c.live, known...)
	c.verify(t)
	c.exhaust(t)
	integrity(t, d.database(s))
}

// Another process, such as a backup, holds the write lock of the database. Writers wait for it and,
// after too long a wait, get the status 503. Readers are not delayed.
func TestLockedDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	h := newHost(t, "sqlite:"+path, nil)
	s := h.serve()
	c := h.workload(s)
	known := issuedToken{c.opaque, c.call.own(c.opaque).tokens().Access}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	hold := func(during func()) {
		t.Helper()
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, text := range []string{"PRAGMA busy_timeout = 5000", "BEGIN IMMEDIATE"} {
			if _, err := conn.ExecContext(t.Context(), text); err != nil {
				t.Fatal(err)
			}
		}
		during()
		if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}
	reads := func() {
		t.Helper()
		// The lock is held meanwhile: a reader that waited for it would fail.
		if on, err := c.call.active(known.by, known.token); err != nil || !on {
			t.Errorf("a token while the database is locked: active is %v, %v", on, err)
		}
	}

	answers := make(chan answer, 8)
	write := func() {
		for i := range cap(answers) {
			go func() {
				if i%2 == 0 {
					answers <- c.call.own(c.opaque)
				} else {
					answers <- c.call.refresh(c.web, c.chains[i/2].last)
				}
			}()
		}
	}

	hold(func() { // all writers wait and succeed
		write()
		// Well below the five seconds that a writer waits.
		for end := time.Now().Add(400 * time.Millisecond); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			reads()
		}
		if n := len(answers); n > 0 {
			t.Errorf("%d writers did not wait for the lock: %v", n, <-answers)
		}
	})
	for range cap(answers) {
		if a := <-answers; a.status != 200 {
			t.Errorf("after a short wait: %v", a)
		} else if a.tokens().Refresh == "" {
			c.live = append(c.live, issuedToken{c.opaque, a.tokens().Access})
		}
	}

	hold(func() { // writers that wait too long fail, and change nothing
		write()
		for range 6 {
			time.Sleep(time.Second)
			reads()
		}
	})
	for range cap(answers) {
		if a := <-answers; a.status != 200 && a.unavailable() != nil {
			t.Errorf("after a wait of six seconds: %v", a.unavailable())
		}
	}
	for _, ch := range c.chains {
		ch.busy = true
	}
	c.verify(t)
	c.exhaust(t)
	integrity(t, path)
}
