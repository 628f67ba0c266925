package app

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	info := func(module string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: module}, Settings: settings}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: commit}
	modified := debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for _, tt := range []struct {
		release string
		info    *debug.BuildInfo
		want    string
	}{
		{"", nil, "devel"},
		{"v1.2.3", nil, "v1.2.3"},
		{"v1.2.3", info("v0.0.1", revision), "v1.2.3"},
		{"", info("v0.0.1", revision), "v0.0.1"},
		{"", info("(devel)", revision), "devel-0123456789ab"},
		{"", info("(devel)", revision, modified), "devel-0123456789ab+modified"},
		{"", info(""), "devel"},
	} {
		if got := versionOf(tt.release, tt.info); got != tt.want {
			t.Errorf("release %q, %+v: got %s, want %s", tt.release, tt.info, got, tt.want)
		}
	}
}

// TestLinkedVersion builds the program as a release is built.
func TestLinkedVersion(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the whole program")
	}
	binary := filepath.Join(t.TempDir(), "gatehouse")
	const set = "-X github.com/gatehouse-id/gatehouse/internal/app.release=v9.8.7"
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", set, "-o", binary,
		"github.com/gatehouse-id/gatehouse/cmd/gatehouse")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as tools/test.sh builds it
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, args := range [][]string{{"version"}, {"--version"}} {
		out, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput()
		if err != nil || !strings.HasPrefix(string(out), "gatehouse v9.8.7 (go1") {
			t.Errorf("%v: %s, %v", args, out, err)
		}
	}
}
