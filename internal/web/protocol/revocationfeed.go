package protocol

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	feedBeat    = 2 * time.Second  // between two beats
	feedTimeout = 10 * time.Second // for a follower that does not read, and for storage

	maxFollowers         = 1000
	maxFollowersOfClient = 100 // so that no client keeps the others out
)

// feed streams the log of revocations as Server-Sent Events (HTML Standard §9.2). Events:
//
//	event: revocation   id: number.mark           data: {"seq", "kind", "id", "nbf", "exp"}
//	event: beat         data: {"seq", "time"}     all up to seq has been sent, at a time in Unix ms
//	event: reset        data: {"seq"}             the log is another one: all of it follows
//
// A follower resumes with Last-Event-ID, the last id that it has received, or ?since=. If the log
// has no entry with this number and mark, it is another one than the follower knows, and all of it
// is sent. Revocations of expired tokens are left out, so any stream is short, and so are those of
// tokens that the follower's client may not see. It names its APIs by ?resource= to be refused
// rather than kept waiting.
func (s *Server) feed(w http.ResponseWriter, r *http.Request) {
	if err := s.tryFeed(w, r); err != nil {
		s.fail(w, r, err)
	}
}

func (s *Server) tryFeed(w http.ResponseWriter, r *http.Request) error {
	c, err := s.parse(w, r, web.FromQuery, "revocations")
	if err != nil {
		return err
	}
	cl, err := s.tokens.AuthenticateFollower(r.Context(), c)
	if err != nil {
		return err
	}
	web.EventOf(r.Context()).Client = string(cl.ID)
	since, mark, err := resumeFrom(r, c)
	if err != nil {
		return err
	}
	if !s.followers.take(cl.ID) {
		return fault.RetryAfter(fault.Unavailable, 10*time.Second,
			"too many followers; try again in a moment")
	}
	defer s.followers.leave(cl.ID)
	if err := s.tokens.FeedCurrent(); err != nil {
		return err
	}
	// The first entries are read before the response begins: if storage is unavailable, the
	// response is a 503 and not a broken stream.
	f := &follower{client: cl.ID, w: w, out: http.NewResponseController(w), since: since, mark: mark}
	if err := s.resume(r.Context(), f); err != nil {
		return err
	}
	first, err := s.next(r.Context(), f)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	if err := s.stream(web.Persistent(r.Context()), f, first); err != nil {
		web.EventOf(r.Context()).Err = err // the response has begun; the follower reconnects
	}
	return nil
}

// followerPlaces counts the open streams of each client.
type followerPlaces struct {
	mu    sync.Mutex
	all   int
	taken map[client.ID]int
}

// take reports whether there is a place for one more stream of a client, which it then has until
// leave.
func (p *followerPlaces) take(id client.ID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all >= maxFollowers || p.taken[id] >= maxFollowersOfClient {
		return false
	}
	if p.taken == nil {
		p.taken = map[client.ID]int{}
	}
	p.all++
	p.taken[id]++
	return true
}

// leave frees a place.
func (p *followerPlaces) leave(id client.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all--
	if p.taken[id]--; p.taken[id] == 0 {
		delete(p.taken, id)
	}
}

// resumeFrom returns the number and the mark of the last entry that the follower has.
func resumeFrom(r *http.Request, c *oauth.Call) (int64, string, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = c.Get("since")
	}
	if text == "" {
		return 0, "", nil
	}
	number, mark, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || len(mark) > maxMark {
		return 0, "", fault.New(fault.Invalid, "since and Last-Event-ID must be ids that this server has sent.")
	}
	return n, mark, nil
}

// maxMark bounds the length of a mark.
const maxMark = 64

// resume lets a follower go on where it was, if the log is the one that it has followed.
func (s *Server) resume(ctx context.Context, f *follower) error {
	head, _ := s.tokens.FeedHead()
	f.history = head.History
	if f.since == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, feedTimeout)
	defer cancel()
	known, err := s.tokens.FeedKnows(bounded, f.since, f.mark)
	if err != nil {
		return err
	}
	if !known {
		f.history = -1
	}
	return nil
}

// follower is one open stream.
type follower struct {
	client  client.ID
	w       http.ResponseWriter
	out     *http.ResponseController
	since   int64
	mark    string // of the entry since
	history int64  // the history that this is a number of; -1: of none that is known
}

// batch is what a follower is sent at once.
type batch struct {
	token.FeedPage
	head  oauth.LogHead   // the newest entry, read before the entries: none up to it is missing
	moved <-chan struct{} // closed when there is a newer one
}

// eventID returns the id of an event. A log that has no marks yet has numbers alone.
func eventID(seq int64, mark string) string {
	id := strconv.FormatInt(seq, 10)
	if mark != "" {
		id += "." + mark
	}
	return id
}

// stream sends entries as they come, and beats while there are none, until the follower
// disconnects, the server stops, or it can no longer say that there are none.
func (s *Server) stream(ctx context.Context, f *follower, b batch) error {
	beat := time.NewTicker(feedBeat)
	defer beat.Stop()
	for {
		before := f.history
		if err := f.send(b, s.kit.Now()); err != nil {
			return err
		}
		if !b.More && f.history == before {
			select {
			case <-b.moved:
			case <-beat.C:
			case <-ctx.Done():
				return nil
			case <-s.draining:
				return nil
			}
		}
		if err := s.tokens.FeedCurrent(); err != nil {
			return err
		}
		var err error
		if b, err = s.next(ctx, f); err != nil {
			return err
		}
	}
}

// next returns the entries after those that the follower has.
func (s *Server) next(ctx context.Context, f *follower) (b batch, err error) {
	b.head, b.moved = s.tokens.FeedHead()
	b.Last, b.Mark = f.since, f.mark
	if b.head.History != f.history || b.head.Seq <= f.since {
		return b, nil
	}
	bounded, cancel := context.WithTimeout(ctx, feedTimeout)
	defer cancel()
	page, err := s.tokens.Feed(bounded, f.client, f.since)
	if err == nil {
		b.FeedPage = *page
	}
	return b, err
}

// send writes entries and, when there are no more, a beat.
func (f *follower) send(b batch, now time.Time) error {
	if err := f.out.SetWriteDeadline(time.Now().Add(feedTimeout)); err != nil {
		return err
	}
	if f.history != b.head.History { // a number beyond the head is one that this server has yet to read
		fmt.Fprintf(f.w, "event: reset\nid: 0\ndata: {\"seq\":%d}\n\n", b.head.Seq)
		f.since, f.mark, f.history = 0, "", b.head.History
		return f.out.Flush()
	}
	for _, e := range b.Entries {
		body, err := json.Marshal(e)
		if err != nil {
			return err
		}
		fmt.Fprintf(f.w, "event: revocation\nid: %s\ndata: %s\n\n", eventID(e.Seq, e.Mark), body)
	}
	f.since, f.mark = b.Last, b.Mark
	if !b.More {
		if b.head.Seq > f.since {
			f.since, f.mark = b.head.Seq, b.head.Mark
		}
		fmt.Fprintf(f.w, "event: beat\nid: %s\ndata: {\"seq\":%d,\"time\":%d}\n\n",
			eventID(f.since, f.mark), f.since, now.UnixMilli())
	}
	return f.out.Flush()
}
