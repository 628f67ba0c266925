package bearer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func TestIntrospection(t *testing.T) {
	issuer, now := bearertest.NewIssuer(t), newClock()
	v := newVerifier(t, bearer.Config{
		Issuer:            issuer.URL,
		Client:            client,
		IgnoreRevocations: true,
		Clock:             now.get,
	})
	token := issuer.Opaque(bearertest.Claims{"scope": "notes:read", "username": "ada@example.com"})
	for range 3 {
		got, err := verify(t, v, token)
		if err != nil || got.Subject != "ada" || !got.HasScopes("notes:read") || got.UserName != "ada@example.com" || got.Issuer != issuer.URL {
			t.Fatalf("%+v %v", got, err)
		}
	}
	if n := issuer.Requests("/introspect"); n != 1 {
		t.Errorf("%d requests", n)
	}
	issuer.Answer(token, nil) // revoked
	if _, err := verify(t, v, token); err != nil {
		t.Errorf("within ten seconds: %v", err)
	}
	now.advance(10 * time.Second)
	_, err := verify(t, v, token)
	rejected(t, err, 401, bearer.CodeInvalidToken)
	_, err = verify(t, v, token)
	rejected(t, err, 401, bearer.CodeInvalidToken)
	if n := issuer.Requests("/introspect"); n != 2 {
		t.Errorf("%d requests: an inactive token is not cached", n)
	}
	now.advance(5 * time.Second)
	_, _ = verify(t, v, token)
	if n := issuer.Requests("/introspect"); n != 3 {
		t.Errorf("%d requests: an inactive token is cached for too long", n)
	}
}

// With the feed a response is reused for longer, and a revocation applies at once.
func TestIntrospectionWithFeed(t *testing.T) {
	issuer, now := bearertest.NewIssuer(t), newClock()
	v := newVerifier(t, bearer.Config{Issuer: issuer.URL, Client: client, Clock: now.get})
	if err := v.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	token := issuer.Opaque(bearertest.Claims{"gid": "g"})
	for range 4 {
		if _, err := verify(t, v, token); err != nil {
			t.Fatal(err)
		}
		now.advance(time.Minute)
	}
	if n := issuer.Requests("/introspect"); n != 1 {
		t.Errorf("%d requests", n)
	}
	issuer.Revoke("grant", "g")
	testkit.Eventually(t, "the revocation applies", func() bool { _, err := verify(t, v, token); return err != nil })
}

func TestInvalidIntrospections(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, bearer.Config{
		Issuer:            issuer.URL,
		Client:            client,
		IgnoreRevocations: true,
		AlwaysIntrospect:  true,
	})
	for name, claims := range map[string]bearertest.Claims{
		"another audience":        {"aud": "https://other.example"},
		"no audience":             {"aud": nil},
		"another issuer":          {"iss": "https://other.example"},
		"a refresh token":         {"token_type": "refresh_token"},
		"a refresh token by kind": {"typ": "Refresh"},
		"expired all the same":    {"exp": time.Now().Unix() - 1},
		"nobody":                  {"sub": nil, "client_id": nil},
		"claims of another type":  {"scope": 7},
		"bound in an unknown way": {"cnf": map[string]string{"osc": "x"}},
		"bound to an unsaid key":  {"token_type": "DPoP"}, // RFC 9449 §6.2: without cnf its holder is unknown
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify(t, v, issuer.Opaque(claims))
			rejected(t, err, 401, bearer.CodeInvalidToken)
		})
	}
	_, err := verify(t, v, issuer.Token(nil)) // a valid JWT that is not active at the server
	rejected(t, err, 401, bearer.CodeInvalidToken)
	if _, err := verify(t, v, issuer.Opaque(bearertest.Claims{"iss": nil, "exp": nil, "token_type": "Bearer"})); err != nil {
		t.Errorf("a minimal response (RFC 7662 section 2.2): %v", err)
	}
}

// A countingContext counts the calls of Done: a caller makes one when it begins to wait.
type countingContext struct {
	context.Context
	waits *atomic.Int32
}

// Done counts the caller.
func (w countingContext) Done() <-chan struct{} {
	w.waits.Add(1)
	return w.Context.Done()
}

// Concurrent requests with one token share one introspection, even if the first is cancelled.
func TestSingleFlight(t *testing.T) {
	var requests atomic.Int32
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		<-release
		_, _ = w.Write([]byte(`{"active":true,"sub":"ada","aud":"https://api.example.com"}`))
	}))
	defer server.Close()
	v := newVerifier(t, bearer.Config{
		Issuer:            server.URL,
		Client:            client,
		IgnoreRevocations: true,
		IntrospectionURL:  server.URL,
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { _, err := v.Verify(ctx, request("Bearer opaque")); first <- err }()
	testkit.Eventually(t, "the first request arrives", func() bool { return requests.Load() == 1 })
	var wg sync.WaitGroup
	var waits atomic.Int32
	for range 32 {
		wg.Go(func() {
			if _, err := v.Verify(countingContext{t.Context(), &waits}, request("Bearer opaque")); err != nil {
				t.Error(err)
			}
		})
	}
	testkit.Eventually(t, "all wait", func() bool { return waits.Load() == 32 })
	cancel()
	rejected(t, <-first, 503, bearer.CodeUnavailable)
	close(release)
	wg.Wait()
	if n := requests.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// A bad response of the endpoint causes a 503 and a call of OnError.
func TestBadIntrospectionEndpoint(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"not JSON":           func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"does not say":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"sub":"ada"}`)) },
		"active is a string": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"active":"true"}`)) },
		"active twice":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"active":false,"active":true}`)) },
		"Active":             func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"Active":true}`)) },
		"refuses us":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) },
		"fails":              func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"leads elsewhere": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				t.Error("the token was sent elsewhere")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"floods": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"active":true,"sub":"` + strings.Repeat("a", 70<<10) + `"}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(answer)
			defer server.Close()
			var reported atomic.Int32
			v := newVerifier(t, bearer.Config{
				Issuer:            server.URL,
				Client:            client,
				IgnoreRevocations: true,
				IntrospectionURL:  server.URL,
				OnError: func(err error) {
					reported.Add(1)
					if strings.Contains(err.Error(), "opaque") || strings.Contains(err.Error(), bearertest.ClientSecret) {
						t.Errorf("the error shows a secret: %v", err)
					}
				},
			})
			_, err := verify(t, v, "opaque")
			rejected(t, err, 503, bearer.CodeUnavailable)
			if reported.Load() != 1 {
				t.Errorf("OnError was called %d times", reported.Load())
			}
		})
	}
}

// The discovery document of another issuer is not used (RFC 8414 §3.3), nor one that names
// addresses without TLS.
func TestBadDiscovery(t *testing.T) {
	for name, doc := range map[string]string{
		"another issuer":   `{"issuer":"https://other.example","jwks_uri":"ISSUER/jwks"}`,
		"no issuer":        `{"jwks_uri":"ISSUER/jwks"}`,
		"keys without TLS": `{"issuer":"ISSUER","jwks_uri":"http://keys.example/jwks"}`,
		"no keys":          `{"issuer":"ISSUER"}`,
		"not JSON":         `<html>`,
		"too long":         `{"issuer":"ISSUER","jwks_uri":"ISSUER/jwks","x":"` + strings.Repeat("a", 300<<10) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			issuer := bearertest.NewIssuer(t)
			var server *httptest.Server
			server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/jwks") {
					t.Error("the keys were requested")
				}
				_, _ = w.Write([]byte(strings.ReplaceAll(doc, "ISSUER", server.URL)))
			}))
			defer server.Close()
			v := newVerifier(t, bearer.Config{Issuer: server.URL})
			_, err := verify(t, v, issuer.Token(bearertest.Claims{"iss": server.URL}))
			rejected(t, err, 503, bearer.CodeUnavailable)
			if err := v.Ready(t.Context()); err == nil {
				t.Error("Ready")
			}
		})
	}
}

// An issuer with a path that has only the document of RFC 8414 §3.1.
func TestDiscoveryOfOAuth(t *testing.T) {
	keys := bearertest.NewIssuer(t)
	var name string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/.well-known/oauth-authorization-server/tenant" {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(`{"issuer":"` + name + `","jwks_uri":"` + keys.URL + `/jwks"}`))
	}))
	defer server.Close()
	name = server.URL + "/tenant"
	if _, err := verify(t, newVerifier(t, bearer.Config{Issuer: name}), keys.Token(bearertest.Claims{"iss": name})); err != nil {
		t.Error(err)
	}
}

// A cache that fails is treated as empty, and its values must not have expired.
func TestCaches(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	token := issuer.Opaque(nil)
	for name, c := range map[string]bearer.Cache{
		"fails": brokenCache{}, "has nonsense": oneValue{[]byte("nonsense")}, "has an expired response": oneValue{[]byte(`{"at":1,"claims":{"sub":"eve","aud":"` + api + `"}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, bearer.Config{
				Issuer:            issuer.URL,
				Client:            client,
				IgnoreRevocations: true,
				Cache:             c,
			})
			got, err := verify(t, v, token)
			if err != nil || got.Subject != "ada" {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
	// The cache gets neither the token nor its plain hash, and two verifiers share it.
	shared := &spy{Cache: bearer.NewMemory(1 << 20)}
	before := issuer.Requests("/introspect")
	for range 2 {
		if _, err := verify(t, newVerifier(t, bearer.Config{
			Issuer:            issuer.URL,
			Client:            client,
			IgnoreRevocations: true,
			Cache:             shared,
		}), token); err != nil {
			t.Fatal(err)
		}
	}
	if n := issuer.Requests("/introspect") - before; n != 1 {
		t.Errorf("%d requests", n)
	}
	if bytes.Contains(shared.content, []byte(token)) {
		t.Error("the cache has a token")
	}
	other := newVerifier(t, bearer.Config{
		Issuer:            issuer.URL,
		Client:            client,
		IgnoreRevocations: true,
		Cache:             shared,
		IntrospectionURL:  issuer.URL + "/introspect",
	})
	if _, err := verify(t, other, token); err != nil || issuer.Requests("/introspect")-before != 2 {
		t.Errorf("the response of one endpoint was used for another (%v)", err)
	}
}

type brokenCache struct{}

func (brokenCache) Get(context.Context, string) ([]byte, error) { return nil, errors.New("broken") }
func (brokenCache) Set(context.Context, string, []byte, time.Duration) error {
	return errors.New("broken")
}

type oneValue struct{ v []byte }

func (c oneValue) Get(context.Context, string) ([]byte, error)            { return c.v, nil }
func (oneValue) Set(context.Context, string, []byte, time.Duration) error { return nil }

type spy struct {
	bearer.Cache
	content []byte
}

func (s *spy) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.content = append(append(s.content, key...), value...)
	return s.Cache.Set(ctx, key, value, ttl)
}

func TestMemory(t *testing.T) {
	bearertest.RunCache(t, bearer.NewMemory(1<<20))
	m := bearer.NewMemory(64 << 10)
	for i := range 1000 {
		_ = m.Set(t.Context(), strings.Repeat("k", i%90)+string(rune('0'+i%10))+time.Duration(i).String(), make([]byte, 1<<10), time.Hour)
	}
	left := 0
	testkit.Eventually(t, "the memory stays within its bound", func() bool {
		left = 0
		for i := range 1000 {
			if v, _ := m.Get(t.Context(), strings.Repeat("k", i%90)+string(rune('0'+i%10))+time.Duration(i).String()); v != nil {
				left++
			}
		}
		return left <= 64 && left > 0
	})
}

// Anyone can make up tokens. While the issuer is slow, introspections do not pile up without bound
// after their requests have ended.
func TestPendingIntrospectionsAreBounded(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	v := newVerifier(t, bearer.Config{
		Issuer:            server.URL,
		Client:            client,
		IgnoreRevocations: true,
		IntrospectionURL:  server.URL,
	})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 5000 {
		_, _ = v.Verify(ended, request(fmt.Sprint("Bearer made-up-", i)))
	}
	_, err := v.Verify(t.Context(), request("Bearer one-more"))
	rejected(t, err, 503, bearer.CodeUnavailable)
	if !strings.Contains(fmt.Sprint(errors.Unwrap(err)), "pending") { // otherwise it has waited in vain
		t.Errorf("rejected because of %v", errors.Unwrap(err))
	}
}
