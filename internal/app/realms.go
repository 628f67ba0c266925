package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
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
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

const (
	realmsEvery  = time.Second // between two looks whether REALMS_FILE has changed
	maxAnnounced = 10          // realms whose addresses the start prints
)

// realms are the realms that a process serves beside its own issuer. Each is a server of its own,
// with a database, keys and settings; the process has the ports, the log, the metrics and the slots
// for hashing passwords once. A realm opens at a request and closes when there was none for a
// while, so that many of them cost little and one whose database is away delays nothing. Without
// requests, each opens once an hour for its background work.
type realms struct {
	env   *env
	main  *server
	texts *text.Catalogues
	pool  *sqldb.SharedPool // of connections to PostgreSQL
	room  *room
	now   atomic.Pointer[routing]

	mu      sync.Mutex      // one change of the realms at a time
	ctx     context.Context // of the work of realms; nil: it has not begun
	running sync.WaitGroup
}

// routing says which realms there are at a time, and which of them a request is for. It is
// immutable.
type routing struct {
	router *realm.Router // nil: there are no realms
	all    []*openRealm
}

// startRealms adds the realms of REALMS_FILE to a server. A mistake in the file is an error; that a
// realm cannot be opened is reported and does not stop the others.
func startRealms(e *env, main *server) error {
	if main.parts.cfg.Server.RealmsFile == "" {
		return nil
	}
	texts, err := text.Load()
	if err != nil {
		return err
	}
	r := &realms{
		env:   e,
		main:  main,
		texts: texts,
		pool:  sqldb.NewSharedPool(main.parts.cfg.Server.RealmsConnections),
		room:  newRoom(main.parts.cfg.Server.RealmsOpen),
	}
	r.now.Store(&routing{})
	state := fileState(main.parts.cfg.Server.RealmsFile)
	if err := r.reload(context.Background()); err != nil {
		return err
	}
	main.realms = r
	main.handler = r.front(main.handler)
	drain := main.drain
	main.drain = func() {
		drain()
		for _, x := range r.all() {
			if s := x.server.Load(); s != nil {
				s.drain()
			}
		}
	}
	main.behind = append(main.behind, r.run, r.sample, func(ctx context.Context) { r.watch(ctx, state) })
	return nil
}

// all returns the realms that there are now.
func (r *realms) all() []*openRealm { return r.now.Load().all }

// reload reads REALMS_FILE, and serves the realms as it says. Realms that have not changed go on;
// those that have changed, or are gone, finish the requests in progress. A mistake in the file is
// an error, and changes nothing.
func (r *realms) reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	configs, router, err := realmConfigs(r.main.parts.cfg)
	if err != nil {
		return err
	}
	if len(configs) > 0 {
		if err := r.main.parts.claimDatabase(ctx); err != nil {
			return err
		}
	}
	before := map[string]*openRealm{}
	for _, x := range r.all() {
		before[x.name] = x
	}
	next := &routing{router: router}
	var begin, end []*openRealm
	for _, c := range configs {
		x := before[c.Realm]
		delete(before, c.Realm)
		if x == nil || !x.cfg.Same(c) {
			if x != nil {
				end = append(end, x)
			}
			x = r.newRealm(c, x)
			begin = append(begin, x)
		}
		next.all = append(next.all, x)
	}
	r.now.Store(next)
	for _, x := range begin {
		r.start(x)
	}
	for name, x := range before {
		end = append(end, x)
		r.metrics().Remove(name)
	}
	for _, x := range end {
		close(x.retired)
	}
	return nil
}

// newRealm returns a realm that is not open yet. Rate limits in memory go on from what was counted
// with its settings of before, if there were any.
func (r *realms) newRealm(c *config.Config, before *openRealm) *openRealm {
	p := r.main.parts
	own := *r.env
	width := max(1, hashWidth(runtime.GOMAXPROCS(0), memoryLimit(os.ReadFile))/2)
	own.passwords = p.passwords.Share(width, c.Passwords.HashQueue)
	own.texts, own.pool = r.texts, r.pool
	own.limits = cache.NewMemory(0, r.env.now)
	if before != nil {
		own.limits = before.env.limits
	}
	return newOpenRealm(r, starter{
		env:   &own,
		cfg:   c,
		log:   r.main.log.With("realm", c.Realm),
		watch: p.monitor.ofRealm(),
	})
}

// start begins the work of a realm, once the work of all has begun. The caller has locked r.mu.
func (r *realms) start(x *openRealm) {
	if ctx := r.ctx; ctx != nil && ctx.Err() == nil {
		r.running.Go(func() { x.run(ctx) })
	}
}

// run serves the realms until ctx ends.
func (r *realms) run(ctx context.Context) {
	r.mu.Lock()
	r.ctx = ctx
	for _, x := range r.all() {
		r.start(x)
	}
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock() // a change that has begun starts realms, or sees that ctx has ended
	defer r.mu.Unlock()
	r.running.Wait()
}

// watch reads REALMS_FILE anew at SIGHUP, and after it has changed, until ctx ends. A file that
// goes on changing is being written. state is that of the file when it was read.
func (r *realms) watch(ctx context.Context, state string) {
	hangUp := make(chan struct{}, 1)
	go onHangUp(ctx, func() {
		select {
		case hangUp <- struct{}{}:
		default:
		}
	})
	tick := time.NewTicker(realmsEvery)
	defer tick.Stop()
	last := state
	for {
		ask := false
		select {
		case <-ctx.Done():
			return
		case <-hangUp:
			ask = true
		case <-tick.C:
		}
		now := fileState(r.main.parts.cfg.Server.RealmsFile)
		settled := now == last
		last = now
		if !ask && (now == state || !settled) {
			continue
		}
		state = now
		if err := r.reload(ctx); err != nil {
			r.main.log.Error("REALMS_FILE is invalid; the realms stay as they were", "error", err)
			continue
		}
		r.main.log.Info("REALMS_FILE was read", "realms", len(r.all()))
	}
}

// metrics returns what counts the realms, or nil.
func (r *realms) metrics() *metric.Realms {
	if m := r.main.parts.monitor; m != nil && m.metrics != nil {
		return m.metrics.Realms
	}
	return nil
}

// sample measures which of the open realms have a database that answers, until ctx ends.
func (r *realms) sample(ctx context.Context) {
	if r.metrics() == nil {
		return
	}
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var probes sync.WaitGroup
		for _, x := range r.all() {
			if s := x.server.Load(); s != nil {
				probes.Go(func() {
					up := s.database.ask(healthTimeout, s.parts.db.Writable) == nil
					if x.server.Load() == s {
						x.meter.State(true, up)
					}
				})
			}
		}
		probes.Wait()
	}
}

// front returns the handler of all requests. The host that a request was sent to decides which
// realm it is for; no other header does. A host that belongs to none gets nothing, but for the
// checks of orchestrators, which know the machine by its address.
func (r *realms) front(main http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		for {
			now := r.now.Load()
			if now.router == nil {
				main.ServeHTTP(w, q)
				return
			}
			site, ok := now.router.Find(q.Host)
			switch {
			case !ok && !isHealthPath(q.URL.Path):
				misdirected(w)
			case !ok || site == 0:
				main.ServeHTTP(w, q)
			case !now.all[site-1].serve(w, q):
				continue // the realms have changed meanwhile
			}
			return
		}
	})
}

// origin returns the https address of the issuer that has a host, with that host, or nil if it
// belongs to none.
func (r *realms) origin(host string) *url.URL {
	if r == nil {
		return nil
	}
	now := r.now.Load()
	name, ok := realm.HostName(host)
	if !ok || now.router == nil {
		return nil
	}
	site, ok := now.router.Find(host)
	if !ok {
		return nil
	}
	c := r.main.parts.cfg
	if site > 0 {
		c = now.all[site-1].cfg
	}
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	if port := portOf(c.Server.BaseURL); port != "" {
		name = net.JoinHostPort(strings.Trim(name, "[]"), port)
	}
	return &url.URL{Scheme: "https", Host: name}
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

// announce writes the addresses of the realms in the order of the file, unless there are many.
func (r *realms) announce(e *env) {
	if r == nil || len(r.all()) > maxAnnounced {
		return
	}
	for _, x := range r.all() {
		fmt.Fprintf(e.stdout, "Realm %s is at %s\n", x.name, x.cfg.Server.BaseURL)
	}
}
