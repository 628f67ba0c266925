//go:build unix

package app

import (
	"errors"
	"os"
	"syscall"
	"time"

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

const (
	folderLockLimit = 15 * time.Second // of waiting for another process
	folderLockAgain = 20 * time.Millisecond
)

// lockFolder locks a folder until the returned file is closed: who changes a file by writing
// another one in its place must not lose what somebody else writes meanwhile. It waits for other
// processes, which hold the lock for a moment, and leaves no file behind. The lock ends with the
// process.
func lockFolder(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(folderLockLimit); ; time.Sleep(folderLockAgain) {
		switch err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			return f, nil
		case errors.Is(err, syscall.EWOULDBLOCK) && time.Now().Before(end), errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			err = fault.New(fault.Conflict, "another process changes files in %s; try again when it has ended", name)
		}
		_ = f.Close()
		return nil, err
	}
}
