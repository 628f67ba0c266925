package bearer_test

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
)

// A handler that calls Verify itself refuses in the same words.
func TestRefuse(t *testing.T) {
	issuer, holder := bearertest.NewIssuer(t), bearertest.NewHolder(t)
	v := newVerifier(t, issuer.URL)
	_, err := v.Verify(t.Context(), request("Bearer nonsense"))
	w := httptest.NewRecorder()
	v.Refuse(w, err, "notes:read")
	if c := w.Header().Get("WWW-Authenticate"); w.Code != 401 || !strings.Contains(c, `error="invalid_token"`) || !strings.Contains(c, `scope="notes:read"`) {
		t.Errorf("%d %q", w.Code, c)
	}
	w = httptest.NewRecorder()
	v.Refuse(w, http.ErrAbortHandler)
	if w.Code != 500 || w.Header().Get("WWW-Authenticate") != "" || strings.Contains(w.Body.String(), "abort") {
		t.Errorf("an error that is not ours: %d %s", w.Code, w.Body)
	}
	// Too little scope is told in the challenge of the scheme that was used.
	token := issuer.Token(bearertest.Claims{"cnf": holder.Confirmation()})
	r := withProof(token, holder.Proof("GET", htu, token, nil))
	r.TLS = &tls.ConnectionState{} // as at an API that ends TLS itself
	res := get(v, r, "notes:read")
	if c := res.Header.Values("WWW-Authenticate"); res.StatusCode != 403 || len(c) != 2 || strings.Contains(c[0], "error") || !strings.Contains(c[1], `error="insufficient_scope"`) {
		t.Errorf("%d %q", res.StatusCode, c)
	}
}

func TestAnyAudience(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v, err := bearer.New(issuer.URL, bearer.AnyAudience())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	got, err := verify(t, v, issuer.Token(bearertest.Claims{"aud": []string{"a", "b"}}))
	if err != nil || len(got.Audience) != 2 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestAllowHTTP(t *testing.T) {
	v, err := bearer.New("http://gatehouse:8080", bearer.Audience(api), bearer.AllowHTTP())
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
}

// An issuer that hangs, or is not there, costs a request its patience and no more.
func TestHangingIssuer(t *testing.T) {
	var asked atomic.Int32
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
	}))
	defer hangs.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, address := range map[string]string{"hangs": hangs.URL, "is not there": gone.URL} {
		var told atomic.Value
		v := newVerifier(t, address, client, bearer.WithoutFeed(), bearer.HTTPClient(&http.Client{Timeout: 100 * time.Millisecond}),
			bearer.OnError(func(err error) { told.Store(err.Error()) }))
		began := time.Now()
		for _, token := range []string{"eyJhbGciOiJFUzI1NiJ9.e30.AA", "opaque"} {
			_, err := verify(t, v, token)
			refusal(t, err, 503, bearer.CodeUnavailable)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("an issuer that %s took %s", name, took)
		}
		if text, _ := told.Load().(string); !strings.Contains(text, address) || strings.Contains(text, bearertest.ClientSecret) {
			t.Errorf("the owner was told %q", text)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the one that hangs was asked %d times within its pause", n)
	}
}

// Of an issuer that names no introspection endpoint opaque tokens cannot be checked; its address can be given.
func TestNoIntrospectionEndpoint(t *testing.T) {
	keys := bearertest.NewIssuer(t)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"issuer":"` + server.URL + `","jwks_uri":"` + keys.URL + `/jwks"}`))
	}))
	defer server.Close()
	token := keys.Opaque(bearertest.Claims{"iss": server.URL})
	v := newVerifier(t, server.URL, client, bearer.WithoutFeed())
	_, err := verify(t, v, token)
	refusal(t, err, 503, bearer.CodeUnavailable)
	if err := newVerifier(t, server.URL, client, bearer.WithoutFeed(), bearer.AlwaysIntrospect()).Ready(t.Context()); err == nil {
		t.Error("Ready although nobody can be asked")
	}
	v = newVerifier(t, server.URL, client, bearer.WithoutFeed(), bearer.IntrospectionEndpoint(keys.URL+"/introspect"), bearer.JWKS(keys.URL+"/jwks"), bearer.CacheFor(0))
	for range 2 {
		if _, err := verify(t, v, token); err != nil {
			t.Error(err)
		}
	}
	if n := keys.Asked("/introspect"); n != 2 {
		t.Errorf("asked %d times although nothing is kept", n)
	}
	if _, err := verify(t, v, keys.Token(bearertest.Claims{"iss": server.URL})); err != nil {
		t.Errorf("keys at an address of their own: %v", err)
	}
}

// The memory of verified tokens and the size of a token are bounded.
func TestBounds(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL, bearer.Remember(2), bearer.MaxToken(2000))
	for range 10 {
		if _, err := verify(t, v, issuer.Token(nil)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := verify(t, v, issuer.Token(bearertest.Claims{"filler": strings.Repeat("a", 2000)}))
	refusal(t, err, 401, bearer.CodeInvalidToken)
}

// What an issuer on https says of itself leads to https: keys or tokens that go without it, also to this very machine, are
// whoever's listens there.
func TestDiscoveryKeepsToHTTPS(t *testing.T) {
	var plain atomic.Int32
	insecure := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		plain.Add(1)
		_, _ = w.Write([]byte(`{"active":true,"sub":"ada","aud":"https://api.example.com"}`))
	}))
	defer insecure.Close()
	for name, member := range map[string]string{"jwks_uri": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.AAAA", "introspection_endpoint": "opaque"} {
		t.Run(name, func(t *testing.T) {
			var issuer *httptest.Server
			issuer = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"issuer":"` + issuer.URL + `","` + name + `":"` + insecure.URL + `"}`))
			}))
			defer issuer.Close()
			v := newVerifier(t, issuer.URL, client, bearer.WithoutFeed(), bearer.HTTPClient(issuer.Client()))
			_, err := verify(t, v, member)
			refusal(t, err, 503, bearer.CodeUnavailable)
			if plain.Load() > 0 {
				t.Error("the address was asked")
			}
		})
	}
}
