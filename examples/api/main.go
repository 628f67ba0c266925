// Command api is a small notes API that accepts access tokens.
//
// It never sees a password, and makes no request to the authorization server for each request of a
// caller: package bearer reads the server's public keys once and verifies every token locally.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer"
)

func main() {
	var (
		issuer   = cmp.Or(os.Getenv("ISSUER"), "http://localhost:8080")   // accept tokens of this issuer
		audience = cmp.Or(os.Getenv("AUDIENCE"), "http://localhost:9000") // the API's name, which tokens must have as audience
		origin   = cmp.Or(os.Getenv("ORIGIN"), "http://localhost:3000")   // the browser app that may call the API
		address  = cmp.Or(os.Getenv("ADDRESS"), "localhost:9000")         // the address to listen on
	)
	tokens, err := newVerifier(issuer, audience)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("API at http://localhost:%d, for tokens of %s\n", listener.Addr().(*net.TCPAddr).Port, issuer)

	server := &http.Server{Handler: allowOrigin(origin, routes(tokens, newNotebook())), ReadTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}

// newVerifier returns a verifier of the tokens that an issuer made for this API. With a client of
// its own, the API also learns which tokens have been revoked.
func newVerifier(issuer, audience string) (*bearer.Verifier, error) {
	tokens, err := bearer.New(bearer.Config{
		Issuer:   issuer,
		Audience: []string{audience},
		Client: bearer.ClientCredentials{
			ID:     os.Getenv("CLIENT_ID"),
			Secret: os.Getenv("CLIENT_SECRET"),
		},
		Realm: "notes",
		OnReject: func(r *http.Request, e *bearer.Error) {
			// The reason is for the log, and not for the caller.
			fmt.Printf("rejected %s %s: %v\n", r.Method, r.URL.Path, e)
		},
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := tokens.Ready(ctx); err != nil {
		return nil, fmt.Errorf("the server at %s cannot be used; start it first: %w", issuer, err)
	}
	return tokens, nil
}

// routes returns the API's handler, with the scope that each route requires.
func routes(tokens *bearer.Verifier, notes *notebook) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /public", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"message": "Anyone may read this."})
	})
	mux.Handle("GET /notes", tokens.Require("notes:read")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, map[string][]string{"notes": notes.of(caller(r))})
	})))
	mux.Handle("POST /notes", tokens.Require("notes:write")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var note struct{ Text string }
		body := http.MaxBytesReader(w, r.Body, 4096)
		if err := json.NewDecoder(body).Decode(&note); err != nil || note.Text == "" {
			answer(w, http.StatusBadRequest, map[string]string{"error": `send {"text": "…"}, of at most 4096 bytes`})
			return
		}
		if !notes.add(caller(r), note.Text) {
			answer(w, http.StatusInsufficientStorage, map[string]string{"error": "your notebook is full"})
			return
		}
		answer(w, http.StatusCreated, map[string]string{"text": note.Text})
	})))
	return mux
}

// caller returns whose notes a request is about: the person, or the client that acts for itself.
func caller(r *http.Request) string {
	token, ok := bearer.FromContext(r.Context())
	if !ok {
		panic("a route without Require") // a programming error
	}
	return token.Subject
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // a response is for the owner of the token only
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only if the caller has disconnected
}

// allowOrigin lets the scripts of one web origin call the API (CORS). "*" would let any page call
// it that has obtained a token.
func allowOrigin(origin string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "WWW-Authenticate")
		if r.Method == http.MethodOptions { // a preflight: browsers send it before an Authorization header
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
