package login_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// app is somebody else's authenticator app.
func app(t *testing.T, e *login.Enrollment) func(time.Time) string {
	t.Helper()
	u, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(u.Query().Get("secret"))
	if err != nil {
		t.Fatal(err)
	}
	return func(at time.Time) string {
		m := hmac.New(sha1.New, seed)
		_ = binary.Write(m, binary.BigEndian, at.Unix()/30)
		sum := m.Sum(nil)
		return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[sum[19]&15:])&0x7fffffff%1_000_000)
	}
}

// TestStoryOnTheRealStore follows one administrator from the set-up link through a lost phone and a
// new password, with real password hashes on SQLite.
func TestStoryOnTheRealStore(t *testing.T) {
	ctx := context.Background()
	db, err := store.Open(ctx, store.Options{URL: "sqlite::memory:"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	keys, err := secret.NewKeys([]byte(strings.Repeat("s", secret.MinMaster)))
	if err != nil {
		t.Fatal(err)
	}
	policy := identity.Policy{MinLength: 12, Common: true}
	s := login.New(login.Config{
		AppName: "Example", Host: "id.example.com", Policy: policy, AdminPolicy: policy, HistoryCount: 2, SessionTTL: 24 * time.Hour, Idle: time.Hour,
		RevokeTokens: true, LockThreshold: 5, LockDuration: 30 * time.Minute, AutoUnlock: true, RequireAdminMFA: true,
	}, db, keys, secret.NewPasswords(2, 100))
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	visit := func() login.Visit {
		return login.Visit{IP: "203.0.113.7", Agent: "Firefox", RequestID: "r", Now: now}
	}
	step := func(want string) func(login.Step, error) login.Step {
		return func(st login.Step, err error) login.Step {
			t.Helper()
			if err != nil || st.Next != want || (st.Done != nil) != (want == "") {
				t.Fatalf("got %+v, %v; want the step %q", st, err, want)
			}
			return st
		}
	}
	refused := func(err error, k fault.Kind) {
		t.Helper()
		if !fault.Is(err, k) {
			t.Fatalf("got %v, want %v", err, k)
		}
	}
	const first, second = "Tr4verse-the-Quiet-Valley", "Nine lanterns 4 the ferry"

	// The set-up link creates the administrator. An administrator needs an authenticator.
	token, err := s.SetupLink(ctx, now)
	if err != nil {
		t.Fatal(err)
	}
	st := step(login.StepEnroll)(s.CompleteSetup(ctx, visit(), token, login.SetupForm{Email: "root@example.com", Name: "Root", Password: first}))
	_, err = s.CompleteSetup(ctx, visit(), token, login.SetupForm{Email: "second@example.com", Password: first})
	refused(err, fault.Consumed)
	p, err := s.Pending(ctx, visit(), st.Pending)
	if err != nil {
		t.Fatal(err)
	}
	u := p.User
	e, err := s.Enroll(ctx, visit(), u, "totp", "")
	if err != nil {
		t.Fatal(err)
	}
	code := app(t, e)
	done := step("")(s.Continue(ctx, visit(), st.Pending, login.StepEnroll, url.Values{"code": {code(now)}})).Done
	if len(done.Backup) != 10 || done.Session.ACR != identity.ACR2 {
		t.Fatalf("%+v", done)
	}
	sess, err := s.Resume(ctx, visit(), done.Cookie)
	if err != nil || sess.User != u.ID || sess.ACR != identity.ACR2 {
		t.Fatalf("session %+v %v", sess, err)
	}

	// One code signs in once, however many try.
	now = now.Add(5 * time.Minute)
	st = step(login.StepFactor)(s.Password(ctx, visit(), login.Attempt{Username: "ROOT@example.com", Password: first, Cookie: done.Cookie}))
	_, err = s.Continue(ctx, visit(), st.Pending, login.StepFactor, url.Values{"code": {"not a code"}})
	refused(err, fault.Invalid)
	var won atomic.Pointer[login.Done]
	var wins atomic.Int64
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			st, err := s.Continue(ctx, visit(), st.Pending, login.StepFactor, url.Values{"code": {code(now)}})
			if err == nil {
				wins.Add(1)
				won.Store(st.Done)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Fatalf("one code signed in %d times", wins.Load())
	}
	if d := won.Load(); d.Session.ID != sess.ID || d.Cookie == done.Cookie {
		t.Fatal("the browser's session was not renewed under a new cookie")
	}
	_, err = s.Resume(ctx, visit(), done.Cookie)
	refused(err, fault.NotFound)

	// The 49 replays have locked the account. The phone is lost: a backup code helps, once, after
	// the lock.
	_, err = s.Password(ctx, visit(), login.Attempt{Username: "root@example.com", Password: first})
	refused(err, fault.Limited)
	now = now.Add(31 * time.Minute)
	st = step(login.StepFactor)(s.Password(ctx, visit(), login.Attempt{Username: "root@example.com", Password: first}))
	spare := url.Values{"code": {done.Backup[0]}}
	signed := step("")(s.Continue(ctx, visit(), st.Pending, login.StepFactor, spare)).Done
	_, err = s.Continue(ctx, visit(), st.Pending, login.StepFactor, spare)
	refused(err, fault.Denied)
	if f, err := s.Factors(ctx, u.ID); err != nil || f.BackupLeft != 9 {
		t.Fatalf("factors %+v %v", f, err)
	}

	// A new password ends the other sessions and what was pending; the old one does not come back.
	err = s.ChangePassword(ctx, visit(), signed.User, login.Change{Current: first, New: second, Keep: signed.Session.ID})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Resume(ctx, visit(), won.Load().Cookie)
	refused(err, fault.NotFound)
	if _, err := s.Resume(ctx, visit(), signed.Cookie); err != nil {
		t.Fatal(err)
	}
	_, err = s.Pending(ctx, visit(), st.Pending)
	refused(err, fault.Consumed)
	refused(s.SetPassword(ctx, visit(), signed.User, first), fault.Invalid)

	// Without the authenticator the next sign-in asks for one.
	if err := s.RemoveFactor(ctx, visit(), u, "totp"); err != nil {
		t.Fatal(err)
	}
	step(login.StepEnroll)(s.Password(ctx, visit(), login.Attempt{Username: "root@example.com", Password: second}))
	if err := s.End(ctx, visit(), signed.Session); err != nil {
		t.Fatal(err)
	}
	_, err = s.Resume(ctx, visit(), signed.Cookie)
	refused(err, fault.NotFound)
}
