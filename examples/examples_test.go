// Package examples_test runs the examples as their readers do: against a real server, set up by its
// command line.
package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

const (
	resource = "http://localhost:9000" // the API's name in tokens, wherever it listens
	email    = "ada@example.com"
	password = "correct horse battery 9A"
)

// TestExamples starts one server for all examples, and one API for all that call it.
func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs programs")
	}
	w := &world{bin: t.TempDir(), home: t.TempDir()}
	w.build(t)
	w.setUp(t)
	w.issuer = w.start(t, []string{"LOG_LEVEL=error", "DRAIN_DELAY=0"}, `^Gatehouse is at (\S+)`, w.gatehouse, "serve", "--port", "0")
	w.api = w.startAPI(t, resource)

	// They mostly wait for intervals to pass, so all of them run at once, however few processors
	// there are.
	var wg sync.WaitGroup
	for name, test := range map[string]func(*testing.T){
		"api":                       w.testAPI,
		"api rejects an ID token":   w.testIDToken,
		"browser is served":         w.testBrowser,
		"cli with a browser":        w.testCLIBrowser,
		"cli and a forged response": w.testCLIForged,
		"cli with a device code":    w.testCLIDevice,
		"login with a browser":      w.testLoginBrowser,
		"login with a code":         w.testLoginDevice,
		"login refuses":             w.testLoginErrors,
		"device script":             w.testDevice,
		"device script slows down":  testDeviceSlowsDown,
		"device script is denied":   testDeviceDenied,
	} {
		wg.Go(func() { t.Run(name, test) })
	}
	wg.Wait()
}

// A world is a server with the programs around it.
type world struct {
	bin, home   string // where the examples are built, and where the server keeps its data
	gatehouse   string // the server's binary
	issuer, api string // addresses
	secrets     map[string]string
}

func (w *world) build(t *testing.T) {
	t.Helper()
	w.gatehouse = os.Getenv("GATEHOUSE_TEST_BINARY")
	packages := []string{"./api", "./browser", "./cli"}
	if w.gatehouse == "" {
		w.gatehouse = filepath.Join(w.bin, "gatehouse")
		packages = append(packages, "../cmd/gatehouse")
	}
	run(t, exec.Command("go", append([]string{"build", "-o", w.bin + "/"}, packages...)...))
}

// setUp makes the user and the clients with the command lines of the READMEs.
func (w *world) setUp(t *testing.T) {
	t.Helper()
	// The READMEs call the binary by its place at the top of the repository.
	if err := os.Symlink(w.gatehouse, filepath.Join(w.home, "gatehouse")); err != nil {
		t.Fatal(err)
	}
	create := exec.Command(w.gatehouse, "user", "create", "--email", email, "--email-verified", "--password-stdin", "--json")
	create.Dir, create.Env, create.Stdin = w.home, environment(), strings.NewReader(password)
	run(t, create)

	w.secrets = map[string]string{}
	for _, example := range []string{"api", "browser", "cli", "device"} {
		w.administer(t, documented(t, example)...)
	}
	w.administer(t, // two more, that get less than the API asks for
		`./gatehouse client create --id notes-reader --name R --grant client_credentials --scope notes:read --resource `+resource,
		`./gatehouse client create --id notes-brief --name B --grant client_credentials --scope notes:read --access-token-ttl 1s --resource `+resource)
}

// documented returns the commands in an example's README that set the server up for it.
func documented(t *testing.T, example string) []string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(example, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^\./gatehouse (?:.*\\\n)*.*`).FindAllString(string(readme), -1)
	if len(commands) == 0 {
		t.Fatalf("%s/README.md registers no client", example)
	}
	return commands
}

// administer runs command lines and records the secrets of the clients that they register.
func (w *world) administer(t *testing.T, lines ...string) {
	t.Helper()
	for _, line := range lines {
		cmd := exec.Command("sh", "-c", line+" --json")
		cmd.Dir, cmd.Env = w.home, environment()
		var made struct {
			ID     string `json:"client_id"`
			Secret string `json:"client_secret"`
		}
		if err := json.Unmarshal([]byte(run(t, cmd)), &made); err != nil {
			t.Fatal(err)
		}
		w.secrets[made.ID] = made.Secret
	}
}

func (w *world) startAPI(t *testing.T, audience string) string {
	t.Helper()
	return w.start(t, []string{"ISSUER=" + w.issuer, "AUDIENCE=" + audience, "ADDRESS=localhost:0"}, `^API at (\S+),`, filepath.Join(w.bin, "api"))
}

// start runs a server until the test ends and returns the address that it announces.
func (w *world) start(t *testing.T, env []string, announces, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = w.home, append(environment(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	lines := begin(t, cmd, cmd.StdoutPipe)
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("%s said:\n%s", filepath.Base(program), stderr.String())
		}
	})
	found := await(t, lines, announces)
	go func() { // so that the rest does not fill the pipe
		for range lines {
		}
	}()
	return found
}

// environment returns an environment without settings, and without a browser to open.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "BROWSER=true", "HOME=/nonexistent"}
}

// run runs a command to its end and returns its standard output.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := output(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func output(cmd *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", filepath.Base(cmd.Path), strings.Join(cmd.Args[1:], " "), err, stderr.String())
	}
	return string(out), err
}

// begin starts a command and returns the lines that it writes to one of its pipes.
func begin(t *testing.T, cmd *exec.Cmd, pipe func() (io.ReadCloser, error)) <-chan string {
	t.Helper()
	out, err := pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // if the test has failed before its end
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

// await reads lines until one matches and returns the first group of the match.
func await(t *testing.T, lines <-chan string, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(testkit.HangAfter)
	var read []string
	for {
		select {
		case line, ok := <-lines:
			if m := re.FindStringSubmatch(line); m != nil {
				return m[1]
			}
			if read = append(read, line); !ok {
				t.Fatalf("no line matches %s in:\n%s", pattern, strings.Join(read, "\n"))
			}
		case <-timeout:
			t.Fatalf("no line matched %s in time; there were:\n%s", pattern, strings.Join(read, "\n"))
		}
	}
}

// fetch sends a request and returns the response with its body.
func fetch(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.HangAfter)
	defer cancel()
	res, err := http.DefaultTransport.RoundTrip(r.WithContext(ctx)) // not a client: redirects are not followed
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func request(t *testing.T, method, address, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tokens posts a form to the token endpoint.
func (w *world) tokens(t *testing.T, form url.Values) map[string]any {
	t.Helper()
	r := request(t, "POST", w.issuer+"/oauth/token", form.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, body := fetch(t, r)
	var out map[string]any
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		t.Fatalf("the token endpoint answered %q", body)
	}
	return out
}

// A person uses a browser of their own, signs in and allows everything.
type person struct {
	t      *testing.T
	client http.Client
	at     *url.URL
	page   string
}

func newPerson(t *testing.T) *person {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &person{t: t, client: http.Client{Jar: jar, Timeout: testkit.HangAfter}}
	p.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		p.at = r.URL
		if r.URL.Host == "localhost:3000" { // no server is there: the test reads the response from the address
			return http.ErrUseLastResponse
		}
		return nil
	}
	return p
}

// allow opens an address and fills in all forms that come, with the code of a device if one is
// asked for.
func (p *person) allow(address, userCode string) {
	p.t.Helper()
	p.do(request(p.t, "GET", address, ""))
	for range 5 {
		form, action, ok := p.form()
		if !ok {
			return
		}
		switch {
		case form.Has("password"):
			form.Set("username", email)
			form.Set("password", password)
		case strings.Contains(p.page, `name="consent_action"`):
			form.Set("consent_action", "approve")
		default:
			form.Set("user_code", userCode)
		}
		r := request(p.t, "POST", action, form.Encode())
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		p.do(r)
	}
	p.t.Fatalf("the forms do not end; at %s is\n%s", p.at, p.page)
}

func (p *person) do(r *http.Request) {
	p.t.Helper()
	p.at = r.URL
	res, err := p.client.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	if res.StatusCode >= 400 {
		p.t.Fatalf("%s %s: %s\n%s", r.Method, r.URL, res.Status, body)
	}
	p.page = string(body)
}

// form reads the page's main form: its fields as they stand, and where it goes.
func (p *person) form() (fields url.Values, action string, ok bool) {
	p.t.Helper()
	for _, m := range regexp.MustCompile(`(?s)<form[^>]*\saction="([^"]*)"[^>]*>(.*?)</form>`).FindAllStringSubmatch(p.page, -1) {
		if !strings.Contains(m[2], `id="submit"`) {
			continue
		}
		fields = url.Values{}
		for _, input := range regexp.MustCompile(`<input[^>]*>`).FindAllString(m[2], -1) {
			if name := attribute(input, "name"); name != "" {
				fields.Set(name, attribute(input, "value"))
			}
		}
		to, err := p.at.Parse(html.UnescapeString(m[1]))
		if err != nil {
			p.t.Fatal(err)
		}
		return fields, to.String(), true
	}
	return nil, "", false
}

func attribute(tag, name string) string {
	m := regexp.MustCompile(`\s` + name + `="([^"]*)"`).FindStringSubmatch(tag)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}
