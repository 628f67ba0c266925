package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Listening sockets come from this process, from systemd (sd_listen_fds(3)), or from the process
// that this one replaces: SIGUSR2 starts the program anew with the same sockets. Nothing that waits
// in their queues is lost, because the socket itself is handed on, and never closed in between.
const (
	firstInherited = 3 // the descriptor after standard input, output and error

	envSystemd  = "LISTEN_FDS"
	envPID      = "LISTEN_PID"
	envNames    = "LISTEN_FDNAMES"
	envHandover = "GATEHOUSE_HANDOVER" // names of the sockets; the descriptor after them reports readiness

	socketMain  = "main"
	socketPlain = "plain" // HTTP_PORT

	socketMetrics = "metrics" // METRICS_PORT

	handoverLimit = time.Minute // for the new process to be ready
	// handoverDrain is in which the old process tells clients to connect anew, at least.
	handoverDrain = 5 * time.Second
)

// inherited are the sockets that this process was given, by name.
type inherited struct {
	listeners map[string][]net.Listener
	ready     *os.File // reports to the process before that this one serves; nil if there is none
}

// inherit takes the sockets over that the environment names.
func inherit(e *env) (*inherited, error) {
	in := &inherited{listeners: map[string][]net.Listener{}}
	var names []string
	handover := e.getenv(envHandover)
	switch {
	case handover != "":
		names = strings.Split(handover, ":")
	case e.getenv(envSystemd) != "" && e.getenv(envPID) == strconv.Itoa(os.Getpid()):
		n, err := strconv.Atoi(e.getenv(envSystemd))
		if err != nil || n < 0 || n > 64 {
			return nil, fmt.Errorf("%s is not a number of sockets: %q", envSystemd, e.getenv(envSystemd))
		}
		names = slices.Repeat([]string{socketMain}, n)
		for i, name := range strings.Split(e.getenv(envNames), ":") {
			if i < n && (name == socketPlain || name == socketMetrics) {
				names[i] = name
			}
		}
	}
	for i, name := range names {
		f := os.NewFile(uintptr(firstInherited+i), name)
		l, err := net.FileListener(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("the socket %d that this process was given cannot be used: %w", i+1, err)
		}
		in.listeners[name] = append(in.listeners[name], l)
	}
	if handover != "" {
		in.ready = os.NewFile(uintptr(firstInherited+len(names)), "ready")
	}
	return in, nil
}

// present returns a list of a listener, unless there is none.
func present(l net.Listener) []net.Listener {
	if l == nil {
		return nil
	}
	return []net.Listener{l}
}

// reportReady reports to the process before that this one serves.
func (in *inherited) reportReady() {
	if in.ready != nil {
		_, _ = in.ready.WriteString("ready\n")
		_ = in.ready.Close()
		in.ready = nil
	}
}

// A handover replaces this process by a new one of the program on SIGUSR2.
type handover struct {
	env     *env
	program string
	sockets map[string][]net.Listener
	log     *slog.Logger
	signals chan os.Signal
	notify  func(state string)
}

// newHandover registers for the signal, which would end the process otherwise. It reads the name of
// the program now: later the name may be that of a file which an upgrade has moved aside.
func newHandover(e *env, log *slog.Logger) *handover {
	h := &handover{env: e, log: log, signals: make(chan os.Signal, 1)}
	h.notify = func(state string) { notify(e, state) }
	var err error
	if h.program, err = os.Executable(); err != nil {
		log.Warn("SIGUSR2 cannot start the program anew", "error", err)
		return h
	}
	signal.Notify(h.signals, syscall.SIGUSR2)
	return h
}

// handOver makes the server report its state, and hand its sockets on when it gets the signal.
func (s *server) handOver(e *env, given *inherited, next *handover) {
	s.notify = func(state string) {
		notify(e, state)
		given.reportReady()
	}
	select {
	case <-next.signals: // it was for the process before, or came while this one waited
		s.log.Warn("SIGUSR2 came before this process served, and does nothing; send it again to replace this one")
	default:
	}
	s.next = next
}

// close lets the signal end the process again.
func (h *handover) close() { signal.Stop(h.signals) }

// wait returns once a new process serves on the sockets. One that fails to start leaves this one as
// it was. It returns the error of ctx when that ends first.
func (h *handover) wait(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-h.signals:
		}
		pid, err := h.start(ctx)
		select {
		case <-h.signals: // one that came meanwhile was for the same purpose
		default:
		}
		if err != nil {
			h.log.Error("the new process did not start; this one goes on", "error", err)
			continue
		}
		h.notify("MAINPID=" + strconv.Itoa(pid))
		h.log.Info("a new process serves; this one ends", "pid", pid)
		return nil
	}
}

// start starts the program with the sockets, and returns its process id once it serves.
func (h *handover) start(ctx context.Context) (pid int, err error) {
	var names []string
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	for _, name := range []string{socketMain, socketPlain, socketMetrics} {
		for _, l := range h.sockets[name] {
			f, err := socketFile(l)
			if err != nil {
				return 0, err
			}
			names, files = append(names, name), append(files, f)
		}
	}
	ready, report, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer ready.Close()
	files = append(files, report)
	cmd := exec.Command(h.program, h.env.args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, os.Stdout, os.Stderr
	cmd.ExtraFiles = files
	cmd.Env = append(slices.DeleteFunc(slices.Clone(h.env.environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains([]string{envSystemd, envPID, envNames, envHandover}, name)
	}), envHandover+"="+strings.Join(names, ":"))
	h.log.Info("starting the program anew", "program", h.program)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	_ = report.Close()
	return h.ready(ctx, cmd, ready)
}

// ready waits until the new process reports that it serves, and ends one that does not.
func (h *handover) ready(ctx context.Context, cmd *exec.Cmd, from *os.File) (pid int, err error) {
	_ = from.SetReadDeadline(time.Now().Add(handoverLimit))
	stop := context.AfterFunc(ctx, func() { _ = from.SetReadDeadline(time.Now()) })
	defer stop()
	n, err := from.Read(make([]byte, 16))
	if n > 0 {
		go func() { _ = cmd.Wait() }() // if it ends before this process
		return cmd.Process.Pid, nil
	}
	_ = cmd.Process.Kill()
	return 0, errors.Join(fmt.Errorf("it ended, or was not ready in time: %w", err), cmd.Wait())
}

// closesConnections makes a server that ends close each connection after its next response, by
// saying so: a client that sends a request on a connection which is closed without a word sees it
// fail. On HTTP/2 the same header sends GOAWAY.
func (s *server) closesConnections(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
