package app

import (
	"crypto/x509"
	"os"
	"runtime"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// systemRoots returns where a system has the certificate authorities that it trusts, as far as Go
// looks there.
func systemRoots() []string {
	return []string{
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/pki/tls/cacert.pem",
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
		"/etc/ssl/cert.pem",
		"/usr/local/etc/ssl/cert.pem",
	}
}

// EnsureRoots lets the process trust the authorities that the program has with it, if the system
// has none, as in an image made from scratch. Go does that only once in a process, so main calls
// it.
func EnsureRoots() {
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" ||
		os.Getenv("SSL_CERT_FILE") != "" || os.Getenv("SSL_CERT_DIR") != "" {
		return
	}
	for _, name := range systemRoots() {
		if _, err := os.Stat(name); err == nil {
			return
		}
	}
	if roots := builtinRoots(); roots != nil {
		x509.SetFallbackRoots(roots)
	}
}

// builtinRoots returns the authorities that the program has with it.
func builtinRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	for c := range bundle.Roots() {
		cert, err := x509.ParseCertificate(c.Certificate)
		if err != nil {
			return nil
		}
		if c.Constraint == nil {
			pool.AddCert(cert)
		} else {
			pool.AddCertWithConstraint(cert, c.Constraint)
		}
	}
	return pool
}
