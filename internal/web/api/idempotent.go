package api

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// keyHeader names a request, so that it has its effect once.
const keyHeader = "Idempotency-Key"

// serve carries out the operation of a request whose input was checked. A request with an
// Idempotency-Key that was carried out before gets the same answer again. A caller who may not
// call the operation gets no stored answer: the operation denies it.
func (s *Server) serve(x *exchange, path string) error {
	key := x.r.Header.Get(keyHeader)
	if key == "" || x.op.parameter("header", keyHeader) == nil || !s.mayRepeat(x) {
		x.op.serve(x.w, x.r)
		return nil
	}
	ctx := x.r.Context()
	run, known, err := s.Operations.BeginIdempotent(ctx, x.actor, admin.IdempotentRequest{
		Method: x.op.method,
		Path:   path,
		Key:    key,
		Query:  x.r.URL.RawQuery,
		Body:   x.raw,
	})
	if err != nil {
		return err
	}
	if known != nil {
		replay(x.w, known)
		return nil
	}
	rec := &recorder{ResponseWriter: x.w}
	done := false
	defer func() {
		if !done { // the handler panicked
			_ = run.Abandon(ctx)
		}
	}()
	x.op.serve(rec, x.r)
	done = true
	if rec.status < http.StatusOK || rec.status >= http.StatusMultipleChoices {
		return errors.Join(run.Abandon(ctx), nil)
	}
	header := map[string]string{}
	for _, name := range []string{"Content-Type", "Location", "ETag"} {
		if v := rec.Header().Get(name); v != "" {
			header[name] = v
		}
	}
	err = run.Finish(ctx, &admin.IdempotentAnswer{Status: rec.status, Header: header, Body: rec.body.Bytes()})
	if err != nil { // the answer is on its way; only its repetition is lost
		s.Kit.Log.ErrorContext(ctx, "cannot store the answer to a request with an Idempotency-Key",
			"error", err)
	}
	return nil
}

// mayRepeat reports whether a caller may be shown the stored answer of an operation: they have its
// scope, and have signed in as recently and as strongly as it demands.
func (s *Server) mayRepeat(x *exchange) bool {
	scope := admin.Scope(x.op.scope())
	return x.actor.Can(scope) && (!scope.Changes() || s.Operations.StepUpNeeded(x.actor) == nil)
}

// replay writes an answer that was given before.
func replay(w http.ResponseWriter, a *admin.IdempotentAnswer) {
	h := w.Header()
	for name, v := range a.Header {
		h.Set(name, v)
	}
	h.Set("Idempotent-Replayed", "true")
	h.Set("Content-Length", strconv.Itoa(len(a.Body)))
	w.WriteHeader(a.Status)
	_, _ = w.Write(a.Body) // the caller is gone if it fails
}

// recorder copies an answer while it is written.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write copies a part of the answer.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	r.body.Write(b)
	return r.ResponseWriter.Write(b)
}
