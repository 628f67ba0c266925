package faults_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// at returns the installation with another database.
func (h *host) at(database string) *host {
	other := *h
	other.env = map[string]string{}
	for k, v := range h.env {
		other.env[k] = v
	}
	other.env["DATABASE_URL"] = database
	return &other
}

// try runs a command and returns its exit status and what it wrote. It kills the command when the
// context ends.
func (h *host) try(ctx context.Context, args ...string) (status int, text string) {
	h.t.Helper()
	bin, err := program()
	testkit.Must(h.t, err)
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Env, cmd.Dir = h.environment(nil), h.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String()
}

// A backup is made while the server works. After a move all goes on; after a recovery nothing that
// was given before is good for anything, approvals stand, and signing in works. The engine is
// another one each time.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), nil)
	s := h.serve()
	c := h.workload(s)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { c.load(ctx); close(done) }()
	c.progress(t)
	file := filepath.Join(h.dir, "under-load.backup")
	h.run(nil, "", "backup", file)
	c.progress(t)
	stop()
	<-done
	c.verify(t)
	jwt := c.call.own(c.machine).tokens().Access
	opaque := c.call.own(c.opaque).tokens().Access
	old := c.person.family(t, c.call, c.web)
	last := filepath.Join(h.dir, "last.backup")
	h.run(nil, "", "backup", last)
	newer := c.call.refresh(c.web, old.Refresh).tokens()
	s.stop()

	t.Run("move", func(t *testing.T) {
		moved := h.at(testkit.StartPostgres(t))
		moved.run(nil, "", "restore", last, "--move")
		s := moved.serve()
		defer s.stop()
		for cl, token := range map[client]string{c.machine: jwt, c.opaque: opaque} {
			on, err := c.call.active(cl, token)
			testkit.Must(t, err)
			testkit.Equal(t, "a token of before works: "+cl.id, on, true)
		}
		if page := c.person.open("/account"); page.status != 200 || strings.Contains(page.body, `name="password"`) {
			t.Errorf("the session is gone: %v", page.answer)
		}
		testkit.Equal(t, "the refresh token of then", c.call.refresh(c.web, old.Refresh).status, 200)
	})
	t.Run("recover", func(t *testing.T) {
		back := h.at("sqlite:" + filepath.Join(t.TempDir(), "back", "gatehouse.db"))
		_, text := back.try(t.Context(), "restore", last, "--recover")
		for _, want := range []string{"What the backup cannot tell you", "signing keys", "sessions"} {
			if !strings.Contains(text, want) {
				t.Errorf("the command does not say %q: %s", want, text)
			}
		}
		s := back.serve()
		defer s.stop()
		for cl, token := range map[client]string{c.machine: jwt, c.opaque: opaque, c.web: newer.Access} {
			on, err := c.call.active(cl, token)
			testkit.Must(t, err)
			testkit.Equal(t, "a token of before works: "+cl.id, on, false)
		}
		for name, token := range map[string]string{"of then": old.Refresh, "of later": newer.Refresh} {
			a := c.call.refresh(c.web, token)
			testkit.Equal(t, "the refresh token "+name, a.status, 400)
			if !strings.Contains(a.body, "invalid_grant") {
				t.Errorf("the refresh token %s: %v", name, a)
			}
		}
		if page := c.person.open("/account"); !strings.Contains(page.body, `name="password"`) {
			t.Errorf("the session of before works: %v", page.answer)
		}
		again := newPerson(t, s.url, "ada@example.com")
		again.signIn(t)
		testkit.Equal(t, "a new refresh token", c.call.refresh(c.web, again.family(t, c.call, c.web).Refresh).status, 200)
	})
}

// A process that is killed at any moment of a backup leaves the former file whole; one that is
// killed at any moment of a restore leaves nothing that a server would take for a database, and the
// restore can be made again.
func TestBackupKilled(t *testing.T) {
	t.Parallel()
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), nil)
	h.user("ada@example.com")
	h.web()
	file := filepath.Join(h.dir, "out")
	h.run(nil, "", "backup", file)
	started := time.Now()
	h.run(nil, "", "backup", file)
	took := time.Since(started)
	const moments = 8
	for i := range moments {
		ctx, cancel := context.WithTimeout(t.Context(), took*time.Duration(i+1)/moments)
		h.try(ctx, "backup", file)
		cancel()
		h.run(nil, "", "backup", "--verify", file)
	}
	for _, name := range visible(t, h.dir) {
		if name != "out" {
			t.Errorf("there is a file %s", name)
		}
	}
	for name, url := range map[string]string{
		"sqlite": "sqlite:" + filepath.Join(h.dir, "target", "gatehouse.db"), "postgres": testkit.StartPostgres(t),
	} {
		target := h.at(url)
		whole := false
		for i := range moments {
			ctx, cancel := context.WithTimeout(t.Context(), took*time.Duration(i+1)/moments)
			status, text := target.try(ctx, "restore", file, "--recover")
			cancel()
			if whole && !strings.Contains(text, "never replaces data") {
				t.Errorf("%s: over data: %s", name, text)
			}
			whole = whole || status == 0
		}
		if status, text := target.try(t.Context(), "restore", file, "--recover"); status != 0 && !strings.Contains(text, "never replaces data") {
			t.Errorf("%s: the restore cannot be made again: %s", name, text)
		}
		var users struct{ Data []any }
		target.run(&users, "", "user", "list")
		testkit.Equal(t, name+": users", len(users.Data), 1)
	}
}

// visible returns the names in a directory that do not begin with a dot.
func visible(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	testkit.Must(t, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return out
}

// On a disk without room a restore, a backup and a rehearsal fail, say why, and leave nothing
// behind.
func TestBackupOnFullDisk(t *testing.T) {
	t.Parallel()
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), nil)
	h.user("ada@example.com")
	file := filepath.Join(h.dir, "out")
	h.run(nil, "", "backup", file)
	bin, err := program()
	testkit.Must(t, err)
	full := filepath.Join(h.dir, "full")
	testkit.Must(t, os.Mkdir(full, 0o700))
	mount := "mount -t tmpfs -o size=256k,mode=700 tmpfs " + full + " && "
	if output, err := exec.Command("unshare", "--mount", "sh", "-c", mount+"true").CombinedOutput(); err != nil {
		t.Skipf("no file system can be mounted here: %v: %s", err, output)
	}
	for command, says := range map[string]string{
		"DATABASE_URL=sqlite:" + full + "/gatehouse.db " + bin + " restore " + file + " --move": "disk is full",
		bin + " backup " + full + "/small/":                                                     "has only 0 MB left",
		bin + " upgrade --rehearse --in " + full + "/small":                                     "name a folder on another disk with --in",
	} {
		cmd := exec.Command("unshare", "--mount", "sh", "-c", mount+"mkdir -p "+full+"/small; "+command+"; echo status $?; find "+full+" -type f")
		cmd.Env, cmd.Dir = h.environment(nil), h.dir
		out, err := cmd.CombinedOutput()
		testkit.Must(t, err)
		if !strings.HasSuffix(string(out), "status 1\n") || !strings.Contains(string(out), says) {
			t.Errorf("%s: %s", command, out)
		}
	}
}
