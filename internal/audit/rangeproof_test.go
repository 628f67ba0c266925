package audit

import (
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestRangeProof proves every range of small trees, and no other leaves.
func TestRangeProof(t *testing.T) {
	for size := int64(1); size < 40; size++ {
		leaves := make([]tlog.Hash, size)
		var f Frontier
		for i := range leaves {
			leaves[i] = tlog.RecordHash([]byte{byte(i)})
			f.Append(leaves[i], nil)
		}
		r := NodeReader(func(_ int, first, count int64) ([]tlog.Hash, error) {
			return append([]tlog.Hash(nil), leaves[first:min(first+count, size)]...), nil
		})
		for from := range size {
			for to := from + 1; to <= size; to++ {
				path, err := ProveRange(size, from, to, r)
				testkit.Must(t, err)
				root, err := RangeRoot(size, from, leaves[from:to], path)
				testkit.Must(t, err)
				testkit.Equal(t, "root", root, f.Root())
				if from > 0 {
					if root, err := RangeRoot(size, from-1, leaves[from:to], path); err == nil && root == f.Root() {
						t.Errorf("%d to %d of %d: the range can be moved", from, to, size)
					}
				}
			}
		}
	}
}
