// Package upstream forwards requests to the servers behind the gateway. A Pool is the servers of
// one route. It uses them round-robin, skips those that fail, and tries another one where that is
// safe. What a pool's servers do wrong (hang, reset, send a false length, never end their
// headers) is bounded in time, memory and number of requests, so that it does not affect other
// pools.
//
//	Serve ──► pick a target ──► httputil.ReverseProxy (Rewrite) ──► Transport
//	              ▲                      │
//	              └── safe, not begun ◄──┘ failed
package upstream

import (
	"context"
	"io"
	"log"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Options say where a pool's requests go. Targets are http, https or h2c (HTTP/2 without TLS) URLs.
// The path of a target comes before that of a request.
type Options struct {
	Targets []string
	// until the answer's header arrives, without the time that the caller takes to send; 0: 30 s
	Timeout time.Duration
	Idle    time.Duration // how long no byte of a body may move, either way; 0: 5 min
	// from the target's root, requested with GET; "": only failures of requests count
	HealthPath  string
	HealthEvery time.Duration // 0: 10 s
	MaxWaiting  int           // requests of one target whose answer has not begun; 0: 2048
	Transport   *Transport    // shared between pools; nil: one of the pool's own
	Now         func() time.Time
	// a target fails, so that it is skipped while the pool has another one, or it is used again;
	// must not block
	OnState func(target string, healthy bool, cause error)
}

const (
	defaultTimeout     = 30 * time.Second
	defaultIdle        = 5 * time.Minute
	defaultHealthEvery = 10 * time.Second
	defaultMaxWaiting  = 2048
	maxTargets         = 64 // as many as the bits of a call's set of tried targets
	maxAttempts        = 3
)

// Pool is the servers of one route. It is safe for concurrent use; its targets never change.
type Pool struct {
	Options
	targets []*target
	next    atomic.Uint64
	own     bool // the transport is the pool's own
	buffers buffers
	quiet   *log.Logger     // for httputil.ReverseProxy: the errors and OnState say what matters
	closed  context.Context // ends with the pool
	close   context.CancelFunc
}

// target is one server.
type target struct {
	url     *url.URL // as configured; never changed
	name    string   // as configured, for people
	scheme  string   // on the wire: http or https
	path    string   // comes before a request's path; no slash at the end
	rawPath string   // the same, escaped
	h2c     bool
	waiting atomic.Int64
	down    atomic.Bool // active checks fail
	breaker breaker
}

// New returns a pool. It connects to nothing yet.
func New(o Options) (*Pool, error) {
	if len(o.Targets) == 0 || len(o.Targets) > maxTargets {
		return nil, fault.InvalidField("upstreams", "Give between 1 and %d upstream addresses; "+
			"these are %d.", maxTargets, len(o.Targets))
	}
	if o.HealthPath != "" {
		if u, err := url.ParseRequestURI(o.HealthPath); err != nil || o.HealthPath[0] != '/' || u.Host != "" {
			return nil, fault.InvalidField("health_path", "The health path %q is not a path on "+
				"the upstream. Write one such as /healthz.", o.HealthPath)
		}
	}
	o.fill()
	p := &Pool{Options: o, quiet: log.New(io.Discard, "", 0)}
	for _, s := range o.Targets {
		t, err := newTarget(s)
		if err != nil {
			return nil, err
		}
		p.targets = append(p.targets, t)
	}
	if p.Transport == nil {
		p.Transport, p.own = NewTransport(TransportOptions{}), true
	}
	p.closed, p.close = context.WithCancel(context.Background())
	return p, nil
}

func (o *Options) fill() {
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.Idle <= 0 {
		o.Idle = defaultIdle
	}
	if o.HealthEvery <= 0 {
		o.HealthEvery = defaultHealthEvery
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = defaultMaxWaiting
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnState == nil {
		o.OnState = func(string, bool, error) {}
	}
}

func newTarget(s string) (*target, error) {
	bad := func(why string) error {
		return fault.InvalidField("upstreams", "The upstream %q %s. Write one such as "+
			"http://10.0.0.5:8080, https://api.internal/v2 or h2c://10.0.0.5:50051.", s, why)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		// the text may contain a password
		return nil, fault.InvalidField("upstreams", "An upstream is not a URL. Write one such "+
			"as http://10.0.0.5:8080.")
	case u.User != nil:
		return nil, fault.InvalidField("upstreams", "The upstream at %q holds a username or "+
			"password; send credentials to an upstream another way.", u.Host)
	case u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "h2c":
		return nil, bad("has none of the schemes http, https and h2c")
	case u.Hostname() == "":
		return nil, bad("has no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, bad("has a query or a fragment")
	}
	t := &target{
		url: u, name: u.String(), scheme: u.Scheme,
		path: strings.TrimSuffix(u.Path, "/"), rawPath: strings.TrimSuffix(u.EscapedPath(), "/"),
	}
	if u.Scheme == "h2c" {
		t.scheme, t.h2c = "http", true
	}
	return t, nil
}

// pick returns the next target, round-robin, that is healthy and not tried yet, or nil. If
// breakers skip all that are left, it returns one of them: a target that fails some requests may
// still serve the rest.
func (p *Pool) pick(tried uint64) (_ *target, index int) {
	n := len(p.targets)
	start := 0
	if n > 1 {
		start = int(p.next.Add(1) % uint64(n))
	}
	var last *target
	for i := range n {
		at := (start + i) % n
		t := p.targets[at]
		if tried&(1<<at) != 0 || t.down.Load() || t.busy(p.MaxWaiting) {
			continue
		}
		if t.breaker.allow(p.Now) {
			return t, at
		}
		if last == nil {
			last, index = t, at
		}
	}
	return last, index
}

// busy reports whether as many requests wait for the target as allowed. Concurrent requests are not
// counted exactly.
func (t *target) busy(most int) bool { return t.waiting.Load() >= int64(most) }

// Close ends the health checks. Requests that are being served go on; Out.Recheck ends those that
// should not.
func (p *Pool) Close() {
	p.close()
	if p.own {
		p.Transport.Close()
	}
}

const bufferSize = 32 << 10

// buffers provides the memory that bodies pass through.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return p[:]
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(buf []byte) { b.pool.Put((*[bufferSize]byte)(buf)) }
