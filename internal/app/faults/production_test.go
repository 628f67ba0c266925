package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A pair of servers on PostgreSQL and Redis, behind the HAProxy of deploy/proxies, which ends TLS,
// watched by Prometheus with the guide's configuration: both are restarted under load, backed up,
// restored elsewhere, and the doctor finds no problem before and after.
func TestRunInProduction(t *testing.T) {
	t.Parallel()
	haproxy, prometheus, promtool := testkit.Need(t, "haproxy"), testkit.Need(t, "prometheus"), testkit.Need(t, "promtool")
	certFile, keyFile, err := testkit.WriteCertificate(t.TempDir())
	testkit.Must(t, err)
	front := testkit.FreePort(t)
	first, second := durableDatabases(t)
	h := newHost(t, first, map[string]string{
		"ENVIRONMENT": "production", "SECRET_KEY": "9d1f0c5a7be3846212d4f6a8b0c2e4967183a5c7e9fb0d2f416385a7c9ebfd10", "SSL_CERT_FILE": certFile,
		"TRUSTED_PROXIES": "127.0.0.1", "REDIS_URL": testkit.StartRedis(t).URL(), "RATE_LIMIT_STORE": "redis",
		"LOG_FORMAT": "json", "DRAIN_DELAY": "3",
	})
	h.issuer = fmt.Sprintf("https://localhost:%d", front)
	h.env["BASE_URL"] = h.issuer
	admin := readGuide(t, "production").block("--role super_admin")
	h.shell("PASSWORD='" + password + ", and more of it'\n" + admin)
	ports := []int{testkit.FreePort(t), testkit.FreePort(t)}
	metrics := []string{strconv.Itoa(testkit.FreePort(t)), strconv.Itoa(testkit.FreePort(t))}
	start := func(i int) *server { return h.serveOn(ports[i], map[string]string{"METRICS_PORT": metrics[i]}) }
	servers := []*server{start(0), start(1)}
	h.balance(haproxy, front, ports, certFile, keyFile)
	h.watch(prometheus, promtool, metrics)
	web := h.web()
	h.wellBehaved()

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	var answered atomic.Int64
	for _, http2 := range []bool{false, true} {
		for range 2 {
			wg.Go(func() { gets(ctx, t, trusting(http2), h.issuer+"/.well-known/jwks.json", &answered) })
		}
	}
	for i, s := range servers {
		s.end(syscall.SIGTERM)
		testkit.Equal(t, "the exit status", s.cmd.ProcessState.ExitCode(), 0)
		servers[i] = start(i)
		h.balanced(ports[i])
	}
	stop()
	wg.Wait()
	if t.Logf("%d requests", answered.Load()); answered.Load() < 200 {
		t.Error("too few requests for a test")
	}

	folder := t.TempDir()
	h.shell(strings.ReplaceAll(strings.Replace(readGuide(t, "production").block("gatehouse backup /var/backups/"), "install -d -o gatehouse", "install -d", 1), "/var/backups", folder))
	elsewhere := h.at(second)
	elsewhere.shell(strings.Replace(readGuide(t, "production").block("--recover"), "/var/backups", folder, 1))
	for _, s := range servers {
		s.end(syscall.SIGINT)
	}
	for i := range servers {
		elsewhere.serveOn(ports[i], map[string]string{"METRICS_PORT": metrics[i]})
		elsewhere.balanced(ports[i])
	}
	call := newCaller(t, h.issuer)
	call.http = trusting(true)
	if a := call.refresh(web, "gth_rt_unknown"); a.status != http.StatusBadRequest || a.code() != "invalid_grant" {
		t.Errorf("the client at the restored database: %v", a)
	}
	elsewhere.wellBehaved()
}

// shell types commands, with the program as gatehouse and the settings in the environment.
func (h *host) shell(commands string) {
	h.t.Helper()
	bin, err := program()
	testkit.Must(h.t, err)
	cmd := exec.Command("sh", "-euc", "gatehouse() { "+bin+` "$@"; }`+"\n"+commands)
	cmd.Env, cmd.Dir = h.environment(nil), h.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		h.t.Fatalf("%s\n%v\n%s", commands, err, out)
	}
}

// durableDatabases returns two empty databases of a PostgreSQL whose settings are those of
// production: that of the other tests does not wait for its disk.
func durableDatabases(t testing.TB) (first, second string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-durable-")
	testkit.Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p, err := testkit.NewPostgres(dir)
	if errors.Is(err, testkit.ErrNoPostgres) {
		testkit.Missing(t, err.Error())
	}
	testkit.Must(t, err)
	cmd := p.Command()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGINT
	testkit.Must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGINT); _ = cmd.Wait() })
	testkit.Must(t, p.Wait(t.Context()))
	for _, name := range []string{"first", "second"} {
		out, err := p.Tool("createdb", "-h", "127.0.0.1", "-p", strconv.Itoa(p.Port), "-U", "postgres", name).CombinedOutput()
		if err != nil {
			t.Fatalf("createdb: %v: %s", err, out)
		}
	}
	return p.URL("first"), p.URL("second")
}

// wellBehaved lets the doctor examine the installation: no problem, and no warning but that there
// is no mail, and of the clock and the speed of the machine that the tests run on.
func (h *host) wellBehaved() {
	h.t.Helper()
	bin, err := program()
	testkit.Must(h.t, err)
	cmd := exec.Command(bin, "doctor", "--json")
	cmd.Env, cmd.Dir = h.environment(nil), h.dir
	raw, err := cmd.Output()
	var report struct {
		Findings []struct{ Check, Level, Title string }
	}
	testkit.Must(h.t, json.Unmarshal(raw, &report))
	if err != nil || len(report.Findings) < 10 {
		h.t.Errorf("the doctor: %v: %s", err, raw)
	}
	for _, f := range report.Findings {
		expected := slices.Contains([]string{"mail.server", "clock.unsynchronized", "database.latency"}, f.Check)
		if f.Level == "problem" || f.Level == "warning" && !expected {
			h.t.Errorf("%s: %s", f.Check, f.Title)
		}
	}
}

// up reports whether a server is ready.
func (h *host) up(address string) bool {
	a, err := trusting(false).Get(address + "/readyz")
	if err != nil {
		return false
	}
	defer a.Body.Close()
	return a.StatusCode == http.StatusOK
}

// balance starts HAProxy with the file that is shipped, on ports of the test.
func (h *host) balance(haproxy string, front int, ports []int, certFile, keyFile string) {
	h.t.Helper()
	raw, err := os.ReadFile("../../../deploy/proxies/haproxy.cfg")
	testkit.Must(h.t, err)
	var pem []byte
	for _, name := range []string{certFile, keyFile} {
		one, err := os.ReadFile(name)
		testkit.Must(h.t, err)
		pem = append(pem, one...)
	}
	testkit.Must(h.t, os.WriteFile(filepath.Join(h.dir, "id.pem"), pem, 0o600))
	text := strings.NewReplacer(":443", fmt.Sprintf("127.0.0.1:%d", front), "/etc/haproxy/id.pem", filepath.Join(h.dir, "id.pem"),
		"127.0.0.1:8080", fmt.Sprintf("127.0.0.1:%d", ports[0]), "127.0.0.1:8081", fmt.Sprintf("127.0.0.1:%d", ports[1])).Replace(string(raw))
	h.started(exec.Command(haproxy, "-db", "-f", h.write("haproxy.cfg", "global\n    stats socket "+filepath.Join(h.dir, "stats")+"\n"+text)))
	eventually(h.t, "HAProxy answers", func() error { return want(h.up(h.issuer), "not yet") })
}

// balanced waits until HAProxy sends requests to a server again.
func (h *host) balanced(port int) {
	h.t.Helper()
	name := map[bool]string{true: "one", false: "two"}[strings.Contains(h.read("haproxy.cfg"), fmt.Sprintf("server one 127.0.0.1:%d ", port))]
	eventually(h.t, "HAProxy has noticed", func() error {
		lines := h.balancerSays("show stat")
		for line := range strings.Lines(lines) {
			if f := strings.Split(line, ","); len(f) > 17 && f[0] == "gatehouse" && f[1] == name {
				return want(f[17] == "UP", "%s is %s", name, f[17])
			}
		}
		return want(false, "no server %s in %s", name, lines)
	})
}

// watch starts Prometheus with the configuration that the guide prints and the rules of
// deploy/monitoring, after promtool has checked both, and waits until it has asked both servers.
func (h *host) watch(prometheus, promtool string, metrics []string) {
	h.t.Helper()
	rules, err := filepath.Abs("../../../deploy/monitoring/gatehouse.rules.yml")
	testkit.Must(h.t, err)
	text := strings.NewReplacer("10.0.0.11:9464", "127.0.0.1:"+metrics[0], "10.0.0.12:9464", "127.0.0.1:"+metrics[1],
		"/etc/prometheus/gatehouse.rules.yml", rules).Replace(readGuide(h.t, "monitor").block("scrape_configs:"))
	file := h.write("prometheus.yml", "global:\n  scrape_interval: 1s\n"+text)
	if out, err := exec.Command(promtool, "check", "config", file).CombinedOutput(); err != nil {
		h.t.Fatalf("promtool: %v\n%s", err, out)
	}
	at := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(h.t))
	h.started(exec.Command(prometheus, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(h.dir, "metrics"),
		"--web.listen-address="+at, "--log.level=error"))
	call := newCaller(h.t, "http://"+at)
	call.http.Timeout = 2 * time.Second // a query that comes before its storage is open may have no answer
	eventually(h.t, "Prometheus reads both servers", func() error {
		if a := call.get("/-/ready"); a.status != http.StatusOK {
			return want(false, "%v", a)
		}
		a := call.get("/api/v1/query?query=" + url.QueryEscape(`sum(up{job="gatehouse"}) and on() (sum(gatehouse_revocation_sequence) >= 0)`))
		return want(strings.Contains(a.body, `"2"`), "%v", a)
	})
}

func (h *host) write(name, text string) string {
	h.t.Helper()
	to := filepath.Join(h.dir, name)
	testkit.Must(h.t, os.WriteFile(to, []byte(text), 0o600))
	return to
}

func (h *host) read(name string) string {
	h.t.Helper()
	raw, err := os.ReadFile(filepath.Join(h.dir, name))
	testkit.Must(h.t, err)
	return string(raw)
}

// started starts a program that ends with the test.
func (h *host) started(cmd *exec.Cmd) {
	h.t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	testkit.Must(h.t, cmd.Start())
	h.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
}

// balancerSays returns what HAProxy answers to a command.
func (h *host) balancerSays(command string) string {
	h.t.Helper()
	conn, err := net.Dial("unix", filepath.Join(h.dir, "stats"))
	testkit.Must(h.t, err)
	defer conn.Close()
	_, err = fmt.Fprintln(conn, command)
	testkit.Must(h.t, err)
	raw, err := io.ReadAll(conn)
	testkit.Must(h.t, err)
	return string(raw)
}
