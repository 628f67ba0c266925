package chart_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/testkit/container"
)

// A deployment is what a set of files starts: the server, the parts that it needs, and the way in.
type deployment struct {
	server   container.Container
	postgres map[string]string // the environment of PostgreSQL's container, if there is one
	redis    *exec.Cmd
	probes   []string // addresses that answer with 200
	metrics  string   // where metrics are read, or ""
	way      string   // the address at which people come to the server's machine
	issuer   string
}

// The manifests, the chart with the values of its example, and both files of compose start a server
// that a person signs in to: the real program, in the root directory of the image, which cannot be
// written, as the user, with the arguments, the environment and the volumes that the files say. Its
// PostgreSQL has the account that the files make, its Redis runs the command that they have, and
// names of services lead there. A proxy, with an address that the server trusts if it trusts any,
// is the ingress.
func TestStarts(t *testing.T) {
	if os.Getenv(envImage) == "" { // not a process of Alone
		testkit.Must(t, os.Setenv(envImage, makeImage(t)))
		t.Cleanup(func() { _ = os.Unsetenv(envImage) })
	}
	for name, read := range map[string]func(t *testing.T) *deployment{
		"chart":                   func(t *testing.T) *deployment { return kubernetes(t, seedObjects(t), nil) },
		"chart alone":             func(t *testing.T) *deployment { return kubernetes(t, smallObjects(t), nil) },
		"manifests":               func(t *testing.T) *deployment { return kubernetes(t, plainObjects(t), typedSecret(t)) },
		"compose with SQLite":     func(t *testing.T) *deployment { return composed(t, "sqlite.yaml") },
		"compose with PostgreSQL": func(t *testing.T) *deployment { return composed(t, "postgres.yaml") },
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			t.Parallel()
			if container.Alone(t) {
				starts(t, read(t))
			}
		})
	}
}

// starts starts a deployment, asks what its files say is asked, and signs a person in.
func starts(t *testing.T, d *deployment) {
	t.Helper()
	d.startPostgres(t)
	if d.redis != nil {
		run(t, d.redis)
	}
	d.server.Mount(t)
	log := run(t, d.server.Main())
	for _, address := range d.probes {
		testkit.Eventually(t, address, func() bool {
			r, err := http.Get(address)
			if err != nil {
				return false
			}
			_ = r.Body.Close()
			return r.StatusCode == http.StatusOK
		})
	}
	if d.metrics != "" {
		r, err := http.Get(d.metrics)
		testkit.Must(t, err)
		raw, err := io.ReadAll(r.Body)
		testkit.Must(t, errors.Join(err, r.Body.Close()))
		if !strings.Contains(string(raw), "\ngatehouse_") {
			t.Errorf("%s: %.200s", d.metrics, raw)
		}
	}
	if len(d.server.Image.Healthcheck.Test) > 1 {
		check := d.server.Exec(d.server.Image.Healthcheck.Test[1:]...)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("the health check of the image: %v: %s", err, out)
		}
	}
	if out, err := d.server.Exec("/gatehouse", "setup-link").CombinedOutput(); err != nil || !strings.Contains(string(out), d.issuer+"/setup?token=") {
		t.Errorf("setup-link: %v: %s", err, out)
	}
	create := d.server.Exec("/gatehouse", "user", "create", "--email", "ada@example.com", "--password-stdin")
	create.Stdin = strings.NewReader("a Lantern for 7 gates")
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("user create: %v: %s", err, out)
	}
	d.signIn(t)
	for _, bad := range []string{"panic", `"status":500`, `"level":"ERROR"`} {
		if strings.Contains(log.String(), bad) {
			t.Errorf("the log has %s:\n%s", bad, log)
		}
	}
}

// run starts a process that ends with the test, and returns what it writes.
func run(t *testing.T, cmd *exec.Cmd) *bytes.Buffer {
	t.Helper()
	log := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = log, log
	testkit.Must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", cmd.Args, log)
		}
	})
	return log
}

// startPostgres starts PostgreSQL at its own port, with the database, the account and the password
// that its image makes of its environment.
func (d *deployment) startPostgres(t *testing.T) {
	t.Helper()
	if d.postgres == nil {
		return
	}
	user, password, database := d.postgres["POSTGRES_USER"], d.postgres["POSTGRES_PASSWORD"], d.postgres["POSTGRES_DB"]
	if user == "" || password == "" || database == "" {
		t.Fatalf("PostgreSQL gets %v", d.postgres)
	}
	dir, err := os.MkdirTemp("", "gatehouse-deployed-")
	testkit.Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p, err := testkit.NewPostgres(dir)
	if errors.Is(err, testkit.ErrNoPostgres) {
		testkit.Missing(t, err.Error())
	}
	testkit.Must(t, err)
	p.Port = 5432
	rules := "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
	testkit.Must(t, os.WriteFile(filepath.Join(dir, "data", "pg_hba.conf"), []byte(rules), 0o644))
	run(t, p.Command("fsync=off"))
	testkit.Must(t, p.Wait(t.Context()))
	for _, statement := range []string{
		fmt.Sprintf("CREATE ROLE %q LOGIN SUPERUSER PASSWORD '%s'", user, password),
		fmt.Sprintf("CREATE DATABASE %q OWNER %q TEMPLATE template0 ENCODING UTF8 LOCALE 'C'", database, user),
	} {
		psql := p.Tool("psql", "-h", "127.0.0.1", "-p", "5432", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-c", statement)
		if out, err := psql.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", statement, err, out)
		}
	}
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)

// signIn signs a person in through the ingress, with the issuer as the address.
func (d *deployment) signIn(t *testing.T) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	testkit.Must(t, err)
	browser := &http.Client{Jar: jar, Timeout: testkit.HangAfter, Transport: d.ingress(t)}
	page := func(r *http.Response, err error) (at, body string) {
		testkit.Must(t, err)
		raw, err := io.ReadAll(r.Body)
		testkit.Must(t, errors.Join(err, r.Body.Close()))
		testkit.Equal(t, "the status of "+r.Request.URL.String(), r.StatusCode, http.StatusOK)
		return r.Request.URL.String(), string(raw)
	}
	_, login := page(browser.Get(d.issuer + "/login"))
	form := url.Values{"username": {"ada@example.com"}, "password": {"a Lantern for 7 gates"}}
	for _, h := range hidden.FindAllStringSubmatch(login, -1) {
		form.Set(h[1], html.UnescapeString(h[2]))
	}
	at, body := page(browser.PostForm(d.issuer+"/login", form))
	testkit.Equal(t, "the page after signing in", at, d.issuer+"/account")
	if !strings.Contains(body, "ada@example.com") {
		t.Errorf("the account page: %.500s", body)
	}
}

// ingress returns a way to the issuer: for https, through a proxy that ends TLS.
func (d *deployment) ingress(t *testing.T) http.RoundTripper {
	t.Helper()
	to, err := url.Parse(d.way)
	testkit.Must(t, err)
	if !strings.HasPrefix(d.issuer, "https://") {
		return http.DefaultTransport
	}
	dialer := new(net.Dialer)
	for _, e := range d.server.Env {
		list, ok := strings.CutPrefix(e, "TRUSTED_PROXIES=")
		if !ok || list == "" {
			continue
		}
		network := netip.MustParsePrefix(list)
		own := netip.PrefixFrom(network.Addr().Next(), network.Addr().BitLen())
		testkit.Must(t, exec.Command("ip", "addr", "add", own.String(), "dev", "lo").Run())
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(own.Addr(), 0))
	}
	proxy := httptest.NewTLSServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport: &http.Transport{DialContext: dialer.DialContext},
	})
	t.Cleanup(proxy.Close)
	return &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, proxy.Listener.Addr().String())
		},
	}
}
