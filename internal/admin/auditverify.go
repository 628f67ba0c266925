package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// AuditTreeStore is what the proof of the audit log needs of storage.
type AuditTreeStore interface {
	// AuditTree returns the state of the tree.
	AuditTree(ctx context.Context) (*audit.Head, error)
	// AuditPages returns pages of the tree in order, from a position on.
	AuditPages(ctx context.Context, from int64, limit int) ([]audit.Page, error)
	// PendingAuditPages returns pages that wait for their places, those with ids after one.
	PendingAuditPages(ctx context.Context, after string, limit int) ([]audit.Page, error)
	// AuditPageMarked reports whether a page that waits was written by a server with the same key.
	AuditPageMarked(p *audit.Page) bool
	// AuditNodes returns stored nodes of one level of the tree.
	AuditNodes(ctx context.Context, level int, first, count int64) ([]tlog.Hash, error)
	// AuditRows returns the rows with some ids. Those that are not there are missing.
	AuditRows(ctx context.Context, ids []string) (map[string]*audit.Row, error)
	// AuditIDs returns ids of events in order, those after one.
	AuditIDs(ctx context.Context, after string, limit int) ([]string, error)
	// AuditPageOf returns the page that contains an event, or fault.NotFound.
	AuditPageOf(ctx context.Context, id string) (*audit.Page, error)
	// AuditRoot returns the root that the tree had at a size.
	AuditRoot(ctx context.Context, size int64) (tlog.Hash, error)
	// ProveEvent returns the proof that an event is in the tree of some size, 0 for its present
	// size, or fault.NotFound.
	ProveEvent(ctx context.Context, id string, size int64) (*audit.Proof, error)
	// AuditCheckpoint returns the newest signed checkpoint, or fault.NotFound.
	AuditCheckpoint(ctx context.Context) (*SignedCheckpoint, error)
	// AuditKeys returns the public keys that have signed checkpoints.
	AuditKeys(ctx context.Context) ([]string, error)
}

// A SignedCheckpoint is a checkpoint with its signed text.
type SignedCheckpoint struct {
	audit.Checkpoint
	Note string
	At   time.Time
}

// CheckpointSent is how the attempts to send checkpoints to AUDIT_CHECKPOINT_URL have ended.
type CheckpointSent struct {
	At           time.Time `json:"at,omitzero"`            // of the last one that was taken
	FailingSince time.Time `json:"failing_since,omitzero"` // zero: the last attempt succeeded
	Error        string    `json:"error,omitempty"`        // of the last one that failed
}

// What verification finds.
const (
	FoundAltered    = "altered"    // an event is not what was written
	FoundRemoved    = "removed"    // an event is missing, without a record of its removal by policy
	FoundAdded      = "added"      // an event is in no page
	FoundBlanked    = "blanked"    // a part is marked as erased, but nobody has erased its person
	FoundPage       = "page"       // a page is not what was written
	FoundTree       = "tree"       // pages were altered, removed or put in another order
	FoundForged     = "forged"     // a page that waits was not written by a server
	FoundCheckpoint = "checkpoint" // the log does not continue what was published
)

// A Finding is something that verification found wrong.
type Finding struct {
	Kind     string    `json:"kind"` // one of the Found constants
	Event    string    `json:"event_id,omitempty"`
	Type     string    `json:"type,omitempty"` // of the event, where it is known
	At       time.Time `json:"at,omitzero"`
	Page     string    `json:"page_id,omitempty"`
	Position int64     `json:"position"` // of the page in the tree; -1: none
	Text     string    `json:"text"`
}

// A Verification is what verification has found.
type Verification struct {
	Pages    int64 // of the tree
	Events   int64 // that are in them and are what was written
	Pruned   int64 // events that were removed by policy
	Erased   int64 // events of which a part was erased with its person
	Pending  int64 // events whose pages wait for their places in the tree
	Before   int64 // events from before the tree began
	Root     tlog.Hash
	Epoch    int64
	Proved   []audit.Checkpoint // that the log continues
	OwnKeys  bool               // the keys of the checkpoints were taken from the database
	Findings []Finding
	More     bool // there are more findings
	First    time.Time
	Last     time.Time
}

// maxFindings bounds what is listed.
const maxFindings = 1000

// VerifyInput is what the audit log is compared with.
type VerifyInput struct {
	Checkpoints []string // signed texts
	Keys        []string // public keys that may have signed them; none: those in the database
}

// VerifyAudit compares the audit log with its tree, and the tree with checkpoints that were
// published. It reads everything and changes nothing.
func (o *Operations) VerifyAudit(ctx context.Context, a Actor, in VerifyInput) (*Verification, error) {
	if err := o.authorize(a, ScopeAuditRead); err != nil {
		return nil, err
	}
	v := &verifier{
		store:   o.store,
		out:     &Verification{},
		buckets: map[string]*bucket{},
		erased:  map[string]bool{},
		blanked: map[string]Finding{},
		begun:   o.parts.Now(),
	}
	if err := v.open(ctx, in); err != nil {
		return nil, err
	}
	return v.out, v.run(ctx)
}

// open checks the signatures of the checkpoints.
func (v *verifier) open(ctx context.Context, in VerifyInput) error {
	keys := in.Keys
	if len(keys) == 0 && len(in.Checkpoints) > 0 {
		v.out.OwnKeys = true
		var err error
		if keys, err = v.store.AuditKeys(ctx); err != nil {
			return err
		}
	}
	for _, text := range in.Checkpoints {
		c, _, err := audit.OpenCheckpoint(text, keys...)
		if err != nil {
			v.find(Finding{Kind: FoundCheckpoint, Position: -1, Text: "a checkpoint is not signed by a known key: " +
				err.Error()})
			if c, err = audit.ParseCheckpoint(text); err != nil {
				continue
			}
		}
		v.published = append(v.published, *c)
	}
	return nil
}

// A verifier is one verification.
type verifier struct {
	store     Store
	published []audit.Checkpoint
	out       *Verification
	frontier  audit.Frontier
	begun     time.Time

	first   string             // the smallest id of the first page
	buckets map[string]*bucket // by bucketOf
	pruned  []prunedRange
	missing []missing          // events that may have been removed by policy
	erased  map[string]bool    // users who were erased, by the record
	blanked map[string]Finding // by user: one event of which a part is erased
}

// A bucket compares the events of a minute with those of the pages, without remembering them all.
type bucket struct {
	n   int64
	mix uint64
}

// A prunedRange is pages that were emptied by policy, as an event in the tree says.
type prunedRange struct{ from, to int64 }

// missing is events that are not there: n of them.
type missing struct {
	Finding
	n int64
}

// bucketOf returns the first digits of an id: of a UUIDv7 the time, to 65 seconds.
func bucketOf(id string) string { return id[:min(len(id), 8)] }

// count adds an id to its bucket n times.
func (v *verifier) count(id string, n int64) {
	key := bucketOf(id)
	b := v.buckets[key]
	if b == nil {
		b = &bucket{}
		v.buckets[key] = b
	}
	b.n += n
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	b.mix += h * uint64(n)
}

func (v *verifier) find(f Finding) {
	if len(v.out.Findings) >= maxFindings {
		v.out.More = true
		return
	}
	v.out.Findings = append(v.out.Findings, f)
}

const (
	verifyPages = 256
	verifyRows  = 500
)

func (v *verifier) run(ctx context.Context) error {
	head, err := v.store.AuditTree(ctx)
	if err != nil {
		return err
	}
	v.out.Pages, v.out.Root, v.out.Epoch = head.Size, head.Root, head.Epoch
	v.compare(0)
	if err := v.tree(ctx, head); err != nil {
		return err
	}
	if err := v.pending(ctx); err != nil {
		return err
	}
	if err := v.rows(ctx); err != nil {
		return err
	}
	if err := v.judge(ctx); err != nil {
		return err
	}
	for _, c := range v.published {
		if c.Size <= head.Size && c.Size > v.frontier.Size {
			v.find(Finding{Kind: FoundCheckpoint, Position: c.Size, Text: fmt.Sprintf(
				"the checkpoint of %d pages cannot be compared, since pages before it are missing", c.Size)})
		}
		if c.Size > head.Size {
			v.find(Finding{Kind: FoundCheckpoint, Position: head.Size, Text: fmt.Sprintf(
				"the checkpoint is of %d pages, but the database has %d: the end of the log was removed, or the database "+
					"was restored from a backup that is older than the checkpoint", c.Size, head.Size)})
		}
	}
	return nil
}

// tree reads the pages of the tree with their events.
func (v *verifier) tree(ctx context.Context, head *audit.Head) error {
	for v.frontier.Size < head.Size {
		pages, err := v.store.AuditPages(ctx, v.frontier.Size, verifyPages)
		if err != nil {
			return err
		}
		pages = pages[:min(int64(len(pages)), head.Size-v.frontier.Size)]
		if len(pages) == 0 {
			v.find(Finding{Kind: FoundTree, Position: v.frontier.Size, Text: fmt.Sprintf(
				"pages %d to %d are missing", v.frontier.Size, head.Size-1)})
			return nil
		}
		for i := range pages {
			if pages[i].Position != v.frontier.Size {
				v.find(Finding{Kind: FoundTree, Position: v.frontier.Size, Text: fmt.Sprintf(
					"pages %d to %d are missing", v.frontier.Size, pages[i].Position-1)})
				return nil
			}
			if err := v.page(ctx, &pages[i]); err != nil {
				return err
			}
		}
		if err := v.events(ctx, pages); err != nil {
			return err
		}
	}
	if got := v.frontier.Root(); got != head.Root {
		v.find(Finding{Kind: FoundTree, Position: -1, Text: "the pages do not give the root of the tree: " +
			"pages were altered, or put in another order"})
	}
	return nil
}

// page checks a page by itself, and appends it to the tree.
func (v *verifier) page(ctx context.Context, p *audit.Page) error {
	if v.first == "" {
		v.first = p.First
	}
	leaf := p.Leaf()
	if leaf != p.Hash {
		v.find(Finding{Kind: FoundPage, Page: p.ID, Position: p.Position, Text: fmt.Sprintf(
			"page %d of the log was altered", p.Position)})
	}
	var nodes []audit.Node
	v.frontier.Append(leaf, func(n audit.Node) {
		if n.Level > 0 && n.Level%audit.NodeLevels == 0 {
			nodes = append(nodes, n)
		}
	})
	for _, n := range nodes {
		stored, err := v.store.AuditNodes(ctx, n.Level, n.N, 1)
		if err != nil {
			return err
		}
		if len(stored) != 1 || stored[0] != n.Hash {
			size := int64(1) << n.Level
			v.find(Finding{Kind: FoundTree, Position: n.N * size, Text: fmt.Sprintf(
				"among pages %d to %d, at least one was altered or moved", n.N*size, (n.N+1)*size-1)})
		}
	}
	v.compare(v.frontier.Size)
	if len(p.Entries) == 0 {
		v.missing = append(v.missing, missing{n: p.N, Finding: Finding{
			Kind:     FoundRemoved,
			Page:     p.ID,
			Position: p.Position,
			Text:     fmt.Sprintf("the %d events of page %d were removed", p.N, p.Position),
		}})
		return nil
	}
	v.entries(p)
	return nil
}

// compare compares the tree of a size with the checkpoints of that size.
func (v *verifier) compare(size int64) {
	for _, c := range v.published {
		switch {
		case c.Size != size:
		case c.Root == v.frontier.Root():
			v.out.Proved = append(v.out.Proved, c)
		default:
			v.find(Finding{Kind: FoundCheckpoint, Position: size, Text: fmt.Sprintf(
				"the first %d pages are not those of the checkpoint of that size", size)})
		}
	}
}

// entries compares the list of a page's events with its root.
func (v *verifier) entries(p *audit.Page) {
	again := audit.NewPage(p.ID, p.Writer, p.Seq, p.Entries)
	if again.Root != p.Root || again.N != p.N {
		v.find(Finding{Kind: FoundPage, Page: p.ID, Position: p.Position, Text: "the list of events of the page was altered"})
	}
}

// events compares the events of pages with their lists.
func (v *verifier) events(ctx context.Context, pages []audit.Page) error {
	type place struct {
		page  *audit.Page
		entry *audit.Entry
	}
	var all []place
	for i := range pages {
		for j := range pages[i].Entries {
			all = append(all, place{&pages[i], &pages[i].Entries[j]})
		}
	}
	for part := range slices.Chunk(all, verifyRows) {
		ids := make([]string, len(part))
		for i := range part {
			ids[i] = part[i].entry.ID
		}
		rows, err := v.store.AuditRows(ctx, ids)
		if err != nil {
			return err
		}
		for _, at := range part {
			v.event(at.page, at.entry, rows[at.entry.ID])
		}
	}
	return nil
}

// event compares one event with its entry. row is nil if it is not there.
func (v *verifier) event(p *audit.Page, e *audit.Entry, row *audit.Row) {
	f := Finding{Event: e.ID, Page: p.ID, Position: p.Position}
	if row == nil {
		f.Kind, f.Text = FoundRemoved, "the event "+e.ID+" was removed"
		v.missing = append(v.missing, missing{f, 1})
		return
	}
	v.count(e.ID, 1)
	f.Type, f.At = row.Type, time.UnixMilli(row.At).UTC()
	hash, err := row.Hash()
	if err != nil || hash != e.Hash {
		f.Kind, f.Text = FoundAltered, "the event "+e.ID+" was altered"
		v.find(f)
		return
	}
	v.out.Events++
	if p.Position < 0 {
		v.out.Pending++
	}
	if v.out.First.IsZero() || f.At.Before(v.out.First) {
		v.out.First = f.At
	}
	if f.At.After(v.out.Last) {
		v.out.Last = f.At
	}
	v.note(row, f)
}

// note remembers what the log says about itself: what was erased and what was removed by policy.
func (v *verifier) note(row *audit.Row, f Finding) {
	switch audit.Type(row.Type) {
	case audit.AccountErased, audit.UserDeleted:
		v.erased[row.User] = true
	case audit.LogPruned:
		var d map[string]string
		if json.Unmarshal([]byte(row.Detail), &d) == nil {
			from, err1 := strconv.ParseInt(d[PrunedFrom], 10, 64)
			to, err2 := strconv.ParseInt(d[PrunedTo], 10, 64)
			if err1 == nil && err2 == nil {
				v.pruned = append(v.pruned, prunedRange{from, to})
			}
		}
	}
	if row.Erased == "" {
		return
	}
	v.out.Erased++
	for _, part := range []audit.Part{audit.PartOrigin, audit.PartFacts} {
		if !row.ErasedPart(part) {
			continue
		}
		blank := row.IP == "" && row.Agent == ""
		if part == audit.PartFacts {
			blank = row.Detail == "" && row.Changes == ""
		}
		f := f
		f.Kind = FoundBlanked
		if !blank {
			f.Text = "a part of the event " + row.ID + " that was erased has a content again"
			v.find(f)
			continue
		}
		f.Text = "a part of the event " + row.ID + " was erased, but there is no record that its person was"
		v.blanked[row.Owner(part)] = f
	}
}

// pending reads the pages that wait for their places in the tree.
func (v *verifier) pending(ctx context.Context) error {
	after := ""
	for {
		pages, err := v.store.PendingAuditPages(ctx, after, verifyPages)
		if err != nil || len(pages) == 0 {
			return err
		}
		for i := range pages {
			p := &pages[i]
			p.Position = -1
			if !v.store.AuditPageMarked(p) {
				v.find(Finding{Kind: FoundForged, Page: p.ID, Position: -1, Text: "a page that waits for its place in the tree " +
					"was not written by a server with this SECRET_KEY, or it was altered"})
			}
			v.entries(p)
			if v.first == "" {
				v.first = p.First
			}
		}
		if err := v.events(ctx, pages); err != nil {
			return err
		}
		after = pages[len(pages)-1].ID
	}
}

// rows looks for events that are in no page.
func (v *verifier) rows(ctx context.Context) error {
	after := ""
	for {
		ids, err := v.store.AuditIDs(ctx, after, 10*MaxPage)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if v.first == "" || id < v.first {
				v.out.Before++
				continue
			}
			v.count(id, -1)
		}
		if len(ids) < 10*MaxPage {
			break
		}
		after = ids[len(ids)-1]
	}
	for key, b := range v.buckets {
		if b.n == 0 && b.mix == 0 {
			continue
		}
		if err := v.search(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// search looks for each event of a bucket in the pages.
func (v *verifier) search(ctx context.Context, key string) error {
	after := key
	if len(key) < 8 { // no UUID
		after = ""
	}
	for {
		ids, err := v.store.AuditIDs(ctx, after, MaxPage)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			if bucketOf(id) > key {
				return nil
			}
			if bucketOf(id) != key || id < v.first {
				continue
			}
			_, err := v.store.AuditPageOf(ctx, id)
			switch {
			case fault.Is(err, fault.NotFound):
				if err := v.added(ctx, id); err != nil {
					return err
				}
			case err != nil:
				return err
			}
		}
		after = ids[len(ids)-1]
	}
}

// added reports an event that is in no page, unless it is not there any more.
func (v *verifier) added(ctx context.Context, id string) error {
	rows, err := v.store.AuditRows(ctx, []string{id})
	if err != nil || rows[id] == nil {
		return err
	}
	v.find(Finding{
		Kind:     FoundAdded,
		Event:    id,
		Type:     rows[id].Type,
		At:       time.UnixMilli(rows[id].At).UTC(),
		Position: -1,
		Text:     "the event " + id + " was not written by a server that keeps the proof of the log",
	})
	return nil
}

// judge decides what is missing and blank by what the log says of it.
func (v *verifier) judge(ctx context.Context) error {
	for _, m := range v.missing {
		f := m.Finding
		byPolicy := slices.ContainsFunc(v.pruned, func(r prunedRange) bool {
			return f.Position >= r.from && f.Position < r.to
		})
		if !byPolicy && f.Position >= 0 { // it may have been removed while we read
			late, err := v.prunedSince(ctx, f.Position)
			if err != nil {
				return err
			}
			byPolicy = late
		}
		if byPolicy {
			v.out.Pruned += m.n
			continue
		}
		v.find(f)
	}
	for user, f := range v.blanked {
		if !v.erased[user] {
			v.find(f)
		}
	}
	slices.SortStableFunc(v.out.Findings, func(a, b Finding) int { return cmp.Compare(a.Position, b.Position) })
	return nil
}

// prunedSince reports whether a page was emptied by policy after verification began.
func (v *verifier) prunedSince(ctx context.Context, position int64) (bool, error) {
	events, err := v.store.ListAudit(ctx, AuditQuery{Type: audit.LogPruned, Since: v.begun.Add(-time.Minute)})
	for _, e := range events {
		from, _ := strconv.ParseInt(e.Detail[PrunedFrom], 10, 64)
		to, _ := strconv.ParseInt(e.Detail[PrunedTo], 10, 64)
		if position >= from && position < to {
			return true, nil
		}
	}
	return false, err
}

// Names in the detail of audit.LogPruned.
const (
	PrunedFrom   = "from" // the first page
	PrunedTo     = "to"   // the page after the last one
	PrunedEvents = "events"
	PrunedUntil  = "until" // the time of the policy
)

// AuditProof is a proof with the event that it is about, and the checkpoint that it leads to.
type AuditProof struct {
	Event      *audit.Event
	Proof      *audit.Proof
	Origin     string
	Checkpoint *SignedCheckpoint // of the size of the proof; nil where none is signed
}

// ProveEvent returns the proof that an event is in the log, up to the newest signed checkpoint
// where that contains it.
func (o *Operations) ProveEvent(ctx context.Context, a Actor, id string) (*AuditProof, error) {
	if err := o.authorize(a, ScopeAuditRead); err != nil {
		return nil, err
	}
	page, err := o.Event(ctx, a, id)
	if err != nil {
		return nil, err
	}
	out := &AuditProof{Event: &page.Events[0]}
	size := int64(0)
	signed, err := o.store.AuditCheckpoint(ctx)
	switch {
	case err == nil:
		size = signed.Size
	case !fault.Is(err, fault.NotFound):
		return nil, err
	}
	if out.Proof, err = o.store.ProveEvent(ctx, id, size); err != nil {
		return nil, err
	}
	if signed != nil && out.Proof.Size == signed.Size && !out.Proof.Pending {
		out.Checkpoint, out.Origin = signed, signed.Origin
	}
	return out, out.Proof.Check()
}

// AuditState is the head of the tree with its newest signed checkpoint.
type AuditState struct {
	Head       *audit.Head
	Checkpoint *SignedCheckpoint // nil where none is signed
	Keys       []string          // the public keys that have signed checkpoints
}

// AuditCheckpoint returns the head of the tree, and what was signed of it.
func (o *Operations) AuditCheckpoint(ctx context.Context, a Actor) (*AuditState, error) {
	if err := o.authorize(a, ScopeAuditRead); err != nil {
		return nil, err
	}
	out := &AuditState{}
	var err error
	if out.Head, err = o.store.AuditTree(ctx); err != nil {
		return nil, err
	}
	if out.Checkpoint, err = o.store.AuditCheckpoint(ctx); err != nil && !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	out.Keys, err = o.store.AuditKeys(ctx)
	return out, err
}

// CleanupAudit removes the events that are older than AUDIT_LOG_RETENTION_DAYS, and that every sink
// has. It returns how many.
func (o *Operations) CleanupAudit(ctx context.Context, a Actor) (int64, error) {
	if err := o.authorize(a, ScopeAll); err != nil {
		return 0, err
	}
	if o.cfg.AuditRetention <= 0 {
		return 0, fault.New(fault.Conflict, "AUDIT_LOG_RETENTION_DAYS is 0: audit events are kept forever")
	}
	now := o.parts.Now()
	return o.store.PruneAudit(ctx, now.Add(-o.cfg.AuditRetention), now, a.Name())
}
