//go:build !linux

package app

import (
	"errors"
	"os"

	"github.com/gatehouse-id/gatehouse/internal/doctor"
)

// examineFile reads the permissions of a file.
func examineFile(path, what string) doctor.File {
	f := doctor.File{Path: path, What: what}
	info, err := os.Stat(path)
	if err != nil {
		f.Err = err.Error()
		return f
	}
	f.Mode, f.Dir = uint32(info.Mode().Perm()), info.IsDir()
	return f
}

// diskSpace returns nothing: this system does not tell.
func diskSpace(string) (doctor.Disk, error) { return doctor.Disk{}, errors.ErrUnsupported }

// fileSystem returns nothing: this system does not tell.
func fileSystem(string) string { return "" }

// clockUnsynchronized returns nothing: this system does not tell.
func clockUnsynchronized() bool { return false }
