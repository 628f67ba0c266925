package acme_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"github.com/gatehouse-id/gatehouse/internal/acme"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// eabKey is the key of an external account at the authority.
const eabKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"

// authority is Pebble, the test authority of Let's Encrypt, with a DNS in which all names mean this
// machine.
type authority struct {
	directory string
	roots     *x509.CertPool // of its own certificate
	cert      []byte         // its own certificate
	orders    atomic.Int32
	http, tls int // the ports at which it asks for challenges
}

func startAuthority(t *testing.T, eab bool) *authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_AUTHZREUSE", "0")
	a := &authority{http: testkit.FreePort(t), tls: testkit.FreePort(t)}
	quiet := log.New(io.Discard, "", 0)
	memory := db.NewMemoryStore()
	testkit.Must(t, memory.AddExternalAccountKeyByID("kid-1", eabKey))
	signer := ca.New(quiet, memory, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {}})
	checker := va.New(quiet, a.http, a.tls, false, resolver(t), memory)
	front := wfe.New(quiet, memory, checker, signer, []string{"pebble.letsencrypt.org"}, false, eab, 1, 1)
	inner := front.Handler()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		inner.ServeHTTP(answer, r)
		if strings.HasSuffix(r.URL.Path, "order-plz") && answer.Code == http.StatusCreated {
			a.orders.Add(1)
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	t.Cleanup(server.Close)
	a.directory = server.URL + wfe.DirectoryPath
	a.roots = x509.NewCertPool()
	a.roots.AddCert(server.Certificate())
	a.cert = server.Certificate().Raw
	return a
}

// resolver starts a DNS server and returns its address. Names that begin with "wrong" do not exist.
func resolver(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") // Pebble asks by TCP
	testkit.Must(t, err)
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		name := q.Question[0].Name
		switch {
		case strings.HasPrefix(name, "wrong"):
			answer.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			answer.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET},
				A:   net.IPv4(127, 0, 0, 1),
			}}
		}
		_ = w.WriteMsg(answer)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return l.Addr().String()
}

// journal is a log that a test can read.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) has(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.buf.String(), text)
}

// instance is one server of several on one database.
type instance struct {
	*acme.Manager
	log  *journal
	stop func()
}

func newInstance(t *testing.T, s acme.Store, o acme.Options) *instance {
	t.Helper()
	keys, err := secret.NewKeys(bytes.Repeat([]byte("k"), 32))
	testkit.Must(t, err)
	j := new(journal)
	o.Store, o.Box, o.Now, o.Host = s, keys.Box("certificates"), time.Now, "127.0.0.1"
	o.Log = slog.New(slog.NewTextHandler(j, nil))
	t.Cleanup(func() {
		if t.Failed() {
			j.mu.Lock()
			defer j.mu.Unlock()
			t.Log(j.buf.String())
		}
	})
	m, err := acme.New(o)
	testkit.Must(t, err)
	in := &instance{m, j, sync.OnceFunc(m.Close)}
	t.Cleanup(in.stop)
	return in
}

// serve answers TLS handshakes at a port, as the server does.
func (in *instance) serve(t *testing.T, port int) {
	t.Helper()
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	in.TLS(c)
	l, err := tls.Listen("tcp", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String(), c)
	testkit.Must(t, err)
	hs := &http.Server{ReadHeaderTimeout: time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = hs.Serve(l) }()
	t.Cleanup(func() { _ = hs.Close() })
}

// handshake returns the certificate that a server shows for a name.
func handshake(port int, name string) (*x509.Certificate, error) {
	c, err := tls.Dial("tcp", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String(),
		&tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

// issued reports whether a certificate comes from an authority.
func issued(c *x509.Certificate, err error) bool {
	return err == nil && strings.Contains(c.Issuer.CommonName, "Pebble")
}

const name = "id.example.com"

// One server starts the order, another one answers the challenge, and both serve what came of it.
// Neither a restart nor a stranger's handshakes cause another order. Half of the authority's
// answers tell to try again.
func TestSeveralServers(t *testing.T) {
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "50")
	a := startAuthority(t, true)
	s := storetest.Open(t, store.Options{URL: "sqlite::memory:"})
	o := acme.Options{
		Domains: []string{name}, Directory: a.directory, Roots: a.roots, KeyID: "kid-1", HMAC: eabKey,
	}
	o.Port = testkit.FreePort(t)
	first := newInstance(t, s, o)
	first.serve(t, o.Port)
	if got, err := handshake(o.Port, name); issued(got, err) || err != nil {
		t.Errorf("before there is a certificate, a handshake gets %v, %v", got, err)
	}
	second := newInstance(t, s, func() acme.Options { o := o; o.Port = a.tls; return o }())
	second.serve(t, a.tls)
	testkit.Must(t, first.Start(t.Context()))
	testkit.Eventually(t, "the first server has a certificate", func() bool {
		return issued(handshake(o.Port, strings.ToUpper(name)))
	})
	testkit.Must(t, second.Start(t.Context()))
	if got, err := handshake(a.tls, name); !issued(got, err) {
		t.Errorf("the second server shows %v, %v", got, err)
	}
	if got, err := handshake(a.tls, ""); !issued(got, err) {
		t.Errorf("without a name in the handshake, it shows %v, %v", got, err)
	}
	first.stop()
	third := newInstance(t, s, o)
	testkit.Must(t, third.Start(t.Context()))
	if third.Expiry()[name].Before(time.Now()) {
		t.Errorf("after a restart: %v", third.Expiry())
	}
	for range 100 {
		if got, err := handshake(a.tls, secret.NewID(time.Now())+".example.com"); err == nil {
			t.Fatalf("a handshake for a name that is not ours gets %v", got.DNSNames)
		}
	}
	if _, err := tls.Dial("tcp", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: a.tls}).String(), &tls.Config{
		ServerName: name, NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true,
	}); err == nil || second.log.has("level=WARN") || second.log.has("level=ERROR") {
		t.Errorf("a stranger's challenge: %v, and a line in the log: %v", err, second.log.has("level="))
	}
	testkit.Equal(t, "orders", a.orders.Load(), 1)
	allSealed(t, s)
}

// allSealed checks that whoever reads the database finds no key and no account.
func allSealed(t *testing.T, s *store.DB) {
	t.Helper()
	names, err := s.CertificateFiles(t.Context(), "")
	testkit.Must(t, err)
	if len(names) < 4 {
		t.Errorf("only %v are stored", names)
	}
	for _, name := range names {
		value, _, err := s.CertificateFile(t.Context(), name)
		testkit.Must(t, err)
		raw, err := base64.RawURLEncoding.DecodeString(value)
		if err != nil || bytes.Contains(raw, []byte("PRIVATE KEY")) || bytes.Contains(raw, []byte("{")) && bytes.Contains(raw, []byte(`"status"`)) {
			t.Errorf("%s is not sealed: %v", name, err)
		}
	}
}

// Where only the plain port is open, its challenge is answered there, and every other request is
// left to the handler behind.
func TestPlainPort(t *testing.T) {
	a := startAuthority(t, false)
	s := storetest.Open(t, store.Options{URL: "sqlite::memory:"})
	o := acme.Options{
		Domains: []string{name}, Directory: a.directory, Roots: a.roots, Port: testkit.FreePort(t), HTTPPort: a.http,
	}
	in := newInstance(t, s, o)
	in.serve(t, o.Port)
	behind := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	l, err := net.Listen("tcp", (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: a.http}).String())
	testkit.Must(t, err)
	hs := &http.Server{Handler: in.Handler(behind), ReadHeaderTimeout: time.Second}
	go func() { _ = hs.Serve(l) }()
	t.Cleanup(func() { _ = hs.Close() })
	testkit.Must(t, in.Start(t.Context()))
	testkit.Eventually(t, "the server has a certificate", func() bool { return issued(handshake(o.Port, name)) })
	for _, path := range []string{"/", "/.well-known/acme-challenge/unknown"} {
		for _, host := range []string{name, "other.example.com"} {
			r := httptest.NewRequest(http.MethodGet, "http://"+host+path, http.NoBody)
			w := httptest.NewRecorder()
			in.Handler(behind).ServeHTTP(w, r)
			testkit.Equal(t, host+path, w.Code, http.StatusTeapot)
		}
	}
}

// A name that does not lead here is not tried again by a server that restarts, nor by another one.
func TestWaitAfterFailure(t *testing.T) {
	a := startAuthority(t, false)
	s := storetest.Open(t, store.Options{URL: "sqlite::memory:"})
	o := acme.Options{
		Domains: []string{"wrong.example.com"}, Directory: a.directory, Roots: a.roots, Port: testkit.FreePort(t),
	}
	in := newInstance(t, s, o)
	in.serve(t, o.Port)
	testkit.Must(t, in.Start(t.Context()))
	testkit.Eventually(t, "the log says what failed", func() bool { return in.log.has("no certificate could be obtained") })
	in.stop()
	tried := a.orders.Load()
	if tried < 1 || tried > 3 {
		t.Errorf("%d orders for one attempt", tried)
	}
	again := newInstance(t, s, o)
	testkit.Must(t, again.Start(t.Context()))
	testkit.Eventually(t, "the log says when the next attempt is", func() bool { return again.log.has("the next one is due in") })
	testkit.Equal(t, "orders after a restart", a.orders.Load(), tried)
	if got, err := handshake(o.Port, o.Domains[0]); err != nil || issued(got, err) {
		t.Errorf("without a certificate a health check gets %v, %v", got, err)
	}
}

// away is a database that can be lost.
type away struct {
	acme.Store
	lost atomic.Bool
}

var errAway = errors.New("the database is away")

func (s *away) CertificateFile(ctx context.Context, name string) (string, time.Time, error) {
	if s.lost.Load() {
		return "", time.Time{}, errAway
	}
	return s.Store.CertificateFile(ctx, name)
}

func (s *away) AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	if s.lost.Load() {
		return false, errAway
	}
	return s.Store.AcquireLease(ctx, name, holder, ttl)
}

// While the database is away, handshakes get the certificate from memory.
func TestDatabaseAway(t *testing.T) {
	a := startAuthority(t, false)
	s := &away{Store: storetest.Open(t, store.Options{URL: "sqlite::memory:"})}
	o := acme.Options{Domains: []string{name}, Directory: a.directory, Roots: a.roots, Port: a.tls}
	in := newInstance(t, s, o)
	in.serve(t, a.tls)
	testkit.Must(t, in.Start(t.Context()))
	testkit.Eventually(t, "the server has a certificate", func() bool { return issued(handshake(a.tls, name)) })
	s.lost.Store(true)
	if got, err := handshake(a.tls, name); !issued(got, err) {
		t.Errorf("the server shows %v, %v", got, err)
	}
}
