package login_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// One of many who use a link at the same moment sets the password.
func TestResetLinkOnceAmongMany(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("ada@example.com", nil)
	testkit.Must(t, w.s.RequestPasswordReset(t.Context(), w.visit(), u.Email, ""))
	link := token(w.one(outbox.MessagePasswordReset, u.Email))
	var wg sync.WaitGroup
	var won atomic.Int64
	for range 20 {
		v := w.visit()
		wg.Go(func() {
			switch _, err := w.s.UsePasswordLink(t.Context(), v, link, phrase2); {
			case err == nil:
				won.Add(1)
			case !fault.Is(err, fault.Consumed) && !fault.Is(err, fault.Unavailable):
				t.Errorf("refused with %v", err)
			}
		})
	}
	wg.Wait()
	testkit.Equal(t, "passwords set", won.Load(), int64(1))
}

// A link that was mailed before the address was changed, or a further address removed, may be in a
// mailbox that is no longer the person's.
func TestResetLinkEndsWithTheAddress(t *testing.T) {
	w := newTown(t, nil)
	u := w.user("old@example.com", nil)
	ask := func(address string) string {
		testkit.Must(t, w.s.RequestPasswordReset(t.Context(), w.visit(), address, ""))
		return token(w.one(outbox.MessagePasswordReset, address))
	}
	first := ask("old@example.com")
	change := w.request(u, login.ConfirmChange, "new@example.com")
	testkit.Must(t, w.s.ConfirmByLink(t.Context(), w.visit(), u, token(change)))
	_, err := w.s.UsePasswordLink(t.Context(), w.visit(), first, phrase2)
	w.wants(err, fault.Consumed, "used already")

	u = w.read(u.ID)
	further := w.request(u, login.ConfirmAdd, "more@example.com")
	testkit.Must(t, w.s.ConfirmByLink(t.Context(), w.visit(), u, token(further)))
	second := ask("more@example.com")
	testkit.Must(t, w.s.RemoveEmail(t.Context(), w.visit(), w.read(u.ID), "more@example.com"))
	_, err = w.s.UsePasswordLink(t.Context(), w.visit(), second, phrase2)
	w.wants(err, fault.Consumed, "used already")
	w.wantsPassword(u.Email, phrase)
}

// wantsPassword checks that a password is that of an account.
func (w *town) wantsPassword(name, password string) {
	w.Helper()
	_, err := w.signIn(name, password)
	testkit.Must(w.T, err)
}
