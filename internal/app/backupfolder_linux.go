package app

import (
	"os"
	"path/filepath"
	"syscall"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// writable returns an error if this process may not create files in a folder.
func writable(path string) error {
	const mayWrite, mayEnter = 2, 1
	if err := syscall.Access(path, mayWrite|mayEnter); err != nil {
		return fault.New(fault.Denied, "the user %d may not write to %s (%w)", os.Getuid(), path, err)
	}
	return nil
}

// sameDisk reports whether two paths are on one file system. What does not exist yet is where the
// folder above it is.
func sameDisk(a, b string) bool {
	x, okA := device(a)
	y, okB := device(b)
	return okA && okB && x == y
}

func device(path string) (uint64, bool) {
	path, err := filepath.Abs(path)
	if err != nil {
		return 0, false
	}
	for {
		if info, err := os.Stat(path); err == nil {
			sys, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				return 0, false
			}
			return sys.Dev, true
		}
		if path == filepath.Dir(path) {
			return 0, false
		}
		path = filepath.Dir(path)
	}
}
