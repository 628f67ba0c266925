package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Messages have a logo that mail programs show, below an absolute address, and no other.
func TestLogoOfMessages(t *testing.T) {
	dir := t.TempDir()
	testkit.Must(t, os.MkdirAll(filepath.Join(dir, "public/images"), 0o700))
	testkit.Must(t, os.WriteFile(filepath.Join(dir, "public/images/logo.png"), []byte("x"), 0o600))
	for name, c := range map[string]struct{ env, want string }{
		"own path":      {"LOGO_URL=/images/logo.PNG", "https://id.example/images/logo.PNG"},
		"elsewhere":     {"LOGO_URL=https://cdn.example/logo.jpg?v=2", "https://cdn.example/logo.jpg?v=2"},
		"SVG":           {"LOGO_URL=https://cdn.example/logo.svg", ""},
		"none":          {"APP_NAME=Acme", ""},
		"usual place":   {"TEMPLATES_PATH=" + dir, "https://id.example/images/logo.png"},
		"another place": {"TEMPLATES_PATH=" + t.TempDir(), ""},
	} {
		cfg, err := config.Load(config.Source{Env: []string{"BASE_URL=https://id.example", c.env}})
		testkit.Must(t, err)
		custom, err := customFiles(cfg)
		testkit.Must(t, err)
		testkit.Equal(t, name, mailBrand(cfg, custom).Logo, c.want)
	}
}

// Links below TEMPLATES_PATH do not lead out of it, and a path that is none is named.
func TestTemplatesPath(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "secret.txt")
	testkit.Must(t, os.WriteFile(out, []byte("x"), 0o600))
	testkit.Must(t, os.Mkdir(filepath.Join(dir, "public"), 0o700))
	testkit.Must(t, os.Symlink(out, filepath.Join(dir, "public/secret.txt")))
	for path, want := range map[string]string{dir: "public/secret.txt", "/nowhere": "TEMPLATES_PATH is \"/nowhere\""} {
		cfg, err := config.Load(config.Source{Env: []string{"TEMPLATES_PATH=" + path}})
		testkit.Must(t, err)
		_, err = newPages(cfg, nil, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
