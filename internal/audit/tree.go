package audit

import (
	"errors"

	"golang.org/x/mod/sumdb/tlog"
)

// NodeLevels is the distance between the levels of the tree whose nodes are stored. The nodes
// between them follow from those below.
const NodeLevels = 8

// A Frontier is the right edge of a tree that grows: the roots of its complete subtrees, from the
// left. It needs no other node to append a leaf or to know the root.
type Frontier struct {
	Size  int64
	Roots []tlog.Hash
}

// A Node is a node of the tree: at level 0 a leaf, and each level above it half as many.
type Node struct {
	Level int
	N     int64
	Hash  tlog.Hash
}

// Append adds a leaf. It calls emit, if set, with the nodes that are complete by it.
func (f *Frontier) Append(leaf tlog.Hash, emit func(Node)) {
	node := Node{N: f.Size, Hash: leaf}
	for {
		if emit != nil {
			emit(node)
		}
		if node.N&1 == 0 {
			break
		}
		last := len(f.Roots) - 1
		node.Hash = tlog.NodeHash(f.Roots[last], node.Hash)
		f.Roots = f.Roots[:last]
		node.Level, node.N = node.Level+1, node.N>>1
	}
	f.Roots = append(f.Roots, node.Hash)
	f.Size++
}

// Root returns the root of the tree.
func (f *Frontier) Root() tlog.Hash {
	if len(f.Roots) == 0 {
		return Root(nil)
	}
	h := f.Roots[len(f.Roots)-1]
	for i := len(f.Roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.Roots[i], h)
	}
	return h
}

// Clone returns a copy that shares nothing.
func (f *Frontier) Clone() *Frontier {
	return &Frontier{Size: f.Size, Roots: append([]tlog.Hash(nil), f.Roots...)}
}

// A NodeReader returns stored nodes of one level, those from first on.
type NodeReader func(level int, first, count int64) ([]tlog.Hash, error)

// errNodes marks a tree with fewer nodes than its size needs.
var errNodes = errors.New("audit: nodes of the tree are missing")

// ReadHashes returns hashes by tlog's indexes; r so is a tlog.HashReader.
func (r NodeReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		base := level - level%NodeLevels
		count := int64(1) << (level - base)
		nodes, err := r(base, n*count, count)
		if err != nil {
			return nil, err
		}
		if int64(len(nodes)) != count {
			return nil, errNodes
		}
		out[i] = Root(nodes)
	}
	return out, nil
}

// ReadFrontier returns the frontier of a stored tree of some size.
func ReadFrontier(size int64, r NodeReader) (*Frontier, error) {
	f := &Frontier{Size: size}
	var start int64
	for level := 62; level >= 0; level-- {
		if size&(1<<level) == 0 {
			continue
		}
		hashes, err := r.ReadHashes([]int64{tlog.StoredHashIndex(level, start>>level)})
		if err != nil {
			return nil, err
		}
		f.Roots = append(f.Roots, hashes[0])
		start += 1 << level
	}
	return f, nil
}

// A Head is the state of the tree.
type Head struct {
	Size   int64
	Root   tlog.Hash
	Pruned int64 // the pages before this one have lost their events by policy
	Epoch  int64 // counts the histories that were published, from 1
	At     int64 // Unix milliseconds
}

// A Proof shows that a row is in the tree: by its place in its page, and the page's in the tree.
type Proof struct {
	Row     tlog.Hash
	Index   int64 // of the row in its page
	Page    *Page // without entries
	InPage  tlog.RecordProof
	Size    int64 // of the tree
	Root    tlog.Hash
	InTree  tlog.RecordProof
	Pending bool // the page waits for its place in the tree: there is no InTree yet
}

// ProveInPage returns the path of a row in its page.
func (p *Page) ProveInPage(index int64) (tlog.RecordProof, error) {
	return tlog.ProveRecord(int64(len(p.Entries)), index, NodeReader(func(_ int, first, count int64) ([]tlog.Hash, error) {
		hashes := make([]tlog.Hash, 0, count)
		for _, e := range p.Entries[first:min(first+count, int64(len(p.Entries)))] {
			hashes = append(hashes, e.Hash)
		}
		return hashes, nil
	}))
}

// Check returns an error unless the proof shows that a row with its hash is in a tree with its
// root.
func (x *Proof) Check() error {
	if err := tlog.CheckRecord(x.InPage, x.Page.N, x.Page.Root, x.Index, x.Row); err != nil {
		return err
	}
	if x.Pending {
		return nil
	}
	return tlog.CheckRecord(x.InTree, x.Size, x.Root, x.Page.Position, x.Page.Leaf())
}
