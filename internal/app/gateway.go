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
	"github.com/gatehouse-id/gatehouse/internal/gateway"
	"github.com/gatehouse-id/gatehouse/internal/gateway/upstream"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

// lookAtFile is how often ROUTES_FILE is looked at.
const lookAtFile = 500 * time.Millisecond

// routeSource is where routes come from: the database, and ROUTES_FILE with the other issuers that it names.
type routeSource struct {
	cfg  *config.Config
	db   *store.DB
	log  *slog.Logger
	file atomic.Pointer[loadedFile]
	mark string // of the file as it was last looked at
}

// loadedFile is ROUTES_FILE, ready to use.
type loadedFile struct {
	*access.File
	setup gateway.Setup
}

// newRouteSource reads the file. One that is wrong stops the start.
func newRouteSource(cfg *config.Config, db *store.DB, log *slog.Logger) (*routeSource, error) {
	s := &routeSource{cfg: cfg, db: db, log: log, mark: markOf(cfg.Gateway.RoutesFile)}
	return s, s.read()
}

// read takes the file in as a whole, or leaves everything as it was.
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

// foreign makes an issuer's verifier, or takes over the one it had when nothing about it has changed.
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

// setup gives what the gateway works with now.
func (s *routeSource) setup() gateway.Setup {
	file := s.file.Load()
	now := file.setup
	now.Routes = slices.Concat(file.Routes, s.db.Routes())
	return now
}

// watch calls changed when the file has changed and could be read, until ctx ends. A file that is wrong is reported once, and what was
// in force stays.
func (s *routeSource) watch(ctx context.Context, changed func()) {
	if s.cfg.Gateway.RoutesFile == "" {
		return
	}
	tick := time.NewTicker(lookAtFile)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		mark := markOf(s.cfg.Gateway.RoutesFile)
		if mark == s.mark {
			continue
		}
		s.mark = mark
		if err := s.read(); err != nil {
			s.log.Error("ROUTES_FILE is not taken up; the routes stay as they were", "error", err)
			continue
		}
		changed()
	}
}

// markOf tells one state of a file from another.
func markOf(name string) string {
	info, err := os.Stat(name)
	if err != nil {
		return "none"
	}
	return fmt.Sprint(info.ModTime().UnixNano(), info.Size())
}

// front is what stands before everything else: routes of the gateway, then our own pages and endpoints.
func front(kit *web.Kit, g *gateway.Gateway, own http.Handler) http.Handler {
	passed := kit.Passthrough(g)
	own = kit.Stack(own)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.Claims(r) {
			passed.ServeHTTP(w, r)
			return
		}
		own.ServeHTTP(w, r)
	})
}

// newGateway makes the gateway and the token handler beside it.
func (s *server) newGateway(kit *web.Kit, browser *ui.Server) (*gateway.Gateway, *bff.Server, error) {
	p := s.parts
	routes, err := newRouteSource(p.cfg, p.db, s.log)
	if err != nil {
		return nil, nil, err
	}
	handler := bff.New(kit, s.tokens, p.db, p.keys, bff.Options{TTL: p.cfg.Sessions.TTL, Idle: p.cfg.Sessions.Idle, Fail: browser.Fail})
	transport := upstream.NewTransport(upstream.TransportOptions{})
	s.close = append(s.close, transport.Close)
	g, err := gateway.New(gateway.Options{
		Issuer:         p.cfg.Server.BaseURL,
		Kit:            kit,
		Setup:          routes.setup,
		Upstream:       upstream.Options{Transport: transport},
		Tokens:         s.tokens,
		Clients:        s.tokens,
		Users:          p.db,
		Browser:        pageSignIn{browser},
		Sessions:       p.db,
		SessionsRevoke: p.cfg.Sessions.RevokeTokens,
		Apps:           handler,
		Signer:         p.ring,
		StoreDenials:   p.db.PutDenials,
	})
	if err != nil {
		return nil, nil, err
	}
	p.db.OnChange(store.TopicRoutes, func() error { g.Reload(); return nil })
	p.db.OnChange(store.TopicClients, func() error { g.Reload(); return nil })
	s.behind = append(s.behind, g.Run, func(ctx context.Context) { routes.watch(ctx, g.Reload) })
	return g, handler, nil
}

// pageSignIn adapts the pages to what the gateway asks of them.
type pageSignIn struct{ *ui.Server }

func (p pageSignIn) SignIn(w http.ResponseWriter, r *http.Request, want gateway.SignIn) error {
	return p.SignInFor(w, r, want.Next, want.ACR, want.Again)
}
