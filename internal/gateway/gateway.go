// Package gateway is the front door: it knows sessions, tokens and routes, and either proxies a request to the route's upstream or
// answers the proxy that already stands there.
//
//	request ──► target ──► table ──► who is it ──► Decide ──┬─► upstream, with X-Auth-Info
//	                                                        └─► challenge, refusal, or the login
//
// Proxying and forward-auth differ in where the target is read from and in what is done with the decision. A warm request costs no
// SQL and no signature: callers are remembered by the hash of their credential, and what ends a credential is asked for each time.
package gateway

import (
	"context"
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
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Tokens is the authorization server's memory of its tokens.
type Tokens interface {
	// Access reads a token that is in force. Denied: it is not.
	Access(ctx context.Context, token string, now time.Time) (*oauth.AccessToken, error)
	// Live asks memory alone whether a token that was read before still is.
	Active(t *oauth.AccessToken, now time.Time) bool
	// Bound checks a request's proof of the key that its token is bound to; Unused uses the proof up; Nonce is what the next must hold, or "".
	VerifyBinding(t *oauth.AccessToken, p *token.Presentation) (*dpop.Proof, error)
	CheckReplay(ctx context.Context, p *dpop.Proof, now time.Time) error
	Nonce(now time.Time) string
}

// Clients look clients up and prove them. Denied: there is no such client, or this is not its secret.
type Clients interface {
	LookupClient(ctx context.Context, id client.ID) (*client.Client, error)
	ProveSecret(ctx context.Context, id client.ID, pass string, now time.Time) (*client.Client, error)
}

// Users reads an account, or NotFound.
type Users interface {
	User(ctx context.Context, id identity.UserID) (*identity.User, error)
}

// Browser is the part of the pages that the gateway needs.
type Browser interface {
	// Session is the browser's live session, or nil.
	Session(r *http.Request) (*identity.Session, error)
	// SignIn sends the browser to sign in, or to prove more, and then on to next, one of our own addresses.
	SignIn(w http.ResponseWriter, r *http.Request, want SignIn) error
	// Fail shows an error to a person.
	Fail(w http.ResponseWriter, r *http.Request, err error)
}

// SignIn is what a page asks of the person who opens it.
type SignIn struct {
	Next  string // path and query of ours
	ACR   string // least authentication context class, or ""
	Again bool   // the person proves who they are even if signed in already
}

// Signer signs with the server's keys.
type Signer interface {
	Sign(ctx context.Context, alg, typ string, payload []byte, now time.Time) (string, error)
}

// Apps knows browser apps whose tokens are kept on the server. CallerAt is who the cookie of a request stands for, or nil; while
// nothing has changed it is the same value. Method, host and origin are the request's own, which in forward-auth are not r's.
type Apps interface {
	CallerAt(ctx context.Context, r *http.Request, method, host, origin string) (*access.Caller, error)
	// Still is the same for a request that CallerAt knew and that is under way. It does not count as use of the session.
	Still(ctx context.Context, r *http.Request) (*access.Caller, error)
}

// Sessions reads a browser session that has not ended, or NotFound.
type Sessions interface {
	Session(ctx context.Context, id identity.SessionID, now time.Time) (*identity.Session, error)
}

// Setup is what a gateway serves: it may change while it runs.
type Setup struct {
	Routes  []access.Route // all there are, from storage and files
	Compile access.Options // what they are compiled against
	Foreign []*Foreign     // other issuers whose tokens may pass
}

// Options are what a gateway is made from. Apps, Sessions and StoreDenials may be nil.
type Options struct {
	Issuer       string // BASE_URL
	Kit          *web.Kit
	Setup        func() Setup     // read by New and Reload
	Upstream     upstream.Options // what all pools share; the route's own is filled in
	Tokens       Tokens
	Clients      Clients
	Users        Users
	Browser      Browser
	Sessions     Sessions // for calls that go on; nil: only revocations end them
	Apps         Apps
	Signer       Signer
	Alg          string                                              // of X-Auth-Info; "": ES256, which signs much faster than RS256
	StoreDenials func(context.Context, []*access.DenialRecord) error // for gatehouse explain; nil: denials are not stored

	SessionsRevoke bool // the end of a session is in the log of revocations, so that memory knows of it
}

// Gateway serves routes. It is safe for concurrent use.
type Gateway struct {
	Options
	base    *url.URL
	host    string // of base, lower case, without port
	table   atomic.Pointer[table]
	callers *otter.Cache[credentialKey, *known]
	apps    *otter.Cache[*access.Caller, *known]
	nobody  *known
	denials denialQueue

	loading sync.Mutex      // the three below
	running context.Context //nolint:containedctx // Run's, for the checks of pools that come later; nil before
	checks  sync.WaitGroup
}

// maxCallers bounds how many callers are remembered, at some 2 kB each.
const maxCallers = 20_000

// New makes a gateway with its routes. Run does the work behind it.
func New(o Options) (*Gateway, error) {
	base, err := url.Parse(o.Issuer)
	if err != nil || base.Host == "" {
		return nil, fault.New(fault.Invalid, "the issuer %q is no absolute URL", o.Issuer)
	}
	if o.Alg == "" {
		o.Alg = jose.ES256
	}
	host, _ := hostOf(base.Host)
	g := &Gateway{Options: o, base: base, host: host, nobody: &known{}}
	g.callers = otter.Must(&otter.Options[credentialKey, *known]{MaximumSize: maxCallers})
	g.apps = otter.Must(&otter.Options[*access.Caller, *known]{MaximumSize: maxCallers})
	g.denials.start()
	g.Reload()
	return g, nil
}

// Run watches the upstreams and writes down refusals until ctx ends.
func (g *Gateway) Run(ctx context.Context) {
	g.loading.Lock()
	g.running = ctx
	for _, e := range g.table.Load().entries {
		g.watch(e)
	}
	g.loading.Unlock()
	g.storeDenials(ctx)
	g.loading.Lock() // no pool is added to those watched while they are waited for
	defer g.loading.Unlock()
	g.checks.Wait()
	for _, e := range g.table.Load().entries {
		e.pool.Close()
	}
}

// Addresses that the gateway serves itself, on every host.
const (
	pathCheck    = "/gateway/check"
	pathLogin    = "/gateway/login"
	pathMetadata = "/.well-known/oauth-protected-resource"
)

// ours reports whether a path is one that the gateway serves, whatever route covers it.
func ours(path string) bool {
	return path == pathLogin || at(path, pathCheck) || at(path, pathMetadata)
}

// at reports whether a path is one, or below it.
func at(path, prefix string) bool {
	return strings.HasPrefix(path, prefix) && (len(path) == len(prefix) || path[len(prefix)] == '/')
}

// ofApps reports whether a path is the token handler's, which every host of a browser app has.
func ofApps(path string) bool {
	switch path {
	case "/session/login", "/session/callback", "/session/user", "/session/logout":
		return true
	}
	return false
}

// Claims reports whether a request is the gateway's: its path belongs to a route, or to the gateway itself. A path that no
// program should read is claimed where any reading of it leads to a route, so that it is refused and not redirected.
func (g *Gateway) Claims(r *http.Request) bool {
	path := rawPath(r)
	if ours(path) {
		return true
	}
	if g.Apps != nil && ofApps(path) {
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

// ServeHTTP answers what Claims says is the gateway's.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := rawPath(r)
	switch {
	case at(path, pathCheck):
		g.Check(w, r)
	case path == pathLogin:
		g.Login(w, r)
	case at(path, pathMetadata):
		g.Metadata(w, r)
	default:
		g.proxy(w, r)
	}
}
