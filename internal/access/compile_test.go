package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestCompileGivesNameAndIdentifier(t *testing.T) {
	for name, tc := range map[string]struct {
		route                       Route
		called, prefix, addr, about string
	}{
		"domain and version": {shop(nil), "shop/v1", "/shop/v1", "/shop/v1", issuer + "/shop/v1"},
		"named":              {shop(func(r *Route) { r.Name = "The shop" }), "The shop", "/shop/v1", "/shop/v1", issuer + "/shop/v1"},
		"prefix":             {Route{Prefix: "/a/b"}, "/a/b", "/a/b", "/a/b", issuer + "/a/b"},
		"host":               {Route{Prefix: "/a", Host: "Api.Example.com"}, "api.example.com/a", "/a", "api.example.com/a", "https://api.example.com/a"},
		"all of a host":      {Route{Prefix: "/", Host: "api.example.com"}, "api.example.com/", "/", "api.example.com/", "https://api.example.com"},
		"our host":           {Route{Prefix: "/a", Host: "id.example.com"}, "id.example.com/a", "/a", "id.example.com/a", issuer + "/a"},
		"wildcard":           {Route{Prefix: "/a", Host: "*.example.org"}, "*.example.org/a", "/a", "*.example.org/a", "https://*.example.org/a"},
		"IPv6":               {Route{Prefix: "/a", Host: "[2001:DB8::1]"}, "2001:db8::1/a", "/a", "2001:db8::1/a", "https://[2001:db8::1]/a"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.route.Upstreams = []string{"http://10.0.0.5:8000"}
			c := compiled(t, tc.route)
			got := [4]string{c.Route().Name, c.Prefix(), c.Address(), c.Resource()}
			if want := [4]string{tc.called, tc.prefix, tc.addr, tc.about}; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestResourceAtOneHostOfAWildcard(t *testing.T) {
	c, root := routeAt(t, "*.example.org", "/a"), routeAt(t, "*.example.org", "/")
	for got, want := range map[string]string{
		c.ResourceAt("x.example.org"):                   "https://x.example.org/a",
		root.ResourceAt("x.example.org."):               "https://x.example.org",
		c.ResourceAt("other.test"):                      "https://*.example.org/a",
		compiled(t, shop(nil)).ResourceAt("other.test"): issuer + "/shop/v1",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNeedsIdentity(t *testing.T) {
	if !compiled(t, shop(nil)).NeedsIdentity() {
		t.Error("a route lets everyone pass by itself")
	}
	if compiled(t, shop(func(r *Route) { r.Unidentified = true })).NeedsIdentity() {
		t.Error("a route for everyone needs an identity")
	}
}

func TestCompileTakes(t *testing.T) {
	for name, change := range map[string]func(*Route){
		"everything": func(r *Route) {
			r.Host, r.Browser, r.KeepHost, r.Methods = "shop.example.com", true, true, []string{"GET", "M-SEARCH"}
			r.Upstreams = []string{"https://a.internal/base", "h2c://b:9000", "http://[::1]:80"}
			r.Timeout, r.BodyLimit, r.CORS = Duration(time.Minute), 1<<20, []string{"https://app.example.com", "http://localhost:3000"}
			r.Scopes, r.Roles, r.Clients = []string{"read", "urn:x"}, []string{"buyer", "Head of sales"}, []string{"web", "auth0:abc"}
			r.Networks = []string{"10.0.0.0/8", "2001:db8::/32", "192.0.2.7", "::1"}
			r.Audiences, r.Issuers, r.ACR, r.MaxAge = []string{"https://api.example.com"}, []string{"auth0"}, "aal2", Duration(5*time.Minute)
			r.Rate, r.RatePer, r.RateBy, r.HealthPath, r.HealthEvery = 100, Duration(time.Second), RateByUser, "/healthz?deep=1", Duration(time.Second)
		},
		"unidentified": func(r *Route) {
			r.Unidentified, r.Networks, r.Issuers, r.Audiences = true, []string{"10.0.0.0/8"}, []string{"auth0"}, []string{"x"}
		},
		"any origin":           func(r *Route) { r.CORS = []string{"*"} },
		"no rate at all":       func(r *Route) { r.Rate = -1 },
		"reserved, elsewhere":  func(r *Route) { r.Domain, r.Host = "oauth", "api.example.com" },
		"reserved as a part":   func(r *Route) { r.Domain = "oauth2" },
		"reserved below":       func(r *Route) { r.Domain, r.Version = "shop", "oauth" },
		"all of another host":  func(r *Route) { r.Domain, r.Version, r.Prefix, r.Host = "", "", "/", "app.example.com" },
		"wildcard beside ours": func(r *Route) { r.Domain, r.Version, r.Prefix, r.Host = "", "", "/", "*.apps.example.com" },
		"sixteen segments":     func(r *Route) { r.Domain, r.Version, r.Prefix = "", "", strings.Repeat("/a", 16) },
		"container name":       func(r *Route) { r.Host = "shop_1.internal" },
		"another port of ours": func(r *Route) { r.Upstreams = []string{"https://id.example.com:8443"} },
	} {
		t.Run(name, func(t *testing.T) { compiled(t, shop(change)) })
	}
}

func TestCompileRefuses(t *testing.T) {
	long := strings.Repeat("a", 65)
	prefix := func(p string) func(*Route) { return func(r *Route) { r.Domain, r.Version, r.Prefix = "", "", p } }
	upstream := func(u ...string) func(*Route) { return func(r *Route) { r.Upstreams = u } }
	for name, tc := range map[string]struct {
		change func(*Route)
		field  string
		says   string
	}{
		"name with a line end": {func(r *Route) { r.Name = "a\nb" }, "name", "bytes of text"},
		"name too long":        {func(r *Route) { r.Name = strings.Repeat("a", 201) }, "name", "200"},
		"id with a line end":   {func(r *Route) { r.ID = "a\nb" }, "id", "not an id"},

		"not an address":      {func(r *Route) { r.Domain, r.Version = "", "" }, "domain", "needs an address"},
		"no version":          {func(r *Route) { r.Version = "" }, "version", "as in v1"},
		"no domain":           {func(r *Route) { r.Domain = "" }, "domain", "market-data"},
		"both addresses":      {func(r *Route) { r.Prefix = "/x" }, "prefix", "leave out one"},
		"domain with slash":   {func(r *Route) { r.Domain = "a/b" }, "domain", "a/b"},
		"domain of dots":      {func(r *Route) { r.Domain = ".." }, "domain", ".."},
		"domain too long":     {func(r *Route) { r.Domain = long }, "domain", "64"},
		"domain with escape":  {func(r *Route) { r.Domain = "a%20b" }, "domain", "letters"},
		"version with ;":      {func(r *Route) { r.Version = "v1;x" }, "version", "letters"},
		"prefix relative":     {prefix("a"), "prefix", "begin with /"},
		"prefix slash at end": {prefix("/a/"), "prefix", "end with /"},
		"prefix double slash": {prefix("/a//b"), "prefix", "segment"},
		"prefix dots":         {prefix("/a/../b"), "prefix", "segment"},
		"prefix umlaut":       {prefix("/ü"), "prefix", "segment"},
		"prefix too deep":     {prefix(strings.Repeat("/a", 17)), "prefix", "16 segments"},

		"ours":                     {func(r *Route) { r.Domain = "oauth" }, "domain", "own paths at any host"},
		"ours, in other letters":   {func(r *Route) { r.Domain = "OAuth" }, "domain", "own paths"},
		"ours, by prefix":          {prefix("/.well-known/openid-configuration"), "prefix", "own paths"},
		"ours, at our host":        {func(r *Route) { r.Domain, r.Host = "login", "ID.example.com" }, "domain", "id.example.com, which is the server's own"},
		"ours, at our host's port": {func(r *Route) { r.Domain, r.Host = "login", "localhost" }, "domain", "localhost, which is the server's own"},
		"ours, by wildcard":        {func(r *Route) { r.Domain, r.Host = "login", "*.example.com" }, "domain", "id.example.com, which is the server's own"},
		"everything":               {prefix("/"), "prefix", "cover every path at any host"},
		"everything of our host":   {func(r *Route) { prefix("/")(r); r.Host = "id.example.com" }, "prefix", "cover every path at id.example.com"},

		"host with scheme":       {func(r *Route) { r.Host = "https://a.test" }, "host", "is a URL"},
		"host with port":         {func(r *Route) { r.Host = "a.test:443" }, "host", "names a port"},
		"host with path":         {func(r *Route) { r.Host = "a.test/x" }, "host", "not a host name"},
		"host with star within":  {func(r *Route) { r.Host = "a.*.test" }, "host", "only be at the beginning"},
		"host of a star":         {func(r *Route) { r.Host = "*" }, "host", "only be at the beginning"},
		"host with empty label":  {func(r *Route) { r.Host = "a..test" }, "host", "not a host name"},
		"host with dot at end":   {func(r *Route) { r.Host = "a.test." }, "host", "not a host name"},
		"host with dash":         {func(r *Route) { r.Host = "-a.test" }, "host", "not a host name"},
		"host in other letters":  {func(r *Route) { r.Host = "bücher.test" }, "host", "xn--"},
		"host with a long label": {func(r *Route) { r.Host = long + ".test" }, "host", "not a host name"},

		"not an upstream":      {upstream(), "upstreams", "needs an upstream"},
		"too many upstreams":   {upstream(make([]string, 65)...), "upstreams", "at most 64"},
		"upstream twice":       {upstream("http://a", "http://b", "http://a"), "upstreams", "twice"},
		"upstream without //":  {upstream("a:8000"), "upstreams", "write it as"},
		"upstream by ftp":      {upstream("ftp://a"), "upstreams", "write it as"},
		"upstream of no host":  {upstream("http:///x"), "upstreams", "write it as"},
		"upstream opaque":      {upstream("http:a"), "upstreams", "write it as"},
		"upstream with query":  {upstream("http://a?x=1"), "upstreams", "query"},
		"upstream with ?":      {upstream("http://a?"), "upstreams", "query"},
		"upstream with #":      {upstream("http://a/#"), "upstreams", "fragment"},
		"upstream port 0":      {upstream("http://a:0"), "upstreams", "65535"},
		"upstream port 65536":  {upstream("http://a:65536"), "upstreams", "65535"},
		"upstream empty port":  {upstream("http://a:"), "upstreams", "65535"},
		"upstream with dots":   {upstream("http://a/x/../y"), "upstreams", "ambiguous"},
		"upstream with %2f":    {upstream("http://a/x%2fy"), "upstreams", "ambiguous"},
		"upstream with space":  {upstream("http://a/x y"), "upstreams", "not an address"},
		"upstream is ourself":  {upstream("https://ID.example.com:443/shop"), "upstreams", "would loop"},
		"upstream too long":    {upstream("http://a/" + strings.Repeat("a", 2048)), "upstreams", "not an address"},
		"timeout negative":     {func(r *Route) { r.Timeout = -1 }, "timeout", "not a timeout"},
		"timeout too long":     {func(r *Route) { r.Timeout = Duration(25 * time.Hour) }, "timeout", "not a timeout"},
		"body limit negative":  {func(r *Route) { r.BodyLimit = -1 }, "body_limit", "0 for no limit"},
		"method in small":      {func(r *Route) { r.Methods = []string{"get"} }, "methods", "capitals"},
		"method empty":         {func(r *Route) { r.Methods = []string{""} }, "methods", "capitals"},
		"method CONNECT":       {func(r *Route) { r.Methods = []string{"CONNECT"} }, "methods", "cannot be passed on"},
		"method TRACE":         {func(r *Route) { r.Methods = []string{"TRACE"} }, "methods", "cannot be passed on"},
		"too many methods":     {func(r *Route) { r.Methods = slices.Repeat([]string{"GET"}, 257) }, "methods", "256"},
		"origin with path":     {func(r *Route) { r.CORS = []string{"https://a.test/"} }, "cors", "not an origin"},
		"origin null":          {func(r *Route) { r.CORS = []string{"null"} }, "cors", "not an origin"},
		"origin in capitals":   {func(r *Route) { r.CORS = []string{"https://A.test"} }, "cors", "lower case"},
		"origin with a star":   {func(r *Route) { r.CORS = []string{"*", "https://a.test"} }, "cors", "any origin"},
		"origin, default port": {func(r *Route) { r.CORS = []string{"https://a.test:443"} }, "cors", "leave out the port"},
		"caller, no origin":    {func(r *Route) { r.Origins = []string{"app.test"} }, "origins", "not an origin"},
		"caller, any origin":   {func(r *Route) { r.Origins = []string{"*"} }, "origins", "not an origin"},
		"caller, null":         {func(r *Route) { r.Origins = []string{"null"} }, "origins", "not an origin"},
		"caller, default port": {func(r *Route) { r.Origins = []string{"http://a.test:80"} }, "origins", "leave out the port"},
		"origin with user":     {func(r *Route) { r.CORS = []string{"https://u@a.test"} }, "cors", "not an origin"},

		"scope with space":     {func(r *Route) { r.Scopes = []string{"a b"} }, "scopes", "not a scope"},
		"scope empty":          {func(r *Route) { r.Scopes = []string{""} }, "scopes", "not a scope"},
		"scope with quote":     {func(r *Route) { r.Scopes = []string{`a"`} }, "scopes", "not a scope"},
		"role empty":           {func(r *Route) { r.Roles = []string{""} }, "roles", "not a role"},
		"role with line end":   {func(r *Route) { r.Roles = []string{"a\n"} }, "roles", "not a role"},
		"client empty":         {func(r *Route) { r.Clients = []string{""} }, "clients", "not a client id"},
		"network of words":     {func(r *Route) { r.Networks = []string{"office"} }, "networks", "not an address"},
		"network too long":     {func(r *Route) { r.Networks = []string{"10.0.0.0/33"} }, "networks", "not a network"},
		"network with bits":    {func(r *Route) { r.Networks = []string{"10.1.2.3/8"} }, "networks", "did you mean 10.0.0.0/8"},
		"network mapped":       {func(r *Route) { r.Networks = []string{"::ffff:10.0.0.0/104"} }, "networks", "write it as IPv4"},
		"address with a zone":  {func(r *Route) { r.Networks = []string{"fe80::1%eth0"} }, "networks", "not an address"},
		"audience with space":  {func(r *Route) { r.Audiences = []string{"a b"} }, "audiences", "not an audience"},
		"issuer unknown":       {func(r *Route) { r.Issuers = []string{"auht0"} }, "issuers", "did you mean auth0"},
		"issuer unlike others": {func(r *Route) { r.Issuers = []string{"something else"} }, "issuers", "known are auth0, keycloak"},
		"acr unknown":          {func(r *Route) { r.ACR = "aal3" }, "acr", "write aal1 or aal2"},
		"max age negative":     {func(r *Route) { r.MaxAge = -1 }, "max_age", "not an age"},
		"max age too long":     {func(r *Route) { r.MaxAge = Duration(400 * 24 * time.Hour) }, "max_age", "not an age"},
		"max age in parts":     {func(r *Route) { r.MaxAge = Duration(1500 * time.Millisecond) }, "max_age", "whole seconds"},

		"rate below none":     {func(r *Route) { r.Rate = -2 }, "rate", "-1 for none"},
		"rate too large":      {func(r *Route) { r.Rate = maxRate + 1 }, "rate", "not a rate"},
		"rate per a moment":   {func(r *Route) { r.Rate, r.RatePer = 1, Duration(time.Millisecond) }, "rate_per", "1s to 24h"},
		"rate per a week":     {func(r *Route) { r.Rate, r.RatePer = 1, Duration(7*24*time.Hour) }, "rate_per", "1s to 24h"},
		"rate per of no rate": {func(r *Route) { r.RatePer = Duration(time.Minute) }, "rate_per", "add a rate"},
		"rate by colour":      {func(r *Route) { r.RateBy = "colour" }, "rate_by", "address, client or user"},
		"health relative":     {func(r *Route) { r.HealthPath = "healthz" }, "health_path", "such as /healthz"},
		"health with dots":    {func(r *Route) { r.HealthPath = "/../x" }, "health_path", "such as /healthz"},
		"health line end":     {func(r *Route) { r.HealthPath = "/x?a\r\nb" }, "health_path", "such as /healthz"},
		"health too often":    {func(r *Route) { r.HealthPath, r.HealthEvery = "/", Duration(time.Millisecond) }, "health_every", "1s to 1h"},
		"health of no path":   {func(r *Route) { r.HealthEvery = Duration(time.Second) }, "health_every", "add that"},

		"everyone, with scopes":  {func(r *Route) { r.Unidentified, r.Scopes = true, []string{"a"} }, "scopes", "allow_unidentified"},
		"everyone, with roles":   {func(r *Route) { r.Unidentified, r.Roles = true, []string{"a"} }, "roles", "allow_unidentified"},
		"everyone, with clients": {func(r *Route) { r.Unidentified, r.Clients = true, []string{"a"} }, "clients", "allow_unidentified"},
		"everyone, with acr":     {func(r *Route) { r.Unidentified, r.ACR = true, "aal1" }, "acr", "allow_unidentified"},
		"everyone, with age":     {func(r *Route) { r.Unidentified, r.MaxAge = true, Duration(time.Hour) }, "max_age", "allow_unidentified"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(shop(tc.change), options())
			if field := invalid(t, err); field != tc.field || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s: %v; want %s, and %q in it", field, err, tc.field, tc.says)
			}
			if len(err.Error()) > 600 {
				t.Errorf("the message has %d bytes", len(err.Error()))
			}
		})
	}
}

// What may hold a password is not repeated.
// A page at any host would also be one at the issuer's.
func TestBrowserRoutesNeedAHost(t *testing.T) {
	r := Route{Domain: "wiki", Version: "v1", Browser: true, Upstreams: []string{"http://10.0.0.1"}}
	_, err := Compile(r, Options{})
	var e *fault.Error
	if !errors.As(err, &e) || e.Field != "browser" || !fault.Is(err, fault.Invalid) {
		t.Errorf("without a host: %v", err)
	}
	r.Host = "wiki.example.com"
	if _, err := Compile(r, Options{}); err != nil {
		t.Errorf("with a host: %v", err)
	}
}

func TestCompileKeepsPasswordsToItself(t *testing.T) {
	for _, u := range []string{"http://admin:hunter2@a", "http://admin:hunter2@a:x", "http://admin:hunter2@ a"} {
		_, err := Compile(shop(func(r *Route) { r.Upstreams = []string{u} }), options())
		if invalid(t, err); strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", u, err)
		}
	}
}

func TestNoIssuerKnown(t *testing.T) {
	o := options()
	o.Issuers = nil
	_, err := Compile(shop(func(r *Route) { r.Issuers = []string{"auth0"} }), o)
	if invalid(t, err); !strings.Contains(err.Error(), "describe it in the routes file") {
		t.Error(err)
	}
}

func TestNormalHost(t *testing.T) {
	for in, want := range map[string]string{"": "", "A.Test": "a.test", "*.A.Test": "*.a.test", "[::1]": "::1", "192.0.2.1": "192.0.2.1"} {
		if got, err := NormalHost(in); err != nil || got != want {
			t.Errorf("NormalHost(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	if got, err := NormalHost("a test"); invalid(t, err) != "host" || got != "" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHostOnly(t *testing.T) {
	for in, want := range map[string]string{
		"A.test": "a.test", "a.test:80": "a.test", "[::1]:80": "::1", "[::1]": "::1", "::1": "::1", "127.0.0.1:8": "127.0.0.1", "a.test.": "a.test", "": "",
	} {
		if got := hostOnly(in); got != want {
			t.Errorf("hostOnly(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestClip(t *testing.T) {
	for _, s := range []string{strings.Repeat("a", 300), strings.Repeat("ü", 300), "a" + strings.Repeat("ü", 300), strings.Repeat("\x80", 300)} {
		if got := clip(s); len(got) > maxShown+3 || !strings.HasPrefix(s, strings.TrimSuffix(got, "…")) {
			t.Errorf("clip(%.9q…) = %q", s, got)
		}
	}
	list := make([]string, 100)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	if got := shown(list...); len(got) != maxShownList || got[len(got)-1] != "…" {
		t.Errorf("shown: %q", got)
	}
}
