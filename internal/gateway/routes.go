package gateway

import (
	"context"
	"log/slog"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/gateway/upstream"
)

// Route is a route in force, with its upstreams.
type Route struct {
	*access.Compiled
	source  access.Route // as it was given, before it was compiled
	pool    *upstream.Pool
	origins []string    // of the upstreams: the audience of X-Auth-Info
	headers headerCache // of anonymous callers
	watched bool        // the health of the upstreams is being checked
	meter   RouteMeter
}

func (rt *Route) id() string   { return rt.Compiled.Route().ID }
func (rt *Route) name() string { return rt.Compiled.Route().Name }

// table is all routes in force. It is immutable but for the caches of its routes.
type table struct {
	routes  *access.Table
	entries map[*access.Compiled]*Route
	size    int
	foreign []*Foreign
	compile access.Options
}

// Reload replaces the routes in force by the current ones. A route that cannot be used is logged
// and left out. The upstreams of a route that has not changed them are kept, with what is known
// of their health.
func (g *Gateway) Reload() {
	g.loading.Lock()
	defer g.loading.Unlock()
	before := map[string]*Route{}
	setup := g.Setup()
	old := g.table.Load()
	if old != nil {
		for _, e := range old.entries {
			before[e.source.ID] = e
		}
	}
	// Routes that have not changed may mean something else with other options.
	recompile := old == nil || !reflect.DeepEqual(old.compile, setup.Compile)
	next := &table{
		entries: map[*access.Compiled]*Route{},
		foreign: setup.Foreign,
		compile: setup.Compile,
	}
	addresses := map[string]bool{}
	var good []*access.Compiled
	for _, r := range setup.Routes {
		if r.Inactive {
			continue
		}
		e, err := g.newRoute(r, setup.Compile, before[r.ID], recompile)
		if err == nil && addresses[e.Address()] {
			err = fault.New(fault.Conflict, "another route has the same address %s; change or "+
				"delete one of them", e.Address())
		}
		if err != nil {
			g.logUnusable(&r, err)
			continue
		}
		addresses[e.Address()] = true
		good = append(good, e.Compiled)
		next.entries[e.Compiled] = e
	}
	var err error
	// the addresses differ, so it should accept them
	if next.routes, err = access.NewTable(good); err != nil {
		g.Kit.Log.LogAttrs(context.Background(), slog.LevelError,
			"the routes could not be put in force", slog.String("error", err.Error()))
		return
	}
	next.size = len(good)
	// The new ones begin before the old ones end: of a route that was changed, the counters go on.
	for _, rt := range next.entries {
		if rt.meter == nil {
			g.meterRoute(rt)
		}
	}
	g.table.Store(next)
	g.settle(before, next)
}

// logUnusable logs a route that cannot be used.
func (g *Gateway) logUnusable(r *access.Route, err error) {
	g.Kit.Log.LogAttrs(context.Background(), slog.LevelError, "a route is not in force",
		slog.String("route", r.ID), slog.String("name", r.Name), slog.String("error", err.Error()))
}

// settle closes the pools that no route uses any more, and starts to check the health of new ones.
func (g *Gateway) settle(before map[string]*Route, now *table) {
	used := map[*upstream.Pool]bool{}
	for _, rt := range now.entries {
		used[rt.pool] = true
		g.checkHealth(rt)
	}
	for _, rt := range before {
		if !used[rt.pool] {
			rt.pool.Close()
		}
		if now.entries[rt.Compiled] != rt {
			g.unmeterRoute(rt)
		}
	}
}

// checkHealth starts to check the health of a route's upstreams, once the gateway runs.
func (g *Gateway) checkHealth(rt *Route) {
	if g.running == nil || rt.watched || rt.source.HealthPath == "" {
		return
	}
	rt.watched = true
	running, pool := g.running, rt.pool
	g.checks.Go(func() { pool.Run(running) })
}

// newRoute returns a route ready to serve, with the pool of its predecessor if the upstreams are
// the same.
func (g *Gateway) newRoute(
	r access.Route, o access.Options, before *Route, recompile bool,
) (*Route, error) {
	if before != nil && !recompile && reflect.DeepEqual(before.source, r) {
		return before, nil
	}
	compiled, err := access.Compile(r, o)
	if err != nil {
		return nil, err
	}
	rt := &Route{Compiled: compiled, source: r}
	for _, s := range r.Upstreams {
		origin, err := originOf(s)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(rt.origins, origin) {
			rt.origins = append(rt.origins, origin)
		}
	}
	if before != nil && sameUpstreams(&before.source, &r) {
		rt.pool, rt.watched = before.pool, before.watched
		return rt, nil
	}
	p := g.Upstream
	if g.Stored != nil && !r.FromFile() {
		p.Transport = g.Stored
	}
	p.Targets, p.Timeout = r.Upstreams, r.Timeout.D()
	p.HealthPath, p.HealthEvery = r.HealthPath, r.HealthEvery.D()
	p.OnState = g.logUpstream(rt.name())
	rt.pool, err = upstream.New(p)
	return rt, err
}

// logUpstream returns a function that logs when an upstream is skipped, and when it is used again.
func (g *Gateway) logUpstream(route string) func(string, bool, error) {
	return func(target string, healthy bool, cause error) {
		attrs := []slog.Attr{slog.String("route", route), slog.String("upstream", target)}
		if healthy {
			g.Kit.Log.LogAttrs(context.Background(), slog.LevelInfo, "an upstream is healthy again",
				attrs...)
			return
		}
		if cause != nil {
			attrs = append(attrs, slog.String("error", cause.Error()))
		}
		g.Kit.Log.LogAttrs(context.Background(), slog.LevelWarn,
			"an upstream is unhealthy and is skipped while there is another one", attrs...)
	}
}

func sameUpstreams(a, b *access.Route) bool {
	return slices.Equal(a.Upstreams, b.Upstreams) && a.Timeout == b.Timeout &&
		a.HealthPath == b.HealthPath && a.HealthEvery == b.HealthEvery
}

// originOf returns an upstream's scheme, host and port in the form of RFC 6454 §6.2; h2c is http on
// the wire.
func originOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fault.InvalidField("upstreams", "an upstream is not an address")
	}
	scheme, host := u.Scheme, strings.ToLower(u.Host)
	switch scheme {
	case "h2c":
		scheme, host = "http", strings.TrimSuffix(host, ":80")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return scheme + "://" + host, nil
}

// nearDepth is more segments than any prefix has.
const nearDepth = 20

// near reports whether a path that Clean rejects belongs to a route by any reading of it: up to
// where it is valid, or as a program reads it that unescapes, merges slashes and follows dot
// segments.
func (t *table) near(host, raw string) bool {
	if len(raw) > access.MaxPath {
		raw = raw[:access.MaxPath]
	}
	valid := ""
	for i, depth := 1, 0; i <= len(raw) && depth < nearDepth; i++ {
		if i < len(raw) && raw[i] != '/' {
			continue
		}
		depth++
		clean, err := access.Clean(raw[:i])
		if err != nil {
			break
		}
		valid = clean
	}
	if valid != "" {
		if _, _, ok := t.routes.Match(host, valid); ok {
			return true
		}
	}
	loose := raw
	for range 3 { // no program unescapes more often
		decoded, err := url.PathUnescape(loose)
		if err != nil || decoded == loose {
			break
		}
		loose = decoded
	}
	loose = withoutParameters(strings.ReplaceAll(loose, `\`, "/"))
	_, _, ok := t.routes.Match(host, path.Clean("/"+loose))
	return ok
}

// withoutParameters returns a path without the parameters of its segments (RFC 3986 §3.3).
func withoutParameters(p string) string {
	if !strings.Contains(p, ";") {
		return p
	}
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}
