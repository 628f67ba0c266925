package examples_test

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// commandLine runs "gatehouse login" and its companions with a home of its own.
type commandLine struct {
	*world
	dir string
}

func (c *commandLine) command(args ...string) *exec.Cmd {
	cmd := exec.Command(c.gatehouse, args...)
	// Without a PATH it finds no browser to open: the test is the browser.
	cmd.Env = []string{"XDG_CONFIG_HOME=" + c.dir, "HOME=" + c.dir, "GATEHOUSE_SERVER=" + c.issuer, "PATH=/nonexistent"}
	return cmd
}

func (c *commandLine) file() string { return filepath.Join(c.dir, "gatehouse", "accounts.json") }

// claims returns what the server says about the access token that "gatehouse token" prints.
func (c *commandLine) userinfo(t *testing.T) string {
	t.Helper()
	token := strings.TrimSpace(run(t, c.command("token")))
	r := request(t, "GET", c.issuer+"/oauth/userinfo", "")
	r.Header.Set("Authorization", "Bearer "+token)
	_, body := fetch(t, r)
	return body
}

// testLoginBrowser signs in with a browser, uses the token, lets it be refreshed, and signs out.
func (w *world) testLoginBrowser(t *testing.T) {
	c := &commandLine{w, t.TempDir()}
	if _, err := output(c.command("token")); err == nil || !strings.Contains(err.Error(), "run: gatehouse login "+w.issuer) {
		t.Errorf("before signing in: %v", err)
	}
	login := c.command("login", "--browser")
	lines := begin(t, login, login.StderrPipe)
	newPerson(t).allow(await(t, lines, `^  (http\S+)$`), "")
	testkit.Must(t, login.Wait())
	if info, err := os.Stat(c.file()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the tokens: %v, %v", info, err)
	}
	if body := c.userinfo(t); !strings.Contains(body, email) {
		t.Errorf("user info of the token: %s", body)
	}
	c.refresh(t)
	c.logout(t)
}

// refresh asks for a token that lasts longer than the stored one.
func (c *commandLine) refresh(t *testing.T) {
	t.Helper()
	before := run(t, c.command("token"))
	if again := run(t, c.command("token")); again != before {
		t.Error("a token that is still valid was replaced")
	}
	if after := run(t, c.command("token", "--valid-for", "2h")); after == before {
		t.Error("a token that ends too soon was not replaced")
	}
}

// logout signs out: a copy of the refresh token is then useless.
func (c *commandLine) logout(t *testing.T) {
	t.Helper()
	raw, err := os.ReadFile(c.file())
	testkit.Must(t, err)
	copied := regexp.MustCompile(`"refresh_token": "([^"]+)"`).FindSubmatch(raw)
	if copied == nil {
		t.Fatal("the file has no refresh token")
	}
	run(t, c.command("logout"))
	if _, err := output(c.command("token")); err == nil {
		t.Error("there is a token after signing out")
	}
	answer := c.tokens(t, url.Values{
		"grant_type":    {"refresh_token"},
		"client_id":     {"gatehouse-cli"},
		"refresh_token": {string(copied[1])},
	})
	if answer["error"] != "invalid_grant" {
		t.Errorf("a copied refresh token after signing out: %v", answer)
	}
}

// testLoginDevice signs in with a code. A second sign-in revokes the tokens of the first.
func (w *world) testLoginDevice(t *testing.T) {
	c := &commandLine{w, t.TempDir()}
	var former string
	for range 2 {
		login := c.command("login", "--device")
		lines := begin(t, login, login.StderrPipe)
		address := await(t, lines, `^  (http\S+)$`)
		newPerson(t).allow(address, await(t, lines, `^  ([A-Z-]+)$`))
		testkit.Must(t, login.Wait())
		if body := c.userinfo(t); !strings.Contains(body, email) {
			t.Errorf("user info of the token: %s", body)
		}
		if former != "" {
			r := request(t, "GET", c.issuer+"/oauth/userinfo", "")
			r.Header.Set("Authorization", "Bearer "+former)
			if res, _ := fetch(t, r); res.StatusCode != 401 {
				t.Errorf("a token of the former sign-in: %s", res.Status)
			}
		}
		former = strings.TrimSpace(run(t, c.command("token")))
	}
}

// testLoginErrors gives the commands what they must not accept.
func (w *world) testLoginErrors(t *testing.T) {
	c := &commandLine{w, t.TempDir()}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"login", "--device", "http://login.example.com"}, "does not use https"},
		{[]string{"login", "--device", "https://user:pw@login.example.com"}, "is not an address of a server"},
		{[]string{"login", "--device", w.api}, "cannot be reached"},
		{[]string{"login", "--device", strings.Replace(w.issuer, "localhost", "127.0.0.1", 1)}, "calls itself"},
		{[]string{"login", "--device", "--client-id", "nobody"}, "register one"},
		{[]string{"login", "--device", "--browser"}, "can't be used together"},
		{[]string{"logout"}, "you are not signed in"},
	} {
		_, err := output(c.command(test.args...))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want %q", test.args, err, test.want)
		}
	}
	testkit.Must(t, os.MkdirAll(filepath.Dir(c.file()), 0o700))
	testkit.Must(t, os.WriteFile(c.file(), []byte("{"), 0o600))
	if _, err := output(c.command("token")); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("a damaged file: %v", err)
	}
}
