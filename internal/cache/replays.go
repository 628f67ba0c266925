package cache

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
)

const (
	replayPrefix = "gatehouse:proof:"
	// replaySkew is added to the TTL of a key: a server whose clock is behind accepts a proof
	// longer.
	replaySkew = time.Minute
)

// Replays is a token.Replays that servers share, so that a DPoP proof works only once at all of
// them together (RFC 9449 §11.1).
//
// The keys are also stored in this process, which is asked first. A Redis that comes back empty
// so does not let a proof work again where it worked before. During an outage a proof works once
// per server.
type Replays struct {
	redis *Redis
	local token.Replays
}

// Replays returns a replay cache on the same connection, with that of this process.
func (r *Redis) Replays(local token.Replays) *Replays { return &Replays{redis: r, local: local} }

// Add stores a key until a time and reports whether it is new. The error is not nil only when
// this process has no space, or when ctx ended before there was a result.
func (p *Replays) Add(ctx context.Context, key string, until, now time.Time) (bool, error) {
	if first, err := p.local.Add(ctx, key, until, now); err != nil || !first {
		return false, err
	}
	if p.redis.paused() {
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

// add stores a key for a TTL and reports whether it is new. It sends the TTL and no absolute
// time, because the clock of Redis may differ.
func (r *Redis) add(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	sum := sha256.Sum256([]byte(key)) // parts of keys come with requests: this bounds their length
	name := r.key(replayPrefix, base64.RawURLEncoding.EncodeToString(sum[:]))
	milliseconds := strconv.FormatInt(max(ttl.Milliseconds(), 1), 10)
	reply, err := r.client.Do(ctx, name, "SET", name, "1", "NX", "PX", milliseconds)
	switch {
	case err != nil || reply.Null:
		return false, err
	case reply.Text != "OK":
		return false, fault.New(fault.Unavailable, "Redis has not answered SET with OK")
	}
	return true, nil
}
