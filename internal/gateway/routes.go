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

// entry is a route in force.
type entry struct {
	*access.Compiled
	source  access.Route // as it was given, before it was compiled
	pool    *upstream.Pool
	origins []string // of the upstreams: the audience of X-Auth-Info
	passes  passes   // of callers who are nobody
	watched bool     // the pool's health is looked after
}

// table is all routes in force. It is immutable but for what its entries remember.
type table struct {
	routes  *access.Table
	entries map[*access.Compiled]*entry
	size    int
	foreign []*Foreign
	compile access.Options
}

// Reload brings the routes into force that there are now. One that cannot be used is logged and left out, the others live. The
// upstreams of a route that has them unchanged are kept, with what is known of their health.
func (g *Gateway) Reload() {
	g.loading.Lock()
	defer g.loading.Unlock()
	before := map[string]*entry{}
	setup := g.Setup()
	old := g.table.Load()
	if old != nil {
		for _, e := range old.entries {
			before[e.source.ID] = e
		}
	}
	anew := old == nil || !reflect.DeepEqual(old.compile, setup.Compile) // routes that have not changed may mean something else now
	next := &table{entries: map[*access.Compiled]*entry{}, foreign: setup.Foreign, compile: setup.Compile}
	addresses := map[string]bool{}
	var good []*access.Compiled
	for _, r := range setup.Routes {
		if r.Inactive {
			continue
		}
		e, err := g.entry(r, setup.Compile, before[r.ID], anew)
		if err == nil && addresses[e.Address()] {
			err = fault.New(fault.Conflict, "another route has the same address %s; change or delete one of them", e.Address())
		}
		if err != nil {
			g.leftOut(&r, err)
			continue
		}
		addresses[e.Address()] = true
		good = append(good, e.Compiled)
		next.entries[e.Compiled] = e
	}
	var err error
	if next.routes, err = access.NewTable(good); err != nil { // the addresses differ, so nothing is left that it could refuse
		g.Kit.Log.LogAttrs(context.Background(), slog.LevelError, "the routes are not in force", slog.String("error", err.Error()))
		return
	}
	next.size = len(good)
	g.table.Store(next)
	g.settle(before, next)
}

// leftOut tells the log of a route that cannot be used.
func (g *Gateway) leftOut(r *access.Route, err error) {
	g.Kit.Log.LogAttrs(context.Background(), slog.LevelError, "a route is not in force",
		slog.String("route", r.ID), slog.String("name", r.Name), slog.String("error", err.Error()))
}

// settle ends the pools that no route has any more, and looks after the new ones' health.
func (g *Gateway) settle(before map[string]*entry, now *table) {
	kept := map[*upstream.Pool]bool{}
	for _, e := range now.entries {
		kept[e.pool] = true
		g.watch(e)
	}
	for _, e := range before {
		if !kept[e.pool] {
			e.pool.Close()
		}
	}
}

// watch asks a new pool's upstreams how they are, once the gateway runs.
func (g *Gateway) watch(e *entry) {
	if g.running == nil || e.watched || e.source.HealthPath == "" {
		return
	}
	e.watched = true
	running, pool := g.running, e.pool
	g.checks.Go(func() { pool.Run(running) })
}

// entry makes a route ready, with the pool that it had where its upstreams are the same.
func (g *Gateway) entry(r access.Route, o access.Options, before *entry, anew bool) (*entry, error) {
	if before != nil && !anew && reflect.DeepEqual(before.source, r) {
		return before, nil
	}
	compiled, err := access.Compile(r, o)
	if err != nil {
		return nil, err
	}
	e := &entry{Compiled: compiled, source: r}
	for _, s := range r.Upstreams {
		origin, err := originOf(s)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(e.origins, origin) {
			e.origins = append(e.origins, origin)
		}
	}
	if before != nil && sameUpstreams(&before.source, &r) {
		e.pool, e.watched = before.pool, before.watched
		return e, nil
	}
	p := g.Upstream
	p.Targets, p.Timeout, p.HealthPath, p.HealthEvery = r.Upstreams, r.Timeout.D(), r.HealthPath, r.HealthEvery.D()
	p.OnState = g.upstreamState(compiled.Route().Name)
	e.pool, err = upstream.New(p)
	return e, err
}

// upstreamState tells the log when an upstream is left out, and when it is back.
func (g *Gateway) upstreamState(route string) func(string, bool, error) {
	return func(target string, healthy bool, cause error) {
		attrs := []slog.Attr{slog.String("route", route), slog.String("upstream", target)}
		if healthy {
			g.Kit.Log.LogAttrs(context.Background(), slog.LevelInfo, "an upstream is back", attrs...)
			return
		}
		if cause != nil {
			attrs = append(attrs, slog.String("error", cause.Error()))
		}
		g.Kit.Log.LogAttrs(context.Background(), slog.LevelWarn, "an upstream is left out", attrs...)
	}
}

func sameUpstreams(a, b *access.Route) bool {
	return slices.Equal(a.Upstreams, b.Upstreams) && a.Timeout == b.Timeout && a.HealthPath == b.HealthPath && a.HealthEvery == b.HealthEvery
}

// originOf is an upstream's scheme, host and port as it would write them itself (RFC 6454 §6.2); h2c is http on the wire.
func originOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", fault.InvalidField("upstreams", "an upstream is no address")
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

// nearDepth is more segments than any prefix has: looking at more would only cost time.
const nearDepth = 20

// near reports whether a path that is refused belongs to a route by any reading of it: as far as it is sound, or as a
// program reads it that decodes, folds slashes and follows dots.
func (t *table) near(host, raw string) bool {
	if len(raw) > access.MaxPath {
		raw = raw[:access.MaxPath]
	}
	sound := ""
	for i, depth := 1, 0; i <= len(raw) && depth < nearDepth; i++ {
		if i < len(raw) && raw[i] != '/' {
			continue
		}
		depth++
		clean, err := access.Clean(raw[:i])
		if err != nil {
			break
		}
		sound = clean
	}
	if sound != "" {
		if _, _, ok := t.routes.Match(host, sound); ok {
			return true
		}
	}
	loose := raw
	for range 3 { // an escape of an escape of an escape is nobody's path
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

// withoutParameters cuts the parameters off every segment (RFC 3986 §3.3).
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
