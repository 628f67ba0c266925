package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// checkPlacement returns an error if the SQLite database of a server is where other machines may
// use it, too, and warns of what else is not a local disk.
func checkPlacement(cfg *config.Config, log *slog.Logger) error {
	path := sqliteFile(cfg)
	if path == "" {
		return nil
	}
	warning, err := placement(path, fileSystem(existing(path)), cfg.Production())
	if warning != "" {
		log.Warn(warning)
	}
	return err
}

// placement returns a warning about a database file on a type of file system, or "". In production
// it returns an error if that is a network file system.
func placement(path, on string, production bool) (warning string, err error) {
	switch doctor.PlacementOf(on) {
	case doctor.LocalPlacement:
		return "", nil
	case doctor.SharedPlacement:
		return "the database file " + path + " is on " + on + ", where the locks and the shared memory of SQLite may not " +
			"work; use a local disk, or PostgreSQL", nil
	}
	e := fault.New(fault.Invalid, "the database file %s is on %s, a network file system: if another machine "+
		"opens it, too, codes can be used twice and the file be destroyed; move it to a local disk with "+
		"gatehouse backup and gatehouse restore --move, or use PostgreSQL", path, on)
	if production {
		return "", e
	}
	return e.Error(), nil
}

// existing returns a path, or the nearest folder above it that exists.
func existing(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// mountType returns the type of the file system that has a device number, by the content of
// /proc/self/mountinfo (proc_pid_mountinfo(5)), or "".
func mountType(mounts, device string) string {
	for line := range strings.Lines(mounts) {
		before, after, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if ok && len(fields) > 2 && fields[2] == device && len(rest) > 0 {
			return rest[0]
		}
	}
	return ""
}
