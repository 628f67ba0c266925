// Package app wires the program together and runs the server process. It is the only package that
// imports all parts.
package app

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/cache"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fetch"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/job"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/plan"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/trace"
	"github.com/gatehouse-id/gatehouse/internal/web"
	accountsapi "github.com/gatehouse-id/gatehouse/internal/web/accounts"
	"github.com/gatehouse-id/gatehouse/internal/web/api"
	"github.com/gatehouse-id/gatehouse/internal/web/console"
	"github.com/gatehouse-id/gatehouse/internal/web/protocol"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

// newTokenServer returns the endpoints that programs call. Shared is the Redis of all servers, or
// nil.
func newTokenServer(p *parts, shared *cache.Redis, fetch oauth.KeyFetcher) *token.Server {
	made := token.Parts{
		Store:     p.db,
		Ring:      p.ring,
		Keys:      p.keys,
		Fetch:     fetch,
		Passwords: owner{p.login},
		Replays:   token.NewReplays(),
	}
	if shared != nil {
		made.Replays = tracedReplays{shared.Replays(made.Replays)}
	}
	tokens := token.New(oauthConfig(p.cfg), made)
	p.signIns = tokens
	return tokens
}

// server is a whole server: a handler, and the work that goes on behind it.
type server struct {
	parts   *parts
	tokens  *token.Server
	browser *oauth.Server // the browser's half of the authorization server
	handler http.Handler
	kit     *web.Kit
	drain   func() // ends streams, so that a stop need not wait for them
	jobs    job.Runner
	bulk    func(context.Context) error // carries out actions on many users
	behind  []func(context.Context)     // further background tasks, which run until their context ends
	log     *slog.Logger
	close   []func()

	registrar *admin.Registrar

	shared   *cache.Redis // or nil
	gateway  *gateway.Gateway
	secure   *tls.Config  // nil: no https
	realms   *realms      // or nil
	stopping *atomic.Bool // the server finishes the requests in progress

	next       *handover   // to a new process; nil in tests
	handedOver atomic.Bool // a new process serves on the sockets
	database   databaseProbe
	notify     func(state string) // informs the service manager; may be nil
}

// newServer connects the parts: config → core → adapters → handlers → jobs.
func newServer(ctx context.Context, e *env, p *parts, log *slog.Logger) (*server, error) {
	s := &server{parts: p, log: log, stopping: new(atomic.Bool)}
	return s.connected(s.connect(ctx, e))
}

// connected returns the server, or the error with which connecting its parts failed. Then it
// releases what was opened: a realm that cannot be opened is tried again and again.
func (s *server) connected(err error) (*server, error) {
	if err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

// release closes what the server opened beside its database.
func (s *server) release() {
	for _, f := range s.close {
		f()
	}
	s.close = nil
}

// connect connects the parts.
func (s *server) connect(ctx context.Context, e *env) error {
	p, log := s.parts, s.log
	if err := s.prepare(ctx, e); err != nil {
		return err
	}
	fetcher := s.fetcher(e)
	shared, err := s.redis(e, log)
	if err != nil {
		return err
	}
	limiter := s.boundMailRequests(s.limiter(e, shared))
	s.browser = oauth.New(oauthConfig(p.cfg), p.db, p.ring, p.keys, keyFetcher{fetcher})
	s.tokens = newTokenServer(p, shared, keyFetcher{fetcher})
	pages, err := newPages(p.cfg, log, e.texts)
	if err != nil {
		return err
	}
	var browser *ui.Server
	options := kitOptions(e, p.cfg, log, limiter, protocol.StaticDocs(s.tokens))
	options.Observer = p.monitor.requestObserver(options.StaticDocs)
	options.ErrorPage = func(w http.ResponseWriter, r *http.Request, err error) { browser.ErrorPage(w, r, err) }
	options.Limited = s.recordLimited()
	kit := s.newKit(options)
	mailbox, err := s.startMail(e)
	if err != nil {
		return err
	}
	if err := s.startAudit(e); err != nil {
		return err
	}
	if err := s.startShipping(e); err != nil {
		return err
	}
	accounts, err := s.newAccounts()
	if err != nil {
		return err
	}
	browser = s.newBrowser(kit, pages, accounts)
	if mailbox != nil {
		browser.ShowMailbox(letters{mailbox})
	}
	mux := http.NewServeMux()
	s.protocolRoutes(mux, kit, browser)
	if err := errors.Join(
		s.pageRoutes(e, mux, kit, browser, pages), s.apiRoutes(e, mux, kit, browser, accounts),
	); err != nil {
		return err
	}
	s.healthRoutes(mux)
	ensure := func() error { return s.ensureRouteKey(context.WithoutCancel(ctx), e.now()) }
	g, handler, err := s.newGateway(kit, browser, ensure)
	if err != nil {
		return err
	}
	handler.Routes(mux)
	s.gateway = g
	s.handler = front(kit, g, s.adminGate(kit, mux))
	s.addJobs(e, accounts)
	return s.startBackups(e)
}

// newKit returns the HTTP kit, which the server keeps.
func (s *server) newKit(o web.Options) *web.Kit {
	s.kit = web.New(o)
	return s.kit
}

// newBrowser returns the pages that people see.
func (s *server) newBrowser(kit *web.Kit, pages *ui.Pages, accounts *account.Server) *ui.Server {
	return ui.NewServer(ui.Config{
		Kit:         kit,
		Pages:       pages,
		Login:       s.parts.login,
		OAuth:       s.browser,
		Account:     accounts,
		Storage:     s.parts.db,
		StayChecked: s.parts.cfg.Sessions.Stay == "checked",

		RelatedOrigins: s.parts.cfg.Passkeys.Related,
	})
}

// protocolRoutes adds the endpoints of OAuth and OpenID Connect.
func (s *server) protocolRoutes(mux *http.ServeMux, kit *web.Kit, browser *ui.Server) {
	endpoints := protocol.New(kit, s.browser, s.tokens, browser)
	endpoints.Routes(mux)
	s.drain = func() {
		endpoints.Drain()
		s.gateway.Drain()
	}
}

// apiRoutes adds the JSON interfaces.
func (s *server) apiRoutes(
	e *env, mux *http.ServeMux, kit *web.Kit, pages *ui.Server, accounts *account.Server,
) error {
	ops, err := s.parts.operations(e)
	if err != nil {
		return err
	}
	management := api.New(api.Config{
		Kit:        kit,
		Login:      s.parts.login,
		Operations: ops,
		Tokens:     s.tokens,
		Places:     s.parts.places,
		Browser:    s.browserActor(ops, pages),
	})
	management.Routes(mux)
	s.registrar = admin.NewRegistrar(ops)
	registrations := &protocol.Registrations{
		Kit:       kit,
		Registrar: s.registrar,
		Issuer:    s.tokens.Issuer(),
		Caller:    s.tokens.Caller,
		ActorOf:   ops.ActorOf,
	}
	registrations.Routes(mux)
	s.bulk = ops.RunBulkActions
	accountsapi.New(accountsapi.Config{
		Kit:     kit,
		Login:   s.parts.login,
		Account: accounts,
		Clients: s.tokens,
		Tokens:  s.tokens,
		Users:   s.parts.db,

		Administration: ops,
	}).Routes(mux)
	return nil
}

// ensureKeys creates the signing keys that are missing of the algorithms in use, and follows
// changes by other processes. A key is in the key set before it signs.
func (s *server) ensureKeys(ctx context.Context, now time.Time) error {
	p := s.parts
	algs, err := p.db.ClientAlgorithms(ctx)
	if err != nil {
		return err
	}
	for _, alg := range append(algs, p.cfg.Tokens.Algorithm) {
		if !jose.CanSign(alg) { // a client of another version; it gets the default
			continue
		}
		have := p.ring.Algorithms()
		if len(have) > 0 && !slices.Contains(have, alg) {
			s.log.Warn("the first key of an algorithm is published now and signs at once; "+
				"who has cached the key set must fetch it again", "alg", alg)
		}
		if err := p.ring.Ensure(ctx, alg, now); err != nil {
			return err
		}
	}
	p.db.OnChange(store.TopicKeys, func() error { return p.ring.Reload(context.WithoutCancel(ctx)) })
	return nil
}

// prepare creates what a server needs in its database: signing keys, and once in the life of a
// database the client of "gatehouse login".
func (s *server) prepare(ctx context.Context, e *env) error {
	if err := s.ensureKeys(ctx, e.now()); err != nil {
		return err
	}
	ops, err := s.parts.operations(e)
	if err != nil {
		return err
	}
	return ops.CreateCommandLineClient(ctx)
}

// ensureRouteKey creates the key that signs X-Auth-Info, once there are routes.
func (s *server) ensureRouteKey(ctx context.Context, now time.Time) error {
	return s.parts.ring.Ensure(ctx, access.AuthInfoAlg, now)
}

// maxImport is the size of a file of accounts, in bytes.
const maxImport = 8 << 30

// maxDocument is the size of a configuration document in JSON with the values of its references.
const maxDocument = 3 * plan.MaxDocument

// bodyLimits returns the sizes of bodies at paths that take files.
func bodyLimits() map[string]int64 {
	limits := map[string]int64{ui.PathPicture: maxUpload}
	for _, path := range slices.Concat(api.PathsOfFiles(), console.PathsOfFiles()) {
		limits[path] = maxImport
	}
	for _, path := range slices.Concat(api.PathsOfDocuments(), console.PathsOfDocuments()) {
		limits[path] = maxDocument
	}
	return limits
}

// kitOptions returns what the settings say about requests: limits, rates, proxies and origins.
func kitOptions(e *env, c *config.Config, log *slog.Logger, limiter web.Limiter,
	static map[string]web.StaticDoc,
) web.Options {
	r := c.RateLimits
	rates := map[string]web.Rate{}
	for name, l := range map[string]config.Limit{
		"token":          r.Token,
		"introspect":     r.Introspect,
		"revoke":         r.Revoke,
		"revocations":    r.Revocations,
		"userinfo":       r.UserInfo,
		"tokeninfo":      r.TokenInfo,
		"login":          r.Login,
		"device":         r.Device,
		"password_reset": r.PasswordReset,
		"register":       r.Register,

		"validate_password": r.ValidatePassword,
		"authorize":         r.Authorize,

		protocol.RateRegistration: r.Registration,
		protocol.RateOpen:         r.OpenRegistration,
	} {
		rates[name] = web.Rate{Max: l.Max, Window: l.Window}
	}
	rates[accountsapi.RateName] = accountsapi.Rate()
	rates[api.RateName] = api.Rate()
	rates["export"] = exportRate()
	rates[protocol.RateOpenInAll] = openRegistrationRate()
	return web.Options{
		Now:        e.now,
		Log:        log,
		Proxies:    c.Server.TrustedProxies,
		BodyLimit:  c.Server.RequestBodyLimit,
		BodyLimits: bodyLimits(),
		Deadline:   30 * time.Second,
		StaticDocs: static,
		Port:       portOf(c.Server.BaseURL),
		Secure:     strings.HasPrefix(c.Server.BaseURL, "https:"),
		Origin:     c.Server.BaseURL,
		Limiter:    limiter,
		Rates:      rates,
		RateBy:     r.By,
		Exempt:     r.Whitelist,
	}
}

// fetcher returns the client that fetches key sets of clients.
func (s *server) fetcher(e *env) *fetch.Client {
	f := fetch.New(fetch.Options{
		AllowPrivate: outboundAllow(s.parts.cfg),
		Now:          e.now,
		Trace:        s.parts.monitor.outgoing("GET document", http.MethodGet),
	})
	s.close = append(s.close, f.Close)
	return f
}

// redis returns the Redis that servers share, or nil if none is configured.
func (s *server) redis(e *env, log *slog.Logger) (*cache.Redis, error) {
	url := string(s.parts.cfg.Storage.RedisURL)
	if url == "" {
		return nil, nil
	}
	shared, err := cache.OpenRedis(url, cache.RedisOptions{
		Space:    s.parts.cfg.Realm,
		Now:      e.now,
		Fallback: e.memoryLimits(),
		OnOutage: func(err error) {
			if m := s.parts.monitor; m != nil && m.metrics != nil {
				m.metrics.State.RedisOutage()
			}
			log.Error("Redis is unavailable; this server counts rate limits and used proofs on its own",
				"error", err)
		},
		OnRecovery: func() { log.Info("Redis is available again") },
	})
	if err != nil {
		return nil, err
	}
	s.shared = shared
	s.close = append(s.close, shared.Close)
	return shared, nil
}

// limiter returns the counter of rate limits, or nil if they are off.
func (s *server) limiter(e *env, shared *cache.Redis) web.Limiter {
	limits := s.parts.cfg.RateLimits
	switch {
	case !limits.Enabled:
		return nil
	case limits.Store == "redis":
		return tracedLimits{counter{shared}}
	}
	return counter{e.memoryLimits()}
}

// counter adapts a limiter to the HTTP kit.
type counter struct{ cache.Limiter }

func (l counter) Take(ctx context.Context, key string, r web.Rate) web.LimitResult {
	v, err := l.Limiter.Take(ctx, key, cache.Limit{Max: r.Max, Window: r.Window})
	if err != nil { // the request has ended; nobody reads the answer
		return web.LimitResult{Allowed: true}
	}
	return web.LimitResult{
		Allowed:    v.Allowed,
		Remaining:  v.Remaining,
		Reset:      v.Reset,
		RetryAfter: v.RetryAfter,
	}
}

// keyFetcher adapts the fetcher to the protocol.
type keyFetcher struct{ *fetch.Client }

func (f keyFetcher) KeySet(ctx context.Context, uri string, fresh bool) ([]byte, error) {
	get := f.Get
	if fresh {
		get = f.Refresh
	}
	ctx, span := trace.Start(ctx, "key set", trace.Internal)
	defer span.End()
	doc, err := get(ctx, uri, jose.MaxKeySet)
	return doc.Body, err
}

// owner adapts the login to the password grant.
type owner struct{ *login.Server }

func (o owner) ResourceOwner(ctx context.Context, c *oauth.Call, username, password string) (*identity.User, error) {
	return o.Server.ResourceOwner(ctx, login.Visit{
		IP:        c.IP,
		Agent:     c.Agent,
		RequestID: c.RequestID,
		Now:       c.Now,
	}, username, password)
}

// portOf returns the port that an address names, or "".
func portOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Port()
}
