package admin

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// ownPaths returns the first path segments that the server reserves for itself, now or for
// announced features. A route must not cover them.
func ownPaths() []string {
	return []string{
		".well-known", "account", "accounts", "activate", "admin", "api", "authorize", "chooser",
		"consent", "dev", "device", "favicon.ico", "forgot-password", "gateway", "health",
		"health_check", "healthz", "impersonate", "invitation", "language", "livez", "login", "logout", "metrics",
		"oauth", "oauth2", "readyz", "recover", "register", "reset-password", "session", "setup",
		"signin", "signup", "static", "token", "undo-email", "userinfo", "verify-email",
	}
}

// RouteOptions returns what routes are compiled against: the server's own paths and hosts, its
// issuer URL, and the external issuers that the routes file names.
func RouteOptions(issuer string, file *access.File) access.Options {
	o := access.Options{Reserved: ownPaths(), Issuer: issuer}
	for _, i := range file.Issuers {
		o.Issuers = append(o.Issuers, i.Name)
	}
	if u, err := url.Parse(issuer); err == nil {
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

// compileRoutes compiles lists of routes in order. The error names every route that cannot be
// compiled.
func compileRoutes(o access.Options, lists ...[]access.Route) ([]*access.Compiled, error) {
	var out []*access.Compiled
	var failed error
	for _, list := range lists {
		for i := range list {
			r, err := access.Compile(list[i], o)
			if err != nil {
				failed = errors.Join(failed, fmt.Errorf("the route %s cannot be used: %w", list[i].Label(), err))
				continue
			}
			out = append(out, r)
		}
	}
	return out, failed
}

// NewRouteTable compiles the routes of the file and of the database into one table. The error
// names every route that cannot be compiled, and why.
func NewRouteTable(o access.Options, file *access.File, stored []access.Route) (*access.Table, error) {
	all, err := compileRoutes(o, file.Routes, stored)
	if err != nil {
		return nil, err
	}
	return access.NewTable(all)
}
