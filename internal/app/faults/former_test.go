package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// errNoHistory says that these sources are no clone with the former release, such as those of an
// archive.
var errNoHistory = errors.New("the former release is not in the history of these sources")

// git runs git on these sources.
func git(args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-c", "safe.directory=*"}, args...)...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// formerCommit returns the commit of the release before these sources: the newest tag of a release
// before them, or while there is none what testdata/former-release names.
func formerCommit() (string, error) {
	if _, err := git("rev-parse", "--git-dir"); err != nil {
		return "", errNoHistory
	}
	name, err := git("describe", "--tags", "--abbrev=0", "--match", "v[0-9]*", "HEAD^")
	if err != nil {
		raw, err := os.ReadFile("testdata/former-release")
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(raw)) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
				name = line
			}
		}
	}
	commit, err := git("rev-parse", "--verify", "--quiet", name+"^{commit}")
	if err == nil {
		return commit, nil
	}
	if shallow, _ := git("rev-parse", "--is-shallow-repository"); shallow == "true" {
		return "", fmt.Errorf("%w: this is a shallow clone without %s; run git fetch --unshallow --tags", errNoHistory, name)
	}
	return "", fmt.Errorf("%w: %s: %w", errNoHistory, name, err)
}

// former returns the path of the binary of the former release. It builds the binary at most once.
var former = sync.OnceValues(func() (string, error) {
	commit, err := formerCommit()
	if err != nil {
		return "", err
	}
	top, err := git("rev-parse", "--show-toplevel")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(builds, "former")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	archive := filepath.Join(builds, "former.tar")
	if _, err := git("-C", top, "archive", "--output", archive, commit, "go.mod", "go.sum", "cmd", "internal",
		"bearer", "management", "deploy"); err != nil {
		return "", err
	}
	if out, err := exec.Command("tar", "-xf", archive, "-C", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("tar: %w\n%s", err, out)
	}
	out := filepath.Join(builds, "gatehouse-former")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", out, "./cmd/gatehouse")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("the former release cannot be built: %w\n%s", err, text)
	}
	return out, nil
})

// former returns the same installation, run by the binary of the former release.
func (h *host) former() *host {
	h.t.Helper()
	bin, err := former()
	if errors.Is(err, errNoHistory) {
		h.t.Skip(err)
	}
	testkit.Must(h.t, err)
	out := *h
	out.binary = bin
	return &out
}

// at returns the same people and clients at another server.
func (c *workload) at(t testing.TB, s *server) *workload {
	p := newPerson(t, s.url, c.person.email)
	return &workload{
		journal: c.journal, call: newCaller(t, s.url), person: p, web: c.web, machine: c.machine, opaque: c.opaque,
	}
}

// dies waits until a token is not active at a server.
func (c *workload) dies(t testing.TB, what string, by client, token string) {
	t.Helper()
	eventually(t, what, func() error {
		on, err := c.call.active(by, token)
		return errors.Join(err, want(!on, "it is active"))
	})
}

// tokenOf returns a fresh access token of the machine.
func (c *workload) tokenOf(t testing.TB) string {
	t.Helper()
	a := c.call.own(c.machine)
	testkit.Equal(t, "status of client credentials", a.status, 200)
	return a.tokens().Access
}

// A server of this release migrates the database of the former one, which goes on beside it: what
// either has acknowledged stands at the other, and what either revokes is dead at the other, too.
// The former release may start again, which is the way back, and commands of both work. What a
// release revokes that neither knows is not ignored.
func TestFormerRelease(t *testing.T) {
	onEngines(t, func(t *testing.T, h *host) {
		h.env["RATE_LIMIT_ENABLED"] = "false"
		old := h.former()
		s := old.serve()
		c := old.workload(s)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.load(ctx) }()
		c.progress(t)
		next := h.serveOn(testkit.FreePort(t), nil) // migrates
		c.progress(t)
		stop()
		<-done
		c.verify(t)
		n := c.at(t, next)
		n.verify(t)
		n.person.signIn(t)

		t.Log("revocations by either are in force at the other")
		old.revokesAt(t, c, n, "katherine@example.com")
		h.revokesAt(t, n, c, "dorothy@example.com")
		for i, ch := range c.chains { // the rotation by one is the rotation by the other
			from, to := c, n
			if i%2 == 1 {
				from, to = n, c
			}
			for range 3 {
				if !from.rotate(ch) || !to.rotate(ch) {
					t.Errorf("chain %d is not rotated: %v", i, c.unexpected)
				}
			}
		}

		t.Log("the way back, and commands of both releases")
		s.kill()
		c = c.at(t, old.serve())
		c.person.signIn(t)
		for email, by := range map[string]*host{"grace@example.com": old, "hedy@example.com": h} {
			by.user(email)
			for _, at := range []*workload{c, n} {
				p := newPerson(t, at.call.base, email)
				p.signIn(t)
				family := p.family(t, at.call, c.web)
				if a := at.call.refresh(c.web, family.Refresh); a.status != 200 {
					t.Errorf("a refresh of %s: %v", email, a)
				}
			}
		}
		c.verify(t)
		c.exhaust(t)
		h.unknownKindRevoked(t, c, n)
	})
}

// revokesAt revokes a token, an approval and all that a person has by one release: all of it is
// dead at a server of the other.
func (h *host) revokesAt(t *testing.T, c, other *workload, email string) {
	t.Helper()
	h.user(email)
	p := newPerson(t, other.call.base, email)
	p.signIn(t)
	token, family, second := other.tokenOf(t), p.family(t, other.call, c.web), p.family(t, other.call, c.web)
	for what, of := range map[string]struct {
		by    client
		token string
	}{"a token": {c.machine, token}, "an approval": {c.web, family.Refresh}} {
		if a := c.call.revoke(of.by, of.token); a.status != 200 {
			t.Errorf("revoking %s: %v", what, a)
		}
	}
	other.dies(t, "a token that the other release has revoked", c.machine, token)
	other.dies(t, "an approval that the other release has revoked", c.web, family.Access)
	if a := other.call.refresh(c.web, family.Refresh); a.code() != "invalid_grant" {
		t.Errorf("a refresh of what the other release has revoked: %v", a)
	}
	h.run(nil, "", "session", "revoke", "--all-of-user", email)
	other.dies(t, "what a person had whom the other release has signed out", c.web, second.Access)
	eventually(t, "a session that the other release has ended", func() error {
		v := p.open("/account")
		return want(v.at != nil && v.at.Path == "/login", "%v", v.at)
	})
}

// unknownKindRevoked writes what a coming release may write. Nothing that was issued before it is
// good at a server that does not know what it revokes.
func (h *host) unknownKindRevoked(t *testing.T, c, n *workload) {
	t.Helper()
	token := c.tokenOf(t)
	family := n.person.family(t, n.call, c.web)
	db, err := sqldb.Open(t.Context(), h.env["DATABASE_URL"], sqldb.Options{})
	testkit.Must(t, err)
	defer db.Close()
	now := time.Now()
	testkit.Must(t, db.Write(t.Context(), func(tx sqldb.Tx) error {
		var seq int64
		err := tx.Row(t.Context(), "UPDATE changes SET seq = seq + 1 WHERE topic = 'revocations' RETURNING seq").Scan(&seq)
		if err != nil {
			return err
		}
		_, err = tx.Exec(t.Context(), "INSERT INTO revocations (seq, mark, kind, target, not_before, until, client_id, audience)"+
			" VALUES ($1, '', 'region', 'north', $2, $3, '', '')", seq, now.UnixMilli(), now.Add(time.Hour).UnixMilli())
		return errors.Join(err, tx.Notify(t.Context()))
	}))
	for _, at := range []*workload{c, n} {
		at.dies(t, "a token from before an unknown revocation", c.machine, token)
		at.dies(t, "an approval from before an unknown revocation", c.web, family.Access)
	}
}

// A server of the former release starts on a database that this release has made.
func TestFormerReleaseOnNewDatabase(t *testing.T) {
	onEngines(t, func(t *testing.T, h *host) {
		old := h.former()
		h.run(nil, "", "migrate")
		h.user("ada@example.com")
		web := h.web()
		s := old.serve()
		ada := newPerson(t, s.url, "ada@example.com")
		ada.signIn(t)
		call := newCaller(t, s.url)
		family := ada.family(t, call, web)
		if a := call.refresh(web, family.Refresh); a.status != 200 {
			t.Errorf("a refresh: %v", a)
		}
	})
}
