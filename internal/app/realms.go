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

	"github.com/gatehouse-id/gatehouse/internal/cache"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/metric"
	"github.com/gatehouse-id/gatehouse/internal/realm"
	"github.com/gatehouse-id/gatehouse/internal/text"
	"github.com/gatehouse-id/gatehouse/internal/web/api"
)

const (
	realmWait     = 5 * time.Second // of a request for a realm that opens
	realmAgain    = 5 * time.Second // after a realm could not be opened
	realmAgainMax = time.Minute

	realmIdle  = 5 * time.Minute  // after the last request, until a realm closes
	realmVisit = 15 * time.Second // in which the background work of a realm begins that has no requests
	realmEvery = time.Hour        // between two such visits
	realmSlots = 2                // visits at a time
	realmCheck = time.Second      // between two looks whether a realm can close

	maxAnnounced = 10 // realms whose addresses the start prints
)

// realms are the realms that a process serves beside its own issuer. Each is a server of its own,
// with a database, keys and settings; the process has the ports, the log, the metrics and the slots
// for hashing passwords once. A realm opens at a request and closes when there was none for a
// while, so that many of them cost little and one whose database is away delays nothing. Without
// requests, each opens once an hour for its background work.
type realms struct {
	router *realm.Router
	all    []*openRealm
}

// openRealm is a realm, which is open while there is work for it.
type openRealm struct {
	starter
	name   string
	main   *server
	idle   time.Duration // after the last request, until it closes
	wanted chan struct{} // holds one value once a request waits

	server   atomic.Pointer[server] // nil: not open
	failed   atomic.Pointer[string] // why it could not be opened; nil: it is open, or was not tried
	requests atomic.Int64           // in progress
	last     atomic.Int64           // when the last one ended, in Unix nanoseconds

	meter *metric.Realm // or nil

	mu    sync.Mutex
	ready chan struct{} // closed when the realm opens
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
	texts, err := text.Load()
	if err != nil {
		return err
	}
	document, err := api.ReadDocument()
	if err != nil {
		return err
	}
	r := &realms{router: router}
	width := max(1, hashWidth(runtime.GOMAXPROCS(0), memoryLimit(os.ReadFile))/2)
	for _, c := range configs {
		own := *e
		own.passwords = main.parts.passwords.Share(width, c.Passwords.HashQueue)
		own.texts, own.document = texts, document
		own.limits = cache.NewMemory(0, e.now)
		r.all = append(r.all, newOpenRealm(main, starter{
			env:   &own,
			cfg:   c,
			log:   main.log.With("realm", c.Realm),
			watch: main.parts.monitor.ofRealm(),
		}))
	}
	if len(configs) <= maxAnnounced {
		fmt.Fprint(e.stdout, announceRealms(configs))
	}
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

func newOpenRealm(main *server, s starter) *openRealm {
	var meter *metric.Realm
	if s.watch != nil && s.watch.metrics != nil {
		meter = s.watch.metrics.Realms.Realm(s.cfg.Realm)
	}
	return &openRealm{
		meter:   meter,
		starter: s,
		name:    s.cfg.Realm,
		main:    main,
		idle:    realmIdle,
		wanted:  make(chan struct{}, 1),
		ready:   make(chan struct{}),
	}
}

// run serves the realms until ctx ends.
func (r *realms) run(ctx context.Context) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, realmSlots)
	for _, x := range r.all {
		wg.Go(func() { x.run(ctx, slots) })
	}
	wg.Wait()
}

// run opens the realm when a request wants it, or for a visit, and works for it until it is idle,
// again and again until ctx ends.
func (x *openRealm) run(ctx context.Context, slots chan struct{}) {
	again := realmAgain
	next := time.NewTimer(0) // of visits
	defer next.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-x.wanted:
			err = x.work(ctx, x.idle)
		case <-next.C:
			select {
			case <-ctx.Done():
				return
			case <-x.wanted:
				err = x.work(ctx, x.idle)
			case slots <- struct{}{}:
				leave := sync.OnceFunc(func() { <-slots })
				visit := time.AfterFunc(realmVisit, leave) // requests may keep the realm open
				err = x.work(ctx, min(x.idle, realmVisit))
				visit.Stop()
				leave()
			}
		}
		if err == nil {
			again = realmAgain
			next.Reset(realmEvery)
			continue
		}
		if text := err.Error(); x.failed.Swap(&text) == nil && ctx.Err() == nil {
			x.log.Error("the realm cannot be opened; will retry", "error", err)
		}
		x.meter.State(false, false)
		next.Reset(again)
		again = min(2*again, realmAgainMax)
	}
}

// work opens the realm and works for it until ctx ends, or it had no request for a time. It returns
// the error of opening.
func (x *openRealm) work(ctx context.Context, idle time.Duration) error {
	s, err := x.starter.once(ctx)
	if err != nil {
		return err
	}
	s.stopping = x.main.stopping
	if x.failed.Swap(nil) != nil {
		x.log.Info("the realm can be opened again")
	}
	x.last.Store(0)
	x.server.Store(s)
	x.mu.Lock()
	close(x.ready)
	x.mu.Unlock()
	select {
	case <-x.wanted: // was for this opening
	default:
	}
	x.meter.State(true, true)
	x.log.Debug("the realm is open", "issuer", x.cfg.Server.BaseURL)
	work, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { defer close(done); s.work(work) }()
	x.untilIdle(ctx, s, idle)
	stop()
	<-done
	if err := s.parts.Close(); err != nil {
		x.log.Error("the realm could not be closed", "error", err)
	}
	x.meter.State(false, true)
	x.log.Debug("the realm is closed")
	return nil
}

// untilIdle returns when the realm takes no requests any more: because ctx has ended, or because
// there were none for a time, and no message waits to be sent.
func (x *openRealm) untilIdle(ctx context.Context, s *server, idle time.Duration) {
	opened := time.Now()
	tick := time.NewTicker(min(realmCheck, idle))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done(): // the requests have ended by then
			x.server.Store(nil)
			return
		case <-tick.C:
		}
		since, limit := opened, idle
		if last := x.last.Load(); last != 0 {
			since, limit = time.Unix(0, last), x.idle
		}
		if x.requests.Load() > 0 || s.jobs.Running() || time.Since(since) < limit {
			continue
		}
		if queued, _, _, err := s.parts.db.OutboxState(ctx); err == nil && queued > 0 {
			x.last.Store(time.Now().UnixNano())
			continue
		}
		// Requests count themselves before they look for the server: one that is not counted now
		// finds none.
		x.mu.Lock()
		x.server.Store(nil)
		x.ready = make(chan struct{})
		if x.requests.Load() == 0 {
			x.mu.Unlock()
			return
		}
		x.server.Store(s)
		close(x.ready)
		x.mu.Unlock()
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
	x.meter.Request()
	x.requests.Add(1)
	s := x.server.Load()
	if s == nil {
		x.requests.Add(-1)
		if s = x.wait(r.Context()); s == nil {
			x.unavailable(w)
			return
		}
	}
	defer func() {
		x.last.Store(time.Now().UnixNano())
		x.requests.Add(-1)
	}()
	s.handler.ServeHTTP(w, r)
}

// unavailable answers that the realm is not open.
func (x *openRealm) unavailable(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("Retry-After", "5")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprint(w, `{"error":"temporarily_unavailable","error_description":"This issuer is not available right now."}`)
}

// wait returns the server of the realm, and counts the request, or returns nil. It waits a moment
// for one that opens.
func (x *openRealm) wait(ctx context.Context) *server {
	limit := time.NewTimer(realmWait)
	defer limit.Stop()
	for x.failed.Load() == nil {
		select {
		case x.wanted <- struct{}{}:
		default:
		}
		x.mu.Lock()
		ready := x.ready
		x.mu.Unlock()
		select {
		case <-ready:
		case <-limit.C:
			return nil
		case <-ctx.Done():
			return nil
		}
		x.requests.Add(1)
		if s := x.server.Load(); s != nil {
			return s
		}
		x.requests.Add(-1)
	}
	return nil
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
