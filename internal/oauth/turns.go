package oauth

import (
	"context"
	"hash/fnv"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// turns lets the redemptions of one code go one after another: the second ends what the first was given
// (RFC 6749 §4.1.2), and must not do so before the first has been answered, or of two requests at once neither would
// succeed. Different codes may share a turn; they wait for milliseconds. Between two servers the store alone decides:
// at most one succeeds there, too.
type turns [256]chan struct{}

func newTurns() *turns {
	t := &turns{}
	for i := range t {
		t[i] = make(chan struct{}, 1)
	}
	return t
}

func (t *turns) enter(ctx context.Context, key string) (leave func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(key))
	turn := t[h.Sum32()%uint32(len(t))]
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "the server is busy; try again in a moment")
	}
}
