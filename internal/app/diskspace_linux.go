package app

import (
	"os"
	"path/filepath"
	"syscall"
)

// freeSpace returns the bytes that an unprivileged process can still write below a path, or -1. The
// path itself may not exist yet.
func freeSpace(path string) int64 {
	path, err := filepath.Abs(path)
	if err != nil {
		return -1
	}
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			break
		}
		path = filepath.Dir(path)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return -1
	}
	return int64(fs.Bavail) * fs.Bsize
}
