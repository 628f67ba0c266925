package admin_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// An address that an administrator replaces or removes is told: its owner must not find out by
// being locked out.
func TestAddressesLearnOfTheirReplacement(t *testing.T) {
	w := newWorld(t)
	w.parts.Accounts = login.New(login.Config{Policy: identity.Policy{MinLength: 8}, Mail: true}, w.db, w.parts.Keys, secret.NewPasswords(1, 8))
	ops := w.with(func(*admin.Config) {})
	u := w.createUser("zoe@example.com", "")
	sealer := outbox.NewSealer(w.parts.Keys)
	for i, step := range []struct{ email, to, message string }{
		{"zed@example.com", "zoe@example.com", outbox.MessageEmailChanged},
		{"", "zed@example.com", outbox.MessageEmailRemoved},
	} {
		w.now = w.now.Add(time.Minute)
		fields := map[string]string{"email": step.email}
		if step.email == "" {
			fields["username"] = "zoe"
		}
		_, err := ops.UpdateUser(t.Context(), admin.CommandLine(), string(u.ID),
			admin.UserUpdate{Fields: patch(t, identity.UserFields(), fields)})
		testkit.Must(t, err)
		all, err := w.db.ListDeliveries(t.Context(), outbox.Query{Kind: outbox.KindMail, Limit: 10})
		testkit.Must(t, err)
		testkit.Equal(t, "messages", len(all), i+1)
		d, err := w.db.Delivery(t.Context(), all[0].ID)
		testkit.Must(t, err)
		m, err := sealer.OpenMail(d)
		testkit.Must(t, err)
		testkit.Equal(t, "to", m.To, step.to)
		testkit.Equal(t, "message", m.Message, step.message)
	}
}
