package app

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// installation is a server with its settings, as doctor examines it.
type installation struct {
	e   *env
	cfg *config.Config
}

func install(t *testing.T, environ ...string) *installation {
	t.Helper()
	e := &env{stdout: io.Discard, stderr: io.Discard, now: time.Now, environ: environ}
	e.getenv = lookup(environ)
	cfg, err := loadConfig(e, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	return &installation{e, cfg}
}

// start creates the database and returns the handler of its server.
func (in *installation) start(t *testing.T) http.Handler {
	t.Helper()
	p, err := openParts(t.Context(), in.e, in.cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	s, err := newServer(t.Context(), in.e, p, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s.handler
}

// examine returns the level of each finding; of several from one check, the most urgent.
func (in *installation) examine(ctx context.Context) map[string]doctor.Finding {
	out := map[string]doctor.Finding{}
	for _, f := range diagnose(ctx, in.e, in.cfg).Findings {
		if _, ok := out[f.Check]; !ok {
			out[f.Check] = f
		}
	}
	return out
}

func expect(t *testing.T, found map[string]doctor.Finding, check string, l doctor.Level, says string) {
	t.Helper()
	f, ok := found[check]
	if !ok || f.Level != l || !strings.Contains(f.Title+" "+f.Fix, says) {
		t.Errorf("%s: %+v; want %s with %q", check, f, l, says)
	}
}

// doctor looks at an installation that has never run, and leaves nothing behind.
func TestDoctorBeforeTheFirstStart(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "data", "g.db")
	in := install(t, "DATABASE_URL=sqlite:"+file)
	expect(t, in.examine(t.Context()), "database.reachable", doctor.Problem, "serve creates it")
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect(t, in.examine(t.Context()), "database.reachable", doctor.Problem, "secret.key is missing")
	if _, err := os.Stat(filepath.Join(dir, "data", "secret.key")); err == nil {
		t.Error("a key was created")
	}
	if _, err := migrate(t.Context(), in.cfg, false, func(string) {}); err != nil {
		t.Fatal(err)
	}
	expect(t, in.examine(t.Context()), "database.reachable", doctor.Problem, "no key yet; gatehouse serve creates")
	if _, err := os.Stat(filepath.Join(dir, "data", "secret.key")); err == nil {
		t.Error("a key was created")
	}
	in.start(t)
	if err := os.Remove(filepath.Join(dir, "data", "secret.key")); err != nil {
		t.Fatal(err)
	}
	expect(t, in.examine(t.Context()), "database.reachable", doctor.Problem, "secret.key is missing")
}

// doctor sees how requests to the public address arrive: behind a proxy that is not trusted, one
// that says nothing, and one that is set up well; and who else may answer there.
func TestDoctorBehindProxies(t *testing.T) {
	dir := t.TempDir()
	var backend http.Handler
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		backend.ServeHTTP(w, r)
	}))
	defer upstream.Close()
	to, _ := url.Parse(upstream.URL)
	silent, withholds := false, false
	var answer func(http.Header)
	proxy := httptest.NewServer(&httputil.ReverseProxy{ModifyResponse: func(r *http.Response) error {
		if answer != nil {
			answer(r.Header)
		}
		return nil
	}, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host
		if withholds {
			r.Out.Header.Del("Cookie")
		}
		if !silent {
			r.SetXForwarded()
		}
	}})
	defer proxy.Close()
	base := []string{"DATABASE_URL=sqlite:" + filepath.Join(dir, "g.db"), "BASE_URL=" + proxy.URL}

	in := install(t, base...)
	backend = in.start(t)
	found := in.examine(t.Context())
	expect(t, found, "proxy.untrusted", doctor.Problem, "Add 127.0.0.1 to TRUSTED_PROXIES")
	expect(t, found, "proxy.reachable", doctor.Good, proxy.URL)
	expect(t, found, "people.setup", doctor.Problem, "setup-link")
	expect(t, found, "proxy.cookies", doctor.Good, "unchanged")
	answer = func(h http.Header) { h.Del("Set-Cookie") }
	expect(t, in.examine(t.Context()), "proxy.cookies", doctor.Problem, "do not reach browsers")
	answer = func(h http.Header) {
		h.Set("Set-Cookie", strings.NewReplacer("Path=/", "Path=/id", "; HttpOnly", "").Replace(h.Get("Set-Cookie")))
	}
	expect(t, in.examine(t.Context()), "proxy.cookies", doctor.Problem, "another Path, HttpOnly than")
	answer, withholds = nil, true
	expect(t, in.examine(t.Context()), "proxy.cookies", doctor.Problem, "do not reach the server")
	withholds = false

	in = install(t, append(base, "TRUSTED_PROXIES=127.0.0.1")...)
	backend = in.start(t)
	expect(t, in.examine(t.Context()), "proxy.headers", doctor.Good, "127.0.0.1")
	silent = true
	expect(t, in.examine(t.Context()), "proxy.headers", doctor.Problem, "X-Forwarded-For")

	other := install(t, "DATABASE_URL=sqlite:"+filepath.Join(t.TempDir(), "other.db"))
	backend = other.start(t)
	expect(t, in.examine(t.Context()), "proxy.other", doctor.Problem, "SECRET_KEY")
	proxy.Close()
	expect(t, in.examine(t.Context()), "proxy.reachable", doctor.Warning, "refused")
}

// doctor asks the DNS for the host of the address, and tries each of the addresses.
func TestLookUp(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testkit.Must(t, err)
	defer l.Close()
	for address, want := range map[string]*doctor.DNS{
		"https://192.0.2.1":                      nil,
		"http://localhost:8080":                  nil,
		"http://" + l.Addr().String() + "/realm": nil,
	} {
		u, err := url.Parse(address)
		testkit.Must(t, err)
		if got := lookUp(t.Context(), u); got != want {
			t.Errorf("%s: %+v", address, got)
		}
	}
	u, err := url.Parse("https://id.example.invalid") // RFC 6761 §6.4: no such name exists
	testkit.Must(t, err)
	if got := lookUp(t.Context(), u); got == nil || got.Err == "" || got.Host != "id.example.invalid" {
		t.Errorf("%+v", got)
	}
	testkit.Equal(t, "where somebody listens", answersAt(t.Context(), l.Addr().String()), true)
	testkit.Must(t, l.Close())
	testkit.Equal(t, "where nobody does", answersAt(t.Context(), l.Addr().String()), false)
}

// Nobody without the master key learns how a request arrived.
func TestProbeOfAStranger(t *testing.T) {
	in := install(t, "DATABASE_URL=sqlite::memory:", "SECRET_KEY="+strings.Repeat("k1", 20))
	h := in.start(t)
	for _, header := range []string{"x", "1.abc", "99999999999999999999.x", "."} {
		r := httptest.NewRequest(http.MethodGet, "/health", nil)
		r.Header.Set(probeHeader, header)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || strings.Contains(w.Body.String(), "peer") {
			t.Errorf("%s: %d %s", header, w.Code, w.Body)
		}
	}
}

// --fix takes away what others may do with files that hold secrets, and nothing else.
func TestDoctorRepairs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "g.db")
	in := install(t, "DATABASE_URL=sqlite:"+file)
	in.start(t)
	if err := os.Chmod(file, 0o664); err != nil {
		t.Fatal(err)
	}
	f := in.examine(t.Context())["files.mode"]
	if f.Level != doctor.Problem {
		t.Fatalf("%+v", f)
	}
	if err := repair(t.Context(), f.Repair); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Errorf("%v", info.Mode())
	}
	expect(t, in.examine(t.Context()), "files.mode", doctor.Good, "Only the server's user")
	for _, what := range []string{"", "rm x y", "chmod 999 " + file, "chmod"} {
		if repair(t.Context(), what) == nil {
			t.Errorf("%q was done", what)
		}
	}
}

// On PostgreSQL doctor reads its settings.
func TestDoctorOnPostgres(t *testing.T) {
	in := install(t, "DATABASE_URL="+storetest.Postgres(t), "SECRET_KEY="+strings.Repeat("k1", 20))
	in.start(t)
	found := in.examine(t.Context())
	expect(t, found, "database.reachable", doctor.Good, "PostgreSQL")
	expect(t, found, "clock.database", doctor.Good, "agree")
	expect(t, found, "secrets.master", doctor.Problem, "openssl")
	for check := range found {
		if area := strings.Split(check, ".")[0]; !slices.Contains(doctor.Areas(), area) {
			t.Errorf("%s is in no area", check)
		}
	}
	other := install(t, in.e.environ[0], "SECRET_KEY="+strings.Repeat("k2", 20))
	found = other.examine(t.Context())
	expect(t, found, "secrets.master", doctor.Problem, "does not fit the database")
	if f, ok := found["proxy.other"]; ok { // with the wrong key nobody can tell
		t.Errorf("%+v", f)
	}
	in = install(t, "DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "SECRET_KEY="+strings.Repeat("k1", 20))
	expect(t, in.examine(t.Context()), "database.reachable", doctor.Problem, "DATABASE_URL")
}
