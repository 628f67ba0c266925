package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// hashText is a hash, stored as base64.
type hashText struct{ h *tlog.Hash }

// Scan reads the base64 of a hash.
func (c hashText) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: a hash cannot be read from %T", v)
	}
	h, err := tlog.ParseHash(s)
	if err != nil {
		return fmt.Errorf("store: a hash of the audit tree is damaged: %.60q", s)
	}
	*c.h = h
	return nil
}

func (c hashText) stored() any { return c.h.String() }

// entriesText is the entries of a page. What is damaged is no entries: verification finds it.
type entriesText struct{ list *[]audit.Entry }

// Scan reads the stored form of entries.
func (c entriesText) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("store: the entries of a page cannot be read from %T", v)
	}
	*c.list, _ = audit.DecodeEntries(s)
	return nil
}

func (c entriesText) stored() any { return audit.EncodeEntries(*c.list) }

// pageColumns are the columns that pages have while they wait and afterwards.
var pageColumns = []column[audit.Page]{
	{"id", func(p *audit.Page) any { return &p.ID }},
	{"writer", func(p *audit.Page) any { return &p.Writer }},
	{"seq", func(p *audit.Page) any { return &p.Seq }},
	{"n", func(p *audit.Page) any { return &p.N }},
	{"first_id", func(p *audit.Page) any { return &p.First }},
	{"last_id", func(p *audit.Page) any { return &p.Last }},
	{"root", func(p *audit.Page) any { return hashText{&p.Root} }},
	{"entries", func(p *audit.Page) any { return entriesText{&p.Entries} }},
}

var (
	pendingTable = table[audit.Page]{
		name:    "audit_pending",
		columns: append(pageColumns[:len(pageColumns):len(pageColumns)], column[audit.Page]{"mac", func(p *audit.Page) any { return &p.MAC }}),
	}
	pageTable = table[audit.Page]{
		name: "audit_pages",
		columns: append([]column[audit.Page]{
			{"position", func(p *audit.Page) any { return &p.Position }},
			{"hash", func(p *audit.Page) any { return hashText{&p.Hash} }},
		}, pageColumns...),
	}
	headTable = table[audit.Head]{
		name: "audit_tree",
		columns: []column[audit.Head]{
			{"size", func(h *audit.Head) any { return &h.Size }},
			{"root", func(h *audit.Head) any { return hashText{&h.Root} }},
			{"pruned", func(h *audit.Head) any { return &h.Pruned }},
			{"epoch", func(h *audit.Head) any { return &h.Epoch }},
			{"at", func(h *audit.Head) any { return &h.At }},
		},
	}

	insertPending = pendingTable.insert()
	insertPage    = pageTable.insert()
	selectHead    = "SELECT " + headTable.list() + " FROM audit_tree WHERE name = 'log'"
)

// Bounds of one step of sequencing: the changes of others run in between.
const (
	sequenceChunk = 64
	pagesChunk    = 256
)

// A tree is what a server remembers of the tree between steps of sequencing: all of it can be read
// again.
type tree struct {
	mu       sync.Mutex
	frontier *audit.Frontier // of the size that the database had last, or nil
	reported map[string]bool // pages without a valid mark that were reported
}

// SequenceAudit places the pages of the audit log that wait into the tree, and returns how
// many it has placed. Of several servers that do so at a time one succeeds; the others return
// Conflict.
func (d *DB) SequenceAudit(ctx context.Context, now time.Time) (placed int, err error) {
	d.tree.mu.Lock()
	defer d.tree.mu.Unlock()
	for {
		pages, more, err := d.pendingPages(ctx)
		if err != nil || len(pages) == 0 {
			return placed, err
		}
		if err := d.sequence(ctx, pages, now); err != nil {
			d.tree.frontier = nil
			return placed, err
		}
		if placed += len(pages); !more {
			return placed, nil
		}
	}
}

// AuditPending reports whether pages of the audit log wait for their places in the tree.
func (d *DB) AuditPending(ctx context.Context) (bool, error) {
	return exists(ctx, d.sql, "SELECT 1 FROM audit_pending LIMIT 1")
}

// pendingPages returns the oldest pages that wait, without those that no server has marked, and
// whether there may be more.
func (d *DB) pendingPages(ctx context.Context) (pages []audit.Page, more bool, err error) {
	n := sequenceChunk + len(d.tree.reported)
	all, err := list(ctx, d.sql, pendingTable.scan,
		"SELECT "+pendingTable.list()+" FROM audit_pending ORDER BY id LIMIT $1", n)
	if err != nil {
		return nil, false, err
	}
	for i := range all {
		p := &all[i]
		if secret.Equal(p.Sum(d.o.AuditKey), p.MAC) {
			pages = append(pages, *p)
			continue
		}
		if d.tree.reported == nil {
			d.tree.reported = map[string]bool{}
		}
		if !d.tree.reported[p.ID] {
			d.tree.reported[p.ID] = true
			d.o.Report(fmt.Errorf("page %.64q of the audit log was not written by a server with this SECRET_KEY; "+
				"it is left out of the tree, see gatehouse audit verify", p.ID))
		}
	}
	return pages, len(all) == n, nil
}

// sequence appends pages to the tree, all or none.
func (d *DB) sequence(ctx context.Context, pages []audit.Page, now time.Time) error {
	head, err := d.AuditTree(ctx)
	if err != nil {
		return err
	}
	f := d.tree.frontier
	if f == nil || f.Size != head.Size || f.Root() != head.Root {
		if f, err = audit.ReadFrontier(head.Size, d.nodeReader(ctx)); err != nil {
			return fmt.Errorf("the audit tree cannot be continued: %w", err)
		}
		if f.Root() != head.Root {
			return errors.New("the nodes of the audit tree do not give its root; run gatehouse audit verify")
		}
	}
	var next *audit.Frontier
	err = d.sql.Write(ctx, func(tx sqldb.Tx) error {
		next = f.Clone()
		var nodes []audit.Node
		for i := range pages {
			p := &pages[i]
			p.Position, p.Hash = next.Size, p.Leaf()
			if _, err := tx.Exec(ctx, insertPage, pageTable.args(p)...); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "DELETE FROM audit_pending WHERE id = $1", p.ID); err != nil {
				return err
			}
			next.Append(p.Hash, func(n audit.Node) {
				if n.Level > 0 && n.Level%audit.NodeLevels == 0 {
					nodes = append(nodes, n)
				}
			})
		}
		for _, n := range nodes {
			if _, err := tx.Exec(ctx, "INSERT INTO audit_nodes (level, n, hash) VALUES ($1, $2, $3)",
				n.Level, n.N, n.Hash.String()); err != nil {
				return err
			}
		}
		return moveHead(ctx, tx, head, next, now)
	})
	if err == nil {
		d.tree.frontier = next
	}
	return err
}

// moveHead sets the head of the tree, if it still is what it was.
func moveHead(ctx context.Context, tx sqldb.Tx, head *audit.Head, next *audit.Frontier, now time.Time) error {
	n, err := tx.Exec(ctx, "UPDATE audit_tree SET size = $1, root = $2, at = $3 WHERE name = 'log' AND size = $4",
		next.Size, next.Root().String(), unixMilli(now), head.Size)
	if err == nil && n == 0 && head.Size == 0 {
		n, err = tx.Exec(ctx, "INSERT INTO audit_tree (name, size, root, pruned, epoch, at)"+
			" VALUES ('log', $1, $2, 0, 1, $3) ON CONFLICT (name) DO NOTHING",
			next.Size, next.Root().String(), unixMilli(now))
	}
	if err == nil && n == 0 {
		return fault.New(fault.Conflict, "another server has continued the audit tree")
	}
	return err
}

// AuditTree returns the state of the tree.
func (d *DB) AuditTree(ctx context.Context) (*audit.Head, error) {
	h, err := headTable.scan(d.sql.Row(ctx, selectHead))
	if fault.Is(err, fault.NotFound) {
		return &audit.Head{Root: audit.Root(nil), Epoch: 1}, nil
	}
	return h, err
}

// nodeReader reads nodes of the levels that are stored.
func (d *DB) nodeReader(ctx context.Context) audit.NodeReader {
	return func(level int, first, count int64) ([]tlog.Hash, error) {
		scan := func(r sqldb.Row) (*tlog.Hash, error) {
			h := new(tlog.Hash)
			return h, r.Scan(hashText{h})
		}
		if level == 0 {
			return list(ctx, d.sql, scan, "SELECT hash FROM audit_pages WHERE position >= $1 AND position < $2"+
				" ORDER BY position", first, first+count)
		}
		return list(ctx, d.sql, scan, "SELECT hash FROM audit_nodes WHERE level = $1 AND n >= $2 AND n < $3 ORDER BY n",
			level, first, first+count)
	}
}

// AuditNodes returns stored nodes of one level of the tree.
func (d *DB) AuditNodes(ctx context.Context, level int, first, count int64) ([]tlog.Hash, error) {
	return d.nodeReader(ctx)(level, first, count)
}

// AuditPageMarked reports whether a page that waits was written by a server with the same key.
func (d *DB) AuditPageMarked(p *audit.Page) bool { return secret.Equal(p.Sum(d.o.AuditKey), p.MAC) }

// AuditCheckpoint returns the newest signed checkpoint, or NotFound.
func (d *DB) AuditCheckpoint(ctx context.Context) (*admin.SignedCheckpoint, error) {
	c := &admin.SignedCheckpoint{}
	err := d.sql.Row(ctx, "SELECT size, root, note, at FROM audit_checkpoints ORDER BY epoch DESC LIMIT 1").
		Scan(&c.Size, hashText{&c.Root}, &c.Note, unixMillis{&c.At})
	if err != nil {
		return nil, asNotFound(err, "checkpoint")
	}
	read, err := audit.ParseCheckpoint(c.Note)
	if err == nil {
		c.Origin = read.Origin
	}
	return c, err
}

// PutCheckpoint stores a signed checkpoint, and the public keys that signed it.
func (d *DB) PutCheckpoint(
	ctx context.Context, epoch int64, c *audit.Checkpoint, note string, keys []string, now time.Time,
) error {
	return d.sql.Write(ctx, func(tx sqldb.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO audit_checkpoints (epoch, size, root, note, at) VALUES ($1, $2, $3, $4, $5)"+
			" ON CONFLICT (epoch) DO UPDATE SET size = excluded.size, root = excluded.root, note = excluded.note,"+
			" at = excluded.at WHERE audit_checkpoints.size <= excluded.size",
			epoch, c.Size, c.Root.String(), note, unixMilli(now))
		if err != nil {
			return err
		}
		for _, key := range keys {
			if _, err := tx.Exec(ctx, "INSERT INTO audit_keys (verifier, since) VALUES ($1, $2)"+
				" ON CONFLICT (verifier) DO NOTHING", key, unixMilli(now)); err != nil {
				return err
			}
		}
		return nil
	})
}

// StartEpoch begins another history, with its event, or returns Conflict if another server did.
func (d *DB) StartEpoch(ctx context.Context, from, to int64, ev audit.Event) error {
	return d.write(ctx, []audit.Event{ev}, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, "UPDATE audit_tree SET epoch = $1 WHERE name = 'log' AND epoch = $2", to, from)
		if err == nil && n == 0 {
			return fault.New(fault.Conflict, "another server has begun another history of the audit log")
		}
		return err
	})
}

// AuditKeys returns the public keys that have signed checkpoints.
func (d *DB) AuditKeys(ctx context.Context) ([]string, error) {
	return listStrings[string](ctx, d.sql, "SELECT verifier FROM audit_keys ORDER BY since, verifier")
}

// AuditRoot returns the root that the tree had at a size.
func (d *DB) AuditRoot(ctx context.Context, size int64) (tlog.Hash, error) {
	f, err := audit.ReadFrontier(size, d.nodeReader(ctx))
	if err != nil {
		return tlog.Hash{}, err
	}
	return f.Root(), nil
}

// AuditPages returns pages of the tree in order, from a position on.
func (d *DB) AuditPages(ctx context.Context, from int64, limit int) ([]audit.Page, error) {
	return list(ctx, d.sql, pageTable.scan, "SELECT "+pageTable.list()+
		" FROM audit_pages WHERE position >= $1 ORDER BY position LIMIT $2", from, limit)
}

// PendingAuditPages returns pages that wait for their places, those with ids after one.
func (d *DB) PendingAuditPages(ctx context.Context, after string, limit int) ([]audit.Page, error) {
	return list(ctx, d.sql, pendingTable.scan, "SELECT "+pendingTable.list()+
		" FROM audit_pending WHERE id > $1 ORDER BY id LIMIT $2", after, limit)
}

// AuditRows returns the rows with some ids, by their ids. Those that are not there are missing.
func (d *DB) AuditRows(ctx context.Context, ids []string) (map[string]*audit.Row, error) {
	args := make([]any, len(ids))
	for i := range ids {
		args[i] = ids[i]
	}
	rows, err := list(ctx, d.sql, rowTable.scan, "SELECT "+rowTable.list()+
		" FROM audit_log WHERE id IN ("+placeholders(1, len(ids))+")", args...)
	if err != nil {
		return nil, err
	}
	byID := make(map[string]*audit.Row, len(rows))
	for i := range rows {
		byID[rows[i].ID] = &rows[i]
	}
	return byID, nil
}

// AuditIDs returns ids of events in order, those after one.
func (d *DB) AuditIDs(ctx context.Context, after string, limit int) ([]string, error) {
	return list(ctx, d.sql, func(r sqldb.Row) (*string, error) {
		id := new(string)
		return id, r.Scan(id)
	}, "SELECT id FROM audit_log WHERE id > $1 ORDER BY id LIMIT $2", after, limit)
}

// maxSearched bounds how many pages are searched for an event.
const maxSearched = 50_000

// AuditPageOf returns the page that contains an event, or NotFound. A page is found by the ids of
// its events, which are in order of time: it is among the first whose largest id is not before the
// event's.
func (d *DB) AuditPageOf(ctx context.Context, id string) (*audit.Page, error) {
	after, position := id, int64(-1)
	for searched := 0; searched < maxSearched; searched += pagesChunk {
		pages, err := list(ctx, d.sql, pageTable.scan, "SELECT "+pageTable.list()+" FROM audit_pages"+
			" WHERE last_id >= $1 AND (last_id > $1 OR position > $2) ORDER BY last_id, position LIMIT $3",
			after, position, pagesChunk)
		if err != nil {
			return nil, err
		}
		for i := range pages {
			if pages[i].Find(id) >= 0 {
				return &pages[i], nil
			}
		}
		if len(pages) < pagesChunk {
			return d.pendingPageOf(ctx, id)
		}
		last := &pages[len(pages)-1]
		after, position = last.Last, last.Position
	}
	return nil, fault.New(fault.NotFound, "the event is in no page of the audit log")
}

func (d *DB) pendingPageOf(ctx context.Context, id string) (*audit.Page, error) {
	pages, err := list(ctx, d.sql, pendingTable.scan, "SELECT "+pendingTable.list()+" FROM audit_pending"+
		" WHERE first_id <= $1 AND last_id >= $1 ORDER BY id LIMIT $2", id, maxSearched)
	if err != nil {
		return nil, err
	}
	for i := range pages {
		if pages[i].Find(id) >= 0 {
			pages[i].Position = -1
			return &pages[i], nil
		}
	}
	return nil, fault.New(fault.NotFound, "the event is in no page of the audit log")
}

// checkRow returns a Conflict unless the row of an event has that hash now.
func (d *DB) checkRow(ctx context.Context, id string, want tlog.Hash) error {
	rows, err := d.AuditRows(ctx, []string{id})
	if err != nil {
		return err
	}
	if row := rows[id]; row != nil {
		if hash, err := row.Hash(); err == nil && hash == want {
			return nil
		}
	}
	return fault.New(fault.Conflict, "the event %s is not as it was recorded; "+
		"run gatehouse audit verify to see what has been changed", id)
}

// ProveEvent returns the proof that an event is in the tree of some size, 0 for its present size.
// NotFound: the event is in no page. Conflict: it is not as it was recorded, so nothing is proved.
func (d *DB) ProveEvent(ctx context.Context, id string, size int64) (*audit.Proof, error) {
	p, err := d.AuditPageOf(ctx, id)
	if err != nil {
		return nil, err
	}
	head, err := d.AuditTree(ctx)
	if err != nil {
		return nil, err
	}
	x := &audit.Proof{Index: int64(p.Find(id)), Page: p, Pending: p.Position < 0, Size: head.Size, Root: head.Root}
	x.Row = p.Entries[x.Index].Hash
	if err := d.checkRow(ctx, id, x.Row); err != nil {
		return nil, err
	}
	if x.InPage, err = p.ProveInPage(x.Index); err != nil || x.Pending {
		return x, err
	}
	if size > p.Position && size <= head.Size {
		x.Size = size
		if x.Root, err = d.AuditRoot(ctx, size); err != nil {
			return nil, err
		}
	}
	x.InTree, err = tlog.ProveRecord(x.Size, p.Position, d.nodeReader(ctx))
	return x, err
}
