package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// tls12Suites returns the suites of TLS 1.2 that RFC 9325 §4.2 (BCP 195) recommends, with
// ChaCha20-Poly1305 (RFC 7905), which has the same properties. The suites of TLS 1.3 are not
// configurable.
func tls12Suites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

// keyPair is a certificate that is loaded again when its files change, so that a renewal needs no
// restart. While a certificate and key do not match, because only one has been renewed, the
// previous pair stays in use.
type keyPair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	cert    *tls.Certificate
	version string    // version of the files that cert was loaded from, or that failed to load last
	checked time.Time // when the files were last checked
}

// recheck is the interval between checks of the files.
const recheck = time.Second

func newKeyPair(certFile, keyFile string, log *slog.Logger) (*keyPair, error) {
	p := &keyPair{certFile: certFile, keyFile: keyFile, log: log}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("SSL_CERT and SSL_KEY cannot be used: %w", err)
	}
	p.cert, p.version, p.checked = &cert, p.fileVersion(), time.Now()
	return p, nil
}

// get returns the certificate for a handshake.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.checked) < recheck {
		return p.cert, nil
	}
	p.checked = time.Now()
	version := p.fileVersion()
	if version == p.version || version == "" {
		return p.cert, nil
	}
	p.version = version
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		p.log.Error("cannot load the renewed certificate; the previous one stays in use", "error", err)
		return p.cert, nil
	}
	p.cert = &cert
	p.log.Info("renewed certificate loaded")
	return p.cert, nil
}

// fileVersion returns a text that changes when either file does, or "" while one is missing.
func (p *keyPair) fileVersion() string {
	out := ""
	for _, name := range []string{p.certFile, p.keyFile} {
		st, err := os.Stat(name)
		if err != nil {
			return ""
		}
		out += fmt.Sprintf("%d:%d;", st.ModTime().UnixNano(), st.Size())
	}
	return out
}
