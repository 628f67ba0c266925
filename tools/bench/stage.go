package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// bench is one run of this program.
type bench struct {
	options
	dir       string // everything that goes away at the end
	binary    string
	masterKey []byte
	secretKey string // the same as a setting
	pg        *pgServer
	upstream  *server // behind the gateway; nil before it is needed
	notes     []string
}

// A stage is a server on a world, ready to be measured.
type stage struct {
	*bench
	world  *world
	server *server
	serial int    // of makeCodes: grants get ids that no other call gave
	script string // of pgbench, as it ran last
}

// A result is a row as it was measured on one engine.
type result struct {
	Row     row
	Engine  engine
	Real    figure
	Bare    figure // zero where there is none
	Proxy   bool   // that is a bare proxy
	Ceiling float64
	Of      string // what the ceiling is
	Idle    int64  // resident before there was work, of a server that was started for the row
	Memory  int64  // resident after the passes
	Peak    int64  // at most while it was measured
	Goals   []goal
	Top     string // what the processor was busy with
	Script  string // of pgbench
}

// fresh returns the address of an empty database.
func (b *bench) fresh(ctx context.Context, e engine, name string) (string, error) {
	if e == sqlite {
		dir := filepath.Join(b.dir, name)
		return "sqlite:" + filepath.Join(dir, "gatehouse.db"), os.MkdirAll(dir, 0o700)
	}
	if b.pg == nil {
		var err error
		if b.pg, err = startPostgres(ctx, b.place); err != nil {
			return "", err
		}
	}
	return b.pg.URL(name), b.pg.run(ctx, "postgres", "CREATE DATABASE "+name)
}

// warmUp returns how long a server is driven before it is measured.
func (b *bench) warmUp() time.Duration { return min(time.Second, b.seconds/2) }

// passes returns the number of parts that the time of a row is divided into, with the bare server
// in between. A part has at least a second, which is the least that wrk knows.
func (b *bench) passes() int { return min(4, max(1, int(b.seconds/(2*time.Second)))) }

// run measures the rows on one engine.
func (b *bench) run(ctx context.Context, e engine, list []row) ([]result, error) {
	if len(list) == 0 {
		return nil, nil
	}
	url, err := b.fresh(ctx, e, "rows")
	if err != nil {
		return nil, err
	}
	st := &stage{bench: b}
	if st.world, err = b.newWorld(ctx, e, url, b.users); err != nil {
		return nil, fmt.Errorf("%s: preparing: %w", e, err)
	}
	var out []result
	var settings []string
	defer func() { _ = st.server.end() }()
	for _, r := range list {
		wanted, err := b.settingsOf(ctx, r)
		if err != nil {
			return out, err
		}
		if st.server == nil || r.fresh || !slices.Equal(settings, wanted) {
			settings = wanted
			if err := st.server.end(); err != nil {
				return out, err
			}
			if st.server, err = b.startServer(ctx, url, settings...); err != nil {
				return out, err
			}
		}
		res, err := st.measure(ctx, r)
		if err != nil {
			return out, fmt.Errorf("%s, %s: %w", r.name, e, err)
		}
		out = append(out, *res)
	}
	return out, nil
}

// measure measures one row: the real and the bare server alternately, so that a machine that slows
// down does it for both.
func (st *stage) measure(ctx context.Context, r row) (*result, error) {
	st.say("%s, %s", r.name, st.world.engine)
	p, err := r.plan(ctx, st)
	if err != nil {
		return nil, err
	}
	res := &result{Row: r, Engine: st.world.engine}
	if r.fresh {
		time.Sleep(settle)
		res.Idle, _ = st.server.memory()
		st.server.forgetPeak()
	}
	res.Proxy = p.yardstick != nil
	if r.goals != nil {
		res.Goals = r.goals(st.world.engine)
	}
	var bare *server
	if !p.noBare {
		if bare, err = st.bareFor(ctx, p); err != nil {
			return nil, err
		}
		defer func() { _ = bare.end() }()
	}
	if err := st.warm(ctx, p, bare); err != nil {
		return nil, err
	}
	if !r.fresh { // there, what warms it up counts, too
		st.server.forgetPeak()
	}
	if err := st.drivePasses(ctx, p, bare, res); err != nil {
		return nil, err
	}
	res.Memory, res.Peak = st.server.memory()
	if p.ceiling != nil && p.ceiling.name == pgbenchName {
		res.Script = st.script
	}
	if res.Top, err = st.profile(ctx, res, p.load); err != nil {
		return nil, err
	}
	st.server.emptyLog()
	return res, nil
}

// drivePasses drives the real server, the bare one and what bounds both, one after the other, a few
// times.
func (st *stage) drivePasses(ctx context.Context, p plan, bare *server, res *result) error {
	var reals, bares []sample
	var ceilings []float64
	each := st.seconds / time.Duration(st.passes())
	for range st.passes() {
		s, err := st.pass(ctx, p.load, st.server, each, false)
		if err != nil {
			return err
		}
		reals = append(reals, s)
		if bare != nil {
			if s, err = st.pass(ctx, p.load, bare, each, true); err != nil {
				return err
			}
			bares = append(bares, s)
		}
		if p.ceiling != nil {
			rate, err := p.ceiling.measure(ctx, each)
			if err != nil {
				return fmt.Errorf("%s: %w", p.ceiling.name, err)
			}
			ceilings, res.Of = append(ceilings, rate), p.ceiling.name
		}
	}
	res.Real, res.Bare, res.Ceiling = figureOf(reals), figureOf(bares), median(ceilings)
	return nil
}

// bareFor starts the bare server with the real one's answer, or what the plan has in its place.
func (st *stage) bareFor(ctx context.Context, p plan) (*server, error) {
	real, err := p.probe.expect(ctx, st.server.address, p.status)
	if err != nil {
		return nil, err
	}
	start, compare := func(ctx context.Context) (*server, error) { return startBare(ctx, st.dir, real) }, sameAnswer
	if p.yardstick != nil {
		start, compare = p.yardstick, sameBody
	}
	bare, err := start(ctx)
	if err != nil {
		return nil, err
	}
	same, err := p.probe.send(ctx, bare.address)
	if err == nil {
		err = compare(real, same)
	}
	if err != nil {
		return nil, errors.Join(err, bare.end())
	}
	return bare, nil
}

func (st *stage) warm(ctx context.Context, p plan, bare *server) error {
	if _, err := p.load.run(ctx, st.server.address, st.warmUp(), false); err != nil {
		return fmt.Errorf("warming up: %w", err)
	}
	if bare == nil {
		return nil
	}
	_, err := p.load.run(ctx, bare.address, st.warmUp()/2, true)
	return err
}

// pass drives a server once and adds what it cost. Some failed requests are a note, all of them an
// error.
func (b *bench) pass(ctx context.Context, l load, s *server, d time.Duration, frozen bool) (sample, error) {
	before := s.cpu()
	out, err := l.run(ctx, s.address, d, frozen)
	out.CPU = s.cpu() - before
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	if err != nil && out.Requests > 0 {
		b.note("%d of %d requests failed, the first: %v", out.Failed, out.Failed+out.Requests, err)
		err = nil
	} else if out.Failed > 0 {
		b.note("%d of %d requests failed", out.Failed, out.Failed+out.Requests)
	}
	if err == nil && out.Requests == 0 {
		err = errors.New("not one good answer")
	}
	return out, err
}

// codes stores codes for the stage.
func (st *stage) codes(ctx context.Context, n int, scopes string) ([][]byte, error) {
	st.serial++
	return st.world.makeCodes(ctx, n, scopes, st.serial)
}

// tokens redeems n codes.
func (st *stage) tokens(ctx context.Context, n int, scopes string) ([]tokens, error) {
	requests, err := st.codes(ctx, n, scopes)
	if err != nil {
		return nil, err
	}
	out := make([]tokens, n)
	l := singles(min(16, n), requests, func(i int, body []byte) (err error) {
		out[i], err = tokensOf(body)
		return err
	})
	s, err := l.run(ctx, st.server.address, 10*time.Minute, false)
	if err == nil && s.Requests != int64(n) {
		err = fmt.Errorf("%d of %d codes were redeemed", s.Requests, n)
	}
	return out, err
}

// families makes n refresh chains.
func (st *stage) families(ctx context.Context, n int, scopes string) ([]*family, error) {
	all, err := st.tokens(ctx, n, scopes)
	if err != nil {
		return nil, err
	}
	id := clientID("ES256")
	out := make([]*family, n)
	for i, t := range all {
		if t.refresh == "" {
			return nil, errNoTokens
		}
		out[i] = newFamily(id, st.world.clients[id], t.refresh)
	}
	return out, nil
}

// say prints on standard error what is being done.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// note keeps something for the report.
func (b *bench) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	b.say("note: %s", text)
	b.notes = append(b.notes, strings.ReplaceAll(text, "\n", " "))
}
