// Package web is the HTTP kit of all pages and endpoints: one stack of middleware, one way to read
// parameters, one place that turns an error into an answer, and one log record per request.
package web

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

// Handler answers a request or returns an error; it never does both.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Options configures a Kit.
type Options struct {
	Now        func() time.Time
	Log        *slog.Logger
	Proxies    []netip.Prefix       // trusted for X-Forwarded-For and X-Request-Id
	BodyLimit  int64                // bytes of a request body
	BodyLimits map[string]int64     // the same for single paths that take files
	Deadline   time.Duration        // for one request
	StaticDocs map[string]StaticDoc // public documents in memory, by path
	Port       string               // the issuer's, in cookie names without https; "": none
	Secure     bool                 // the issuer uses https: cookies are Secure, HSTS is sent
	Origin     string               // the issuer's scheme, host and port, as clients see them
	Limiter    Limiter              // nil: no rate limits
	Rates      map[string]Rate
	RateBy     string         // RateByIP, RateByClient or RateByUser
	Exempt     []netip.Prefix // never limited

	Observer Observer // nil: nobody watches
	// Limited, if set, is called for each request that a rate refuses, with the name of the rate
	// and the client that the caller has proved to be, or "".
	Limited func(ctx context.Context, rate, client string)

	// ErrorPage shows an error to a person; nil answers everybody with JSON. It sets the status.
	ErrorPage func(w http.ResponseWriter, r *http.Request, err error)
}

// Observer watches requests, for metrics and traces. It is called by several goroutines.
type Observer interface {
	// Begin is called when a request begins. It returns the context to serve it with, which is the
	// request's own unless the request is traced, and then the id of the trace.
	Begin(r *http.Request) (ctx context.Context, trace string)
	// End is called when the request has been answered, with the context that Begin returned.
	End(ctx context.Context, r *http.Request, ev *Event, took time.Duration)
	// Static is called instead of both when a StaticDoc was served.
	Static(path string, took time.Duration)
}

// StaticDoc returns a public JSON document from memory. Every client reads these documents now and
// then, so a GET is answered before anything else is set up, and logged at debug level only.
type StaticDoc func(now time.Time) ([]byte, error)

// Kit holds what all handlers share. Do not copy it.
type Kit struct {
	Options
	fixed  map[string][]string // headers of every answer
	public map[string][]string // additional headers of static documents

	untrusted atomic.Bool // see warnUntrusted
}

// New returns a Kit.
func New(o Options) *Kit {
	k := &Kit{Options: o, fixed: map[string][]string{
		"X-Content-Type-Options": {"nosniff"},
		"Referrer-Policy":        {"same-origin"}, // no-referrer would make browsers send "Origin: null" with our forms
	}, public: map[string][]string{
		"Access-Control-Allow-Origin":   {"*"},
		"Access-Control-Expose-Headers": {ExposedHeaders},
		"Cache-Control":                 {"public, max-age=300"},
		"Content-Type":                  {"application/json"},
	}}
	if o.Secure {
		k.fixed["Strict-Transport-Security"] = []string{"max-age=31536000"}
	}
	return k
}

// Event is the log record of a request, written when the request ends. It must not hold a secret or
// a query string.
type Event struct {
	ID     string
	IP     string
	Agent  string
	Route  string
	Grant  string // the grant_type of a request for tokens
	Trace  string // the id of its trace, or ""
	Passed bool   // it was one to a route of the gateway
	Status int
	Bytes  int64
	Client string
	User   string
	Err    error
	Now    time.Time // the request's one reading of the clock

	Texts         *text.Texts // the language of the page; nil until it is chosen
	LanguageFixed bool        // it was asked for, so that of the account does not replace it
	UILocales     string      // the parameter ui_locales of the request itself
	Return        string      // the address at which a page that a form made can be opened, or ""
	Unsealed      any         // what a page has opened of a parameter already, or nil
	Acting        *Acting     // set where somebody acts as another person

	base context.Context // the connection's, without the deadline of the request
}

// Acting is a browser session in which somebody acts as another person.
type Acting struct {
	Session *identity.Session
	Person  string // as pages name them
	Actor   string // as pages name who acts, or "" for the command line
}

type eventKey struct{}

// EventOf returns the record of the request that ctx belongs to.
func EventOf(ctx context.Context) *Event {
	if ev, ok := ctx.Value(eventKey{}).(*Event); ok {
		return ev
	}
	return &Event{} // outside of a request; it is never written
}

// Persistent returns the request's context without its deadline, for an answer that streams. It
// ends when the caller disconnects.
func Persistent(ctx context.Context) context.Context {
	if base := EventOf(ctx).base; base != nil {
		return base
	}
	return ctx
}

// Stack wraps a handler in all middleware: recovery, request id, log record, deadline, body limit
// and security headers. Static documents are answered without them.
func (k *Kit) Stack(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if doc := k.StaticDocs[r.URL.Path]; doc == nil || !k.serveStatic(w, r, doc) {
			k.outer(w, r, next, true)
		}
	})
}

// Passthrough wraps a handler that passes on the answer of another server: with recovery, request
// id and log record only. The handler itself bounds time and size.
func (k *Kit) Passthrough(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { k.outer(w, r, next, false) })
}

// outer applies the middleware. With own false, it leaves out the bounds and headers of our own
// pages.
func (k *Kit) outer(w http.ResponseWriter, r *http.Request, next http.Handler, own bool) {
	x := &exchange{rec: recorder{ResponseWriter: w}} // one allocation for all that a request needs here
	ev := &x.ev
	ev.Now, ev.Agent, ev.base = k.Now(), clean(r.UserAgent(), 512), r.Context()
	ev.IP, ev.ID = k.origin(r)
	x.id[0] = ev.ID
	h := w.Header()
	h["X-Request-Id"] = x.id[:]
	ctx := r.Context()
	if k.Observer != nil {
		ctx, ev.Trace = k.Observer.Begin(r)
	}
	x.observed = ctx
	ctx = context.WithValue(ctx, eventKey{}, ev)
	ev.Passed = !own
	if own {
		for name, v := range k.fixed {
			h[name] = v
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, k.Deadline)
		defer cancel()
	}
	r = r.WithContext(ctx)
	if own && r.Body != nil && r.Body != http.NoBody {
		limit := k.BodyLimit
		if own, ok := k.BodyLimits[r.URL.Path]; ok {
			limit = own
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
	}
	defer k.finish(x, r)
	next.ServeHTTP(&x.rec, r)
}

// serveStatic answers a GET from memory. It returns false where the full stack must answer: for
// other methods, for errors, and at log level debug, which records every request.
func (k *Kit) serveStatic(w http.ResponseWriter, r *http.Request, doc StaticDoc) bool {
	if r.Method != http.MethodGet || k.Log.Enabled(r.Context(), slog.LevelDebug) {
		return false
	}
	now := k.Now()
	body, err := doc(now)
	if err != nil {
		return false
	}
	_, id := k.origin(r)
	values := [2]string{id, strconv.Itoa(len(body))}
	h := w.Header()
	h["X-Request-Id"], h["Content-Length"] = values[:1:1], values[1:]
	for name, v := range k.fixed {
		h[name] = v
	}
	for name, v := range k.public {
		h[name] = v
	}
	_, _ = w.Write(body) // the client has gone if it fails
	if k.Observer != nil {
		k.Observer.Static(r.URL.Path, k.Now().Sub(now))
	}
	return true
}

// exchange holds the state of one request and its answer.
type exchange struct {
	ev  Event
	rec recorder
	id  [1]string

	observed context.Context // the observer's
}

// finish recovers from a panic, and reports the request to the observer and the log.
func (k *Kit) finish(x *exchange, r *http.Request) {
	rec, ev := &x.rec, &x.ev
	if p := recover(); p != nil {
		if p == http.ErrAbortHandler { // compared as net/http compares it
			k.observe(x, r)
			panic(p)
		}
		ev.Err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		if !rec.wrote {
			for _, name := range []string{
				"Content-Length", "Content-Encoding", "Etag", "Location", "Set-Cookie",
			} { // they belong to the answer that failed
				rec.Header().Del(name)
			}
			k.Fail(rec, r, ev.Err)
		}
	}
	took := k.observe(x, r)
	level := slog.LevelInfo
	if rec.status() < 400 && k.StaticDocs[r.URL.Path] != nil {
		level = slog.LevelDebug // every client reads the metadata now and then
	}
	if ev.Err != nil && rec.status() >= 500 {
		level = slog.LevelError
	}
	if !k.Log.Enabled(r.Context(), level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 11),
		slog.String("request_id", ev.ID),
		slog.String("method", clean(r.Method, 16)),
		slog.String("route", ev.Route),
		slog.Int("status", rec.status()),
		slog.Float64("duration_ms", float64(took.Microseconds())/1000),
		slog.Int64("bytes", rec.bytes),
		slog.String("ip", ev.IP))
	if ev.Trace != "" {
		attrs = append(attrs, slog.String("trace_id", ev.Trace))
	}
	if ev.Client != "" {
		attrs = append(attrs, slog.String("client", ev.Client))
	}
	if ev.User != "" {
		attrs = append(attrs, slog.String("user", ev.User))
	}
	if ev.Err != nil {
		attrs = append(attrs, slog.String("error", ev.Err.Error()))
	}
	k.Log.LogAttrs(r.Context(), level, "request", attrs...)
}

// observe completes the event of a request that has been answered, passes it to the observer, and
// returns how long the request took.
func (k *Kit) observe(x *exchange, r *http.Request) time.Duration {
	ev := &x.ev
	if ev.Route == "" {
		ev.Route = r.Pattern
	}
	if ev.Route == "" {
		ev.Route = "none"
	}
	ev.Status, ev.Bytes = x.rec.status(), x.rec.bytes
	took := k.Now().Sub(ev.Now)
	if k.Observer != nil {
		k.Observer.End(x.observed, r, ev, took)
	}
	return took
}

// recorder records the status and size of an answer.
type recorder struct {
	http.ResponseWriter
	code  int
	bytes int64
	wrote bool
}

func (w *recorder) WriteHeader(code int) {
	if interim := code >= 100 && code < 200 && code != http.StatusSwitchingProtocols; !w.wrote && !interim {
		w.code, w.wrote = code, true
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(b []byte) (int, error) {
	if !w.wrote {
		w.code, w.wrote = http.StatusOK, true
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap returns the underlying writer, for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) status() int {
	if w.code == 0 {
		return http.StatusOK
	}
	return w.code
}

// origin returns the caller's address and the request's id. The address is that of the connection
// or, behind trusted proxies, the last one in X-Forwarded-For that is not a trusted proxy; without
// that header Forwarded counts (RFC 7239). It is "" if that entry is not an address. An id is taken
// from a trusted proxy only.
func (k *Kit) origin(r *http.Request) (ip, id string) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return "", newRequestID()
	}
	addr := netaddr.Canonical(peer.Addr())
	if !k.trusted(addr) {
		if len(r.Header["X-Forwarded-For"]) > 0 || len(r.Header["Forwarded"]) > 0 {
			k.warnUntrusted(addr)
		}
		return addr.String(), newRequestID()
	}
	hops, forwarded := r.Header["X-Forwarded-For"], false
	if len(hops) == 0 {
		hops, forwarded = r.Header["Forwarded"], true
	}
	for hop := range lastFirst(hops) {
		if forwarded {
			hop = netaddr.ForwardedValue(hop, "for")
		}
		// Without an address the caller is unknown: the proxy before it would be a wrong answer
		// that rules trust.
		if addr, err = netaddr.ParseForwarded(hop); err != nil || !k.trusted(addr) {
			break
		}
	}
	id = r.Header.Get("X-Request-Id")
	if id == "" || len(id) > 64 || clean(id, 64) != id || strings.ContainsAny(id, ` "'<>&`) {
		id = newRequestID()
	}
	if !addr.IsValid() {
		return "", id
	}
	return addr.String(), id
}

// warnUntrusted logs once that a caller that is not a trusted proxy sends X-Forwarded-For or
// Forwarded: it may be a proxy that the operator forgot to list.
func (k *Kit) warnUntrusted(peer netip.Addr) {
	if k.untrusted.Swap(true) {
		return
	}
	k.Log.Warn("X-Forwarded-For or Forwarded from an address that is not in TRUSTED_PROXIES is ignored; "+
		"if it is the address of your proxy, add it", "address", peer.String())
}

// lastFirst iterates over the entries of a list-valued header from the end, across all its lines
// (RFC 9110 §5.3).
func lastFirst(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := len(lines) - 1; i >= 0; i-- {
			rest, more := lines[i], true
			for more {
				cut := strings.LastIndexByte(rest, ',')
				entry := rest[cut+1:]
				if more = cut >= 0; more {
					rest = rest[:cut]
				}
				if !yield(strings.TrimSpace(entry)) {
					return
				}
			}
		}
	}
}

func (k *Kit) trusted(ip netip.Addr) bool { return netaddr.Contains(k.Proxies, ip) }

var idCoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// newRequestID returns an id that is short enough to read out on the phone.
func newRequestID() string {
	var b [10]byte // it need not be unpredictable, only unique
	binary.BigEndian.PutUint64(b[:], rand.Uint64())
	binary.BigEndian.PutUint16(b[8:], uint16(rand.Uint32()))
	return idCoding.EncodeToString(b[:])
}

// clean returns the printable ASCII of a header, at most n bytes, for logs and storage.
func clean(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	if plain(s) {
		return s
	}
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e {
			return -1
		}
		return c
	}, s)
}

func plain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// Status returns the HTTP status of an error's kind.
func Status(err error) int {
	var d *access.Denial
	if errors.As(err, &d) {
		return d.Status
	}
	var rejected *oauth.Error
	if errors.As(err, &rejected) {
		return rejected.Status
	}
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return http.StatusRequestEntityTooLarge
	}
	switch fault.KindOf(err) {
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict, fault.Consumed:
		return http.StatusConflict
	case fault.Denied:
		return http.StatusForbidden
	case fault.Invalid:
		return http.StatusBadRequest
	case fault.Limited:
		return http.StatusTooManyRequests
	case fault.Stale:
		return http.StatusPreconditionFailed
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// RetryAfter writes the Retry-After header for an error that says when to try again.
func RetryAfter(h http.Header, err error) {
	writeRetryAfter(h, Problem{RetryAfter: retryAfter(err)})
}
