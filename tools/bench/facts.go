package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/web"
)

// A fact is a figure that is no rate.
type fact struct {
	name   string
	engine engine
	value  string
	goal   string // "" if there is none
	met    bool
}

const (
	starts       = 5
	startWithin  = 60 * time.Millisecond
	idleAtMost   = 45 << 20
	settle       = 2 * time.Second // until a server that has started is idle
	liveSessions = 100_000
)

// factNames are the names by which -rows chooses them.
const (
	factStart    = "start to first good answer"
	factIdle     = "idle memory"
	factSessions = "memory with 100,000 live sessions"
)

// facts measures what has to do with starting and with memory, on a database of the engine's own.
func (b *bench) facts(ctx context.Context, e engine) ([]fact, error) {
	wantStart, wantSessions := b.wanted(factStart) || b.wanted(factIdle), b.wanted(factSessions)
	var out []fact
	backlogs := []struct {
		name  string
		drain func(context.Context, engine) (fact, error)
	}{{factHooks, b.drainHooks}, {factMails, b.drainMails}}
	for _, l := range backlogs {
		if !b.wanted(l.name) {
			continue
		}
		b.say("%s, %s", l.name, e)
		f, err := l.drain(ctx, e)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	if !wantStart && !wantSessions {
		return out, nil
	}
	url, err := b.fresh(ctx, e, "facts")
	if err != nil {
		return nil, err
	}
	st := &stage{bench: b}
	if st.world, err = b.newWorld(ctx, e, url, b.users); err != nil {
		return nil, err
	}
	if wantStart {
		b.say("%s and %s, %s", factStart, factIdle, e)
		more, err := st.starting(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
	}
	if wantSessions {
		b.say("%s, %s", factSessions, e)
		f, err := st.manySessions(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// starting starts a server a few times. The first start, which makes the keys, does not count.
func (st *stage) starting(ctx context.Context) ([]fact, error) {
	var took []time.Duration
	var idle []float64
	for i := range starts + 1 {
		s, err := st.startServer(ctx, st.world.url)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			took = append(took, s.started)
			if i == starts {
				time.Sleep(settle)
				now, _ := s.memory()
				idle = append(idle, float64(now))
			}
		}
		if err := s.end(); err != nil {
			return nil, err
		}
	}
	start, memory := median(took), int64(median(idle))
	f := []fact{
		{name: factStart + ", existing database", engine: st.world.engine, value: brief(start), goal: "at most " + brief(startWithin), met: start <= startWithin},
		{name: factIdle, engine: st.world.engine, value: mebibytes(memory)},
	}
	if st.world.engine == sqlite {
		f[1].goal, f[1].met = "at most "+mebibytes(idleAtMost), memory <= idleAtMost
	}
	return f, nil
}

// manySessions lets many browsers look at their account, and tells what the server then needs.
func (st *stage) manySessions(ctx context.Context) (fact, error) {
	n := min(liveSessions, st.sessions)
	cookies, err := st.world.makeSessions(ctx, n)
	if err != nil {
		return fact{}, err
	}
	if st.server, err = st.startServer(ctx, st.world.url); err != nil {
		return fact{}, err
	}
	defer func() { _ = st.server.end() }()
	_, port, err := net.SplitHostPort(st.server.address)
	if err != nil {
		return fact{}, err
	}
	name := web.CookieSession + "_" + port // without https the name contains the port
	requests := make([][]byte, n)
	for i, c := range cookies {
		requests[i] = get(pathAccount,
			[2]string{"Cookie", name + "=" + c}, [2]string{"User-Agent", userAgent}).raw()
	}
	s, err := st.pass(ctx, cycles(st.connections, requests, http.StatusOK), st.server, max(2*st.seconds, 2*time.Second), false)
	if err != nil {
		return fact{}, err
	}
	now, peak := st.server.memory()
	return fact{
		name:   strings.Replace(factSessions, "100,000", count(float64(n)), 1),
		engine: st.world.engine,
		value:  fmt.Sprintf("%s, at most %s, while %s account pages were shown at %s/s", mebibytes(now), mebibytes(peak), count(float64(s.Requests)), count(s.rate())),
	}, nil
}
