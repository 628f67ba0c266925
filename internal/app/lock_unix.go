//go:build unix

package app

import (
	"os"
	"syscall"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// lockFile creates a file and locks it until it is closed, or returns Conflict if another process
// has locked it. The lock ends with the process.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fault.New(fault.Conflict, "another restore into this place is running")
	}
	ours, err := f.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = os.Stat(name); err == nil && os.SameFile(ours, there) {
			return f, nil
		}
	}
	_ = f.Close() // its owner has removed it in between
	return nil, fault.New(fault.Conflict, "another restore into this place has just ended")
}
