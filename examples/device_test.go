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

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// script returns a command that runs the device script with a token file of its own.
func script(issuer, file string, args ...string) *exec.Cmd {
	cmd := exec.Command("sh", append([]string{filepath.Join("device", "device.sh")}, args...)...)
	cmd.Env = append(environment(), "ISSUER="+issuer, "TOKEN_FILE="+file)
	return cmd
}

// needScript skips the test without the programs that the device script uses.
func needScript(t *testing.T) {
	t.Helper()
	testkit.Need(t, "curl")
	testkit.Need(t, "jq")
}

func (w *world) testDevice(t *testing.T) {
	needScript(t)
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
				t.Errorf("the API rejects the token: %s %s", res.Status, body)
			}
		})
	}
	wg.Wait()
	w.endDevice(t, file)
}

// endDevice revokes the sign-in elsewhere: the script says so, and removes the token.
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

// A pollServer is an authorization server that responds to polls from a list, and records their
// times.
type pollServer struct {
	url string

	mu        sync.Mutex
	responses []string
	times     []time.Time
}

func newPollServer(t *testing.T, responses ...string) *pollServer {
	p := &pollServer{responses: responses}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"device_authorization_endpoint": "http://%[1]s/device", "token_endpoint": "http://%[1]s/token"}`, r.Host)
	})
	mux.HandleFunc("POST /device", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"device_code": "a&b", "user_code": "WDJB", "verification_uri": "http://localhost/", "expires_in": 60, "interval": 1}`)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.times = append(p.times, time.Now())
		if r.FormValue("device_code") != "a&b" || len(p.responses) == 0 {
			http.Error(w, `{"error": "invalid_grant"}`, http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, p.responses[0])
		p.responses = p.responses[1:]
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// pauses returns the times between the polls.
func (p *pollServer) pauses() (out []time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 1; i < len(p.times); i++ {
		out = append(out, p.times[i].Sub(p.times[i-1]))
	}
	return out
}

// testDeviceSlowsDown: slow_down adds five seconds to the interval (RFC 8628 §3.5).
func testDeviceSlowsDown(t *testing.T) {
	needScript(t)
	p := newPollServer(t, `{"error": "slow_down"}`, `{"access_token": "at", "refresh_token": "rt"}`)
	file := filepath.Join(t.TempDir(), "refresh_token")
	run(t, script(p.url, file, "login"))
	if got := p.pauses(); len(got) != 1 || got[0] < 6*time.Second {
		t.Errorf("after slow_down it waited %s", got)
	}
	if token, err := os.ReadFile(file); string(token) != "rt" {
		t.Errorf("the token file has %q, %v", token, err)
	}
}

// testDeviceDenied: the script polls on after the error page of a proxy, less often, and ends when
// the person denies.
func testDeviceDenied(t *testing.T) {
	needScript(t)
	p := newPollServer(t, `{"error": "authorization_pending"}`, `<h1>Bad gateway</h1>`, `{"error": "access_denied"}`)
	_, err := output(script(p.url, filepath.Join(t.TempDir(), "refresh_token"), "login"))
	if err == nil || !strings.Contains(err.Error(), "denied access") {
		t.Errorf("denied: %v", err)
	}
	if got := p.pauses(); len(got) != 2 || got[1] < 2*time.Second {
		t.Errorf("it waited %v", got)
	}
}
