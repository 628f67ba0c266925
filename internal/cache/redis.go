package cache

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/cache/redis"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	redisTimeout    = 250 * time.Millisecond // of one command
	redisDial       = 3 * time.Second        // of an attempt to connect
	redisRetry      = time.Second            // between attempts during an outage
	sentinelRefresh = time.Second            // between questions to the Sentinels
	redisPrefix     = "gatehouse:limit:"
)

// takeScript is pace.take with the clock of Redis, so that the clocks of servers need not agree.
// Times are microseconds, which a Lua number represents exactly.
const takeScript = `
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local step, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = tonumber(redis.call('GET', KEYS[1])) or now
local ahead = math.min(math.max(due - now, 0), room)
if ahead + step > room then return {0, ahead} end
ahead = ahead + step
redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', math.ceil(ahead / 1000))
return {1, ahead}`

// RedisOptions configures a Redis limiter.
type RedisOptions struct {
	// Space separates the counters and proofs of servers that share a Redis and nothing else, such
	// as realms. "" is the space of servers that are not named.
	Space      string
	Now        func() time.Time
	Fallback   Limiter         // counts while Redis does not answer; may be nil if Take is not called
	OnOutage   func(err error) // called once when Redis stops answering; may be nil
	OnRecovery func()          // called once when it answers again; may be nil
}

// Redis is a Limiter whose counters are shared through Redis or Valkey. When that does not
// answer, requests are counted in this process: a limit then holds per server, which is weaker,
// but better than no limit or no service. Its Replays share the connection and the state of an
// outage.
type Redis struct {
	client  *redis.Client
	script  redis.Script
	opt     RedisOptions
	down    atomic.Bool
	retryAt atomic.Int64 // Unix nanoseconds; while down, Redis is not asked before
}

// OpenRedis connects to one server, to a Sentinel's primary or to a cluster; see redisConfig for
// the addresses. The address is not part of the error, because it may contain a password.
func OpenRedis(url string, opt RedisOptions) (*Redis, error) {
	cfg, err := redisConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.Name = "gatehouse"
	cfg.DialTimeout, cfg.Timeout, cfg.Refresh = redisDial, redisTimeout, sentinelRefresh
	client, err := redis.Open(context.Background(), cfg)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "Redis at REDIS_URL does not answer; "+
			"check that it runs and that the address and password are right")
	}
	return &Redis{client: client, script: redis.NewScript(takeScript), opt: opt}, nil
}

// Down reports whether Redis did not answer when it was last asked.
func (r *Redis) Down() bool { return r.down.Load() }

// Ping returns an error unless Redis answers.
func (r *Redis) Ping(ctx context.Context) error {
	_, err := r.client.Do(ctx, "", "PING")
	return err
}

// Close ends the connection.
func (r *Redis) Close() { r.client.Close() }

// Take counts one request.
func (r *Redis) Take(ctx context.Context, key string, l Limit) (Result, error) {
	p, limited := newPace(l, time.Microsecond)
	if !limited {
		return Result{Allowed: true}, nil
	}
	if r.paused() {
		return r.opt.Fallback.Take(ctx, key, l)
	}
	res, err := r.take(ctx, key, p)
	if err == nil {
		r.recovered()
		return res, nil
	}
	if ctx.Err() != nil {
		return Result{}, fault.Wrap(fault.Unavailable, ctx.Err(), "the request ended before it was counted")
	}
	r.failed(err)
	return r.opt.Fallback.Take(ctx, key, l)
}

// key returns the name of a key in Redis.
func (r *Redis) key(prefix, name string) string {
	if r.opt.Space == "" {
		return prefix + name
	}
	return prefix + "realm:" + r.opt.Space + ":" + name
}

func (r *Redis) take(ctx context.Context, key string, p pace) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	if len(key) > maxKey {
		key = shorten(key)
	}
	name := r.key(redisPrefix, key)
	reply, err := r.script.Do(ctx, r.client, name, strconv.FormatInt(p.step, 10), strconv.FormatInt(p.room, 10))
	if err != nil {
		return Result{}, err
	}
	out := reply.Ints()
	if len(out) != 2 {
		return Result{}, fault.New(fault.Unavailable, "Redis returned %d numbers instead of 2", len(out))
	}
	return p.result(out[1], out[0] == 1), nil
}

// paused reports whether Redis is not to be asked now. During an outage one request a second is
// sent, to notice its end.
func (r *Redis) paused() bool {
	if !r.down.Load() {
		return false
	}
	now, at := r.opt.Now().UnixNano(), r.retryAt.Load()
	return now < at || !r.retryAt.CompareAndSwap(at, now+int64(redisRetry))
}

func (r *Redis) failed(err error) {
	r.retryAt.Store(r.opt.Now().Add(redisRetry).UnixNano())
	if r.down.CompareAndSwap(false, true) && r.opt.OnOutage != nil {
		r.opt.OnOutage(err)
	}
}

func (r *Redis) recovered() {
	if r.down.Load() && r.down.CompareAndSwap(true, false) && r.opt.OnRecovery != nil {
		r.opt.OnRecovery()
	}
}
