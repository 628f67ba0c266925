package doctor

import "slices"

// Placement says whether a file system is good for the file of an SQLite database, which needs
// locks and memory that all its users share.
type Placement int

// The placements.
const (
	LocalPlacement Placement = iota
	// SharedPlacement is a folder of another system on the same machine, such as that of a virtual
	// machine, or what nobody knows.
	SharedPlacement
	// NetworkPlacement is a folder that other machines may use at the same time.
	NetworkPlacement
)

// PlacementOf returns what a type of file system means for an SQLite database.
func PlacementOf(fileSystem string) Placement {
	network := []string{
		"afs", "ceph", "cifs", "coda", "lustre", "ncp", "nfs", "smb", "smb2",
		"fuse.ceph", "fuse.ceph-fuse", "fuse.cifs", "fuse.curlftpfs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs",
		"fuse.mount-s3", "fuse.nfs", "fuse.rclone", "fuse.s3fs", "fuse.smbnetfs", "fuse.sshfs",
	}
	shared := []string{"9p", "fuse", "fuseblk", "vboxsf", "virtiofs"}
	switch {
	case slices.Contains(network, fileSystem):
		return NetworkPlacement
	case slices.Contains(shared, fileSystem), len(fileSystem) > 5 && fileSystem[:5] == "fuse.":
		return SharedPlacement
	}
	return LocalPlacement
}
