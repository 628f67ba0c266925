package faults_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// manager is a service manager that hears what processes report.
func manager(t testing.TB) (socket string, states <-chan string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh-notify-")
	testkit.Must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	testkit.Must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	out := make(chan string, 64)
	go func() {
		b := make([]byte, 1024)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			out <- string(b[:n])
		}
	}()
	return socket, out
}

// posts sends requests on one kept connection and never sends one again: each failure counts.
func posts(ctx context.Context, addr string, answered *atomic.Int64, failed func(error)) {
	var conn net.Conn
	var in *bufio.Reader
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	const body = "token=x"
	for ctx.Err() == nil {
		if conn == nil {
			var err error
			if conn, err = net.Dial("tcp", addr); err != nil {
				failed(fmt.Errorf("connecting: %w", err))
				return
			}
			in = bufio.NewReader(conn)
		}
		_, werr := fmt.Fprintf(conn, "POST /oauth/revoke HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n"+
			"Content-Length: %d\r\n\r\n%s", addr, len(body), body)
		a, err := http.ReadResponse(in, nil)
		if err = errors.Join(werr, err); err != nil {
			failed(err)
			return
		}
		_, _ = io.Copy(io.Discard, a.Body)
		answered.Add(1)
		if a.StatusCode >= 500 {
			failed(fmt.Errorf("status %d", a.StatusCode))
		}
		if a.Close {
			_ = conn.Close()
			conn = nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A new process takes the sockets over, again and again, while clients send requests on kept
// connections, on new ones and by HTTP/2. No request fails. The service manager is told which
// process is the main one, and a process that does not start leaves the old one as it was.
func TestHandover(t *testing.T) {
	t.Parallel()
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), nil)
	socket, states := manager(t)
	s := h.serveOn(h.port, map[string]string{
		"NOTIFY_SOCKET": socket, "METRICS_PORT": strconv.Itoa(testkit.FreePort(t)),
	})
	testkit.Equal(t, "first state", testkit.Receive(t, "READY", states), "READY=1")
	addr := strings.TrimPrefix(s.url, "http://")

	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var answered, again atomic.Int64
	failed := func(err error) { t.Errorf("a request failed: %v", err) }
	for range 8 {
		wg.Go(func() { posts(ctx, addr, &answered, failed) })
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	h2 := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	each := func(c *http.Client) {
		for ctx.Err() == nil {
			a, err := c.Get(s.url + "/.well-known/openid-configuration")
			if err != nil {
				failed(err)
				return
			}
			_, _ = io.Copy(io.Discard, a.Body)
			_ = a.Body.Close()
			again.Add(1)
			time.Sleep(10 * time.Millisecond)
		}
	}
	wg.Go(func() { each(h2) })
	wg.Go(func() { each(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}) })

	pid, ended := s.cmd.Process.Pid, s.dead
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGKILL) })
	for range 3 {
		next := handOver(t, pid, states)
		if ended != nil {
			testkit.Receive(t, "the end of the old process", ended)
			ended = nil
		} else {
			gone(t, pid)
		}
		pid = next
	}
	stop()
	wg.Wait()
	if t.Logf("%d and %d requests", answered.Load(), again.Load()); answered.Load() < 100 || again.Load() < 100 {
		t.Error("too few requests for a test")
	}
	testkit.Must(t, syscall.Kill(pid, syscall.SIGTERM))
	testkit.Equal(t, "state", testkit.Receive(t, "STOPPING", states), "STOPPING=1")
	gone(t, pid)
}

// handOver has the process take itself over, and returns the id of the new one.
func handOver(t testing.TB, pid int, states <-chan string) (next int) {
	t.Helper()
	testkit.Must(t, syscall.Kill(pid, syscall.SIGUSR2))
	testkit.Equal(t, "state", testkit.Receive(t, "READY of the new process", states), "READY=1")
	main := testkit.Receive(t, "MAINPID", states)
	next, err := strconv.Atoi(strings.TrimPrefix(main, "MAINPID="))
	if err != nil || next == pid {
		t.Fatalf("%q after process %d", main, pid)
	}
	t.Cleanup(func() { _ = syscall.Kill(next, syscall.SIGKILL) })
	return next
}

// beats is a service with an event stream and a WebSocket, which last until their caller leaves.
func beats(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "" {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		for err == nil {
			err = ws.Write(r.Context(), websocket.MessageText, []byte("beat"))
			time.Sleep(50 * time.Millisecond)
		}
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		_, err := io.WriteString(w, "data: beat\n\n")
		if errors.Join(err, http.NewResponseController(w).Flush()) != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// events begins to read an event stream, and returns a channel with how it ended: nil if it did as
// a whole answer does.
func events(t testing.TB, h *http.Client, address string, from client) <-chan error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	testkit.Must(t, err)
	if from.id != "" {
		r.SetBasicAuth(from.id, from.secret)
	}
	a, err := h.Do(r)
	testkit.Must(t, err)
	testkit.Equal(t, "the status of "+address, a.StatusCode, http.StatusOK)
	_, err = io.ReadFull(a.Body, make([]byte, 1))
	testkit.Must(t, err)
	end := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, a.Body)
		end <- errors.Join(err, a.Body.Close())
	}()
	return end
}

// gets sends requests by one client until ctx ends.
func gets(ctx context.Context, t testing.TB, h *http.Client, address string, answered *atomic.Int64) {
	for ctx.Err() == nil {
		a, err := h.Get(address)
		if err != nil {
			t.Errorf("a request failed: %v", err)
			return
		}
		_, _ = io.Copy(io.Discard, a.Body)
		_ = a.Body.Close()
		answered.Add(1)
		time.Sleep(10 * time.Millisecond)
	}
}

// A process that takes over serves by TLS as well, and what lasts for long ends whole with the
// former process: an event stream through the gateway and the feed of revocations, by HTTP/1.1 and
// HTTP/2, whose readers go on at the new one. A WebSocket lives as long as the former process.
func TestHandoverOfStreams(t *testing.T) {
	t.Parallel()
	certFile, keyFile, err := testkit.WriteCertificate(t.TempDir())
	testkit.Must(t, err)
	upstream := httptest.NewServer(http.HandlerFunc(beats))
	t.Cleanup(upstream.CloseClientConnections)
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), map[string]string{"SSL_CERT": certFile, "SSL_KEY": keyFile})
	h.issuer = "https://127.0.0.1:" + strconv.Itoa(h.port)
	h.env["BASE_URL"] = h.issuer
	h.run(nil, "", "route", "create", "--domain", "shop", "--version", "v1", "--upstream", upstream.URL, "--allow-unidentified", "--rate=-1")
	machine := h.machine("machine", "jwt")
	socket, states := manager(t)
	s := h.serveOn(h.port, map[string]string{"NOTIFY_SOCKET": socket})
	testkit.Equal(t, "first state", testkit.Receive(t, "READY", states), "READY=1")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var wg sync.WaitGroup
	var answered atomic.Int64
	var ends []<-chan error
	for _, second := range []bool{false, true} {
		for range 3 {
			wg.Go(func() { gets(ctx, t, trusting(second), h.issuer+"/.well-known/jwks.json", &answered) })
		}
		ends = append(ends, events(t, trusting(second), h.issuer+"/shop/v1/events", client{}),
			events(t, trusting(second), h.issuer+"/oauth/revocations", machine))
	}
	ws, _, err := websocket.Dial(t.Context(), h.issuer+"/shop/v1/socket", &websocket.DialOptions{HTTPClient: trusting(false)})
	testkit.Must(t, err)
	defer ws.CloseNow()

	next := handOver(t, s.pid, states)
	_, _, err = ws.Read(t.Context())
	testkit.Must(t, err) // the former process is there
	for i, end := range ends {
		testkit.Equal(t, fmt.Sprintf("the end of stream %d", i), testkit.Receive(t, "the end of a stream", end), nil)
	}
	testkit.Receive(t, "the end of the former process", s.dead)
	testkit.Equal(t, "its exit status", s.cmd.ProcessState.ExitCode(), 0)
	for err == nil {
		_, _, err = ws.Read(t.Context())
	}
	events(t, trusting(true), h.issuer+"/shop/v1/events", client{}) // at the new process
	stop()
	wg.Wait()
	if t.Logf("%d requests", answered.Load()); answered.Load() < 100 {
		t.Error("too few requests for a test")
	}
	testkit.Must(t, syscall.Kill(next, syscall.SIGINT))
	gone(t, next)
}

// gone waits for the end of a process that is not a child of this one.
func gone(t testing.TB, pid int) {
	t.Helper()
	eventually(t, "the old process ends", func() error {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return want(err != nil || strings.Contains(string(raw), ") Z "), "process %d is there", pid)
	})
}

// ownProgram gives the host a program file of its own, which an upgrade may replace.
func (h *host) ownProgram() {
	h.t.Helper()
	raw, err := os.ReadFile(h.program())
	testkit.Must(h.t, err)
	h.binary = filepath.Join(h.t.TempDir(), "gatehouse")
	testkit.Must(h.t, os.WriteFile(h.binary, raw, 0o755))
}

// upgradeTo puts another file in the place of the program's, as an upgrade does.
func (h *host) upgradeTo(text string) {
	h.t.Helper()
	next := h.binary + ".new"
	testkit.Must(h.t, os.WriteFile(next, []byte(text), 0o755))
	testkit.Must(h.t, os.Rename(next, h.binary))
}

// A new process that does not start leaves the old one as it was: one whose settings are wrong, one
// that is no program, one that ends by itself, and one that is not there.
func TestFailedHandover(t *testing.T) {
	t.Parallel()
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), nil)
	h.ownProgram()
	file := filepath.Join(h.dir, "routes.yaml")
	testkit.Must(t, os.WriteFile(file, []byte("routes: []\n"), 0o600))
	s := h.serveOn(h.port, map[string]string{"ROUTES_FILE": file})
	for i, breakIt := range []func(){
		func() { testkit.Must(t, os.WriteFile(file, []byte("rutes: 7\n"), 0o600)) },
		func() { h.upgradeTo("\x7fELF is all there is of it") },
		func() { h.upgradeTo("#!/bin/sh\nexit 1\n") },
		func() { testkit.Must(t, os.Remove(h.binary)) },
	} {
		breakIt()
		testkit.Must(t, s.cmd.Process.Signal(syscall.SIGUSR2))
		eventually(t, "the failure is logged", func() error {
			n := strings.Count(s.logTail(), "the new process did not start")
			return want(n == i+1, "%d times in %s", n, s.logTail())
		})
		if a := newCaller(t, s.url).get("/readyz"); a.status != http.StatusOK {
			t.Errorf("afterwards: %v", a)
		}
	}
}

// A signal that comes while a new process starts is for the same purpose: it starts no other one,
// and ends neither the old process nor the new one.
func TestSecondHandover(t *testing.T) {
	t.Parallel()
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), nil)
	real := h.program()
	h.ownProgram()
	socket, states := manager(t)
	s := h.serveOn(h.port, map[string]string{"NOTIFY_SOCKET": socket})
	testkit.Equal(t, "first state", testkit.Receive(t, "READY", states), "READY=1")
	begun, goOn := filepath.Join(h.dir, "begun"), filepath.Join(h.dir, "go-on")
	h.upgradeTo("#!/bin/sh\n: >" + begun + "\nwhile [ ! -e " + goOn + " ]; do sleep 0.05; done\nexec " + real + ` "$@"` + "\n")
	testkit.Must(t, s.cmd.Process.Signal(syscall.SIGUSR2))
	eventually(t, "the new process has begun", func() error {
		_, err := os.Stat(begun)
		return err
	})
	for range 3 {
		testkit.Must(t, s.cmd.Process.Signal(syscall.SIGUSR2))
	}
	testkit.Must(t, os.WriteFile(goOn, nil, 0o600))
	testkit.Equal(t, "state", testkit.Receive(t, "READY of the new process", states), "READY=1")
	next, err := strconv.Atoi(strings.TrimPrefix(testkit.Receive(t, "MAINPID", states), "MAINPID="))
	testkit.Must(t, err)
	t.Cleanup(func() { _ = syscall.Kill(next, syscall.SIGKILL) })
	testkit.Must(t, s.cmd.Process.Signal(syscall.SIGUSR2)) // it drains
	testkit.Receive(t, "the end of the old process", s.dead)
	testkit.Equal(t, "its exit status", s.cmd.ProcessState.ExitCode(), 0)
	raw, err := os.ReadFile(s.log)
	testkit.Must(t, err)
	testkit.Equal(t, "processes that were started", strings.Count(string(raw), "starting the program anew"), 1)
	if a := newCaller(t, s.url).get("/readyz"); a.status != http.StatusOK {
		t.Errorf("the new process: %v", a)
	}
	testkit.Must(t, syscall.Kill(next, syscall.SIGTERM))
	testkit.Equal(t, "state", testkit.Receive(t, "STOPPING", states), "STOPPING=1")
	gone(t, next)
}

// systemd's own program listens, starts the server at the first connection and hands it the socket,
// from which it hands it on.
func TestSystemdSocketActivate(t *testing.T) {
	t.Parallel()
	activate, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		testkit.Missing(t, "systemd-socket-activate is not installed (Debian: systemd)")
	}
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), map[string]string{"PORT": "1"})
	socket, states := manager(t)
	h.env["NOTIFY_SOCKET"] = socket
	addr := "127.0.0.1:" + strconv.Itoa(h.port)
	args := append([]string{"--listen=" + addr, "/usr/bin/env"}, h.environment(nil)...)
	cmd := exec.Command(activate, append(args, h.program(), "serve")...)
	cmd.Dir, cmd.SysProcAttr = h.dir, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	testkit.Must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	call := newCaller(t, "http://"+addr)
	eventually(t, "the server answers at systemd's socket", func() error {
		a := call.get("/readyz")
		return want(a.status == http.StatusOK, "%v", a)
	})
	testkit.Equal(t, "first state", testkit.Receive(t, "READY", states), "READY=1")
	next := handOver(t, cmd.Process.Pid, states)
	testkit.Must(t, cmd.Wait())
	if a := call.get("/readyz"); a.status != http.StatusOK {
		t.Errorf("the process that took the socket over: %v", a)
	}
	testkit.Must(t, syscall.Kill(next, syscall.SIGTERM))
	gone(t, next)
}

// A server takes the socket that systemd listens on.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	testkit.Must(t, err)
	h := newHost(t, "sqlite:"+filepath.Join(t.TempDir(), "gatehouse.db"), map[string]string{"PORT": "1", "LISTEN_FDS": "1"})
	f, err := l.(*net.TCPListener).File()
	testkit.Must(t, err)
	bin, err := program()
	testkit.Must(t, err)
	cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, bin)
	cmd.Env, cmd.Dir, cmd.ExtraFiles = h.environment(nil), h.dir, []*os.File{f}
	testkit.Must(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	testkit.Must(t, errors.Join(f.Close(), l.Close()))
	eventually(t, "the server answers on the socket", func() error {
		a, err := http.Get("http://" + l.Addr().String() + "/readyz")
		if err != nil {
			return err
		}
		defer a.Body.Close()
		return want(a.StatusCode == http.StatusOK, "%d", a.StatusCode)
	})
}
