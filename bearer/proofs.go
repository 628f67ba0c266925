package bearer

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	maxProofs   = 1 << 20 // about 50 MB when full: 8,000 requests a second for the life of a proof
	proofBucket = 10      // seconds of iat that are forgotten together
)

// proofs remembers DPoP proofs for as long as they could be used. A proof that is shown again has the same iat, so it is looked for among
// those of its time only, and whole buckets are forgotten without looking at each.
type proofs struct {
	mu      sync.Mutex
	buckets map[int64]map[[sha256.Size / 2]byte]struct{} // by iat
	size    int
	most    int
}

func newProofs(most int) *proofs {
	return &proofs{most: most, buckets: map[int64]map[[sha256.Size / 2]byte]struct{}{}}
}

// add reports whether a proof is new. It forgets nothing that is still good: when there is no room, room is false and the proof is not taken.
func (p *proofs) add(id [sha256.Size]byte, issued, now time.Time) (fresh, room bool) {
	key := [sha256.Size / 2]byte(id[:])
	at := issued.Unix() / proofBucket
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.buckets[at]
	if b == nil {
		p.forget(now)
		b = map[[sha256.Size / 2]byte]struct{}{}
		p.buckets[at] = b
	}
	if _, used := b[key]; used {
		return false, true
	}
	if p.size >= p.most {
		return false, false
	}
	b[key] = struct{}{}
	p.size++
	return true, true
}

// forget drops the buckets whose last proof has gone out of use. The caller holds the lock.
func (p *proofs) forget(now time.Time) {
	for at, b := range p.buckets {
		if last := time.Unix((at+1)*proofBucket, 0); last.Add(proofWindow + time.Second).Before(now) {
			p.size -= len(b)
			delete(p.buckets, at)
		}
	}
}
