package protocol

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

const (
	feedBeat     = 2 * time.Second  // between two signs of life
	feedPatience = 10 * time.Second // for a follower that does not read
	maxFollowers = 1000
)

// feed streams the log of revocations as Server-Sent Events (HTML Standard §9.2). Events:
//
//	event: revocation   id: the sequence number   data: {"seq", "kind", "id", "nbf", "exp"}
//	event: beat         data: {"seq", "time"}     everything up to seq has been told, at that time (Unix milliseconds)
//	event: reset        data: {"seq"}             the follower is ahead of the log: it has been restored; start anew
//
// A follower resumes with Last-Event-ID, or ?since=. What has no more purpose is left out, so a resumed stream is as
// short as the revocations still unexpired.
func (s *Server) feed(w http.ResponseWriter, r *http.Request) {
	if err := s.tryFeed(w, r); err != nil {
		s.fail(w, r, err)
	}
}

func (s *Server) tryFeed(w http.ResponseWriter, r *http.Request) error {
	c, err := s.kit.ParseCall(r, web.FromQuery, nil)
	if err != nil {
		return err
	}
	s.giveNonce(w, c)
	cl, err := s.oauth.AuthenticateFollower(r.Context(), c)
	if err != nil {
		return err
	}
	web.EventOf(r.Context()).Client = string(cl.ID)
	since, err := resumeFrom(r, c)
	if err != nil {
		return err
	}
	select {
	case s.followers <- struct{}{}:
		defer func() { <-s.followers }()
	default:
		return fault.RetryAfter(fault.Unavailable, 10*time.Second, "too many followers; try again in a moment")
	}
	// The first entries are read before anything is answered: a database that is away is a 503, not a broken stream.
	f := &follower{w: w, out: http.NewResponseController(w), since: since}
	first, err := s.next(r.Context(), f)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	if err := s.stream(web.Persistent(r.Context()), f, first); err != nil {
		web.EventOf(r.Context()).Err = err // the stream has begun; the follower will come again
	}
	return nil
}

// resumeFrom is the last entry that the follower has.
func resumeFrom(r *http.Request, c *oauth.Call) (int64, error) {
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = c.Get("since")
	}
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fault.New(fault.Invalid, "since and Last-Event-ID are sequence numbers.")
	}
	return n, nil
}

// follower is one open stream.
type follower struct {
	w     http.ResponseWriter
	out   *http.ResponseController
	since int64
}

// part is what a follower is told at once.
type part struct {
	entries []oauth.FeedEntry
	more    bool            // there are more to read already
	head    int64           // the newest entry of the log, looked up before the entries were: up to it none is missing
	moved   <-chan struct{} // closed when there is a newer one
}

// stream tells entries as they come, and beats while there are none, until the follower goes or the server stops.
func (s *Server) stream(ctx context.Context, f *follower, p part) error {
	beat := time.NewTicker(feedBeat)
	defer beat.Stop()
	for {
		if err := f.tell(p, s.kit.Now()); err != nil {
			return err
		}
		if !p.more {
			select {
			case <-p.moved:
			case <-beat.C:
			case <-ctx.Done():
				return nil
			case <-s.draining:
				return nil
			}
		}
		var err error
		if p, err = s.next(ctx, f); err != nil {
			return err
		}
	}
}

// next reads what has come since, if the log has moved past what the follower has.
func (s *Server) next(ctx context.Context, f *follower) (p part, err error) {
	p.head, p.moved = s.oauth.FeedHead()
	if p.head <= f.since {
		return p, nil
	}
	bounded, cancel := context.WithTimeout(ctx, feedPatience)
	defer cancel()
	p.entries, p.more, err = s.oauth.Feed(bounded, f.since)
	return p, err
}

// tell writes entries and, when there are no more, a beat.
func (f *follower) tell(p part, now time.Time) error {
	if err := f.out.SetWriteDeadline(time.Now().Add(feedPatience)); err != nil {
		return err
	}
	if f.since > p.head {
		fmt.Fprintf(f.w, "event: reset\nid: 0\ndata: {\"seq\":%d}\n\n", p.head)
		f.since = 0
		return f.out.Flush()
	}
	for _, e := range p.entries {
		body, err := json.Marshal(e)
		if err != nil {
			return err
		}
		fmt.Fprintf(f.w, "event: revocation\nid: %d\ndata: %s\n\n", e.Seq, body)
		f.since = e.Seq
	}
	if !p.more {
		f.since = max(f.since, p.head)
		fmt.Fprintf(f.w, "event: beat\nid: %d\ndata: {\"seq\":%d,\"time\":%d}\n\n", f.since, f.since, now.UnixMilli())
	}
	return f.out.Flush()
}
