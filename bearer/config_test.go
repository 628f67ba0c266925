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

// A handler that calls Verify itself rejects in the same way.
func TestReject(t *testing.T) {
	issuer, holder := bearertest.NewIssuer(t), bearertest.NewHolder(t)
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL})
	_, err := v.Verify(t.Context(), request("Bearer nonsense"))
	w := httptest.NewRecorder()
	v.Reject(w, err, "notes:read")
	if c := w.Header().Get("WWW-Authenticate"); w.Code != 401 || !strings.Contains(c, `error="invalid_token"`) || !strings.Contains(c, `scope="notes:read"`) {
		t.Errorf("%d %q", w.Code, c)
	}
	w = httptest.NewRecorder()
	v.Reject(w, http.ErrAbortHandler)
	if w.Code != 500 || w.Header().Get("WWW-Authenticate") != "" || strings.Contains(w.Body.String(), "abort") {
		t.Errorf("an error that is not ours: %d %s", w.Code, w.Body)
	}
	// A missing scope is described in the challenge of the scheme that was used.
	token := issuer.Token(bearertest.Claims{"cnf": holder.Confirmation()})
	r := withProof(token, holder.Proof("GET", htu, token, nil))
	r.TLS = &tls.ConnectionState{} // as at an API that terminates TLS itself
	res := get(v, r, "notes:read")
	if c := res.Header.Values("WWW-Authenticate"); res.StatusCode != 403 || len(c) != 2 || strings.Contains(c[0], "error") || !strings.Contains(c[1], `error="insufficient_scope"`) {
		t.Errorf("%d %q", res.StatusCode, c)
	}
}

func TestAnyAudience(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v, err := bearer.New(bearer.Config{Issuer: issuer.URL, AnyAudience: true})
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
	v, err := bearer.New(bearer.Config{
		Issuer:    "http://gatehouse:8080",
		Audience:  []string{api},
		AllowHTTP: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
}

// An issuer that hangs or is down delays a request for no longer than the timeout, and is not asked
// again within the pause after an attempt.
func TestHangingIssuer(t *testing.T) {
	var requests atomic.Int32
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		<-r.Context().Done()
	}))
	defer hangs.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, address := range map[string]string{"hangs": hangs.URL, "is not there": gone.URL} {
		var reported atomic.Value
		v := newVerifier(t, bearer.Config{
			Issuer:            address,
			Client:            client,
			IgnoreRevocations: true,
			HTTPClient:        &http.Client{Timeout: 100 * time.Millisecond},
			Clock:             newClock().get, // stands still, so that the pause does not end
			OnError:           func(err error) { reported.Store(err.Error()) },
		})
		for _, token := range []string{"eyJhbGciOiJFUzI1NiJ9.e30.AA", "opaque"} {
			_, err := verify(t, v, token)
			rejected(t, err, 503, bearer.CodeUnavailable)
		}
		if text, _ := reported.Load().(string); !strings.Contains(text, address) || strings.Contains(text, bearertest.ClientSecret) {
			t.Errorf("an issuer that %s: OnError was called with %q", name, text)
		}
	}
	if n := requests.Load(); n != 1 {
		t.Errorf("the one that hangs got %d requests within the pause", n)
	}
}

// If an issuer names no introspection endpoint, opaque tokens cannot be checked unless its address
// is configured.
func TestNoIntrospectionEndpoint(t *testing.T) {
	keys := bearertest.NewIssuer(t)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"issuer":"` + server.URL + `","jwks_uri":"` + keys.URL + `/jwks"}`))
	}))
	defer server.Close()
	token := keys.Opaque(bearertest.Claims{"iss": server.URL})
	v := newVerifier(t, bearer.Config{Issuer: server.URL, Client: client, IgnoreRevocations: true})
	_, err := verify(t, v, token)
	rejected(t, err, 503, bearer.CodeUnavailable)
	if err := newVerifier(t, bearer.Config{
		Issuer:            server.URL,
		Client:            client,
		IgnoreRevocations: true,
		AlwaysIntrospect:  true,
	}).Ready(t.Context()); err == nil {
		t.Error("Ready although there is no endpoint")
	}
	v = newVerifier(t, bearer.Config{
		Issuer:            server.URL,
		Client:            client,
		IgnoreRevocations: true,
		IntrospectionURL:  keys.URL + "/introspect",
		JWKSURL:           keys.URL + "/jwks",
		CacheTTL:          -1,
	})
	for range 2 {
		if _, err := verify(t, v, token); err != nil {
			t.Error(err)
		}
	}
	if n := keys.Requests("/introspect"); n != 2 {
		t.Errorf("%d requests although nothing is cached", n)
	}
	if _, err := verify(t, v, keys.Token(bearertest.Claims{"iss": server.URL})); err != nil {
		t.Errorf("keys at a configured address: %v", err)
	}
}

// The cache of verified tokens and the size of a token are bounded.
func TestBounds(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL, MaxCachedTokens: 2, MaxTokenBytes: 2000})
	for range 10 {
		if _, err := verify(t, v, issuer.Token(nil)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := verify(t, v, issuer.Token(bearertest.Claims{"filler": strings.Repeat("a", 2000)}))
	rejected(t, err, 401, bearer.CodeInvalidToken)
}

// The document of an issuer on https must name addresses on https, even for this machine: otherwise
// any program that listens there could read tokens or supply keys.
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
			v := newVerifier(t, bearer.Config{
				Issuer:            issuer.URL,
				Client:            client,
				IgnoreRevocations: true,
				HTTPClient:        issuer.Client(),
			})
			_, err := verify(t, v, member)
			rejected(t, err, 503, bearer.CodeUnavailable)
			if plain.Load() > 0 {
				t.Error("a request was sent to the address")
			}
		})
	}
}
