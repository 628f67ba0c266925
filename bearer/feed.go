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

// A TokenRef holds the claims of a token that a revocation can name.
type TokenRef struct {
	ID       string    // jti
	Grant    string    // gid
	Session  string    // sid, or ""
	Subject  string    // sub
	Client   string    // client_id
	IssuedAt time.Time // iat
}

// A FeedConfig says which revocation feed to follow. Issuer and Client are required.
type FeedConfig struct {
	Issuer     string            // the server's issuer, as in iss
	Client     ClientCredentials // a confidential client of this API's own
	Audience   []string          // the names of this API: the server rejects a client that does not see their tokens
	HTTPClient *http.Client      // nil means one without a total timeout, as a stream needs
	StaleAfter time.Duration     // how long the feed may be silent before Current is false; 0 means 10 s
	OnError    func(error)       // called when the stream breaks, before it reconnects; may be nil
}

// A Feed follows the revocation log of a Gatehouse server. It holds the revocations of tokens that
// have not expired in memory, so that checking a token takes a few map lookups and is at most a
// second behind. It is safe for concurrent use. Call Run, then Revoked. A Verifier has one of its
// own.
type Feed struct {
	cfg FeedConfig

	mu      sync.RWMutex
	revoked map[string]map[string]revocation // kind → id
	seq     int64
	last    string    // the id of the newest event, which names the log as well
	heard   time.Time // when the server last confirmed that there is nothing newer
}

type revocation struct{ notBefore, expires int64 } // Unix milliseconds, Unix seconds

const (
	defaultStaleAfter = 10 * time.Second
	minPause          = 100 * time.Millisecond
	maxPause          = 5 * time.Second
	maxLine           = 64 << 10
)

// NewFeed returns a Feed that knows no revocations until Run.
func NewFeed(c FeedConfig) (*Feed, error) {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("bearer: issuer %q is not an http or https URL", c.Issuer)
	}
	if c.Client.ID == "" || c.Client.Secret == "" {
		return nil, errors.New("bearer: only confidential clients may follow the revocation feed: set Client")
	}
	if c.HTTPClient == nil {
		c.HTTPClient = &http.Client{}
	}
	if c.StaleAfter <= 0 {
		c.StaleAfter = defaultStaleAfter
	}
	f := &Feed{cfg: c, revoked: map[string]map[string]revocation{}}
	for _, kind := range []string{"token", "grant", "session", "user", "client", unknownKind} {
		f.revoked[kind] = map[string]revocation{}
	}
	return f, nil
}

// unknownKind stands for all kinds of revocations that a newer server sends and this release does
// not know. What such an entry revokes cannot be said, so that every token issued before it counts
// as revoked.
const unknownKind = ""

// Run follows the feed until ctx ends. When the stream breaks, it reconnects and resumes at the
// entry where it broke.
func (f *Feed) Run(ctx context.Context) {
	pause := minPause
	for ctx.Err() == nil {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if f.cfg.OnError != nil && err != nil {
			f.cfg.OnError(err)
		}
		if time.Since(began) > maxPause {
			pause = minPause
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
		}
		pause = min(2*pause, maxPause)
	}
}

// Current reports whether the server was heard from within FeedConfig.StaleAfter. While it is
// false, a token may have been revoked unnoticed: reject it, or introspect it.
func (f *Feed) Current() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return !f.heard.IsZero() && time.Since(f.heard) <= f.cfg.StaleAfter
}

// Seq returns the number of the newest entry that was received.
func (f *Feed) Seq() int64 {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.seq
}

// Revoked reports whether a token is known to be revoked.
func (f *Feed) Revoked(t TokenRef) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for _, named := range [...]struct{ kind, id string }{{"token", t.ID}, {"grant", t.Grant}, {"session", t.Session}} {
		if named.id == "" {
			continue
		}
		if _, ok := f.revoked[named.kind][named.id]; ok {
			return true
		}
	}
	for _, named := range [...]struct{ kind, id string }{{"user", t.Subject}, {"client", t.Client}} {
		if r, ok := f.revoked[named.kind][named.id]; ok && r.covers(t) {
			return true
		}
	}
	r, ok := f.revoked[unknownKind][""]
	return ok && r.covers(t)
}

// covers reports whether a token was issued before the time at which all tokens of its user or
// client were revoked. iat counts whole seconds; within that second the grant decides, whose id, a
// UUIDv7, contains the millisecond when it was created.
func (r revocation) covers(t TokenRef) bool {
	if t.IssuedAt.Unix() > r.notBefore/1000 {
		return false
	}
	created, ok := createdAt(t.Grant)
	return !ok || created <= r.notBefore
}

// createdAt returns the Unix milliseconds in a UUIDv7 (RFC 9562 §5.7).
func createdAt(id string) (int64, bool) {
	hex := strings.ReplaceAll(id, "-", "")
	if len(id) != 36 || len(hex) != 32 || hex[12] != '7' {
		return 0, false
	}
	ms, err := strconv.ParseInt(hex[:12], 16, 64)
	return ms, err == nil
}

// follow reads one stream to its end.
func (f *Feed) follow(ctx context.Context) error {
	// A connection that is silent for this long is dead, even if TCP has not noticed.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(f.cfg.StaleAfter, cancel)
	defer silence.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address(), nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth(url.QueryEscape(f.cfg.Client.ID), url.QueryEscape(f.cfg.Client.Secret)) // RFC 6749 §2.3.1
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", f.lastID())
	res, err := f.cfg.HTTPClient.Do(req)
	if err != nil {
		return fmt.Errorf("bearer: the revocation feed cannot be reached: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		if res.StatusCode == http.StatusBadRequest { // a server of a former release knows no such ids
			f.forgetID()
		}
		body, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("bearer: the revocation feed responded %s: %s", res.Status, body)
	}
	return f.read(res.Body, func() { silence.Reset(f.cfg.StaleAfter) })
}

// address returns the address of the feed. Naming the API makes the server say so, instead of
// leaving entries out, if the client is not registered for it.
func (f *Feed) address() string {
	address := f.cfg.Issuer + "/oauth/revocations"
	if len(f.cfg.Audience) > 0 {
		address += "?" + url.Values{"resource": f.cfg.Audience}.Encode()
	}
	return address
}

// read parses Server-Sent Events: one field per line, and an event at each empty line.
func (f *Feed) read(r io.Reader, heard func()) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 4<<10), maxLine)
	var event, data, id string
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "event":
			event = value
		case "data":
			data += value
		case "id":
			id = value
		case "":
			if err := f.apply(event, id, data, time.Now()); err != nil {
				return err
			}
			event, data, id = "", "", ""
			heard()
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("bearer: the revocation feed broke: %w", err)
	}
	return errors.New("bearer: the revocation feed ended")
}

// apply applies one event.
func (f *Feed) apply(event, id, data string, now time.Time) error {
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
		return fmt.Errorf("bearer: the revocation feed sent an event that cannot be parsed: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch event {
	case "revocation":
		if f.revoked[e.Kind] == nil || e.Kind == unknownKind {
			e.Kind, e.ID = unknownKind, ""
			if e.NotBefore <= 0 {
				e.NotBefore = e.Expires * 1000
			}
		}
		kind := f.revoked[e.Kind]
		old := kind[e.ID]
		kind[e.ID] = revocation{max(old.notBefore, e.NotBefore), max(old.expires, e.Expires)}
		f.seq = max(f.seq, e.Seq)
	case "beat":
		f.seq, f.heard = max(f.seq, e.Seq), now
		f.removeExpired(now.Unix())
	case "reset":
		// The log is another one and is sent from its start. What we know stays, but until all of
		// it has come, a token may have been revoked unnoticed.
		f.seq, f.last, f.heard = 0, "", time.Time{}
		return nil
	}
	if validID(id) {
		f.last = id
	}
	return nil
}

// maxID bounds the length of the id of an event.
const maxID = 128

// validID reports whether an id can be sent back in a header.
func validID(id string) bool {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}

// lastID returns the id of the newest event, by which the server knows whether its log is still the
// one that was followed.
func (f *Feed) lastID() string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.last == "" {
		return "0"
	}
	return f.last
}

// forgetID makes the next stream begin at the start of the log.
func (f *Feed) forgetID() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = ""
}

// removeExpired removes revocations whose last token has expired. The caller holds the lock.
func (f *Feed) removeExpired(now int64) {
	for _, kind := range f.revoked {
		for id, r := range kind {
			if r.expires < now {
				delete(kind, id)
			}
		}
	}
}
