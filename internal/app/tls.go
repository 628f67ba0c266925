package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// keyPair is a certificate that is read again when its files change, so that a renewal needs no restart. A pair that
// does not fit together (half of it renewed) is not taken up; the former one goes on.
type keyPair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	cert    *tls.Certificate
	stamp   string    // of the files that cert was read from, or that were last found wanting
	checked time.Time // when the files were last looked at
}

// recheck is how often the files are looked at.
const recheck = time.Second

func newKeyPair(certFile, keyFile string, log *slog.Logger) (*keyPair, error) {
	p := &keyPair{certFile: certFile, keyFile: keyFile, log: log}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("SSL_CERT and SSL_KEY cannot be used: %w", err)
	}
	p.cert, p.stamp, p.checked = &cert, p.fileStamp(), time.Now()
	return p, nil
}

// get gives the certificate for a handshake.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.checked) < recheck {
		return p.cert, nil
	}
	p.checked = time.Now()
	stamp := p.fileStamp()
	if stamp == p.stamp || stamp == "" {
		return p.cert, nil
	}
	p.stamp = stamp
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		p.log.Error("the renewed certificate cannot be used; the former one goes on", "error", err)
		return p.cert, nil
	}
	p.cert = &cert
	p.log.Info("the renewed certificate is in use")
	return p.cert, nil
}

// fileStamp changes when either file does; "" while one is missing.
func (p *keyPair) fileStamp() string {
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
