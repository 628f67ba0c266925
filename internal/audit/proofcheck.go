package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// What is wrong with an export.
const (
	ExportAltered    = "altered"
	ExportRemoved    = "removed"
	ExportAdded      = "added"
	ExportMoved      = "moved"
	ExportPage       = "page"       // a page is not one of the checkpoint
	ExportCheckpoint = "checkpoint" // the export leads to another checkpoint, or to one that nobody signed
)

// An ExportFinding is something that is wrong with an export.
type ExportFinding struct {
	Kind  string `json:"kind"` // one of the Export constants
	Line  int    `json:"line,omitempty"`
	Event string `json:"event_id,omitempty"`
	Text  string `json:"text"`
}

// An ExportCheck is the outcome of the verification of an export.
type ExportCheck struct {
	Header      ProofsHeader
	Events      int64 // that are as they were written
	Removed     int64 // events that were removed from the log before, and of which the pages remain
	Erased      int64 // events of which a part was erased with its person
	First, Last time.Time
	Signed      bool // a key has signed the checkpoint
	OwnKeys     bool // that key was taken from the export
	Findings    []ExportFinding
	More        bool
}

// ErrNoProofs is the error of an export that was made without proofs.
var ErrNoProofs = errors.New("the export has no proofs; make one with gatehouse audit export --proofs")

// Bounds of the verification of an export.
const (
	maxExportLine     = 16 << 20
	maxExportFindings = 1000
)

// place is the place of an event.
type place struct {
	page  int64
	index int
}

// exportCheck is a verification that runs.
type exportCheck struct {
	out     *ExportCheck
	line    int
	root    tlog.Hash
	chunk   *ProofsChunk
	next    int64       // the page that comes next
	page    *ProofsPage // the last one
	index   int         // of its event that comes next
	count   int64
	ended   bool
	missing map[place]string // events that did not come at their places
	strays  map[place]int    // lines of events that came at other places
}

// VerifyExport checks an export with proofs. Checkpoints are signed texts that it must lead to, and
// keys the public keys that may have signed them; none: those of the export.
func VerifyExport(r io.Reader, checkpoints, keys []string) (*ExportCheck, error) {
	v := &exportCheck{out: &ExportCheck{}, missing: map[place]string{}, strays: map[place]int{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxExportLine)
	for lines.Scan() {
		v.line++
		if v.line > 1 {
			v.read(lines.Bytes())
		} else if err := v.header(lines.Bytes(), checkpoints, keys); err != nil {
			return nil, err
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d of the export cannot be read: %w", v.line+1, err)
	}
	if v.line == 0 {
		return nil, ErrNoProofs
	}
	v.end()
	return v.out, nil
}

func (v *exportCheck) find(kind, event, format string, args ...any) {
	v.findAt(v.line, kind, event, format, args...)
}

func (v *exportCheck) findAt(line int, kind, event, format string, args ...any) {
	if len(v.out.Findings) >= maxExportFindings {
		v.out.More = true
		return
	}
	v.out.Findings = append(v.out.Findings, ExportFinding{kind, line, event, fmt.Sprintf(format, args...)})
}

// header reads the first line, and compares it with the checkpoints.
func (v *exportCheck) header(line []byte, checkpoints, keys []string) error {
	h := &v.out.Header
	if json.Unmarshal(line, h) != nil || h.Format == 0 {
		return ErrNoProofs
	}
	if h.Format != ProofsFormat {
		return fmt.Errorf("the export has the format %d, which this version cannot read", h.Format)
	}
	var err error
	if v.root, err = tlog.ParseHash(h.Root); err != nil || h.From < 0 || h.To > h.Size || h.From > h.To {
		v.find(ExportAltered, "", "the first line was altered: it makes no sense")
	}
	if !bytes.Equal(line, encode(h)) {
		v.find(ExportAltered, "", "the first line was altered")
	}
	v.next = h.From
	if v.out.OwnKeys = len(keys) == 0; v.out.OwnKeys {
		keys = h.Keys
	}
	given := len(checkpoints) > 0
	if !given && h.Note != "" {
		checkpoints = []string{h.Note}
	}
	for _, text := range checkpoints {
		c, _, err := OpenCheckpoint(text, keys...)
		if err != nil {
			v.findAt(0, ExportCheckpoint, "", "a checkpoint is not signed by a known key: %v", err)
			if c, err = ParseCheckpoint(text); err != nil {
				continue
			}
		} else {
			v.out.Signed = true
		}
		switch {
		case c.Size != h.Size:
			v.findAt(0, ExportCheckpoint, "", "the export leads to a checkpoint of %d pages, but that is one of %d; "+
				"export again with --checkpoint FILE", h.Size, c.Size)
		case c.Root != v.root || c.Origin != h.Origin:
			v.findAt(0, ExportCheckpoint, "", "the export does not lead to the checkpoint of %d pages of %s",
				c.Size, c.Origin)
		}
	}
	return nil
}

// read reads a further line.
func (v *exportCheck) read(line []byte) {
	if v.ended {
		v.find(ExportAdded, "", "line %d comes after the end", v.line)
		return
	}
	var kind struct {
		Pages *ProofsChunk `json:"pages"`
		Page  *ProofsPage  `json:"page"`
		Proof *rowProof    `json:"proof"`
		End   bool         `json:"end"`
		Count int64        `json:"count"`
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		v.find(ExportAltered, "", "line %d was altered: it cannot be read", v.line)
		return
	}
	var again []byte
	switch {
	case kind.Pages != nil:
		again = encode(chunkLine{kind.Pages})
		v.readChunk(kind.Pages)
	case kind.Page != nil:
		again = encode(pageLine{kind.Page})
		v.readPage(kind.Page)
	case kind.Proof != nil:
		v.readEvent(line)
		return
	case kind.End:
		again = encode(endLine{true, kind.Count})
		v.ended, v.count = true, kind.Count
	}
	if !bytes.Equal(line, again) {
		v.find(ExportAltered, "", "line %d was altered: it is not as it was written", v.line)
	}
}

// readChunk compares the leaves of pages with the root.
func (v *exportCheck) readChunk(c *ProofsChunk) {
	v.closePage()
	root, err := RangeRoot(v.out.Header.Size, c.First, c.Leaves, c.Path)
	if err != nil || root != v.root {
		v.find(ExportPage, "", "the list of the pages %d to %d is not that of the checkpoint",
			c.First, c.First+int64(len(c.Leaves))-1)
	}
	v.chunk = c
}

// readPage compares a page with its leaf.
func (v *exportCheck) readPage(x *ProofsPage) {
	v.closePage()
	v.page, v.index = x, 0
	switch {
	case x.Position > v.next:
		v.find(ExportRemoved, "", "the pages %d to %d are missing before line %d", v.next, x.Position-1, v.line)
	case x.Position < v.next:
		v.find(ExportMoved, "", "page %d is at another place, in line %d", x.Position, v.line)
	}
	v.next = max(v.next, x.Position+1)
	p := Page{ID: x.ID, Writer: x.Writer, Seq: x.Seq, N: x.N, Root: x.Root}
	if len(x.Rows) > 0 {
		hashes := make([]tlog.Hash, len(x.Rows))
		for i := range x.Rows {
			hashes[i] = x.Rows[i].Hash
		}
		p.N, p.Root = int64(len(x.Rows)), Root(hashes)
	} else {
		v.out.Removed += x.N
	}
	i := int64(-1)
	if v.chunk != nil {
		i = x.Position - v.chunk.First
	}
	if i < 0 || i >= int64(len(v.chunk.Leaves)) || v.chunk.Leaves[i] != p.Leaf() || p.N != x.N || p.Root != x.Root {
		v.find(ExportPage, "", "page %d is not that of the checkpoint", x.Position)
	}
}

// closePage remembers the events of the last page that have not come.
func (v *exportCheck) closePage() {
	if v.page != nil {
		v.skip(len(v.page.Rows))
	}
}

// skip remembers that events of the page before an index are missing.
func (v *exportCheck) skip(to int) {
	for ; v.index < to; v.index++ {
		if len(v.missing) < 10*maxExportFindings {
			v.missing[place{v.page.Position, v.index}] = v.page.Rows[v.index].ID
		} else {
			v.out.More = true
		}
	}
}

// readEvent compares an event with its hash in the page.
func (v *exportCheck) readEvent(line []byte) {
	var l eventLine
	if err := json.Unmarshal(line, &l); err != nil {
		v.find(ExportAltered, "", "line %d was altered: it cannot be read", v.line)
		return
	}
	at := place{l.Proof.Page, l.Proof.Index}
	if v.page == nil || at.page != v.page.Position || at.index < v.index || at.index >= len(v.page.Rows) {
		if len(v.strays) < 10*maxExportFindings {
			v.strays[at] = v.line
		}
		return
	}
	v.skip(at.index)
	v.index++
	want := v.page.Rows[at.index]
	row, err := l.row()
	if err == nil {
		var hash tlog.Hash
		if hash, err = row.Hash(); err == nil && hash != want.Hash || l.ID != want.ID ||
			!bytes.Equal(line, row.line(at.page, at.index)) {
			err = errRange
		}
	}
	if err != nil {
		v.find(ExportAltered, want.ID, "the event %s in line %d was altered", want.ID, v.line)
		return
	}
	v.note(row)
}

// note counts an event that is as it was written.
func (v *exportCheck) note(row *Row) {
	v.out.Events++
	if row.Erased != "" {
		v.out.Erased++
		for part, blank := range map[Part]bool{
			PartOrigin: row.IP == "" && row.Agent == "",
			PartFacts:  row.Detail == "" && row.Changes == "",
		} {
			if row.ErasedPart(part) && !blank {
				v.find(ExportAltered, row.ID, "a part of the event %s that was erased has a content again", row.ID)
			}
		}
	}
	at := time.UnixMilli(row.At).UTC()
	if v.out.First.IsZero() || at.Before(v.out.First) {
		v.out.First = at
	}
	if at.After(v.out.Last) {
		v.out.Last = at
	}
}

// end decides what is missing and what is only at another place.
func (v *exportCheck) end() {
	v.closePage()
	if v.next < v.out.Header.To {
		v.findAt(0, ExportRemoved, "", "the pages %d to %d are missing at the end", v.next, v.out.Header.To-1)
	}
	if v.next > v.out.Header.To {
		v.findAt(0, ExportAdded, "", "there are more pages than the first line says")
	}
	lines := v.out.Events
	for at, id := range v.missing {
		if line, ok := v.strays[at]; ok {
			delete(v.strays, at)
			v.findAt(line, ExportMoved, id, "the event %s is at another place, in line %d", id, line)
			continue
		}
		v.findAt(0, ExportRemoved, id, "the event %s of page %d is missing", id, at.page)
	}
	for _, line := range v.strays {
		v.findAt(line, ExportAdded, "", "line %d is not of the log, or it is there twice", line)
	}
	switch {
	case !v.ended:
		v.findAt(0, ExportRemoved, "", "the last line is missing: the export was cut off")
	case v.count != lines && len(v.out.Findings) == 0:
		v.findAt(v.line, ExportAltered, "", "the last line says %d events, but there are %d", v.count, lines)
	}
	slices.SortStableFunc(v.out.Findings, func(a, b ExportFinding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text))
	})
}
