package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// StartTLSSentinel starts a Redis and a Sentinel that calls it "main", both with TLS alone. It
// returns their rediss:// address, and the file of the certificate that they present.
func StartTLSSentinel(t testing.TB) (url, certFile string) {
	t.Helper()
	_, url, certFile = StartTLSRedis(t)
	return url, certFile
}

// StartTLSRedis starts the same as StartTLSSentinel, and returns the address of the Redis besides.
func StartTLSRedis(t testing.TB) (addr, url, certFile string) {
	t.Helper()
	certFile, keyFile := selfSigned(t)
	port := FreePort(t)
	secure := []string{
		"--port", "0", "--tls-replication", "yes", "--tls-auth-clients", "no",
		"--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-ca-cert-file", certFile,
	}
	path := Need(t, "redis-server")
	run := func(port int, args ...string) *Process {
		args = append(append(args, secure...), "--tls-port", strconv.Itoa(port), "--bind", "127.0.0.1")
		return start(&Process{
			t:       t,
			port:    port,
			log:     filepath.Join(t.TempDir(), "redis.log"),
			command: func() *exec.Cmd { return exec.Command(path, args...) },
			ready:   func(net.Conn) bool { return true }, // it listens
		})
	}
	addr = run(port, "--save", "", "--dir", t.TempDir()).Addr()
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	Must(t, os.WriteFile(file, fmt.Appendf(nil, "sentinel monitor main 127.0.0.1 %d 1\n", port), 0o600))
	return addr, "rediss://" + run(FreePort(t), file, "--sentinel").Addr() + "?master=main", certFile
}

// selfSigned writes a certificate for 127.0.0.1 that is its own authority, and its key.
func selfSigned(t testing.TB) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile, err := WriteCertificate(t.TempDir())
	Must(t, err)
	return certFile, keyFile
}

// WriteCertificate writes a certificate for 127.0.0.1 and localhost that is its own authority, and
// its key, to files of a directory.
func WriteCertificate(dir string) (certFile, keyFile string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	form := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(90 * 24 * time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:              []string{"localhost"},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	cert, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		return "", "", err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: raw},
	} {
		err = errors.Join(err, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	}
	return certFile, keyFile, err
}
