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
	minKept      = time.Minute
	maxKept      = time.Hour
	usualKept    = 10 * time.Minute // where the answer does not say
	staleFor     = 24 * time.Hour   // how long past its expiry a document stands in for one that cannot be had
	failureKept  = 15 * time.Second // how long an address that failed is left alone
	refreshEvery = 30 * time.Second
	maxEntries   = 1024
	maxFlights   = 64 // attempts under way at once, over all addresses
)

// kept is the documents in hand and the attempts under way.
type kept struct {
	mu      sync.Mutex
	entries map[place]*entry
	flights int
	ctx     context.Context // ends with the Client, not with the request that happened to come first
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	closed  bool
}

// A place is an address with the size its reader can bear: a reader with more room
// must not get the refusal that one with less was given.
type place struct {
	url string
	max int64
}

type entry struct {
	doc     Document
	has     bool
	err     error     // of the last attempt
	tried   time.Time // when the last attempt ended
	used    time.Time
	flight  chan struct{} // closed when the attempt under way has ended; nil when there is none
	waiting int
}

func (k *kept) init() {
	k.entries = map[place]*entry{}
	k.ctx, k.cancel = context.WithCancel(context.Background())
}

func (k *kept) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cancel()
	k.wg.Wait()
}

// Get gives the document at an address: the one in hand while it is fresh, else a
// new one, else for a day the old one, marked stale. At most maxBytes are read.
// Errors are fault.Invalid (the address or what it gives cannot be accepted) or
// fault.Unavailable (there is no answer now). Many callers share one attempt.
func (c *Client) Get(ctx context.Context, address string, maxBytes int64) (Document, error) {
	return c.get(ctx, address, maxBytes, func(e *entry, now time.Time) bool {
		if e.has && now.Before(e.doc.Expires) {
			return false
		}
		return e.err == nil || now.Sub(e.tried) >= failureKept
	})
}

// Refresh is Get for a reader who misses something in the document in hand, such as
// a key it was signed with since: it asks again unless that was done within the
// last 30 seconds, so that a stranger who makes up key ids cannot cause a stream of requests.
func (c *Client) Refresh(ctx context.Context, address string, maxBytes int64) (Document, error) {
	return c.get(ctx, address, maxBytes, func(e *entry, now time.Time) bool {
		return e.tried.IsZero() || now.Sub(e.tried) >= refreshEvery
	})
}

func (c *Client) get(ctx context.Context, address string, maxBytes int64, due func(*entry, time.Time) bool) (Document, error) {
	u, err := c.check(address)
	if err != nil {
		return Document{}, err
	}
	k := &c.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	e, err := k.entry(place{u.String(), maxBytes}, c.now())
	if err != nil {
		return Document{}, err
	}
	if e.flight == nil && due(e, c.now()) {
		if err := c.start(e, u, maxBytes); err != nil && !e.has {
			return Document{}, err
		}
	}
	if landed := e.flight; landed != nil {
		e.waiting++
		k.mu.Unlock()
		select {
		case <-landed:
		case <-ctx.Done():
		}
		k.mu.Lock()
		e.waiting--
	}
	if err := ctx.Err(); err != nil {
		return Document{}, fault.Wrap(fault.Unavailable, err, "the request ended before %s answered", u.Host)
	}
	return e.answer(c.now())
}

// start begins an attempt that belongs to nobody, so that it survives the caller.
// The lock is held.
func (c *Client) start(e *entry, u *url.URL, maxBytes int64) error {
	k := &c.kept
	if k.closed || k.flights >= maxFlights {
		return fault.RetryAfter(fault.Unavailable, time.Second, "too many documents are being fetched; try again in a moment")
	}
	landed := make(chan struct{})
	e.flight = landed
	k.flights++
	k.wg.Go(func() {
		doc, err := c.load(k.ctx, u, maxBytes)
		k.mu.Lock()
		defer k.mu.Unlock()
		if e.err, e.tried = err, c.now(); err == nil {
			e.doc, e.has = doc, true
		}
		e.flight = nil
		k.flights--
		close(landed)
	})
	return nil
}

// answer is the document if it will do, else why there is none.
func (e *entry) answer(now time.Time) (Document, error) {
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

// entry finds or makes the entry of a place, and keeps their number bounded. The lock is held.
func (k *kept) entry(p place, now time.Time) (*entry, error) {
	e, ok := k.entries[p]
	if !ok {
		if len(k.entries) >= maxEntries && !k.evict() {
			return nil, fault.RetryAfter(fault.Unavailable, time.Second, "too many documents are being fetched; try again in a moment")
		}
		e = &entry{}
		k.entries[p] = e
	}
	e.used = now
	return e, nil
}

// evict drops the entry that was unused for longest and is not waited for.
func (k *kept) evict() bool {
	var oldest place
	found := false
	for p, e := range k.entries {
		if e.flight == nil && e.waiting == 0 && (!found || e.used.Before(k.entries[oldest].used)) {
			oldest, found = p, true
		}
	}
	delete(k.entries, oldest)
	return found
}

// lifetime is how long an answer may be kept (RFC 9111 §4.2), within our bounds:
// neither does no-store make us ask at every request, nor a year hold on to a key
// that was withdrawn.
func lifetime(h http.Header, now time.Time) time.Duration {
	age, stated := usualKept, false
	for _, line := range h.Values("Cache-Control") {
		for _, d := range strings.Split(line, ",") {
			name, arg, _ := strings.Cut(strings.ToLower(strings.TrimSpace(d)), "=")
			switch name {
			case "no-store", "no-cache":
				return minKept
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
		age = 0 // "0" and other nonsense mean already expired (RFC 9111 §5.3)
		if at, err := http.ParseTime(expires); err == nil {
			age = at.Sub(now)
		}
	}
	return min(max(age, minKept), maxKept)
}
