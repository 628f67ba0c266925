package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/web"
)

// How long the health checks wait for the database. A liveness probe of Kubernetes waits a second
// by default, and must not end a server because its database hangs.
const (
	liveTimeout   = 300 * time.Millisecond
	healthTimeout = 2 * time.Second
)

// databaseProbe asks whether the database can be used. All who ask at a time share one question, so
// that a database that hangs costs one goroutine, and nobody waits longer than they want to.
type databaseProbe struct {
	mu      sync.Mutex
	current *question // or nil
}

type question struct {
	done chan struct{}
	err  error
}

// errHangs is the error of a database that has not answered yet.
var errHangs = errors.New("the database has not answered in time")

// ask returns nil if the database answers within a time.
func (p *databaseProbe) ask(within time.Duration, ping func(context.Context) error) error {
	p.mu.Lock()
	q := p.current
	if q == nil {
		q = &question{done: make(chan struct{})}
		p.current = q
		go p.run(q, ping)
	}
	p.mu.Unlock()
	late := time.NewTimer(within)
	defer late.Stop()
	select {
	case <-q.done:
		return q.err
	case <-late.C:
		return errHangs
	}
}

// run asks once.
func (p *databaseProbe) run(q *question, ping func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	q.err = ping(ctx)
	p.mu.Lock()
	p.current = nil
	p.mu.Unlock()
	close(q.done)
}

// healthRoutes adds the endpoints that orchestrators ask.
func (s *server) healthRoutes(mux *http.ServeMux) {
	for _, path := range []string{"/health", "/healthz", "/livez", "/health_check"} {
		mux.HandleFunc("GET "+path, s.health)
	}
	mux.HandleFunc("GET /readyz", s.ready)
}

// health responds 200 while the process lives, and lists the parts that do not answer.
func (s *server) health(w http.ResponseWriter, r *http.Request) {
	if s.answerProbe(w, r) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	var away []string
	if err := s.database.ask(liveTimeout, s.parts.db.Writable); err != nil {
		web.EventOf(r.Context()).Err = err
		away = append(away, `"database"`)
	}
	if s.shared != nil && s.shared.Down() {
		away = append(away, `"redis"`)
	}
	if len(away) > 0 {
		fmt.Fprintf(w, `{"status":"ok","unavailable":[%s]}`, strings.Join(away, ","))
		return
	}
	s.writeOK(w)
}

// ready responds 200 while the server can serve requests: not while it stops, nor while the
// database does not answer.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	reason := ""
	if s.stopping.Load() {
		reason = "the server is shutting down"
	} else if err := s.database.ask(healthTimeout, s.parts.db.Writable); err != nil {
		web.EventOf(r.Context()).Err = err
		reason = "the database does not answer, or cannot be changed"
	}
	if reason != "" {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintf(w, `{"status":"unavailable","reason":"%s"}`, reason)
		return
	}
	s.writeOK(w)
}

// writeOK writes that all is well, and behind a connection pooler how the database is used. It says
// nothing of realms: their names are those of customers, and everybody may ask. Metrics name those
// that are unavailable.
func (s *server) writeOK(w http.ResponseWriter) {
	more := ""
	if at := s.parts.db.Status(); at.Pooler {
		more = fmt.Sprintf(`,"database":{"pooler":true,"statements":%q,"changes":%q}`, at.Statements, at.Changes)
	}
	fmt.Fprint(w, `{"status":"ok"`+more+`}`)
}
