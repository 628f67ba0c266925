// Package upstream sends requests on to the servers behind the gateway. A Pool is the servers of one route: it takes them in turn,
// leaves out those that fail, and asks another one where that is safe. What one pool's servers do wrong (hang, reset, lie about a
// length, never end their headers) is bounded in time, memory and number of requests, so that no other pool notices.
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

// Options say where a pool's requests go. Targets are http, https or h2c (HTTP/2 without TLS) URLs, with a path that is put before a
// request's own.
type Options struct {
	Targets     []string
	Timeout     time.Duration // until the answer's header has come, not counting the time that the caller takes to send; 0: 30 s
	Idle        time.Duration // a body, either way, may rest this long; 0: 5 min
	HealthPath  string        // from the target's root, asked by GET; "": only failures of requests count
	HealthEvery time.Duration // 0: 10 s
	MaxWaiting  int           // requests of one target whose answer has not begun; 0: 2048
	Transport   *Transport    // shared between pools; nil: one of the pool's own
	Now         func() time.Time
	OnState     func(target string, healthy bool, cause error) // a target is left out from now on, or taken again; must not block
}

const (
	defaultTimeout     = 30 * time.Second
	defaultIdle        = 5 * time.Minute
	defaultHealthEvery = 10 * time.Second
	defaultMaxWaiting  = 2048
	maxTargets         = 64 // as many as fit in a call's set of those tried
	maxAttempts        = 3
)

// Pool is the servers of one route. It is safe for concurrent use; its targets never change.
type Pool struct {
	Options
	targets []*target
	turn    atomic.Uint64
	own     bool // the transport is the pool's own
	buffers buffers
	quiet   *log.Logger     // for httputil.ReverseProxy: what is worth knowing is in the error and in OnState
	closed  context.Context //nolint:containedctx // the pool's life, not a request's
	close   context.CancelFunc
}

// target is one server.
type target struct {
	url     *url.URL // as configured; nobody changes it
	name    string   // as configured, for people
	scheme  string   // on the wire: http or https
	path    string   // put before a request's path; no slash at the end
	rawPath string   // the same, escaped
	h2c     bool
	waiting atomic.Int64
	down    atomic.Bool // active checks fail
	breaker breaker
}

// New makes a pool. Nothing is dialled yet.
func New(o Options) (*Pool, error) {
	if len(o.Targets) == 0 || len(o.Targets) > maxTargets {
		return nil, fault.InvalidField("upstreams", "Give between 1 and %d upstream addresses; these are %d.", maxTargets, len(o.Targets))
	}
	if o.HealthPath != "" {
		if u, err := url.ParseRequestURI(o.HealthPath); err != nil || o.HealthPath[0] != '/' || u.Host != "" {
			return nil, fault.InvalidField("health_path", "The health path %q is not a path on the upstream. Write one such as /healthz.", o.HealthPath)
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
		return fault.InvalidField("upstreams", "The upstream %q %s. Write one such as http://10.0.0.5:8080, https://api.internal/v2 or h2c://10.0.0.5:50051.", s, why)
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, fault.InvalidField("upstreams", "An upstream is not a URL. Write one such as http://10.0.0.5:8080.") // the text may hold a password
	case u.User != nil:
		return nil, fault.InvalidField("upstreams", "The upstream at %q holds a user name or password; send credentials to an upstream another way.", u.Host)
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

// pick is the next target in turn that is healthy and not tried yet; nil when there is none.
func (p *Pool) pick(tried uint64) (_ *target, index int) {
	n := len(p.targets)
	start := 0
	if n > 1 {
		start = int(p.turn.Add(1) % uint64(n))
	}
	for i := range n {
		at := (start + i) % n
		t := p.targets[at]
		if tried&(1<<at) != 0 || t.down.Load() || t.busy(p.MaxWaiting) {
			continue
		}
		if t.breaker.allow(p.Now) {
			return t, at
		}
	}
	return nil, 0
}

// busy reports whether as many requests wait for the target as may. Those that are let in at the same moment are not counted exactly.
func (t *target) busy(most int) bool { return t.waiting.Load() >= int64(most) }

// Close ends the active checks. Requests that are under way go on; Out.Still ends those that should not.
func (p *Pool) Close() {
	p.close()
	if p.own {
		p.Transport.Close()
	}
}

const bufferSize = 32 << 10

// buffers lends the memory that a body passes through.
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
