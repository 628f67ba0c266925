package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A first installation needs the address of the server. One over settings that are there needs
// nothing, since it keeps them: that is how a newer program is installed.
func TestInstallSystemd(t *testing.T) {
	root := t.TempDir()
	install := func() (status int, text string) {
		var out bytes.Buffer
		status = Main(t.Context(), Program{}, Streams{strings.NewReader(""), &out, &out},
			[]string{"install", "systemd", "--dry-run", "--root", root})
		return status, out.String()
	}
	if status, text := install(); status != 2 || !strings.Contains(text, "--base-url is missing") {
		t.Errorf("a first installation: %d, %s", status, text)
	}
	settings := filepath.Join(root, "etc", "gatehouse", "gatehouse.yaml")
	testkit.Must(t, os.MkdirAll(filepath.Dir(settings), 0o755))
	testkit.Must(t, os.WriteFile(settings, []byte("base_url: https://id.example.com\n"), 0o600))
	if status, text := install(); status != 0 || !strings.Contains(text, "your settings are not changed") {
		t.Errorf("the next one: %d, %s", status, text)
	}
}
