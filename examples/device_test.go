package examples_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// script is the device script with a token file of its own.
func script(issuer, file string, args ...string) *exec.Cmd {
	cmd := exec.Command("sh", append([]string{filepath.Join("device", "device.sh")}, args...)...)
	cmd.Env = append(environment(), "ISSUER="+issuer, "TOKEN_FILE="+file)
	return cmd
}

func (w *world) testDevice(t *testing.T) {
	file := filepath.Join(t.TempDir(), "with a space", "refresh_token")
	if _, err := output(script(w.issuer, file, "token")); err == nil || !strings.Contains(err.Error(), "not signed in") {
		t.Errorf("before signing in: %v", err)
	}
	login := script(w.issuer, file, "login")
	lines := begin(t, login, login.StderrPipe)
	address := await(t, lines, `^  (http\S+)$`)
	newPerson(t).allow(address, await(t, lines, `^  ([A-Z-]+)$`))
	await(t, lines, `(Signed in)`)
	if err := login.Wait(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token file: %v, %v", info, err)
	}

	var wg sync.WaitGroup
	for range 3 { // jobs of one pipeline run at the same time
		wg.Go(func() {
			token, err := output(script(w.issuer, file, "token"))
			if err != nil {
				t.Error(err)
				return
			}
			r := request(t, "GET", w.api+"/notes", "")
			r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
			if res, body := fetch(t, r); res.StatusCode != http.StatusOK {
				t.Errorf("the API does not take the token: %s %s", res.Status, body)
			}
		})
	}
	wg.Wait()
	w.endDevice(t, file)
}

// endDevice revokes the sign-in elsewhere: the script says so, and forgets what it kept.
func (w *world) endDevice(t *testing.T, file string) {
	t.Helper()
	refresh, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, "POST", w.issuer+"/oauth/revoke", url.Values{"client_id": {"notes-device"}, "token": {string(refresh)}}.Encode())
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	fetch(t, r)
	if _, err := output(script(w.issuer, file, "token")); err == nil || !strings.Contains(err.Error(), "the sign-in has ended") {
		t.Errorf("after it was revoked: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// polled is an authorization server that answers polls from a list, and remembers when they came.
type polled struct {
	*httptest.Server
	mu      sync.Mutex
	answers []string
	at      []time.Time
}

func newPolled(t *testing.T, answers ...string) *polled {
	p := &polled{answers: answers}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"device_authorization_endpoint": "%[1]s/device", "token_endpoint": "%[1]s/token"}`, p.URL)
	})
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"device_code": "a&b", "user_code": "WDJB", "verification_uri": "http://localhost/", "expires_in": 60, "interval": 1}`)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.at = append(p.at, time.Now())
		if r.FormValue("device_code") != "a&b" || len(p.answers) == 0 {
			http.Error(w, `{"error": "invalid_grant"}`, http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, p.answers[0])
		p.answers = p.answers[1:]
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// testDeviceSlowsDown: slow_down adds five seconds to the interval (RFC 8628 §3.5).
func testDeviceSlowsDown(t *testing.T) {
	p := newPolled(t, `{"error": "slow_down"}`, `{"access_token": "at", "refresh_token": "rt"}`)
	file := filepath.Join(t.TempDir(), "refresh_token")
	run(t, script(p.URL, file, "login"))
	if gap := p.at[1].Sub(p.at[0]); gap < 6*time.Second {
		t.Errorf("after slow_down it waited %s", gap)
	}
	if kept, err := os.ReadFile(file); string(kept) != "rt" {
		t.Errorf("kept %q, %v", kept, err)
	}
}

// testDeviceRefused: a page of a proxy is no answer, so it goes on asking, less often; a no is one.
func testDeviceRefused(t *testing.T) {
	p := newPolled(t, `{"error": "authorization_pending"}`, `<h1>Bad gateway</h1>`, `{"error": "access_denied"}`)
	_, err := output(script(p.URL, filepath.Join(t.TempDir(), "refresh_token"), "login"))
	if err == nil || !strings.Contains(err.Error(), "denied access") {
		t.Errorf("refused: %v", err)
	}
	if len(p.at) != 3 || p.at[2].Sub(p.at[1]) < 2*time.Second {
		t.Errorf("it asked at %v", p.at)
	}
}
