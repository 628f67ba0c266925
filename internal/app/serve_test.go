package app

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A certificate that cannot be used is noticed before an address or a link is printed, and before
// a database is created.
func TestBadCertificateComesFirst(t *testing.T) {
	dir := t.TempDir()
	cert := filepath.Join(dir, "cert.pem")
	testkit.Must(t, os.WriteFile(cert, []byte("no certificate"), 0o600))
	var out bytes.Buffer
	e := &env{stdout: &out, stderr: &out, terminal: true, now: time.Now, getenv: func(string) string { return "" }}
	e.environ = []string{
		"DATABASE_URL=sqlite:" + filepath.Join(dir, "data", "g.db"), "PORT=0", "SSL_CERT=" + cert, "SSL_KEY=" + cert,
	}
	cfg, err := loadConfig(e, nil, "")
	testkit.Must(t, err)
	if err := serve(t.Context(), e, cfg); err == nil || !strings.Contains(err.Error(), "SSL_CERT and SSL_KEY cannot be used") {
		t.Errorf("%v", err)
	}
	testkit.Equal(t, "what is printed", out.String(), "")
	if _, err := os.Stat(filepath.Join(dir, "data")); !os.IsNotExist(err) {
		t.Errorf("the directory of the database exists: %v", err)
	}
}

// HOST=0.0.0.0 means the IPv4 addresses of the machine, and no others.
func TestListenOnIPv4Alone(t *testing.T) {
	l6, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		t.Skip("this machine has no IPv6")
	}
	_ = l6.Close()
	for host, both := range map[string]bool{"0.0.0.0": false, "*": true, "::": true} {
		cfg := &config.Config{Server: config.Server{Host: host}}
		listeners, err := listen(cfg, nil)
		testkit.Must(t, err)
		_, port, err := net.SplitHostPort(listeners[0].Addr().String())
		testkit.Must(t, err)
		for _, at := range []string{"127.0.0.1", "::1"} {
			c, err := net.Dial("tcp", net.JoinHostPort(at, port))
			if err == nil {
				_ = c.Close()
			}
			if want := both || at == "127.0.0.1"; (err == nil) != want {
				t.Errorf("HOST=%s, connecting to %s: %v", host, at, err)
			}
		}
		closeAll(listeners)
	}
}
