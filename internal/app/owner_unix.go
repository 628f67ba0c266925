//go:build unix

package app

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// explainOwner adds to an error of an SQLite database that it belongs to another user, which is
// what the error of SQLite does not say: common with volumes of containers.
func explainOwner(err error, databaseURL string) error {
	path, ok := strings.CutPrefix(databaseURL, "sqlite:")
	if err == nil || !ok || path == ":memory:" {
		return err
	}
	for _, name := range []string{path, filepath.Dir(path)} {
		st, statErr := os.Stat(name)
		if statErr != nil {
			continue
		}
		sys, ok := st.Sys().(*syscall.Stat_t)
		if me := os.Geteuid(); ok && me != 0 && int(sys.Uid) != me {
			return fmt.Errorf("%w; %s belongs to user %d with mode %04o, and this is user %d: run as that "+
				"user, or change the owner",
				err, name, sys.Uid, st.Mode().Perm(), me)
		}
	}
	return err
}

// keepOwner sets the owner of a file to that of another one, where that is possible: root edits
// files that the user of the service reads.
func keepOwner(f *os.File, of os.FileInfo) {
	if sys, ok := of.Sys().(*syscall.Stat_t); ok {
		_ = f.Chown(int(sys.Uid), int(sys.Gid)) // only root can, and only then the owner differs
	}
}
