// Package conformance_test drives a Gatehouse binary with OpenID Connect and OAuth clients of other
// projects.
package conformance_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// timeLimit is the longest time that a server may take to start or to stop.
const timeLimit = 30 * time.Second

// password is the password of every user in these tests.
const password = "a Lantern for 7 gates"

// binary is the path of the program under test.
var binary string

// TestMain runs the tests on the binary that GATEHOUSE_TEST_BINARY names, or builds one.
func TestMain(m *testing.M) { os.Exit(withBinary(m)) }

func withBinary(m *testing.M) int {
	if binary = os.Getenv("GATEHOUSE_TEST_BINARY"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "gatehouse-build-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gatehouse")
	if out, err := exec.Command("go", "build", "-o", binary, "../cmd/gatehouse").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "the program cannot be built: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// installation is a database with a command line, and the server that runs on it.
type installation struct {
	t      *testing.T
	dir    string
	env    []string
	issuer string
}

// client is a registered client as the command line prints it.
type client struct {
	ID     string `json:"client_id"`
	Secret string `json:"client_secret"`
}

// install creates an empty installation in a temporary directory.
func install(t *testing.T) *installation {
	t.Helper()
	dir := t.TempDir()
	return &installation{t: t, dir: dir, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "DATABASE_URL=sqlite:" + filepath.Join(dir, "gatehouse.db"), "RATE_LIMIT_ENABLED=false", "REFRESH_TOKEN_REUSE_INTERVAL=0",
	}}
}

// program returns a command that runs the binary on the installation.
func (in *installation) program(args ...string) *exec.Cmd {
	in.t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Dir, cmd.Env = in.dir, in.env
	return cmd
}

// command runs a command with text on stdin and decodes its JSON output.
func (in *installation) command(answer any, stdin string, args ...string) {
	in.t.Helper()
	cmd := in.program(append(args, "--json")...)
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		in.t.Fatalf("gatehouse %s: %v: %s", strings.Join(args, " "), err, &stderr)
	}
	if err := json.Unmarshal(out, answer); err != nil {
		in.t.Fatalf("gatehouse %s answered %q: %v", strings.Join(args, " "), out, err)
	}
}

// user creates an account and returns its id.
func (in *installation) user(email string, flags ...string) string {
	in.t.Helper()
	var made struct {
		ID string `json:"id"`
	}
	in.command(&made, password, append([]string{"user", "create", "--email", email, "--password-stdin"}, flags...)...)
	return made.ID
}

// register creates a client.
func (in *installation) register(flags ...string) client {
	in.t.Helper()
	var made client
	in.command(&made, "", append([]string{"client", "create"}, flags...)...)
	return made
}

// serve starts the server on a free port. When the test ends it stops the server and checks that it
// exits without an error.
func (in *installation) serve() {
	in.t.Helper()
	cmd := in.program("serve", "--port", "0", "--drain-delay", "0")
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		in.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		in.t.Fatal(err)
	}
	kill := time.AfterFunc(timeLimit, func() { _ = cmd.Process.Kill() })
	announced := regexp.MustCompile(`^Gatehouse is at (\S+)$`)
	lines := bufio.NewScanner(out)
	for in.issuer == "" && lines.Scan() {
		if m := announced.FindStringSubmatch(lines.Text()); m != nil {
			in.issuer = m[1]
		}
	}
	kill.Stop()
	if in.issuer == "" {
		_ = cmd.Wait()
		in.t.Fatalf("the server did not start: %s", &log)
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines.Scan() { // a full pipe would block the server
		}
	}()
	in.t.Cleanup(func() {
		defer time.AfterFunc(timeLimit, func() { _ = cmd.Process.Kill() }).Stop()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-drained
		if err := cmd.Wait(); err != nil {
			in.t.Errorf("the server did not stop cleanly: %v\n%s", err, &log)
		}
	})
	in.awaitHealth()
}

// awaitHealth waits until the server is healthy: it prints its address before it accepts
// connections.
func (in *installation) awaitHealth() {
	in.t.Helper()
	for end := time.Now().Add(timeLimit); ; time.Sleep(20 * time.Millisecond) {
		r, err := http.Get(in.issuer + "/readyz")
		if err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(end) {
			in.t.Fatalf("no answer at %s: %v", in.issuer, err)
		}
	}
}
