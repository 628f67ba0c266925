package faults_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// EnvLitestream names the program of Litestream. make strangers builds it; without it, the test of
// the recipe is skipped.
const EnvLitestream = "GATEHOUSE_TEST_LITESTREAM"

// Litestream copies the log of a server under load to a bucket, as the guide says, while a backup
// of ours is made; then the server is killed. The replica has all that was acknowledged. Once it is
// recovered as the guide says, nothing that was given before works, people sign in, and the doctor
// has no complaint.
func TestLitestream(t *testing.T) {
	t.Parallel()
	litestream := os.Getenv(EnvLitestream)
	if litestream == "" {
		t.Skip("needs Litestream, which make strangers builds, and " + EnvLitestream)
	}
	bucket := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithAutoBucket(true)).Server())
	t.Cleanup(bucket.Close)
	g, dir := readGuide(t, "backup"), t.TempDir()
	words := strings.NewReplacer("/var/lib/", dir+"/", "s3://company-backups/litestream",
		"'s3://company-backups/litestream?endpoint="+bucket.URL+"&region=us-east-1'")
	testkit.Must(t, os.MkdirAll(filepath.Join(dir, "bin"), 0o755))
	testkit.Must(t, os.Symlink(litestream, filepath.Join(dir, "bin", "litestream")))

	h := newHost(t, "sqlite:"+filepath.Join(dir, "gatehouse", "gatehouse.db"), map[string]string{
		"SECRET_KEY":        "9d1f0c5a7be3846212d4f6a8b0c2e4967183a5c7e9fb0d2f416385a7c9ebfd10",
		"AWS_ACCESS_KEY_ID": "AKTESTKEYID", "AWS_SECRET_ACCESS_KEY": "the-secret-of-the-bucket",
		"PATH": filepath.Join(dir, "bin") + ":" + os.Getenv("PATH"),
	})
	h.env["LITESTREAM_CONFIG"] = h.write("litestream.yml", words.Replace(g.block("# /etc/litestream.yml")))
	serve, replicate, _ := strings.Cut(g.block("litestream replicate"), "\n")
	setting, ok := strings.CutPrefix(strings.Fields(serve)[0], "SQLITE_CHECKPOINT=")
	testkit.Equal(t, "the guide has the setting", ok, true)
	s := h.serveOn(h.port, map[string]string{"SQLITE_CHECKPOINT": setting})
	follower := exec.Command("sh", "-euc", "exec "+replicate)
	follower.Env, follower.Dir = h.environment(nil), h.dir
	said, err := os.Create(filepath.Join(h.dir, "litestream.log"))
	testkit.Must(t, err)
	t.Cleanup(func() {
		_ = said.Close()
		if t.Failed() {
			t.Log(h.read("litestream.log"))
		}
	})
	follower.Stdout, follower.Stderr = said, said
	h.started(follower)

	c := h.workload(s)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); c.load(ctx) }()
	eventually(t, "Litestream has sent a copy", func() error {
		a := newCaller(t, bucket.URL).get("/company-backups?list-type=2")
		return want(strings.Contains(a.body, ".ltx"), "%v", a)
	})
	c.progress(t)
	h.run(nil, "", "backup", filepath.Join(h.dir, "meanwhile.backup"))
	c.progress(t)
	s.kill()
	stop()
	<-done
	// What Litestream has not sent yet, it sends before it ends.
	testkit.Must(t, follower.Process.Signal(os.Interrupt))
	_, err = follower.Process.Wait()
	testkit.Must(t, err)

	testkit.Must(t, os.Rename(filepath.Join(dir, "gatehouse"), filepath.Join(dir, "lost")))
	h.shell(words.Replace(g.block("litestream restore")))
	replica := h.at("sqlite:" + filepath.Join(dir, "restored", "gatehouse.db")).serve()
	c.verify(t)
	replica.stop()

	back := h.serve()
	for _, ch := range c.chains {
		if a := c.call.refresh(c.web, ch.last); a.code() != "invalid_grant" {
			t.Errorf("a refresh token of before: %v", a)
		}
	}
	again := newPerson(t, back.url, "ada@example.com")
	again.signIn(t)
	if a := c.call.refresh(c.web, again.family(t, c.call, c.web).Refresh); a.status != http.StatusOK {
		t.Errorf("a refresh: %v", a)
	}
	h.run(nil, password+", and more of it", "user", "create", "--email", "ops@example.com", "--role", "super_admin", "--password-stdin")
	if status, text := h.try(t.Context(), "doctor"); status != 0 || strings.Contains(text, "Litestream") {
		t.Errorf("the doctor: %d %s", status, text)
	}
}
