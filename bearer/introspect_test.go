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
)

func TestIntrospection(t *testing.T) {
	issuer, now := bearertest.NewIssuer(t), newClock()
	v := newVerifier(t, issuer.URL, client, bearer.WithoutFeed(), bearer.Clock(now.get))
	token := issuer.Opaque(bearertest.Claims{"scope": "notes:read", "username": "ada@example.com"})
	for range 3 {
		got, err := verify(t, v, token)
		if err != nil || got.Subject != "ada" || !got.May("notes:read") || got.UserName != "ada@example.com" || got.Issuer != issuer.URL {
			t.Fatalf("%+v %v", got, err)
		}
	}
	if n := issuer.Asked("/introspect"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	issuer.Answer(token, nil) // revoked
	if _, err := verify(t, v, token); err != nil {
		t.Errorf("within ten seconds: %v", err)
	}
	now.advance(10 * time.Second)
	_, err := verify(t, v, token)
	refusal(t, err, 401, bearer.CodeInvalidToken)
	_, err = verify(t, v, token)
	refusal(t, err, 401, bearer.CodeInvalidToken)
	if n := issuer.Asked("/introspect"); n != 2 {
		t.Errorf("asked %d times: that a token is not good is not remembered", n)
	}
	now.advance(5 * time.Second)
	_, _ = verify(t, v, token)
	if n := issuer.Asked("/introspect"); n != 3 {
		t.Errorf("asked %d times: that a token is not good is remembered for too long", n)
	}
}

// With the feed an answer holds for longer, and ends at once.
func TestIntrospectionWithFeed(t *testing.T) {
	issuer, now := bearertest.NewIssuer(t), newClock()
	v := newVerifier(t, issuer.URL, client, bearer.Clock(now.get))
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
	if n := issuer.Asked("/introspect"); n != 1 {
		t.Errorf("asked %d times", n)
	}
	issuer.Revoke("grant", "g")
	until(t, "revoked", func() bool { _, err := verify(t, v, token); return err != nil })
}

func TestIntrospectionRefusals(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	v := newVerifier(t, issuer.URL, client, bearer.WithoutFeed(), bearer.AlwaysIntrospect())
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
		"bound to an unsaid key":  {"token_type": "DPoP"}, // RFC 9449 §6.2: without cnf nobody knows whose it is
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify(t, v, issuer.Opaque(claims))
			refusal(t, err, 401, bearer.CodeInvalidToken)
		})
	}
	_, err := verify(t, v, issuer.Token(nil)) // a good JWT that the server says is dead
	refusal(t, err, 401, bearer.CodeInvalidToken)
	if _, err := verify(t, v, issuer.Opaque(bearertest.Claims{"iss": nil, "exp": nil, "token_type": "Bearer"})); err != nil {
		t.Errorf("an answer that says little (RFC 7662 section 2.2): %v", err)
	}
}

// Any number of requests with one token ask once, also when the first of them goes away.
func TestSingleFlight(t *testing.T) {
	var asked atomic.Int32
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-release
		_, _ = w.Write([]byte(`{"active":true,"sub":"ada","aud":"https://api.example.com"}`))
	}))
	defer server.Close()
	v := newVerifier(t, server.URL, client, bearer.WithoutFeed(), bearer.IntrospectionEndpoint(server.URL))
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { _, err := v.Verify(ctx, request("Bearer opaque")); first <- err }()
	until(t, "the first asks", func() bool { return asked.Load() == 1 })
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if _, err := v.Verify(t.Context(), request("Bearer opaque")); err != nil {
				t.Error(err)
			}
		})
	}
	cancel()
	refusal(t, <-first, 503, bearer.CodeUnavailable)
	close(release)
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// What an endpoint that lies, breaks or floods gets: 503, and the owner is told.
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
			var told atomic.Int32
			v := newVerifier(t, server.URL, client, bearer.WithoutFeed(), bearer.IntrospectionEndpoint(server.URL), bearer.OnError(func(err error) {
				told.Add(1)
				if strings.Contains(err.Error(), "opaque") || strings.Contains(err.Error(), bearertest.ClientSecret) {
					t.Errorf("the error holds a secret: %v", err)
				}
			}))
			_, err := verify(t, v, "opaque")
			refusal(t, err, 503, bearer.CodeUnavailable)
			if told.Load() != 1 {
				t.Errorf("the owner was told %d times", told.Load())
			}
		})
	}
}

// A discovery document of another issuer is not believed (RFC 8414 §3.3), nor one that leads out of TLS.
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
					t.Error("the keys were asked for")
				}
				_, _ = w.Write([]byte(strings.ReplaceAll(doc, "ISSUER", server.URL)))
			}))
			defer server.Close()
			v := newVerifier(t, server.URL)
			_, err := verify(t, v, issuer.Token(bearertest.Claims{"iss": server.URL}))
			refusal(t, err, 503, bearer.CodeUnavailable)
			if err := v.Ready(t.Context()); err == nil {
				t.Error("Ready")
			}
		})
	}
}

// An issuer with a path, that has only the document of RFC 8414 §3.1.
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
	if _, err := verify(t, newVerifier(t, name), keys.Token(bearertest.Claims{"iss": name})); err != nil {
		t.Error(err)
	}
}

// A cache that fails is a cache that is empty, and what it holds must still be fresh.
func TestCaches(t *testing.T) {
	issuer := bearertest.NewIssuer(t)
	token := issuer.Opaque(nil)
	for name, c := range map[string]bearer.Cache{
		"fails": brokenCache{}, "holds nonsense": oneValue{[]byte("nonsense")}, "holds what is old": oneValue{[]byte(`{"at":1,"claims":{"sub":"eve","aud":"` + api + `"}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, issuer.URL, client, bearer.WithoutFeed(), bearer.CacheIn(c))
			got, err := verify(t, v, token)
			if err != nil || got.Subject != "ada" {
				t.Errorf("%+v %v", got, err)
			}
		})
	}
	// The cache is given neither the token nor its plain hash, and two verifiers share it.
	shared := &spy{Cache: bearer.NewMemory(1 << 20)}
	before := issuer.Asked("/introspect")
	for range 2 {
		if _, err := verify(t, newVerifier(t, issuer.URL, client, bearer.WithoutFeed(), bearer.CacheIn(shared)), token); err != nil {
			t.Fatal(err)
		}
	}
	if n := issuer.Asked("/introspect") - before; n != 1 {
		t.Errorf("asked %d times", n)
	}
	if bytes.Contains(shared.seen, []byte(token)) {
		t.Error("the cache holds a token")
	}
	other := newVerifier(t, issuer.URL, client, bearer.WithoutFeed(), bearer.CacheIn(shared), bearer.IntrospectionEndpoint(issuer.URL+"/introspect"))
	if _, err := verify(t, other, token); err != nil || issuer.Asked("/introspect")-before != 2 {
		t.Errorf("what one endpoint answered was believed of another (%v)", err)
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
	seen []byte
}

func (s *spy) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	s.seen = append(append(s.seen, key...), value...)
	return s.Cache.Set(ctx, key, value, ttl)
}

func TestMemory(t *testing.T) {
	bearertest.RunCache(t, bearer.NewMemory(1<<20))
	m := bearer.NewMemory(64 << 10)
	for i := range 1000 {
		_ = m.Set(t.Context(), strings.Repeat("k", i%90)+string(rune('0'+i%10))+time.Duration(i).String(), make([]byte, 1<<10), time.Hour)
	}
	kept := 0
	until(t, "the memory stays within its bound", func() bool {
		kept = 0
		for i := range 1000 {
			if v, _ := m.Get(t.Context(), strings.Repeat("k", i%90)+string(rune('0'+i%10))+time.Duration(i).String()); v != nil {
				kept++
			}
		}
		return kept <= 64 && kept > 0
	})
}

// Tokens are made up at no cost. While the issuer is slow, questions about them do not pile up without bound behind requests that
// have long gone.
func TestIntrospectionsThatWaitAreBounded(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	v := newVerifier(t, server.URL, client, bearer.WithoutFeed(), bearer.IntrospectionEndpoint(server.URL))
	gone, leave := context.WithCancel(t.Context())
	leave()
	for i := range 5000 {
		_, _ = v.Verify(gone, request(fmt.Sprint("Bearer made-up-", i)))
	}
	began := time.Now()
	_, err := v.Verify(t.Context(), request("Bearer one-more"))
	refusal(t, err, 503, bearer.CodeUnavailable)
	if took := time.Since(began); took > time.Second {
		t.Errorf("refused after %s", took)
	}
}
