// Package container runs the image of the server as container engines do, without one: in a root
// directory that cannot be written, as the user, with the command, the environment and the volumes
// of a deployment. Only root on Linux can.
package container

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// An Image is an image that has been unpacked: its files below Root, and how it is run.
type Image struct {
	Root                 string
	User, WorkingDir     string
	Entrypoint, Cmd, Env []string
	Healthcheck          struct{ Test []string }
}

// Entries reads an archive, and calls each for every file.
func Entries(t testing.TB, r io.Reader, each func(h *tar.Header, content []byte)) {
	t.Helper()
	for a := tar.NewReader(r); ; {
		h, err := a.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		testkit.Must(t, err)
		content, err := io.ReadAll(a)
		testkit.Must(t, err)
		each(h, content)
	}
}

// Unpack unpacks an archive that docker load reads into a new directory, as an engine would.
func Unpack(t testing.TB, archive []byte) Image {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	testkit.Must(t, os.Mkdir(root, 0o755))
	for p := filepath.Dir(root); strings.HasPrefix(p, os.TempDir()+"/"); p = filepath.Dir(p) {
		testkit.Must(t, os.Chmod(p, 0o755)) // other users come through
	}
	files := map[string][]byte{}
	Entries(t, bytes.NewReader(archive), func(h *tar.Header, content []byte) { files[h.Name] = content })
	var list []struct {
		Config string
		Layers []string
	}
	testkit.Must(t, json.Unmarshal(files["manifest.json"], &list))
	var config struct{ Config Image }
	testkit.Must(t, json.Unmarshal(files[list[0].Config], &config))
	for _, layer := range list[0].Layers {
		z, err := gzip.NewReader(bytes.NewReader(files[layer]))
		testkit.Must(t, err)
		Entries(t, z, func(h *tar.Header, content []byte) { place(t, root, h, content) })
	}
	config.Config.Root = root
	return config.Config
}

// place writes one file of a layer.
func place(t testing.TB, root string, h *tar.Header, content []byte) {
	t.Helper()
	path := filepath.Join(root, h.Name)
	if h.Typeflag == tar.TypeDir {
		testkit.Must(t, os.Mkdir(path, 0o700))
	} else {
		testkit.Must(t, os.WriteFile(path, content, 0o600))
	}
	testkit.Must(t, errors.Join(os.Chown(path, h.Uid, h.Gid), os.Chmod(path, os.FileMode(h.Mode))))
}

// A Container is what a deployment makes of an image.
type Container struct {
	Image    Image
	Command  []string // in the place of the image's entry point
	Args     []string // in the place of the image's arguments
	Env      []string // besides the image's; the last one of a name counts
	User     syscall.Credential
	ReadOnly bool     // the root directory cannot be written
	Volumes  []Volume // empty at first
	Hosts    []string // names of other machines, which are at 127.0.0.1
}

// A Volume is a directory of a container that can be written.
type Volume struct {
	Path     string
	UID, GID int
}

const envAlone = "GATEHOUSE_TEST_ALONE"

// Alone runs the rest of a test in a process of its own, whose network and mounts are those of no
// other, so that every port is free and what the test mounts is gone with it. It returns true in
// that process. In the other one, it has waited for the end of that process, and the test returns.
func Alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(envAlone) == t.Name() {
		testkit.Must(t, exec.Command(testkit.Need(t, "ip"), "link", "set", "lo", "up").Run())
		return true
	}
	if os.Geteuid() != 0 {
		testkit.Missing(t, "only root can make namespaces")
	}
	pattern := "^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	cmd := exec.Command(os.Args[0], "-test.run", pattern, "-test.v", "-test.count", "1")
	cmd.Env = append(os.Environ(), envAlone+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Errorf("the test did not run\n%s", out)
	}
	return false
}

// Mount lays out the container's directories. The process must be one that [Alone] started.
func (c *Container) Mount(t testing.TB) {
	t.Helper()
	root := c.Image.Root
	testkit.Must(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
	hosts := "127.0.0.1 localhost " + strings.Join(c.Hosts, " ") + "\n"
	testkit.Must(t, os.WriteFile(filepath.Join(root, "etc/hosts"), []byte(hosts), 0o644))
	testkit.Must(t, syscall.Mount(root, root, "", syscall.MS_BIND, ""))
	t.Cleanup(func() { _ = syscall.Unmount(root, syscall.MNT_DETACH) })
	for _, v := range c.Volumes {
		at := filepath.Join(root, v.Path)
		testkit.Must(t, os.MkdirAll(at, 0o755))
		options := fmt.Sprintf("mode=2770,uid=%d,gid=%d", v.UID, v.GID)
		testkit.Must(t, syscall.Mount("tmpfs", at, "tmpfs", 0, options))
	}
	if c.ReadOnly {
		testkit.Must(t, syscall.Mount("", root, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""))
	}
}

// Main returns the process of the container, not started yet.
func (c *Container) Main() *exec.Cmd {
	line := slices.Concat(c.Image.Entrypoint, c.Image.Cmd)
	switch {
	case len(c.Command) > 0:
		line = slices.Concat(c.Command, c.Args)
	case len(c.Args) > 0:
		line = slices.Concat(c.Image.Entrypoint, c.Args)
	}
	return c.Exec(line...)
}

// Exec returns a further process in the container, as docker exec and kubectl exec start one. It is
// not started yet.
func (c *Container) Exec(line ...string) *exec.Cmd {
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = c.Image.WorkingDir
	cmd.Env = slices.Concat(c.Image.Env, c.Env)
	user := c.User
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: c.Image.Root, Credential: &user, Pdeathsig: syscall.SIGKILL,
	}
	return cmd
}
