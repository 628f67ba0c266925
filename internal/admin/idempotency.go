package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Reasons of requests with an Idempotency-Key that are not carried out.
const (
	ReasonOtherBody     = "idempotency_other_body" // the key was used with another body (422)
	ReasonStillRunning  = "idempotency_running"    // the first request is not answered yet (409)
	ReasonOutcomeLost   = "idempotency_lost"       // the server stopped before it had an answer (409)
	ReasonIdempotentKey = "idempotency_key"        // the key has a form that is not allowed (400)
)

const (
	idempotencyTTL    = 24 * time.Hour
	idempotencyRuns   = 2 * time.Minute // after that, an unfinished request has stopped with its server
	maxIdempotencyKey = 255             // characters of visible ASCII
)

// IdempotentRequest is a request that has its effect once, however often it is sent.
type IdempotentRequest struct {
	Method, Path, Key string
	Query             string // of the address, in one spelling
	Body              []byte
}

// IdempotentAnswer is the answer to such a request.
type IdempotentAnswer struct {
	Status   int               `json:"status"`
	Resource string            `json:"resource,omitempty"` // the id of what was made
	Header   map[string]string `json:"header,omitempty"`
	Body     []byte            `json:"body,omitempty"`
}

// IdempotentRecord is what storage has of a request.
type IdempotentRecord struct {
	BodyHash  string
	Status    int // 0 until there is an answer
	Sealed    string
	CreatedAt time.Time
}

// Idempotency is a request that has begun. Call Finish or Abandon once.
type Idempotency struct {
	o    *Operations
	hash string
	key  string
}

// BeginIdempotent begins a request, or returns the answer that it had before. Call it when the
// actor is known to be allowed the operation, since an answer may hold secrets. It returns a
// fault.Conflict while the first request runs, and one of the reasons above.
//
// The record of the request and its effect are two transactions: where the server stops between
// them, the request is not carried out again, and ReasonOutcomeLost says so for a day.
func (o *Operations) BeginIdempotent(
	ctx context.Context, a Actor, r IdempotentRequest,
) (*Idempotency, *IdempotentAnswer, error) {
	if r.Key == "" || len(r.Key) > maxIdempotencyKey || strings.ContainsFunc(r.Key, func(c rune) bool { return c < ' ' || c > '~' }) {
		return nil, nil, &fault.Error{
			Kind: fault.Invalid, Reason: ReasonIdempotentKey, Field: "Idempotency-Key",
			Text: "An Idempotency-Key has 1 to 255 characters of visible ASCII.",
		}
	}
	now := o.parts.Now()
	i := &Idempotency{o: o, key: r.Key}
	i.hash = string(o.parts.Keys.Hash(strings.Join([]string{"idempotency", a.Name(), r.Method, r.Path, r.Key}, "\x00")))
	body := string(o.parts.Keys.Hash("idempotency\x00" + string(canonical(r.Body)) + query(r.Query)))
	known, err := o.store.BeginIdempotent(ctx, i.hash, body, now, now.Add(idempotencyTTL))
	if err != nil {
		return nil, nil, err
	}
	switch {
	case known == nil:
		return i, nil, nil
	case known.BodyHash != body:
		return nil, nil, &fault.Error{
			Kind: fault.Invalid, Reason: ReasonOtherBody, Field: "Idempotency-Key",
			Text: "This Idempotency-Key was used for another request. Use a new one.",
		}
	case known.Status == 0 && now.Sub(known.CreatedAt) < idempotencyRuns:
		return nil, nil, &fault.Error{
			Kind: fault.Conflict, Reason: ReasonStillRunning, After: time.Second,
			Text: "The first request with this Idempotency-Key is not answered yet. Try again in a moment.",
		}
	case known.Status == 0:
		return nil, nil, &fault.Error{
			Kind: fault.Conflict, Reason: ReasonOutcomeLost,
			Text: "The server stopped while it carried out the request. Look whether it has had its effect, " +
				"then repeat it with a new Idempotency-Key if it has not.",
		}
	}
	answer := new(IdempotentAnswer)
	plain, err := i.box().Open(known.Sealed, i.hash)
	if err == nil {
		err = json.Unmarshal(plain, answer)
	}
	return nil, answer, err
}

// box returns what seals an answer: its key is derived from the server's and the caller's, of which
// only a hash is stored.
func (i *Idempotency) box() interface {
	Seal(plain []byte, context string) string
	Open(sealed, context string) ([]byte, error)
} {
	return i.o.parts.Keys.Box("idempotency/" + i.key)
}

// Finish stores the answer, for a day.
func (i *Idempotency) Finish(ctx context.Context, answer *IdempotentAnswer) error {
	plain, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return i.o.store.FinishIdempotent(context.WithoutCancel(ctx), i.hash, answer.Status, answer.Resource,
		i.box().Seal(plain, i.hash))
}

// Abandon forgets the request, which has had no effect: it was wrong, or has failed.
func (i *Idempotency) Abandon(ctx context.Context) error {
	return i.o.store.DropIdempotent(context.WithoutCancel(ctx), i.hash)
}

// query returns what a query adds to the body of a request. Bodies are UTF-8, so that none has it.
func query(q string) string {
	if q == "" {
		return ""
	}
	return "\xff" + q
}

// canonical returns a JSON document in one spelling, or what is not JSON as it is.
func canonical(body []byte) []byte {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil || dec.More() {
		return body
	}
	out, err := json.Marshal(v)
	if err != nil {
		return body
	}
	return out
}
