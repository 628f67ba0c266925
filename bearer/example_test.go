package bearer_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/bearer/bearertest"
)

// An API that stands alone.
func Example() {
	v, err := bearer.New("https://id.example.com",
		bearer.Audience("https://api.example.com"),
		bearer.Client("notes-api", "its secret"))
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

	// A caller without a token.
	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest("GET", "/notes", nil))
	fmt.Println(answer.Code, answer.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer scope="notes:read"
}

// The metadata of an API tell a client where to get tokens for it (RFC 9728).
func ExampleDescribe() {
	v, err := bearer.New("https://id.example.com", bearer.Audience("https://api.example.com"),
		bearer.Describe(bearer.Resource{Name: "Notes", Scopes: []string{"notes:read", "notes:write"}}))
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()
	mux := http.NewServeMux()
	mux.Handle("GET "+v.MetadataPath(), v.Metadata())

	answer := httptest.NewRecorder()
	mux.ServeHTTP(answer, httptest.NewRequest("GET", "/.well-known/oauth-protected-resource", nil))
	var document struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&document); err != nil {
		log.Fatal(err)
	}
	fmt.Println(document.Resource, document.Servers)
	// Output: https://api.example.com [https://id.example.com]
}

// Tokens of a Keycloak realm, whose roles stand within another claim.
func ExampleForeign() {
	v, err := bearer.New("https://keycloak.example.com/realms/shop", bearer.Audience("notes-api"),
		bearer.Foreign(bearer.Claims{Roles: "realm_access.roles"}))
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	admins := v.Require()(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, _ := bearer.FromContext(r.Context())
		for _, role := range token.Roles {
			if role == "admin" {
				_, _ = io.WriteString(w, "welcome")
				return
			}
		}
		http.Error(w, "for administrators only", http.StatusForbidden)
	}))
	http.Handle("/admin/", admins)
}

// An API that also takes tokens in its own way, here from a message queue.
func ExampleVerifier_VerifyCredential() {
	v, err := bearer.New("https://id.example.com", bearer.Audience("https://api.example.com"))
	if err != nil {
		log.Fatal(err)
	}
	defer v.Close()

	handle := func(r *http.Request, tokenOfMessage string) {
		token, err := v.VerifyCredential(r.Context(), &bearer.Credential{Scheme: bearer.SchemeBearer, Token: tokenOfMessage})
		if err != nil {
			log.Print(err) // says more than the caller would be told
			return
		}
		log.Printf("a message of %s", token.Subject)
	}
	_ = handle
}

// A test of an API needs no server: bearertest signs tokens.
func ExampleVerifier_Require() {
	testNotes := func(t *testing.T) {
		issuer := bearertest.NewIssuer(t)
		v, err := bearer.New(issuer.URL, bearer.Audience("https://api.example.com"))
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		r := httptest.NewRequest("GET", "/notes", nil)
		r.Header.Set("Authorization", "Bearer "+issuer.Token(bearertest.Claims{"sub": "ada", "scope": "notes:read", "exp": time.Now().Add(time.Minute).Unix()}))
		w := httptest.NewRecorder()
		v.Require("notes:read")(http.NotFoundHandler()).ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("the token was refused: %d", w.Code)
		}
	}
	_ = testNotes
}
