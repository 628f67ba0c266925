package login

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const (
	pendingTTL     = 10 * time.Minute
	maxPending     = 2500 // bytes, sealed; it is carried in a cookie
	maxState       = 600  // bytes of a factor's own state
	pendingContext = "pending/3"
)

// pendingState is a sign-in between two steps, as it is sealed. The names are short because it is
// carried in a cookie.
type pendingState struct {
	User      identity.UserID `json:"u"`
	Step      string          `json:"n"`
	Kind      string          `json:"k,omitempty"`
	State     []byte          `json:"t,omitempty"`
	AMR       []string        `json:"m"`
	NeedACR   string          `json:"a,omitempty"`
	Cookie    secret.Hash     `json:"c,omitempty"`
	Raise     bool            `json:"r,omitempty"`
	Skipped   bool            `json:"s,omitempty"`
	Stay      bool            `json:"y,omitempty"`
	Postponed bool            `json:"x,omitempty"`
	Leaked    bool            `json:"b,omitempty"`
	Client    string          `json:"l,omitempty"`
	Trust     bool            `json:"w,omitempty"`
	Proved    string          `json:"p"` // names the account's state, so that a change ends the sign-in
	Issued    int64           `json:"i"` // Unix milliseconds
}

func errStale() error {
	return fault.New(fault.Consumed,
		"This sign-in took too long or is finished already. Start again.")
}

func (s *Server) seal(v Visit, si *signIn) string {
	plain, err := json.Marshal(pendingState{
		User:      si.user.ID,
		Step:      si.step,
		Kind:      si.kind,
		State:     si.state,
		AMR:       si.amr,
		NeedACR:   si.needACR,
		Cookie:    si.cookie,
		Raise:     si.raise,
		Skipped:   si.skipped,
		Postponed: si.postponed,
		Leaked:    si.leaked,
		Client:    si.client,
		Stay:      si.stay,
		Trust:     si.trust,
		Proved:    s.stateMark(si),
		Issued:    v.Now.UnixMilli(),
	})
	if err != nil { // strings and numbers always encode
		panic(err)
	}
	return s.pending.Seal(plain, pendingContext)
}

// unseal opens a sealed state that has not expired. It proves only that we sealed it.
func (s *Server) unseal(now time.Time, sealed string) (*pendingState, error) {
	if sealed == "" || len(sealed) > maxPending {
		return nil, errStale()
	}
	plain, err := s.pending.Open(sealed, pendingContext)
	if err != nil {
		return nil, errStale()
	}
	var p pendingState
	if err := json.Unmarshal(plain, &p); err != nil {
		return nil, errStale()
	}
	if !inTime(now, p.Issued, pendingTTL) {
		return nil, errStale()
	}
	return &p, nil
}

// inTime reports whether a time in Unix milliseconds is less than ttl ago; another server's clock
// may be that far ahead.
func inTime(now time.Time, issued int64, ttl time.Duration) bool {
	age := now.Sub(time.UnixMilli(issued))
	return age < ttl && age >= -ttl
}

// open returns the sign-in that a sealed state holds. It checks the state against the account as it
// is now: the step must still be the one that is missing, or a sign-in begun earlier could bypass a
// second factor that was set up meanwhile.
func (s *Server) open(ctx context.Context, v Visit, sealed string) (*signIn, error) {
	p, err := s.unseal(v.Now, sealed)
	if err != nil {
		return nil, err
	}
	u, err := s.store.User(ctx, p.User)
	if fault.Is(err, fault.NotFound) {
		return nil, errStale()
	}
	if err != nil {
		return nil, err
	}
	if err := s.checkEnabled(ctx, v, u); err != nil {
		return nil, err
	}
	si := &signIn{
		user:      u,
		step:      p.Step,
		kind:      p.Kind,
		state:     p.State,
		amr:       p.AMR,
		needACR:   p.NeedACR,
		cookie:    p.Cookie,
		raise:     p.Raise,
		skipped:   p.Skipped,
		postponed: p.Postponed,
		leaked:    p.Leaked,
		client:    p.Client,
		stay:      p.Stay,
		trust:     p.Trust,
	}
	step, err := s.missing(ctx, v, si)
	if err != nil {
		return nil, err
	}
	if !secret.Equal(p.Proved, s.stateMark(si)) {
		return nil, errStale()
	}
	if step == "" || step != si.step || step == StepFactor && !si.accepts(si.kind) {
		return nil, errStale()
	}
	if step == StepFactor {
		return si, s.endedByLock(ctx, v, si, time.UnixMilli(p.Issued))
	}
	return si, nil
}

// stateMark returns a name of the account's password and factors, which reveals nothing about them.
func (s *Server) stateMark(si *signIn) string {
	changed := int64(0)
	if at := si.user.PasswordChangedAt; !at.IsZero() {
		changed = at.UnixMilli()
	}
	text := "account-state:" + string(si.user.ID) + ":" + strconv.FormatInt(changed, 10)
	for _, id := range si.factors {
		text += ":" + string(id)
	}
	return string(s.keys.Hash(text))[:16]
}

// checkState bounds what a factor seals into the browser.
func checkState(kind string, state []byte) error {
	if len(state) > maxState {
		return fault.New(fault.Internal, "the state of factor %s has %d bytes, of at most %d",
			kind, len(state), maxState)
	}
	return nil
}
