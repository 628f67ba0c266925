package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/cli/signin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// elsewhere is a server that answers what a test wants, and a person's sign-in there.
type elsewhere struct {
	t       *testing.T
	server  *httptest.Server
	environ map[string]string
	now     time.Time
	tokens  []string // that requests brought, in order
	refresh int      // how often tokens were refreshed
	ended   bool     // the sign-in has ended on the server
	api     string   // the document of the API, or ""
	answer  func(w http.ResponseWriter, r *http.Request)
}

func newElsewhere(t *testing.T, answer func(w http.ResponseWriter, r *http.Request)) *elsewhere {
	x := &elsewhere{t: t, now: time.Now(), answer: answer}
	x.server = httptest.NewServer(x)
	t.Cleanup(x.server.Close)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	x.environ = map[string]string{envServer: x.server.URL + "/"}
	return x
}

// ServeHTTP answers as the sign-in server, and all else as the test wants.
func (x *elsewhere) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		writeJSON(w, 200, map[string]any{"issuer": x.server.URL, "token_endpoint": x.server.URL + "/token"})
	case "/token":
		if x.ended {
			writeJSON(w, 400, map[string]any{"error": "invalid_grant"})
			return
		}
		x.refresh++
		writeJSON(w, 200, map[string]any{
			"access_token":  fmt.Sprint("fresh", x.refresh),
			"token_type":    "Bearer",
			"expires_in":    300,
			"refresh_token": "next",
		})
	case "/api/v1/openapi.json":
		if r.Header.Get("Authorization") != "" {
			x.t.Error("a token was sent for a public document")
		}
		fmt.Fprint(w, x.api)
	default:
		x.tokens = append(x.tokens, r.Header.Get("Authorization"))
		x.answer(w, r)
	}
}

func writeJSON(w http.ResponseWriter, status int, doc any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc)
}

func problemOf(status int, code, text string, more ...any) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		doc := map[string]any{"status": status, "error": code, "detail": text}
		for i := 0; i+1 < len(more); i += 2 {
			doc[more[i].(string)] = more[i+1]
		}
		writeJSON(w, status, doc)
	}
}

// signIn stores a sign-in whose access token ends after a time.
func (x *elsewhere) signIn(ends time.Duration, resource string) *signin.File {
	x.t.Helper()
	file, err := signin.OpenFile("", func() time.Time { return x.now })
	testkit.Must(x.t, err)
	_, err = file.Save(x.t.Context(), &signin.Account{
		Issuer:   x.server.URL,
		ClientID: "gatehouse-cli",
		Subject:  "ann",
		Resource: resource,
		Tokens: signin.Tokens{
			AccessToken:  "stored",
			ExpiresAt:    x.now.Add(ends),
			RefreshToken: "first",
		},
	})
	testkit.Must(x.t, err)
	return file
}

// run runs a command line and returns what it wrote and its exit status.
func (x *elsewhere) run(args ...string) (out, errs string, status int) {
	x.t.Helper()
	var stdout, stderr bytes.Buffer
	status = Main(x.t.Context(), Program{
		Rules:  token.ClientRules(),
		Now:    func() time.Time { return x.now },
		Getenv: func(name string) string { return x.environ[name] },
	}, Streams{strings.NewReader("a password"), &stdout, &stderr}, args)
	if n := strings.Count(stderr.String(), "\n"); status != 0 && n != 1 {
		x.t.Errorf("%v: %d lines of errors: %s", args, n, stderr.String())
	}
	return stdout.String(), stderr.String(), status
}

// fails runs a command line that must fail with a text.
func (x *elsewhere) fails(status int, text string, args ...string) {
	x.t.Helper()
	_, errs, got := x.run(args...)
	text = strings.ReplaceAll(text, "SERVER", x.server.URL)
	if got != status || !strings.Contains(errs, text) {
		x.t.Errorf("%v: status %d, not %d; %s\nhas not: %s", args, got, status, errs, text)
	}
}

func noRoles(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, 200, map[string]any{"data": []any{}, "total": 0})
}

func TestSignInWorksElsewhere(t *testing.T) {
	x := newElsewhere(t, noRoles)
	x.fails(1, "you are not signed in at SERVER, or the sign-in has ended; run: gatehouse login --server SERVER", "role", "list")
	if len(x.tokens) > 0 {
		t.Error("a request was sent without a token")
	}

	file := x.signIn(time.Minute, "")
	if _, errs, status := x.run("role", "list"); status != 0 || x.tokens[0] != "Bearer stored" {
		t.Error(errs, x.tokens)
	}

	// A token that ends is refreshed once, and kept in a file for its owner alone.
	x.signIn(5*time.Second, "")
	for range 2 {
		if _, errs, status := x.run("role", "list"); status != 0 || x.tokens[len(x.tokens)-1] != "Bearer fresh1" {
			t.Error(errs, x.tokens)
		}
	}
	a, err := file.Account(x.server.URL)
	testkit.Must(t, err)
	info, err := os.Stat(file.Path())
	testkit.Must(t, err)
	left, err := filepath.Glob(filepath.Join(filepath.Dir(file.Path()), "*"))
	testkit.Must(t, err)
	if a.Tokens.AccessToken != "fresh1" || a.Tokens.RefreshToken != "next" || info.Mode().Perm() != 0o600 || len(left) != 1 {
		t.Error(a.Tokens, info.Mode(), left)
	}

	// A sign-in that has ended on the server.
	x.signIn(-time.Second, "")
	x.ended = true
	x.fails(1, "or the sign-in has ended; run: gatehouse login --server SERVER", "role", "list")

	// One for another API.
	x.signIn(time.Minute, "https://api.example.com")
	x.fails(1, "your sign-in at SERVER is for the API https://api.example.com; to manage the server, run: "+
		"gatehouse login --server SERVER", "role", "list")
}

func TestRejectedTokens(t *testing.T) {
	x := newElsewhere(t, nil)
	x.answer = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer fresh1" {
			noRoles(w, r)
			return
		}
		problemOf(401, "invalid_token", "The token is not valid.")(w, r)
	}
	// The clock of this machine, or the server, has ended the token: another one is tried, once.
	x.signIn(time.Hour, "")
	if _, errs, status := x.run("role", "list"); status != 0 || len(x.tokens) != 2 {
		t.Error(errs, x.tokens)
	}
	x.refresh, x.tokens = 1, nil
	x.signIn(time.Hour, "")
	x.fails(1, "the server does not accept the token of your sign-in: The token is not valid.; run: gatehouse login", "role", "list")
	if len(x.tokens) != 2 {
		t.Error(x.tokens)
	}
	x.environ[envToken] = " fixed\n"
	x.fails(1, "the server does not accept the token in GATEHOUSE_TOKEN: The token is not valid.", "role", "list")
	if last := x.tokens[len(x.tokens)-1]; last != "Bearer fixed" {
		t.Error(last)
	}
}

func TestMachinesSignIn(t *testing.T) {
	x := newElsewhere(t, noRoles)
	x.environ[envClientID] = "ci"
	x.fails(1, "GATEHOUSE_CLIENT_ID is set, but neither GATEHOUSE_CLIENT_SECRET nor GATEHOUSE_CLIENT_SECRET_FILE", "role", "list")
	secret := filepath.Join(t.TempDir(), "secret")
	testkit.Must(t, os.WriteFile(secret, []byte("s3cret\n"), 0o600))
	x.environ[envClientSecret+"_FILE"] = secret
	if _, errs, status := x.run("role", "list"); status != 0 || x.tokens[0] != "Bearer fresh1" {
		t.Error(errs, x.tokens)
	}
	x.ended = true
	x.fails(1, "SERVER does not accept the client ci", "role", "list")
}

func TestStepUpSaysWhatToDo(t *testing.T) {
	x := newElsewhere(t, problemOf(401, "insufficient_user_authentication", "sign in with two-step verification to make this change",
		"acr_values", "aal2", "max_age", 900))
	x.signIn(time.Hour, "")
	x.fails(1, "sign in with two-step verification to make this change; run: gatehouse login --server SERVER --step-up",
		"role", "create", "desk")
	x.answer = problemOf(401, "insufficient_user_authentication", "sign in again to make this change", "max_age", 900)
	x.fails(1, "sign in again to make this change; run: gatehouse login --server SERVER --max-age 1s", "role", "create", "desk")
	x.environ[envToken] = "fixed"
	x.fails(1, "the token in GATEHOUSE_TOKEN is of an older or weaker sign-in", "role", "create", "desk")
	if len(x.tokens) != 3 {
		t.Errorf("%d requests: a change was repeated", len(x.tokens))
	}
}

func TestProblemsOfServers(t *testing.T) {
	var other *httptest.Server
	stolen := false
	other = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen = true }))
	defer other.Close()
	for _, tt := range []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request)
		status int
		text   string
	}{
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/api/v1/roles", http.StatusTemporaryRedirect)
		}, 1, "sends requests on to " + other.URL + "; if that is your server, name it with --server"},
		{"a page", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<h1>Welcome</h1>")
		}, 1, "SERVER answered 200 OK, and not as a Gatehouse server does; is the address right?"},
		{"the 404 of something else", http.NotFound, 1, "SERVER answered 404 Not Found, and not as a Gatehouse"},
		{
			"no permission", problemOf(403, "insufficient_scope", "this operation needs the scope admin:roles:read"), 1,
			"this operation needs the scope admin:roles:read; the roles of who is signed in",
		},
		{
			"an address", problemOf(403, "address_not_allowed", "this address may not manage the server"), 1,
			"this address may not manage the server",
		},
		{
			"too many", problemOf(429, "rate_limit_exceeded", "Too many requests.", "retry_after", 7), 1,
			"Too many requests; try again in 7s",
		},
		{
			"a failure", problemOf(500, "server_error", "Something.", "instance", "urn:gatehouse:request:R1"), 1,
			"its log has more about the request R1",
		},
		{"an escape sequence", problemOf(404, "not_found", "no \x1b[31mrole\nat all"), 1, "no \uFFFD[31mrole; at all"},
		{"a broken document", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"data":`)
		}, 1, "the answer of SERVER cannot be read"},
		{"a broken connection", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{`)
		}, 1, "Look whether the change was made before you repeat it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newElsewhere(t, tt.answer)
			x.environ[envToken] = "fixed"
			x.fails(tt.status, tt.text, "role", "list")
		})
	}
	if stolen {
		t.Error("a token was sent to another server")
	}
}

// TestOtherReleases: a server that lacks an operation or a field says that a thing does not exist
// or that a value is wrong. The document that it publishes tells the one from the other.
func TestOtherReleases(t *testing.T) {
	x := newElsewhere(t, problemOf(404, "not_found", "there is nothing at this address"))
	x.environ[envToken] = "fixed"
	const roles = `"/roles":{"get":{},"post":{}},"/roles/{id}":{"get":{}}`
	x.api = `{"paths":{` + roles + `}}`
	x.fails(1, "there is nothing at this address", "role", "show", "desk")
	x.fails(1, "SERVER is of another release than this command: its API has no GET /metrics/sessions", "session", "metrics")
	x.fails(1, "its API has no GET /keys", "key", "list")
	for _, broken := range []string{"", "{}", "[1]", `{"paths":{}}`, `{"paths":7}`, "<html>"} {
		x.api = broken
		x.fails(1, "there is nothing at this address", "session", "metrics")
	}
	x.answer = problemOf(400, "validation_error", "no", "details", []any{
		map[string]any{"field": "scopes[0]", "message": "no such field"},
	})
	x.api = `{"paths":{` + roles + `}}`
	x.fails(1, `its API does not know "scopes[0]". Use the command of the server's release`, "role", "create", "desk", "--scope", "openid")
	x.api = `{"paths":{` + roles + `},"components":{"schemas":{"Role":{"properties":{"scopes":{}}}}}}`
	x.fails(2, "no such field", "role", "create", "desk", "--scope", "openid")
}

// TestScopesOfTheCommandLine: what gatehouse login requests. The server gives of the scope of the
// whole management API what the roles of the person have.
func TestScopesOfTheCommandLine(t *testing.T) {
	for _, tt := range []struct {
		name     string
		offered  []string // by the provider
		command  loginCommand
		scopes   []string
		acr      string
		maxAge   string
		prompted bool
	}{
		{
			name:    "a Gatehouse server",
			offered: []string{"openid", "profile", "email", "phone", "offline_access", "metrics:read"},
			command: loginCommand{ClientID: admin.CommandLineClient},
			scopes:  []string{"openid", "profile", "email", "offline_access", "admin"},
		},
		{
			name:    "an API of its own",
			offered: []string{"openid", "email", "offline_access"},
			command: loginCommand{ClientID: admin.CommandLineClient, Resource: "https://api.example.com"},
			scopes:  []string{"openid", "email", "offline_access"},
		},
		{
			name:    "another provider",
			offered: []string{"openid", "email", "admin"},
			command: loginCommand{ClientID: "mine"},
			scopes:  []string{"openid", "email"},
		},
		{
			name:    "named scopes",
			offered: []string{"openid", "email", "admin"},
			command: loginCommand{ClientID: admin.CommandLineClient, Scope: []string{"admin:users:read"}},
			scopes:  []string{"admin:users:read"},
		},
		{
			name:     "a second step",
			command:  loginCommand{ClientID: "mine", StepUp: true},
			scopes:   []string{"openid"},
			acr:      identity.ACR2,
			prompted: true,
		},
		{
			name:     "a new sign-in",
			command:  loginCommand{ClientID: "mine", again: true, MaxAge: duration(time.Second)},
			scopes:   []string{"openid"},
			maxAge:   "1",
			prompted: true,
		},
	} {
		q := tt.command.request(tt.offered, nil)
		testkit.Equal(t, tt.name, q.Scopes, tt.scopes)
		testkit.Equal(t, tt.name, q.ACR+" "+q.MaxAge, tt.acr+" "+tt.maxAge)
		testkit.Equal(t, tt.name, q.Prompt == "login", tt.prompted)
	}
}

func TestAddressesOfServers(t *testing.T) {
	x := newElsewhere(t, noRoles)
	x.environ[envToken] = "fixed"
	for address, text := range map[string]string{
		"http://login.example.com":      "does not use https",
		"http://127.0.0.1.example.com":  "does not use https",
		"https://u:p@login.example.com": "is not an address of a server",
		"login.example.com":             "is not an address of a server",
	} {
		x.fails(2, text, "role", "list", "--server", address)
	}
	if len(x.tokens) > 0 {
		t.Error("a token was sent")
	}
	x.fails(1, "is the address right, and is the server running?", "role", "list", "--server", "http://127.0.0.1:1")

	secure := httptest.NewTLSServer(http.HandlerFunc(noRoles))
	defer secure.Close()
	x.fails(1, "name its file in SSL_CERT_FILE", "role", "list", "--server", secure.URL)
	x.fails(1, "is it an http address?", "role", "list", "--server", strings.Replace(x.server.URL, "http:", "https:", 1))

	// Settings of this machine mean nothing there.
	x.fails(2, "has settings of its own; leave out --config, --database-url", "role", "list", "--database-url", "sqlite:x", "--config", "f")
	x.fails(2, "gatehouse serve works on this machine only: it is the server; leave out --server", "serve", "--server", x.server.URL)
	x.fails(2, "gatehouse setup-link works on this machine only", "setup-link")
	x.fails(2, "must not trust the server", "audit", "verify")
	x.fails(2, "--fix repairs files of this machine only", "doctor", "--fix")
}

// TestNamesInPaths sends what people may write as a name: each stays one segment of the path.
func TestNamesInPaths(t *testing.T) {
	x := newElsewhere(t, problemOf(404, "not_found", "there is no such role"))
	x.environ[envToken] = "fixed"
	for name, path := range map[string]string{
		"..":        "/api/v1/roles/%2E%2E",
		"../users":  "/api/v1/roles/..%2Fusers",
		"a/b?c#d":   "/api/v1/roles/a%2Fb%3Fc%23d",
		"%2e%2e":    "/api/v1/roles/%252e%252e",
		"ä\r\nX: y": "/api/v1/roles/%C3%A4%0D%0AX:%20y",
	} {
		var got string
		x.answer = func(w http.ResponseWriter, r *http.Request) {
			got = r.URL.EscapedPath()
			problemOf(404, "not_found", "there is no such role")(w, r)
		}
		x.fails(1, "there is no such role; see gatehouse role list", "role", "show", name)
		if got != path {
			t.Errorf("%q: %s, not %s", name, got, path)
		}
	}
	x.fails(1, "an empty name names nothing", "role", "show", "")
}

func TestTornStreams(t *testing.T) {
	for name, tt := range map[string]struct {
		kind, body, text string
		args             []string
	}{
		"users": {"application/jsonl", "{\"email\":\"a\"}\n", "before the export was whole", []string{"user", "export"}},
		"another count": {
			"application/jsonl", "{\"email\":\"a\"}\n{\"end\":true,\"count\":2}\n", "before the export was whole",
			[]string{"user", "export"},
		},
		"events": {"application/x-ndjson", "{\"id\":\"1\"}\n", "before the export was whole", []string{"audit", "export"}},
		"import": {
			"application/jsonl", "{\"line\":1,\"result\":\"created\"}\n", "before the import did; repeat it",
			[]string{"user", "import", "-"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newElsewhere(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				fmt.Fprint(w, tt.body)
			})
			x.environ[envToken] = "fixed"
			x.fails(1, tt.text, tt.args...)
		})
	}
}

// TestLongPages reads a page that is longer than those of the API, and stops at its end.
func TestLongPages(t *testing.T) {
	var requests []string
	x := newElsewhere(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		requests = append(requests, q.Get("limit")+" "+q.Get("cursor"))
		items := make([]map[string]any, 0)
		for i := range 500 {
			items = append(items, map[string]any{"id": fmt.Sprint(i), "active": true})
		}
		writeJSON(w, 200, map[string]any{"data": items, "total": 5000, "next": fmt.Sprint("after", len(requests))})
	})
	x.environ[envToken] = "fixed"
	out, errs, status := x.run("user", "list", "--limit", "1000")
	if status != 0 || !strings.Contains(out, "1000 of 5000 shown; continue with --offset 1000") ||
		strings.Join(requests, ",") != "500 ,500 after1" {
		t.Error(status, errs, requests)
	}
}
