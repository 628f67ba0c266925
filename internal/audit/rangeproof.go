package audit

import (
	"errors"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// A rangePath walks through a tree of some size, to the root. It calls inside for the subtrees of
// the leaves from up to to, and outside for the largest subtrees without any of these.
type rangePath struct {
	from, to        int64
	inside, outside func(lo, hi int64) (tlog.Hash, error)
}

func (w *rangePath) hash(lo, hi int64) (tlog.Hash, error) {
	switch {
	case hi <= w.from || lo >= w.to:
		return w.outside(lo, hi)
	case lo >= w.from && hi <= w.to:
		return w.inside(lo, hi)
	}
	middle := split(lo, hi)
	left, err := w.hash(lo, middle)
	if err != nil {
		return left, err
	}
	right, err := w.hash(middle, hi)
	return tlog.NodeHash(left, right), err
}

// split returns where a tree of some leaves has its two halves (RFC 6962 §2.1): the left one has
// the largest power of two that is smaller than their number.
func split(lo, hi int64) int64 { return lo + 1<<(bits.Len64(uint64(hi-lo-1))-1) }

// ProveRange returns the hashes that lead from the leaves of a range to the root of a tree.
func ProveRange(size, from, to int64, r tlog.HashReader) (path []tlog.Hash, err error) {
	var subtree func(lo, hi int64) (tlog.Hash, error)
	subtree = func(lo, hi int64) (tlog.Hash, error) {
		if n := hi - lo; n&(n-1) == 0 {
			level := bits.Len64(uint64(n)) - 1
			hashes, err := r.ReadHashes([]int64{tlog.StoredHashIndex(level, lo>>level)})
			if err != nil {
				return tlog.Hash{}, err
			}
			return hashes[0], nil
		}
		middle := split(lo, hi)
		left, err := subtree(lo, middle)
		if err != nil {
			return left, err
		}
		right, err := subtree(middle, hi)
		return tlog.NodeHash(left, right), err
	}
	w := rangePath{from: from, to: to}
	w.inside = func(int64, int64) (tlog.Hash, error) { return tlog.Hash{}, nil }
	w.outside = func(lo, hi int64) (tlog.Hash, error) {
		h, err := subtree(lo, hi)
		path = append(path, h)
		return h, err
	}
	_, err = w.hash(0, size)
	return path, err
}

var errRange = errors.New("audit: the path of a range is malformed")

// RangeRoot returns the root of a tree of some size that the leaves from a position on and the path
// of ProveRange lead to.
func RangeRoot(size, from int64, leaves, path []tlog.Hash) (tlog.Hash, error) {
	to := from + int64(len(leaves))
	if from < 0 || len(leaves) == 0 || to > size || size > 1<<56 {
		return tlog.Hash{}, errRange
	}
	w := rangePath{from: from, to: to}
	w.inside = func(lo, hi int64) (tlog.Hash, error) { return Root(slices.Clone(leaves[lo-from : hi-from])), nil }
	w.outside = func(int64, int64) (tlog.Hash, error) {
		if len(path) == 0 {
			return tlog.Hash{}, errRange
		}
		h := path[0]
		path = path[1:]
		return h, nil
	}
	root, err := w.hash(0, size)
	if err == nil && len(path) > 0 {
		err = errRange
	}
	return root, err
}
