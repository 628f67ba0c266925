// Package install sets up Gatehouse as a service of this machine.
package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/deploy/systemd"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Where the parts are, below the root directory.
const (
	binaryPath = "/usr/bin/gatehouse"
	unitPath   = "/etc/systemd/system/"
	usersPath  = "/etc/sysusers.d/gatehouse.conf"
	ConfigPath = "/etc/gatehouse/gatehouse.yaml"
)

// A Plan is an installation: what to write, and where.
type Plan struct {
	Root   string // "/" for this machine
	Binary string // the program to install
	Config []byte // for a first installation
	DryRun bool   // only report

	// Run runs a command of the system; nil for the usual way.
	Run func(ctx context.Context, name string, args ...string) error
}

// A Step is something that was done, or with DryRun would be.
type Step struct {
	Path   string `json:"path,omitempty"`
	Action string `json:"action"` // created, updated, unchanged, kept, ran
	Note   string `json:"note,omitempty"`
}

// Systemd writes the units, the user, the program and the settings, and reports what it did. What
// is as it should be stays; settings that exist are never changed. It starts nothing.
func Systemd(ctx context.Context, p Plan) (steps []Step, err error) {
	if p.Run == nil {
		p.Run = run
	}
	if p.Root == "/" && os.Geteuid() != 0 && !p.DryRun {
		return nil, fault.New(fault.Invalid, "only root can install a service; run it with sudo, or see "+
			"what it would do with --dry-run")
	}
	for _, f := range []func(context.Context) (Step, error){
		p.binary, p.users, p.unit("gatehouse.service"), p.unit("gatehouse.socket"), p.config, p.reload,
	} {
		s, err := f(ctx)
		if err != nil {
			return steps, err
		}
		if s.Action != "" {
			steps = append(steps, s)
		}
	}
	return steps, nil
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s failed: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

func (p Plan) at(path string) string { return filepath.Join(p.Root, path) }

// binary copies the program, unless it is in its place.
func (p Plan) binary(context.Context) (Step, error) {
	to := p.at(binaryPath)
	a, errA := os.Stat(p.Binary)
	if b, err := os.Stat(to); err == nil && errA == nil && os.SameFile(a, b) {
		return Step{Path: binaryPath, Action: "unchanged"}, nil
	}
	content, err := os.ReadFile(p.Binary)
	if err != nil {
		return Step{}, err
	}
	return p.write(binaryPath, content, 0o755)
}

// users creates the user of the service.
func (p Plan) users(ctx context.Context) (Step, error) {
	content, err := systemd.File("gatehouse.conf")
	if err != nil {
		return Step{}, err
	}
	s, err := p.write(usersPath, content, 0o644)
	if err != nil || p.DryRun {
		return s, err
	}
	args := []string{filepath.Base(usersPath)}
	if p.Root != "/" {
		args = []string{"--root=" + p.Root, filepath.Base(usersPath)}
	}
	if err := p.Run(ctx, "systemd-sysusers", args...); err != nil {
		return s, fmt.Errorf("the user gatehouse cannot be created: %w", err)
	}
	s.Note = "user gatehouse"
	return s, nil
}

func (p Plan) unit(name string) func(context.Context) (Step, error) {
	return func(context.Context) (Step, error) {
		content, err := systemd.File(name)
		if err != nil {
			return Step{}, err
		}
		return p.write(unitPath+name, content, 0o644)
	}
}

// Configured reports whether there are settings already. An installation keeps them.
func (p Plan) Configured() bool {
	_, err := os.Lstat(p.at(ConfigPath))
	return err == nil
}

// config writes the settings of a first installation, which only root and the service can read.
func (p Plan) config(context.Context) (Step, error) {
	if p.Configured() {
		return Step{Path: ConfigPath, Action: "kept", Note: "your settings are not changed"}, nil
	}
	s, err := p.write(ConfigPath, p.Config, 0o640)
	if err != nil || p.DryRun {
		return s, err
	}
	gid, err := p.group()
	if err != nil {
		return s, err
	}
	err = errors.Join(
		os.Chown(p.at(filepath.Dir(ConfigPath)), 0, gid), os.Chmod(p.at(filepath.Dir(ConfigPath)), 0o750),
		os.Chown(p.at(ConfigPath), 0, gid),
	)
	return s, err
}

// group returns the number of the group gatehouse below the root directory.
func (p Plan) group() (int, error) {
	raw, err := os.ReadFile(p.at("/etc/group"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Split(strings.TrimSpace(line), ":"); len(f) > 2 && f[0] == "gatehouse" {
			return strconv.Atoi(f[2])
		}
	}
	return 0, fault.New(fault.Invalid, "the group gatehouse does not exist, although systemd-sysusers has "+
		"run; create it with: "+
		"useradd --system --user-group gatehouse")
}

// reload lets systemd read the units.
func (p Plan) reload(ctx context.Context) (Step, error) {
	if p.Root != "/" {
		return Step{}, nil
	}
	if p.DryRun {
		return Step{Action: "ran", Note: "systemctl daemon-reload"}, nil
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return Step{}, nil // not the init of this machine
	}
	return Step{Action: "ran", Note: "systemctl daemon-reload"}, p.Run(ctx, "systemctl", "daemon-reload")
}

// write writes a file completely or not at all, and reports what it did.
func (p Plan) write(path string, content []byte, mode fs.FileMode) (Step, error) {
	s := Step{Path: path, Action: "created"}
	to := p.at(path)
	if have, err := os.ReadFile(to); err == nil {
		if s.Action = "updated"; bytes.Equal(have, content) {
			s.Action = "unchanged"
			return s, nil
		}
	}
	if p.DryRun {
		return s, nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return s, err
	}
	f, err := os.CreateTemp(filepath.Dir(to), ".gatehouse-*") // its mode is 0600
	if err != nil {
		return s, err
	}
	defer os.Remove(f.Name())
	_, werr := io.Copy(f, bytes.NewReader(content))
	if err := errors.Join(werr, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return s, err
	}
	return s, os.Rename(f.Name(), to)
}
