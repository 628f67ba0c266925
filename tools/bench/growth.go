package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	growthSmall = 10_000
	growthHot   = 4_000 // grants and users that are used, spread evenly over all
	growthWorse = 1.5   // p99 at the large size, in times of that at the small
	bytesEach   = 2_500 // of disk for a user and a grant with their indexes
	diskReserve = 4 << 30
)

// growthNames returns the names of the two databases.
func growthNames() [2]string { return [2]string{"small", "large"} }

// A growth is the same work on a small and on a large database.
type growth struct {
	work         string
	engine       engine
	small, large figure
}

// times returns how much longer p99 is on the large one.
func (g growth) times() float64 { return ratio(float64(g.large.P99), float64(g.small.P99)) }

// A loading is how a database was filled.
type loading struct {
	engine engine
	rows   int
	took   time.Duration
	bytes  int64
}

// grow measures the growth on one engine. Both servers run at the same time and are driven
// alternately.
func (b *bench) grow(ctx context.Context, e engine) ([]growth, []loading, error) {
	defer func() { // of SQLite; PostgreSQL's go with their server
		for _, name := range growthNames() {
			_ = os.RemoveAll(filepath.Join(b.dir, name))
		}
	}()
	if err := b.roomFor(b.growthSize); err != nil {
		return nil, nil, err
	}
	var stages [2]*stage
	var loads []loading
	for i, size := range []int{growthSmall, b.growthSize} {
		st, l, err := b.grown(ctx, e, size, growthNames()[i])
		if st != nil {
			defer func() { _ = st.server.end() }()
		}
		if err != nil {
			return nil, loads, err
		}
		stages[i], loads = st, append(loads, l)
	}
	works, err := hotWork(ctx, stages)
	if err != nil {
		return nil, loads, err
	}
	var out []growth
	for _, w := range works {
		b.say("growth: %s, %s", w.name, e)
		g, err := b.alternately(ctx, stages, w)
		if err != nil {
			return out, loads, fmt.Errorf("growth: %s, %s: %w", w.name, e, err)
		}
		out = append(out, g)
	}
	return out, loads, nil
}

// roomFor refuses to begin what the disk cannot hold.
func (b *bench) roomFor(rows int) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(b.place, &fs); err != nil {
		return err
	}
	free, need := int64(fs.Bavail)*int64(fs.Bsize), int64(rows)*bytesEach+diskReserve
	if free < need {
		return fmt.Errorf("%s has %s free; %d users and grants need %s: choose a smaller -growth-size or another -place", b.place, mebibytes(free), rows, mebibytes(need))
	}
	return nil
}

// grown loads a database and starts a server on it.
func (b *bench) grown(ctx context.Context, e engine, size int, name string) (*stage, loading, error) {
	b.say("growth: loading %s users and grants, %s", count(float64(size)), e)
	url, err := b.fresh(ctx, e, name)
	if err != nil {
		return nil, loading{}, err
	}
	st, begin := &stage{bench: b}, time.Now()
	if st.world, err = b.newWorld(ctx, e, url, size); err != nil {
		return nil, loading{}, err
	}
	syscall.Sync() // or the disk would be busy with it while others are measured
	l := loading{engine: e, rows: size, took: time.Since(begin)}
	if l.bytes, err = st.world.diskSize(ctx); err != nil {
		return nil, l, err
	}
	b.say("growth: loaded in %s, %s", brief(l.took), mebibytes(l.bytes))
	st.server, err = b.startServer(ctx, url)
	return st, l, err
}

// diskSize returns the size of the database in bytes.
func (w *world) diskSize(ctx context.Context) (size int64, err error) {
	if w.engine == postgres {
		l, err := openLoader(ctx, w.engine, w.url, false)
		if err != nil {
			return 0, err
		}
		defer l.close(ctx)
		return size, l.db.QueryRowContext(ctx, "SELECT pg_database_size(current_database())").Scan(&size)
	}
	files, err := filepath.Glob(strings.TrimPrefix(w.url, "sqlite:") + "*")
	for _, name := range files {
		info, serr := os.Stat(name)
		if err = errors.Join(err, serr); serr == nil {
			size += info.Size()
		}
	}
	return size, err
}

// A hotLoad is one work on both databases.
type hotLoad struct {
	name  string
	loads [2]load
}

// hotWork makes, on each database, the tokens of as many grants, and the loads that use them.
func hotWork(ctx context.Context, stages [2]*stage) ([]hotLoad, error) {
	out := []hotLoad{{name: "refresh ES256"}, {name: "introspection, JWT seen before"}, {name: "userinfo"}, {name: "password login"}}
	for i, st := range stages {
		all, err := st.tokens(ctx, growthHot, scopesPerson)
		if err != nil {
			return nil, err
		}
		id := clientID("ES256")
		var families []*family
		var introspect, userinfo [][]byte
		for _, t := range all {
			families = append(families, newFamily(id, st.world.clients[id], t.refresh))
			introspect = append(introspect, st.form(pathIntrospect, "token", t.access).raw())
			userinfo = append(userinfo, get(pathUserInfo, bearer(t.access)).raw())
		}
		out[0].loads[i] = refreshes(st.connections, families)
		out[1].loads[i] = cycles(st.connections, introspect, http.StatusOK)
		out[2].loads[i] = cycles(st.connections, userinfo, http.StatusOK)
		out[3].loads[i] = st.logins(1000)
	}
	return out, nil
}

// alternately drives the small and the large server alternately.
func (b *bench) alternately(ctx context.Context, stages [2]*stage, w hotLoad) (growth, error) {
	var samples [2][]sample
	for i, st := range stages {
		if _, err := w.loads[i].run(ctx, st.server.address, 2*b.warmUp(), false); err != nil {
			return growth{}, fmt.Errorf("warming up: %w", err)
		}
	}
	for range b.passes() {
		for i, st := range stages {
			s, err := b.pass(ctx, w.loads[i], st.server, b.seconds/time.Duration(b.passes()), false)
			if err != nil {
				return growth{}, err
			}
			samples[i] = append(samples[i], s)
			st.server.emptyLog()
		}
	}
	return growth{w.name, stages[0].world.engine, figureOf(samples[0]), figureOf(samples[1])}, nil
}
