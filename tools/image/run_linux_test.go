package main

import (
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/testkit/container"
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

// The image runs where there is nothing but the program and a volume: no /tmp, no HOME, no users,
// no certificates, as any user of the group 0, who can write to /data alone.
func TestImageRuns(t *testing.T) {
	if os.Geteuid() != 0 {
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
	image := container.Unpack(t, archive)
	testkit.Equal(t, "user", image.User, "65532:0")
	testkit.Equal(t, "health check", strings.Join(image.Healthcheck.Test, " "), "CMD /gatehouse healthcheck")
	port := strconv.Itoa(testkit.FreePort(t))
	run := func(uid uint32, args ...string) *exec.Cmd {
		c := container.Container{
			Image: image,
			Args:  args,
			Env: []string{
				"PORT=" + port, "HOST=127.0.0.1", "DRAIN_DELAY=0", "BASE_URL=http://localhost:" + port,
				"SECRET_KEY=5a7c19e3b8d2f460917e3d5ac8b1f2604d9e7a3c5b8f1e2d6079c4a3b5e8d1f2",
			},
			User: syscall.Credential{Uid: uid},
		}
		return c.Main()
	}
	server := run(1234567)
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
