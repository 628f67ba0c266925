package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// emailCode stores a code of a user. The codes of one test are a second apart.
func (s *suite) emailCode(t *testing.T, u identity.UserID, name string, age time.Duration) login.EmailCode {
	t.Helper()
	id := string(u) + name
	c := login.EmailCode{
		Attempt:   secret.Hash("attempt-" + id),
		User:      u,
		Code:      secret.Hash("code-" + id),
		CreatedAt: s.now.Add(-age),
		ExpiresAt: s.now.Add(10*time.Minute - age),
	}
	testkit.Must(t, s.db.PutEmailCode(t.Context(), &c))
	return c
}

func (s *suite) emailCodes(t *testing.T) {
	ctx, db := t.Context(), s.db
	u, other := s.user(t).ID, s.user(t).ID
	first, second := s.emailCode(t, u, "1", 2*time.Second), s.emailCode(t, u, "2", time.Second)
	foreign := s.emailCode(t, other, "1", 0)
	use := func(attempt, code secret.Hash, user identity.UserID, later time.Duration) error {
		return db.ConsumeEmailCode(ctx, login.EmailCodeUse{
			Attempt: attempt, Code: code, User: user, Now: s.now.Add(later),
		})
	}

	got, err := db.EmailCode(ctx, first.Attempt, s.now)
	testkit.Must(t, err)
	if d := cmp.Diff(&first, got); d != "" {
		t.Fatal("the code did not come back as stored:\n", d)
	}
	_, err = db.EmailCode(ctx, "unknown", s.now)
	want(t, err, fault.NotFound)
	_, err = db.EmailCode(ctx, first.Attempt, s.now.Add(10*time.Minute))
	want(t, err, fault.NotFound)
	repeated := first // the delivery of a request may be repeated
	repeated.Code = "another"
	testkit.Must(t, db.PutEmailCode(ctx, &repeated))

	// A request is answered by its own code, and one that has led to none by the newest.
	want(t, use(first.Attempt, second.Code, u, 0), fault.NotFound)
	want(t, use("unknown", first.Code, u, 0), fault.NotFound)
	want(t, use(foreign.Attempt, foreign.Code, u, 0), fault.NotFound)
	want(t, use(first.Attempt, first.Code, other, 0), fault.NotFound)
	want(t, use(first.Attempt, first.Code, "", 0), fault.NotFound)
	want(t, use(first.Attempt, first.Code, u, 10*time.Minute), fault.NotFound)
	testkit.Must(t, use("unknown", second.Code, u, 0))
	want(t, use("unknown", second.Code, u, 0), fault.Consumed)

	// With one the user's others have ended.
	want(t, use(first.Attempt, first.Code, u, 0), fault.Consumed)
	_, err = db.EmailCode(ctx, first.Attempt, s.now)
	want(t, err, fault.NotFound)
	testkit.Must(t, use(foreign.Attempt, foreign.Code, other, 0))

	// However many try at once, one code signs in once.
	third := s.emailCode(t, u, "3", 0)
	var wins atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		attempt := third.Attempt
		if i%2 == 0 {
			attempt = "unknown"
		}
		wg.Go(func() {
			if use(attempt, third.Code, u, time.Second) == nil {
				wins.Add(1)
			}
		})
	}
	wg.Wait()
	testkit.Equal(t, "sign-ins by one code", wins.Load(), 1)

	_, err = db.Sweep(ctx, s.now.Add(11*time.Minute))
	testkit.Must(t, err)
	want(t, use(third.Attempt, third.Code, u, time.Second), fault.NotFound)
}
