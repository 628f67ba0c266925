package app

import (
	"crypto/x509"
	"testing"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// The authorities in the program can be read, and that of Let's Encrypt is among them.
func TestBuiltinRoots(t *testing.T) {
	if pool := builtinRoots(); pool == nil {
		t.Fatal("the authorities in the program cannot be read")
	}
	for c := range bundle.Roots() {
		if cert, err := x509.ParseCertificate(c.Certificate); err == nil && cert.Subject.CommonName == "ISRG Root X1" {
			return
		}
	}
	t.Error("the authority of Let's Encrypt is missing")
}
