package app

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// An SQLite database on a network file system is refused in production; what may be one is warned
// of.
func TestPlacement(t *testing.T) {
	for on, want := range map[string]doctor.Placement{
		"": doctor.LocalPlacement, "ext4": doctor.LocalPlacement, "xfs": doctor.LocalPlacement, "overlay": doctor.LocalPlacement,
		"tmpfs": doctor.LocalPlacement,
		"nfs":   doctor.NetworkPlacement, "cifs": doctor.NetworkPlacement, "smb": doctor.NetworkPlacement, "smb2": doctor.NetworkPlacement,
		"ceph": doctor.NetworkPlacement, "fuse.sshfs": doctor.NetworkPlacement, "fuse.s3fs": doctor.NetworkPlacement,
		"9p": doctor.SharedPlacement, "virtiofs": doctor.SharedPlacement, "fuse": doctor.SharedPlacement,
		"fuse.gocryptfs": doctor.SharedPlacement, "fuseblk": doctor.SharedPlacement,
	} {
		for _, production := range []bool{true, false} {
			warning, err := placement("/data/g.db", on, production)
			refused := production && want == doctor.NetworkPlacement
			testkit.Equal(t, on+": refused", fault.Is(err, fault.Invalid), refused)
			testkit.Equal(t, on+": warned", warning != "", want != doctor.LocalPlacement && !refused)
		}
	}
}

// The type of a mount is found by its device, also among mounts with further fields.
func TestMountType(t *testing.T) {
	const mounts = `24 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
36 24 0:45 / /data rw,nosuid master:1 propagate_from:2 - fuse.sshfs root@host:/srv rw,user_id=0
37 24 0:46 /sub /mnt/with\040space rw - nfs4 server:/export rw
broken
`
	for device, want := range map[string]string{"8:1": "ext4", "0:45": "fuse.sshfs", "0:46": "nfs4", "0:4": "", "1:1": ""} {
		testkit.Equal(t, device, mountType(mounts, device), want)
	}
}

// A file that does not exist yet is looked for where it will be.
func TestPlacementOfANewFile(t *testing.T) {
	dir := t.TempDir()
	testkit.Equal(t, "the folder", existing(filepath.Join(dir, "new", "g.db")), dir)
	cfg := &config.Config{}
	cfg.Server.Environment = config.Production
	for _, url := range []string{"sqlite::memory:", "postgres://db.example/g", "sqlite:" + filepath.Join(dir, "new", "g.db")} {
		cfg.Storage.DatabaseURL = config.Secret(url)
		if sqliteFile(cfg) != "" && doctor.PlacementOf(fileSystem(dir)) != doctor.LocalPlacement {
			continue // the temporary files of this machine are not on a local disk
		}
		testkit.Must(t, checkPlacement(cfg, slog.New(slog.DiscardHandler)))
	}
}
