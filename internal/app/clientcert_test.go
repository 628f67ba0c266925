package app

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// selfSigned makes a certificate and its files.
func selfSigned(t *testing.T, name string) (certFile, keyFile string, pair tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert},
		keyFile:  {Type: "PRIVATE KEY", Bytes: der},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if pair, err = tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile, pair
}

// secureServer is a server that speaks TLS, with one client whose tokens are bound to its
// certificate.
func secureServer(t *testing.T, settings ...string) (origin string, roots *x509.CertPool, pass string) {
	t.Helper()
	certFile, keyFile, pair := selfSigned(t, "localhost")
	e := &env{
		stdout: io.Discard,
		stderr: io.Discard,
		now:    time.Now,
		environ: append([]string{
			"DATABASE_URL=sqlite::memory:", "SSL_CERT=" + certFile, "SSL_KEY=" + keyFile, "JWT_ALGORITHM=ES256",
		}, settings...),
	}
	cfg, err := loadConfig(e, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.ListeningOn(l.Addr().(*net.TCPAddr).Port)
	p, err := openParts(t.Context(), e, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s, err := newServer(t.Context(), e, p, log)
	if err != nil {
		t.Fatal(err)
	}
	pass = secret.NewToken(secret.PrefixClientSecret)
	err = p.db.CreateClient(t.Context(), &client.Client{
		ID:        "batch",
		Name:      "Batch",
		Grants:    []string{client.GrantTypeClient},
		Scopes:    []string{"read"},
		CertBound: true,
		CreatedAt: e.now(),
		UpdatedAt: e.now(),
		Secrets: []client.Secret{{
			ID:        secret.NewID(e.now()),
			Hash:      p.keys.Hash(pass),
			CreatedAt: e.now(),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	secure, err := tlsConfig(cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	go func() { ended <- s.run(ctx, cfg, []net.Listener{l}, secure, log) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = p.Close()
	})
	roots = x509.NewCertPool()
	roots.AddCert(pair.Leaf)
	return cfg.Server.BaseURL, roots, pass
}

// RFC 8705 §3 over TLS: the server asks for a certificate only where it is told to, takes one of
// any issuer, and needs none for anything but bound tokens.
func TestClientCertificates(t *testing.T) {
	_, _, mine := selfSigned(t, "client")
	for name, on := range map[string]bool{"on": true, "off": false} {
		t.Run(name, func(t *testing.T) {
			origin, roots, pass := secureServer(t, "TLS_CLIENT_CERTS="+map[bool]string{
				true:  "true",
				false: "false",
			}[on])
			call := func(path string, form url.Values, certs ...tls.Certificate) map[string]any {
				t.Helper()
				tr := &http.Transport{
					TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost", Certificates: certs},
				}
				defer tr.CloseIdleConnections()
				cl := &http.Client{Transport: tr, Timeout: 10 * time.Second}
				res, err := cl.Get(origin + path)
				if form != nil {
					res, err = cl.PostForm(origin+path, form)
				}
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				var m map[string]any
				if err := json.NewDecoder(res.Body).Decode(&m); err != nil {
					t.Fatal(err)
				}
				return m
			}
			if got := call("/.well-known/openid-configuration", nil)["tls_client_certificate_bound_access_tokens"]; got != on {
				t.Errorf("discovery says %v", got)
			}
			form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"batch"}, "client_secret": {pass}}
			if m := call("/oauth/token", form); m["error"] != "invalid_request" {
				t.Errorf("without a certificate: %v", m)
			}
			m := call("/oauth/token", form, mine)
			if !on {
				if m["error"] != "invalid_request" {
					t.Errorf("a certificate that nobody asked for: %v", m)
				}
				return
			}
			token, _ := m["access_token"].(string)
			body, err := base64.RawURLEncoding.DecodeString(strings.Split(token+"..", ".")[1])
			sum := sha256.Sum256(mine.Certificate[0])
			if err != nil || !strings.Contains(string(body), `"cnf":{"x5t#S256":"`+base64.RawURLEncoding.EncodeToString(sum[:])+`"}`) {
				t.Errorf("%v: %s, %v", m, body, err)
			}
		})
	}
}
