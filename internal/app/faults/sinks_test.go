package faults_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// A server is killed while it delivers its audit log. Nothing may be missing in a file or at a
// webhook; what arrives twice has the same id.
func TestKilledWhileDelivering(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	got := map[string]int{}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		time.Sleep(time.Millisecond) // the server is killed in the middle
		mu.Lock()
		defer mu.Unlock()
		got[r.Header.Get("webhook-id")]++
	}))
	defer receiver.Close()
	received := func() int { mu.Lock(); defer mu.Unlock(); return len(got) }
	dir := t.TempDir()
	file := filepath.Join(dir, "audit.log")
	h := newHost(t, "sqlite:"+filepath.Join(dir, "g.db"), map[string]string{"AUDIT_LOG_FILE": file})
	c := h.machine("machine", "jwt")
	s := h.serve()
	h.run(nil, "", "webhook", "create", "--url", receiver.URL, "--event", "token.issued")
	issue := func(n int) {
		t.Helper()
		for range n {
			r, err := http.PostForm(s.url+"/oauth/token", url.Values{
				"grant_type": {"client_credentials"}, "client_id": {c.id}, "client_secret": {c.secret},
			})
			if err != nil {
				t.Fatal(err)
			}
			r.Body.Close()
			if r.StatusCode != http.StatusOK {
				t.Fatal(r.Status)
			}
		}
	}
	eventually(t, "the file is open", func() error { _, err := os.Stat(file); return err })
	issue(400)
	eventually(t, "some are delivered", func() error { return want(received() > 20, "%d", received()) })
	s.kill()
	s = h.serve()
	issue(20)
	var list struct{ Data []struct{ ID string } }
	h.run(&list, "", "audit", "list", "--type", "CLIENT_CREDENTIALS_TOKEN_ISSUED", "--limit", "1000")
	if len(list.Data) != 420 {
		t.Fatalf("%d events", len(list.Data))
	}
	missing := func() error {
		raw, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, ev := range list.Data {
			if got[ev.ID] == 0 || !bytes.Contains(raw, []byte(ev.ID)) {
				return fmt.Errorf("%s: %d times at the webhook, %t in the file", ev.ID, got[ev.ID], bytes.Contains(raw, []byte(ev.ID)))
			}
		}
		return nil
	}
	eventually(t, "everything is delivered", missing)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(raw) {
		if !json.Valid(line) {
			t.Errorf("the file has a broken line: %q", line)
		}
	}
}
