package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// fakes are the programs of the system that the package's scripts call; they record their calls.
const fakes = `#!/bin/sh
echo "$(basename "$0") $*" >>"$CALLS"
[ "$(basename "$0")" != systemd-sysusers ] || grep -q '^gatehouse:' "$DPKG_ROOT/etc/group" || echo gatehouse:x:998: >>"$DPKG_ROOT/etc/group"
`

// The package is installed, upgraded, removed and purged: nothing starts before it is configured,
// the socket is never restarted, changed settings stay, and so do the data.
func TestDebianPackage(t *testing.T) {
	testkit.Need(t, "dpkg-deb")
	if os.Geteuid() != 0 {
		testkit.Missing(t, "only root can install packages")
	}
	dir := t.TempDir()
	binary, root, bin, calls := filepath.Join(dir, "gatehouse"), filepath.Join(dir, "root"), filepath.Join(dir, "bin"), filepath.Join(dir, "calls")
	testkit.Must(t, os.WriteFile(binary, []byte("#!/bin/sh\necho page >\"$2/gatehouse.1\"\n"), 0o755))
	for _, d := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "run/systemd/system", "var/lib/gatehouse"} {
		testkit.Must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	testkit.Must(t, os.MkdirAll(bin, 0o755))
	status := ""
	for _, name := range []string{"init-system-helpers", "systemd"} {
		status += "Package: " + name + "\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n" +
			"Maintainer: x <x@example.com>\nDescription: x\n\n"
	}
	testkit.Must(t, os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), []byte(status), 0o644))
	testkit.Must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\n"), 0o644))
	for _, name := range []string{"systemctl", "deb-systemd-invoke", "systemd-sysusers"} {
		testkit.Must(t, os.WriteFile(filepath.Join(bin, name), []byte(fakes), 0o755))
	}
	run := func(name string, args ...string) string {
		t.Helper()
		testkit.Must(t, os.WriteFile(calls, nil, 0o644))
		cmd := exec.Command(name, args...)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "CALLS="+calls, "GATEHOUSE_RUN="+filepath.Join(root, "run"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, out)
		}
		raw, err := os.ReadFile(calls)
		testkit.Must(t, err)
		return string(raw)
	}
	dpkg := func(args ...string) string {
		t.Helper()
		return run("dpkg", append([]string{"--root=" + root, "--force-script-chrootless", "--force-confdef", "--force-confold", "--log=/dev/null"}, args...)...)
	}
	build := func(version string) string {
		t.Helper()
		cmd := exec.Command("./debian/build", version, "", binary)
		cmd.Env = append(os.Environ(), "OUT="+dir)
		out, err := cmd.Output()
		testkit.Must(t, err)
		return strings.TrimSpace(string(out))
	}
	old, next := build("1.0.0"), build("1.1.0")
	got := dpkg("-i", old)
	if strings.Contains(got, "start") || !strings.Contains(got, "daemon-reload") {
		t.Errorf("the installation calls\n%s", got)
	}
	for _, name := range []string{
		"man/man1/gatehouse.1.gz", "bash-completion/completions/gatehouse",
		"zsh/vendor-completions/_gatehouse", "fish/vendor_completions.d/gatehouse.fish",
	} {
		if _, err := os.Stat(filepath.Join(root, "usr/share", name)); err != nil {
			t.Error(err)
		}
	}
	settings := filepath.Join(root, "etc/gatehouse/gatehouse.yaml")
	st, err := os.Stat(settings)
	testkit.Must(t, err)
	testkit.Equal(t, "mode of the settings", st.Mode().Perm(), 0o640)
	testkit.Must(t, os.WriteFile(settings, []byte("base_url: https://id.example.com\n"), 0o640))
	testkit.Must(t, os.WriteFile(filepath.Join(root, "var/lib/gatehouse/gatehouse.db"), []byte("data"), 0o600))
	got = dpkg("-i", next)
	if strings.Contains(got, "socket") || strings.Count(got, "try-restart gatehouse.service") != 1 || strings.Contains(got, "stop") {
		t.Errorf("the upgrade calls\n%s", got)
	}
	left, err := os.ReadFile(settings)
	testkit.Must(t, err)
	testkit.Equal(t, "the settings after the upgrade", string(left), "base_url: https://id.example.com\n")
	if got = dpkg("-r", "gatehouse"); !strings.Contains(got, "stop gatehouse.socket gatehouse.service") {
		t.Errorf("the removal calls\n%s", got)
	}
	if _, err := os.Stat(settings); err != nil {
		t.Errorf("the removal takes the settings: %v", err)
	}
	dpkg("-P", "gatehouse")
	if _, err := os.Stat(settings); err == nil {
		t.Error("purging leaves the settings")
	}
	if _, err := os.Stat(filepath.Join(root, "var/lib/gatehouse/gatehouse.db")); err != nil {
		t.Errorf("purging takes the data: %v", err)
	}
}
