package oauth

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// restartTTL is how long after its first start a request can be started again.
const restartTTL = 24 * time.Hour

// InterruptedFlow is an error about an authorization request that cannot continue where it was.
type InterruptedFlow struct {
	Client  client.ID // who made the request
	Restart string    // the same request from its start, sealed, or "" if that is too long ago
	err     error
}

// Error returns the text of the error that it wraps.
func (e *InterruptedFlow) Error() string { return e.err.Error() }

// Unwrap returns the error with the reason and the text for the person.
func (e *InterruptedFlow) Unwrap() error { return e.err }

// interrupted returns an error about a flow that this server has opened, with the request for the
// person to start again. A new start asks for everything anew: nothing that was decided counts.
func (s *Server) interrupted(f *Flow, now time.Time, err *fault.Error) error {
	e := &InterruptedFlow{Client: client.ID(f.Form.Get("client_id")), err: err}
	g := *f
	g.ID, g.Step = secret.NewID(now), StepLogin
	g.Started, g.First = now.UnixMilli(), f.firstStart()
	g.Session, g.Chosen, g.Tried, g.Reauth, g.Choose = "", "", false, false, false
	if now.Sub(time.UnixMilli(g.First)) > restartTTL {
		return e
	}
	sealed, failed := s.SealFlow(&g)
	if failed != nil {
		return failed
	}
	e.Restart = sealed
	return e
}

// firstStart returns when the request was first made, in Unix milliseconds.
func (f *Flow) firstStart() int64 {
	if f.First != 0 {
		return f.First
	}
	return f.Started
}
