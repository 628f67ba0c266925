package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// An Entry is one row of a page.
type Entry struct {
	ID   string
	Hash tlog.Hash
}

// A Page is what one transaction added to the log: a leaf of the tree.
type Page struct {
	Position int64  // in the tree, from 0; -1 while it waits for one
	ID       string // UUIDv7
	Writer   string // the process that wrote it
	Seq      int64  // counts the pages of the process
	N        int64  // of rows
	First    string // the smallest and the largest id of its rows
	Last     string
	Root     tlog.Hash // of its rows
	Entries  []Entry   // in the order in which they were written; none once they are removed by policy
	Hash     tlog.Hash // of the leaf
	MAC      string    // while it waits
}

// NewPage returns the page of some rows.
func NewPage(id, writer string, seq int64, entries []Entry) *Page {
	p := &Page{
		Position: -1,
		ID:       id,
		Writer:   writer,
		Seq:      seq,
		N:        int64(len(entries)),
		Entries:  entries,
	}
	for i := range entries {
		if e := entries[i].ID; i == 0 {
			p.First, p.Last = e, e
		} else {
			p.First, p.Last = min(p.First, e), max(p.Last, e)
		}
	}
	p.Root = p.root()
	p.Hash = p.Leaf()
	return p
}

// A Sealer makes pages without allocating much: there is one at every commit. It is not safe for
// concurrent use.
type Sealer struct {
	mac    hash.Hash
	hashes []tlog.Hash
	raw    []byte
	record []byte
	sum    []byte
}

// NewSealer returns a Sealer that marks pages by a key.
func NewSealer(key []byte) *Sealer { return &Sealer{mac: hmac.New(sha256.New, key)} }

// A SealedPage is a page in its stored form.
type SealedPage struct {
	ID, First, Last, Root, Entries, MAC string
	N                                   int64
}

// Seal returns the page of some entries: what NewPage, EncodeEntries and Sum return.
func (s *Sealer) Seal(id, writer string, seq int64, entries func(yield func(*Entry) bool)) SealedPage {
	p := SealedPage{ID: id}
	s.hashes, s.raw = s.hashes[:0], s.raw[:0]
	for e := range entries {
		if p.N == 0 {
			p.First, p.Last = e.ID, e.ID
		} else {
			p.First, p.Last = min(p.First, e.ID), max(p.Last, e.ID)
		}
		s.hashes, s.raw = append(s.hashes, e.Hash), appendEntry(s.raw, e)
		p.N++
	}
	root := Root(s.hashes)
	s.record = (&Page{ID: id, Writer: writer, Seq: seq, N: p.N, Root: root}).appendRecord(s.record[:0])
	s.mac.Reset()
	s.mac.Write(s.record)
	s.sum = s.mac.Sum(s.sum[:0])
	p.Root = root.String()
	p.Entries = base64.RawURLEncoding.EncodeToString(s.raw)
	p.MAC = base64.RawURLEncoding.EncodeToString(s.sum)
	return p
}

// root returns the Merkle root of the entries (RFC 6962 §2.1).
func (p *Page) root() tlog.Hash {
	hashes := make([]tlog.Hash, len(p.Entries))
	for i := range p.Entries {
		hashes[i] = p.Entries[i].Hash
	}
	return Root(hashes)
}

// Root returns the Merkle root of leaves. It overwrites them.
func Root(leaves []tlog.Hash) tlog.Hash {
	if len(leaves) == 0 {
		return tlog.Hash(sha256.Sum256(nil))
	}
	// A node without a sibling moves up as it is: that is RFC 6962's split at the largest power of
	// two.
	for n := len(leaves); n > 1; n = (n + 1) / 2 {
		for i := range n / 2 {
			leaves[i] = tlog.NodeHash(leaves[2*i], leaves[2*i+1])
		}
		if n%2 == 1 {
			leaves[n/2] = leaves[n-1]
		}
	}
	return leaves[0]
}

// Record returns the text of the page that its leaf is the hash of.
func (p *Page) Record() []byte {
	return p.appendRecord(nil)
}

func (p *Page) appendRecord(b []byte) []byte {
	b = append(append(append(b, "gatehouse audit page 1\n"...), p.ID...), '\n')
	b = append(append(b, p.Writer...), ' ')
	b = append(strconv.AppendInt(b, p.Seq, 10), '\n')
	b = append(strconv.AppendInt(b, p.N, 10), '\n')
	return append(base64.StdEncoding.AppendEncode(b, p.Root[:]), '\n')
}

// Leaf returns the hash of the leaf.
func (p *Page) Leaf() tlog.Hash { return tlog.RecordHash(p.Record()) }

// Sum returns the MAC of the page by a key.
func (p *Page) Sum(key []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(p.Record())
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Find returns the place of a row in the page, or -1.
func (p *Page) Find(id string) int {
	for i := range p.Entries {
		if p.Entries[i].ID == id {
			return i
		}
	}
	return -1
}

// EncodeEntries returns the stored form of entries: base64 of each id and hash. Ids that are UUIDs
// take 16 bytes after a zero; others come with their length before them.
func EncodeEntries(entries []Entry) string {
	b := make([]byte, 0, len(entries)*(1+16+tlog.HashSize))
	for i := range entries {
		b = appendEntry(b, &entries[i])
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func appendEntry(b []byte, e *Entry) []byte {
	if u, ok := secret.ParseID(e.ID); ok {
		b = append(append(b, 0), u[:]...)
	} else {
		id := e.ID[:min(len(e.ID), 255)]
		b = append(append(b, byte(len(id))), id...)
	}
	return append(b, e.Hash[:]...)
}

// DecodeEntries reads the stored form of entries.
func DecodeEntries(text string) ([]Entry, error) {
	damaged := errors.New("audit: the entries of the page are damaged")
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, damaged
	}
	var entries []Entry
	for len(b) > 0 {
		size := int(b[0])
		if b = b[1:]; size == 0 {
			size = 16
			if len(b) < size+tlog.HashSize {
				return nil, damaged
			}
			entries = append(entries, Entry{ID: secret.FormatID([16]byte(b[:size]))})
		} else {
			if len(b) < size+tlog.HashSize {
				return nil, damaged
			}
			entries = append(entries, Entry{ID: string(b[:size])})
		}
		entries[len(entries)-1].Hash = tlog.Hash(b[size : size+tlog.HashSize])
		b = b[size+tlog.HashSize:]
	}
	return entries, nil
}
