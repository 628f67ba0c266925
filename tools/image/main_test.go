package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// program returns the program under test: the one that the caller has built, or one built now.
func program(t *testing.T) string {
	if p := os.Getenv("GATEHOUSE_TEST_BINARY"); p != "" {
		return p
	}
	to := filepath.Join(t.TempDir(), "gatehouse")
	cmd := exec.Command("go", "build", "-o", to, "../../cmd/gatehouse")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	testkit.Must(t, cmd.Run())
	return to
}

// entries reads an archive.
func entries(t *testing.T, r io.Reader, each func(h *tar.Header, content []byte)) {
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

type config struct {
	Config struct {
		User, WorkingDir     string
		Entrypoint, Cmd, Env []string
		Healthcheck          struct{ Test []string }
	}
}

// unpack unpacks the image as an engine would, and returns how to run it.
func unpack(t *testing.T, archive []byte, root string) config {
	t.Helper()
	files := map[string][]byte{}
	entries(t, bytes.NewReader(archive), func(h *tar.Header, content []byte) { files[h.Name] = content })
	var list []struct {
		Config string
		Layers []string
	}
	testkit.Must(t, json.Unmarshal(files["manifest.json"], &list))
	var c config
	testkit.Must(t, json.Unmarshal(files[list[0].Config], &c))
	for _, layer := range list[0].Layers {
		z, err := gzip.NewReader(bytes.NewReader(files[layer]))
		testkit.Must(t, err)
		entries(t, z, func(h *tar.Header, content []byte) {
			path := filepath.Join(root, h.Name)
			if h.Typeflag == tar.TypeDir {
				testkit.Must(t, os.Mkdir(path, 0o700))
			} else {
				testkit.Must(t, os.WriteFile(path, content, 0o600))
			}
			testkit.Must(t, errors.Join(os.Chown(path, h.Uid, h.Gid), os.Chmod(path, os.FileMode(h.Mode))))
		})
	}
	return c
}

// Two builds of the same program are the same bytes.
func TestImageIsReproducible(t *testing.T) {
	dir := t.TempDir()
	program, out := filepath.Join(dir, "program"), filepath.Join(dir, "image.tar")
	testkit.Must(t, os.WriteFile(program, []byte("a program"), 0o755))
	var built [2][]byte
	for i := range built {
		testkit.Must(t, build(out, "gatehouse:test", []string{"linux/" + runtime.GOARCH}, "v1", program))
		var err error
		built[i], err = os.ReadFile(out)
		testkit.Must(t, err)
	}
	if !bytes.Equal(built[0], built[1]) {
		t.Error("two builds differ")
	}
}

// The image runs where there is nothing but the program and a volume: no /tmp, no HOME, no users,
// no certificates, as any user of the group 0, who can write to /data alone.
func TestImageRuns(t *testing.T) {
	if os.Geteuid() != 0 || runtime.GOOS != "linux" {
		testkit.Missing(t, "only root can change the root directory")
	}
	binary, dir := program(t), t.TempDir()
	out := filepath.Join(dir, "image.tar")
	testkit.Must(t, build(out, "gatehouse:test", []string{"linux/" + runtime.GOARCH}, "v1", binary))
	archive, err := os.ReadFile(out)
	testkit.Must(t, err)
	if len(archive) > 65e6 {
		t.Errorf("the image has %d MB", len(archive)/1e6)
	}
	root := filepath.Join(dir, "root")
	testkit.Must(t, os.Mkdir(root, 0o755))
	for p := dir; strings.HasPrefix(p, os.TempDir()+"/"); p = filepath.Dir(p) {
		testkit.Must(t, os.Chmod(p, 0o755))
	}
	c := unpack(t, archive, root)
	testkit.Equal(t, "user", c.Config.User, "65532:0")
	testkit.Equal(t, "health check", strings.Join(c.Config.Healthcheck.Test, " "), "CMD /gatehouse healthcheck")
	port := strconv.Itoa(testkit.FreePort(t))
	run := func(uid uint32, args ...string) *exec.Cmd {
		cmd := exec.Command(c.Config.Entrypoint[0], args...)
		cmd.Dir = c.Config.WorkingDir
		cmd.Env = append(slices.Clone(c.Config.Env), "PORT="+port, "HOST=127.0.0.1", "DRAIN_DELAY=0",
			"BASE_URL=http://localhost:"+port, "SECRET_KEY=5a7c19e3b8d2f460917e3d5ac8b1f2604d9e7a3c5b8f1e2d6079c4a3b5e8d1f2")
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: 0}}
		return cmd
	}
	server := run(1234567, c.Config.Cmd...)
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	testkit.Must(t, server.Start())
	stopped := false
	t.Cleanup(func() {
		if !stopped {
			_ = server.Process.Kill()
			_ = server.Wait()
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	testkit.Eventually(t, "the server is ready", func() bool {
		r, err := http.Get("http://127.0.0.1:" + port + "/readyz")
		if err != nil {
			return false
		}
		_ = r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
	for _, args := range [][]string{
		{"healthcheck"},
		{"healthcheck", "--ready"},
		{"client", "create", "--name", "X", "--grant", "client_credentials"},
		{"audit", "list"},
	} {
		if out, err := run(1234567, args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	testkit.Must(t, server.Process.Signal(syscall.SIGTERM))
	err = server.Wait()
	stopped = true
	testkit.Must(t, err)
	// A volume of another user: the message says whose it is, and who asks.
	out2, err := run(7654321, "user", "list").CombinedOutput()
	if err == nil || !strings.Contains(string(out2), "1234567") || !strings.Contains(string(out2), "7654321") {
		t.Errorf("a database of another user: %v: %s", err, out2)
	}
}
