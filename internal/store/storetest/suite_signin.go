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

func signInCases() []testCase {
	return []testCase{
		{"Codes by mail", (*suite).emailCodes},
		{"A code by mail works once", (*suite).emailCodeOnce},
		{"Sessions with tokens", (*suite).tokenSessions},
		{"Tokens of a session rotate once", (*suite).tokensRotateOnce},
		{"States of the accounts API", (*suite).loginStates},
		{"Passkeys", (*suite).passkeys},
		{"Required second steps", (*suite).requiredMFA},
		{"Passwords that expire", (*suite).oldPasswords},
	}
}

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

	_, err = db.Sweep(ctx, s.now.Add(11*time.Minute))
	testkit.Must(t, err)
	want(t, use(first.Attempt, first.Code, u, time.Second), fault.NotFound)
}

// However many try at once, one code signs in once.
func (s *suite) emailCodeOnce(t *testing.T) {
	ctx, db := t.Context(), s.db
	u := s.user(t).ID
	third := s.emailCode(t, u, "3", 0)
	var wins atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		attempt := third.Attempt
		if i%2 == 0 {
			attempt = "unknown"
		}
		wg.Go(func() {
			if db.ConsumeEmailCode(ctx, login.EmailCodeUse{
				Attempt: attempt, Code: third.Code, User: u, Now: s.now,
			}) == nil {
				wins.Add(1)
			}
		})
	}
	wg.Wait()
	testkit.Equal(t, "sign-ins by one code", wins.Load(), 1)
}

// tokenSession stores a session of a user that has tokens.
func (s *suite) tokenSession(t *testing.T, u identity.UserID) (*identity.Session, login.SessionTokens) {
	t.Helper()
	sess := identity.NewSession(u, []string{"pwd"}, s.now, 24*time.Hour, identity.Browser{IP: "192.0.2.1", Agent: "app/1"})
	sess.Stay = true
	tokens := login.SessionTokens{
		Session: sess.ID,
		Client:  "app",
		Token:   secret.Hash("token-" + string(sess.ID)),
		Expires: s.now.Add(20 * time.Minute),
		Refresh: secret.Hash("refresh-" + string(sess.ID)),
	}
	testkit.Must(t, s.db.PutTokenSession(t.Context(), sess, tokens, identity.SessionTerms{}))
	return sess, tokens
}

func (s *suite) tokenSessions(t *testing.T) {
	ctx, db := t.Context(), s.db
	u := s.user(t)
	sess, tokens := s.tokenSession(t, u.ID)
	got, err := db.TokenSession(ctx, sess.ID, s.now.Add(23*time.Hour))
	testkit.Must(t, err)
	if d := cmp.Diff(&login.TokenSession{Session: *sess, Tokens: tokens}, got); d != "" {
		t.Fatal("the session did not come back as stored:\n", d)
	}
	_, err = db.TokenSession(ctx, sess.ID, s.now.Add(24*time.Hour))
	want(t, err, fault.NotFound)
	browser := s.session(t, u)
	_, err = db.TokenSession(ctx, browser.ID, s.now)
	want(t, err, fault.NotFound)
	listed, err := db.UserSessions(ctx, u.ID, s.now.Add(20*time.Hour)) // unused for long
	testkit.Must(t, err)
	testkit.Equal(t, "listed", len(listed), 1)

	// A session of an account that has changed is not stored.
	changed := identity.SessionTerms{Proved: &identity.AccountState{PasswordChangedAt: s.now}}
	late := *sess
	late.ID = identity.SessionID(secret.NewID(s.now))
	want(t, db.PutTokenSession(ctx, &late, tokens, changed), fault.Consumed)

	testkit.Must(t, db.EndSession(ctx, sess.ID, s.now, true))
	_, err = db.TokenSession(ctx, sess.ID, s.now)
	want(t, err, fault.NotFound)
	want(t, db.RotateTokens(ctx, login.TokenRotation{Session: sess.ID, Old: tokens.Refresh, Now: s.now}), fault.Consumed)
}

// However many consume a refresh token at once, one gets new tokens.
func (s *suite) tokensRotateOnce(t *testing.T) {
	ctx, db := t.Context(), s.db
	sess, tokens := s.tokenSession(t, s.user(t).ID)
	later := s.now.Add(time.Minute)
	var wins atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			name := secret.Hash(secret.NewID(s.now))
			err := db.RotateTokens(ctx, login.TokenRotation{
				Session: sess.ID, Old: tokens.Refresh, Now: later, IP: "192.0.2.2", Agent: "app/2",
				Token: "t-" + name, Expires: later.Add(20 * time.Minute), Refresh: "r-" + name,
			})
			if err == nil {
				wins.Add(1)
			} else {
				want(t, err, fault.Consumed)
			}
		})
	}
	wg.Wait()
	testkit.Equal(t, "rotations", wins.Load(), 1)
	got, err := db.TokenSession(ctx, sess.ID, later)
	testkit.Must(t, err)
	testkit.Equal(t, "seen", got.LastSeenAt, later)
	testkit.Equal(t, "agent", got.Agent, "app/2")
	want(t, db.RotateTokens(ctx, login.TokenRotation{
		Session: sess.ID, Old: got.Tokens.Refresh, Now: s.now.Add(24 * time.Hour),
	}), fault.Consumed)
}

func (s *suite) loginStates(t *testing.T) {
	ctx, db := t.Context(), s.db
	h := secret.Hash("state-" + secret.NewID(s.now))
	_, err := db.LoginState(ctx, h, s.now)
	want(t, err, fault.NotFound)
	testkit.Must(t, db.PutLoginState(ctx, h, "one", s.now.Add(time.Minute)))
	testkit.Must(t, db.PutLoginState(ctx, h, "two", s.now.Add(2*time.Minute)))
	got, err := db.LoginState(ctx, h, s.now.Add(90*time.Second))
	testkit.Must(t, err)
	testkit.Equal(t, "opening", got, "two")
	_, err = db.LoginState(ctx, h, s.now.Add(2*time.Minute))
	want(t, err, fault.NotFound)
	_, err = db.Sweep(ctx, s.now.Add(2*time.Minute))
	testkit.Must(t, err)
	_, err = db.LoginState(ctx, h, s.now)
	want(t, err, fault.NotFound)
}
