package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/metric"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// listenMetrics opens METRICS_PORT, or returns nil if there is none.
func listenMetrics(cfg *config.Config, given []net.Listener) (net.Listener, error) {
	port := cfg.Monitoring.MetricsPort
	if port == 0 { // also if the process before this one had it
		closeAll(given)
		return nil, nil
	}
	if len(given) > 0 {
		return given[0], nil
	}
	host := cfg.Monitoring.MetricsHost
	if host == "*" {
		host = ""
	}
	l, err := net.Listen(network(host), net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("METRICS_PORT %d cannot be used: %w", port, err)
	}
	return l, nil
}

// startMonitor begins to watch the server: with its metrics on METRICS_PORT, whose listener it
// returns if there is one, and its traces. given are listeners that the process has got.
func startMonitor(
	cfg *config.Config, log *slog.Logger, given []net.Listener,
) (*monitor, net.Listener, error) {
	scrapes, err := listenMetrics(cfg, given)
	if err != nil {
		return nil, nil, err
	}
	m := newMonitor(cfg, log)
	countLines(log, m)
	if scrapes != nil {
		m.stopMetrics = m.serveMetrics(scrapes, log)
	}
	return m, scrapes, nil
}

// serveMetrics serves the metrics, and nothing else, until stop is called.
func (m *monitor) serveMetrics(l net.Listener, log *slog.Logger) (stop func()) {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.metrics.Handler())
	hs := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       keepAliveTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() { _ = hs.Serve(l) }() // ends with Close
	log.Info("serving metrics", "address", l.Addr().String())
	return func() { _ = hs.Close() }
}

const (
	sampleEvery   = 10 * time.Second // of what needs the database
	sampleTimeout = 5 * time.Second
	sizeEvery     = 6 // samples: PostgreSQL adds up the sizes of many files
)

// sample reads the state of the server for the metrics until ctx ends. A scrape itself never waits
// for the database.
func (s *server) sample(ctx context.Context) {
	m := s.parts.monitor
	if m == nil || m.metrics == nil || m.realm {
		return
	}
	state := m.metrics.State
	state.Knowledge(s.parts.db.KnowledgeAge)
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		s.sampleOnce(ctx, m.metrics, n%sizeEvery == 0)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sampleOnce reads everything once. What the database does not tell stays as it was; the age of
// the knowledge and the time of the sample show it.
func (s *server) sampleOnce(ctx context.Context, m *metric.Metrics, sizes bool) {
	now := time.Now()
	bounded, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	db := s.parts.db
	up := db.Writable(bounded) == nil
	status, usage := db.Status(), db.Usage()
	state := metric.DatabaseState{
		Up:        up,
		Listening: status.Changes == "listen",
		Pooler:    status.Pooler,
		InUse:     usage.InUse,
		Idle:      usage.Idle,
		Max:       usage.Max,
		Queue:     usage.Queue,
		Waits:     usage.Waits,
		Size:      -1,
		WAL:       -1,
	}
	if up && sizes {
		if main, wal, err := db.Size(bounded); err == nil {
			state.Size, state.WAL = main, wal
		}
	}
	if up {
		standbys := db.Standbys(bounded)
		state.Synchronous, state.Asynchronous = standbys.Synchronous, standbys.Asynchronous
	}
	m.Database.Set(state)
	m.State.Ready(up && !s.stopping.Load())
	if s.shared != nil {
		m.State.Redis(!s.shared.Down())
	}
	m.State.Keys(signingKeys(s.parts.ring.Keys(), now))
	if s.parts.expiries != nil {
		for name, at := range s.parts.expiries() {
			m.State.Certificate("acme "+name, at)
		}
	} else if leaf := certificate(s.secure); !leaf.IsZero() {
		m.State.Certificate("SSL_CERT", leaf)
	}
	head, _ := db.RevocationHead()
	m.State.Revocations(db.RevocationCount(), head.Seq)
	if s.gateway != nil {
		m.Gateway.Upstreams(upstreams(s.gateway.Health()))
	}
	if up {
		s.sampleDatabase(bounded, m, now)
	}
}

// sampleDatabase reads the gauges that come from the database. It first brings what is cached in
// memory up to date.
func (s *server) sampleDatabase(ctx context.Context, m *metric.Metrics, now time.Time) {
	db := s.parts.db
	if err := db.SyncCache(ctx); err != nil {
		return
	}
	queued, dead, oldest, err := db.OutboxState(ctx)
	if err != nil {
		return
	}
	o := metric.Outbox{Queued: queued, Dead: dead}
	if queued > 0 {
		o.Oldest = now.Sub(oldest)
	}
	m.State.Outbox(o)
	sinks, err := db.Sinks(ctx)
	if err != nil {
		return
	}
	failures := map[string]int{}
	for _, k := range sinks {
		name := k.Name
		if strings.HasPrefix(name, webhook.SinkPrefix) {
			name = "webhooks"
		}
		if k.Active {
			failures[name] = max(failures[name], k.Attempts)
		}
	}
	m.State.Sinks(failures)
	sent, err := db.CheckpointSent(ctx)
	if err != nil {
		return
	}
	if sent.FailingSince.IsZero() || s.parts.cfg.Audit.CheckpointURL == "" {
		sent.FailingSince = now
	}
	m.State.CheckpointFailing(now.Sub(sent.FailingSince))
	if err := s.sampleBackups(ctx, m, now); err != nil {
		return
	}
	m.State.Sampled(now)
}

// sampleBackups reads what the database knows of backups.
func (s *server) sampleBackups(ctx context.Context, m *metric.Metrics, now time.Time) error {
	b, err := admin.ReadBackups(ctx, s.parts.db, backupPolicy(s.parts.cfg, s.parts.copied), now)
	if err != nil {
		return err
	}
	state := metric.BackupState{Every: b.Policy.Every, Failures: b.Failures}
	if b.Policy.Copy {
		state.Every = 0
	}
	if n := b.Newest; n != nil {
		state.Began, state.Size, state.Took = n.StartedAt, n.Bytes, n.FinishedAt.Sub(n.StartedAt)
	}
	m.Backups.Set(state)
	return nil
}

// signingKeys returns for each algorithm when the key that signs was made, and when the next one
// begins to sign.
func signingKeys(keys []jose.StoredKey, now time.Time) (all []metric.Key) {
	for _, alg := range jose.Algorithms() {
		k := metric.Key{Algorithm: alg}
		for _, x := range keys {
			switch {
			case x.Alg != alg || !x.RetiredAt.IsZero() && !x.RetiredAt.After(now):
			case x.ActiveAt.After(now):
				if k.Next.IsZero() || x.ActiveAt.Before(k.Next) {
					k.Next = x.ActiveAt
				}
			default:
				k.Created = x.CreatedAt // the newest one, since the oldest comes first
			}
		}
		all = append(all, k)
	}
	return all
}

// certificate returns when the server's certificate expires, or the zero time.
func certificate(c *tls.Config) time.Time {
	if c == nil || c.GetCertificate == nil {
		return time.Time{}
	}
	cert, err := c.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil || cert == nil || cert.Leaf == nil {
		return time.Time{}
	}
	return cert.Leaf.NotAfter
}

func upstreams(routes []gateway.RouteHealth) (all []metric.Upstream) {
	for _, r := range routes {
		for _, u := range r.Upstreams {
			all = append(all, metric.Upstream{Route: r.Route, Address: u.Address, Up: u.Up})
		}
	}
	return all
}
