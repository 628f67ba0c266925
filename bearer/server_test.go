package bearer_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A gatehouse is a real server with an API's client and two clients that call the API.
type gatehouse struct {
	binary, dir, issuer string
	secrets             map[string]string
}

// TestGatehouse checks tokens of the real server.
func TestGatehouse(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the server")
	}
	g := &gatehouse{dir: t.TempDir(), secrets: map[string]string{}}
	g.build(t)
	g.run(t, "scope", "create", "notes:read", "--description", "read your notes")
	g.client(t, "api", "client_credentials", "--scope", "notes:read", "--resource", api)
	g.client(t, "other", "client_credentials", "--scope", "notes:read")
	g.client(t, "signed", "client_credentials", "--scope", "notes:read", "--resource", api)
	g.client(t, "opaque", "client_credentials", "--scope", "notes:read", "--resource", api, "--token-format", "opaque")
	g.serve(t)
	v := newVerifier(t, bearer.Config{
		Issuer:    g.issuer,
		Client:    bearer.ClientCredentials{ID: "api", Secret: g.secrets["api"]},
		PublicURL: api,
	})
	if err := v.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"signed", "opaque"} {
		t.Run(kind, func(t *testing.T) { g.testLifetime(t, v, kind) })
	}
	t.Run("for the server itself", func(t *testing.T) {
		_, err := verify(t, v, g.token(t, "signed", url.Values{}, nil))
		rejected(t, err, 401, bearer.CodeInvalidToken)
	})
	t.Run("by the client of another API", func(t *testing.T) {
		var failed atomic.Pointer[error]
		stranger := newVerifier(t, bearer.Config{
			Issuer:  g.issuer,
			Client:  bearer.ClientCredentials{ID: "other", Secret: g.secrets["other"]},
			OnError: func(err error) { failed.Store(&err) },
		})
		stranger.Start()
		testkit.Eventually(t, "the feed says why it is refused", func() bool {
			err := failed.Load()
			return err != nil && strings.Contains((*err).Error(), "invalid_target")
		})
		for _, kind := range []string{"signed", "opaque"} {
			_, err := verify(t, stranger, g.token(t, kind, url.Values{"resource": {api}}, nil))
			rejected(t, err, 401, bearer.CodeInvalidToken)
		}
	})
	t.Run("new key", func(t *testing.T) {
		g.run(t, "key", "rotate")
		late := newVerifier(t, bearer.Config{Issuer: g.issuer, IgnoreRevocations: true})
		testkit.Eventually(t, "the new key is loaded", func() bool {
			_, err := verify(t, late, g.token(t, "signed", url.Values{"resource": {api}}, nil))
			return err == nil
		})
	})
	t.Run("bound to a key", func(t *testing.T) { g.testBound(t, v) })
}

// testLifetime uses a token until it is revoked.
func (g *gatehouse) testLifetime(t *testing.T, v *bearer.Verifier, client string) {
	token := g.token(t, client, url.Values{"resource": {api}}, nil)
	got, err := verify(t, v, token)
	if err != nil || got.Client != client || got.User != "" || !got.HasScopes("notes:read") || got.Issuer != g.issuer || got.ID == "" || got.Grant == "" {
		t.Fatalf("%+v %v", got, err)
	}
	if res := get(v, request("Bearer "+token), "notes:write"); res.StatusCode != 403 {
		t.Errorf("without the scope: %d", res.StatusCode)
	}
	g.post(t, client, "/oauth/revoke", url.Values{"token": {token}}, nil)
	testkit.Eventually(t, "the token is rejected", func() bool { _, err := verify(t, v, token); return err != nil })
	_, err = verify(t, v, token)
	rejected(t, err, 401, bearer.CodeInvalidToken)
}

func (g *gatehouse) testBound(t *testing.T, v *bearer.Verifier) {
	for _, client := range []string{"signed", "opaque"} {
		holder := bearertest.NewHolder(t)
		token := g.token(t, client, url.Values{"resource": {api}}, http.Header{"Dpop": {holder.Proof("POST", g.issuer+"/oauth/token", "", bearertest.Claims{"ath": nil})}})
		got, err := v.Verify(t.Context(), withProof(token, holder.Proof("GET", htu, token, nil)))
		if err != nil || got.Thumbprint != holder.Confirmation()["jkt"] {
			t.Errorf("%s: %+v %v", client, got, err)
		}
		_, err = verify(t, v, token)
		rejected(t, err, 401, bearer.CodeInvalidToken)
	}
}

func (g *gatehouse) build(t *testing.T) {
	t.Helper()
	if g.binary = os.Getenv("GATEHOUSE_TEST_BINARY"); g.binary != "" {
		return
	}
	g.binary = filepath.Join(g.dir, "gatehouse")
	if out, err := exec.Command("go", "build", "-o", g.binary, "../cmd/gatehouse").CombinedOutput(); err != nil {
		t.Fatalf("the server cannot be built: %v\n%s", err, out)
	}
}

func (g *gatehouse) command(args ...string) *exec.Cmd {
	cmd := exec.Command(g.binary, args...)
	cmd.Dir, cmd.Env = g.dir, []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LOG_LEVEL=error", "RATE_LIMIT_ENABLED=false"}
	return cmd
}

// run runs a command, again where the server holds the database for longer than a command waits, as
// it may on a busy machine.
func (g *gatehouse) run(t *testing.T, args ...string) (out []byte) {
	t.Helper()
	testkit.Eventually(t, "gatehouse "+strings.Join(args, " "), func() bool {
		cmd := g.command(append(args, "--json")...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		var err error
		if out, err = cmd.Output(); err != nil && !strings.Contains(stderr.String(), "the database is busy") {
			t.Fatalf("gatehouse %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
		}
		return err == nil
	})
	return out
}

func (g *gatehouse) client(t *testing.T, id, grant string, more ...string) {
	t.Helper()
	var made struct {
		Secret string `json:"client_secret"`
	}
	out := g.run(t, append([]string{"client", "create", "--id", id, "--name", id, "--grant", grant}, more...)...)
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	g.secrets[id] = made.Secret
}

func (g *gatehouse) serve(t *testing.T) {
	t.Helper()
	cmd := g.command("serve", "--port", "0", "--drain-delay", "0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	announced := regexp.MustCompile(`^Gatehouse is at (\S+)`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := announced.FindStringSubmatch(lines.Text()); m != nil {
			g.issuer = m[1]
			go func() { _, _ = io.Copy(io.Discard, out) }() // so that the rest does not fill the pipe
			return
		}
	}
	t.Fatal("the server did not start")
}

func (g *gatehouse) token(t *testing.T, client string, form url.Values, header http.Header) string {
	t.Helper()
	form.Set("grant_type", "client_credentials")
	var answer struct {
		Token string `json:"access_token"`
	}
	body := g.post(t, client, "/oauth/token", form, header)
	if err := json.Unmarshal(body, &answer); err != nil || answer.Token == "" {
		t.Fatalf("no token: %s", body)
	}
	return answer.Token
}

func (g *gatehouse) post(t *testing.T, client, path string, form url.Values, header http.Header) []byte {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "POST", g.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, g.secrets[client])
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: %d %s %v", path, res.StatusCode, body, err)
	}
	return body
}
