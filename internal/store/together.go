package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// togetherTopics returns the topics of what can be changed together, in the order of their locks.
func togetherTopics() []string {
	return []string{TopicScopes, TopicRoles, TopicClients, TopicRoutes}
}

// Together runs f with a store on which all reads and changes of clients, scopes, roles, routes and
// webhooks are one transaction: all of it is committed when Together returns nil, none of it
// otherwise. Other changes of these wait for it. The store is valid only until f returns; settle
// makes what f has changed visible to reads from memory. f may run more than once, and must not use
// any other store: on SQLite it would wait for itself.
func (d *DB) Together(ctx context.Context, f func(s admin.Store, settle func() error) error) error {
	var events []*audit.Event
	err := d.sql.Write(ctx, func(plain sqldb.Tx) error {
		events = nil
		tx := newTogetherTx(plain)
		t := d.within(tx, func(e *audit.Event) { events = append(events, e) })
		if err := t.lockTogether(ctx, tx); err != nil {
			return err
		}
		settle := func() error { return t.loadTogether(ctx) }
		if err := settle(); err != nil {
			return err
		}
		if err := f(t, settle); err != nil {
			return err
		}
		return t.finish(ctx, tx)
	})
	if err != nil {
		return err
	}
	if d.o.OnEvent != nil {
		for _, e := range events {
			d.o.OnEvent(e)
		}
	}
	d.committed(ctx)
	return nil
}

// errUndone undoes the transaction of Undone.
var errUndone = errors.New("store: everything is undone on purpose")

// Undone runs f with a store whose reads and changes are one transaction, and undoes it whatever f
// returns: so that a server can be tried without a trace. On SQLite nobody else writes meanwhile.
func (d *DB) Undone(ctx context.Context, f func(*DB) error) error {
	err := d.sql.Write(ctx, func(tx sqldb.Tx) error {
		t := d.within(tx, func(*audit.Event) {})
		if err := t.Load(ctx); err != nil {
			return err
		}
		if err := f(t); err != nil {
			return err
		}
		return errUndone
	})
	if errors.Is(err, errUndone) {
		return nil
	}
	return err
}

// within returns a DB whose statements are part of a transaction.
func (d *DB) within(tx sqldb.Tx, onEvent func(*audit.Event)) *DB {
	t := &DB{
		sql:    &nested{DB: d.sql, tx: tx},
		files:  d.files,
		o:      d.o,
		users:  newUserCache(),
		writer: d.writer,
		nested: true,
	}
	t.o.OnEvent, t.o.OnRevocation = onEvent, nil
	t.recorder = newRecorder(t.sql)
	t.memory.start()
	t.attempts.start()
	return t
}

// lockTogether takes the locks of all topics in one order, so that two such transactions come one
// after another.
func (d *DB) lockTogether(ctx context.Context, tx sqldb.Tx) error {
	if err := lockAdmins(ctx, tx); err != nil {
		return err
	}
	for _, topic := range togetherTopics() {
		if _, err := tx.Exec(ctx, "UPDATE changes SET seq = seq WHERE topic = $1", topic); err != nil {
			return err
		}
	}
	return nil
}

func (d *DB) loadTogether(ctx context.Context) error {
	for _, topic := range togetherTopics() {
		if err := d.load(ctx, topic); err != nil {
			return err
		}
	}
	return nil
}

// togetherTx is the transaction of Together. What many of its changes write into the same rows is
// written once: a row that a transaction of PostgreSQL writes n times has n versions, and each
// write reads all of them.
type togetherTx struct {
	sqldb.Tx
	done    map[string]bool // what was done that one time is enough for
	counts  map[string]int  // of rows, by the name of the counter
	ttl     time.Duration   // the longest of the clients that were changed
	revoked []oauth.Revocation

	// What guards read, until a change of it.
	rules map[string]audit.ScopeRule
	roles map[string][]string
}

func newTogetherTx(tx sqldb.Tx) *togetherTx {
	return &togetherTx{Tx: tx, done: map[string]bool{}, counts: map[string]int{}}
}

// first reports whether something is done for the first time in the transaction.
func (t *togetherTx) first(what string) bool {
	before := t.done[what]
	t.done[what] = true
	return !before
}

// changed forgets what guards have read of a topic.
func (t *togetherTx) changed(topic string) {
	switch topic {
	case TopicScopes:
		t.rules = nil
	case TopicRoles:
		t.roles = nil
	}
}

// finish writes what the changes of a transaction have left to its end.
func (d *DB) finish(ctx context.Context, t *togetherTx) error {
	if t.ttl > 0 {
		if err := raiseTokenTTL(ctx, t.Tx, t.ttl); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.counts)) {
		if err := d.addCount(ctx, t.Tx, name, t.counts[name]); err != nil {
			return err
		}
	}
	return appendRevocations(ctx, t.Tx, t.revoked)
}

// nested is a database whose statements are part of an open transaction.
type nested struct {
	sqldb.DB // for what no transaction has to do with
	tx       sqldb.Tx
}

// Exec runs a statement in the transaction.
func (n *nested) Exec(ctx context.Context, text string, args ...any) (int64, error) {
	return n.tx.Exec(ctx, text, args...)
}

// Row runs a statement with one row in the transaction.
func (n *nested) Row(ctx context.Context, text string, args ...any) sqldb.Row {
	return n.tx.Row(ctx, text, args...)
}

// Rows runs a statement with many rows in the transaction.
func (n *nested) Rows(ctx context.Context, text string, args ...any) (sqldb.Rows, error) {
	return n.tx.Rows(ctx, text, args...)
}

// Read reads one row in the transaction.
func (n *nested) Read(ctx context.Context, dest []any, q *sqldb.RowQuery, args ...any) error {
	return n.tx.Row(ctx, q.String(), args...).Scan(dest...)
}

// Write runs f in the transaction. What f has done before an error stands until the whole
// transaction is undone.
func (n *nested) Write(_ context.Context, f func(sqldb.Tx) error) error { return f(n.tx) }

// ExecAll runs a statement with each of the lists of arguments.
func (n *nested) ExecAll(ctx context.Context, text string, args [][]any, attach ...any) error {
	for _, a := range args {
		if _, err := n.tx.Exec(ctx, text, a...); err != nil {
			return err
		}
	}
	for _, v := range attach {
		n.tx.Attach(v)
	}
	return nil
}

// ExecIfChanged runs both statements of a Conditional or neither.
func (n *nested) ExecIfChanged(ctx context.Context, c sqldb.Conditional) (int64, error) {
	rows, err := n.tx.Exec(ctx, c.Change, c.ChangeArgs...)
	if err != nil || rows == 0 {
		return rows, err
	}
	if c.Attach != nil {
		n.tx.Attach(c.Attach)
	}
	_, err = n.tx.Exec(ctx, c.Then, c.ThenArgs...)
	return rows, err
}
