package cli

import (
	"context"
	"fmt"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// auditProof proves one event.
type auditProof struct {
	ID string `arg:"" help:"The event's id, as audit list --json shows it."`
}

// proofView is a proof as the command line shows it; the members are those of the management API.
type proofView struct {
	Event      eventView `json:"event"`
	RowHash    string    `json:"row_hash"`
	PageID     string    `json:"page_id"`
	PageWriter string    `json:"page_writer"`
	PageSeq    int64     `json:"page_seq"`
	PageSize   int64     `json:"page_size"`
	PageRoot   string    `json:"page_root"`
	Index      int64     `json:"index"`
	PagePath   []string  `json:"page_path"`
	Pending    bool      `json:"pending"`
	*treeView
	Note string `json:"note,omitempty"`
}

// treeView is the way from a page to the root of the tree.
type treeView struct {
	Position int64    `json:"position"`
	Size     int64    `json:"tree_size"`
	Root     string   `json:"tree_root"`
	Path     []string `json:"tree_path"`
}

// Run prints the proof, which has been checked.
func (f *auditProof) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		x, err := ops.ProveEvent(ctx, a, f.ID)
		if err != nil {
			return err
		}
		v := viewProof(x)
		return c.show(v, func(s *table) { v.rows(s) })
	})
}

func viewProof(x *admin.AuditProof) *proofView {
	p := x.Proof
	v := &proofView{
		Event:      viewEvent(x.Event),
		RowHash:    p.Row.String(),
		PageID:     p.Page.ID,
		PageWriter: p.Page.Writer,
		PageSeq:    int64(p.Page.Seq),
		PageSize:   int64(p.Page.N),
		PageRoot:   p.Page.Root.String(),
		Index:      int64(p.Index),
		PagePath:   hashTexts(p.InPage),
		Pending:    p.Pending,
	}
	if !p.Pending {
		v.treeView = &treeView{int64(p.Page.Position), int64(p.Size), p.Root.String(), hashTexts(p.InTree)}
	}
	if x.Checkpoint != nil {
		v.Note = x.Checkpoint.Note
	}
	return v
}

func hashTexts(hashes []tlog.Hash) []string {
	out := make([]string, len(hashes))
	for i := range hashes {
		out[i] = hashes[i].String()
	}
	return out
}

// rows writes the proof for people. The paths are in the JSON only.
func (v *proofView) rows(s *table) {
	s.pair("event", v.Event.ID)
	s.pair("type", string(v.Event.Type))
	s.pair("at", v.Event.At.String())
	s.pair("hash", v.RowHash)
	s.pair("page", fmt.Sprintf("%s, root %s", v.PageID, v.PageRoot))
	if v.treeView == nil {
		s.pair("tree", "the page waits for its place in the tree; try again in a few seconds")
		return
	}
	s.pair("tree", fmt.Sprintf("place %d of %d pages, root %s", v.Position, v.Size, v.Root))
	if v.Note == "" {
		s.pair("checkpoint", "none is signed for a tree of this size")
	} else {
		s.pair("checkpoint", "signed; see --json for the note and the paths")
	}
}

// auditCheckpoint shows the head of the tree.
type auditCheckpoint struct{}

// checkpointView is the head of the tree, and what was signed of it.
type checkpointView struct {
	Size     int64     `json:"size"`
	Root     string    `json:"root"`
	Epoch    int64     `json:"epoch"`
	Note     string    `json:"note,omitempty"`
	SignedAt timestamp `json:"signed_at"`
	Keys     []string  `json:"keys"`
}

// Run prints the head of the tree and the newest signed checkpoint.
func (*auditCheckpoint) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		x, err := ops.AuditCheckpoint(ctx, a)
		if err != nil {
			return err
		}
		v := viewCheckpoint(x.Head, x.Checkpoint)
		v.Keys = orEmpty(x.Keys)
		return c.show(v, func(s *table) {
			s.pair("pages", strconv.FormatInt(v.Size, 10))
			s.pair("root", v.Root)
			s.pair("epoch", strconv.FormatInt(v.Epoch, 10))
			if x.Checkpoint == nil {
				s.pair("signed", "no checkpoint is signed yet")
			} else {
				s.pair("signed", fmt.Sprintf("%s, %d pages (%s)", v.SignedAt, x.Checkpoint.Size, x.Checkpoint.Origin))
			}
			for _, k := range v.Keys {
				s.pair("key", k)
			}
		})
	})
}

func viewCheckpoint(head *audit.Head, signed *admin.SignedCheckpoint) checkpointView {
	v := checkpointView{Size: int64(head.Size), Root: head.Root.String(), Epoch: int64(head.Epoch)}
	if signed != nil {
		v.Note, v.SignedAt = signed.Note, timestamp{signed.At}
	}
	return v
}
