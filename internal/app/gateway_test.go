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
	"testing"
	"time"
)

// gatewayServer is a server with its gateway, in front of a service that tells what it was asked.
type gatewayServer struct {
	*testServer
	t       *testing.T
	environ []string
	service *httptest.Server
	log     *bytes.Buffer
}

func newGatewayServer(t *testing.T, settings ...string) *gatewayServer {
	t.Helper()
	d := &gatewayServer{t: t, log: &bytes.Buffer{}}
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
	s, err := newServer(t.Context(), e, p, slog.New(slog.DiscardHandler))
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

// soon waits until a path answers with a status, for a second and a little: as long as a change
// may take.
func (d *gatewayServer) soon(what, path, token string, status int) string {
	d.t.Helper()
	begun := time.Now()
	for {
		got, body := d.ask(path, token)
		if got == status {
			return body
		}
		if time.Since(begun) > 1500*time.Millisecond {
			d.t.Fatalf("%s: %s answers %d, not %d: %s", what, path, got, status, body)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Routes that commands make, change and delete are in force within a second, without a restart.
func TestRoutesFollowCommands(t *testing.T) {
	d := newGatewayServer(t)
	if got, _ := d.ask("/shop/v1/things", d.access); got != http.StatusNotFound {
		t.Fatalf("without a route: %d", got)
	}
	d.command("route", "create", "--domain", "shop", "--version", "v1", "--upstream", d.service.URL, "--scope", "email")
	if body := d.soon("made", "/shop/v1/things?a=b", d.access, http.StatusOK); body != "/things?a=b signed=true" {
		t.Errorf("the service was asked %s", body)
	}
	d.soon("nobody", "/shop/v1/things", "", http.StatusUnauthorized)
	d.command("route", "update", "shop/v1", "--scope", "read")
	d.soon("another scope", "/shop/v1/things", d.access, http.StatusForbidden)
	d.command("route", "update", "shop/v1", "--unset", "scope", "--inactive")
	d.soon("inactive", "/shop/v1/things", d.access, http.StatusNotFound)
	d.command("route", "update", "shop/v1", "--inactive=false")
	d.soon("active again", "/shop/v1/things", d.access, http.StatusOK)
	d.command("route", "delete", "shop/v1", "--yes")
	d.soon("deleted", "/shop/v1/things", d.access, http.StatusNotFound)
	d.soon("what is ours is served all along", "/.well-known/openid-configuration", "", http.StatusOK)
}

// A token that a client's end or its own revocation has ended passes no more, and explain says
// why.
func TestGatewayDeniesRevokedTokens(t *testing.T) {
	d := newGatewayServer(t)
	d.command("route", "create", "--domain", "shop", "--version", "v1", "--upstream", d.service.URL)
	d.soon("before", "/shop/v1/", d.access, http.StatusOK)
	d.post(t, "/oauth/revoke", url.Values{"token": {d.access}})
	if got, _ := d.ask("/shop/v1/", d.access); got != http.StatusUnauthorized {
		t.Errorf("revoked here: %d", got)
	}
	again := member(d.post(t, "/oauth/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}}), "access_token")
	d.soon("another token", "/shop/v1/", again, http.StatusOK)
	d.command("client", "update", "web", "--disabled")
	body := d.soon("its client is disabled by another process", "/shop/v1/", again, http.StatusUnauthorized)
	id := member(body, "request_id")
	begun := time.Now()
	for {
		var out, errs bytes.Buffer
		code := Main(t.Context(), []string{"explain", id}, d.environ, strings.NewReader(""), &out, &errs)
		if code == 0 && strings.Contains(out.String(), "To fix: ") {
			break
		}
		if time.Since(begun) > 3*time.Second {
			t.Fatalf("explain %s: %d %s %s", id, code, &out, &errs)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// The file is taken up when it changes; one that is wrong changes nothing.
func TestRoutesFollowTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "routes.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("routes: []\n")
	d := newGatewayServer(t, "ROUTES_FILE="+file)
	one := "routes:\n  - name: one\n    domain: one\n    version: v1\n    upstreams: [" + d.service.URL + "]\n"
	write(one)
	d.soon("added", "/one/v1/x", d.access, http.StatusOK)
	write("routes:\n  - name: two\n    upstream: wrong\n")
	time.Sleep(2 * pollRoutesFile)
	d.soon("a wrong file", "/one/v1/x", d.access, http.StatusOK)
	write(one)
	d.command("route", "create", "--domain", "two", "--version", "v1", "--upstream", d.service.URL)
	d.soon("beside the file", "/two/v1/x", d.access, http.StatusOK)
	write(strings.ReplaceAll(one, "one", "three"))
	d.soon("renamed", "/three/v1/x", d.access, http.StatusOK)
	d.soon("and gone", "/one/v1/x", d.access, http.StatusNotFound)
}
