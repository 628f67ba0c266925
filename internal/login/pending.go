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
	pendingLife    = 10 * time.Minute
	maxPending     = 1500 // bytes; it is carried in a cookie
	pendingContext = "pending/1"
)

// pendingState is a flow between two steps, as it is sealed. The names are short because it lives in a cookie.
type pendingState struct {
	User     identity.UserID `json:"u"`
	Next     string          `json:"n"`
	AMR      []string        `json:"m"`
	Asked    string          `json:"a,omitempty"`
	Cookie   secret.Hash     `json:"c,omitempty"`
	Raise    bool            `json:"r,omitempty"`
	Skipped  bool            `json:"s,omitempty"`
	Password string          `json:"p"` // says which password was proved, so that a change ends what is pending
	Issued   int64           `json:"i"` // Unix milliseconds
}

func errStale() error {
	return fault.New(fault.Consumed, "This sign-in took too long or is finished already. Start again.")
}

func (s *Server) seal(v Visit, f *flow) string {
	plain, err := json.Marshal(pendingState{
		User: f.user.ID, Next: f.next, AMR: f.amr, Asked: f.asked, Cookie: f.cookie, Raise: f.raise, Skipped: f.skipped,
		Password: s.passwordMark(f.user), Issued: v.Now.UnixMilli(),
	})
	if err != nil { // strings and numbers always encode
		panic(err)
	}
	return s.pending.Seal(plain, pendingContext)
}

// unseal reads a sealed state that has not expired. It proves only that we sealed it.
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
	if age := now.Sub(time.UnixMilli(p.Issued)); age >= pendingLife || age < -pendingLife {
		return nil, errStale()
	}
	return &p, nil
}

// open reads a sealed state and checks it against the account as it is now: the step must still be the one that is
// missing, or somebody who set up an authenticator meanwhile could be passed by.
func (s *Server) open(ctx context.Context, v Visit, sealed string) (*flow, error) {
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
	if !secret.Equal(p.Password, s.passwordMark(u)) {
		return nil, errStale()
	}
	if u.Disabled {
		return nil, s.disabled(ctx, v, u)
	}
	f := &flow{user: u, next: p.Next, amr: p.AMR, asked: p.Asked, cookie: p.Cookie, raise: p.Raise, skipped: p.Skipped}
	next, err := s.missing(ctx, v, f)
	if err != nil {
		return nil, err
	}
	if next == "" || next != f.next {
		return nil, errStale()
	}
	return f, nil
}

// passwordMark names the password that a user has now without saying anything about it.
func (s *Server) passwordMark(u *identity.User) string {
	changed := int64(0)
	if !u.PasswordChangedAt.IsZero() {
		changed = u.PasswordChangedAt.UnixMilli()
	}
	return string(s.keys.Hash("password-mark:" + string(u.ID) + ":" + strconv.FormatInt(changed, 10)))[:16]
}
