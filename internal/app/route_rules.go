package app

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// maxRoutesFile bounds the file of ROUTES_FILE, in bytes.
const maxRoutesFile = 16 << 20

// ownPaths are the first segments of the paths that are ours, now or by the contract with our users: no route may cover them.
func ownPaths() []string {
	return []string{
		".well-known", "account", "accounts", "activate", "admin", "api", "authorize", "consent", "device", "favicon.ico", "forgot-password",
		"gateway", "healthz", "login", "logout", "metrics", "oauth", "oauth2", "register", "reset-password", "session", "setup", "signin",
		"signup", "static", "token", "userinfo",
	}
}

// routesFile reads the file of ROUTES_FILE; without one, there is nothing in it.
func routesFile(cfg *config.Config) (*access.File, error) {
	name := cfg.Gateway.RoutesFile
	if name == "" {
		return &access.File{}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("ROUTES_FILE cannot be read: %w", err)
	}
	if info.Size() > maxRoutesFile {
		return nil, fault.New(fault.Invalid, "ROUTES_FILE names %s, which is larger than %d bytes", name, maxRoutesFile)
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("ROUTES_FILE cannot be read: %w", err)
	}
	f, err := access.ReadFile(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// routeOptions are what routes are compiled against, with the issuers that the file names.
func routeOptions(cfg *config.Config, file *access.File) access.Options {
	o := access.Options{Reserved: ownPaths(), Issuer: cfg.Server.BaseURL}
	for _, i := range file.Issuers {
		o.Issuers = append(o.Issuers, i.Name)
	}
	if u, err := url.Parse(cfg.Server.BaseURL); err == nil {
		o.OwnHosts = []string{u.Hostname()}
	}
	if len(o.OwnHosts) > 0 && loopback(o.OwnHosts[0]) {
		o.OwnHosts = []string{"localhost", "127.0.0.1", "::1"}
	}
	return o
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// compileRoutes makes routes ready, those of the file before those of the database. Any that cannot be compiled is an error that
// names it: a server goes on with the routes it had before.
func compileRoutes(o access.Options, lists ...[]access.Route) ([]*access.Compiled, error) {
	var out []*access.Compiled
	var failed error
	for _, list := range lists {
		for i := range list {
			r, err := access.Compile(list[i], o)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("the route %s cannot be used: %w", routeLabel(&list[i]), err))
				continue
			}
			out = append(out, r)
		}
	}
	return out, failed
}

// routeTable puts the routes of the file and of the database together. The error says which route is in the way, and why.
func routeTable(cfg *config.Config, file *access.File, stored []access.Route) (*access.Table, error) {
	all, err := compileRoutes(routeOptions(cfg, file), file.Routes, stored)
	if err != nil {
		return nil, err
	}
	return access.NewTable(all)
}

// routeLabel tells a route from others, also one that cannot be compiled and so has no default name.
func routeLabel(r *access.Route) string {
	switch {
	case r.Name != "":
		return r.Name + " (" + r.ID + ")"
	case r.Domain != "":
		return r.Domain + "/" + r.Version + " (" + r.ID + ")"
	}
	return r.ID
}

// fits judges a change of the stored routes by all that will be there then. Others that are in each other's way, because the file has
// changed, are not held against it.
func (s *routeSet) fits(changed string) func([]access.Route) error {
	return func(stored []access.Route) error {
		var own *access.Compiled
		var others []*access.Compiled
		for _, r := range slices.Concat(s.file.Routes, stored) {
			c, err := access.Compile(r, s.options)
			switch {
			case r.ID == changed && err != nil:
				return routeFault(err)
			case r.ID == changed:
				own = c
			case err == nil:
				others = append(others, c)
			}
		}
		for _, other := range others {
			if other.Address() != own.Address() {
				continue
			}
			if _, err := access.NewTable([]*access.Compiled{other, own}); err != nil {
				return err
			}
		}
		return nil
	}
}

// routeFault says which flag a refused route is refused for.
func routeFault(err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid {
		return err
	}
	if flag := routeFlags()[f.Field]; flag != "" {
		return usageError{fmt.Errorf("--%s: %w", flag, err)}
	}
	return usageError{err}
}

// routeFlags maps the fields of a route to the flags that set them, where they are called otherwise.
func routeFlags() map[string]string {
	return map[string]string{
		"name": "name", "domain": "domain", "version": "version", "prefix": "prefix", "host": "host", "upstreams": "upstream",
		"methods": "method", "timeout": "timeout", "body_limit": "body-limit", "cors": "cors", "scopes": "scope", "roles": "role",
		"clients": "client", "networks": "from-network", "audiences": "audience", "issuers": "issuer", "acr": "acr", "max_age": "max-age",
		"allow_unidentified": "allow-unidentified", "allow_client_id": "allow-client-id", "rate": "rate", "rate_per": "rate-per",
		"rate_by": "rate-by", "health_path": "health-path", "health_every": "health-every", "keep_path": "keep-path",
		"keep_host": "keep-host", "browser": "browser",
	}
}
