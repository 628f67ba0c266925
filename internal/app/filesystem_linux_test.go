package app

import (
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// File systems are known by the number that statfs returns (statfs(2)), and those of FUSE by their
// mount.
func TestFileSystemName(t *testing.T) {
	for magic, want := range map[int64]string{
		0x6969: "nfs", 0xff534d42: "cifs", 0x517b: "smb", 0xfe534d42: "smb2", 0x01021997: "9p", 0x00c36400: "ceph",
		0x5346414f: "afs", 0x6b414653: "afs", 0x73757245: "coda", 0x564c: "ncp", 0x0bd00bd0: "lustre", 0x786f4256: "vboxsf",
		0x794c7630: "overlay", 0x01021994: "tmpfs", 0xef53: "", 0x58465342: "", 0x65735546: "fuse.sshfs",
	} {
		name := fileSystemName(magic, func() string {
			testkit.Equal(t, "asks for the mount", magic, 0x65735546)
			return "fuse.sshfs"
		})
		testkit.Equal(t, want, name, want)
	}
	unknown := func() string { return "" }
	testkit.Equal(t, "a mount that nobody knows", fileSystemName(0x65735546, unknown), "fuse")
	testkit.Equal(t, "a path that does not exist", fileSystem("/nonexistent/path"), "")
}
