package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/app"
	"github.com/gatehouse-id/gatehouse/internal/cli"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// installation is a data directory, and how to run commands on it.
type installation struct {
	t       *testing.T
	dir     string
	environ []string
	vars    map[string]string
}

// result is what a command has written.
type result struct {
	out, err string
	status   int
}

// run runs one command, in the binary that GATEHOUSE_TEST_BINARY names if it names one: with the
// race detector a command takes several times as long. Words such as $ID are replaced by what was
// kept under these names.
func (x *installation) run(line, stdin string, more ...string) result {
	x.t.Helper()
	var args []string
	for _, word := range splitLine(line) {
		args = append(args, os.Expand(word, func(name string) string {
			v, ok := x.vars[name]
			if !ok {
				x.t.Fatalf("%s: there is no $%s", line, name)
			}
			return v
		}))
	}
	environ := append(x.environ[:len(x.environ):len(x.environ)], more...)
	var out, errs bytes.Buffer
	binary := os.Getenv("GATEHOUSE_TEST_BINARY")
	if binary == "" {
		status := app.Main(x.t.Context(), args, environ, strings.NewReader(stdin), &out, &errs)
		return result{out.String(), errs.String(), status}
	}
	cmd := exec.CommandContext(x.t.Context(), binary, args...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environ, strings.NewReader(stdin), &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		x.t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// must runs a command that must succeed, and returns its output.
func (x *installation) must(line string) string {
	x.t.Helper()
	r := x.run(line, "")
	if r.status != 0 {
		x.t.Fatalf("%s: %s", line, r.err)
	}
	return r.out
}

// splitLine splits a command line at spaces outside of quotes.
func splitLine(line string) []string {
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	return words
}

// keep stores what a pattern's group finds in an output.
func (x *installation) keep(name, pattern, output string) {
	x.t.Helper()
	found := regexp.MustCompile("(?m)" + pattern).FindStringSubmatch(output)
	if len(found) != 2 {
		x.t.Fatalf("nothing like %s in %q", pattern, output)
	}
	x.vars[name] = found[1]
}

// twins are two installations that began with the same data: commands work on the database of the
// first, and on the server of the second.
type twins struct {
	here, there *installation
	server      string
	ran         []string // the command lines
}

func newTwins(t *testing.T, environ ...string) *twins {
	port := testkit.FreePort(t)
	x := &twins{server: fmt.Sprintf("http://127.0.0.1:%d", port)}
	installed := func(dir string) *installation {
		return &installation{t: t, dir: dir, vars: map[string]string{}, environ: append([]string{
			"DATABASE_URL=sqlite:" + filepath.Join(dir, "gatehouse.db"),
			"SECRET_KEY=" + strings.Repeat("k", 43) + "=",
			"BASE_URL=" + x.server,
			"HOST=127.0.0.1",
			fmt.Sprint("PORT=", port),
			"LOG_LEVEL=error",
			"HOME=" + t.TempDir(),
		}, environ...)}
	}
	x.here = installed(t.TempDir())
	out := x.here.must("client create --name Robot --id robot --grant client_credentials --scope admin")
	x.here.keep("SECRET", `^client_secret +(\S+)$`, out)
	x.here.must("key rotate --now")
	x.there = installed(filepath.Join(t.TempDir(), "copy"))
	testkit.Must(t, os.CopyFS(x.there.dir, os.DirFS(x.here.dir)))
	x.serve(t, port)
	x.there.vars["SECRET"] = x.here.vars["SECRET"]
	return x
}

// serve runs the server of the second installation until the test ends.
func (x *twins) serve(t *testing.T, port int) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	var log bytes.Buffer
	go func() {
		defer close(done)
		app.Main(ctx, []string{"serve"}, x.there.environ, strings.NewReader(""), &log, &log)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if t.Failed() {
			t.Logf("log of the server: %s", log.String())
		}
	})
	testkit.Eventually(t, "the server listens", func() bool {
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// remote runs a command on the server of the second installation.
func (x *twins) remote(line, stdin string) result {
	x.there.t.Helper()
	x.ran = append(x.ran, line)
	environ := []string{
		"GATEHOUSE_CLIENT_ID=robot",
		"GATEHOUSE_CLIENT_SECRET=" + x.there.vars["SECRET"],
		"GATEHOUSE_SERVER=" + x.server,
		"DATABASE_URL=sqlite:/nowhere/gatehouse.db", // nothing of this machine is needed
	}
	return x.there.run(line, stdin, environ...)
}

// same compares a command that changes nothing on the server with the same on its database.
func (x *twins) same(line string) {
	if testing.Verbose() {
		r := x.remote(line, "")
		x.there.t.Logf("%s: %d %s%s", line, r.status, r.out, r.err)
	}
	x.there.t.Helper()
	for _, form := range []string{line, line + " --json"} {
		here, there := x.there.run(form, ""), x.remote(form, "")
		for try := 0; here != there && try < 5; try++ { // the server has written something between them
			here, there = x.there.run(form, ""), x.remote(form, "")
		}
		x.compare(form, here, there, func(s string) string { return s })
	}
}

// alike runs a command that is wrong: the document of the API rejects the value before the
// operation does, in words of its own.
func (x *twins) alike(line string) {
	x.there.t.Helper()
	words := regexp.MustCompile(`^(gatehouse: --[a-z-]+): .*`)
	x.compare(line, x.there.run(line, ""), x.remote(line, ""), func(s string) string {
		return words.ReplaceAllString(s, "$1")
	})
}

// settings shows the settings of each installation: they differ in the place of the database.
func (x *twins) settings() {
	x.there.t.Helper()
	place := regexp.MustCompile(`sqlite:\S*gatehouse\.db`)
	for _, line := range []string{"settings", "settings --all", "settings --all --json"} {
		here, there := x.here.run(line, ""), x.remote(line, "")
		for _, r := range []result{here, there} {
			if strings.Contains(r.out, strings.Repeat("k", 43)) || !strings.Contains(r.out, x.server) {
				x.there.t.Errorf("%s: a secret is shown, or the address is not: %s%s", line, r.out, r.err)
			}
		}
		x.compare(line, here, there, func(s string) string {
			return strings.Join(strings.Fields(place.ReplaceAllString(s, "PLACE")), " ")
		})
	}
}

// both runs a change on the database of the first and on the server of the second installation.
func (x *twins) both(line, stdin string, keep ...string) {
	x.there.t.Helper()
	here, there := x.here.run(line, stdin), x.remote(line, stdin)
	x.compare(line, here, there, normal)
	if testing.Verbose() {
		x.there.t.Logf("%s: %d %s%s", line, there.status, there.out, there.err)
	}
	if len(keep) > 0 && there.status != 0 {
		x.there.t.Fatalf("%s: %s", line, there.err)
	}
	for i := 0; i+1 < len(keep); i += 2 {
		x.here.keep(keep[i], keep[i+1], here.out)
		x.there.keep(keep[i], keep[i+1], there.out)
	}
}

func (x *twins) compare(line string, here, there result, normal func(string) string) {
	x.there.t.Helper()
	here.out, here.err, there.out, there.err = normal(here.out), normal(here.err), normal(there.out), normal(there.err)
	if here != there {
		x.there.t.Errorf("%s\non the database: status %d\n%s%s\nby the server: status %d\n%s%s", line,
			here.status, here.out, here.err, there.status, there.out, there.err)
	}
}

// normal replaces what differs from run to run.
func normal(s string) string {
	for _, r := range [][2]string{
		{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "ID"},
		{`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`, "TIME"},
		{`gth_[a-z]+_[A-Za-z0-9_-]+`, "SECRET"},
		{`whsec_[A-Za-z0-9+/=_-]+`, "SECRET"},
		{`\b[0-9a-f]{32}\b`, "PLAN"},
		{`"kid": "[^"]*"|^kid +.*|^retires +.*`, "KID"},
		{`"(cli|robot)"`, `"ACTOR"`},
		{`^time +\d+m?s|[0-9.]+ ms`, "DURATION"},
		{`"duration_ms": \d+`, "DURATION"},
	} {
		s = regexp.MustCompile("(?m)"+r[0]).ReplaceAllString(s, r[1])
	}
	return regexp.MustCompile(` +`).ReplaceAllString(s, " ") // the columns of a table fit ids
}

// TestServerAndDatabaseAgree runs a story on a database and on a server, and compares every output.
func TestServerAndDatabaseAgree(t *testing.T) {
	t.Parallel()
	x := newTwins(t)
	const id = `^id +(\S+)$`

	x.both("user create --email ann@example.com --name 'Ann Lee' --username ann --phone '+49 30 123456' --locality Berlin", "", "ANN", id)
	x.both("user create --email bob@example.com --password-stdin --email-verified --role staff --json", "Tr4verse-the-Quiet-Valley\n")
	x.both("user create --email bob@example.com", "")
	x.both("user create --email eve@example.com --password-stdin", "weak")
	x.both("user create --email 'no address'", "")
	x.both("user create --email dan@example.com --username 'd@n'", "")
	x.both("user update ann --nickname Annie --country Germany --json", "")
	x.both("user update ann --nickname Annie", "")
	x.both("user update ann --unset nickname --unset phone", "")
	x.both("user update ann --add-role staff --add-role billing", "")
	x.both("user update bob@example.com --remove-role staff --add-role helpdesk --json", "")
	x.both("user update nobody --name X", "")
	x.both("user invite carl@example.com --name Carl", "")
	x.both("user set-password ann --password-stdin", "Tr4verse-the-Quiet-Valley")
	x.both("user set-password bob@example.com", "")
	x.both("user set-password ann --password-stdin", "short")
	x.both("user lock ann --reason 'left the company'", "")
	x.same("user show ann")
	x.same("user list")
	x.same("user list --status locked")
	x.alike("user list --status nonsense")
	x.same("user list --sort=-name --limit 2 --offset 1")
	x.both("user unlock ann --json", "")
	x.both("user disable ann", "")
	x.same("user show $ANN")
	x.both("user enable ann", "")
	x.both("user reset-two-step ann", "")
	x.both("user stop-recovery ann", "")
	x.both("user factors list ann --json", "")
	x.both("user factors remove ann nothing --yes", "")
	x.both("user authorizations list ann", "")
	x.both("user authorizations revoke ann --all", "")
	x.both("user revoke-tokens ann --json", "")
	x.both("user send-password-reset ann", "")
	x.both("user send-verification ann", "")
	x.both("user impersonate ann --reason 'ticket 7'", "")
	x.both("user impersonate ann --reason 'ticket 7' --json", "")
	x.both("user impersonate nobody --reason 'ticket 7'", "")
	x.both("user bulk run lock ann bob@example.com --reason test", "")
	x.both("user bulk run unlock --search ann --count 1", "")
	x.both("user bulk run unlock --search ann --count 2", "")
	x.both("user bulk show nothing", "")
	x.both("user bulk stop nothing", "")

	x.both("client create --name Shop --id shop --grant authorization_code --grant refresh_token --redirect-uri https://shop.example.com/cb --scope 'openid email' --access-token-ttl 5m --refresh-rotation off --rate-limit token=10/1m", "")
	x.both("client create --name Shop2 --grant nonsense", "")
	x.both("client create --name Bad --grant authorization_code --redirect-uri 'not a uri'", "")
	x.same("client show shop")
	x.same("client list")
	x.same("client list --search sho --limit 1")
	x.both("client update shop --description 'The shop' --unset access-token-ttl --unset refresh-rotation", "")
	x.both("client update shop --description 'The shop' --json", "")
	x.both("client secret add shop --expires 90d", "", "SID", `^secret_id +(\S+)$`)
	x.same("client secret list shop")
	x.both("client rotate-secret shop --grace 1h", "")
	x.both("client secret remove shop nothing --yes", "")
	x.both("client secret remove-old shop --yes", "")
	x.both("client revoke-tokens shop --yes", "")
	x.same("client grants list shop")
	x.both("client grants list shop --user nobody", "")
	x.both("client grants revoke shop nothing", "")
	x.both("client create --name One --id one --grant client_credentials --public=false", "")
	x.both("client create --name Two --id two --grant client_credentials", "")
	x.both("client delete one two", "")
	x.both("client delete one two --yes", "")
	x.both("client show nobody", "")
	x.both("client delete shop", "")
	x.both("client delete shop --yes", "")
	x.both("registration create --count 3 --description CI --scope 'openid email' --redirect-host '*.example.com'", "", "TOKEN", id)
	x.same("registration list")
	x.both("registration revoke $TOKEN", "")
	x.both("registration revoke $TOKEN", "")

	x.both("scope create metrics:read --description 'read metrics'", "")
	x.both("scope create metrics:read --description 'read metrics'", "")
	x.both("scope update metrics:read --default --json", "")
	x.same("scope list")
	x.same("scope list -q")
	x.same("scope show metrics:read")
	x.both("scope show nothing --json", "")
	x.both("scope delete nothing --yes", "")
	x.both("role create desk --description Desk --scope admin:users:read", "")
	x.same("role list")
	x.same("role show desk")
	x.both("role update desk --description 'Help desk' --json", "")
	x.both("user update ann --add-role desk", "")
	x.both("role delete desk --yes", "")
	x.both("user update ann --remove-role desk", "")
	x.both("role delete desk --yes", "")
	x.both("scope delete metrics:read --yes", "")

	x.both("route create --domain shop --version v1 --upstream http://127.0.0.1:9 --scope orders:read --client nobody", "", "ROUTE", id)
	x.both("route create --domain shop --version v1 --upstream http://127.0.0.1:9", "")
	x.both("route create --prefix /all --host '*.Example.com' --name 'All of it' --upstream https://a.example:9443/base --upstream h2c://b.example --keep-path --keep-host --rewrite-location --allow-encoded-slash --pass-basic --from-origin https://ui.example.com --browser --method get --method POST --scope 'orders:read openid' --role staff --role 'app:admin' --client app --from-network 10.0.0.0/8 --from-network 2001:db8::/32 --audience https://api.example.com --acr aal2 --max-age 10m --rate 600 --rate-per 1h --rate-by client --timeout 90 --body-limit 1048576 --cors https://app.example.com --health-path /up --health-every 5s --json", "")
	x.same("route show 'All of it'")
	x.both("route update shop/v1 --timeout 1m30s --json", "")
	x.same("route list")
	x.same("route show shop/v1")
	x.same("route show $ROUTE")
	x.both("route show /nothing", "")
	x.both("route delete shop/v1 --yes", "")

	x.both("webhook create --url http://127.0.0.1:1/in --event 'user.*'", "", "HOOK", id)
	x.same("webhook list")
	x.same("webhook show $HOOK")
	x.both("webhook update $HOOK --description mine", "")
	x.both("webhook rotate-secret $HOOK --overlap 1h", "")
	x.same("webhook deliveries $HOOK")
	x.both("webhook resend $HOOK nothing", "")
	x.both("webhook test $HOOK", "")
	x.both("webhook delete $HOOK --yes", "")

	x.same("key list")
	x.both("key rotate --publish-ahead 1h", "")
	x.both("key rotate --alg XX", "")
	x.both("key retire nothing --yes", "")
	x.same("session list")
	x.both("session show nothing", "")
	x.both("session revoke nothing", "")
	x.both("session revoke --user ann", "")
	x.both("session revoke --all-of-user ann --json", "")
	x.both("session revoke --older-than 30d", "")
	x.same("session metrics")
	x.same("overview")
	x.alike("overview --period 3d")
	x.settings()
	x.same("mail list")
	x.both("mail retry nothing", "")
	x.both("mail test --to a@example.com", "")
	x.same("audit list --type USER_CREATED,ADMIN_CREATED")
	x.same("audit list --type nonsense")
	x.same("audit list --user ann --type USER_UPDATED")
	x.same("audit export --type USER_CREATED")
	x.same("audit export --target client:shop")
	if r := x.remote("audit export --proofs --from 2020-01-01", ""); r.status != 0 || r.out == "" {
		t.Errorf("export with proofs: status %d: %s", r.status, r.err)
	}
	x.there.keep("EVENT", `"id": "(.*)"`, x.there.must("audit list --type USER_CREATED --json"))
	x.same("audit show $EVENT")
	x.same("audit show nothing")
	x.same("audit proof $EVENT")
	x.same("audit checkpoint")
	x.same("audit sinks")
	x.same("audit denials")
	x.same("audit denials --client shop")
	x.same("audit list --failed")
	x.same("client export")
	x.same("client export --format csv")
	x.same("audit sinks --gaps")
	x.both("audit cleanup", "")
	x.both("explain nothing", "")

	x.same("user export")
	x.same("user export --format csv")
	x.both("user import - --format csv --json", "email,name\nz1@example.com,Z One\nz2@example.com,Z Two\n")
	x.both("user import - --format csv", "email,name\nz3@example.com,Z\nwrong,Z\n")
	x.both("user import - --format csv --on-error skip", "email,name\nz3@example.com,Z\nwrong,Z\n")
	x.both("user import - --format json --dry-run", "{\"email\":\"z9@example.com\"}\n")
	x.both("import auth0 - --json", `[{"user_id":"a","email":"y1@example.com"},{"client_id":"moved","name":"Moved",`+
		`"client_secret":"AbCdEfGhIjKlMnOp1234","grant_types":["client_credentials","implicit"]}]`)
	x.both("import authgate - --only users --on-error skip", `{"username":"y2","email":"y2@example.com"}`+"\n{]\n")
	x.both("import keycloak - --dry-run", `{"users":[],"clients":[{"clientId":"k1","standardFlowEnabled":false}]}`)
	document := "version: 1\nlabel: stock\nscopes:\n  - name: stock:read\n    description: read stock\n"
	x.both("plan -", document)
	x.both("apply - --yes --json", document)
	x.both("plan - --detailed-exitcode", document)
	x.both("apply -", document+"nonsense: 1\n")
	x.same("export --label stock")
	x.both("backup status", "")
	if r := x.remote("backup make", ""); r.status != 1 || !strings.Contains(r.err, "set BACKUP_TO") {
		t.Errorf("a backup to nowhere: status %d: %s", r.status, r.err)
	}
	x.both("user delete ann", "")
	x.both("user delete ann --yes", "")
	x.same("user list --limit 1000")
	for _, form := range []string{"doctor --all", "doctor --all --json"} {
		x.compare(form, x.there.run(form, ""), x.remote(form, ""), normal)
	}
	x.complete()
}

// complete fails for a command of the table that the story has not run on the server, unless it
// works on this machine only, with a reason.
func (x *twins) complete() {
	t := x.there.t
	all, err := cli.LeafCommands()
	testkit.Must(t, err)
	ran := func(command string) bool {
		return slices.ContainsFunc(x.ran, func(line string) bool { return strings.HasPrefix(line+" ", command+" ") })
	}
	// These are what a person becomes known to a server by, and work on their own file.
	signIn := []string{"login", "token", "logout"}
	for _, command := range all {
		local := cli.LocalReason(command) != "" || slices.Contains(signIn, command)
		if local == ran(command) {
			t.Errorf("%s: add it to the story, or to places() with a reason, and not to both", command)
		}
	}
	for _, first := range cli.LocalCommands() {
		if !slices.ContainsFunc(all, func(c string) bool { return strings.HasPrefix(c+" ", first+" ") }) {
			t.Errorf("there is no command %q", first)
		}
		r := x.there.run(first+" --server "+x.server, "")
		if strings.Contains(first, " ") || slices.Contains(all, first) {
			if r.status != 2 {
				t.Errorf("%s --server: status %d: %s", first, r.status, r.err)
			}
		}
	}
}
