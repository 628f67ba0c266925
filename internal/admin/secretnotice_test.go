package admin_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Administrators learn of a rotation if the operator wishes that, nobody else does.
func TestRotationIsNoticed(t *testing.T) {
	w := newWorld(t)
	w.parts.Sealer = outbox.NewSealer(w.parts.Keys)
	first := w.createClient(map[string]string{"client_name": "App", "grant_types": "client_credentials"})
	for _, u := range []identity.User{
		{Email: "boss@example.com", Name: "Boss", Locale: "de", Roles: []string{identity.RoleSuperAdmin}},
		{Username: "unreachable", Roles: []string{identity.RoleSuperAdmin}},
		{Email: "former@example.com", Roles: []string{identity.RoleSuperAdmin}, Disabled: true},
		{Email: "ada@example.com"},
	} {
		u.ID, u.CreatedAt = identity.UserID(secret.NewID(w.now)), w.now
		testkit.Must(t, w.db.CreateUser(t.Context(), &u))
	}
	mails := func() []outbox.Delivery {
		all, err := w.db.ListDeliveries(t.Context(), outbox.Query{Kind: outbox.KindMail, Limit: 100})
		testkit.Must(t, err)
		return all
	}
	_, err := w.with(func(*admin.Config) {}).RotateSecret(t.Context(), admin.CommandLine(), "app", time.Hour)
	testkit.Must(t, err)
	testkit.Equal(t, "messages by default", len(mails()), 0)

	ops := w.with(func(c *admin.Config) { c.NotifyRotation = true })
	w.now = w.now.Add(time.Minute)
	out, err := ops.RotateSecret(t.Context(), admin.CommandLine(), "app", time.Hour)
	testkit.Must(t, err)
	all := mails()
	testkit.Equal(t, "messages", len(all), 1)
	testkit.Equal(t, "to", all[0].To, "boss@example.com")
	d, err := w.db.Delivery(t.Context(), all[0].ID)
	testkit.Must(t, err)
	m, err := w.parts.Sealer.OpenMail(d)
	testkit.Must(t, err)
	testkit.Equal(t, "message", m.Message, outbox.MessageSecretRotated)
	testkit.Equal(t, "app", m.Values["client"], "App (app)")
	testkit.Equal(t, "by", m.Values["by"], "cli")
	testkit.Equal(t, "language", m.Locale, "de")
	for name, value := range m.Values {
		if value == out.Secret || value == first.Secret {
			t.Errorf("the message has the secret as %s", name)
		}
	}
}
