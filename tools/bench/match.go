package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
	"unsafe"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

const (
	factMatch   = "route match, 10,000 routes against 10"
	matchPasses = 15
	matchEach   = 1_000_000 // matches of a pass, with each table
	matchWorse  = 1.3       // time of a match among many routes, in times of that among few
)

// matching is a table of routes and the order in which it is requested them: each equally often,
// and in no order.
type matching struct {
	table *access.Table
	order []uint16
}

// newMatching makes a table of n routes as a server does, out of a file.
func newMatching(n int) (*matching, error) {
	f, err := access.ReadFile([]byte(routesFile(n, "127.0.0.1:8000")))
	if err != nil {
		return nil, err
	}
	o := access.Options{Issuer: "https://id.bench.example", OwnHosts: []string{"id.bench.example"}, Reserved: []string{"oauth", "login"}}
	routes := make([]*access.Compiled, len(f.Routes))
	for i, r := range f.Routes {
		if routes[i], err = access.Compile(r, o); err != nil {
			return nil, err
		}
	}
	m := &matching{order: make([]uint16, manyRoutes)} // as long for any table, so that tables alone make the difference
	for i, k := range rand.Perm(manyRoutes) {
		m.order[i] = uint16(k % n)
	}
	m.table, err = access.NewTable(routes)
	return m, err
}

// Paths are written into the same few bytes again and again, which a processor then has at hand, as
// a server's has when it has just read a request. A long list of them would be in the table's way,
// and be measured with it.
const (
	matchBatch = 50
	pathRoom   = 64
)

// time returns how long one of n matches takes, in nanoseconds, without the writing of the paths.
func (m *matching) time(n int) (float64, error) {
	var memory [matchBatch][pathRoom]byte
	var paths [matchBatch]string
	var took time.Duration
	found := 0
	for done := 0; done < n; done += matchBatch {
		for i := range paths {
			path := append(appendPrefix(memory[i][:0], int(m.order[(done+i)%len(m.order)])), "/items/4711"...)
			paths[i] = unsafe.String(&path[0], len(path)) // not used any more when the bytes change
		}
		begin := time.Now()
		for i := range paths {
			if _, _, ok := m.table.Match("api.bench.example", paths[i]); ok {
				found++
			}
		}
		took += time.Since(begin)
	}
	if found < n {
		return 0, fmt.Errorf("%d of %d routes were found", found, n)
	}
	return float64(took.Nanoseconds()) / float64(found), nil
}

// routeMatch compares the look-up of a route among many with that among few, alternately, in this
// process.
func routeMatch(ctx context.Context, passes, each int) ([]fact, error) {
	few, err := newMatching(fewRoutes)
	if err != nil {
		return nil, err
	}
	many, err := newMatching(manyRoutes)
	if err != nil {
		return nil, err
	}
	var times [2][]float64
	for pass := -1; pass < passes; pass++ { // the first warms up
		for i, m := range []*matching{few, many} {
			ns, err := m.time(each)
			if err != nil || ctx.Err() != nil {
				return nil, firstOf([]error{err, ctx.Err()})
			}
			if pass >= 0 {
				times[i] = append(times[i], ns)
			}
		}
	}
	a, b := median(times[0]), median(times[1])
	return []fact{{
		name:  factMatch,
		value: fmt.Sprintf("%.2f times: %.0f ns against %.0f ns", ratio(b, a), b, a),
		goal:  fmt.Sprintf("at most %.1f times", matchWorse),
		met:   ratio(b, a) <= matchWorse,
	}}, nil
}
