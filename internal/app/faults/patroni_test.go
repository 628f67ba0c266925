package faults_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// EnvPatroni names a directory of Python packages with Patroni. make strangers sets it; without it,
// the tests with Patroni and etcd are skipped.
const EnvPatroni = "GATEHOUSE_TEST_PATRONI"

// A cluster is PostgreSQL on three machines under Patroni, with an etcd, and HAProxy before it with
// the file that deploy/postgresql has. All of it is on this machine, in memory.
type cluster struct {
	t       testing.TB
	dir     string
	cred    *syscall.Credential
	etcd    int // ports
	haproxy int
	nodes   []*machine
	client  *http.Client
}

// A machine of a cluster runs Patroni, which runs PostgreSQL.
type machine struct {
	c        *cluster
	name     string
	postgres int // ports
	rest     int
	cmd      *exec.Cmd
	dead     chan struct{}
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	if os.Getenv(EnvPatroni) == "" {
		t.Skip("needs Patroni, which make strangers installs, and GATEHOUSE_TEST_PATRONI")
	}
	for _, program := range []string{"python3", "etcd", "haproxy"} {
		testkit.Need(t, program)
	}
	within := "/dev/shm"
	if _, err := os.Stat(within); err != nil {
		within = ""
	}
	dir, err := os.MkdirTemp(within, "gatehouse-patroni-")
	testkit.Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &cluster{t: t, dir: dir, etcd: testkit.FreePort(t), haproxy: testkit.FreePort(t)}
	c.client = &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if os.Getuid() == 0 { // PostgreSQL refuses to run as root
		u, err := user.Lookup("postgres")
		testkit.Must(t, err)
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		c.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		testkit.Must(t, os.Chown(dir, uid, gid))
	}
	c.install(os.Getenv(EnvPatroni))
	peers := testkit.FreePort(t)
	c.start("etcd", "etcd", "--data-dir", filepath.Join(dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", address(c.etcd), "--advertise-client-urls", address(c.etcd),
		"--listen-peer-urls", address(peers), "--initial-advertise-peer-urls", address(peers),
		"--initial-cluster", "default="+address(peers))
	for i := range 3 {
		m := &machine{
			c:        c,
			name:     fmt.Sprintf("pg%d", i+1),
			postgres: testkit.FreePort(t),
			rest:     testkit.FreePort(t),
		}
		c.nodes = append(c.nodes, m)
		testkit.Must(t, os.WriteFile(filepath.Join(dir, m.name+".yaml"), []byte(m.settings()), 0o644))
		m.start()
	}
	t.Cleanup(func() {
		for _, m := range c.nodes {
			m.stop()
		}
	})
	c.startHAProxy()
	return c
}

// install copies the packages to where the account postgres can read them.
func (c *cluster) install(from string) {
	c.t.Helper()
	to := filepath.Join(c.dir, "patroni")
	testkit.Must(c.t, os.CopyFS(to, os.DirFS(from)))
	testkit.Must(c.t, filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, 0o755)
	}))
}

func address(port int) string { return "http://127.0.0.1:" + strconv.Itoa(port) }

// start starts a program that ends with the test.
func (c *cluster) start(name string, line ...string) (*exec.Cmd, chan struct{}) {
	c.t.Helper()
	log, err := os.OpenFile(filepath.Join(c.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	testkit.Must(c.t, err)
	defer log.Close()
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.cred, Pdeathsig: syscall.SIGKILL}
	testkit.Must(c.t, cmd.Start())
	dead := make(chan struct{})
	go func() { _ = cmd.Wait(); close(dead) }()
	c.t.Cleanup(func() { _ = cmd.Process.Kill(); <-dead })
	c.t.Cleanup(func() {
		if raw, err := os.ReadFile(log.Name()); err == nil && c.t.Failed() {
			c.t.Logf("log of %s:\n%s", name, raw[max(0, len(raw)-3000):])
		}
	})
	return cmd, dead
}

// startHAProxy runs HAProxy with the shipped file, in which only names and ports are others.
func (c *cluster) startHAProxy() {
	raw, err := os.ReadFile("../../../deploy/postgresql/haproxy.cfg")
	testkit.Must(c.t, err)
	file := strings.ReplaceAll(string(raw), "127.0.0.1:5000", "127.0.0.1:"+strconv.Itoa(c.haproxy))
	file = regexp.MustCompile(`(?m)^\s*server pg.*\n?`).ReplaceAllString(file, "")
	file = strings.Replace(file, " check port 8008 ", " check ", 1)
	for _, m := range c.nodes {
		file += fmt.Sprintf("    server %s 127.0.0.1:%d port %d\n", m.name, m.postgres, m.rest)
	}
	name := filepath.Join(c.dir, "haproxy.cfg")
	testkit.Must(c.t, os.WriteFile(name, []byte(file), 0o644))
	c.start("haproxy", "haproxy", "-db", "-f", name)
}

// settings returns the settings of Patroni: those of the file that is shipped, with the places of
// this machine, short times, and connections without passwords but for the account of the servers.
func (m *machine) settings() string {
	c := m.c
	bin, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bin) == 0 {
		testkit.Missing(c.t, "PostgreSQL is not installed as Debian does")
	}
	raw, err := os.ReadFile("../../../deploy/postgresql/patroni.yaml")
	testkit.Must(c.t, err)
	all := map[string]any{}
	testkit.Must(c.t, yaml.Unmarshal(raw, &all))
	set := func(path string, value any) {
		at, names := all, strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			at = at[name].(map[string]any)
		}
		last := names[len(names)-1]
		if at[last] == nil {
			c.t.Fatalf("patroni.yaml has no %s", path)
		}
		at[last] = value
	}
	own := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	set("name", m.name)
	set("restapi.listen", own(m.rest))
	set("restapi.connect_address", own(m.rest))
	set("etcd3.host", own(c.etcd))
	set("bootstrap.dcs.loop_wait", 1)
	set("bootstrap.dcs.retry_timeout", 3)
	set("bootstrap.dcs.postgresql.parameters.max_connections", 100)
	set("bootstrap.dcs.postgresql.parameters.wal_keep_size", "64MB")
	set("postgresql.listen", own(m.postgres))
	set("postgresql.connect_address", own(m.postgres))
	set("postgresql.data_dir", filepath.Join(c.dir, m.name))
	set("postgresql.bin_dir", bin[len(bin)-1])
	set("postgresql.pgpass", filepath.Join(c.dir, m.name+".pgpass"))
	set("postgresql.parameters.unix_socket_directories", c.dir)
	postgresql := all["postgresql"].(map[string]any)
	postgresql["parameters"].(map[string]any)["shared_buffers"] = "32MB"
	set("postgresql.pg_hba", []string{
		"local all all trust", "host all gatehouse 127.0.0.1/32 scram-sha-256",
		"host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust",
	})
	postgresql["remove_data_directory_on_rewind_failure"] = true
	postgresql["remove_data_directory_on_diverged_timelines"] = true
	initdb := all["bootstrap"].(map[string]any)
	initdb["initdb"] = append(initdb["initdb"].([]any), "no-sync")
	out, err := yaml.Marshal(all)
	testkit.Must(c.t, err)
	return string(out)
}

func (m *machine) start() {
	m.cmd, m.dead = m.c.start(m.name, "env", "PYTHONPATH="+filepath.Join(m.c.dir, "patroni"), "PYTHONDONTWRITEBYTECODE=1",
		"python3", "-m", "patroni", filepath.Join(m.c.dir, m.name+".yaml"))
}

// is reports what Patroni answers at a path such as "primary".
func (m *machine) is(role string) bool {
	a, err := m.c.client.Get(address(m.rest) + "/" + role)
	if err != nil {
		return false
	}
	defer a.Body.Close()
	_, _ = io.Copy(io.Discard, a.Body)
	return a.StatusCode == http.StatusOK
}

// primary returns the machine that is the primary, other than one, or nil.
func (c *cluster) primary(but *machine) *machine {
	for _, m := range c.nodes {
		if m != but && m.is("primary") {
			return m
		}
	}
	return nil
}

// steady is longer than Patroni's loops: a standby that has lost its part says so no later.
const steady = 3 * time.Second

// whole waits until there are a primary, a synchronous standby and another standby, and lets them
// settle: while PostgreSQL starts again, Patroni may give the part of the standby to the other one,
// and if the primary's machine is lost at that moment, nobody is promoted.
func (c *cluster) whole() (primary *machine) {
	c.t.Helper()
	var former string
	var since time.Time
	eventually(c.t, "the cluster is whole", func() error {
		primary = c.primary(nil)
		var synchronous []string
		replicas := 0
		for _, m := range c.nodes {
			if m.is("synchronous") {
				synchronous = append(synchronous, m.name)
			}
			if m.is("replica") {
				replicas++
			}
		}
		now := fmt.Sprint(primary != nil, synchronous, replicas)
		if now != former {
			former, since = now, time.Now()
		}
		whole := primary != nil && len(synchronous) == 1 && replicas == 2
		return want(whole && time.Since(since) > steady, "%d replicas, synchronous: %v", replicas, synchronous)
	})
	return primary
}

// postmaster returns the process of PostgreSQL, or 0.
func (m *machine) postmaster() int {
	raw, _ := os.ReadFile(filepath.Join(m.c.dir, m.name, "postmaster.pid"))
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, _ := strconv.Atoi(first)
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if !strings.Contains(string(line), filepath.Join(m.c.dir, m.name)) {
		return 0 // the file is of a process that has ended
	}
	return pid
}

// processes returns Patroni, PostgreSQL and all of its children.
func (m *machine) processes() []int {
	postmaster := m.postmaster()
	all := []int{m.cmd.Process.Pid}
	if postmaster == 0 {
		return all
	}
	all = append(all, postmaster)
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(raw), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(postmaster) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			all = append(all, pid)
		}
	}
	return all
}

func (m *machine) signal(sig syscall.Signal) {
	for _, pid := range m.processes() {
		_ = syscall.Kill(pid, sig)
	}
}

// killPostgres kills PostgreSQL and waits for the end of its children, which end by themselves.
func (m *machine) killPostgres() {
	all := m.processes()[1:]
	_ = syscall.Kill(all[0], syscall.SIGKILL)
	for _, pid := range all {
		gone(m.c.t, pid)
	}
}

// stop ends what a test has left.
func (m *machine) stop() { m.signal(syscall.SIGKILL) }

// A refresh is under way all the time while the primary's machine is killed, its PostgreSQL alone
// is killed, and the machine hangs. Nothing that was acknowledged is lost, nothing works twice, and
// nobody who honestly repeats a request loses the sign-in, although the interval in which a repeat
// is excused is shorter than each outage.
func TestPatroni(t *testing.T) {
	t.Parallel()
	cl := newCluster(t)
	cl.whole()
	h := newHost(t, fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", cl.haproxy),
		map[string]string{"REFRESH_TOKEN_REUSE_INTERVAL": "1"})
	s := h.serve()
	c := h.workload(s)
	for _, fault := range []struct {
		name      string
		do, after func(m *machine)
	}{
		{
			"the machine is killed",
			func(m *machine) { m.signal(syscall.SIGKILL); <-m.dead },
			func(m *machine) { m.start() },
		},
		{
			"PostgreSQL alone is killed",
			func(m *machine) { m.killPostgres() },
			func(*machine) {},
		},
		{
			"the machine hangs",
			func(m *machine) { m.signal(syscall.SIGSTOP) },
			func(m *machine) { m.signal(syscall.SIGCONT) },
		},
	} {
		primary := cl.whole()
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { c.load(ctx); close(done) }()
		c.progress(t)
		began := time.Now()
		fault.do(primary)
		found := cl.watch(primary)
		c.rotates(t)
		back := time.Now()
		c.progress(t)
		stop()
		<-done
		if p := found(); !p.promoted.IsZero() && !p.commits.IsZero() {
			t.Logf("%s: a standby is promoted after %s and commits %s later; refreshes work %s after the promotion",
				fault.name, p.promoted.Sub(began).Round(time.Millisecond),
				p.commits.Sub(p.promoted).Round(time.Millisecond), back.Sub(p.promoted).Round(time.Millisecond))
		} else {
			t.Logf("%s: the same primary is back, and refreshes work after %s", fault.name,
				back.Sub(began).Round(time.Millisecond))
		}
		fault.after(primary)
		c.verify(t)
	}
	cl.whole()
	c.verify(t)
	c.neverTwice(t)
	rotations := 0
	for _, ch := range c.chains {
		rotations += len(ch.used)
	}
	t.Logf("%d requests, %d rotations, %d codes, %d tokens, %d revocations", c.requests.Load(), rotations,
		len(c.consumed), len(c.live), len(c.dead))
}

// A promotion is when a standby became the primary, and when it could commit: not before it has a
// synchronous standby of its own. Both are zero if that did not happen.
type promotion struct{ promoted, commits time.Time }

// watch begins to look for a promotion. The function that it returns ends that.
func (c *cluster) watch(former *machine) (found func() promotion) {
	var p promotion
	ctx, quit := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p.commits.IsZero() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			m := c.primary(former)
			switch {
			case m == nil:
			case p.promoted.IsZero():
				p.promoted = time.Now()
			case m.commits(ctx):
				p.commits = time.Now()
			}
		}
	}()
	return func() promotion {
		quit()
		<-done
		return p
	}
}

// commits reports whether the machine commits a change.
func (m *machine) commits(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres", m.postgres))
	if err != nil {
		return false
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, "SELECT pg_logical_emit_message(true, 'probe', '')")
	return err == nil
}

// rotates waits until refreshes have been answered that began after now.
func (c *workload) rotates(t testing.TB) {
	t.Helper()
	count := func() (n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, ch := range c.chains {
			n += len(ch.used)
		}
		return n
	}
	onTheirWay := len(c.chains) // at most
	before := count()
	eventually(t, "a refresh is answered", func() error {
		return want(count() > before+onTheirWay, "none")
	})
}

// neverTwice presents what has been used: none of it works again, and a used refresh token ends
// what came from it.
func (c *workload) neverTwice(t *testing.T) {
	t.Helper()
	each(c.consumed, func(code string) {
		if a := c.call.redeem(c.web, code); a.code() != "invalid_grant" {
			t.Errorf("a code for the second time: %v", a)
		}
	})
	each(c.uncertain, func(code string) {
		first, second := c.call.redeem(c.web, code), c.call.redeem(c.web, code)
		if (first.status != http.StatusOK && first.code() != "invalid_grant") || second.code() != "invalid_grant" {
			t.Errorf("a code whose answer was lost: %v, then %v", first, second)
		}
	})
	each(c.ended, func(token string) {
		if a := c.call.refresh(c.web, token); a.code() != "invalid_grant" {
			t.Errorf("a revoked refresh token: %v", a)
		}
	})
	for _, ch := range c.chains {
		next := c.call.refresh(c.web, ch.last)
		if next.status != http.StatusOK {
			t.Errorf("the approval of an honest client: %v", next)
			continue
		}
		ends(t, c.call, c.web, ch.used[len(ch.used)/2], next.tokens())
	}
}
