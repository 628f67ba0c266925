package storetest

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func (s *suite) clients(t *testing.T) {
	ctx, c := t.Context(), s.client(t)
	got, err := s.db.Client(ctx, c.ID) // in memory when CreateClient returns
	testkit.Must(t, err)
	if d := cmp.Diff(c, got, cmp.Transformer("nil", func(l []string) []string { return slices.Concat([]string{}, l) })); d != "" {
		t.Fatal(d)
	}
	want(t, s.db.CreateClient(ctx, c), fault.Conflict)
	changed := *c
	changed.Name, changed.JWKS, changed.UpdatedAt = "Other name", json.RawMessage(`{"keys":[]}`), s.now.Add(time.Second)
	changed.Roles, changed.Networks, changed.Hosts = []string{
		"batch",
	}, []string{
		"10.0.0.0/8",
		"2001:db8::/32",
	}, []string{
		"api.example",
	}
	changed.Routes, changed.DPoPBound, changed.CertBound, changed.ServerSideRefresh = []string{
		"shop/v1",
		"stock",
	}, true, false, true
	testkit.Must(t, s.db.UpdateClient(ctx, c, &changed))
	got, _ = s.db.Client(ctx, c.ID)
	if d := cmp.Diff(&changed, got, cmp.Transformer("nil", func(l []string) []string { return slices.Concat([]string{}, l) })); d != "" {
		t.Fatal(d)
	}
	want(t, s.db.UpdateClient(ctx, &client.Client{ID: "nobody"}, &client.Client{ID: "nobody", Name: "N"}), fault.NotFound)
	_, err = s.db.Client(ctx, "nobody")
	want(t, err, fault.NotFound)
	listed, err := s.db.ListClients(ctx, store.ClientQuery{Search: "other NAME"}, nil)
	testkit.Must(t, err)
	if listed.Total != 1 || listed.Items[0].ID != c.ID {
		t.Fatalf("searching found %d clients", listed.Total)
	}
}

func (s *suite) clientSecrets(t *testing.T) {
	ctx, c := t.Context(), s.client(t)
	for i := range 3 {
		at := s.now.Add(time.Duration(i+1) * time.Hour)
		testkit.Must(t, s.db.RotateSecret(ctx, c.ID, client.Secret{
			ID:        s.name("secret"),
			Hash:      secret.Hash(rune('a' + i)),
			CreatedAt: at,
		}, 2, at.Add(time.Minute)))
		got, _ := s.db.Client(ctx, c.ID)
		if len(got.Secrets) != 2 || got.Secrets[0].Hash != secret.Hash(rune('a'+i)) ||
			!got.Secrets[0].ExpiresAt.IsZero() ||
			!got.Secrets[1].ExpiresAt.Equal(at.Add(time.Minute)) {
			t.Fatalf("after rotation %d: %+v", i+1, got.Secrets)
		}
	}
	testkit.Must(t, s.db.RotateSecret(ctx, c.ID, client.Secret{
		ID:        s.name("secret"),
		Hash:      "only",
		CreatedAt: s.now.Add(9 * time.Hour),
	}, 1, s.now))
	got, _ := s.db.Client(ctx, c.ID)
	testkit.Equal(t, "secrets", len(got.Secrets), 1)
	want(t, s.db.RotateSecret(ctx, "nobody", client.Secret{ID: "x"}, 2, s.now), fault.NotFound)
	s.secretsOneByOne(t)
}

// secretsOneByOne: secrets are added up to a bound and removed, and concurrent removals leave an
// active one.
func (s *suite) secretsOneByOne(t *testing.T) {
	ctx, c := t.Context(), s.client(t)
	active := []string{c.Secrets[0].ID}
	add := func(at, expires time.Time) error {
		one := client.Secret{ID: s.name("secret"), Hash: secret.Hash("h"), CreatedAt: at, ExpiresAt: expires}
		err := s.db.AddSecret(ctx, c.ID, one, 3)
		if err == nil && expires.IsZero() {
			active = append(active, one.ID)
		}
		return err
	}
	testkit.Must(t, add(s.now.Add(time.Minute), s.now.Add(time.Hour)))
	testkit.Must(t, add(s.now.Add(2*time.Minute), time.Time{}))
	err := add(s.now.Add(3*time.Minute), time.Time{})
	if want(t, err, fault.Conflict); fault.Reason(err) != admin.ReasonTooManySecrets {
		t.Fatalf("got %v", err)
	}
	// The second has expired: it makes room.
	testkit.Must(t, add(s.now.Add(time.Hour), time.Time{}))
	got, _ := s.db.Client(ctx, c.ID)
	if len(got.Secrets) != 4 || got.ActiveSecrets(s.now.Add(time.Hour)) != 3 || len(active) != 3 ||
		!got.Secrets[2].ExpiresAt.Equal(s.now.Add(time.Hour)) || !got.Secrets[3].ExpiresAt.IsZero() {
		t.Fatalf("got %+v", got.Secrets)
	}
	s.removeSecrets(t, c.ID, active)
	want(t, s.db.AddSecret(ctx, "nobody", client.Secret{ID: "x"}, 3), fault.NotFound)
	want(t, s.db.RemoveSecret(ctx, c.ID, "nothing", true, s.now), fault.NotFound)
	other := s.client(t)
	want(t, s.db.RemoveSecret(ctx, c.ID, other.Secrets[0].ID, false, s.now), fault.NotFound)
	got, _ = s.db.Client(ctx, other.ID)
	testkit.Equal(t, "secrets of the other client", len(got.Secrets), 1)
}

// removeSecrets removes all active secrets at once; one must stay until it is forced.
func (s *suite) removeSecrets(t *testing.T, id client.ID, active []string) {
	ctx, now := t.Context(), s.now.Add(2*time.Hour)
	errs := make(chan error, len(active))
	for _, one := range active {
		go func() { errs <- s.db.RemoveSecret(ctx, id, one, true, now) }()
	}
	denied := 0
	for range active {
		switch err := <-errs; {
		case fault.Reason(err) == admin.ReasonLastSecret:
			denied++
		case err != nil:
			t.Fatal(err)
		}
	}
	got, _ := s.db.Client(ctx, id)
	if denied != 1 || got.ActiveSecrets(now) != 1 {
		t.Fatalf("%d removals were denied: %+v", denied, got.Secrets)
	}
	for _, one := range got.Secrets {
		force := one.Active(now) // one that has expired needs none
		testkit.Must(t, s.db.RemoveSecret(ctx, id, one.ID, !force, now))
	}
	got, _ = s.db.Client(ctx, id)
	if len(got.Secrets) != 0 || !got.UpdatedAt.Equal(now) {
		t.Fatalf("got %+v", got)
	}
}

func (s *suite) clientDeletion(t *testing.T) {
	ctx, c, u := t.Context(), s.client(t), s.user(t)
	g := s.grant(u, c)
	testkit.Must(t, s.db.PutGrant(ctx, g))
	testkit.Must(t, s.db.PutCode(ctx, "code-of-deleted", &oauth.Code{Grant: *g, ExpiresAt: s.now.Add(time.Minute)}))
	testkit.Must(t, s.db.DeleteClient(ctx, c.ID, s.now.Add(time.Second)))
	_, err := s.db.Client(ctx, c.ID)
	want(t, err, fault.NotFound)
	_, err = s.db.Grant(ctx, g.ID)
	want(t, err, fault.NotFound)
	_, err = s.db.Code(ctx, "code-of-deleted", s.now)
	want(t, err, fault.NotFound)
	testkit.Equal(t, "token of a deleted client revoked", s.db.Revoked(token(g, s.now)), true)
	late := s.grant(u, c)
	want(t, s.db.PutGrant(ctx, late), fault.Consumed)
	want(t, s.db.DeleteClient(ctx, c.ID, s.now), fault.NotFound)
	t.Run("tokens only", s.clientTokens)
}

func (s *suite) scopes(t *testing.T) {
	ctx := t.Context()
	for _, name := range []string{"openid", "profile", "email", "address", "phone", "offline_access"} {
		if sc := s.db.Scopes()[name]; sc == nil || !sc.System || sc.Description == "" {
			t.Fatalf("system scope %s is %+v", name, sc)
		}
	}
	orders := &oauth.Scope{
		Name:        "orders:read",
		Description: "see your orders",
		Default:     true,
		CreatedAt:   s.now,
	}
	testkit.Must(t, s.db.CreateScope(ctx, orders))
	want(t, s.db.CreateScope(ctx, orders), fault.Conflict)
	openid := s.db.Scopes()["openid"]
	testkit.Must(t, s.db.UpdateScope(ctx, openid, &oauth.Scope{Name: "openid", Description: "know you"}))
	unknown := &oauth.Scope{Name: "unknown"}
	want(t, s.db.UpdateScope(ctx, unknown, &oauth.Scope{Name: "unknown", Default: true}), fault.NotFound)
	if sc := s.db.Scopes()["openid"]; !sc.System || sc.Description != "know you" {
		t.Fatalf("a changed system scope is %+v", sc)
	}
	if _, err := s.db.Migrate(ctx); err != nil || s.db.Scopes()["openid"].Description != "know you" {
		t.Fatalf("migrating again replaced an operator's description (%v)", err)
	}
	testkit.Equal(t, "default", s.db.Scopes()["orders:read"].Default, true)
	want(t, s.db.DeleteScope(ctx, "openid"), fault.Denied)
	testkit.Must(t, s.db.DeleteScope(ctx, "orders:read"))
	want(t, s.db.DeleteScope(ctx, "orders:read"), fault.NotFound)
	if s.db.Scopes()["orders:read"] != nil {
		t.Fatal("a deleted scope is still there")
	}
}
