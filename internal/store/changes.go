package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// Topics of the changes table: the kinds of thing that servers keep in memory.
const (
	TopicClients     = "clients"
	TopicKeys        = "keys"
	TopicScopes      = "scopes"
	TopicRevocations = "revocations"
	TopicRoutes      = "routes"
)

// followRetry is how soon the follower tries again after a failure, and followWithin how long it waits for an answer.
const (
	followRetry  = time.Second
	followWithin = 10 * time.Second
)

// tidyEvery is how often revocations that have no more purpose leave memory.
const tidyEvery = time.Minute

// memory is what a DB holds besides the database.
type memory struct {
	clients atomic.Pointer[map[client.ID]*client.Client]
	scopes  atomic.Pointer[map[string]*oauth.Scope]
	routes  atomic.Pointer[[]access.Route]
	revoked revoked

	begun   atomic.Int64     // how many readings have begun
	mu      sync.Mutex       // one reload at a time, so that an older reading never replaces a newer one
	newest  int64            // the last reading that succeeded, by its number
	loaded  map[string]int64 // topic → the seq that memory is at least as new as
	heard   map[string]int64 // topic → the seq that the callbacks have been called for
	onCall  map[string][]func() error
	changed chan struct{} // wakes the follower for a change by this process
}

func (m *memory) start() {
	m.clients.Store(&map[client.ID]*client.Client{})
	m.scopes.Store(&map[string]*oauth.Scope{})
	m.routes.Store(&[]access.Route{})
	m.revoked.start()
	m.loaded, m.heard, m.onCall = make(map[string]int64), make(map[string]int64), make(map[string][]func() error)
	m.changed = make(chan struct{}, 1)
}

// bump moves a topic's number, by which other processes notice the change, and wakes them at commit.
// Its row lock orders changes of the topic: it is held until the commit.
func bump(ctx context.Context, tx sqldb.Tx, topic string, by int) (seq int64, err error) {
	err = tx.Row(ctx, "UPDATE changes SET seq = seq + $1 WHERE topic = $2 RETURNING seq", by, topic).Scan(&seq)
	if err != nil {
		return 0, err
	}
	return seq, tx.Notify(ctx)
}

// OnChange registers a call for changes of a topic by any process. Calls come from the goroutine
// that runs Follow, one after another; a call may use the DB. One that fails is repeated until it succeeds.
func (d *DB) OnChange(topic string, f func() error) {
	d.memory.mu.Lock()
	defer d.memory.mu.Unlock()
	d.memory.onCall[topic] = append(d.memory.onCall[topic], f)
}

// Load reads into memory all that is held there.
func (d *DB) Load(ctx context.Context) error {
	if err := d.refresh(ctx, true); err != nil {
		return err
	}
	d.memory.mu.Lock()
	defer d.memory.mu.Unlock()
	for topic, seq := range d.memory.loaded {
		if d.memory.heard[topic] == 0 {
			d.memory.heard[topic] = seq
		}
	}
	return nil
}

// Follow keeps memory up to date with the changes of other processes, until ctx ends. Run it once.
func (d *DB) Follow(ctx context.Context) error {
	watch := make(chan struct{})
	go func() {
		defer close(watch)
		d.sql.Watch(ctx, d.nudge)
	}()
	defer func() { <-watch }()
	d.nudge()
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.memory.changed:
		case <-retry:
		case now := <-tidy.C: // Sweep does it too, but on one of the servers only
			d.memory.revoked.sweep(now)
			continue
		}
		retry = nil
		if err := d.refreshSoon(ctx); err != nil && ctx.Err() == nil {
			d.o.Report(err)
			retry = time.After(followRetry)
		}
		if err := d.call(); err != nil && ctx.Err() == nil {
			d.o.Report(err)
			retry = time.After(followRetry)
		}
	}
}

// refreshSoon gives up after a while: a connection that died in silence must not hold the lock that everybody else's changes need.
func (d *DB) refreshSoon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, followWithin)
	defer cancel()
	return d.refresh(ctx, false)
}

// SyncCache brings memory up to date with what other processes have changed by now. Somebody who has just made a client by a
// command need not wait for the follower. Strangers can name clients that do not exist as often as they like, so those who ask at
// once share a reading: one that has begun after they asked.
func (d *DB) SyncCache(ctx context.Context) error {
	m := &d.memory
	before := m.begun.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.newest > before {
		return nil
	}
	err := d.read(ctx, false)
	d.nudge()
	return err
}

func (d *DB) nudge() {
	select {
	case d.memory.changed <- struct{}{}:
	default:
	}
}

// committed brings a change by this process into its memory, before the changing method returns. The change
// is done whatever comes of this: a failure is reported, and left to the follower to repeat.
func (d *DB) committed(ctx context.Context) {
	quick, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := d.refresh(quick, false); err != nil {
		d.o.Report(err)
	}
	d.nudge()
}

// refresh reads what has changed, after whoever is at it.
func (d *DB) refresh(ctx context.Context, all bool) error {
	d.memory.mu.Lock()
	defer d.memory.mu.Unlock()
	return d.read(ctx, all)
}

// read is refresh for who holds the lock. The numbers are read first: what is read after them is at least as new.
func (d *DB) read(ctx context.Context, all bool) error {
	m := &d.memory
	number := m.begun.Add(1)
	now := make(map[string]int64)
	err := each(ctx, d.sql, func(r sqldb.Row) error {
		var topic string
		var seq int64
		err := r.Scan(&topic, &seq)
		now[topic] = seq
		return err
	}, "SELECT topic, seq FROM changes")
	if err != nil {
		return err
	}
	for topic, seq := range now {
		if !all && seq == m.loaded[topic] {
			continue
		}
		if err := d.reload(ctx, topic); err != nil {
			return err
		}
		m.loaded[topic] = seq
	}
	m.newest = number
	return nil
}

func (d *DB) reload(ctx context.Context, topic string) error {
	switch topic {
	case TopicClients:
		return d.loadClients(ctx)
	case TopicScopes:
		return d.loadScopes(ctx)
	case TopicRevocations:
		return d.loadRevocations(ctx)
	case TopicRoutes:
		return d.loadRoutes(ctx)
	}
	return nil
}

// call runs the callbacks of the topics that have moved, outside of the lock. A topic counts as heard of when all of its
// callbacks have succeeded.
func (d *DB) call() error {
	type news struct {
		topic string
		seq   int64
		calls []func() error
	}
	m := &d.memory
	var due []news
	m.mu.Lock()
	for topic, seq := range m.loaded {
		if m.heard[topic] != seq {
			due = append(due, news{topic, seq, m.onCall[topic]})
		}
	}
	m.mu.Unlock()
	var failed error
	for _, n := range due {
		var err error
		for _, f := range n.calls {
			err = errors.Join(err, f())
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		m.mu.Lock()
		m.heard[n.topic] = n.seq
		m.mu.Unlock()
	}
	return failed
}
