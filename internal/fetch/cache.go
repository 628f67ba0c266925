package fetch

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

const (
	minTTL          = time.Minute
	maxTTL          = time.Hour
	defaultTTL      = 10 * time.Minute // where the response does not say
	staleFor        = 24 * time.Hour   // how long an expired document is used when there is no new one
	failureTTL      = 15 * time.Second // before an address that failed is tried again
	refreshInterval = 30 * time.Second
	maxEntries      = 1024
	maxAttempts     = 64 // at a time, over all addresses
)

// cache is the cached documents and the attempts in progress.
type cache struct {
	mu       sync.Mutex
	entries  map[key]*entry
	attempts int             // in progress
	ctx      context.Context // of attempts; ends with the Client, not with a request
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	closed   bool
}

// A key is an address with the size that its caller accepts: a caller that accepts more must not
// get the error of one that accepts less.
type key struct {
	url string
	max int64
}

type entry struct {
	doc     Document
	has     bool      // doc is set
	err     error     // of the last attempt
	triedAt time.Time // when the last attempt ended
	usedAt  time.Time
	attempt chan struct{} // closed when the attempt in progress has ended; nil when there is none
	waiting int           // callers
}

func (c *cache) init() {
	c.entries = map[key]*entry{}
	c.ctx, c.cancel = context.WithCancel(context.Background())
}

func (c *cache) close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.wg.Wait()
}

// Get returns the document at an address: the cached one until it expires, then a new one, and
// when there is none, for a day the expired one, marked stale. It reads at most maxBytes. Errors
// are fault.Invalid (the address or its document is not acceptable) or fault.Unavailable (there
// is no response now). Concurrent callers share one attempt.
func (c *Client) Get(ctx context.Context, address string, maxBytes int64) (Document, error) {
	return c.get(ctx, address, maxBytes, func(e *entry, now time.Time) bool {
		if e.has && now.Before(e.doc.Expires) {
			return false
		}
		return e.err == nil || now.Sub(e.triedAt) >= failureTTL
	})
}

// Refresh works like Get, for a caller that misses something in the cached document, such as a
// new key. It fetches the document again, unless that was tried within the last 30 seconds:
// tokens with invented key ids must not cause a stream of requests.
func (c *Client) Refresh(ctx context.Context, address string, maxBytes int64) (Document, error) {
	return c.get(ctx, address, maxBytes, func(e *entry, now time.Time) bool {
		return e.triedAt.IsZero() || now.Sub(e.triedAt) >= refreshInterval
	})
}

func (c *Client) get(
	ctx context.Context, address string, maxBytes int64, due func(*entry, time.Time) bool,
) (Document, error) {
	u, err := c.check(address)
	if err != nil {
		return Document{}, err
	}
	docs := &c.cache
	docs.mu.Lock()
	defer docs.mu.Unlock()
	e, err := docs.entry(key{u.String(), maxBytes}, c.now())
	if err != nil {
		return Document{}, err
	}
	if e.attempt == nil && due(e, c.now()) {
		if err := c.start(e, u, maxBytes); err != nil && !e.has {
			return Document{}, err
		}
	}
	if done := e.attempt; done != nil {
		e.waiting++
		docs.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
		}
		docs.mu.Lock()
		e.waiting--
	}
	if err := ctx.Err(); err != nil {
		return Document{}, fault.Wrap(fault.Unavailable, err, "the request ended before %s answered", u.Host)
	}
	return e.result(c.now())
}

// start starts an attempt, which goes on if its caller leaves. The caller has locked the cache.
func (c *Client) start(e *entry, u *url.URL, maxBytes int64) error {
	docs := &c.cache
	if docs.closed || docs.attempts >= maxAttempts {
		return tooMany()
	}
	done := make(chan struct{})
	e.attempt = done
	docs.attempts++
	docs.wg.Go(func() {
		doc, err := c.load(docs.ctx, u, maxBytes)
		docs.mu.Lock()
		defer docs.mu.Unlock()
		if e.err, e.triedAt = err, c.now(); err == nil {
			e.doc, e.has = doc, true
		}
		e.attempt = nil
		docs.attempts--
		close(done)
	})
	return nil
}

// result returns the document if it can be used, else the error of the last attempt.
func (e *entry) result(now time.Time) (Document, error) {
	switch {
	case e.has && now.Before(e.doc.Expires):
		return e.doc, nil
	case e.has && now.Before(e.doc.Expires.Add(staleFor)) && (e.err == nil || fault.Is(e.err, fault.Unavailable)):
		doc := e.doc
		doc.Stale = true
		return doc, nil
	case e.err != nil:
		return Document{}, e.err
	}
	return Document{}, fault.New(fault.Unavailable, "the document could not be fetched; try again in a moment")
}

// entry returns the entry of a key, and creates it in place of the one unused for longest if
// there are too many. The caller has locked the cache.
func (c *cache) entry(k key, now time.Time) (*entry, error) {
	e, ok := c.entries[k]
	if !ok {
		if len(c.entries) >= maxEntries && !c.evict() {
			return nil, tooMany()
		}
		e = &entry{}
		c.entries[k] = e
	}
	e.usedAt = now
	return e, nil
}

// tooMany returns the error of a bound that is reached.
func tooMany() error {
	return fault.RetryAfter(fault.Unavailable, time.Second,
		"too many documents are being fetched; try again in a moment")
}

// evict deletes the entry that was unused for longest, of those without an attempt or a waiting
// caller. It reports whether there was one.
func (c *cache) evict() bool {
	var oldest key
	found := false
	for k, e := range c.entries {
		idle := e.attempt == nil && e.waiting == 0
		if idle && (!found || e.usedAt.Before(c.entries[oldest].usedAt)) {
			oldest, found = k, true
		}
	}
	delete(c.entries, oldest)
	return found
}

// ttl returns how long a response may be cached (RFC 9111 §4.2), within our bounds: no-store must
// not cause a fetch for every request, nor a year keep a key that was withdrawn.
func ttl(h http.Header, now time.Time) time.Duration {
	age, stated := defaultTTL, false
	for _, line := range h.Values("Cache-Control") {
		for _, d := range strings.Split(line, ",") {
			name, arg, _ := strings.Cut(strings.ToLower(strings.TrimSpace(d)), "=")
			switch name {
			case "no-store", "no-cache":
				return minTTL
			case "max-age":
				if n, err := strconv.ParseInt(strings.Trim(arg, `"`), 10, 32); err == nil {
					age, stated = time.Duration(n)*time.Second, true
				}
			}
		}
	}
	if n, err := strconv.ParseInt(h.Get("Age"), 10, 32); err == nil && stated && n > 0 {
		age -= time.Duration(n) * time.Second
	}
	if expires := h.Get("Expires"); expires != "" && !stated {
		age = 0 // "0" and other invalid dates mean already expired (RFC 9111 §5.3)
		if at, err := http.ParseTime(expires); err == nil {
			age = at.Sub(now)
		}
	}
	return min(max(age, minTTL), maxTTL)
}
