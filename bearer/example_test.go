package bearer_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
)

// Protect an API: JWTs are verified locally, revocations apply within a second, and opaque tokens
// are introspected.
func Example() {
	v, err := bearer.New(bearer.Config{
		Issuer:   "https://id.example.com",
		Audience: []string{"https://api.example.com"},
		Client:   bearer.ClientCredentials{ID: "notes-api", Secret: "its secret"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	notes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := bearer.FromContext(r.Context())
		fmt.Fprintf(w, "the notes of %s", token.Subject)
	})
	mux := http.NewServeMux()
	mux.Handle("GET /notes", v.Require("notes:read")(notes))

	// A request without a token.
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/notes", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer scope="notes:read"
}

// A test of an API needs no server: package bearertest signs tokens.
func ExampleVerifier_Require() {
	testNotes := func(t *testing.T) {
		issuer := bearertest.NewIssuer(t)
		v, err := bearer.New(bearer.Config{
			Issuer:   issuer.URL,
			Audience: []string{"https://api.example.com"},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		r := httptest.NewRequest("GET", "/notes", nil)
		token := issuer.Token(bearertest.Claims{"sub": "ada", "scope": "notes:read"})
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		v.Require("notes:read")(http.NotFoundHandler()).ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("the token was rejected: %d", w.Code)
		}
	}
	_ = testNotes
}

// Wait at the start until keys and revocations are loaded, so that a wrong issuer is noticed at
// once.
func ExampleVerifier_Ready() {
	v, err := bearer.New(bearer.Config{
		Issuer:    "https://id.example.com",
		Audience:  []string{"https://api.example.com"},
		Client:    bearer.ClientCredentials{ID: "notes-api", Secret: "its secret"},
		StaleFeed: bearer.RejectWhenStale,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	start := func(server *http.Server, r *http.Request) error {
		if err := v.Ready(r.Context()); err != nil {
			return err
		}
		return server.ListenAndServe()
	}
	_ = start
}

// Accept only tokens that are bound to a key, so that a stolen token is useless (RFC 9449).
func ExampleConfig_dPoP() {
	v, err := bearer.New(bearer.Config{
		Issuer:    "https://id.example.com",
		Audience:  []string{"https://api.example.com"},
		PublicURL: "https://api.example.com", // a proxy terminates TLS
		DPoP:      bearer.DPoPConfig{Required: true, RequireNonce: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	w := httptest.NewRecorder()
	v.Require()(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("GET", "/notes", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 401 DPoP algs="ES256 ES384 EdDSA Ed25519 RS256 PS256"
}

// Introspect every token: a revocation applies as soon as the cached response expires, without the
// revocation feed. Opaque tokens alone need only Client.
func ExampleConfig_opaqueTokens() {
	v, err := bearer.New(bearer.Config{
		Issuer:            "https://id.example.com",
		Audience:          []string{"https://api.example.com"},
		Client:            bearer.ClientCredentials{ID: "notes-api", Secret: "its secret"},
		AlwaysIntrospect:  true,
		IgnoreRevocations: true,
		CacheTTL:          2 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
}

// Accept tokens of a Keycloak realm, which puts the roles into another claim.
func ExampleConfig_foreignIssuer() {
	v, err := bearer.New(bearer.Config{
		Issuer:   "https://keycloak.example.com/realms/shop",
		Audience: []string{"notes-api"},
		Foreign:  &bearer.Claims{Roles: "realm_access.roles"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	admin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := bearer.FromContext(r.Context())
		if !slices.Contains(token.Roles, "admin") {
			http.Error(w, "for administrators only", http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, "welcome")
	})
	http.Handle("/admin/", v.Require()(admin))
}

// Serve one API under several names, and distinguish them.
func ExampleConfig_severalAudiences() {
	v, err := bearer.New(bearer.Config{
		Issuer:   "https://id.example.com",
		Audience: []string{"https://notes.example.com", "https://tasks.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	tasks := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := bearer.FromContext(r.Context())
		if !slices.Contains(token.Audience, "https://tasks.example.com") {
			http.Error(w, "this token is for the notes only", http.StatusForbidden)
		}
	})
	http.Handle("/tasks/", v.Require("tasks:read")(tasks))
}

// Tell clients where to get tokens for an API (RFC 9728).
func ExampleVerifier_Metadata() {
	v, err := bearer.New(bearer.Config{
		Issuer:   "https://id.example.com",
		Audience: []string{"https://api.example.com"},
		Resource: &bearer.Resource{Name: "Notes", Scopes: []string{"notes:read", "notes:write"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	mux := http.NewServeMux()
	mux.Handle("GET "+v.MetadataPath(), v.Metadata())

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", "/.well-known/oauth-protected-resource", nil))
	var document struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	if err := json.NewDecoder(w.Body).Decode(&document); err != nil {
		log.Fatal(err)
	}
	fmt.Println(document.Resource, document.Servers)
	// Output: https://api.example.com [https://id.example.com]
}

// Check tokens that do not come in an HTTP request, here from a message queue.
func ExampleVerifier_VerifyCredential() {
	v, err := bearer.New(bearer.Config{
		Issuer:   "https://id.example.com",
		Audience: []string{"https://api.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	handle := func(r *http.Request, tokenOfMessage string) {
		token, err := v.VerifyCredential(r.Context(), &bearer.Credential{
			Scheme: bearer.SchemeBearer,
			Token:  tokenOfMessage,
		})
		if err != nil {
			log.Print(err) // says more than the caller would see
			return
		}
		log.Printf("a message of %s", token.Subject)
	}
	_ = handle
}
