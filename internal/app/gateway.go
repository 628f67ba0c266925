package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/bff"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/fetch"
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/gateway/upstream"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

// pollRoutesFile is how often ROUTES_FILE is checked for changes.
const pollRoutesFile = 500 * time.Millisecond

// routeSource is where routes come from: the database, and ROUTES_FILE with its external issuers.
type routeSource struct {
	cfg   *config.Config
	db    *store.DB
	log   *slog.Logger
	file  atomic.Pointer[loadedFile]
	state string // of the file when it was last checked; see fileState
}

// loadedFile is ROUTES_FILE, ready to use.
type loadedFile struct {
	*access.File
	setup gateway.Setup
}

// newRouteSource reads the file. An invalid file is an error that stops the start.
func newRouteSource(cfg *config.Config, db *store.DB, log *slog.Logger) (*routeSource, error) {
	s := &routeSource{cfg: cfg, db: db, log: log, state: fileState(cfg.Gateway.RoutesFile)}
	return s, s.read()
}

// read loads the file and applies all of it, or returns an error and changes nothing.
func (s *routeSource) read() error {
	file, err := routesFile(s.cfg)
	if err != nil {
		return err
	}
	options := admin.RouteOptions(s.cfg.Server.BaseURL, file)
	if _, err := admin.NewRouteTable(options, file, nil); err != nil {
		return fmt.Errorf("%s: %w", s.cfg.Gateway.RoutesFile, err)
	}
	next := &loadedFile{file, gateway.Setup{Compile: options}}
	before := s.file.Load()
	for _, i := range file.Issuers {
		f, err := s.foreign(i, before)
		if err != nil {
			return fmt.Errorf("%s: %w", s.cfg.Gateway.RoutesFile, err)
		}
		next.setup.Foreign = append(next.setup.Foreign, f)
	}
	s.file.Store(next)
	if before != nil {
		for _, f := range before.setup.Foreign {
			if !slices.Contains(next.setup.Foreign, f) {
				f.Close()
			}
		}
	}
	return nil
}

// foreign returns an issuer with its verifier: the one from before if its settings have not
// changed.
func (s *routeSource) foreign(i access.Issuer, before *loadedFile) (*gateway.Foreign, error) {
	secret := ""
	if in := i.Introspection; in != nil && in.ClientSecretFile != "" {
		raw, err := os.ReadFile(in.ClientSecretFile)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "the client_secret_file of the issuer %s cannot be read", i.Name)
		}
		secret = strings.TrimSpace(string(raw))
	}
	if before != nil {
		for _, f := range before.setup.Foreign {
			if f.Same(i, secret) {
				return f, nil
			}
		}
	}
	return gateway.NewForeign(i, secret, gateway.ForeignOptions{OnError: func(err error) {
		s.log.Warn("external issuer request failed", "issuer", i.Name, "error", err)
	}})
}

// setup returns what the gateway serves now.
func (s *routeSource) setup() gateway.Setup {
	file := s.file.Load()
	now := file.setup
	now.Routes = slices.Concat(file.Routes, s.db.Routes())
	return now
}

// watch calls changed whenever the file has changed and is valid, until ctx ends. An invalid file
// is logged once, and the routes stay as they were.
func (s *routeSource) watch(ctx context.Context, changed func()) {
	if s.cfg.Gateway.RoutesFile == "" {
		return
	}
	tick := time.NewTicker(pollRoutesFile)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		state := fileState(s.cfg.Gateway.RoutesFile)
		if state == s.state {
			continue
		}
		s.state = state
		if err := s.read(); err != nil {
			s.log.Error("ROUTES_FILE is invalid; the routes stay as they were", "error", err)
			continue
		}
		changed()
	}
}

// fileState returns a text that changes whenever the file does.
func fileState(name string) string {
	info, err := os.Stat(name)
	if err != nil {
		return "none"
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size())
}

// front returns the handler of all requests: those of the gateway's routes, then the server's own
// pages and endpoints.
func front(kit *web.Kit, g *gateway.Gateway, own http.Handler) http.Handler {
	routes := kit.Passthrough(g)
	own = kit.Stack(own)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.Claims(r) {
			routes.ServeHTTP(w, r)
			return
		}
		own.ServeHTTP(w, r)
	})
}

// newGateway returns the gateway and the token handler of browser apps. Once there are routes, it
// calls publish, which publishes the key that signs for their upstreams.
func (s *server) newGateway(
	kit *web.Kit, browser *ui.Server, publish func() error,
) (*gateway.Gateway, *bff.Server, error) {
	p := s.parts
	routes, err := newRouteSource(p.cfg, p.db, s.log)
	if err != nil {
		return nil, nil, err
	}
	ensure := func() error {
		if len(routes.setup().Routes) == 0 {
			return nil
		}
		return publish()
	}
	if err := ensure(); err != nil {
		return nil, nil, err
	}
	handler := s.newTokenHandler(kit, browser)
	transport := upstream.NewTransport(upstream.TransportOptions{})
	s.close = append(s.close, transport.Close)
	g, err := gateway.New(gateway.Options{
		Issuer:         p.cfg.Server.BaseURL,
		Kit:            kit,
		Setup:          routes.setup,
		Upstream:       upstream.Options{Transport: transport},
		Stored:         s.storedTransport(),
		Tokens:         s.tokens,
		Clients:        s.tokens,
		Users:          p.db,
		Browser:        pageSignIn{browser},
		Sessions:       p.db,
		SessionsRevoke: p.cfg.Sessions.RevokeTokens,
		Apps:           handler,
		SessionTokens:  p.login,
		Signer:         p.ring,
		StoreDenials:   p.db.PutDenials,
		Meter:          p.monitor.gatewayMeter(),
		Tracing:        p.monitor != nil && p.monitor.tracer.Propagates(),
	})
	if err != nil {
		return nil, nil, err
	}
	reload := func() error {
		err := ensure()
		g.Reload()
		return err
	}
	p.db.OnChange(store.TopicRoutes, reload)
	p.db.OnChange(store.TopicClients, func() error { g.Reload(); return nil })
	s.behind = append(s.behind, g.Run, func(ctx context.Context) {
		routes.watch(ctx, func() {
			if err := reload(); err != nil {
				s.log.Error("cannot publish the key that signs X-Auth-Info; the first request tries again",
					"error", err)
			}
		})
	})
	return g, handler, nil
}

// storedTransport returns what connects to the upstreams of routes from the database, or nil if
// that is what connects to all upstreams. The administrators of a realm may be others than the
// operator of the machine: what they make must not reach its network, and what the operator writes
// to ROUTES_FILE may.
func (s *server) storedTransport() *upstream.Transport {
	c := s.parts.cfg
	if c.Realm == "" {
		return nil
	}
	t := upstream.NewTransport(upstream.TransportOptions{Control: fetch.Control(outboundAllow(c))})
	s.close = append(s.close, t.Close)
	return t
}

// pageSignIn adapts the pages to the gateway.Browser interface.
type pageSignIn struct{ *ui.Server }

func (p pageSignIn) SignIn(w http.ResponseWriter, r *http.Request, want gateway.SignIn) error {
	return p.SignInFor(w, r, want.Next, want.ACR, want.Again)
}

// newTokenHandler returns the token handler of browser apps.
func (s *server) newTokenHandler(kit *web.Kit, browser *ui.Server) *bff.Server {
	p := s.parts
	return bff.New(kit, s.tokens, p.db, p.keys, bff.Options{
		TTL:      p.cfg.Sessions.TTL,
		Idle:     p.cfg.Sessions.Idle,
		Fail:     browser.Fail,
		Mismatch: s.browser.RecordMismatch,
	})
}
