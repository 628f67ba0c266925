package faults_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A pair is what the guide "High availability" sets up: two servers on PostgreSQL under Patroni,
// with Redis, behind the HAProxy that ends TLS, watched by Prometheus.
type pair struct {
	*host
	guide   *guide
	cluster *cluster
	folder  string // of the backups
	ports   [2]int
	metrics [2]string
	words   []string // what the guide prints, and what this machine has in its place
	servers [2]*server
}

// newPair prepares the machines: the cluster with an empty database, Redis, the program on both
// servers, and their settings.
func newPair(t testing.TB, front int, certFile string) *pair {
	cl := newCluster(t)
	for _, name := range []string{"psql", "jq", "systemd-sysusers"} {
		testkit.Need(t, name)
	}
	p := &pair{host: newHost(t, "", nil), cluster: cl, guide: readGuide(t, "high-availability"), folder: t.TempDir()}
	for i := range p.ports {
		p.ports[i], p.metrics[i] = testkit.FreePort(t), strconv.Itoa(testkit.FreePort(t))
	}
	p.issuer = fmt.Sprintf("https://localhost:%d", front)
	file := filepath.Join(p.dir, "gatehouse.yaml")
	p.words = []string{
		"https://id.example.com", p.issuer, "paste-the-output-of-openssl-rand-hex-32",
		"9d1f0c5a7be3846212d4f6a8b0c2e4967183a5c7e9fb0d2f416385a7c9ebfd10", "127.0.0.1:5000",
		fmt.Sprintf("127.0.0.1:%d", cl.haproxy), "redis://10.0.0.31:6379", testkit.StartRedis(t).URL(),
		"10.0.0.11", "127.0.0.1", "10.0.0.5", "127.0.0.1", "s3://company-backups/gatehouse", p.folder,
		"/var/run/postgresql", cl.dir, "/etc/gatehouse/gatehouse.yaml", file,
		"install systemd", `install systemd --root "$MACHINE"`, "./gatehouse-new", "gatehouse", "./gatehouse ", "gatehouse ",
	}
	p.words = append(p.words, "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", p.keyForBackups())
	text := strings.NewReplacer(p.words...).Replace(p.guide.block("backup_every: 24h"))
	p.write("gatehouse.yaml", text)
	settings := map[string]any{}
	testkit.Must(t, yaml.Unmarshal([]byte(text), &settings))
	p.env = map[string]string{
		"PASSWORD": password + ", and more of it", "DB_PASSWORD": "the-password", "PGPORT": strconv.Itoa(cl.whole().postgres),
		"SSL_CERT_FILE": certFile, "LOG_FORMAT": "json", "JWT_ALGORITHM": "ES256", "RATE_LIMIT_TOKEN_MAX": "0",
	}
	for name, value := range settings {
		p.env[strings.ToUpper(name)] = fmt.Sprint(value)
	}
	p.types("CREATE ROLE gatehouse")
	for i := range p.servers {
		p.typesOn(i, "./gatehouse install systemd")
		testkit.Must(t, os.WriteFile(filepath.Join(p.machine(i), "etc", "gatehouse", "gatehouse.yaml"), []byte(text), 0o600))
	}
	return p
}

// machine returns the root directory of the machine of a server, as far as it has one.
func (p *pair) machine(i int) string { return filepath.Join(p.dir, fmt.Sprint("machine", i)) }

// keyForBackups makes the key that opens the backups, and returns its public part.
func (p *pair) keyForBackups() string {
	p.t.Helper()
	tool := filepath.Join(p.dir, "age-keygen")
	if out, err := exec.Command("go", "build", "-o", tool, "filippo.io/age/cmd/age-keygen").CombinedOutput(); err != nil {
		p.t.Fatalf("%v\n%s", err, out)
	}
	testkit.Must(p.t, exec.Command(tool, "-o", filepath.Join(p.dir, "backup-key.txt")).Run())
	out, err := exec.Command(tool, "-y", filepath.Join(p.dir, "backup-key.txt")).Output()
	testkit.Must(p.t, err)
	return strings.TrimSpace(string(out))
}

// onAPair is what the commands of the guide find: the doctor's word is taken but for the clock and
// the haste of this machine, the mail server that is not there and the one disk, and systemctl asks
// the test.
const onAPair = `
gatehouse() {
  [ "$*" = "doctor --strict" ] || { "$BINARY" "$@"; return; }
  "$BINARY" doctor --strict --json >doctor.json || true
  jq -e '[.findings[] | select(.level == "problem" or .level == "warning") | .check] -
    ["mail.server", "clock.unsynchronized", "backup.disk", "database.latency", "proxy.slow"] == []' doctor.json >/dev/null ||
    { cat doctor.json; exit 1; }
}
systemctl() { echo "$*" >asked; until [ -e answered ]; do sleep 0.05; done; rm answered; }
`

// types types a block of the guide on the first server's machine. systemd is what it asks for.
func (p *pair) types(has string, systemd ...func()) {
	p.t.Helper()
	p.typesOn(0, has, systemd...)
}

func (p *pair) typesOn(i int, has string, systemd ...func()) {
	p.t.Helper()
	bin, err := program()
	testkit.Must(p.t, err)
	cmd := exec.CommandContext(p.t.Context(), "sh", "-euc", onAPair+strings.NewReplacer(p.words...).Replace(p.guide.block(has)))
	cmd.Dir, cmd.Env = p.dir, p.environment(map[string]string{"BINARY": bin, "PORT": strconv.Itoa(p.ports[i]), "METRICS_PORT": p.metrics[i], "MACHINE": p.machine(i)})
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	testkit.Must(p.t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil || len(systemd) > 0 {
				p.t.Fatalf("%s: %v, %d calls of systemctl are missing\n%s", has, err, len(systemd), out)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
		if _, err := os.Stat(filepath.Join(p.dir, "asked")); err == nil && len(systemd) > 0 {
			testkit.Must(p.t, os.Remove(filepath.Join(p.dir, "asked")))
			systemd[0]()
			systemd = systemd[1:]
			p.write("answered", "")
		}
	}
}

func (p *pair) start(i int) {
	p.t.Helper()
	p.servers[i] = p.serveOn(p.ports[i], map[string]string{"METRICS_PORT": p.metrics[i]})
}

// refreshers are clients that renew their tokens all the time.
type refreshers struct {
	t       testing.TB
	web     client
	call    *caller
	last    []string
	renewed atomic.Int64
}

// renew lets every client renew its tokens until ctx ends. honest clients repeat what was not
// answered, or with 503; for others that is a failure.
func (r *refreshers) renew(ctx context.Context, honest bool) (done func()) {
	var wg sync.WaitGroup
	for i := range r.last {
		wg.Go(func() {
			for ctx.Err() == nil {
				a := r.call.refresh(r.web, r.last[i])
				switch {
				case a.status == http.StatusOK && a.err == nil:
					r.last[i] = a.tokens().Refresh
					r.renewed.Add(1)
				case !honest || a.err == nil && a.status != http.StatusServiceUnavailable:
					r.t.Errorf("a refresh: %v", a)
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	return wg.Wait
}

// goesOn waits until each client may have renewed its tokens, after now.
func (r *refreshers) goesOn() time.Duration {
	r.t.Helper()
	before := r.renewed.Load()
	return eventually(r.t, "tokens are renewed", func() error {
		return want(r.renewed.Load() > before+2*int64(len(r.last)), "%d", r.renewed.Load()-before)
	})
}

// An operator follows "A pair of servers, from nothing", with the commands and the files that it
// prints: the pair serves, a backup is made on schedule, the doctor is content, both servers are
// upgraded without a failed request, the primary's machine is lost without the loss of a token, and
// the backup comes back in fresh places, on PostgreSQL and on SQLite, where the doctor is content.
func TestPatroniPair(t *testing.T) {
	t.Parallel()
	certFile, keyFile, err := testkit.WriteCertificate(t.TempDir())
	testkit.Must(t, err)
	front := testkit.FreePort(t)
	p := newPair(t, front, certFile)
	p.user("ada@example.org")
	r := &refreshers{t: t, web: p.web(), call: newCaller(t, p.issuer)}
	for i := range p.servers {
		p.typesOn(i, "systemctl enable --now gatehouse", func() { p.start(i) })
	}
	p.balance(testkit.Need(t, "haproxy"), front, p.ports[:], certFile, keyFile)
	p.watch(testkit.Need(t, "prometheus"), testkit.Need(t, "promtool"), p.metrics[:])
	p.backedUp()
	p.types("--role super_admin")
	ada := newPerson(t, p.issuer, "ada@example.org")
	ada.signIn(t)
	for range 6 {
		r.last = append(r.last, ada.family(t, r.call, r.web).Refresh)
	}

	ctx, stop := context.WithCancel(t.Context())
	done := r.renew(ctx, false)
	p.types("upgrade --rehearse")
	for i := range p.servers {
		p.typesOn(i, "./gatehouse-new install systemd", func() {
			p.servers[i].end(syscall.SIGTERM)
			p.start(i)
		})
		p.balanced(p.ports[i])
		r.goesOn()
	}
	stop()
	done()
	t.Logf("%d refreshes during the upgrade", r.renewed.Load())

	ctx, stop = context.WithCancel(t.Context())
	done = r.renew(ctx, true)
	primary := p.cluster.whole()
	primary.signal(syscall.SIGKILL)
	<-primary.dead
	t.Logf("tokens are renewed again after %s", r.goesOn().Round(time.Millisecond))
	primary.start()
	stop()
	done()
	p.env["PGPORT"] = strconv.Itoa(p.cluster.whole().postgres)

	backups, err := filepath.Glob(filepath.Join(p.folder, "*.backup"))
	testkit.Must(t, err)
	p.comesBack(r, "postgres", 2)
	p.env["DATABASE_URL"] = "sqlite:" + filepath.Join(p.dir, "fresh.db")
	p.words = append([]string{"s3://company-backups/gatehouse", backups[len(backups)-1]}, p.words...) // not that of the other place
	p.comesBack(r, "sqlite", 1)
	p.guide.rest()
}

// backedUp waits for the first backup of the schedule.
func (p *pair) backedUp() {
	p.t.Helper()
	eventually(p.t, "the schedule makes a backup", func() error {
		status, text := p.try(p.t.Context(), "backup", "--verify", p.folder, "--identity", "backup-key.txt")
		if status == 0 {
			return nil
		}
		_, state := p.try(p.t.Context(), "backup", "status")
		return want(false, "%d: %s; %s", status, text, state)
	})
}

// comesBack restores the newest backup in a fresh place, as the guide says, and starts
// servers there.
func (p *pair) comesBack(r *refreshers, where string, servers int) {
	p.t.Helper()
	for _, s := range p.servers {
		s.end(syscall.SIGINT)
	}
	if where == "postgres" {
		u := strings.Replace(p.env["DATABASE_URL"], "/gatehouse?", "/fresh?", 1)
		p.shell("psql -h " + p.cluster.dir + " -U postgres -c \"CREATE DATABASE fresh OWNER gatehouse TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'\"")
		p.env["DATABASE_URL"] = u
	}
	p.types("--recover", func() {
		for i := range servers {
			p.start(i)
			p.balanced(p.ports[i])
		}
		eventually(p.t, "the schedule makes a backup of the new database", func() error {
			status, text := p.try(p.t.Context(), "backup", "status")
			return want(status == 0 && strings.Contains(text, " good "), "%d: %s", status, text)
		})
	})
	for _, token := range r.last {
		if a := r.call.refresh(r.web, token); a.code() != "invalid_grant" {
			p.t.Errorf("on %s, a refresh token of before: %v", where, a)
		}
	}
	ada := newPerson(p.t, p.issuer, "ada@example.org")
	ada.signIn(p.t)
	if a := r.call.refresh(r.web, ada.family(p.t, r.call, r.web).Refresh); a.status != http.StatusOK {
		p.t.Errorf("on %s, a refresh: %v", where, a)
	}
}
