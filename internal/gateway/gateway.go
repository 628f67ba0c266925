// Package gateway stands before the operator's own services. It identifies the caller of a
// request, decides by the request's route whether it may pass, and either proxies it to the
// route's upstream or answers a proxy that asks (forward-auth).
//
//	Request ──► Route ──► Caller ──► Decision ──┬─► upstream, with X-Auth-Info
//	                                            └─► Denial: challenge, page, or sign in
//
// File decide.go shows the way of a request from top to bottom. Each step is a value that the
// next one reads. Proxying and forward-auth differ in how the request is read and in what follows
// from the decision. A request of a cached caller needs no SQL and no signature: callers are
// cached by the hash of their credential, and Revalidate checks each time what could have ended
// it.
package gateway

import (
	"context"
	"hash/maphash"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/maypok86/otter/v2"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/gateway/upstream"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Tokens verifies access tokens of this server.
type Tokens interface {
	// Access returns an active token. Denied: it is not active.
	Access(ctx context.Context, token string, now time.Time) (*oauth.AccessToken, error)
	// Active reports, from memory alone, whether a token that Access returned is still active.
	Active(t *oauth.AccessToken, now time.Time) bool
	// Current returns Unavailable while it is not known which tokens have been revoked.
	Current() error
	// VerifyBinding checks a request's proof of the key that its token is bound to.
	VerifyBinding(t *oauth.AccessToken, p *token.Presentation) (*dpop.Proof, error)
	// CheckReplay consumes the proof.
	CheckReplay(ctx context.Context, p *dpop.Proof, now time.Time) error
	// Nonce returns what the next proof must contain, or "".
	Nonce(now time.Time) string
}

// Clients looks clients up and authenticates them. Denied: there is no such active client, or the
// secret is wrong.
type Clients interface {
	LookupClient(ctx context.Context, id client.ID) (*client.Client, error)
	ProveSecret(ctx context.Context, id client.ID, pass string, now time.Time) (*client.Client,
		error)
}

// Users reads accounts. NotFound: there is none.
type Users interface {
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
}

// Browser is the part of the pages that the gateway needs.
type Browser interface {
	// Session returns the browser's active session, or nil.
	Session(r *http.Request) (*identity.Session, error)
	// SignIn sends the browser to sign in, or to sign in more strongly.
	SignIn(w http.ResponseWriter, r *http.Request, want SignIn) error
	// Fail shows an error to a person.
	Fail(w http.ResponseWriter, r *http.Request, err error)
}

// SignIn is what a page requires of the person who opens it.
type SignIn struct {
	Next  string // path and query on this server, where the browser goes afterwards
	ACR   string // least authentication context class, or ""
	Again bool   // the person must sign in even if signed in already
}

// Signer signs with the server's keys.
type Signer interface {
	Sign(ctx context.Context, alg, typ string, payload []byte, now time.Time) (string, error)
}

// Apps knows the sessions of browser apps whose tokens stay on the server.
type Apps interface {
	// CallerAt returns the caller that the cookie of a request stands for, or nil. It returns the
	// same value while nothing has changed. Method, host and origin are those of the request
	// itself, which in forward-auth are not r's. Denied: a page of another origin caused the
	// request.
	CallerAt(ctx context.Context, r *http.Request, method, host, origin string) (*access.Caller,
		error)
	// CurrentCaller returns the caller of a request that CallerAt knew, and that is still being
	// served. It does not count as use of the session.
	CurrentCaller(ctx context.Context, r *http.Request) (*access.Caller, error)
}

// Sessions reads browser sessions. NotFound: the session has ended.
type Sessions interface {
	Session(ctx context.Context, id identity.SessionID, now time.Time) (*identity.Session, error)
}

// Meter counts what the gateway decides. It is called by several goroutines.
type Meter interface {
	// Route returns the counters of a route, or with "" those of requests to none. Each call needs
	// a Release when the route is no longer in force, but for "".
	Route(name string) RouteMeter
	Release(name string)
}

// RouteMeter counts the requests to one route.
type RouteMeter interface {
	Allow()
	Deny(status int, rule string)
}

// Setup is what a gateway serves. It may change while the gateway runs.
type Setup struct {
	Routes  []access.Route // from storage and files
	Compile access.Options // what they are compiled against
	Foreign []*Foreign     // external issuers whose tokens may pass
}

// Options are what a gateway is made from. Apps, Sessions and StoreDenials may be nil.
type Options struct {
	Issuer   string // BASE_URL
	Kit      *web.Kit
	Setup    func() Setup     // read by New and Reload
	Upstream upstream.Options // what all pools share; each route's own is filled in
	// Stored has the connections to the upstreams of routes from storage, which administrators
	// have made; nil: those of Upstream, as for routes of files.
	Stored   *upstream.Transport
	Tokens   Tokens
	Clients  Clients
	Users    Users
	Browser  Browser
	Sessions Sessions // to check open streams; nil: only revocations end them
	Apps     Apps

	SessionTokens SessionTokens // nil: no request has one

	Signer Signer
	Alg    string // of X-Auth-Info; "": ES256, which signs much faster than RS256

	// StoreDenials stores denials for gatehouse explain. nil: they are not stored.
	StoreDenials func(context.Context, []*access.DenialRecord) error

	// Meter counts decisions; nil: nobody counts them.
	Meter Meter

	// Tracing is set if requests are traced: then upstreams get the server's own traceparent.
	Tracing bool

	// SessionsRevoke is set if the end of a session is among the revocations, and so in memory.
	SessionsRevoke bool
}

// Gateway serves routes. It is safe for concurrent use.
type Gateway struct {
	Options
	base      *url.URL
	host      string // of base, in lower case and without a port
	table     atomic.Pointer[table]
	resolvers []resolver
	callers   *otter.Cache[credentialKey, *Caller]
	apps      *otter.Cache[*access.Caller, *Caller]
	anonymous *Caller
	denials   denialQueue
	seed      maphash.Seed // of the hashes of callers
	unrouted  RouteMeter   // of requests that no route has

	leaving atomic.Bool // the server stops

	loading sync.Mutex      // guards the two below
	running context.Context // Run's, for pools that come later; nil before Run
	checks  sync.WaitGroup
}

// maxCallers bounds how many callers are cached, at some 2 kB each.
const maxCallers = 20_000

// New returns a gateway with its routes. Run does its background work.
func New(o Options) (*Gateway, error) {
	base, err := url.Parse(o.Issuer)
	if err != nil || base.Host == "" {
		return nil, fault.New(fault.Invalid, "the issuer %q is not an absolute URL", o.Issuer)
	}
	if o.Alg == "" {
		o.Alg = access.AuthInfoAlg
	}
	host, _ := hostOf(base.Host)
	g := &Gateway{Options: o, base: base, host: host, anonymous: &Caller{}, seed: maphash.MakeSeed()}
	g.resolvers = resolvers(g)
	g.unrouted = noMeter{}
	if o.Meter != nil {
		g.unrouted = o.Meter.Route("")
	}
	g.callers = otter.Must(&otter.Options[credentialKey, *Caller]{MaximumSize: maxCallers})
	g.apps = otter.Must(&otter.Options[*access.Caller, *Caller]{MaximumSize: maxCallers})
	g.denials.start()
	g.Reload()
	return g, nil
}

// Run checks the health of upstreams and stores denials until ctx ends.
func (g *Gateway) Run(ctx context.Context) {
	g.loading.Lock()
	g.running = ctx
	for _, rt := range g.table.Load().entries {
		g.checkHealth(rt)
	}
	g.loading.Unlock()
	g.storeDenials(ctx)
	g.loading.Lock() // so that no check starts while Wait runs
	defer g.loading.Unlock()
	g.checks.Wait()
	for _, rt := range g.table.Load().entries {
		rt.pool.Close()
	}
}

// Drain ends the event streams of upstreams, which would not end on their own, within half a
// second.
func (g *Gateway) Drain() { g.leaving.Store(true) }

// Paths that the gateway serves itself, on every host.
const (
	pathCheck    = "/gateway/check"
	pathLogin    = "/gateway/login"
	pathMetadata = "/.well-known/oauth-protected-resource"
)

// ownPath reports whether the gateway serves a path itself, whatever route covers it.
func ownPath(path string) bool {
	return path == pathLogin || under(path, pathCheck) || under(path, pathMetadata)
}

// under reports whether a path is the prefix, or below it.
func under(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// appPath reports whether a path is the token handler's, which every host of a browser app has.
func appPath(path string) bool {
	switch path {
	case "/session/login", "/session/callback", "/session/user", "/session/logout":
		return true
	}
	return false
}

// Claims reports whether a request is the gateway's to answer: its path belongs to a route, or to
// the gateway itself. A path that Clean rejects is claimed if any reading of it leads to a route,
// so that it is denied and does not reach anything else.
func (g *Gateway) Claims(r *http.Request) bool {
	path := rawPath(r)
	if ownPath(path) {
		return true
	}
	if g.Apps != nil && appPath(path) {
		return false
	}
	tab := g.table.Load()
	if tab.size == 0 {
		return false
	}
	host, ok := hostOf(r.Host)
	if !ok {
		return false
	}
	if clean, err := access.Clean(path); err == nil {
		_, _, ok := tab.routes.Match(host, clean)
		return ok
	}
	return tab.near(host, path)
}

// ServeHTTP answers the requests that Claims reports.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := rawPath(r)
	switch {
	case under(path, pathCheck):
		g.Check(w, r)
	case path == pathLogin:
		g.Login(w, r)
	case under(path, pathMetadata):
		g.Metadata(w, r)
	default:
		g.proxy(w, r)
	}
}
