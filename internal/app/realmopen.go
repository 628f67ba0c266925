package app

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/metric"
)

const (
	realmWait     = 5 * time.Second // of a request for a realm that opens
	realmAgain    = 5 * time.Second // after a realm could not be opened
	realmAgainMax = time.Minute

	realmIdle  = 5 * time.Minute  // after the last request, until a realm closes
	realmMail  = time.Minute      // beyond that, in which its queued messages may be sent
	realmVisit = 15 * time.Second // in which the background work of a realm begins that has no requests
	realmEvery = time.Hour        // between two such visits
	realmSlots = 2                // visits at a time
	realmCheck = time.Second      // between two looks whether a realm can close

	realmOpenings = 4                      // at a time: each reads a database and makes what serves it
	roomAgain     = 200 * time.Millisecond // before a realm that waits for room makes another one close
	retiredCheck  = 20 * time.Millisecond  // between two looks whether the last request has ended
)

// openRealm is a realm, which is open while there is work for it.
type openRealm struct {
	starter
	name    string
	realms  *realms
	idle    time.Duration // after the last request, until it closes
	mail    time.Duration // beyond idle, until it closes although messages are queued
	wanted  chan struct{} // holds one value once a request waits
	leave   chan struct{} // holds one value once another realm needs the room
	retired chan struct{} // closed when the realm is gone, or another one serves in its place

	server   atomic.Pointer[server] // nil: not open
	failed   atomic.Pointer[string] // why it could not be opened; nil: it is open, or was not tried
	requests atomic.Int64           // in progress
	opened   atomic.Int64           // when it was opened last, in Unix nanoseconds
	last     atomic.Int64           // when the last request ended since then; 0: there was none

	meter *metric.Realm // or nil

	mu    sync.Mutex
	ready chan struct{} // closed when the realm opens
}

// newOpenRealm returns a realm that is not open yet.
func newOpenRealm(r *realms, s starter) *openRealm {
	return &openRealm{
		meter:   r.metrics().Realm(s.cfg.Realm),
		starter: s,
		name:    s.cfg.Realm,
		realms:  r,
		idle:    realmIdle,
		mail:    realmMail,
		wanted:  make(chan struct{}, 1),
		leave:   make(chan struct{}, 1),
		retired: make(chan struct{}),
		ready:   make(chan struct{}),
	}
}

// A room bounds how many realms are open, and how many are being opened or visited.
type room struct {
	open    chan struct{} // a value for each that is open
	opening chan struct{} // a value for each that is being opened
	visits  chan struct{} // a value for each that is open for its background work alone
}

func newRoom(open int) *room {
	return &room{
		open:    make(chan struct{}, open),
		opening: make(chan struct{}, realmOpenings),
		visits:  make(chan struct{}, realmSlots),
	}
}

// enter waits until the realm may open, and makes those close that had no request for longest. It
// reports false if the realm need not open any more.
func (x *openRealm) enter(ctx context.Context) bool {
	open := x.realms.room.open
	tick := time.NewTicker(roomAgain)
	defer tick.Stop()
	for {
		select {
		case open <- struct{}{}:
			return true
		default:
			x.realms.makeRoom()
		}
		select {
		case open <- struct{}{}:
			return true
		case <-tick.C:
		case <-x.retired:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// makeRoom asks the open realm to close that had no request for longest.
func (r *realms) makeRoom() {
	var idlest *openRealm
	var since int64
	for _, x := range r.all() {
		at := max(x.opened.Load(), x.last.Load())
		if x.server.Load() != nil && x.requests.Load() == 0 && len(x.leave) == 0 && (idlest == nil || at < since) {
			idlest, since = x, at
		}
	}
	if idlest != nil {
		select {
		case idlest.leave <- struct{}{}:
		default:
		}
	}
}

// run opens the realm when a request wants it, or for a visit, and works for it until it is idle,
// again and again until ctx ends or the realm is retired.
func (x *openRealm) run(ctx context.Context) {
	again := realmAgain
	next := time.NewTimer(0) // of visits
	defer next.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-x.retired:
			return
		case <-x.wanted:
			err = x.work(ctx, x.idle)
		case <-next.C:
			err = x.due(ctx)
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

// over reports whether the realm must not open any more.
func (x *openRealm) over(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-x.retired:
		return true
	default:
		return false
	}
}

// due opens the realm without a request. One that could not be opened does not wait for a visit:
// its requests are refused until it opens, and so cannot open it.
func (x *openRealm) due(ctx context.Context) error {
	if x.failed.Load() != nil {
		return x.work(ctx, min(x.idle, realmVisit))
	}
	return x.visit(ctx)
}

// visit opens the realm for its background work, once there is a slot for that, or at once for a
// request.
func (x *openRealm) visit(ctx context.Context) error {
	slots := x.realms.room.visits
	select {
	case <-ctx.Done():
		return nil
	case <-x.retired:
		return nil
	case <-x.wanted:
		return x.work(ctx, x.idle)
	case slots <- struct{}{}:
	}
	leave := sync.OnceFunc(func() { <-slots })
	defer leave()
	visit := time.AfterFunc(realmVisit, leave) // requests may keep the realm open
	defer visit.Stop()
	return x.work(ctx, min(x.idle, realmVisit))
}

// open makes the server of the realm. It returns nil if the realm need not open any more.
func (x *openRealm) open(ctx context.Context) (*server, error) {
	opening := x.realms.room.opening
	select {
	case <-ctx.Done():
		return nil, nil
	case <-x.retired:
		return nil, nil
	case opening <- struct{}{}:
	}
	defer func() { <-opening }()
	return x.starter.once(ctx)
}

// work opens the realm and works for it until ctx ends, or it had no request for a time. It returns
// the error of opening.
func (x *openRealm) work(ctx context.Context, idle time.Duration) error {
	if x.over(ctx) || !x.enter(ctx) {
		return nil
	}
	defer func() { <-x.realms.room.open }()
	s, err := x.open(ctx)
	if err != nil || s == nil {
		return err
	}
	s.stopping = x.realms.main.stopping
	if x.failed.Swap(nil) != nil {
		x.log.Info("the realm can be opened again")
	}
	x.last.Store(0)
	x.opened.Store(time.Now().UnixNano())
	x.server.Store(s)
	x.mu.Lock()
	close(x.ready)
	x.mu.Unlock()
	for _, c := range []chan struct{}{x.wanted, x.leave} { // were for this opening, or the one before
		select {
		case <-c:
		default:
		}
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

// untilIdle returns when the realm takes no requests any more: because ctx has ended, because it is
// retired, because there were none for a time and no message waits to be sent, or because another
// realm needs the room. Messages that wait for longer are left to the next visit.
func (x *openRealm) untilIdle(ctx context.Context, s *server, idle time.Duration) {
	opened := time.Now()
	tick := time.NewTicker(min(realmCheck, idle))
	defer tick.Stop()
	for {
		requested := false
		select {
		case <-ctx.Done(): // the requests have ended by then
			x.end()
			return
		case <-x.retired:
			x.finish(ctx, s)
			return
		case <-x.leave:
			requested = true
		case <-tick.C:
		}
		since, limit := opened, idle
		if last := x.last.Load(); last != 0 {
			since, limit = time.Unix(0, last), x.idle
		}
		if x.requests.Load() > 0 || s.jobs.Running() || !requested && time.Since(since) < limit {
			continue
		}
		if !requested && time.Since(since) < limit+x.mail && s.sending(ctx) {
			continue
		}
		if x.close(s) {
			return
		}
	}
}

// sending reports whether messages wait that this server sends. A copy for trying things out sends
// none.
func (s *server) sending(ctx context.Context) bool {
	if s.parts.copied {
		return false
	}
	queued, _, _, err := s.parts.db.OutboxState(ctx)
	return err == nil && queued > 0
}

// close makes the realm take no requests any more, unless there is one in progress. Requests count
// themselves before they look for the server: one that is not counted now finds none.
func (x *openRealm) close(s *server) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.server.Store(nil)
	if x.requests.Load() == 0 {
		x.ready = make(chan struct{})
		return true
	}
	x.server.Store(s)
	return false
}

// end makes the realm take no requests any more, even if some are in progress.
func (x *openRealm) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.server.Store(nil)
	x.ready = make(chan struct{})
}

// finish returns when the last request of a retired realm has ended, or had the time that a server
// has which stops. New requests do not come: they are for the realm in its place.
func (x *openRealm) finish(ctx context.Context, s *server) {
	s.drain()
	limit := time.NewTimer(x.cfg.Server.ShutdownTimeout)
	defer limit.Stop()
	tick := time.NewTicker(retiredCheck)
	defer tick.Stop()
	for !x.close(s) {
		select {
		case <-tick.C:
			continue
		case <-limit.C:
			x.log.Warn("requests of a realm that is no longer served did not end within SHUTDOWN_TIMEOUT")
		case <-ctx.Done():
		}
		x.end()
		return
	}
}

// serve answers a request for the realm, or that it is not open. It reports false if the realm is
// no longer served.
func (x *openRealm) serve(w http.ResponseWriter, r *http.Request) bool {
	x.requests.Add(1)
	s := x.server.Load()
	if s == nil {
		x.requests.Add(-1)
		if s = x.wait(r.Context()); s == nil {
			select {
			case <-x.retired:
				return false
			default:
			}
			x.meter.Request()
			x.unavailable(w)
			return true
		}
	}
	defer func() {
		x.last.Store(time.Now().UnixNano())
		x.requests.Add(-1)
	}()
	x.meter.Request()
	s.handler.ServeHTTP(w, r)
	return true
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
		case <-x.retired:
			return nil
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
