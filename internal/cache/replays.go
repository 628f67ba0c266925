package cache

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/redis/rueidis"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
)

const (
	replayPrefix = "gatehouse:proof:"
	// replaySkew is what a key outlives its end by: another server, whose clock is behind, accepts a proof for so much longer.
	replaySkew = time.Minute
)

// Replays is an token.Replays that servers share, so that a DPoP proof works once at all of them together (RFC 9449 §11.1).
//
// This process remembers as well, and is asked first. So a Redis that was lost and comes back empty lets no proof work a second
// time where it worked before; while it is away, a proof works once per server.
type Replays struct {
	redis *Redis
	own   token.Replays
}

// Replays makes a memory of proofs on the same connection. Own is the memory of this process.
func (r *Redis) Replays(own token.Replays) *Replays { return &Replays{redis: r, own: own} }

// First remembers a key until a time and reports whether it was unknown. The error is not nil only when this process has no room, or
// when ctx ended before there was an answer.
func (p *Replays) Add(ctx context.Context, key string, until, now time.Time) (bool, error) {
	if first, err := p.own.Add(ctx, key, until, now); err != nil || !first {
		return false, err
	}
	if p.redis.resting() {
		return true, nil
	}
	first, err := p.redis.add(ctx, key, until.Sub(now)+replaySkew)
	if err == nil {
		p.redis.recovered()
		return first, nil
	}
	if ctx.Err() != nil {
		return false, fault.Wrap(fault.Unavailable, ctx.Err(), "the request ended before its proof was looked up")
	}
	p.redis.failed(err)
	return true, nil
}

// add reports true to the first who adds a key within life. The life and no time of day is sent: Redis' clock may differ.
func (r *Redis) add(ctx context.Context, key string, life time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	sum := sha256.Sum256([]byte(key)) // parts of keys come from strangers: this bounds them
	name := replayPrefix + base64.RawURLEncoding.EncodeToString(sum[:])
	set := r.client.B().Set().Key(name).Value("1").Nx().PxMilliseconds(max(life.Milliseconds(), 1)).Build()
	err := r.client.Do(ctx, set).Error()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	return err == nil, err
}
