package bearer_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
)

// A cached token takes a hash and lookups, and hardly any allocation.
func BenchmarkVerifyWarm(b *testing.B) {
	issuer := bearertest.NewIssuer(b)
	v := newVerifier(b, bearer.Config{Issuer: issuer.URL, Client: client})
	if err := v.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	r := request("Bearer " + issuer.Token(bearertest.Claims{"scope": "notes:read"}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRequireWarm(b *testing.B) {
	issuer := bearertest.NewIssuer(b)
	v := newVerifier(b, bearer.Config{Issuer: issuer.URL})
	r := request("Bearer " + issuer.Token(bearertest.Claims{"scope": "notes:read"}))
	h := v.Require("notes:read")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(w, r)
	}
	if w.Code != 200 {
		b.Fatal(w.Code)
	}
}

func BenchmarkVerifyOpaque(b *testing.B) {
	issuer := bearertest.NewIssuer(b)
	v := newVerifier(b, bearer.Config{
		Issuer:            issuer.URL,
		Client:            client,
		IgnoreRevocations: true,
		CacheTTL:          5 * time.Minute,
	})
	r := request("Bearer " + issuer.Opaque(bearertest.Claims{"scope": "notes:read"}))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerifyDPoP(b *testing.B) {
	issuer, holder := bearertest.NewIssuer(b), bearertest.NewHolder(b)
	v := newVerifier(b, bearer.Config{Issuer: issuer.URL, PublicURL: api})
	token := issuer.Token(bearertest.Claims{"cnf": holder.Confirmation()})
	for b.Loop() {
		b.StopTimer()
		r := withProof(token, holder.Proof("GET", htu, token, nil))
		b.StartTimer()
		if _, err := v.Verify(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}

// The budget of a request with a cached token.
func TestWarmAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL})
	r := request("Bearer " + issuer.Token(nil))
	if _, err := v.Verify(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = v.Verify(t.Context(), r) }); n > 2 {
		t.Errorf("a cached token takes %.0f allocations", n)
	}
}
