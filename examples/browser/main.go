// Command browser serves the single-page app in the directory web. It is a plain file server:
// people sign in in the browser, and this program never sees a token.
package main

import (
	"cmp"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

//go:embed web
var files embed.FS

func main() {
	settings := map[string]string{
		"issuer":   cmp.Or(os.Getenv("ISSUER"), "http://localhost:8080"),
		"clientId": cmp.Or(os.Getenv("CLIENT_ID"), "notes-browser"),
		"api":      cmp.Or(os.Getenv("API"), "http://localhost:9000"),
		"resource": cmp.Or(os.Getenv("RESOURCE"), "http://localhost:9000"),
	}
	// An injected script could steal the tokens. This policy lets the page run only its own
	// scripts, and connect only to the two servers that it needs.
	policy := fmt.Sprintf("default-src 'none'; script-src 'self'; style-src 'self'; "+
		"img-src 'self'; connect-src 'self' %s %s; base-uri 'none'; form-action 'none'; "+
		"frame-ancestors 'none'; require-trusted-types-for 'script'",
		settings["issuer"], settings["api"])

	web, err := fs.Sub(files, "web")
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(web))
	mux.HandleFunc("GET /settings.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(settings) // fails only if the browser has disconnected
	})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer") // the app's address may contain a code
		mux.ServeHTTP(w, r)
	})
	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("ADDRESS"), "localhost:3000"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("App at http://localhost:%d\n", listener.Addr().(*net.TCPAddr).Port)
	log.Fatal((&http.Server{Handler: handler, ReadTimeout: 10 * time.Second}).Serve(listener))
}
