package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Limits of connections. The header must have room for a sealed request and cookies.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 60 * time.Second
	keepAliveTimeout  = 2 * time.Minute
	maxHeaderBytes    = 48 << 10
)

// serve runs the server until ctx ends, and then finishes the requests in progress.
func serve(ctx context.Context, e *env, cfg *config.Config) error {
	tuneMemory(e)
	out := newLogWriter(e.stderr)
	defer out.Close()
	log := newLogger(out, cfg)
	next := newHandover(e, log)
	defer next.close()
	secure, err := tlsConfig(cfg, log)
	if err != nil {
		return err
	}
	given, err := inherit(e)
	if err != nil {
		return err
	}
	listeners, err := listen(cfg, given.listeners[socketMain])
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	plain, err := listenPlain(cfg, given.listeners[socketPlain])
	if err != nil {
		return err
	}
	defer closeAll(plain)
	defer catchStandardLog(log)()
	watch, scrapes, err := startMonitor(cfg, log, given.listeners[socketMetrics])
	if err != nil {
		return err
	}
	defer watch.close()
	start := starter{env: e, cfg: cfg, log: log, watch: watch}
	s, err := start.whenAnswered(ctx, listeners, secure)
	if err != nil {
		return err
	}
	if s == nil { // stopped while it waited for the database
		return nil
	}
	p := s.parts
	defer p.Close()
	if err := startRealms(e, s); err != nil {
		return err
	}
	stopHTTPS, err := s.startHTTPS(ctx, e, secureParts{plain, secure, log})
	if err != nil {
		return err
	}
	defer stopHTTPS()
	if err := announce(ctx, e, p); err != nil {
		return err
	}
	s.realms.announce(e)
	tuneThreads(e)
	s.behind = append(s.behind, func(ctx context.Context) { followQuota(ctx, e) })
	s.secure = secure
	next.sockets = map[string][]net.Listener{socketMain: listeners, socketPlain: plain, socketMetrics: present(scrapes)}
	s.handOver(e, given, next)
	return s.run(ctx, cfg, listeners, secure, log)
}

// recordSettings records which settings are different from those of the server that started last.
func recordSettings(ctx context.Context, e *env, p *parts) error {
	now := admin.SettingsText(settings(p.cfg))
	last, err := p.db.LastSettings(ctx, now)
	if err != nil {
		return err
	}
	ev, changed := admin.SettingsChange(last, now, e.now())
	if !changed {
		return nil
	}
	return p.db.SettingsStarted(ctx, last, now, ev)
}

// listen opens the ports before the database, which a server that cannot listen must not touch. It
// uses the sockets that the process was given, if there are any.
func listen(cfg *config.Config, given []net.Listener) ([]net.Listener, error) {
	if len(given) > 0 {
		if at, ok := given[0].Addr().(*net.TCPAddr); ok && cfg.Server.Port == 0 {
			cfg.ListeningOn(at.Port)
		}
		return given, nil
	}
	out, err := listenAt(cfg, cfg.Server.Port)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on port %d: %w; stop the program that uses it, "+
			"or choose another port with --port", cfg.Server.Port, err)
	}
	if cfg.Server.Port == 0 {
		cfg.ListeningOn(out[0].Addr().(*net.TCPAddr).Port)
	}
	return out, nil
}

// listenPlain opens HTTP_PORT, if there is one.
func listenPlain(cfg *config.Config, given []net.Listener) ([]net.Listener, error) {
	if len(given) > 0 {
		return given, nil
	}
	if cfg.HTTPS.HTTPPort == 0 {
		return nil, nil
	}
	out, err := listenAt(cfg, cfg.HTTPS.HTTPPort)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on port %d: %w; stop the program that uses it, "+
			"or choose another port with --http-port", cfg.HTTPS.HTTPPort, err)
	}
	return out, nil
}

// listenAt opens a port on all addresses of HOST; 0 lets the system choose one for all of them.
func listenAt(cfg *config.Config, port int) ([]net.Listener, error) {
	var out []net.Listener
	for i, host := range cfg.Hosts() {
		l, err := net.Listen(network(host), net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			if i > 0 && host == "::1" { // a machine without IPv6 still has a localhost
				continue
			}
			closeAll(out)
			return nil, err
		}
		port = l.Addr().(*net.TCPAddr).Port
		out = append(out, l)
	}
	return out, nil
}

// network returns tcp4 for an IPv4 address: with tcp, 0.0.0.0 would mean IPv6 as well.
func network(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is4() {
		return "tcp4"
	}
	return "tcp"
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		_ = l.Close()
	}
}

// newHTTPServer returns the HTTP server with its limits and protocols.
func (s *server) newHTTPServer(secure *tls.Config, log *slog.Logger) *http.Server {
	hs := &http.Server{
		Handler:           s.closesConnections(s.handler),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	hs.RegisterOnShutdown(s.drain)
	hs.Protocols = new(http.Protocols)
	hs.Protocols.SetHTTP1(true)
	hs.Protocols.SetHTTP2(true)
	hs.Protocols.SetUnencryptedHTTP2(true) // gRPC behind a proxy that ends TLS
	hs.TLSConfig = secure
	return hs
}

// tlsConfig returns how the server serves https, or nil if it does not. It is made before anything
// else, so that a bad certificate is all that the operator reads.
func tlsConfig(cfg *config.Config, log *slog.Logger) (*tls.Config, error) {
	if !cfg.TLS() {
		return nil, nil
	}
	out := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		CipherSuites: tls12Suites(),
	}
	if !cfg.ACME() { // whose certificates need the database
		pair, err := newKeyPair(cfg.Server.CertFile, cfg.Server.KeyFile, log)
		if err != nil {
			return nil, err
		}
		out.GetCertificate = pair.get
	}
	// A certificate is optional and may have any issuer: tokens are bound to the certificate itself
	// (RFC 8705 §3).
	if cfg.Server.ClientCerts {
		out.ClientAuth = tls.RequestClientCert
	}
	return out, nil
}

// run serves on all listeners until ctx ends, and then stops gracefully.
func (s *server) run(
	ctx context.Context, cfg *config.Config, listeners []net.Listener, secure *tls.Config, log *slog.Logger,
) error {
	hs := s.newHTTPServer(secure, log)
	// Background tasks end after the last request.
	tasks, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.work(tasks) })
	defer func() { stop(); wg.Wait() }()

	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		wg.Go(func() {
			err := serveOn(hs, l, cfg.TLS())
			if !errors.Is(err, http.ErrServerClosed) && !s.handedOver.Load() {
				failed <- err
			}
		})
	}
	closeProfiles, err := serveProfiles(cfg.Server.ProfilePort)
	if err != nil {
		return err
	}
	defer closeProfiles()
	for _, w := range cfg.Warnings() {
		log.Warn(w)
	}
	if cfg.Sessions.NotifyNew && !canMail(cfg) {
		log.Warn("NOTIFY_NEW_SESSION has no effect without SMTP_HOST")
	}
	go returnMemory()
	log.Info("serving", "address", listeners[0].Addr().String(), "issuer", cfg.Server.BaseURL,
		"version", version())
	if err := s.untilEnd(ctx, tasks, listeners, failed); err != nil {
		_ = hs.Close()
		return err
	}
	log.Info("shutting down; waiting for requests in progress")
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.Server.ShutdownTimeout)
	defer cancel()
	if err := hs.Shutdown(end); err != nil {
		_ = hs.Close()
		return fault.Wrap(fault.Unavailable, err,
			"some requests did not end within SHUTDOWN_TIMEOUT and were aborted")
	}
	return nil
}

// untilEnd serves until ctx ends or a new process has the sockets, and then for DRAIN_DELAY. It
// returns the error of a listener that fails.
func (s *server) untilEnd(
	ctx, tasks context.Context, listeners []net.Listener, failed <-chan error,
) error {
	s.reportState("READY=1")
	delay := s.parts.cfg.Server.DrainDelay
	select {
	case err := <-failed:
		return err
	case <-s.whenReplaced(tasks): // clients' connections are still here
		s.handedOver.Store(true)
		s.stopping.Store(true)
		closeAll(listeners)
		delay = max(delay, handoverDrain)
	case <-ctx.Done():
		s.stopping.Store(true)
		s.reportState("STOPPING=1")
	}
	return drainBefore(ctx, delay, failed, s.log)
}

// whenReplaced returns a channel that is closed once a new process serves on the sockets.
func (s *server) whenReplaced(ctx context.Context) <-chan struct{} {
	if s.next == nil {
		return nil
	}
	done := make(chan struct{})
	go func() {
		if s.next.wait(ctx) == nil {
			close(done)
		}
	}()
	return done
}

// reportState sends a state to the service manager, if there is one.
func (s *server) reportState(state string) {
	if s.notify != nil {
		s.notify(state)
	}
}

// Interrupted is the cause of the end of a context when a person stopped the program at the
// keyboard.
type Interrupted struct{}

// Error returns what happened.
func (Interrupted) Error() string { return "interrupted at the keyboard" }

// drainBefore waits for DRAIN_DELAY while the server still answers, so that load balancers see that
// it is not ready and stop sending requests. A person at the keyboard does not wait. It returns
// early when a listener fails.
func drainBefore(ctx context.Context, delay time.Duration, failed <-chan error, log *slog.Logger) error {
	if delay == 0 || errors.As(context.Cause(ctx), new(Interrupted)) {
		return nil
	}
	log.Info("draining; requests are still accepted, but /readyz answers 503", "duration_ms", delay.Milliseconds())
	over := time.NewTimer(delay)
	defer over.Stop()
	select {
	case err := <-failed:
		return err
	case <-over.C:
		return nil
	}
}

func serveOn(hs *http.Server, l net.Listener, secure bool) error {
	if secure {
		return hs.ServeTLS(l, "", "")
	}
	return hs.Serve(l)
}

// announce writes the address of the server, and until there is an administrator, how to become
// one: by a link at a terminal, or else by a command, since the output may be a log that others
// read.
func announce(ctx context.Context, e *env, p *parts) error {
	base := p.cfg.Server.BaseURL
	n, err := p.db.CountAdmins(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "Gatehouse is at %s\n", base)
	if n > 0 {
		return nil
	}
	if !e.terminal {
		fmt.Fprint(e.stdout, "There is no administrator yet. "+
			"To become one, run: gatehouse setup-link\n")
		return nil
	}
	token, err := p.login.SetupLink(ctx, e.now())
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "\nThere is no administrator yet. "+
		"Open this link once, within 24 hours, to become one:\n\n  %s/setup?token=%s\n\n", base, token)
	return nil
}

// serveProfiles serves the profiles of the Go runtime on a loopback port of its own.
func serveProfiles(port int) (stop func(), err error) {
	if port == 0 {
		return func() {}, nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("PPROF_PORT %d cannot be used: %w", port, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	hs := &http.Server{Handler: mux, ReadHeaderTimeout: readHeaderTimeout}
	go func() { _ = hs.Serve(l) }() // ends with Close
	return func() { _ = hs.Close() }, nil
}
