package bearer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Identity is what a revocation can name in a token: its claims of the same names.
type Identity struct {
	ID       string    // jti
	Grant    string    // gid
	Session  string    // sid, or ""
	Subject  string    // sub
	Client   string    // client_id
	IssuedAt time.Time // iat
}

// FeedOptions say whom to follow and as whom.
type FeedOptions struct {
	Issuer       string        // the server's issuer, as in `iss`
	ClientID     string        // a confidential client of this resource server's own
	ClientSecret string        // its secret
	HTTP         *http.Client  // nil: one without a total timeout, as a stream needs
	Bound        time.Duration // how long nothing may be heard before Current is false; 0: 10 s
	OnError      func(error)   // told when the stream breaks; it is taken up again by itself; may be nil
}

// Feed is a follower of the log of revocations. It keeps those in memory whose tokens have not expired, so that the answer costs a few map
// look-ups and is at most a second old. It is safe for concurrent use. Run it, then ask Revoked. A Verifier has one of its own.
type Feed struct {
	o FeedOptions

	mu    sync.RWMutex
	dead  map[string]map[string]entry // kind → id
	seq   int64
	heard time.Time // when the server last said that this is all there is
}

type entry struct{ notBefore, expires int64 } // Unix milliseconds, Unix seconds

const (
	defaultBound = 10 * time.Second
	leastPause   = 100 * time.Millisecond
	mostPause    = 5 * time.Second
	maxLine      = 64 << 10
)

// NewFeed makes a follower. It hears nothing until Run.
func NewFeed(o FeedOptions) (*Feed, error) {
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("bearer: issuer %q is not an http or https URL", o.Issuer)
	}
	if o.ClientID == "" || o.ClientSecret == "" {
		return nil, errors.New("bearer: the feed is told to confidential clients only: set ClientID and ClientSecret")
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{}
	}
	if o.Bound <= 0 {
		o.Bound = defaultBound
	}
	f := &Feed{o: o, dead: map[string]map[string]entry{}}
	for _, kind := range []string{"token", "grant", "session", "user", "client"} {
		f.dead[kind] = map[string]entry{}
	}
	return f, nil
}

// Run follows until ctx ends, and takes the stream up again when it breaks, at the entry where it broke.
func (f *Feed) Run(ctx context.Context) {
	pause := leastPause
	for ctx.Err() == nil {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if f.o.OnError != nil && err != nil {
			f.o.OnError(err)
		}
		if time.Since(began) > mostPause {
			pause = leastPause
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
		}
		pause = min(2*pause, mostPause)
	}
}

// Current reports whether the feed has heard from the server within its bound. While it is false a token may have been revoked
// without our knowing: refuse it, or ask the introspection endpoint.
func (f *Feed) Current() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return !f.heard.IsZero() && time.Since(f.heard) <= f.o.Bound
}

// Seq is the newest entry that has been heard.
func (f *Feed) Seq() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.seq
}

// Revoked reports whether a token is known to be dead.
func (f *Feed) Revoked(t Identity) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, one := range [...]struct{ kind, id string }{{"token", t.ID}, {"grant", t.Grant}, {"session", t.Session}} {
		if one.id == "" {
			continue
		}
		if _, dead := f.dead[one.kind][one.id]; dead {
			return true
		}
	}
	for _, one := range [...]struct{ kind, id string }{{"user", t.Subject}, {"client", t.Client}} {
		if e, ok := f.dead[one.kind][one.id]; ok && e.kills(t) {
			return true
		}
	}
	return false
}

// kills reports whether a token was issued before a user's or client's cut. Tokens carry whole seconds; within the second of
// the cut the grant decides, whose id (a UUIDv7) holds the millisecond of its making.
func (e entry) kills(t Identity) bool {
	if t.IssuedAt.Unix() > e.notBefore/1000 {
		return false
	}
	begun, ok := madeAt(t.Grant)
	return !ok || begun <= e.notBefore
}

// madeAt is the Unix millisecond within a UUIDv7 (RFC 9562 §5.7).
func madeAt(id string) (int64, bool) {
	hex := strings.ReplaceAll(id, "-", "")
	if len(id) != 36 || len(hex) != 32 || hex[12] != '7' {
		return 0, false
	}
	ms, err := strconv.ParseInt(hex[:12], 16, 64)
	return ms, err == nil
}

// follow reads one stream to its end.
func (f *Feed) follow(ctx context.Context) error {
	// A connection that is silent for the bound is dead, whatever TCP thinks.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(f.o.Bound, cancel)
	defer silence.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.o.Issuer+"/oauth/revocations", nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth(url.QueryEscape(f.o.ClientID), url.QueryEscape(f.o.ClientSecret))
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", strconv.FormatInt(f.Seq(), 10))
	res, err := f.o.HTTP.Do(req)
	if err != nil {
		return fmt.Errorf("bearer: the revocation feed cannot be reached: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("bearer: the revocation feed answered %s: %s", res.Status, body)
	}
	return f.read(res.Body, func() { silence.Reset(f.o.Bound) })
}

// read parses Server-Sent Events: fields by line, an event at each empty line.
func (f *Feed) read(r io.Reader, alive func()) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4<<10), maxLine)
	var event, data string
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			event = value
		case "data":
			data += value
		case "":
			if err := f.take(event, data, time.Now()); err != nil {
				return err
			}
			event, data = "", ""
			alive()
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("bearer: the revocation feed broke: %w", err)
	}
	return errors.New("bearer: the revocation feed ended")
}

// take takes one event in.
func (f *Feed) take(event, data string, now time.Time) error {
	if data == "" {
		return nil
	}
	var e struct {
		Seq       int64  `json:"seq"`
		Kind      string `json:"kind"`
		ID        string `json:"id"`
		NotBefore int64  `json:"nbf"`
		Expires   int64  `json:"exp"`
	}
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return fmt.Errorf("bearer: the revocation feed sent what cannot be read: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch event {
	case "revocation":
		if of := f.dead[e.Kind]; of != nil {
			old := of[e.ID]
			of[e.ID] = entry{max(old.notBefore, e.NotBefore), max(old.expires, e.Expires)}
		}
		f.seq = max(f.seq, e.Seq)
	case "beat":
		f.seq, f.heard = max(f.seq, e.Seq), now
		f.compact(now.Unix())
	case "reset": // the log has been restored: it is told again from its start; what we know stays
		f.seq = 0
	}
	return nil
}

// compact forgets entries whose last token has expired. The caller holds the lock.
func (f *Feed) compact(now int64) {
	for _, of := range f.dead {
		for id, e := range of {
			if e.expires < now {
				delete(of, id)
			}
		}
	}
}
