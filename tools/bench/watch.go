package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Goals of a server that is watched, as parts of the throughput of one that is not, and of the
// usual server as a part of one that keeps no proof of its audit log.
const (
	goalMetrics = 0.98
	goalTraces  = 0.95
	goalTree    = 0.95
)

// treeSettles is how long a server may take to put the last records into the tree of the audit log.
const treeSettles = 1500 * time.Millisecond

// hotRows returns the names of the rows that are compared unless -rows names others.
func hotRows() []string {
	return []string{
		"discovery", "introspection, user's JWT seen before", "tokeninfo", "userinfo",
		"client credentials ES256", "refresh ES256", "gateway check, warm JWT",
	}
}

// watched is one server of the comparison, and its throughput in each round.
type watched struct {
	name     string
	settings []string
	goal     float64
	without  bool // it does less than the usual server, which is compared with it
	server   *server
	rates    []float64
}

// watching measures rows with metrics and traces off, with metrics, with traces of one request in a
// hundred as well, and without the tree of the audit log: by turns in each round, on servers of one
// database. It prints the median of the rounds' ratios.
func (b *bench) watching(ctx context.Context, list []row, rounds int) error {
	collector, err := startCollector()
	if err != nil {
		return err
	}
	defer collector.Close()
	fmt.Printf("%-45s %-10s %10s %9s %9s %9s   (goals %.2f, %.2f and %.2f)\n", "row", "engine", "off /s",
		"metrics", "traces", "tree", goalMetrics, goalTraces, goalTree)
	missed := 0
	for _, e := range b.engines {
		for i, r := range list {
			url, err := b.fresh(ctx, e, fmt.Sprintf("watch%d", i))
			if err != nil {
				return err
			}
			n, err := b.watchRow(ctx, e, url, r, collector.Addr().String(), rounds)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", r.name, e, err)
			}
			missed += n
		}
	}
	if missed > 0 {
		return fmt.Errorf("%d goals were missed", missed)
	}
	return nil
}

// watchRow measures one row, and returns how many goals it missed.
func (b *bench) watchRow(
	ctx context.Context, e engine, url string, r row, collector string, rounds int,
) (missed int, err error) {
	st := &stage{bench: b}
	if st.world, err = b.newWorld(ctx, e, url, b.users); err != nil {
		return 0, err
	}
	servers, err := b.startWatched(ctx, url, r, collector)
	defer func() {
		for _, s := range servers {
			err = errors.Join(err, s.server.end())
		}
	}()
	if err != nil {
		return 0, err
	}
	st.server = servers[0].server
	p, err := r.plan(ctx, st)
	if err != nil {
		return 0, err
	}
	for _, s := range servers {
		if _, err := p.load.run(ctx, s.server.address, st.warmUp(), false); err != nil {
			return 0, fmt.Errorf("warming up: %w", err)
		}
	}
	each := max(time.Second, st.seconds/time.Duration(rounds))
	for i := range rounds {
		for j := range servers { // another one is first each time: the machine may slow down
			s := servers[(i+j)%len(servers)]
			if s.without { // the work that the others have left is not its own
				time.Sleep(treeSettles)
			}
			out, err := b.pass(ctx, p.load, s.server, each, false)
			if err != nil {
				return 0, err
			}
			s.rates = append(s.rates, out.rate())
		}
	}
	return printWatched(r, e, servers), nil
}

// startWatched starts the servers of one row.
func (b *bench) startWatched(ctx context.Context, url string, r row, collector string) ([]*watched, error) {
	port, err := testkit.UnusedPort()
	if err != nil {
		return nil, err
	}
	metrics := fmt.Sprintf("METRICS_PORT=%d", port)
	if port, err = testkit.UnusedPort(); err != nil {
		return nil, err
	}
	servers := []*watched{
		{name: "off"},
		{name: "metrics", goal: goalMetrics, settings: []string{metrics}},
		{name: "traces", goal: goalTraces, settings: []string{
			fmt.Sprintf("METRICS_PORT=%d", port), "OTEL_EXPORTER_OTLP_ENDPOINT=http://" + collector,
			"OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.01",
		}},
		{name: "no tree", goal: goalTree, without: true, settings: []string{"AUDIT_TREE=false"}},
	}
	common, err := b.settingsOf(ctx, r)
	if err != nil {
		return servers, err
	}
	for _, s := range servers {
		s.settings = append(s.settings, common...)
		if s.server, err = b.startServer(ctx, url, s.settings...); err != nil {
			return servers, err
		}
		// The others are the same issuer: they accept the tokens of the first.
		common = append(common, "BASE_URL=http://"+servers[0].server.public)
	}
	return servers, nil
}

// printWatched prints one row, and returns how many goals it missed.
func printWatched(r row, e engine, servers []*watched) (missed int) {
	off := servers[0]
	text := ""
	for _, s := range servers[1:] {
		var parts []float64
		for i, rate := range s.rates {
			if s.without {
				parts = append(parts, ratio(off.rates[i], rate))
			} else {
				parts = append(parts, ratio(rate, off.rates[i]))
			}
		}
		part, mark := median(parts), " "
		if part < s.goal {
			mark = "!"
			missed++
		}
		text += fmt.Sprintf(" %8.3f%s", part, mark)
	}
	fmt.Printf("%-45s %-10s %10s%s\n", r.name, e, count(median(off.rates)), text)
	return missed
}

// startCollector starts a collector of traces that throws them away.
func startCollector() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })}
	go func() { _ = s.Serve(l) }() // ends with the listener
	return l, nil
}
