// Command api is a small notes API that takes access tokens.
//
// It never sees a password and never asks the authorization server about a single request: it reads the
// server's public keys once and checks every token by itself. All that concerns tokens is in token.go.
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
)

func main() {
	var (
		issuer   = cmp.Or(os.Getenv("ISSUER"), "http://localhost:8080")   // whose tokens we take
		audience = cmp.Or(os.Getenv("AUDIENCE"), "http://localhost:9000") // our own name: the tokens must be meant for us
		origin   = cmp.Or(os.Getenv("ORIGIN"), "http://localhost:3000")   // the browser app that may call us
		address  = cmp.Or(os.Getenv("ADDRESS"), "localhost:9000")         // where we listen
	)
	tokens, err := newChecker(context.Background(), issuer, audience)
	if err != nil {
		log.Fatalf("The server at %s does not answer; start it first: %v", issuer, err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("API at http://localhost:%d, for tokens of %s\n", listener.Addr().(*net.TCPAddr).Port, issuer)

	server := &http.Server{Handler: allowOrigin(origin, routes(tokens, newNotebook())), ReadTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}

// routes says what each route asks of a token.
func routes(tokens *checker, notes *notebook) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /public", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"message": "Anyone may read this."})
	})
	mux.Handle("GET /notes", tokens.require("notes:read", func(w http.ResponseWriter, _ *http.Request, caller claims) {
		answer(w, http.StatusOK, map[string][]string{"notes": notes.of(caller.Subject)})
	}))
	mux.Handle("POST /notes", tokens.require("notes:write", func(w http.ResponseWriter, r *http.Request, caller claims) {
		var note struct{ Text string }
		body := http.MaxBytesReader(w, r.Body, 4096)
		if err := json.NewDecoder(body).Decode(&note); err != nil || note.Text == "" {
			answer(w, http.StatusBadRequest, map[string]string{"error": `send {"text": "…"}, of at most 4096 bytes`})
			return
		}
		if !notes.add(caller.Subject, note.Text) {
			answer(w, http.StatusInsufficientStorage, map[string]string{"error": "your notebook is full"})
			return
		}
		answer(w, http.StatusCreated, map[string]string{"text": note.Text})
	}))
	return mux
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store") // what a token opens is nobody else's
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only if the caller has gone
}

// allowOrigin lets the scripts of one web origin call the API (CORS). Name it: "*" would serve every page
// that got hold of a token.
func allowOrigin(origin string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "WWW-Authenticate")
		if r.Method == http.MethodOptions { // a browser asks before it sends an Authorization header
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
