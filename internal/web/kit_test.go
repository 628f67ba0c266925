package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

var now = time.Date(2026, 5, 4, 10, 0, 0, 5e8, time.UTC)

func kit(t testing.TB, edit ...func(*web.Options)) *web.Kit {
	t.Helper()
	o := web.Options{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler), BodyLimit: 1 << 20, Deadline: time.Minute}
	for _, f := range edit {
		f(&o)
	}
	return web.New(o)
}

func serve(k *web.Kit, r *http.Request, h http.HandlerFunc) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	k.Stack(h).ServeHTTP(w, r)
	return w
}

func TestSecurityHeaders(t *testing.T) {
	for _, secure := range []bool{false, true} {
		w := serve(kit(t, func(o *web.Options) { o.Secure = secure }), httptest.NewRequest("GET", "/", nil), func(http.ResponseWriter, *http.Request) {})
		h := w.Header()
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" || len(h.Get("X-Request-Id")) != 16 {
			t.Errorf("%v", h)
		}
		if (h.Get("Strict-Transport-Security") != "") != secure {
			t.Errorf("secure %v: HSTS %q", secure, h.Get("Strict-Transport-Security"))
		}
	}
}

// A public document is answered from memory, and the usual way where that does not do.
func TestInstantDocuments(t *testing.T) {
	gone := false
	documents := map[string]web.StaticDoc{"/doc": func(at time.Time) ([]byte, error) {
		if gone || !at.Equal(now) {
			return nil, errors.New("not now")
		}
		return []byte(`{"a":1}`), nil
	}}
	level := new(slog.LevelVar)
	k := kit(t, func(o *web.Options) {
		o.StaticDocs, o.Secure = documents, true
		o.Log = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: level}))
	})
	usual := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
	get := func(method, path string) *httptest.ResponseRecorder {
		return serve(k, httptest.NewRequest(method, path, nil), usual)
	}

	w := get("GET", "/doc")
	if w.Code != 200 || w.Body.String() != `{"a":1}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Content-Length": "7", "Cache-Control": "public, max-age=300", "Access-Control-Allow-Origin": "*",
		"X-Content-Type-Options": "nosniff", "Strict-Transport-Security": "max-age=31536000",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q; want %q", name, got, want)
		}
	}
	if a, b := w.Header().Get("X-Request-Id"), get("GET", "/doc").Header().Get("X-Request-Id"); len(a) != 16 || a == b {
		t.Errorf("request ids %q and %q", a, b)
	}
	for _, c := range []struct{ name, method, path string }{{"another method", "HEAD", "/doc"}, {"another path", "GET", "/doc/"}} {
		if w := get(c.method, c.path); w.Code != http.StatusTeapot {
			t.Errorf("%s: %d", c.name, w.Code)
		}
	}
	level.Set(slog.LevelDebug)
	if w := get("GET", "/doc"); w.Code != http.StatusTeapot {
		t.Errorf("every request is to be recorded: %d", w.Code)
	}
	level.Set(slog.LevelInfo)
	gone = true
	if w := get("GET", "/doc"); w.Code != http.StatusTeapot {
		t.Errorf("no document: %d", w.Code)
	}
}

// What is passed through has a request id and a record, and no bounds and headers of ours.
func TestFront(t *testing.T) {
	var log bytes.Buffer
	k := kit(t, func(o *web.Options) {
		o.Log, o.BodyLimit, o.Deadline = slog.New(slog.NewJSONHandler(&log, nil)), 4, time.Nanosecond
	})
	w := httptest.NewRecorder()
	k.Passthrough(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, bound := r.Context().Deadline(); bound {
			t.Error("there is a deadline")
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "longer than four" {
			t.Errorf("%q %v", body, err)
		}
		web.EventOf(r.Context()).Route = "route shop"
		w.WriteHeader(http.StatusTeapot)
	})).ServeHTTP(w, httptest.NewRequest("POST", "/shop/v1", strings.NewReader("longer than four")))
	if h := w.Header(); len(h) != 1 || len(h.Get("X-Request-Id")) != 16 {
		t.Errorf("headers %v", h)
	}
	for _, part := range []string{w.Header().Get("X-Request-Id"), `"route":"route shop"`, `"status":418`} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("no %s in %s", part, log.String())
		}
	}
}

// A panic is the server's trouble: the caller learns a request id, the log learns the rest.
func TestPanic(t *testing.T) {
	var log bytes.Buffer
	k := kit(t, func(o *web.Options) { o.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	w := serve(k, httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Length", "99999")
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("Set-Cookie", "half=done")
		panic("secret thing in kit_test.go")
	})
	if w.Code != 500 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	if n := w.Header().Get("Content-Length"); n != strconv.Itoa(w.Body.Len()) {
		t.Errorf("Content-Length %s of %d bytes", n, w.Body.Len())
	}
	for _, name := range []string{"Location", "Set-Cookie"} {
		if v := w.Header().Get(name); v != "" {
			t.Errorf("%s of the answer that did not come: %s", name, v)
		}
	}
	body := w.Body.String()
	var e map[string]string
	if err := json.Unmarshal([]byte(body), &e); err != nil || e["error"] != "server_error" || e["request_id"] != w.Header().Get("X-Request-Id") {
		t.Fatalf("%s %v", body, err)
	}
	for _, leak := range []string{"secret thing", "goroutine", ".go"} {
		if strings.Contains(body, leak) {
			t.Errorf("%q is told: %s", leak, body)
		}
	}
	if !strings.Contains(log.String(), "secret thing") || !strings.Contains(log.String(), e["request_id"]) || !strings.Contains(log.String(), "kit_test.go") {
		t.Errorf("the log does not say what happened: %s", log.String())
	}
}

func TestPanicAfterTheAnswerBegan(t *testing.T) {
	w := serve(kit(t), httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "begun")
		panic("late")
	})
	if w.Body.String() != "begun" {
		t.Fatalf("%s", w.Body)
	}
}

func TestAbortIsPassedOn(t *testing.T) {
	defer func() {
		if p := recover(); p != http.ErrAbortHandler { // the very value
			t.Fatalf("%v", p)
		}
	}()
	serve(kit(t), httptest.NewRequest("GET", "/", nil), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// One line a request, without the query string, which may hold secrets.
func TestRecord(t *testing.T) {
	var log bytes.Buffer
	k := kit(t, func(o *web.Options) { o.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /x/{id}", func(w http.ResponseWriter, r *http.Request) {
		ev := web.EventOf(r.Context())
		ev.Client, ev.User, ev.Err = "c1", "u1", errors.New("because")
		w.WriteHeader(418)
		_, _ = io.WriteString(w, "short")
	})
	k.Stack(mux).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x/7?token=hidden", nil))
	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"method": "GET", "route": "GET /x/{id}", "status": 418.0, "bytes": 5.0, "ip": "192.0.2.1", "client": "c1", "user": "u1", "error": "because", "level": "INFO",
	} {
		if line[name] != want {
			t.Errorf("%s is %v", name, line[name])
		}
	}
	if strings.Contains(log.String(), "hidden") {
		t.Error("the query string is logged")
	}
}

func TestBodyLimit(t *testing.T) {
	k := kit(t, func(o *web.Options) { o.BodyLimit = 100 })
	serve(k, request("POST", "/", formType, "a="+strings.Repeat("x", 200)), func(_ http.ResponseWriter, r *http.Request) {
		_, err := k.ParseCall(r, web.FromForm, nil)
		if web.Status(err) != http.StatusRequestEntityTooLarge || !fault.Is(err, fault.Invalid) {
			t.Errorf("%v", err)
		}
	})
}

func TestDeadline(t *testing.T) {
	serve(kit(t, func(o *web.Options) { o.Deadline = time.Millisecond }), httptest.NewRequest("GET", "/", nil), func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(testkit.HangAfter):
			t.Error("the request has no deadline")
		}
	})
}

// The client address is that of the connection, or the one that a trusted proxy reports.
func TestClientAddress(t *testing.T) {
	proxies := func(o *web.Options) {
		o.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	}
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"no proxy":                         {"198.51.100.7:1", nil, "198.51.100.7"},
		"no proxy, forged":                 {"198.51.100.7:1", []string{"203.0.113.9"}, "198.51.100.7"},
		"one proxy":                        {"10.0.0.1:1", []string{"203.0.113.9"}, "203.0.113.9"},
		"two proxies":                      {"10.0.0.1:1", []string{"203.0.113.9, 10.0.0.2"}, "203.0.113.9"},
		"two headers":                      {"10.0.0.1:1", []string{"203.0.113.9", "10.0.0.2"}, "203.0.113.9"},
		"forged before the proxy":          {"10.0.0.1:1", []string{"127.0.0.1, 203.0.113.9"}, "203.0.113.9"},
		"forged to look like a proxy":      {"10.0.0.1:1", []string{"127.0.0.1, 10.9.9.9, 203.0.113.9"}, "203.0.113.9"},
		"forged with garbage":              {"10.0.0.1:1", []string{"<script>, 203.0.113.9"}, "203.0.113.9"},
		"with a port":                      {"10.0.0.1:1", []string{"203.0.113.9:4711, 10.0.0.2:80"}, "203.0.113.9"},
		"IPv6 with a port":                 {"10.0.0.1:1", []string{"[2001:db8::1]:4711"}, "2001:db8::1"},
		"quoted":                           {"10.0.0.1:1", []string{`"[2001:db8::1]:4711"`}, "2001:db8::1"},
		"garbage from the proxy":           {"10.0.0.1:1", []string{"unknown"}, ""},
		"garbage before a proxy":           {"10.0.0.1:1", []string{"203.0.113.9, unknown, 10.0.0.2"}, ""},
		"an empty entry":                   {"10.0.0.1:1", []string{"203.0.113.9,"}, ""},
		"an empty header":                  {"10.0.0.1:1", []string{""}, ""},
		"nothing from the proxy":           {"10.0.0.1:1", nil, "10.0.0.1"},
		"only proxies":                     {"10.0.0.1:1", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		"IPv6":                             {"[fd00::1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		"IPv4 in IPv6":                     {"[::ffff:10.0.0.1]:1", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		"with a zone":                      {"[fe80::1%eth0]:1", nil, "fe80::1"},
		"a peer that cannot be read":       {"@", []string{"203.0.113.9"}, ""},
		"another header is never believed": {"10.0.0.1:1", nil, "10.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = c.peer
			r.Header["X-Forwarded-For"] = c.forwarded
			r.Header.Set("X-Real-Ip", "127.0.0.1")
			if c.forwarded != nil { // which Forwarded does not count beside
				r.Header.Set("Forwarded", "for=127.0.0.1")
			}
			serve(kit(t, proxies), r, func(_ http.ResponseWriter, r *http.Request) {
				if got := web.EventOf(r.Context()).IP; got != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
			})
		})
	}
}

// The forms in which proxies name the caller: Azure Application Gateway and IIS ARR with a port,
// HAProxy in several lines, Envoy and Traefik as a list, Cloudflare in front of nginx, and those
// that write Forwarded (RFC 7239).
func TestCallerAsProxiesNameIt(t *testing.T) {
	proxies := func(o *web.Options) { o.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }
	for name, c := range map[string]struct {
		header string
		lines  []string
		want   string
	}{
		"Azure Application Gateway":    {"X-Forwarded-For", []string{"203.0.113.9:51234"}, "203.0.113.9"},
		"Azure Front Door before it":   {"X-Forwarded-For", []string{"203.0.113.9, 10.1.2.3:443"}, "203.0.113.9"},
		"IIS ARR, IPv6":                {"X-Forwarded-For", []string{"[2001:db8::9]:51234"}, "2001:db8::9"},
		"IIS ARR, IPv6 with a zone":    {"X-Forwarded-For", []string{"[2001:db8::9%12]:51234"}, "2001:db8::9"},
		"HAProxy beside another":       {"X-Forwarded-For", []string{"203.0.113.9", "10.0.0.3"}, "203.0.113.9"},
		"Cloudflare before nginx":      {"X-Forwarded-For", []string{"198.51.100.1, 203.0.113.9,10.0.0.7"}, "203.0.113.9"},
		"Traefik, tabs":                {"X-Forwarded-For", []string{"203.0.113.9,\t10.0.0.7"}, "203.0.113.9"},
		"Envoy, internal":              {"X-Forwarded-For", []string{"10.0.0.7"}, "10.0.0.7"},
		"mapped IPv4":                  {"X-Forwarded-For", []string{"::ffff:203.0.113.9"}, "203.0.113.9"},
		"Forwarded":                    {"Forwarded", []string{"for=203.0.113.9;proto=https;host=a.example"}, "203.0.113.9"},
		"Forwarded, a list":            {"Forwarded", []string{"for=198.51.100.1, For=203.0.113.9 , for=10.0.0.7"}, "203.0.113.9"},
		"Forwarded, two lines":         {"Forwarded", []string{"for=203.0.113.9", "by=10.0.0.1;for=10.0.0.7"}, "203.0.113.9"},
		"Forwarded, port":              {"Forwarded", []string{`for="203.0.113.9:4711"`}, "203.0.113.9"},
		"Forwarded, IPv6 and port":     {"Forwarded", []string{`by=_x;for="[2001:db8::9]:4711"`}, "2001:db8::9"},
		"Forwarded, hidden":            {"Forwarded", []string{"for=_hidden"}, ""},
		"Forwarded, unknown":           {"Forwarded", []string{"for=203.0.113.9, for=unknown"}, ""},
		"Forwarded, no address":        {"Forwarded", []string{"for=203.0.113.9, proto=https"}, ""},
		"Forwarded, two in an element": {"Forwarded", []string{"for=203.0.113.9;for=10.1.1.1"}, ""},
		"Forwarded, a comma in quotes": {"Forwarded", []string{`for="a,for=10.1.1.1"`}, ""},
		"Forwarded, empty":             {"Forwarded", []string{""}, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header[c.header] = c.lines
		for peer, want := range map[string]string{"10.0.0.1:1": c.want, "198.51.100.7:1": "198.51.100.7"} {
			r.RemoteAddr = peer
			serve(kit(t, proxies), r, func(_ http.ResponseWriter, r *http.Request) {
				if got := web.EventOf(r.Context()).IP; got != want {
					t.Errorf("%s, from %s: %q, want %q", name, peer, got, want)
				}
			})
		}
	}
}

func TestRequestID(t *testing.T) {
	proxies := func(o *web.Options) { o.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }
	for name, c := range map[string]struct {
		peer, id string
		taken    bool
	}{
		"of a stranger":           {"192.0.2.1:1", "abc", false},
		"of a proxy":              {"10.0.0.1:1", "abc-123", true},
		"of a proxy, too long":    {"10.0.0.1:1", strings.Repeat("a", 65), false},
		"of a proxy, with markup": {"10.0.0.1:1", "<b>", false},
		"of a proxy, with quotes": {"10.0.0.1:1", `a"b`, false},
		"of a proxy, not ASCII":   {"10.0.0.1:1", "ä", false},
		"of a proxy, empty":       {"10.0.0.1:1", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = c.peer
			r.Header.Set("X-Request-Id", c.id)
			w := serve(kit(t, proxies), r, func(http.ResponseWriter, *http.Request) {})
			got := w.Header().Get("X-Request-Id")
			if (got == c.id && got != "") != c.taken || got == "" {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestStatus(t *testing.T) {
	for err, want := range map[error]int{
		fault.New(fault.NotFound, "x"): 404, fault.New(fault.Conflict, "x"): 409, fault.New(fault.Consumed, "x"): 409, fault.New(fault.Denied, "x"): 403,
		fault.New(fault.Invalid, "x"): 400, fault.New(fault.Limited, "x"): 429, fault.New(fault.Unavailable, "x"): 503, errors.New("x"): 500,
	} {
		if got := web.Status(err); got != want {
			t.Errorf("%v: %d", err, got)
		}
	}
}

// limiter answers as it is told and remembers what it was asked.
type limiter struct {
	result web.LimitResult
	keys   []string
}

func (l *limiter) Take(_ context.Context, key string, _ web.Rate) web.LimitResult {
	l.keys = append(l.keys, key)
	return l.result
}

func TestRateLimitHeaders(t *testing.T) {
	l := &limiter{result: web.LimitResult{Allowed: true, Remaining: 4, Reset: 90 * time.Second}}
	limited := func(o *web.Options) {
		o.Limiter, o.Rates = l, map[string]web.Rate{"token": {Max: 5, Window: time.Minute}, "open": {}}
	}
	k := kit(t, limited)
	w := serve(k, httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, r *http.Request) {
		if err := k.Allow(w, r, "token", web.Subject{}); err != nil {
			t.Error(err)
		}
		for _, none := range []string{"open", "unknown"} { // without a limit nothing is counted
			if err := k.Allow(w, r, none, web.Subject{}); err != nil {
				t.Error(err)
			}
		}
	})
	h := w.Header()
	if h.Get("X-RateLimit-Limit") != "5" || h.Get("X-RateLimit-Remaining") != "4" || h.Get("X-RateLimit-Reset") != "1777888891" {
		t.Errorf("%v (now is %d)", h, now.Unix())
	}
	if len(l.keys) != 1 {
		t.Errorf("counted %v", l.keys)
	}
	l.result = web.LimitResult{Remaining: -1, RetryAfter: 1500 * time.Millisecond}
	serve(k, httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, r *http.Request) {
		err := k.Allow(w, r, "token", web.Subject{})
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Limited || f.After != 2*time.Second {
			t.Errorf("%v", err)
		}
		web.RetryAfter(w.Header(), err)
		if w.Header().Get("Retry-After") != "2" || w.Header().Get("X-RateLimit-Remaining") != "0" {
			t.Errorf("%v", w.Header())
		}
	})
}

func TestRateLimitKeys(t *testing.T) {
	for name, c := range map[string]struct {
		by, peer string
		who      web.Subject
		want     string
	}{
		"address":            {web.RateByIP, "192.0.2.1:1", web.Subject{Client: "c", User: "u"}, "token:ip:192.0.2.1"},
		"IPv6 network":       {web.RateByIP, "[2001:db8:1:2:3:4:5:6]:1", web.Subject{}, "token:ip:2001:db8:1:2::/64"},
		"client":             {web.RateByClient, "192.0.2.1:1", web.Subject{Client: "c", User: "u"}, "token:client:c"},
		"no client":          {web.RateByClient, "192.0.2.1:1", web.Subject{User: "u"}, "token:ip:192.0.2.1"},
		"user":               {web.RateByUser, "192.0.2.1:1", web.Subject{Client: "c", User: "u"}, "token:user:u"},
		"no user":            {web.RateByUser, "192.0.2.1:1", web.Subject{}, "token:ip:192.0.2.1"},
		"claimed client":     {web.RateByClient, "192.0.2.1:1", web.Subject{Client: "c", Claimed: true}, "token:client:c:192.0.2.1"},
		"claimed user":       {web.RateByUser, "192.0.2.1:1", web.Subject{User: "u", Claimed: true}, "token:ip:192.0.2.1"},
		"a long user":        {web.RateByUser, "192.0.2.1:1", web.Subject{User: strings.Repeat("u", 1000)}, "token:user:" + strings.Repeat("u", 320)},
		"an unknown address": {web.RateByIP, "@", web.Subject{}, "token:ip:"},
		"an exempt network":  {web.RateByIP, "203.0.113.5:1", web.Subject{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := &limiter{result: web.LimitResult{Allowed: true}}
			k := kit(t, func(o *web.Options) {
				o.Limiter, o.Rates, o.RateBy = l, map[string]web.Rate{"token": {Max: 5}}, c.by
				o.Exempt = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
			})
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = c.peer
			serve(k, r, func(w http.ResponseWriter, r *http.Request) { _ = k.Allow(w, r, "token", c.who) })
			if got := strings.Join(l.keys, ","); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// RFC 6265bis §4.1.3.2: under https our cookies are bound to this very host.
func TestCookies(t *testing.T) {
	for _, secure := range []bool{false, true} {
		k := kit(t, func(o *web.Options) { o.Secure = secure })
		w := httptest.NewRecorder()
		k.SetCookie(w, web.CookieSession, "value", time.Hour)
		line := w.Header().Get("Set-Cookie")
		want := "gatehouse=value; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"
		if secure {
			want = "__Host-gatehouse=value; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"
		}
		if line != want {
			t.Errorf("secure %v: %s", secure, line)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", strings.SplitN(line, ";", 2)[0])
		if got := k.Cookie(r, web.CookieSession); got != "value" {
			t.Errorf("secure %v: reads %q", secure, got)
		}
		w = httptest.NewRecorder()
		k.ClearCookie(w, web.CookieSession)
		if line := w.Header().Get("Set-Cookie"); !strings.Contains(line, "Max-Age=0") || strings.Contains(line, "Secure") != secure {
			t.Errorf("secure %v: %s", secure, line)
		}
	}
}

func TestCookiesNotBelieved(t *testing.T) {
	k := kit(t, func(o *web.Options) { o.Secure = true })
	for name, header := range map[string]string{
		"none":                "",
		"sent twice":          "__Host-gatehouse=a; __Host-gatehouse=b",
		"sent twice the same": "__Host-gatehouse=a; __Host-gatehouse=a",
		"without the prefix":  "gatehouse=a",
		"of huge size":        "__Host-gatehouse=" + strings.Repeat("a", 4097),
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Cookie", header)
		if got := k.Cookie(r, web.CookieSession); got != "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestEventOutsideOfARequest(t *testing.T) {
	if web.EventOf(context.Background()) == nil {
		t.Fatal("nil")
	}
}

func FuzzForwardedFor(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "1.2.3.4, 10.0.0.1", "[::1]:5", "1.2.3.4:80", "unknown", ",,,", "::ffff:1.2.3.4%x"} {
		f.Add(s)
	}
	k := kit(f, func(o *web.Options) { o.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		r.Header.Set("X-Forwarded-For", header)
		serve(k, r, func(_ http.ResponseWriter, r *http.Request) {
			ip := web.EventOf(r.Context()).IP
			if _, err := netip.ParseAddr(ip); err != nil && ip != "" {
				t.Fatal(err)
			}
		})
		r.RemoteAddr = "192.0.2.1:1"
		serve(k, r, func(_ http.ResponseWriter, r *http.Request) {
			if got := web.EventOf(r.Context()).IP; got != "192.0.2.1" {
				t.Fatalf("a stranger is believed: %s", got)
			}
		})
	})
}

// A proxy that was forgotten in TRUSTED_PROXIES is noticed once.
func TestForgottenProxyIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	k := kit(t, func(o *web.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	for _, forwarded := range []string{"", "203.0.113.7", "203.0.113.8"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		serve(k, r, func(http.ResponseWriter, *http.Request) {})
		if want := min(len(forwarded), 1); strings.Count(log.String(), "TRUSTED_PROXIES") != want {
			t.Errorf("X-Forwarded-For %q: %q", forwarded, log.String())
		}
	}
}

// Without https, where browsers share cookies between the ports of a host, the name has the port.
func TestCookiesOfTwoPorts(t *testing.T) {
	names := map[string]bool{}
	for _, o := range []web.Options{{Port: "8250"}, {Port: "8252"}, {Port: "8252", Secure: true}} {
		w := httptest.NewRecorder()
		web.New(o).SetCookie(w, web.CookieSession, "v", 0)
		names[w.Result().Cookies()[0].Name] = true
	}
	for _, want := range []string{"gatehouse_8250", "gatehouse_8252", "__Host-gatehouse"} {
		if !names[want] {
			t.Errorf("no cookie %s among %v", want, names)
		}
	}
}
