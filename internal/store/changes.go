package store

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// Topics of the changes table: the kinds of thing that servers have in memory.
const (
	TopicClients     = "clients"
	TopicKeys        = "keys"
	TopicScopes      = "scopes"
	TopicRevocations = "revocations"
	TopicRoutes      = "routes"
	TopicRoles       = "roles"
)

const (
	followRetry   = time.Second      // before the follower tries again after a failure
	followTimeout = 10 * time.Second // of one refresh by the follower
	commitTimeout = 5 * time.Second  // of the refresh after a change by this process
	expireEvery   = time.Minute      // how often expired revocations leave memory
	compareEvery  = 2 * time.Second  // how often memory is compared with the database at least
)

// memory is what a DB has in memory of the database.
type memory struct {
	clients atomic.Pointer[map[client.ID]*client.Client]
	scopes  atomic.Pointer[map[string]*oauth.Scope]
	roles   atomic.Pointer[map[string]*identity.Role]
	routes  atomic.Pointer[[]access.Route]
	revoked revocationSet

	compared atomic.Pointer[time.Time] // when memory was last compared with the database
	primary  atomic.Pointer[time.Time] // when the follower last knew that it was no former primary
	started  atomic.Int64              // the number of refreshes that have begun
	mu       sync.Mutex                // one refresh at a time: an older one must not replace a newer one
	newest   int64                     // the number of the last refresh that succeeded
	loaded   map[string]state          // topic → what memory is at least as new as
	notified map[string]state          // topic → what the callbacks have been called for
	onChange map[string][]func() error
	wake     chan struct{} // wakes the follower for a change by this process
}

func (m *memory) start() {
	m.clients.Store(&map[client.ID]*client.Client{})
	m.scopes.Store(&map[string]*oauth.Scope{})
	m.roles.Store(&map[string]*identity.Role{})
	m.routes.Store(&[]access.Route{})
	m.revoked.start()
	m.loaded, m.notified = make(map[string]state), make(map[string]state)
	m.onChange = make(map[string][]func() error)
	m.wake = make(chan struct{}, 1)
}

// bump increases a topic's seq, by which other processes notice the change, and wakes them at
// commit. The row stays locked until the commit, so that changes of a topic come one after another.
func bump(ctx context.Context, tx sqldb.Tx, topic string) error {
	t, ok := tx.(*togetherTx)
	if ok {
		t.changed(topic)
	}
	if ok && !t.first("changes "+topic) {
		return nil
	}
	_, err := bumpMarked(ctx, tx, topic, 1)
	return err
}

// A state is the number of a topic, with the mark that only one history has at that number.
type state struct {
	seq  int64
	mark string
}

// bumpMarked increases a topic's seq as bump does, and returns the new state.
func bumpMarked(ctx context.Context, tx sqldb.Tx, topic string, by int) (v state, err error) {
	v.mark = secret.NewID(time.Now())
	err = tx.Row(ctx, "UPDATE changes SET seq = seq + $1, mark = $2 WHERE topic = $3 RETURNING seq", by, v.mark, topic).
		Scan(&v.seq)
	if err != nil {
		return v, err
	}
	return v, tx.Notify(ctx)
}

// OnChange registers a callback for changes of a topic by any process. Callbacks run one after
// another in the goroutine of Follow, and may use the DB. One that fails is repeated until it
// succeeds.
func (d *DB) OnChange(topic string, f func() error) {
	d.memory.mu.Lock()
	defer d.memory.mu.Unlock()
	d.memory.onChange[topic] = append(d.memory.onChange[topic], f)
}

// Load reads all clients, scopes, roles, routes and revocations into memory.
func (d *DB) Load(ctx context.Context) error {
	if err := d.refresh(ctx, true); err != nil {
		return err
	}
	d.memory.mu.Lock()
	defer d.memory.mu.Unlock()
	for topic, now := range d.memory.loaded {
		if _, ok := d.memory.notified[topic]; !ok {
			d.memory.notified[topic] = now
		}
	}
	return nil
}

// Follow updates memory with the changes of other processes, until ctx ends. Run it once.
func (d *DB) Follow(ctx context.Context) error {
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		d.sql.Watch(ctx, d.wakeFollower)
	}()
	defer func() { <-watch }()
	began := time.Now() // from then on it must be asked
	d.memory.primary.Store(&began)
	d.wakeFollower()
	expire := time.NewTicker(expireEvery)
	defer expire.Stop()
	compare := time.NewTicker(compareEvery) // nothing else may happen, so nothing wakes it
	defer compare.Stop()
	var retry <-chan time.Time
	for {
		wake, due := d.memory.wake, compare.C
		if retry != nil { // what failed would fail again at once, and be reported each time
			wake, due = nil, nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-due:
			d.checkPrimary(ctx)
		case <-retry:
		case now := <-expire.C: // Sweep does it too, but on one of the servers only
			d.memory.revoked.sweep(now)
			continue
		}
		retry = nil
		if err := d.refreshWithin(ctx, followTimeout); err != nil && ctx.Err() == nil {
			d.o.Report(err)
			retry = time.After(followRetry)
		}
		if err := d.runCallbacks(); err != nil && ctx.Err() == nil {
			d.o.Report(err)
			retry = time.After(followRetry)
		}
	}
}

// refreshWithin calls refresh with a timeout: while it waits for a connection that is dead
// without notice, it has the lock that all other changes need.
func (d *DB) refreshWithin(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return d.refresh(ctx, false)
}

// SyncCache updates memory with what other processes have changed so far: a client that was just
// created by a command works before the follower has noticed it. Requests can name clients that
// do not exist at any rate, so concurrent callers share a refresh, one that began after they
// called.
func (d *DB) SyncCache(ctx context.Context) error {
	m := &d.memory
	before := m.started.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.newest > before {
		return nil
	}
	err := d.refreshLocked(ctx, false)
	d.wakeFollower()
	return err
}

func (d *DB) wakeFollower() {
	select {
	case d.memory.wake <- struct{}{}:
	default:
	}
}

// committed updates memory with a change by this process, before the changing method returns. The
// change stands even if that fails: the failure is reported, and the follower repeats it.
func (d *DB) committed(ctx context.Context) {
	if d.nested { // what it changes is in memory, or waits for settle
		return
	}
	if err := d.refreshWithin(context.WithoutCancel(ctx), commitTimeout); err != nil {
		d.o.Report(err)
	}
	d.wakeFollower()
}

// refresh takes the lock and calls refreshLocked.
func (d *DB) refresh(ctx context.Context, all bool) error {
	d.memory.mu.Lock()
	defer d.memory.mu.Unlock()
	return d.refreshLocked(ctx, all)
}

// refreshLocked loads the topics that have changed, or all. It reads the seqs first: what is read
// after them is at least as new.
func (d *DB) refreshLocked(ctx context.Context, all bool) error {
	m := &d.memory
	number, began := m.started.Add(1), time.Now()
	now := make(map[string]state)
	err := each(ctx, d.sql, func(r sqldb.Row) error {
		var topic string
		var v state
		err := r.Scan(&topic, &v.seq, &v.mark)
		now[topic] = v
		return err
	}, "SELECT topic, seq, mark FROM changes")
	if err != nil {
		return err
	}
	for topic, v := range now {
		if !all && v == m.loaded[topic] {
			continue
		}
		if err := d.load(ctx, topic); err != nil {
			return err
		}
		m.loaded[topic] = v
	}
	m.newest = number
	m.compared.Store(&began)
	return nil
}

// checkPrimary asks whether the database that memory is compared with is one that others change. A
// server of PostgreSQL that another one has replaced answers, and nothing changes there any more.
func (d *DB) checkPrimary(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	began := time.Now()
	if d.sql.Writable(ctx) == nil {
		d.memory.primary.Store(&began)
	}
}

// KnowledgeAge returns how long ago memory was last compared with the database: what other
// processes have changed since then may not be known to this one.
func (d *DB) KnowledgeAge() time.Duration {
	at := d.memory.compared.Load()
	if at == nil {
		return math.MaxInt64
	}
	age := since(*at)
	if at := d.memory.primary.Load(); at != nil {
		age = max(age, since(*at))
	}
	return age
}

// since returns how long ago something was: the longer of what the two clocks of the system say.
// The one may have been set meanwhile, the other stands still while a machine sleeps.
func since(at time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(at), now.Round(0).Sub(at.Round(0)), 0)
}

func (d *DB) load(ctx context.Context, topic string) error {
	switch topic {
	case TopicClients:
		return d.loadClients(ctx)
	case TopicScopes:
		return d.loadScopes(ctx)
	case TopicRoles:
		return d.loadRoles(ctx)
	case TopicRevocations:
		return d.loadRevocations(ctx)
	case TopicRoutes:
		return d.loadRoutes(ctx)
	}
	return nil
}

// notice is a topic that has changed, and its callbacks.
type notice struct {
	topic     string
	at        state
	callbacks []func() error
}

// runCallbacks runs the callbacks of the topics that have changed, outside of the lock. A topic
// is notified when all of its callbacks have succeeded.
func (d *DB) runCallbacks() error {
	var failed error
	for _, n := range d.notices() {
		var err error
		for _, f := range n.callbacks {
			err = errors.Join(err, f())
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		d.memory.mu.Lock()
		d.memory.notified[n.topic] = n.at
		d.memory.mu.Unlock()
	}
	return failed
}

// notices returns the topics that have changed since their callbacks succeeded.
func (d *DB) notices() (due []notice) {
	m := &d.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	for topic, v := range m.loaded {
		if m.notified[topic] != v {
			due = append(due, notice{topic, v, m.onChange[topic]})
		}
	}
	return due
}
