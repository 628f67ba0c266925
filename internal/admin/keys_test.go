package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// key returns the only key of an algorithm that signs or will sign, or fails.
func (w *world) key(alg string) jose.StoredKey {
	w.t.Helper()
	testkit.Must(w.t, w.ring.Reload(w.t.Context()))
	var found []jose.StoredKey
	for _, k := range w.ring.Keys() {
		if k.Alg == alg && k.RetiredAt.IsZero() {
			found = append(found, k)
		}
	}
	if len(found) != 1 {
		w.t.Fatalf("there are %d keys of %s", len(found), alg)
	}
	return found[0]
}

func (w *world) setAlg(alg string) (*admin.ChangedClient, error) {
	p := patch(w.t, client.Fields(token.ClientRules()), map[string]string{"alg": alg})
	return w.ops.UpdateClient(w.t.Context(), admin.CommandLine(), "app", p)
}

// A client's algorithm has its key before the client has the algorithm. The first key comes with a
// warning if there are keys that verifiers may have cached.
func TestClientAlgorithmHasItsKey(t *testing.T) {
	w := newWorld(t)
	made := w.createClient(map[string]string{"client_name": "App", "grant_types": "client_credentials", "alg": jose.PS256})
	testkit.Equal(t, "state", w.key(jose.PS256).State(w.now), "active")
	testkit.Equal(t, "warnings on an empty ring", len(made.Warnings), 0)
	out, err := w.setAlg(jose.EdDSA)
	testkit.Must(t, err)
	testkit.Equal(t, "state", w.key(jose.EdDSA).State(w.now), "active")
	if len(out.Warnings) != 1 || out.Warnings[0].Code != admin.WarnFirstKey || out.Warnings[0].Subject != jose.EdDSA {
		t.Errorf("warnings %+v", out.Warnings)
	}
	out, err = w.setAlg(jose.PS256)
	testkit.Must(t, err)
	testkit.Equal(t, "warnings for a key that exists", len(out.Warnings), 0)
	list, err := w.db.ClientAlgorithms(t.Context())
	testkit.Must(t, err)
	testkit.Equal(t, "algorithms", strings.Join(list, " "), jose.PS256)
}

// A key that is published ahead signs nothing before its time: no client gets its algorithm.
func TestClientAlgorithmWaitsForItsKey(t *testing.T) {
	w := newWorld(t)
	w.createClient(map[string]string{"client_name": "App", "grant_types": "client_credentials"})
	ctx := t.Context()
	_, err := w.ops.RotateKey(ctx, admin.CommandLine(), admin.KeyRotation{Algorithm: jose.PS256, PublishAhead: 10 * time.Minute})
	testkit.Must(t, err)
	testkit.Must(t, w.ring.Reload(ctx))
	if _, err := w.setAlg(jose.PS256); !fault.Is(err, fault.Conflict) || !strings.Contains(fault.Text(err), "signs from") {
		t.Fatalf("got %v", err)
	}
	w.now = w.now.Add(10 * time.Minute)
	out, err := w.setAlg(jose.PS256)
	testkit.Must(t, err)
	testkit.Equal(t, "warnings", len(out.Warnings), 0)
	w.key(jose.PS256)
}

// The only key of an algorithm can be withdrawn if nothing uses the algorithm.
func TestRetireUnusedAlgorithm(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	testkit.Must(t, w.ring.Ensure(ctx, jose.ES256, w.now))
	w.createClient(map[string]string{"client_name": "App", "grant_types": "client_credentials", "alg": jose.PS256})
	refused := func(alg, words string) {
		t.Helper()
		_, err := w.ops.RetireKey(ctx, admin.CommandLine(), w.key(alg).ID)
		if !fault.Is(err, fault.Conflict) || !strings.Contains(fault.Text(err), words) {
			t.Errorf("%s: got %v", alg, err)
		}
	}
	retired := func(alg string) {
		t.Helper()
		id := w.key(alg).ID
		_, err := w.ops.RetireKey(ctx, admin.CommandLine(), id)
		testkit.Must(t, err)
		testkit.Must(t, w.ring.Reload(ctx))
		for _, k := range w.ring.Keys() {
			if k.ID == id && k.State(w.now) != "expired" {
				t.Errorf("the key of %s is %s", alg, k.State(w.now))
			}
		}
	}
	refused(jose.ES256, "JWT_ALGORITHM")
	refused(jose.PS256, "a client")
	_, err := w.setAlg("")
	testkit.Must(t, err)
	retired(jose.PS256)
}

// Routes use the key that signs X-Auth-Info.
func TestRetireKeyOfRoutes(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ops := w.with(func(c *admin.Config) { c.Algorithm = jose.RS256 })
	testkit.Must(t, w.ring.Ensure(ctx, access.AuthInfoAlg, w.now))
	id := w.key(access.AuthInfoAlg).ID
	route := access.Route{ID: "r", Domain: "shop", Version: "v1", Upstreams: []string{"http://127.0.0.1:1"}}
	testkit.Must(t, w.db.CreateRoute(ctx, &route, func([]access.Route) error { return nil }))
	if _, err := ops.RetireKey(ctx, admin.CommandLine(), id); !fault.Is(err, fault.Conflict) || !strings.Contains(fault.Text(err), "X-Auth-Info") {
		t.Fatalf("got %v", err)
	}
	testkit.Must(t, w.db.DeleteRoute(ctx, "r"))
	_, err := ops.RetireKey(ctx, admin.CommandLine(), id)
	testkit.Must(t, err)
}

// What is said of the tokens of a key before it is withdrawn holds also where the settings had a
// longer lifetime before.
func TestTokensOfAKey(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ops := w.with(func(c *admin.Config) { c.Algorithm, c.AccessTTL = jose.ES256, time.Hour })
	testkit.Must(t, w.ring.Ensure(ctx, jose.ES256, w.now))
	testkit.Must(t, w.ring.Ensure(ctx, jose.RS256, w.now))
	id := w.key(jose.RS256).ID
	use := func() admin.KeyUse {
		t.Helper()
		k, err := ops.RetirableKey(ctx, admin.CommandLine(), id)
		testkit.Must(t, err)
		return k
	}
	testkit.Equal(t, "until", use().TokensUntil, w.now.Add(time.Hour))
	testkit.Must(t, w.db.RaiseTokenTTL(ctx, 5*time.Hour))
	testkit.Equal(t, "of a longer lifetime", use().TokensUntil, w.now.Add(5*time.Hour))
	testkit.Must(t, w.db.Record(ctx, audit.Event{At: w.now, Type: audit.TokensIssued, Actor: "c", Detail: map[string]string{"count": "7"}}))
	testkit.Must(t, w.db.CountEvents(ctx, w.now.Add(time.Minute)))
	testkit.Equal(t, "issued", use().Issued, 7)
	// Another one signs since a while.
	testkit.Must(t, w.db.RetireKeys(ctx, []string{id}, w.now, w.now.Add(24*time.Hour)))
	testkit.Must(t, w.ring.Reload(ctx))
	w.now = w.now.Add(2 * time.Hour)
	testkit.Equal(t, "of a retired key", use().TokensUntil, w.now.Add(3*time.Hour))
	w.now = w.now.Add(4 * time.Hour)
	testkit.Equal(t, "after all have expired", use().TokensUntil.IsZero() && use().Issued == -1, true)
}
