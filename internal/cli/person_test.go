package cli_test

import (
	"bufio"
	"bytes"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/app"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// browser fills in the forms of pages as a person does.
type browser struct {
	t      *testing.T
	client *http.Client
	fill   map[string]string // by the name of the input
}

func newBrowser(t *testing.T, fill map[string]string) *browser {
	jar, err := cookiejar.New(nil)
	testkit.Must(t, err)
	return &browser{t, &http.Client{Jar: jar}, fill}
}

var (
	formTag   = regexp.MustCompile(`(?s)<form[^>]*>.*?</form>`)
	inputTag  = regexp.MustCompile(`<(?:input|button)[^>]*>`)
	attribute = regexp.MustCompile(`([a-z-]+)="?([^" >]*)"?`)
)

func attributes(tag string) map[string]string {
	out := map[string]string{}
	for _, a := range attribute.FindAllStringSubmatch(tag, -1) {
		out[a[1]] = html.UnescapeString(a[2])
	}
	return out
}

// visit opens an address and submits what is asked for, until the page says that all is done.
func (b *browser) visit(address, done string) {
	answer, err := b.client.Get(address)
	for range 8 {
		if err != nil {
			b.t.Errorf("%s: %v", address, err)
			return
		}
		page, readErr := io.ReadAll(answer.Body)
		answer.Body.Close()
		testkit.Must(b.t, readErr)
		if strings.Contains(string(page), done) {
			return
		}
		action, form := b.form(string(page))
		if form == nil {
			b.t.Errorf("%s has no form: %s", answer.Request.URL, page)
			return
		}
		to, parseErr := answer.Request.URL.Parse(action)
		testkit.Must(b.t, parseErr)
		r, reqErr := http.NewRequest(http.MethodPost, to.String(), strings.NewReader(form.Encode()))
		testkit.Must(b.t, reqErr)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", to.Scheme+"://"+to.Host)
		answer, err = b.client.Do(r)
	}
	b.t.Errorf("%s does not come to %q", address, done)
}

// form returns where the form of a page leads that has an input to fill in, or else the first that
// is posted.
func (b *browser) form(page string) (action string, values url.Values) {
	for _, form := range formTag.FindAllString(page, -1) {
		tag := form[:strings.Index(form, ">")+1]
		if !strings.Contains(strings.ToLower(tag), "post") {
			continue
		}
		found, filled := url.Values{}, false
		for _, input := range inputTag.FindAllString(form, -1) {
			a := attributes(input)
			if a["name"] == "" || a["type"] == "checkbox" {
				continue
			}
			value, ok := b.fill[a["name"]]
			if ok {
				found.Set(a["name"], value)
				filled = true
			} else if !found.Has(a["name"]) {
				found.Set(a["name"], a["value"])
			}
		}
		if values == nil || filled {
			action, values = attributes(tag)["action"], found
		}
		if filled {
			return action, values
		}
	}
	return action, values
}

// person runs a command in the environment of a person who has signed in, or signs in.
func person(t *testing.T, server, home string, visit func(address string), args ...string) result {
	t.Helper()
	var out, all bytes.Buffer
	errs, w := io.Pipe()
	read := make(chan struct{})
	go func() {
		defer close(read)
		lines := bufio.NewScanner(errs)
		for lines.Scan() {
			fmt.Fprintln(&all, lines.Text())
			if address := strings.TrimSpace(lines.Text()); strings.HasPrefix(address, server+"/oauth/authorize") {
				go visit(address)
			}
		}
	}()
	status := app.Main(t.Context(), args, []string{"HOME=" + home, "GATEHOUSE_SERVER=" + server},
		strings.NewReader(""), &out, w)
	w.Close()
	<-read
	return result{out.String(), all.String(), status}
}

// TestAPersonManagesAServer signs in by gatehouse login, and manages the server with what that
// stored.
func TestAPersonManagesAServer(t *testing.T) {
	const email, password = "ada@example.com", "Tr4verse-the-Quiet-Valley"
	x := newTwins(t, "REQUIRE_ADMIN_MFA=false", "ADMIN_EMAIL="+email, "ADMIN_PASSWORD="+password)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	b := newBrowser(t, map[string]string{"username": email, "email": email, "password": password})
	visit := func(address string) { b.visit(address, "You are signed in") }
	run := func(args ...string) result {
		t.Helper()
		return person(t, x.server, home, visit, args...)
	}
	r := run("user", "list")
	if r.status != 1 || !strings.Contains(r.err, "run: gatehouse login --server "+x.server) {
		t.Fatal(r)
	}
	if r = run("login", "--server", x.server, "--browser"); r.status != 0 {
		t.Fatal(r)
	}
	r = run("user", "list", "--json")
	if r.status != 0 || !strings.Contains(r.out, email) {
		t.Fatal(r)
	}
	if r = run("role", "create", "desk", "--scope", "admin:users:read"); r.status != 0 {
		t.Fatal(r)
	}
	// The log has the person, and not the command line.
	r = run("audit", "list", "--type", "ROLE_CREATED")
	if r.status != 0 || !strings.Contains(r.out, email) {
		t.Fatal(r)
	}
	if r = run("logout"); r.status != 0 {
		t.Fatal(r)
	}
	// People with a role of their own get what it allows, and everybody else signs in as well.
	for name, want := range map[string]string{"bob@example.com": "", "eve@example.com": "needs the scope admin:users:read"} {
		x.there.must("user create --email " + name + " --email-verified --role " + map[bool]string{true: "desk", false: "guest"}[want == ""])
		set := x.there.run("user set-password "+name+" --password-stdin", password)
		testkit.Equal(t, set.err, set.status, 0)
		b := newBrowser(t, map[string]string{"username": name, "email": name, "password": password})
		visit = func(address string) { b.visit(address, "You are signed in") }
		if r = run("login", "--browser"); r.status != 0 {
			t.Fatal(r)
		}
		if r = run("token", "--valid-for", "1000h"); r.status != 0 { // refreshed, with the same scopes
			t.Error(r)
		}
		r = run("user", "list")
		if (want == "") != (r.status == 0) || !strings.Contains(r.err, want) {
			t.Errorf("%s: %+v", name, r)
		}
		if r = run("logout"); r.status != 0 {
			t.Fatal(r)
		}
	}
	if r = run("user", "list"); r.status != 1 || !strings.Contains(r.err, "you are not signed in at "+x.server) {
		t.Fatal(r)
	}
}

// TestStepUpElsewhere: a server that wants two steps for changes says so, and how to go on; what
// changes nothing still works.
func TestStepUpElsewhere(t *testing.T) {
	const email, password = "ada@example.com", "Tr4verse-the-Quiet-Valley"
	x := newTwins(t, "REQUIRE_ADMIN_MFA=true", "MFA_GRACE_PERIOD_DAYS=7", "ADMIN_EMAIL="+email, "ADMIN_PASSWORD="+password)
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", "")
	b := newBrowser(t, map[string]string{"username": email, "email": email, "password": password, "skip": "1"})
	visit := func(address string) { b.visit(address, "You are signed in") }
	if r := person(t, x.server, home, visit, "login", "--browser"); r.status != 0 {
		t.Fatal(r)
	}
	if r := person(t, x.server, home, visit, "user", "list"); r.status != 0 {
		t.Error(r)
	}
	r := person(t, x.server, home, visit, "role", "create", "desk")
	if r.status != 1 || !strings.Contains(r.err, "run: gatehouse login --server "+x.server+" --step-up") {
		t.Error(r)
	}
}
