package app

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-id/gatehouse/internal/doctor"
)

// examineFile reads the permissions of a file.
func examineFile(path, what string) doctor.File {
	f := doctor.File{Path: path, What: what, Our: os.Getuid()}
	info, err := os.Stat(path)
	if err != nil {
		f.Err = reasonOf(err)
		return f
	}
	f.Mode, f.Dir = uint32(info.Mode().Perm()), info.IsDir()
	f.Owner = f.Our
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Owner = int(s.Uid)
	}
	return f
}

// reasonOf returns the reason of an error without the path, which its reader knows.
func reasonOf(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return err.Error()
}

// diskSpace returns how much room there is where path lies.
func diskSpace(path string) (doctor.Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return doctor.Disk{}, err
	}
	size := uint64(s.Bsize)
	return doctor.Disk{Path: path, Free: s.Bavail * size, Total: s.Blocks * size}, nil
}

// fileSystem returns the name of the type of the file system where path lies, or "".
func fileSystem(path string) string {
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
		return ""
	}
	return fileSystemName(int64(s.Type)&math.MaxUint32, func() string { return mountOf(path) })
}

const (
	lustreMagic = 0x0bd00bd0
	vboxMagic   = 0x786f4256
)

// fileSystemName returns the name of a type of file system by the number that statfs returns, or
// "". What FUSE serves is said by the mount alone.
func fileSystemName(magic int64, mount func() string) string {
	if magic == unix.FUSE_SUPER_MAGIC {
		return cmp.Or(mount(), "fuse")
	}
	return map[int64]string{
		unix.NFS_SUPER_MAGIC:       "nfs",
		unix.CIFS_SUPER_MAGIC:      "cifs",
		unix.SMB_SUPER_MAGIC:       "smb",
		unix.SMB2_SUPER_MAGIC:      "smb2",
		unix.V9FS_MAGIC:            "9p",
		unix.AFS_SUPER_MAGIC:       "afs",
		unix.AFS_FS_MAGIC:          "afs",
		unix.CEPH_SUPER_MAGIC:      "ceph",
		unix.CODA_SUPER_MAGIC:      "coda",
		unix.NCP_SUPER_MAGIC:       "ncp",
		lustreMagic:                "lustre",
		vboxMagic:                  "vboxsf",
		unix.OVERLAYFS_SUPER_MAGIC: "overlay",
		unix.TMPFS_MAGIC:           "tmpfs",
	}[magic]
}

// mountOf returns the type of the mount where path lies, such as fuse.sshfs, or "".
func mountOf(path string) string {
	var s unix.Stat_t
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || unix.Stat(path, &s) != nil {
		return ""
	}
	dev := uint64(s.Dev) //nolint:unconvert // narrower on some machines
	return mountType(string(mounts), fmt.Sprintf("%d:%d", unix.Major(dev), unix.Minor(dev)))
}

// clockUnsynchronized reports whether the system says that nothing sets its clock.
func clockUnsynchronized() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state == unix.TIME_ERROR
}
