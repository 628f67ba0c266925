package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const (
	startAgain = time.Second      // after a try to start while the database is away
	startLimit = 10 * time.Minute // of trying
)

// A starter makes the server of a process.
type starter struct {
	env   *env
	cfg   *config.Config
	log   *slog.Logger
	watch *monitor
}

// once opens the database and makes the server.
func (x *starter) once(ctx context.Context) (*server, error) {
	if err := checkPlacement(x.cfg, x.log); err != nil {
		return nil, err
	}
	p, err := openPartsWith(ctx, x.env, x.cfg, store.Options{
		Report: func(err error) { x.log.Error("background task failed", "error", err) },
		Notice: func(text string) { x.log.Warn(text) },
	}, x.watch)
	if err != nil {
		return nil, err
	}
	s, err := newServer(ctx, x.env, p, x.log)
	for _, step := range []func(context.Context, *env, *parts) error{createFirstAdmin, recordSettings} {
		if err == nil {
			err = step(ctx, x.env, p)
		}
	}
	if err != nil {
		if s != nil {
			s.release()
		}
		return nil, errors.Join(err, p.Close())
	}
	return s, nil
}

// whenAnswered makes the server. While the database is away, or cannot be written although that is
// needed, it waits and says so on the server's own ports: a process that ended instead would be
// started again later and later. What does not pass by itself, such as a wrong password, is an
// error at once.
func (x *starter) whenAnswered(
	ctx context.Context, listeners []net.Listener, secure *tls.Config,
) (*server, error) {
	s, err := x.once(ctx)
	if !sqldb.Passing(err) {
		return s, err
	}
	stop, held := x.hold(listeners, secure)
	if held != nil {
		return nil, errors.Join(err, held)
	}
	defer stop()
	x.log.Warn("the database is away; waiting for it", "error", err, "for_at_most", startLimit.String())
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, nil
		case <-limit.C:
			return nil, err
		case <-time.After(startAgain):
		}
		if s, err = x.once(ctx); !sqldb.Passing(err) {
			if err == nil {
				x.log.Info("the database answers")
			}
			return s, err
		}
	}
}

// hold answers on the server's ports, through descriptors of its own: the ports stay open when it
// stops.
func (x *starter) hold(listeners []net.Listener, secure *tls.Config) (stop func(), err error) {
	hs := &http.Server{
		Handler:           http.HandlerFunc(waiting),
		ReadHeaderTimeout: readHeaderTimeout,
		TLSConfig:         secure,
		ErrorLog:          slog.NewLogLogger(x.log.Handler(), slog.LevelDebug),
	}
	for _, l := range listeners {
		own, err := duplicate(l)
		if err != nil {
			_ = hs.Close()
			return nil, err
		}
		go func() { _ = serveOn(hs, own, secure != nil) }() // ends with Close
	}
	return func() {
		end, cancel := context.WithTimeout(context.Background(), startAgain)
		defer cancel()
		if hs.Shutdown(end) != nil {
			_ = hs.Close()
		}
	}, nil
}

// duplicate returns a listener on the same socket.
func duplicate(l net.Listener) (net.Listener, error) {
	f, err := socketFile(l)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileListener(f)
}

// socketFile returns a descriptor of the socket that a listener has. The method File of a listener
// would do so too, but its result makes the socket block once it is passed on to a process: then
// Accept would block a thread here, and Close would wait for the next connection.
func socketFile(l net.Listener) (*os.File, error) {
	x, ok := l.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("the listener on %s has no descriptor", l.Addr())
	}
	raw, err := x.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dup error
	err = raw.Control(func(own uintptr) { fd, dup = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, dup); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), l.Addr().String()), nil
}

// waiting answers while there is no database: the process lives, and can do nothing yet.
func waiting(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	switch r.URL.Path {
	case "/health", "/healthz", "/livez", "/health_check":
		fmt.Fprint(w, `{"status":"ok","unavailable":["database"]}`)
		return
	}
	h.Set("Retry-After", "1")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprint(w, `{"status":"unavailable","reason":"the server is starting and waits for the database"}`)
}
