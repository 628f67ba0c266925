package bearer_test

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
)

func thumbprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// withProof returns a request with a bound token and proofs.
func withProof(token string, proofs ...string) *http.Request {
	r := request("DPoP " + token)
	r.Header["Dpop"] = proofs
	return r
}

const htu = "https://api.example.com/notes"

// RFC 9449 §7.1, §7.2, §4.3.
func TestDPoP(t *testing.T) {
	issuer, holder, thief := bearertest.NewIssuer(t), bearertest.NewHolder(t), bearertest.NewHolder(t)
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL, PublicURL: api})
	bound, plain := issuer.Token(bearertest.Claims{"cnf": holder.Confirmation()}), issuer.Token(nil)
	proof := func(c bearertest.Claims) string { return holder.Proof("GET", htu, bound, c) }
	got, err := v.Verify(t.Context(), withProof(bound, proof(nil)))
	if err != nil || got.Thumbprint == "" {
		t.Fatalf("%+v %v", got, err)
	}
	for name, tc := range map[string]struct {
		request *http.Request
		code    string
	}{
		"no proof":              {withProof(bound), bearer.CodeInvalidProof},
		"two proofs":            {withProof(bound, proof(nil), proof(nil)), bearer.CodeInvalidProof},
		"nonsense":              {withProof(bound, "nonsense"), bearer.CodeInvalidProof},
		"another key":           {withProof(bound, thief.Proof("GET", htu, bound, nil)), bearer.CodeInvalidProof},
		"another method":        {withProof(bound, holder.Proof("POST", htu, bound, nil)), bearer.CodeInvalidProof},
		"another address":       {withProof(bound, holder.Proof("GET", api+"/other", bound, nil)), bearer.CodeInvalidProof},
		"another token":         {withProof(bound, holder.Proof("GET", htu, plain, nil)), bearer.CodeInvalidProof},
		"old":                   {withProof(bound, proof(bearertest.Claims{"iat": time.Now().Unix() - 90})), bearer.CodeInvalidProof},
		"token that is unbound": {withProof(plain, holder.Proof("GET", htu, plain, nil)), bearer.CodeInvalidToken},
		"bound token as bearer": {request("Bearer " + bound), bearer.CodeInvalidToken},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.Verify(t.Context(), tc.request)
			rejected(t, err, 401, tc.code)
		})
	}
	opaque := issuer.Opaque(bearertest.Claims{"cnf": holder.Confirmation()})
	asks := newVerifier(t, bearer.Config{Issuer: issuer.URL, Client: client, PublicURL: api})
	if _, err := asks.Verify(t.Context(), withProof(opaque, holder.Proof("GET", htu, opaque, nil))); err != nil {
		t.Errorf("an opaque token: %v", err)
	}
	_, err = asks.Verify(t.Context(), request("Bearer "+opaque))
	rejected(t, err, 401, bearer.CodeInvalidToken)
	only := newVerifier(t, bearer.Config{Issuer: issuer.URL, DPoP: bearer.DPoPConfig{Required: true}})
	_, err = only.Verify(t.Context(), request("Bearer "+plain))
	rejected(t, err, 401, bearer.CodeInvalidToken)
	if c := get(only, request()).Header.Values("WWW-Authenticate"); len(c) != 1 || !strings.HasPrefix(c[0], "DPoP ") {
		t.Errorf("challenges %q", c)
	}
}

// The address that a proof must name.
func TestProofAddress(t *testing.T) {
	issuer, holder := bearertest.NewIssuer(t), bearertest.NewHolder(t)
	token := issuer.Token(bearertest.Claims{"cnf": holder.Confirmation()})
	direct, behind := newVerifier(t, bearer.Config{Issuer: issuer.URL}), newVerifier(t, bearer.Config{Issuer: issuer.URL, PublicURL: "https://public.example/api/"})
	for _, tc := range []struct {
		v    *bearer.Verifier
		htu  string
		good bool
	}{
		{direct, "http://api.example.com/notes", true},
		{direct, "https://api.example.com/notes", false},
		{behind, "https://public.example/api/notes", true},
		{behind, "http://api.example.com/notes", false},
	} {
		r := withProof(token, holder.Proof("GET", tc.htu, token, nil))
		if _, err := tc.v.Verify(t.Context(), r); (err == nil) != tc.good {
			t.Errorf("%s: %v", tc.htu, err)
		}
	}
	// An outer handler has removed a prefix; the proof names what was sent.
	r := withProof(token, holder.Proof("GET", "http://api.example.com/v1/notes", token, nil))
	r.RequestURI, r.URL.Path = "/v1/notes?x=1", "/notes"
	if _, err := direct.Verify(t.Context(), r); err != nil {
		t.Error(err)
	}
	// A request target has no fragment (RFC 9112 §3.2): what follows # is part of the path.
	r = withProof(token, holder.Proof("GET", "http://api.example.com/notes", token, nil))
	r.RequestURI = "/notes#/../secrets"
	if _, err := direct.Verify(t.Context(), r); err == nil {
		t.Error("the proof was accepted for another path")
	}
}

// A proof works once (RFC 9449 §11.1): of concurrent requests with it one passes, at all servers
// together.
func TestReplay(t *testing.T) {
	issuer, holder := bearertest.NewIssuer(t), bearertest.NewHolder(t)
	token := issuer.Token(bearertest.Claims{"cnf": holder.Confirmation()})
	race := func(vs ...*bearer.Verifier) (passed int32) {
		var n atomic.Int32
		var wg sync.WaitGroup
		proof := holder.Proof("GET", htu, token, nil)
		for i := range 32 {
			wg.Go(func() {
				_, err := vs[i%len(vs)].Verify(t.Context(), withProof(token, proof))
				if err == nil {
					n.Add(1)
					return
				}
				rejected(t, err, 401, bearer.CodeInvalidProof)
			})
		}
		wg.Wait()
		return n.Load()
	}
	if n := race(newVerifier(t, bearer.Config{Issuer: issuer.URL, PublicURL: api})); n != 1 {
		t.Errorf("one server: %d passed", n)
	}
	shared := bearer.Config{
		Issuer:    issuer.URL,
		PublicURL: api,
		DPoP:      bearer.DPoPConfig{Replays: &replays{}},
	}
	if n := race(newVerifier(t, shared), newVerifier(t, shared)); n != 1 {
		t.Errorf("two servers: %d passed", n)
	}
	var reported atomic.Int32
	v := newVerifier(t, bearer.Config{
		Issuer:    issuer.URL,
		PublicURL: api,
		OnError:   func(error) { reported.Add(1) },
		DPoP:      bearer.DPoPConfig{Replays: &replays{err: errors.New("away")}},
	})
	if n := race(v); n != 1 || reported.Load() != 1 {
		t.Errorf("without the shared cache: %d passed, OnError was called %d times", n, reported.Load())
	}
}

type replays struct {
	keys sync.Map
	err  error
}

func (r *replays) Add(_ context.Context, key string, _ time.Duration) (bool, error) {
	_, used := r.keys.LoadOrStore(key, true)
	return !used, r.err
}

// RFC 9449 §9, §8.2: the first response has a nonce, and each further response the next.
func TestNonce(t *testing.T) {
	issuer, holder := bearertest.NewIssuer(t), bearertest.NewHolder(t)
	key := []byte(strings.Repeat("k", 32))
	v, fellow := newVerifier(t, bearer.Config{
		Issuer:    issuer.URL,
		PublicURL: api,
		DPoP:      bearer.DPoPConfig{RequireNonce: true, NonceKey: key},
	}), newVerifier(t, bearer.Config{
		Issuer:    issuer.URL,
		PublicURL: api,
		DPoP:      bearer.DPoPConfig{RequireNonce: true, NonceKey: key},
	})
	stranger := newVerifier(t, bearer.Config{
		Issuer:    issuer.URL,
		PublicURL: api,
		DPoP:      bearer.DPoPConfig{RequireNonce: true},
	})
	token := issuer.Token(bearertest.Claims{"cnf": holder.Confirmation()})
	send := func(v *bearer.Verifier, nonce any) *http.Response {
		return get(v, withProof(token, holder.Proof("GET", htu, token, bearertest.Claims{"nonce": nonce})))
	}
	res := get(v, withProof(token, holder.Proof("GET", htu, token, nil)))
	nonce := res.Header.Get("DPoP-Nonce")
	if res.StatusCode != 401 || nonce == "" || !strings.Contains(strings.Join(res.Header.Values("WWW-Authenticate"), "\n"), `DPoP error="use_dpop_nonce"`) {
		t.Fatalf("%d %v", res.StatusCode, res.Header)
	}
	res = send(v, nonce)
	if res.StatusCode != 200 || res.Header.Get("DPoP-Nonce") == "" {
		t.Errorf("with the nonce: %d %v", res.StatusCode, res.Header)
	}
	if res := send(fellow, nonce); res.StatusCode != 200 {
		t.Errorf("at another server of the API: %d", res.StatusCode)
	}
	for name, bad := range map[string]string{
		"another API's": stranger.Nonce(), "changed": nonce[:20] + "AAA" + nonce[23:], "short": nonce[1:], "nonsense": strings.Repeat("!", 32),
	} {
		if res := send(v, bad); res.StatusCode != 401 {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	if res := get(v, request("Bearer "+issuer.Token(nil))); res.StatusCode != 200 || res.Header.Get("DPoP-Nonce") != "" {
		t.Errorf("an unbound token: %d %v", res.StatusCode, res.Header)
	}
	now := newClock()
	moved := newVerifier(t, bearer.Config{
		Issuer:    issuer.URL,
		PublicURL: api,
		Clock:     now.get,
		DPoP:      bearer.DPoPConfig{RequireNonce: true, NonceKey: key},
	})
	old := moved.Nonce()
	now.advance(6 * time.Minute)
	res = get(moved, withProof(token, holder.Proof("GET", htu, token, bearertest.Claims{"nonce": old, "iat": now.get().Unix()})))
	if res.StatusCode != 401 || res.Header.Get("DPoP-Nonce") == "" {
		t.Errorf("an old nonce: %d", res.StatusCode)
	}
}
