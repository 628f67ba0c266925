package login

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// tokens signs alice in as a program does.
func (h *harness) tokens() *Done {
	h.Helper()
	st, err := h.s.Password(ctx, h.visit(), Attempt{Username: "alice", Password: right, Client: "app"})
	testkit.Must(h.T, err)
	if st.Done == nil || st.Done.Tokens == nil || st.Done.Cookie != "" || st.Done.Device != "" {
		h.Fatalf("%+v", st)
	}
	return st.Done
}

func (h *harness) rejected(err error, reason string) {
	h.Helper()
	if !fault.Is(err, fault.Denied) || fault.Reason(err) != reason {
		h.Errorf("got %v (%s), want %s", err, fault.Reason(err), reason)
	}
}

// A session of a program lasts a day, its tokens twenty minutes.
func TestTokenSession(t *testing.T) {
	h := newHarness(t)
	done := h.tokens()
	pair := *done.Tokens
	if !strings.HasPrefix(pair.Token, "gth_st_") || !strings.HasPrefix(pair.Refresh, "gth_rt_") {
		t.Errorf("%+v", pair)
	}
	h.now = h.now.Add(19 * time.Minute)
	sess, err := h.s.ResumeToken(ctx, h.visit(), pair.Token)
	testkit.Must(t, err)
	testkit.Equal(t, "user", sess.User, h.alice)
	testkit.Equal(t, "client", string(sess.Tokens.Client), "app")
	testkit.Equal(t, "last seen", sess.LastSeenAt, h.now)
	h.now = h.now.Add(time.Minute)
	_, err = h.s.ResumeToken(ctx, h.visit(), pair.Token)
	h.rejected(err, ReasonTokenExpired)

	// It does not end by not being used, and a refresh replaces both tokens.
	h.now = h.now.Add(10 * time.Hour)
	_, renewed, err := h.s.Refresh(ctx, h.visit(), "app", pair.Refresh)
	testkit.Must(t, err)
	_, err = h.s.ResumeToken(ctx, h.visit(), pair.Token)
	h.rejected(err, ReasonTokenInvalid)
	_, err = h.s.ResumeToken(ctx, h.visit(), renewed.Token)
	testkit.Must(t, err)
	last := h.m.events[len(h.m.events)-1]
	testkit.Equal(t, "recorded", string(last.Type)+" "+last.Session+" "+last.Client, "SESSION_REFRESHED "+string(sess.ID)+" app")

	h.now = h.now.Add(14 * time.Hour)
	_, _, err = h.s.Refresh(ctx, h.visit(), "app", renewed.Refresh)
	h.rejected(err, ReasonSessionExpired)
	_, err = h.s.ResumeToken(ctx, h.visit(), renewed.Token)
	h.rejected(err, ReasonSessionExpired)
}

// A refresh token that was consumed before ends the session.
func TestConsumedRefreshToken(t *testing.T) {
	h := newHarness(t)
	first := *h.tokens().Tokens
	_, second, err := h.s.Refresh(ctx, h.visit(), "app", first.Refresh)
	testkit.Must(t, err)
	_, third, err := h.s.Refresh(ctx, h.visit(), "app", second.Refresh)
	testkit.Must(t, err)
	_, _, err = h.s.Refresh(ctx, h.visit(), "app", first.Refresh)
	h.rejected(err, ReasonTokenConsumed)
	_, err = h.s.ResumeToken(ctx, h.visit(), third.Token)
	h.rejected(err, ReasonSessionInvalidated)
	_, _, err = h.s.Refresh(ctx, h.visit(), "app", third.Refresh)
	h.rejected(err, ReasonSessionInvalidated)
}

// Of several requests at once with one refresh token exactly one succeeds, and its session goes on.
func TestParallelRefresh(t *testing.T) { synctest.Test(t, parallelRefresh) }

func parallelRefresh(t *testing.T) {
	h := newHarness(t)
	first := *h.tokens().Tokens
	h.m.gate = make(chan struct{})
	var won atomic.Pointer[TokenPair]
	var wins atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, pair, err := h.s.Refresh(ctx, h.visit(), "app", first.Refresh)
			if err == nil {
				wins.Add(1)
				won.Store(pair)
				return
			}
			h.rejected(err, ReasonTokenConsumed)
		})
	}
	synctest.Wait() // all are under way before the first is answered
	close(h.m.gate)
	wg.Wait()
	testkit.Equal(t, "refreshed", wins.Load(), 1)
	_, err := h.s.ResumeToken(ctx, h.visit(), won.Load().Token)
	testkit.Must(t, err)
}

// What is not this server's, another client's or of another kind is rejected, and ends nothing.
func TestForeignTokens(t *testing.T) {
	h := newHarness(t)
	pair := *h.tokens().Tokens
	altered := []byte(pair.Refresh)
	altered[20] ^= 1
	for _, token := range []string{
		"", "x", pair.Token, pair.Refresh[:40], string(altered), secret.NewToken(secret.PrefixRefreshToken),
	} {
		_, _, err := h.s.Refresh(ctx, h.visit(), "app", token)
		h.rejected(err, ReasonTokenInvalid)
	}
	_, _, err := h.s.Refresh(ctx, h.visit(), "other", pair.Refresh)
	h.rejected(err, ReasonTokenInvalid)
	h.rejected(h.s.EndByToken(ctx, h.visit(), "other", pair.Refresh), ReasonTokenInvalid)
	h.rejected(h.s.EndByToken(ctx, h.visit(), "app", "x"), ReasonTokenInvalid)
	_, err = h.s.ResumeToken(ctx, h.visit(), pair.Refresh)
	h.rejected(err, ReasonTokenInvalid)
	_, err = h.s.Resume(ctx, h.visit(), pair.Token)
	h.wantErr(err, fault.NotFound, "not signed in")
	_, err = h.s.ResumeToken(ctx, h.visit(), pair.Token)
	testkit.Must(t, err)
}

// Either token signs out.
func TestEndByToken(t *testing.T) {
	for _, which := range []func(TokenPair) string{
		func(p TokenPair) string { return p.Token },
		func(p TokenPair) string { return p.Refresh },
	} {
		h := newHarness(t)
		pair := *h.tokens().Tokens
		testkit.Must(t, h.s.EndByToken(ctx, h.visit(), "app", which(pair)))
		_, err := h.s.ResumeToken(ctx, h.visit(), pair.Token)
		h.rejected(err, ReasonSessionInvalidated)
		h.rejected(h.s.EndByToken(ctx, h.visit(), "app", which(pair)), ReasonSessionInvalidated)
	}
}

// A new password ends the sessions of programs, too, and a disabled account gets no new tokens.
func TestTokenSessionEndsWithTheAccount(t *testing.T) {
	h := newHarness(t)
	pair := *h.tokens().Tokens
	h.m.users[h.alice].Disabled = true
	_, _, err := h.s.Refresh(ctx, h.visit(), "app", pair.Refresh)
	h.wantErr(err, fault.Denied, "disabled")
	h.m.users[h.alice].Disabled = false
	testkit.Must(t, h.s.SetPassword(ctx, h.visit(), h.get(h.alice), newWord))
	_, _, err = h.s.Refresh(ctx, h.visit(), "app", pair.Refresh)
	h.rejected(err, ReasonSessionInvalidated)
}

// The client is known through all steps of a sign-in.
func TestTokensAfterTheSecondFactor(t *testing.T) {
	h := newHarness(t)
	app, _ := h.enroll(h.alice)
	st, err := h.s.Password(ctx, h.visit(), Attempt{Username: "alice", Password: right, Client: "app"})
	testkit.Must(t, err)
	st, err = h.answer(st.Pending, StepFactor, "code", app())
	testkit.Must(t, err)
	sess, err := h.s.ResumeToken(ctx, h.visit(), st.Done.Tokens.Token)
	testkit.Must(t, err)
	testkit.Equal(t, "acr", sess.ACR, identity.ACR2)
}
