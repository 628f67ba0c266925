package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

const (
	benchPrefix = "/bench/v1" // of the route that requests go through
	pathCheck   = "/gateway/check"
)

// Numbers of routes that a gateway is measured with.
const (
	fewRoutes  = 10
	manyRoutes = 10_000
)

// besideIdle is how much memory streams may take, however long they are.
const besideIdle = 30 << 20

// gatewayRows lists what is measured of the gateway. A remembered caller costs no SQL, so that all
// but the first are measured on one engine only.
func gatewayRows() []row {
	return []row{
		{name: "gateway check, warm JWT", routes: fewRoutes, plan: checking, goals: always(ofBare(0.6))},
		{name: "gateway check, warm JWT, 10,000 routes", routes: manyRoutes, only: sqlite, plan: checking},
		{name: "proxied small request, warm JWT, X-Auth-Info", routes: fewRoutes, only: sqlite, plan: proxying, goals: always(ofProxy(0.75))},
		{
			name: "100 MB streamed through, download", routes: fewRoutes, only: sqlite, fresh: true, megabytes: streamSize / 1e6,
			plan: streaming(false), goals: always(ofProxy(0.9), beside(besideIdle)),
		},
		{
			name: "100 MB streamed through, upload", routes: fewRoutes, only: sqlite, fresh: true, megabytes: streamSize / 1e6,
			plan: streaming(true), goals: always(ofProxy(0.9), beside(besideIdle)),
		},
	}
}

// ofProxy asks for a part of what a bare reverse proxy does.
func ofProxy(least float64) goal {
	g := ofBare(least)
	g.text += " proxy"
	return g
}

// beside asks for little memory above what the server had before there was work.
func beside(most int64) goal {
	return goal{"at most " + mebibytes(most) + " above idle", float64(most), true, func(r *result) float64 { return float64(r.Peak - r.Idle) }}
}

// routesFile returns a file of n routes: the one that is measured, with an upstream, and others
// beside it.
func routesFile(n int, upstream string) string {
	var b strings.Builder
	b.WriteString("routes:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - prefix: %s\n    upstreams: [%q]\n    scopes: [read]\n", appendPrefix(nil, i), "http://"+upstream)
	}
	return b.String()
}

// appendPrefix writes the prefix of the i-th route; the first is the one that is measured.
func appendPrefix(to []byte, i int) []byte {
	if i == 0 {
		return append(to, benchPrefix...)
	}
	to = append(to, "/service-"...)
	for place := 10_000; place > 0; place /= 10 {
		to = append(to, byte('0'+i/place%10))
	}
	return append(to, "/v1"...)
}

// settingsOf returns the settings of a row's server. It writes the routes of a gateway and starts
// the upstream behind them, which runs until the end.
func (b *bench) settingsOf(ctx context.Context, r row) ([]string, error) {
	if r.routes == 0 {
		return r.settings, nil
	}
	if b.upstream == nil {
		var err error
		if b.upstream, err = startPart(ctx, b.dir, partUpstream); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(b.dir, fmt.Sprintf("routes-%d.yaml", r.routes))
	if err := os.WriteFile(file, []byte(routesFile(r.routes, b.upstream.address)), 0o600); err != nil {
		return nil, err
	}
	return append([]string{"ROUTES_FILE=" + file, "TRUSTED_PROXIES=127.0.0.1/32"}, r.settings...), nil
}

// userToken returns the access token of a person, for the route.
func (st *stage) userToken(ctx context.Context) (string, error) {
	t, err := st.tokens(ctx, 1, scopesAPI)
	if err != nil {
		return "", err
	}
	return t[0].access, nil
}

// checking asks as Traefik and Caddy do for a request that they hold.
func checking(ctx context.Context, st *stage) (plan, error) {
	token, err := st.userToken(ctx)
	if err != nil {
		return plan{}, err
	}
	return st.byWrk(get(pathCheck, bearer(token),
		[2]string{"X-Forwarded-Method", http.MethodGet}, [2]string{"X-Forwarded-Proto", "https"}, [2]string{"X-Forwarded-Host", "api.bench.example"},
		[2]string{"X-Forwarded-Uri", benchPrefix + "/" + thing + "?fields=name"}, [2]string{"X-Forwarded-For", address4})), nil
}

// proxying sends a small request through to the upstream, and for comparison through a proxy that
// decides nothing.
func proxying(ctx context.Context, st *stage) (plan, error) {
	token, err := st.userToken(ctx)
	if err != nil {
		return plan{}, err
	}
	p := st.byWrk(get(benchPrefix+"/"+thing, bearer(token)))
	p.yardstick = st.bareProxy
	return p, nil
}

// streaming sends large bodies one way. What is asked of both proxies before that is the small
// request.
func streaming(up bool) func(context.Context, *stage) (plan, error) {
	return func(ctx context.Context, st *stage) (plan, error) {
		p, err := proxying(ctx, st)
		if err != nil {
			return p, err
		}
		p.load = newStreams(p.probe.Header, up)
		return p, nil
	}
}

// bareProxy starts the proxy that the gateway is compared with, before the same upstream.
func (b *bench) bareProxy(ctx context.Context) (*server, error) {
	return startPart(ctx, b.dir, partProxy, b.upstream.address)
}
