package gateway

import (
	"context"
	"errors"
	"log/slog"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// streamGuard checks a request that is still being served, such as a WebSocket, an event stream or
// a long download. The request was decided when it began. Every half second it is decided again as
// a new request of the same caller would be, except for what can only be presented once: a proof of
// possession. Storage that does not answer ends no stream before REVOCATION_MAX_AGE.
type streamGuard struct {
	g      *Gateway
	req    *Request
	creds  credentials
	target access.Target
	table  *table // that route is from
	route  *Route
	caller *Caller
}

func newStreamGuard(g *Gateway, req *Request, d Decision) *streamGuard {
	s := &streamGuard{g: g, req: req, target: req.Target, route: d.Route, caller: d.Caller}
	s.creds, _ = readCredentials(req.Header, d.Route) // they were valid when the request began
	return s
}

// check returns nil if the request may go on, and otherwise a Denial, which it reports. Two
// checks of one request never run at once.
func (s *streamGuard) check() error {
	s.target.Now = s.g.Kit.Now()
	d := s.decide()
	if d == nil {
		return nil
	}
	s.report(d)
	return d
}

// decide returns the first reason against going on, or nil.
func (s *streamGuard) decide() *access.Denial {
	if err := s.refreshRoute(); err != nil {
		return denialOf(err)
	}
	// Not the request's context: its event has the time at which the request began.
	ctx, cancel := context.WithTimeout(context.Background(), forStreams().wait)
	defer cancel()
	caller, err := s.currentCaller(ctx)
	var ended *access.Denial
	switch {
	case errors.As(err, &ended):
		return ended
	case err == nil:
		s.caller = caller
	}
	if err := s.g.checkKnowledge(s.caller); err != nil {
		return unjudged(err)
	}
	return s.route.Decide(&s.target, &s.caller.Caller)
}

// refreshRoute takes the request's route as it is now. The same route may have other rules. Another
// one at the address has other upstreams, so the request does not belong to it.
func (s *streamGuard) refreshRoute() error {
	tab := s.g.table.Load()
	if tab == s.table {
		return nil
	}
	compiled, err := tab.routes.Locate(s.target.Host, s.target.Path)
	if err != nil || compiled == nil || compiled.Route().ID != s.route.id() {
		return noRoute()
	}
	s.table, s.route = tab, tab.entries[compiled]
	return nil
}

// currentCaller returns the caller as it is now. A client's secret is compared again, because it
// may have been replaced.
func (s *streamGuard) currentCaller(ctx context.Context) (*Caller, error) {
	c := s.caller
	if s.creds.basic {
		if _, err := s.g.authenticateClient(ctx, &s.creds, s.target.Now); err != nil {
			return nil, err
		}
	}
	if c.By == access.ByApp {
		var err error
		if c, err = (appResolver{s.g}).current(ctx, s.req, c); err != nil {
			return nil, err
		}
	}
	return s.g.Revalidate(ctx, c, s.target.Now, forStreams())
}

// report logs and stores why a request was ended. Most of them have been answered already.
func (s *streamGuard) report(d *access.Denial) {
	s.g.Kit.Log.LogAttrs(context.Background(), slog.LevelInfo, "a request was ended while it was being served",
		slog.String("request_id", s.req.event.ID),
		slog.String("route", s.route.name()),
		slog.String("client", s.caller.Client),
		slog.String("user", s.caller.User),
		slog.Int64("duration_ms", s.target.Now.Sub(s.req.Target.Now).Milliseconds()),
		slog.String("rule", d.Rule),
		slog.String("reason", d.Reason))
	record := recordOf(s.req, Decision{Route: s.route, Caller: s.caller, Denial: d})
	record.At = s.target.Now
	s.g.denials.put(record, s.target.Now)
}
