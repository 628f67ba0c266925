package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// gatewayServer is a server with its gateway, in front of a service that tells what it was asked.
type gatewayServer struct {
	*testServer
	t       *testing.T
	environ []string
	service *httptest.Server
	log     testLog
}

// testLog is a log that a test reads while the server writes it.
type testLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (b *testLog) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(line)
}

func (b *testLog) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func newGatewayServer(t *testing.T, settings ...string) *gatewayServer {
	t.Helper()
	d := &gatewayServer{t: t}
	d.service = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s signed=%v", r.RequestURI, r.Header.Get("X-Auth-Info") != "")
	}))
	t.Cleanup(d.service.Close)
	d.environ = append([]string{"DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "g.db"), "RATE_LIMIT_ENABLED=false"}, settings...)
	e := &env{
		stdout:  io.Discard,
		stderr:  io.Discard,
		now:     time.Now,
		environ: d.environ,
	}
	cfg, err := loadConfig(e, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := openParts(t.Context(), e, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(t.Context(), e, p, slog.New(slog.NewTextHandler(&d.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); s.work(ctx) }()
	t.Cleanup(func() { stop(); <-ended; _ = p.Close() })
	d.testServer = &testServer{handler: s.handler, now: time.Now()}
	d.testServer.seed(t, t.Context(), p)
	return d
}

// command runs a command as another process would, and gives what it printed.
func (d *gatewayServer) command(args ...string) string {
	d.t.Helper()
	var out, errs bytes.Buffer
	if code := Main(d.t.Context(), args, d.environ, strings.NewReader(""), &out, &errs); code != 0 {
		d.t.Fatalf("gatehouse %s: %d %s", strings.Join(args, " "), code, &errs)
	}
	return out.String()
}

// ask asks for a path with a token and gives status and body.
func (d *gatewayServer) ask(path, token string) (int, string) {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, d.request("GET", path, nil, token))
	return w.Code, w.Body.String()
}

// awaitStatus waits until a path answers with a status, and returns the body.
func (d *gatewayServer) awaitStatus(what, path, token string, status int) (body string) {
	d.t.Helper()
	testkit.Eventually(d.t, fmt.Sprintf("%s: %s answers %d", what, path, status), func() bool {
		var got int
		got, body = d.ask(path, token)
		return got == status
	})
	return body
}

// A change of the file is in force within a second: it is found at the next look.
func TestRoutesFileIsPolledOften(t *testing.T) {
	if pollRoutesFile > 500*time.Millisecond {
		t.Errorf("the file is read every %v", pollRoutesFile)
	}
}

// Routes that commands create, update and delete apply without a restart.
func TestRoutesFollowCommands(t *testing.T) {
	d := newGatewayServer(t)
	if got, _ := d.ask("/shop/v1/things", d.access); got != http.StatusNotFound {
		t.Fatalf("without a route: %d", got)
	}
	d.command("route", "create", "--domain", "shop", "--version", "v1", "--upstream", d.service.URL, "--scope", "email")
	if body := d.awaitStatus("made", "/shop/v1/things?a=b", d.access, http.StatusOK); body != "/things?a=b signed=true" {
		t.Errorf("the service was asked %s", body)
	}
	d.awaitStatus("nobody", "/shop/v1/things", "", http.StatusUnauthorized)
	d.command("route", "update", "shop/v1", "--scope", "read")
	d.awaitStatus("another scope", "/shop/v1/things", d.access, http.StatusForbidden)
	d.command("route", "update", "shop/v1", "--unset", "scope", "--inactive")
	d.awaitStatus("inactive", "/shop/v1/things", d.access, http.StatusNotFound)
	d.command("route", "update", "shop/v1", "--inactive=false")
	d.awaitStatus("active again", "/shop/v1/things", d.access, http.StatusOK)
	d.command("route", "delete", "shop/v1", "--yes")
	d.awaitStatus("deleted", "/shop/v1/things", d.access, http.StatusNotFound)
	d.awaitStatus("what is ours is served all along", "/.well-known/openid-configuration", "", http.StatusOK)
}

// A token that a client's end or its own revocation has ended passes no more, and explain says
// why.
func TestGatewayDeniesRevokedTokens(t *testing.T) {
	d := newGatewayServer(t)
	d.command("route", "create", "--domain", "shop", "--version", "v1", "--upstream", d.service.URL)
	d.awaitStatus("before", "/shop/v1/", d.access, http.StatusOK)
	d.post(t, "/oauth/revoke", url.Values{"token": {d.access}})
	if got, _ := d.ask("/shop/v1/", d.access); got != http.StatusUnauthorized {
		t.Errorf("revoked here: %d", got)
	}
	again := member(d.post(t, "/oauth/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}}), "access_token")
	d.awaitStatus("another token", "/shop/v1/", again, http.StatusOK)
	d.command("client", "update", "web", "--disabled")
	body := d.awaitStatus("its client is disabled by another process", "/shop/v1/", again, http.StatusUnauthorized)
	id := member(body, "request_id")
	testkit.Eventually(t, "explain "+id+" says how to fix it", func() bool {
		var out, errs bytes.Buffer
		code := Main(t.Context(), []string{"explain", id}, d.environ, strings.NewReader(""), &out, &errs)
		return code == 0 && strings.Contains(out.String(), "To fix: ")
	})
}

// The file is taken up when it changes; one that is wrong changes nothing.
func TestRoutesFollowTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "routes.yaml")
	write := func(text string) { // at once, or the server could read the half of it
		t.Helper()
		testkit.Must(t, os.WriteFile(file+".new", []byte(text), 0o600))
		testkit.Must(t, os.Rename(file+".new", file))
	}
	write("routes: []\n")
	d := newGatewayServer(t, "ROUTES_FILE="+file)
	one := "routes:\n  - name: one\n    domain: one\n    version: v1\n    upstreams: [" + d.service.URL + "]\n"
	write(one)
	d.awaitStatus("added", "/one/v1/x", d.access, http.StatusOK)
	write("routes:\n  - name: two\n    upstream: wrong\n")
	testkit.Eventually(t, "the wrong file is reported", func() bool {
		return strings.Contains(d.log.String(), "ROUTES_FILE is invalid")
	})
	if got, body := d.ask("/one/v1/x", d.access); got != http.StatusOK {
		t.Errorf("with a wrong file: %d %s", got, body)
	}
	write(one)
	d.command("route", "create", "--domain", "two", "--version", "v1", "--upstream", d.service.URL)
	d.awaitStatus("beside the file", "/two/v1/x", d.access, http.StatusOK)
	write(strings.ReplaceAll(one, "one", "three"))
	d.awaitStatus("renamed", "/three/v1/x", d.access, http.StatusOK)
	d.awaitStatus("and gone", "/one/v1/x", d.access, http.StatusNotFound)
}
