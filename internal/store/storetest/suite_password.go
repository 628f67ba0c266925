package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// From when a second step is required is stored once, and again only after it was deleted. A change
// of the account does not touch it.
func (s *suite) requiredMFA(t *testing.T) {
	ctx, u, other := t.Context(), s.user(t), s.user(t)
	since := func(want time.Time) {
		t.Helper()
		got, err := s.db.MFARequiredSince(ctx, u.ID)
		testkit.Must(t, err)
		testkit.Equal(t, "since", got.UTC(), want.UTC())
	}
	later := s.now.Add(time.Hour)
	testkit.Must(t, s.db.SetMFARequiredSince(ctx, u.ID, s.now))
	testkit.Must(t, s.db.SetMFARequiredSince(ctx, u.ID, later))
	since(s.now)
	renamed := *u // read before
	renamed.Name, renamed.UpdatedAt = "Another", later
	testkit.Must(t, s.db.UpdateUser(ctx, u, &renamed))
	since(s.now)
	testkit.Must(t, s.db.SetMFARequiredSince(ctx, u.ID, time.Time{}))
	since(time.Time{})
	testkit.Must(t, s.db.SetMFARequiredSince(ctx, u.ID, later))
	since(later)
	got, err := s.db.MFARequiredSince(ctx, other.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "of another account", got.IsZero(), true)
	_, err = s.db.MFARequiredSince(ctx, "nobody")
	want(t, err, fault.NotFound)
}

// People are told once that a password ends, by however many servers.
func (s *suite) oldPasswords(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	create := func(name string, change func(*identity.User)) identity.UserID {
		u := &identity.User{
			ID: identity.UserID(name), Email: name + "@example.org", PasswordHash: "hash",
			PasswordChangedAt: s.now, CreatedAt: s.now.Add(-time.Hour), UpdatedAt: s.now,
		}
		change(u)
		testkit.Must(t, db.CreateUser(ctx, u))
		return u.ID
	}
	a := create("a", func(*identity.User) {})
	b := create("b", func(u *identity.User) { u.PasswordChangedAt = time.Time{} })
	create("disabled", func(u *identity.User) { u.Disabled = true })
	create("mailless", func(u *identity.User) { u.Email, u.Username = "", "mailless" })
	create("passwordless", func(u *identity.User) { u.PasswordHash = "" })
	create("young", func(u *identity.User) { u.PasswordChangedAt = s.now.Add(time.Minute) })
	old := func(after identity.UserID, limit int, want ...identity.UserID) {
		t.Helper()
		got, err := db.OldPasswords(ctx, after, s.now, limit)
		testkit.Must(t, err)
		var ids []identity.UserID
		for _, u := range got {
			ids = append(ids, u.ID)
		}
		testkit.Equal(t, "old passwords", ids, want)
	}
	old("", 10, a, b)
	old("", 1, a)
	old(a, 10, b)

	var marked atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := db.MarkExpiryNotice(ctx, a, s.now, audit.Event{ID: s.name("event"), At: s.now}); err == nil {
				marked.Add(1)
			} else {
				want(t, err, fault.Consumed)
			}
		})
	}
	wg.Wait()
	testkit.Equal(t, "notices", marked.Load(), 1)
	events, err := db.CountAudit(ctx, store.AuditQuery{})
	testkit.Must(t, err)
	testkit.Equal(t, "events", events, 1)
	old("", 10, b)
	want(t, db.MarkExpiryNotice(ctx, b, s.now), fault.Consumed) // that is not when it was set
	testkit.Must(t, db.MarkExpiryNotice(ctx, b, s.now.Add(-time.Hour)))
	old("", 10)
	testkit.Must(t, db.SetPassword(ctx, a, "next", 0, s.now.Add(-time.Minute)))
	old("", 10, a) // another password, another notice
}
