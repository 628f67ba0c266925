package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

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
