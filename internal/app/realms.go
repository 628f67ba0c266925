package app

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/realm"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const (
	realmWait     = 5 * time.Second // of a request for a realm that opens
	realmAgain    = 5 * time.Second // after a realm could not be opened
	realmAgainMax = time.Minute
)

// realms are the realms that a process serves beside its own issuer. Each is a server of its own,
// with a database, keys and settings; the process has the ports, the log, the metrics and the slots
// for hashing passwords once. Realms open when they are first asked for, or one after another in
// the background, so that neither many of them nor one whose database is away delay the start.
type realms struct {
	router *realm.Router
	all    []*openRealm
}

// openRealm is a realm, which may not be open yet.
type openRealm struct {
	starter
	name   string
	main   *server
	wanted chan struct{} // holds one value once a request waits
	ready  chan struct{} // closed when the realm is open for the first time
	once   sync.Once     // closes ready

	server atomic.Pointer[server] // nil: not open
	failed atomic.Pointer[string] // why it could not be opened; nil: it is open, or was not tried
}

// startRealms adds the realms of REALMS_FILE to a server. A mistake in the file is an error; that a
// realm cannot be opened is reported and does not stop the others.
func startRealms(e *env, main *server) error {
	configs, router, err := realmConfigs(main.parts.cfg)
	if err != nil || len(configs) == 0 {
		return err
	}
	if err := main.parts.claimDatabase(context.Background()); err != nil {
		return err
	}
	r := &realms{router: router}
	width := max(1, hashWidth(runtime.GOMAXPROCS(0), memoryLimit(os.ReadFile))/2)
	for _, c := range configs {
		own := *e
		own.passwords = main.parts.passwords.Share(width, c.Passwords.HashQueue)
		r.all = append(r.all, &openRealm{
			starter: starter{
				env:   &own,
				cfg:   c,
				log:   main.log.With("realm", c.Realm),
				watch: main.parts.monitor.ofRealm(),
			},
			name:   c.Realm,
			main:   main,
			wanted: make(chan struct{}, 1),
			ready:  make(chan struct{}),
		})
	}
	fmt.Fprint(e.stdout, announceRealms(configs))
	main.realms = r
	main.handler = r.front(main.handler)
	drain := main.drain
	main.drain = func() {
		drain()
		for _, x := range r.all {
			if s := x.server.Load(); s != nil {
				s.drain()
			}
		}
	}
	main.behind = append(main.behind, r.run)
	return nil
}

// run serves the realms until ctx ends.
func (r *realms) run(ctx context.Context) {
	var wg sync.WaitGroup
	slot := make(chan struct{}, 1) // one opens in the background at a time
	for _, x := range r.all {
		wg.Go(func() { x.run(ctx, slot) })
	}
	wg.Wait()
}

// run opens the realm when a request wants it, or when there is a slot for it, and works for it
// until ctx ends.
func (x *openRealm) run(ctx context.Context, slot chan struct{}) {
	again := realmAgain
	for ctx.Err() == nil {
		s, err := x.open(ctx, slot)
		if err == nil {
			again = realmAgain
			x.serve(ctx, s)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if text := err.Error(); x.failed.Swap(&text) == nil {
			x.log.Error("the realm cannot be opened; will retry", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
		again = min(2*again, realmAgainMax)
	}
}

// open opens the realm once it is wanted, or there is a slot for it.
func (x *openRealm) open(ctx context.Context, slot chan struct{}) (*server, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-x.wanted:
	case slot <- struct{}{}:
		defer func() { <-slot }()
	}
	s, err := x.starter.once(ctx)
	if err != nil && sqldb.Passing(err) {
		return nil, fault.Wrap(fault.Unavailable, err, "the database of the realm is away")
	}
	return s, err
}

// serve works for an open realm until ctx ends, and closes it.
func (x *openRealm) serve(ctx context.Context, s *server) {
	s.stopping = x.main.stopping
	s.secure = x.main.secure
	if x.failed.Swap(nil) != nil {
		x.log.Info("the realm is open again")
	}
	x.server.Store(s)
	x.once.Do(func() { close(x.ready) })
	x.log.Debug("the realm is open", "issuer", x.cfg.Server.BaseURL)
	s.work(ctx)
	if err := s.parts.Close(); err != nil {
		x.log.Error("the realm cannot be closed", "error", err)
	}
}

// front returns the handler of all requests. The host that a request was sent to decides which
// realm it is for; no other header does. A host that belongs to none gets nothing, but for the
// checks of orchestrators, which know the machine by its address.
func (r *realms) front(main http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		m, ok := r.router.Find(q.Host, q.URL.EscapedPath())
		switch {
		case !ok && !isHealthPath(q.URL.Path):
			misdirected(w)
		case !ok || m.Index == 0:
			main.ServeHTTP(w, q)
		default:
			r.all[m.Index-1].ServeHTTP(w, q)
		}
	})
}

// ServeHTTP answers a request for the realm, or that it is not open.
func (x *openRealm) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s := x.wait(r.Context()); s != nil {
		s.handler.ServeHTTP(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Retry-After", "5")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprint(w, `{"error":"temporarily_unavailable","error_description":"This issuer is not available right now."}`)
}

// wait returns the server of the realm. It waits a moment for one that opens.
func (x *openRealm) wait(ctx context.Context) *server {
	if s := x.server.Load(); s != nil || x.failed.Load() != nil {
		return s
	}
	select {
	case x.wanted <- struct{}{}:
	default:
	}
	limit := time.NewTimer(realmWait)
	defer limit.Stop()
	select {
	case <-x.ready:
	case <-limit.C:
	case <-ctx.Done():
	}
	return x.server.Load()
}

// unavailable returns the names of the realms that cannot be served.
func (r *realms) unavailable() (names []string) {
	if r == nil {
		return nil
	}
	away := make([]bool, len(r.all))
	var wg sync.WaitGroup
	for i, x := range r.all {
		s := x.server.Load()
		switch {
		case x.failed.Load() != nil:
			away[i] = true
		case s != nil:
			wg.Go(func() { away[i] = s.database.ask(liveTimeout, s.parts.db.Ping) != nil })
		}
	}
	wg.Wait()
	for i, x := range r.all {
		if away[i] {
			names = append(names, x.name)
		}
	}
	return names
}

func isHealthPath(path string) bool {
	switch path {
	case "/health", "/healthz", "/livez", "/health_check", "/readyz":
		return true
	}
	return false
}

// misdirected answers a request for a host that no issuer has (RFC 9110 §15.5.20).
func misdirected(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusMisdirectedRequest)
	fmt.Fprint(w, `{"error":"invalid_request","error_description":"This server does not serve this host."}`)
}

// metaRealm is the row that says to which realm a database belongs.
const metaRealm = "realm"

// claimDatabase marks the database as that of this issuer, or returns an error if it belongs to
// another one of the process: two realms in one database would be one.
func (p *parts) claimDatabase(ctx context.Context) error {
	own := p.cfg.Realm
	if own == "" {
		own = "main"
	}
	is, err := p.db.InitMeta(ctx, metaRealm, own)
	if err == nil && is != own {
		return fault.New(fault.Conflict, "the database belongs to the realm %s, not to %s; check database_url", is, own)
	}
	return err
}

// ofRealm returns what watches a realm: the metrics and traces of the process count it in. Gauges
// of the state are those of the main issuer.
func (m *monitor) ofRealm() *monitor {
	if m == nil {
		return nil
	}
	return &monitor{metrics: m.metrics, tracer: m.tracer, proxies: m.proxies, realm: true}
}

// announceRealms returns the addresses of the realms in the order of the file.
func announceRealms(configs []*config.Config) string {
	var b strings.Builder
	for _, c := range configs {
		fmt.Fprintf(&b, "Realm %s is at %s\n", c.Realm, c.Server.BaseURL)
	}
	return b.String()
}
