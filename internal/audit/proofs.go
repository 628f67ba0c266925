package audit

import (
	"encoding/json"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// An export with proofs is a stream of JSON lines: a ProofsHeader, then for up to ProofsChunkSize
// pages of the tree a ProofsChunk, for each of these a ProofsPage, after it its events in their
// order, and a last line that says that the export is whole. Each chunk leads to the root of the
// header, which a checkpoint signs. A line is read only if it is byte for byte as it is written.

// ProofsFormat is the version of the format.
const ProofsFormat = 1

// ProofsChunkSize is how many pages a chunk has at most.
const ProofsChunkSize = 256

// A ProofsHeader is the first line.
type ProofsHeader struct {
	Format int      `json:"proofs"`
	Origin string   `json:"origin"`
	Size   int64    `json:"size"` // of the tree, in pages
	Root   string   `json:"root"`
	From   int64    `json:"from"` // the first page of the export
	To     int64    `json:"to"`   // the page after its last one
	Note   string   `json:"checkpoint"`
	Keys   []string `json:"keys"` // public keys that have signed checkpoints, as the database has them
}

// A ProofsChunk has the leaves of some pages, and the hashes that lead from them to the root.
type ProofsChunk struct {
	First  int64       `json:"first"`
	Leaves []tlog.Hash `json:"leaves"`
	Path   []tlog.Hash `json:"path"`
}

// A ProofsPage is a page. It has no rows if they were removed by policy.
type ProofsPage struct {
	Position int64      `json:"position"`
	ID       string     `json:"id"`
	Writer   string     `json:"writer"`
	Seq      int64      `json:"seq"`
	N        int64      `json:"n"`
	Root     tlog.Hash  `json:"root"`
	Rows     []ProofRow `json:"rows"`
}

// A ProofRow is the hash of an event of a page.
type ProofRow struct {
	ID   string    `json:"id"`
	Hash tlog.Hash `json:"hash"`
}

// rowProof is what the hash of an event covers besides its record.
type rowProof struct {
	Page       int64  `json:"page"`
	Index      int    `json:"index"`
	ActorType  string `json:"actor_type"`
	TargetType string `json:"target_type"`
	TargetID   string `json:"target_id"`
	Detail     string `json:"detail"`
	Changes    string `json:"changes"`
	Salt       string `json:"salt"`
	Erased     string `json:"erased"`
}

type (
	chunkLine struct {
		Pages *ProofsChunk `json:"pages"`
	}
	pageLine struct {
		Page *ProofsPage `json:"page"`
	}
	eventLine struct {
		Record
		Proof *rowProof `json:"proof"`
	}
	endLine struct {
		End   bool  `json:"end"`
		Count int64 `json:"count"`
	}
)

// Event returns the event of a row. A detail that is damaged is none.
func (r *Row) Event() Event {
	e := Event{
		ID: r.ID, At: time.UnixMilli(r.At).UTC(), Type: Type(r.Type), Actor: r.Actor, ActorType: r.ActorType,
		User: r.User, Client: r.Client, Session: r.Session, Grant: r.Grant, IP: r.IP, Agent: r.Agent,
		RequestID: r.RequestID, Reason: r.Reason, TargetType: r.TargetType, TargetID: r.TargetID,
	}
	_ = json.Unmarshal([]byte(r.Detail), &e.Detail)
	_ = json.Unmarshal([]byte(r.Changes), &e.Changes)
	return e
}

// line returns the line of the row at a place.
func (r *Row) line(page int64, index int) []byte {
	e := r.Event()
	return encode(eventLine{e.Record(), &rowProof{
		Page: page, Index: index, ActorType: r.ActorType, TargetType: r.TargetType, TargetID: r.TargetID,
		Detail: r.Detail, Changes: r.Changes, Salt: r.Salt, Erased: r.Erased,
	}})
}

// row returns the row that the line was made of.
func (l *eventLine) row() (*Row, error) {
	at, err := time.Parse(time.RFC3339, l.Timestamp)
	if err != nil {
		return nil, err
	}
	x := l.Proof
	return &Row{
		ID: l.ID, At: at.UnixMilli(), Type: string(l.Type), Actor: l.ActorID, ActorType: x.ActorType,
		User: l.UserID, Client: l.ClientID, Session: l.SessionID, Grant: l.GrantID, RequestID: l.RequestID,
		Reason: l.Reason, TargetType: x.TargetType, TargetID: x.TargetID, IP: l.IPAddress, Agent: l.UserAgent,
		Detail: x.Detail, Changes: x.Changes, Salt: x.Salt, Erased: x.Erased,
	}, nil
}

// A ProofsWriter writes an export with proofs.
type ProofsWriter struct {
	w io.Writer
	n int64
}

// NewProofsWriter returns a writer of an export, after its header.
func NewProofsWriter(w io.Writer, h ProofsHeader) (*ProofsWriter, error) {
	h.Format = ProofsFormat
	x := &ProofsWriter{w: w}
	return x, x.line(encode(h))
}

func (x *ProofsWriter) line(b []byte) error {
	_, err := x.w.Write(append(b, '\n'))
	return err
}

// Chunk writes what leads from some pages to the root.
func (x *ProofsWriter) Chunk(c *ProofsChunk) error { return x.line(encode(chunkLine{c})) }

// Page writes a page with its rows. Those that are not there are left out: verification names them.
func (x *ProofsWriter) Page(p *Page, rows map[string]*Row) error {
	out := &ProofsPage{Position: p.Position, ID: p.ID, Writer: p.Writer, Seq: p.Seq, N: p.N, Root: p.Root}
	for _, e := range p.Entries {
		out.Rows = append(out.Rows, ProofRow(e))
	}
	if err := x.line(encode(pageLine{out})); err != nil {
		return err
	}
	for i, e := range p.Entries {
		row := rows[e.ID]
		if row == nil {
			continue
		}
		x.n++
		if err := x.line(row.line(p.Position, i)); err != nil {
			return err
		}
	}
	return nil
}

// End writes the last line.
func (x *ProofsWriter) End() error { return x.line(encode(endLine{true, x.n})) }
