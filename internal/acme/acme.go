// Package acme gets and renews the certificates of the server's own names (RFC 8555). Several
// servers share what they need for it in the database: one of them gets a certificate, any of them
// answers the authority's challenge (HTTP-01, TLS-ALPN-01), and all serve it.
package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Options say which certificates to get, and how.
type Options struct {
	Domains     []string
	Email       string // or ""
	Directory   string // of the certificate authority
	KeyID, HMAC string // of the external account, or ""

	Host     string // at which this server listens; "" is all interfaces
	Port     int    // at which it serves https, for TLS-ALPN-01
	HTTPPort int    // at which it serves http, for HTTP-01; 0: none

	Store Store
	Box   *secret.Box // encrypts accounts, keys and certificates
	Now   func() time.Time
	Log   *slog.Logger
	Roots *x509.CertPool // that the authority's own certificate has; nil: those of the system
}

// A Manager has the certificates of the server's names.
type Manager struct {
	o       Options
	storage *storage
	cache   *certmagic.Cache
	config  *certmagic.Config
	issuer  *certmagic.ACMEIssuer

	fallback *tls.Certificate
	cancel   context.CancelFunc // ends attempts in progress; nil before Start
	lookups  chan struct{}      // one place for each challenge that is being looked up
}

// maxLookups is how many challenges are looked up in the database at once: anybody may ask. An
// authority asks from several places at the same time.
const maxLookups = 16

// New returns a manager. Start begins its work.
func New(o Options) (*Manager, error) {
	fallback, err := selfSigned(o.Domains[0], o.Now())
	if err != nil {
		return nil, err
	}
	m := &Manager{o: o, fallback: fallback, lookups: make(chan struct{}, maxLookups)}
	for i, name := range m.o.Domains {
		m.o.Domains[i] = strings.ToLower(name)
	}
	m.storage = &storage{
		store: o.Store,
		box:   o.Box,
		now:   o.Now,
		log:   func(text string, err error) { o.Log.Error(text, "error", err) },
		locks: map[string]lock{},
	}
	log := newZap(o.Log)
	m.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.config, nil },
		Logger:           log,
	})
	m.config = certmagic.New(m.cache, certmagic.Config{
		Storage:             m.storage,
		DisableStorageCheck: true, // the database has been opened
		OCSP:                certmagic.OCSPConfig{DisableStapling: true},
		OnEvent:             m.event,
		ShouldEmitFunc:      func(name string) bool { return name != "tls_get_certificate" },
		Logger:              log,
	})
	template := certmagic.ACMEIssuer{
		CA:                   o.Directory,
		TestCA:               o.Directory, // an authority that is not the operator's choice is never asked
		Email:                o.Email,
		Agreed:               true,
		ListenHost:           o.Host,
		AltHTTPPort:          o.HTTPPort,
		AltTLSALPNPort:       o.Port,
		DisableHTTPChallenge: o.HTTPPort == 0,
		TrustedRoots:         o.Roots,
		Logger:               log,
	}
	if o.KeyID != "" {
		template.ExternalAccount = &acme.EAB{KeyID: o.KeyID, MACKey: o.HMAC}
	}
	m.issuer = certmagic.NewACMEIssuer(m.config, template)
	m.config.Issuers = []certmagic.Issuer{m.issuer}
	return m, nil
}

// Start loads the certificates that there are, and goes on in the background with getting and
// renewing the others until Close.
func (m *Manager) Start(ctx context.Context) error {
	ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, name := range m.o.Domains {
		cert, err := m.config.CacheManagedCertificate(ctx, name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("the certificate of %s cannot be loaded from the database: %w", name, err)
		case cert.NeedsRenewal(m.config):
			// certmagic renews a certificate at once only when it loads it.
			m.cache.RemoveManaged([]certmagic.SubjectIssuer{{Subject: name}})
		}
	}
	return m.config.ManageAsync(ctx, slices.Clone(m.o.Domains))
}

// Close ends the background work.
func (m *Manager) Close() {
	if m.cancel != nil {
		m.cancel()
	}
	m.cache.Stop()
}

// TLS adds to a configuration of TLS where its certificates come from.
func (m *Manager) TLS(c *tls.Config) {
	c.GetCertificate = m.certificate
	c.NextProtos = []string{"h2", "http/1.1", acmez.ACMETLS1Protocol}
}

// errNotOurs is the error of a handshake for a name that is not in ACME_DOMAINS.
var errNotOurs = errors.New("the name in the TLS handshake is not one of ACME_DOMAINS")

// certificate returns the certificate for a handshake. For a name that is not ours there is none,
// and nothing is looked up. While the first certificate of a name is on its way, a self-signed one
// keeps health checks working.
func (m *Manager) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if name == "" { // an address: a probe of an orchestrator, or an old program
		name = m.o.Domains[0]
		named := *hello
		named.ServerName = name
		hello = &named
	}
	if !slices.Contains(m.o.Domains, name) {
		return nil, errNotOurs
	}
	if slices.Equal(hello.SupportedProtos, []string{acmez.ACMETLS1Protocol}) {
		if !m.enter() {
			return nil, errBusy
		}
		defer m.leave()
		return m.config.GetCertificate(hello)
	}
	cert, err := m.config.GetCertificate(hello)
	if err != nil {
		return m.fallback, nil
	}
	return cert, nil
}

// errBusy is the error of a challenge that came while too many were being looked up.
var errBusy = errors.New("too many challenges of ACME at once")

// enter takes a place for looking a challenge up, and reports whether there was one.
func (m *Manager) enter() bool {
	select {
	case m.lookups <- struct{}{}:
		return true
	default:
		return false
	}
}

func (m *Manager) leave() { <-m.lookups }

// Handler answers the challenges of ACME for our names (HTTP-01), and leaves all other requests to
// next.
func (m *Manager) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.ours(r.Host) || !certmagic.LooksLikeHTTPChallenge(r) {
			next.ServeHTTP(w, r)
			return
		}
		if !m.enter() {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "Too many challenges at once.", http.StatusServiceUnavailable)
			return
		}
		defer m.leave()
		if !m.issuer.HandleHTTPChallenge(w, r) {
			next.ServeHTTP(w, r)
		}
	})
}

// ours reports whether a Host header names one of our names.
func (m *Manager) ours(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return slices.Contains(m.o.Domains, strings.ToLower(strings.TrimSuffix(host, ".")))
}

// Expiry returns when the certificate of each name ends. A name without one is missing.
func (m *Manager) Expiry() map[string]time.Time {
	out := map[string]time.Time{}
	for _, name := range m.o.Domains {
		for _, cert := range m.cache.AllMatchingCertificates(name) {
			if cert.Leaf != nil && cert.Leaf.NotAfter.After(out[name]) {
				out[name] = cert.Leaf.NotAfter
			}
		}
	}
	return out
}

// selfSigned returns a certificate that nobody trusts.
func selfSigned(name string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		DNSNames:     []string{name},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("cannot make a self-signed certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
