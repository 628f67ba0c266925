package admin

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// ProofsInput selects whole pages of the log.
type ProofsInput struct {
	Since, Until time.Time // when pages were written; zero: all
	Checkpoint   string    // a signed text that the proofs lead to; "": the newest one
}

// ExportProofs writes pages of the log, oldest first, with what proves each line by a checkpoint
// alone. The export is recorded.
func (o *Operations) ExportProofs(ctx context.Context, a Actor, in ProofsInput, w io.Writer) error {
	if err := o.authorize(a, ScopeAuditExport); err != nil {
		return err
	}
	ev := a.event(audit.LogExported, o.parts.Now())
	ev.TargetType, ev.Detail = audit.TargetAudit, (&AuditQuery{Since: in.Since, Until: in.Until}).describe()
	ev.Detail["proofs"] = "true"
	if err := o.store.Record(ctx, ev); err != nil {
		return err
	}
	h, err := o.proofsHeader(ctx, in)
	if err != nil {
		return err
	}
	out, err := audit.NewProofsWriter(w, *h)
	if err != nil {
		return err
	}
	for first := h.From; first < h.To; {
		pages, err := o.store.AuditPages(ctx, first, int(min(audit.ProofsChunkSize, h.To-first)))
		if err != nil {
			return err
		}
		if len(pages) == 0 || pages[0].Position != first || pages[len(pages)-1].Position != first+int64(len(pages))-1 {
			return fault.New(fault.Conflict, "pages of the log are missing from page %d on; "+
				"run gatehouse audit verify", first)
		}
		if err := o.exportPages(ctx, out, h.Size, pages); err != nil {
			return err
		}
		first += int64(len(pages))
	}
	return out.End()
}

// exportPages writes pages that follow one another.
func (o *Operations) exportPages(ctx context.Context, out *audit.ProofsWriter, size int64, pages []audit.Page) error {
	c := &audit.ProofsChunk{First: pages[0].Position}
	for i := range pages {
		c.Leaves = append(c.Leaves, pages[i].Hash)
	}
	nodes := audit.NodeReader(func(level int, first, count int64) ([]tlog.Hash, error) {
		return o.store.AuditNodes(ctx, level, first, count)
	})
	var err error
	if c.Path, err = audit.ProveRange(size, c.First, c.First+int64(len(pages)), nodes); err != nil {
		return err
	}
	if err := out.Chunk(c); err != nil {
		return err
	}
	for i := range pages {
		rows := map[string]*audit.Row{}
		for part := range chunked(pages[i].Entries, verifyRows) {
			found, err := o.store.AuditRows(ctx, part)
			if err != nil {
				return err
			}
			for id, row := range found {
				rows[id] = row
			}
		}
		if err := out.Page(&pages[i], rows); err != nil {
			return err
		}
	}
	return nil
}

// chunked returns the ids of entries in parts of a size.
func chunked(entries []audit.Entry, size int) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		for len(entries) > 0 {
			n := min(size, len(entries))
			ids := make([]string, n)
			for i := range ids {
				ids[i] = entries[i].ID
			}
			if !yield(ids) {
				return
			}
			entries = entries[n:]
		}
	}
}

// proofsHeader finds the checkpoint that the proofs lead to, and the pages.
func (o *Operations) proofsHeader(ctx context.Context, in ProofsInput) (*audit.ProofsHeader, error) {
	head, err := o.store.AuditTree(ctx)
	if err != nil {
		return nil, err
	}
	h := &audit.ProofsHeader{Size: head.Size, Root: head.Root.String(), Note: in.Checkpoint}
	if h.Keys, err = o.store.AuditKeys(ctx); err != nil {
		return nil, err
	}
	if h.Keys == nil {
		h.Keys = []string{}
	}
	if h.Note == "" {
		signed, err := o.store.AuditCheckpoint(ctx)
		switch {
		case err == nil:
			h.Note = signed.Note
		case !fault.Is(err, fault.NotFound):
			return nil, err
		}
	}
	if h.Note != "" {
		c, err := audit.ParseCheckpoint(h.Note)
		if err != nil {
			return nil, fault.InvalidField("checkpoint", "%v", err)
		}
		if c.Size > head.Size {
			return nil, fault.New(fault.Conflict, "the checkpoint is of %d pages, but the log has %d; "+
				"run gatehouse audit verify", c.Size, head.Size)
		}
		root, err := o.store.AuditRoot(ctx, c.Size)
		if err != nil {
			return nil, err
		}
		if root != c.Root {
			return nil, fault.New(fault.Conflict, "the log does not continue the checkpoint of %d pages; "+
				"run gatehouse audit verify", c.Size)
		}
		h.Origin, h.Size, h.Root = c.Origin, c.Size, c.Root.String()
	}
	if h.From, err = o.pageAt(ctx, in.Since, h.Size, 0); err != nil {
		return nil, err
	}
	h.To, err = o.pageAt(ctx, in.Until, h.Size, h.Size)
	h.From = min(h.From, h.To)
	return h, err
}

// pageAt returns the first page that was written at a time or later, or for no time another one.
func (o *Operations) pageAt(ctx context.Context, t time.Time, size, otherwise int64) (int64, error) {
	if t.IsZero() {
		return otherwise, nil
	}
	ms := uint64(max(t.UnixMilli(), 0))
	id := fmt.Sprintf("%08x-%04x", ms>>16, ms&0xffff) // how UUIDv7s of that time begin
	lo, hi := int64(0), size
	for lo < hi {
		middle := (lo + hi) / 2
		pages, err := o.store.AuditPages(ctx, middle, 1)
		if err != nil {
			return 0, err
		}
		if len(pages) == 0 || strings.Compare(pages[0].ID, id) >= 0 {
			hi = middle
		} else {
			lo = middle + 1
		}
	}
	return lo, nil
}
