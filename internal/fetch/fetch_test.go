package fetch

import (
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A site is a server to fetch from, on loopback, with a clock for the client.
type site struct {
	*httptest.Server
	hits  atomic.Int32
	serve atomic.Pointer[http.HandlerFunc]
	ns    atomic.Int64
}

func (s *site) now() time.Time          { return time.Unix(1_700_000_000, s.ns.Load()) }
func (s *site) advance(d time.Duration) { s.ns.Add(int64(d)) }
func (s *site) answer(h http.HandlerFunc) {
	s.serve.Store(&h)
}

func loopback() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} }

func newSite(t *testing.T, h http.HandlerFunc) (*site, *Client) {
	t.Helper()
	s := &site{}
	s.answer(h)
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		(*s.serve.Load())(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // it would complain about clients that hang up on purpose
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := New(Options{AllowPrivate: loopback(), Roots: roots, Now: s.now})
	t.Cleanup(c.Close)
	return s, c
}

func says(text string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		fmt.Fprint(w, text)
	}
}

func fails(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// hangs answers nothing, not even when the client has gone.
func hangs(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func get(t *testing.T, c *Client, url, want string) Document {
	t.Helper()
	d, err := c.Get(t.Context(), url, 1000)
	if err != nil || string(d.Body) != want {
		t.Fatalf("got %q, %v; want %q", d.Body, err, want)
	}
	return d
}

func wantError(t *testing.T, err error, kind fault.Kind, text string) {
	t.Helper()
	if !fault.Is(err, kind) || !strings.Contains(fault.Text(err), text) {
		t.Errorf("got %v (%v), want %v: …%s…", err, fault.KindOf(err), kind, text)
	}
}

func TestGuard(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8":              true,
		"1.1.1.1":              true,
		"172.32.0.1":           true,
		"100.128.0.1":          true,
		"169.253.0.1":          true,
		"2606:4700:4700::1111": true,
		"2a00:1450::1":         true,
		"::ffff:8.8.8.8":       true,
		"64:ff9b::808:808":     true,

		"0.0.0.0":            false,
		"0.1.2.3":            false,
		"10.0.0.1":           false,
		"127.0.0.1":          false,
		"127.255.0.9":        false,
		"100.64.0.1":         false,
		"100.100.100.200":    false,
		"169.254.169.254":    false,
		"172.16.0.1":         false,
		"172.31.255.255":     false,
		"192.168.1.1":        false,
		"192.0.0.192":        false,
		"192.0.2.1":          false,
		"198.18.0.1":         false,
		"198.51.100.1":       false,
		"203.0.113.1":        false,
		"224.0.0.1":          false,
		"239.255.255.250":    false,
		"240.0.0.1":          false,
		"255.255.255.255":    false,
		"168.63.129.16":      false,
		"::":                 false,
		"::1":                false,
		"fe80::1":            false,
		"fe80::1%eth0":       false,
		"fc00::1":            false,
		"fd00:ec2::254":      false,
		"ff02::1":            false,
		"2001::1":            false,
		"2001:db8::1":        false,
		"2002:7f00:1::":      false,
		"3fff::1":            false,
		"::ffff:127.0.0.1":   false,
		"::ffff:10.0.0.1":    false,
		"::127.0.0.1":        false,
		"64:ff9b::7f00:1":    false,
		"64:ff9b::a9fe:a9fe": false,
		"64:ff9b:1::808:808": false,
		"100::1":             false,
		"5f00::1":            false,
	} {
		if got := newGuard(nil).permits(netip.MustParseAddr(addr)); got != want {
			t.Errorf("permits(%s) = %v", addr, got)
		}
	}
	if newGuard(nil).permits(netip.Addr{}) {
		t.Error("no address at all is permitted")
	}
	g := newGuard([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")})
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "64:ff9b::a01:203": true, "fd00::1": true,
		"10.2.0.1": false, "127.0.0.1": false, "fe80::1": false,
	} {
		if got := g.permits(netip.MustParseAddr(addr)); got != want {
			t.Errorf("with exceptions, permits(%s) = %v", addr, got)
		}
	}
	for _, dial := range [][2]string{{"udp4", "8.8.8.8:53"}, {"tcp4", "nonsense"}, {"unix", "/run/x"}, {"tcp4", "127.0.0.1:80"}} {
		if g.control(dial[0], dial[1], nil) == nil {
			t.Errorf("%s %s is dialled", dial[0], dial[1])
		}
	}
}

func TestRejectedAddresses(t *testing.T) {
	c := New(Options{})
	defer c.Close()
	local := New(Options{AllowPrivate: loopback()})
	defer local.Close()
	for url, text := range map[string]string{
		"":                        "not an absolute URL",
		"jwks.json":               "not an absolute URL",
		"https://":                "not an absolute URL",
		"https://:443/x":          "not an absolute URL",
		"https:example.com":       "not an absolute URL",
		"https://exa mple.com":    "not an absolute URL",
		"http://example.com/":     "must begin with https://",
		"http://localhost/":       "must begin with https://",
		"http://127.0.0.1/":       "must begin with https://",
		"ftp://example.com/":      "must begin with https://",
		"file:///etc/passwd":      "not an absolute URL",
		"gopher://x/":             "must begin with https://",
		"https://u:p@example.com": "must not contain a username",
		"https://example.com/#x":  "must not have a fragment",
		"https://10.0.0.1/":       "10.0.0.1 is not on the public internet",
		"https://[::1]/":          "[::1] is not on the public internet",
		"https://[::ffff:7f00:1]": "is not on the public internet",
		"https://169.254.169.254": "is not on the public internet",
		"https://localhost:1/":    "localhost:1 is not on the public internet",
		"https://x/" + strings.Repeat("a", maxURL): "of at most 2048 characters",
	} {
		_, err := c.Get(t.Context(), url, 10)
		wantError(t, err, fault.Invalid, text)
	}
	_, err := local.Get(t.Context(), "http://10.0.0.1/", 10)
	wantError(t, err, fault.Invalid, "must begin with https://")
}

// The guard checks the address that a name resolves to, so that localhost is blocked before a
// connection.
func TestGuardChecksResolvedNames(t *testing.T) {
	s, _ := newSite(t, says("secret"))
	c := New(Options{})
	defer c.Close()
	_, err := c.Get(t.Context(), strings.Replace(s.URL, "127.0.0.1", "localhost", 1), 100)
	wantError(t, err, fault.Invalid, "not on the public internet")
	if strings.Contains(fault.Text(err), "127.0.0.1") {
		t.Errorf("the text shows what the name resolves to: %v", err)
	}
	if s.hits.Load() != 0 {
		t.Error("the guard let a request through")
	}
}

func TestProxiesAreIgnored(t *testing.T) {
	s, c := newSite(t, says("ok"))
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("NO_PROXY", "")
	get(t, c, s.URL, "ok")
	if c.http.Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy is configured")
	}
}

func TestPlainHTTPOnLoopback(t *testing.T) {
	s := httptest.NewServer(says("plain"))
	defer s.Close()
	c := New(Options{AllowPrivate: loopback()})
	defer c.Close()
	get(t, c, s.URL, "plain")
	get(t, c, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), "plain")
}

func TestRejectedResponses(t *testing.T) {
	for name, tc := range map[string]struct {
		h    http.HandlerFunc
		kind fault.Kind
		text string
	}{
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, fault.Invalid, "redirects to another address"},
		"announced too large": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1001")
			w.Write(make([]byte, 1001))
		}, fault.Invalid, "larger than 1000 bytes"},
		"streamed too large": {func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				w.Write(make([]byte, 100))
				w.(http.Flusher).Flush()
			}
		}, fault.Invalid, "larger than 1000 bytes"},
		"compressed too large": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			z.Write(make([]byte, 1<<20))
			z.Close()
		}, fault.Invalid, "larger than 1000 bytes"},
		"not found":    {fails(404), fault.Unavailable, "status 404"},
		"no content":   {fails(204), fault.Unavailable, "status 204"},
		"server error": {fails(503), fault.Unavailable, "status 503"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			w.Write([]byte("half"))
		}, fault.Unavailable, "could not be reached"},
		"endless headers": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxHeaders))
		}, fault.Unavailable, "could not be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			s, c := newSite(t, tc.h)
			_, err := c.Get(t.Context(), s.URL, 1000)
			wantError(t, err, tc.kind, tc.text)
			if s.hits.Load() != 1 {
				t.Errorf("%d requests", s.hits.Load())
			}
		})
	}
}

func TestCertificateIsChecked(t *testing.T) {
	s, _ := newSite(t, says("x"))
	c := New(Options{AllowPrivate: loopback()})
	defer c.Close()
	_, err := c.Get(t.Context(), s.URL, 10)
	wantError(t, err, fault.Unavailable, "certificate")
}

func TestTimeIsBounded(t *testing.T) {
	s, c := newSite(t, hangs)
	c.http.Timeout = 50 * time.Millisecond
	_, err := c.Get(t.Context(), s.URL, 10)
	wantError(t, err, fault.Unavailable, "did not answer in time")
	if New(Options{}).http.Timeout != 5*time.Second {
		t.Error("the time for an attempt is not five seconds")
	}
}

func TestExactSizeIsAccepted(t *testing.T) {
	s, c := newSite(t, says(strings.Repeat("x", 1000)))
	get(t, c, s.URL, strings.Repeat("x", 1000))
	if _, err := c.Get(t.Context(), s.URL, 999); !fault.Is(err, fault.Invalid) {
		t.Errorf("a caller that accepts less: %v", err)
	}
}

func TestTTL(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for _, tc := range []struct {
		want time.Duration
		h    []string
	}{
		{defaultTTL, nil},
		{5 * time.Minute, []string{"Cache-Control", "public, max-age=300"}},
		{5 * time.Minute, []string{"Cache-Control", `Max-Age="300"`}},
		{4 * time.Minute, []string{"Cache-Control", "max-age=300", "Age", "60"}},
		{minTTL, []string{"Cache-Control", "max-age=5"}},
		{minTTL, []string{"Cache-Control", "max-age=600, no-store"}},
		{minTTL, []string{"Cache-Control", "no-cache"}},
		{maxTTL, []string{"Cache-Control", "max-age=31536000"}},
		{defaultTTL, []string{"Cache-Control", "max-age=abc"}},
		{defaultTTL, []string{"Age", "599"}},
		{30 * time.Minute, []string{"Expires", now.Add(30 * time.Minute).UTC().Format(http.TimeFormat)}},
		{2 * time.Minute, []string{"Expires", now.Add(30 * time.Minute).UTC().Format(http.TimeFormat), "Cache-Control", "max-age=120"}},
		{minTTL, []string{"Expires", "0"}},
	} {
		h := http.Header{}
		for i := 0; i+1 < len(tc.h); i += 2 {
			h.Set(tc.h[i], tc.h[i+1])
		}
		if got := ttl(h, now); got != tc.want {
			t.Errorf("%v: %s, want %s", h, got, tc.want)
		}
	}
}

func TestDocumentsAreCached(t *testing.T) {
	s, c := newSite(t, says("one", "Cache-Control", "max-age=120"))
	d := get(t, c, s.URL, "one")
	if d.Stale || !d.Expires.Equal(s.now().Add(2*time.Minute)) || !d.Fetched.Equal(s.now()) {
		t.Errorf("%+v", d)
	}
	s.answer(says("two"))
	s.advance(119 * time.Second)
	get(t, c, s.URL, "one")
	s.advance(time.Second)
	get(t, c, s.URL, "two")
	if s.hits.Load() != 2 {
		t.Errorf("%d requests", s.hits.Load())
	}
}

func TestStaleIfError(t *testing.T) {
	s, c := newSite(t, says("one"))
	get(t, c, s.URL, "one")
	s.answer(fails(500))
	s.advance(maxTTL)
	for range 5 {
		if d := get(t, c, s.URL, "one"); !d.Stale {
			t.Error("an expired document is not marked stale")
		}
	}
	if s.hits.Load() != 2 {
		t.Errorf("%d requests; a failing address must not be tried again at once", s.hits.Load())
	}
	s.advance(staleFor)
	_, err := c.Get(t.Context(), s.URL, 1000)
	wantError(t, err, fault.Unavailable, "status 500")
	s.answer(says("two"))
	s.advance(failureTTL)
	get(t, c, s.URL, "two")
}

func TestFailuresAreCachedBriefly(t *testing.T) {
	s, c := newSite(t, fails(500))
	for range 5 {
		_, err := c.Get(t.Context(), s.URL, 1000)
		wantError(t, err, fault.Unavailable, "status 500")
	}
	if s.hits.Load() != 1 {
		t.Errorf("%d requests", s.hits.Load())
	}
	s.answer(says("ok"))
	s.advance(failureTTL)
	get(t, c, s.URL, "ok")
}

// Tokens with invented key ids must not cause many requests to the address of the keys.
func TestRefreshIsLimited(t *testing.T) {
	s, c := newSite(t, says("one"))
	get(t, c, s.URL, "one")
	s.answer(says("two"))
	refresh := func(want string) {
		t.Helper()
		d, err := c.Refresh(t.Context(), s.URL, 1000)
		if err != nil || string(d.Body) != want {
			t.Errorf("got %q, %v; want %q", d.Body, err, want)
		}
	}
	for range 10 {
		refresh("one")
	}
	s.advance(refreshInterval)
	for range 10 {
		refresh("two")
	}
	if s.hits.Load() != 2 {
		t.Errorf("%d requests", s.hits.Load())
	}
	s.answer(fails(500))
	s.advance(refreshInterval)
	refresh("two") // it has not expired
}

func TestCallersShareAnAttempt(t *testing.T) {
	begin := make(chan struct{})
	s, c := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		<-begin
		fmt.Fprint(w, "one")
	})
	leaving, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := c.Get(leaving, s.URL, 1000)
		left <- err
	}()
	testkit.Eventually(t, "the first request", func() bool { return s.hits.Load() > 0 })
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if d, err := c.Get(t.Context(), s.URL, 1000); err != nil || string(d.Body) != "one" {
				t.Errorf("%q %v", d.Body, err)
			}
		})
	}
	cancel() // the first caller leaves; the others get the document
	if err := <-left; !errors.Is(err, context.Canceled) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("the caller who left: %v", err)
	}
	close(begin)
	wg.Wait()
	if s.hits.Load() != 1 {
		t.Errorf("%d requests", s.hits.Load())
	}
}

func TestEntriesAreBounded(t *testing.T) {
	s, c := newSite(t, says("x"))
	for i := range maxEntries {
		c.cache.entries[key{fmt.Sprint("https://x/", i), 1}] = &entry{usedAt: s.now().Add(time.Duration(i) - time.Hour)}
	}
	get(t, c, s.URL, "x")
	if n := len(c.cache.entries); n != maxEntries {
		t.Errorf("%d entries", n)
	}
	if _, still := c.cache.entries[key{"https://x/0", 1}]; still {
		t.Error("the entry unused for longest is still there")
	}
	for _, e := range c.cache.entries {
		e.attempt = make(chan struct{})
	}
	_, err := c.Get(t.Context(), s.URL+"/other", 10)
	wantError(t, err, fault.Unavailable, "too many documents")
}

func TestAttemptsAreBounded(t *testing.T) {
	s, c := newSite(t, says("x"))
	c.cache.attempts = maxAttempts
	_, err := c.Get(t.Context(), s.URL, 10)
	wantError(t, err, fault.Unavailable, "too many documents")
	c.cache.attempts = 0
}

func TestCloseEndsAttempts(t *testing.T) {
	s, c := newSite(t, hangs)
	done := make(chan error)
	go func() {
		_, err := c.Get(t.Context(), s.URL, 10)
		done <- err
	}()
	testkit.Eventually(t, "the first request", func() bool { return s.hits.Load() > 0 })
	c.Close()
	wantError(t, <-done, fault.Unavailable, "could not be reached")
	_, err := c.Get(t.Context(), s.URL+"/2", 10)
	wantError(t, err, fault.Unavailable, "")
}
