package examples_test

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// notes runs the command-line tool with a home of its own.
type notes struct {
	*world
	dir string
}

func (n *notes) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(n.bin, "cli"), args...)
	// Without a PATH it finds no browser to open: the test is the browser.
	cmd.Env = []string{"XDG_CONFIG_HOME=" + n.dir, "HOME=" + n.dir, "ISSUER=" + n.issuer, "API=" + n.api, "PATH=/nonexistent"}
	return cmd
}

func (n *notes) file() string { return filepath.Join(n.dir, "gatehouse-notes", "tokens.json") }

// saved reads the token file.
func (n *notes) saved(t *testing.T) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(n.file())
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (w *world) testCLIBrowser(t *testing.T) {
	n := &notes{w, t.TempDir()}
	if _, err := output(n.command("list")); err == nil || !strings.Contains(err.Error(), "run: notes login") {
		t.Errorf("before signing in: %v", err)
	}
	login := n.command("login")
	lines := begin(t, login, login.StderrPipe)
	newPerson(t).allow(await(t, lines, `^  (http\S+)$`), "")
	if who := await(t, lines, `signed in as (\S+)`); who != email {
		t.Errorf("signed in as %s", who)
	}
	if err := login.Wait(); err != nil {
		t.Fatal(err)
	}
	n.use(t)
	n.refresh(t)
	n.logout(t)
}

// testCLIForged sends the tool authorization responses that are not from the server.
func (w *world) testCLIForged(t *testing.T) {
	n := &notes{w, t.TempDir()}
	login := n.command("login")
	lines := begin(t, login, login.StderrPipe)
	sent, err := url.Parse(await(t, lines, `^  (http\S+)$`))
	if err != nil {
		t.Fatal(err)
	}
	callback := sent.Query().Get("redirect_uri")
	// Any page in the person's browser can do this; it must not end the sign-in.
	res, _ := fetch(t, request(t, "GET", callback+"?code=x&state=guessed&iss="+url.QueryEscape(w.issuer), ""))
	if res.StatusCode != 400 {
		t.Errorf("a response with another state: %s", res.Status)
	}
	fetch(t, request(t, "GET", callback+"?code=x&iss=http%3A%2F%2Fevil.example&state="+sent.Query().Get("state"), ""))
	await(t, lines, `(you are not signed in: the response is from "http://evil.example")`)
	if err := login.Wait(); err == nil {
		t.Error("it ends without an error")
	}
}

func (w *world) testCLIDevice(t *testing.T) {
	n := &notes{w, t.TempDir()}
	login := n.command("login", "--device")
	lines := begin(t, login, login.StderrPipe)
	address := await(t, lines, `^  (http\S+)$`)
	newPerson(t).allow(address, await(t, lines, `^  ([A-Z-]+)$`))
	await(t, lines, `signed in as (\S+)`)
	if err := login.Wait(); err != nil {
		t.Fatal(err)
	}
	n.use(t)
}

// use writes and reads a note.
func (n *notes) use(t *testing.T) {
	t.Helper()
	info, err := os.Stat(n.file())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v, %v", info, err)
	}
	text := "Buy milk for " + t.Name()
	run(t, n.command("add", text))
	if list := run(t, n.command("list")); !strings.Contains(list, "- "+text+"\n") {
		t.Errorf("the note is not in\n%s", list)
	}
}

// refresh lets the access token expire, which several processes notice at once.
func (n *notes) refresh(t *testing.T) {
	t.Helper()
	before := n.saved(t)
	stale := n.saved(t)
	stale["expiry"] = time.Now().Add(-time.Minute)
	raw, err := json.Marshal(stale)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.file(), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := output(n.command("list")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	after := n.saved(t)
	if before["refresh_token"] == after["refresh_token"] || before["access_token"] == after["access_token"] {
		t.Error("the token file has the old tokens")
	}
	if info, err := os.Stat(n.file()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token file after a refresh: %v, %v", info, err)
	}
}

// logout signs out: a copy of the refresh token is then useless.
func (n *notes) logout(t *testing.T) {
	t.Helper()
	copied := n.saved(t)["refresh_token"].(string)
	run(t, n.command("logout"))
	if left, _ := filepath.Glob(filepath.Join(n.dir, "gatehouse-notes", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	answer := n.tokens(t, url.Values{"grant_type": {"refresh_token"}, "client_id": {"notes-cli"}, "refresh_token": {copied}})
	if answer["error"] != "invalid_grant" {
		t.Errorf("a copied refresh token after signing out: %v", answer)
	}
}
