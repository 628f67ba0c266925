package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Servers of ours that run as processes of their own: this program, with one of these names before
// an address to listen on.
const (
	partBare     = "bare"
	partUpstream = "upstream"
	partProxy    = "proxy"
)

// partNamed returns the main function of a part, or nil. Its arguments follow the name.
func partNamed(name string) func(args []string) error {
	switch name {
	case partBare:
		return bareMain
	case partUpstream:
		return upstreamMain
	case partProxy:
		return proxyMain
	}
	return nil
}

// startPart starts a part and waits until it answers.
func startPart(ctx context.Context, dir, name string, args ...string) (*server, error) {
	port, err := testkit.UnusedPort()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{address: fmt.Sprintf("127.0.0.1:%d", port)}
	cmd := exec.Command(self, append([]string{name, s.address}, args...)...)
	cmd.Env = plainEnviron()
	if s.process, err = startProcess(cmd, filepath.Join(dir, name+".log"), syscall.SIGTERM); err != nil {
		return nil, err
	}
	err = s.await(10*time.Second, 5*time.Millisecond, func() error {
		_, err := get("/").send(ctx, s.address)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	return s, nil
}

// listenAndServe serves until the process is asked to end.
func listenAndServe(address string, h http.Handler) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { _ = s.Close() })
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// What the upstream has, whatever the path before it.
const (
	thing    = "thing" // a small object
	download = "download"
	upload   = "upload"
)

// thingBody is about as much as an API says of one object.
const thingBody = `{"id":"01a2003c-97ea-7cb5-856e-f9edb57fe47b","name":"A thing of the bench","state":"ready","price":{"amount":"129.00","currency":"CHF"},"tags":["small","warm"],"updated_at":"2026-03-14T09:26:53Z"}` + "\n"

// upstreamMain runs the service behind the gateway: it does as little as a service can. Its
// argument is the address to listen on.
func upstreamMain(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: bench upstream ADDRESS")
	}
	return listenAndServe(args[0], http.HandlerFunc(serveUpstream))
}

func serveUpstream(w http.ResponseWriter, r *http.Request) {
	switch path.Base(r.URL.Path) {
	case thing:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, thingBody)
	case download:
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.Itoa(streamSize))
		_ = pour(w, streamSize) // who reads it counts
	case upload:
		n, err := drain(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = io.WriteString(w, received(n))
	default:
		http.NotFound(w, r)
	}
}

// received returns the answer to an upload.
func received(n int64) string { return fmt.Sprintf("received %d bytes\n", n) }

// proxyMain runs the gateway's yardstick: net/http/httputil's reverse proxy, unchanged except for
// the number of connections that it keeps. Args are the address to listen on and that of the
// upstream.
func proxyMain(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: bench proxy ADDRESS UPSTREAM")
	}
	return listenAndServe(args[0], proxyHandler(args[1]))
}

func proxyHandler(upstream string) http.Handler {
	to := &url.URL{Scheme: "http", Host: upstream}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 0, 256 // two, the default, would mean a new connection for nearly each request
	return &httputil.ReverseProxy{Rewrite: func(pr *httputil.ProxyRequest) { pr.SetURL(to) }, Transport: t}
}
