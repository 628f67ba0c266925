package bearer

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	maxProofs   = 1 << 20 // about 50 MB when full: 8,000 requests a second for the TTL of a proof
	proofBucket = 10      // seconds of iat that are removed together
)

// A proofCache records DPoP proofs for as long as they could be used. A replayed proof has the same
// iat, so only the bucket of that time is searched, and whole buckets are removed at once.
type proofCache struct {
	mu      sync.Mutex
	buckets map[int64]map[[sha256.Size / 2]byte]struct{} // by iat
	size    int
	limit   int
}

func newProofCache(limit int) *proofCache {
	return &proofCache{limit: limit, buckets: map[int64]map[[sha256.Size / 2]byte]struct{}{}}
}

// add records a proof and reports whether it was absent. Nothing that is still valid is evicted:
// when the cache is full, room is false and the proof is not recorded.
func (p *proofCache) add(id [sha256.Size]byte, issued, now time.Time) (absent, room bool) {
	key := [sha256.Size / 2]byte(id[:])
	n := issued.Unix() / proofBucket
	p.mu.Lock()
	defer p.mu.Unlock()
	bucket := p.buckets[n]
	if bucket == nil {
		p.removeExpired(now)
		bucket = map[[sha256.Size / 2]byte]struct{}{}
		p.buckets[n] = bucket
	}
	if _, ok := bucket[key]; ok {
		return false, true
	}
	if p.size >= p.limit {
		return false, false
	}
	bucket[key] = struct{}{}
	p.size++
	return true, true
}

// removeExpired removes the buckets whose last proof has expired. The caller holds the lock.
func (p *proofCache) removeExpired(now time.Time) {
	for n, bucket := range p.buckets {
		if last := time.Unix((n+1)*proofBucket, 0); last.Add(proofWindow + time.Second).Before(now) {
			p.size -= len(bucket)
			delete(p.buckets, n)
		}
	}
}
