package acme_test

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/app"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The whole program, with the settings of the guide: it is healthy before it has a certificate,
// gets one, and leads from http to https.
func TestServe(t *testing.T) {
	a := startAuthority(t, false)
	dir := t.TempDir()
	roots := filepath.Join(dir, "roots.pem")
	testkit.Must(t, os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert}), 0o600))
	t.Setenv("SSL_CERT_FILE", roots) // before Go has read those of the system
	environ := []string{
		"ENVIRONMENT=production", "HOST=127.0.0.1", "DRAIN_DELAY=0",
		"SECRET_KEY=5a7c19e3b8d2f460917e3d5ac8b1f2604d9e7a3c5b8f1e2d6079c4a3b5e8d1f2",
		"DATABASE_URL=sqlite:" + filepath.Join(dir, "gatehouse.db"), "ACME_DOMAINS=" + name,
		"ACME_DIRECTORY=" + a.directory, "ACME_EMAIL=ops@example.com",
		fmt.Sprint("PORT=", a.tls), fmt.Sprint("HTTP_PORT=", a.http),
	}
	ctx, stop := context.WithCancel(t.Context())
	out, done := new(journal), make(chan int, 1)
	go func() { done <- app.Main(ctx, []string{"serve"}, environ, strings.NewReader(""), out, out) }()
	testkit.Eventually(t, "the server answers", func() bool {
		return app.Main(ctx, []string{"healthcheck"}, environ, strings.NewReader(""), new(journal), new(journal)) == 0
	})
	testkit.Eventually(t, "the server has a certificate", func() bool { return issued(handshake(a.tls, name)) })
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/login", a.http), http.NoBody)
	testkit.Must(t, err)
	q.Host = name
	answer, err := http.DefaultTransport.RoundTrip(q)
	testkit.Must(t, err)
	testkit.Must(t, answer.Body.Close())
	testkit.Equal(t, "where http leads", answer.Header.Get("Location"), "https://"+name+"/login")
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	if got, err := handshake(a.tls, "other.example.com"); err == nil {
		t.Errorf("a stranger's name gets %v", got.DNSNames)
	}
	stop()
	testkit.Equal(t, "exit status", testkit.Receive(t, "the server ends", done), 0)
	if t.Failed() {
		t.Log(out.buf.String())
	}
}
