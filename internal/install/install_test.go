package install

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func actions(steps []Step) string {
	var out []string
	for _, s := range steps {
		out = append(out, s.Action)
	}
	return strings.Join(out, " ")
}

// An installation can be repeated: it updates what a new release brings, and never the settings.
func TestSystemd(t *testing.T) {
	root, ctx := t.TempDir(), t.Context()
	binary := filepath.Join(t.TempDir(), "gatehouse")
	testkit.Must(t, os.WriteFile(binary, []byte("#!/bin/sh\n"), 0o755))
	p := Plan{Root: root, Binary: binary, Config: []byte("secret_key: first\n")}
	if _, err := exec.LookPath("systemd-sysusers"); err != nil {
		p.Run = func(context.Context, string, ...string) error {
			testkit.Must(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
			return os.WriteFile(filepath.Join(root, "etc/group"), []byte("gatehouse:x:998:\n"), 0o644)
		}
	}
	dry := p
	dry.DryRun = true
	steps, err := Systemd(ctx, dry)
	testkit.Must(t, err)
	testkit.Equal(t, "a dry run", actions(steps), "created created created created created")
	if left, _ := os.ReadDir(root); len(left) > 0 {
		t.Errorf("a dry run wrote %v", left)
	}
	steps, err = Systemd(ctx, p)
	testkit.Must(t, err)
	testkit.Equal(t, "the first run", actions(steps), "created created created created created")
	p.Config = []byte("secret_key: second\n")
	testkit.Must(t, os.WriteFile(binary, []byte("#!/bin/sh\n# new\n"), 0o755))
	testkit.Must(t, os.Remove(filepath.Join(root, unitPath, "gatehouse.socket")))
	steps, err = Systemd(ctx, p)
	testkit.Must(t, err)
	testkit.Equal(t, "the second run", actions(steps), "updated unchanged unchanged created kept")
	for path, mode := range map[string]os.FileMode{
		binaryPath: 0o755, ConfigPath: 0o640, filepath.Dir(ConfigPath): 0o750, unitPath + "gatehouse.service": 0o644,
	} {
		st, err := os.Stat(filepath.Join(root, path))
		testkit.Must(t, err)
		testkit.Equal(t, "mode of "+path, st.Mode().Perm(), mode)
	}
	text, err := os.ReadFile(filepath.Join(root, ConfigPath))
	testkit.Must(t, err)
	testkit.Equal(t, "the settings", string(text), "secret_key: first\n")
	p.Binary = filepath.Join(root, binaryPath)
	steps, err = Systemd(ctx, p)
	testkit.Must(t, err)
	testkit.Equal(t, "from its own place", actions(steps), "unchanged unchanged unchanged unchanged kept")
	verify(t, root)
}

// verify lets systemd check the units as they are installed.
func verify(t *testing.T, root string) {
	t.Helper()
	analyze := testkit.Need(t, "systemd-analyze")
	unit := filepath.Join(root, unitPath, "gatehouse.service")
	text, err := os.ReadFile(unit)
	testkit.Must(t, err)
	here := strings.Replace(string(text), "ExecStart=/usr/bin/gatehouse", "ExecStart="+filepath.Join(root, binaryPath), 1)
	testkit.Must(t, os.WriteFile(unit, []byte(here), 0o644))
	if out, err := exec.Command(analyze, "verify", "--man=no", unit, filepath.Join(root, unitPath, "gatehouse.socket")).
		CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v: %s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", unit).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v: %s", err, out)
	}
}
