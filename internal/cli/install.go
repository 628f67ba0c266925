package cli

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/install"
)

// installCommands set the program up on this machine.
type installCommands struct {
	Systemd installSystemd `cmd:"" help:"Install the server as a service of systemd."`
}

// installSystemd writes units, the user and the settings of a first installation.
type installSystemd struct {
	DryRun bool   `help:"Only list what would be done."`
	Root   string `default:"/" placeholder:"DIR" help:"Install below this directory, for images."`
}

// Run installs and lists what was done, and what is left to do.
func (f *installSystemd) Run(ctx context.Context, c *call) error {
	binary, err := os.Executable()
	if err != nil {
		return err
	}
	plan := install.Plan{Root: f.Root, Binary: binary, DryRun: f.DryRun}
	if !plan.Configured() {
		if plan.Config, err = firstConfig(c); err != nil {
			return err
		}
	}
	steps, err := install.Systemd(ctx, plan)
	if err != nil {
		return err
	}
	return c.show(map[string]any{"steps": steps, "dry_run": f.DryRun}, func(s *table) {
		for _, step := range steps {
			s.pair(step.Action, strings.TrimSpace(step.Path+" "+note(step.Note)))
		}
		if !f.DryRun {
			s.line("Look at %s, then start the server: systemctl enable --now gatehouse", install.ConfigPath)
		}
	})
}

func note(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

// firstConfig returns a settings file for production with the settings of the command line, and
// validates it.
func firstConfig(c *call) ([]byte, error) {
	key := make([]byte, 32)
	rand.Read(key)
	values := map[string]string{
		"environment":  "production",
		"secret_key":   hex.EncodeToString(key),
		"database_url": "sqlite:/var/lib/gatehouse/gatehouse.db",
	}
	if _, acme := c.flags["acme-domains"]; acme {
		values["port"], values["http_port"] = "443", "80"
	} else if _, own := c.flags["ssl-cert"]; own {
		values["port"] = "443"
	} else {
		values["host"], values["trusted_proxies"] = "127.0.0.1", "127.0.0.1"
	}
	for flag, value := range c.flags {
		values[strings.ReplaceAll(flag, "-", "_")] = value
	}
	var b strings.Builder
	b.WriteString("# The settings of Gatehouse; see docs/SETTINGS.md. Keep secret_key: without it, the database\n" +
		"# cannot be read.\n")
	for _, s := range config.Settings() {
		value, given := values[s.Key()]
		if !given {
			continue
		}
		line, err := yaml.Marshal(map[string]string{s.Key(): value})
		if err != nil {
			return nil, err
		}
		b.Write(line)
	}
	if values["base_url"] == "" && values["acme_domains"] == "" {
		return nil, usageError{errors.New("--base-url is missing: the https address that people and clients " +
			"will use, such as --base-url https://login.example.com; with --acme-domains login.example.com " +
			"the server gets its certificate by itself")}
	}
	_, err := config.Load(config.Source{File: []byte(b.String()), FileName: "the new settings file"})
	return []byte(b.String()), err
}
