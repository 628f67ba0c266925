package access

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// Outcomes of a story.
const (
	Pass   outcome = iota + 1
	Login          // 401: another credential, or signing in, may help
	StepUp         // 401: signing in again, or more strongly, may help (RFC 9470)
	Deny           // 403, or 405 by the rule method
)

type outcome int

// outcomeOf returns the outcome that a denial stands for, and checks that its parts agree.
func outcomeOf(t testing.TB, d *Denial) outcome {
	t.Helper()
	if d == nil {
		return Pass
	}
	want := map[outcome]int{Login: 401, StepUp: 401, Deny: 403}
	got := Deny
	switch {
	case d.Code == CodeStepUp:
		got = StepUp
	case d.SignIn:
		got = Login
	case d.Rule == "method":
		want[Deny] = 405
	}
	if d.Status != want[got] || d.Public == "" || d.SignIn != (got != Deny) {
		t.Errorf("status %d, text %q, sign in %v", d.Status, d.Public, d.SignIn)
	}
	return got
}

// challengeCode returns the code that a denial's challenge carries, or "".
func challengeCode(d *Denial) string { return d.Recorded().Code }

// A story is one request to one route.
type story struct {
	route  func(*Route)
	target func(*Target)
	caller func(*Caller)
	nobody bool // the caller starts from nothing
	want   outcome
	rule   string // that denies
	code   string
}

func (s story) decide(t testing.TB) *Denial {
	t.Helper()
	c, to, who := compiled(t, shop(s.route)), target(), byToken()
	if s.nobody {
		who = &Caller{}
	}
	if s.target != nil {
		s.target(to)
	}
	if s.caller != nil {
		s.caller(who)
	}
	return c.Decide(to, who)
}

func check(t *testing.T, stories map[string]story) {
	t.Helper()
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			d := s.decide(t)
			if got := outcomeOf(t, d); got != s.want {
				t.Fatalf("outcome %d, want %d; %+v", got, s.want, d)
			}
			if s.want == Pass {
				return
			}
			if d.Rule != s.rule || challengeCode(d) != s.code {
				t.Errorf("rule %q, code %q; want %q, %q", d.Rule, challengeCode(d), s.rule, s.code)
			}
			for _, words := range []string{d.Reason, d.Remedy} {
				if !strings.HasSuffix(words, ".") || len(words) > 1000 {
					t.Errorf("%q is no sentence", words)
				}
			}
		})
	}
}

func TestMethod(t *testing.T) {
	only := func(r *Route) { r.Methods = []string{"GET", "HEAD"} }
	check(t, map[string]story{
		"any":       {target: func(t *Target) { t.Method = "PATCH" }, want: Pass},
		"listed":    {route: only, want: Pass},
		"another":   {route: only, target: func(t *Target) { t.Method = "POST" }, want: Deny, rule: "method"},
		"in small":  {route: only, target: func(t *Target) { t.Method = "get" }, want: Deny, rule: "method"},
		"long":      {route: only, target: func(t *Target) { t.Method = strings.Repeat("A", 5000) }, want: Deny, rule: "method"},
		"of nobody": {route: only, nobody: true, target: func(t *Target) { t.Method = "POST" }, want: Deny, rule: "method"},
	})
}

func TestHost(t *testing.T) {
	one, wild := func(r *Route) { r.Host = "shop.test" }, func(r *Route) { r.Host = "*.test" }
	host := func(h string) func(*Target) { return func(t *Target) { t.Host = h } }
	aud := func(c *Caller) { c.Audience = []string{issuer} }
	check(t, map[string]story{
		"this":            {route: one, target: host("shop.test"), caller: aud, want: Pass},
		"with a dot":      {route: one, target: host("shop.test."), want: Pass},
		"another":         {route: one, target: host("evil.test"), want: Deny, rule: "host"},
		"below":           {route: wild, target: host("a.b.test"), want: Pass},
		"wildcard itself": {route: wild, target: host("test"), want: Deny, rule: "host"},
		"wildcard, empty": {route: wild, target: host(".test"), want: Deny, rule: "host"},
		"beside":          {route: wild, target: host("a.nottest"), want: Deny, rule: "host"},
	})
}

func TestNetwork(t *testing.T) {
	office := func(r *Route) { r.Networks = []string{"192.0.2.0/24", "2001:db8::/32", "198.51.100.9"} }
	from := func(s string) func(*Target) { return func(t *Target) { t.IP = netip.MustParseAddr(s) } }
	check(t, map[string]story{
		"inside":           {route: office, want: Pass},
		"inside, IPv6":     {route: office, target: from("2001:db8::7"), want: Pass},
		"with a zone":      {route: office, target: from("2001:db8::7%eth0"), want: Pass},
		"mapped":           {route: office, target: from("::ffff:192.0.2.9"), want: Pass},
		"single":           {route: office, target: from("198.51.100.9"), want: Pass},
		"beside":           {route: office, target: from("198.51.100.8"), want: Deny, rule: "network"},
		"unknown":          {route: office, target: func(t *Target) { t.IP = netip.Addr{} }, want: Deny, rule: "network"},
		"before the login": {route: office, nobody: true, target: from("198.51.100.8"), want: Deny, rule: "network"},
		"everyone within": {
			route:  func(r *Route) { office(r); r.Unidentified = true },
			nobody: true, want: Pass,
		},
	})
}

// The client's own restrictions hold on every route, whatever the route says.
func TestRestrictions(t *testing.T) {
	home := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	away := func(t *Target) { t.IP = netip.MustParseAddr("203.0.113.1") }
	routes := func(l ...string) func(*Caller) { return func(c *Caller) { c.Routes = l } }
	hosts := func(l ...string) func(*Caller) { return func(c *Caller) { c.Hosts = l } }
	origins := func(c *Caller) { c.Origins = []string{"https://a.test", "https://b.test"} }
	from := func(o string) func(*Target) { return func(t *Target) { t.Origin = o } }
	open := func(r *Route) { r.Unidentified = true }
	check(t, map[string]story{
		"network":                 {caller: func(c *Caller) { c.Networks = home }, want: Pass},
		"other network":           {caller: func(c *Caller) { c.Networks = home }, target: away, want: Deny, rule: "network"},
		"other network, open":     {route: open, caller: func(c *Caller) { c.Networks = home }, target: away, want: Deny, rule: "network"},
		"origin":                  {caller: origins, target: from("https://b.test"), want: Pass},
		"no origin":               {caller: origins, want: Deny, rule: "origin"},
		"other origin":            {caller: origins, target: from("https://b.test:8443"), want: Deny, rule: "origin"},
		"other spelling":          {caller: origins, target: from("https://B.test"), want: Deny, rule: "origin"},
		"origin, open":            {route: open, caller: origins, want: Deny, rule: "origin"},
		"host":                    {caller: hosts("x.test", "id.example.com"), want: Pass},
		"host by wildcard":        {caller: hosts("*.example.com"), want: Pass},
		"other host":              {caller: hosts("example.com", "*.test", ""), want: Deny, rule: "host"},
		"route by version":        {caller: routes("shop/v1"), want: Pass},
		"route by domain":         {caller: routes("bank", "shop"), want: Pass},
		"route by id":             {caller: routes("0190-1"), want: Pass},
		"other version":           {caller: routes("shop/v2"), want: Deny, rule: "route"},
		"other route":             {caller: routes("bank", ""), want: Deny, rule: "route"},
		"part of a domain":        {caller: routes("sho", "shop/"), want: Deny, rule: "route"},
		"empty entry, no domain":  {route: func(r *Route) { r.Domain, r.Version, r.Prefix = "", "", "/x" }, caller: routes(""), want: Deny, rule: "route"},
		"slash entry, no domain":  {route: func(r *Route) { r.Domain, r.Version, r.Prefix = "", "", "/x" }, caller: routes("/"), want: Deny, rule: "route"},
		"before the route's rule": {route: func(r *Route) { r.Networks = []string{"192.0.2.0/24"} }, caller: routes("bank"), target: away, want: Deny, rule: "route"},
	})
}

func TestCredential(t *testing.T) {
	open := func(r *Route) { r.Unidentified = true }
	id := func(r *Route) { r.ClientID = true }
	is := func(c Caller) func(*Caller) { return func(who *Caller) { *who = c } }
	past, later := noon, noon.Add(time.Second)
	check(t, map[string]story{
		"nobody":                    {nobody: true, want: Login, rule: "credential"},
		"nobody, open":              {nobody: true, route: open, want: Pass},
		"nobody, browser":           {nobody: true, route: func(r *Route) { r.Browser, r.Host = true, target().Host }, want: Login, rule: "credential"},
		"nobody, client id would":   {nobody: true, route: id, want: Login, rule: "credential"},
		"token":                     {want: Pass},
		"token of nobody":           {caller: is(Caller{By: ByToken, Audience: []string{issuer}}), want: Login, rule: "credential"},
		"token until later":         {caller: func(c *Caller) { c.Expires = later }, want: Pass},
		"token expired":             {caller: func(c *Caller) { c.Expires = past }, want: Login, rule: "credential", code: CodeInvalidToken},
		"token expired, open":       {route: open, caller: func(c *Caller) { c.Expires = past }, want: Login, rule: "credential", code: CodeInvalidToken},
		"session":                   {caller: is(Caller{By: BySession, User: "u1", Session: "s1"}), want: Pass},
		"session of nobody":         {caller: is(Caller{By: BySession, Session: "s1"}), want: Login, rule: "credential"},
		"session expired":           {caller: is(Caller{By: BySession, User: "u1", Expires: past}), want: Login, rule: "credential"},
		"app":                       {caller: is(Caller{By: ByApp, User: "u1", Client: "spa"}), want: Pass},
		"secret":                    {caller: is(Caller{By: BySecret, Client: "robot", Proven: true}), want: Pass},
		"secret not proven":         {caller: is(Caller{By: BySecret, Client: "robot"}), want: Login, rule: "credential"},
		"client id":                 {caller: is(Caller{By: ByClientID, Client: "web"}), want: Login, rule: "credential"},
		"client id, allowed":        {route: id, caller: is(Caller{By: ByClientID, Client: "web"}), want: Pass},
		"client id, open":           {route: open, caller: is(Caller{By: ByClientID, Client: "web"}), want: Pass},
		"client id empty":           {route: id, caller: is(Caller{By: ByClientID}), want: Login, rule: "credential"},
		"by a way we do not know":   {caller: is(Caller{By: "magic", User: "u1", Client: "web", Proven: true}), want: Login, rule: "credential"},
		"by nothing, yet with name": {caller: is(Caller{User: "u1", Client: "web", Proven: true}), want: Login, rule: "credential"},
	})
}

// RFC 8725 §3.9: a token for another API opens nothing here.
func TestAudience(t *testing.T) {
	aud := func(l ...string) func(*Caller) { return func(c *Caller) { c.Audience = l } }
	foreign := func(l ...string) func(*Caller) {
		return func(c *Caller) { c.By, c.Issuer, c.Audience = ByForeign, "auth0", l }
	}
	named := func(r *Route) { r.Audiences = []string{"https://api.test", "shop"} }
	auth0 := func(r *Route) { r.Issuers = []string{"auth0"} }
	denied := story{want: Login, rule: "audience", code: CodeInvalidToken}
	with := func(s story, route func(*Route), caller func(*Caller)) story {
		s.route, s.caller = route, caller
		return s
	}
	pass := story{want: Pass}
	wild := func(r *Route) { r.Host = "*.shop.test" }
	at := func(s story, host string) story {
		s.target = func(t *Target) { t.Host = host }
		return s
	}
	check(t, map[string]story{
		"issuer":                   with(pass, nil, aud("x", issuer)),
		"resource":                 with(pass, nil, aud(issuer+"/shop/v1")),
		"none":                     with(denied, nil, aud()),
		"empty":                    with(denied, nil, aud("")),
		"another route":            with(denied, nil, aud(issuer+"/shop/v2")),
		"a longer one":             with(denied, nil, aud(issuer+"/shop/v1/x")),
		"with a slash":             with(denied, nil, aud(issuer+"/shop/v1/")),
		"the client's id":          with(denied, nil, aud("web")),
		"open, for another":        with(denied, func(r *Route) { r.Unidentified = true }, aud("x")),
		"named":                    with(pass, named, aud("shop")),
		"named, for the issuer":    with(denied, named, aud(issuer)),
		"named, for the resource":  with(denied, named, aud(issuer+"/shop/v1")),
		"foreign":                  with(pass, auth0, foreign("anything")),
		"foreign, named":           with(pass, func(r *Route) { auth0(r); named(r) }, foreign("shop")),
		"foreign, named, another":  with(denied, func(r *Route) { auth0(r); named(r) }, foreign("anything")),
		"app":                      with(pass, nil, func(c *Caller) { c.By, c.Audience = ByApp, nil }),
		"app, for another":         with(denied, nil, func(c *Caller) { c.By, c.Audience = ByApp, []string{"x"} }),
		"session":                  with(pass, nil, func(c *Caller) { c.By, c.Audience = BySession, nil }),
		"wildcard":                 at(with(pass, wild, aud("https://*.shop.test/shop/v1")), "a.shop.test"),
		"wildcard, this host":      at(with(pass, wild, aud("https://a.shop.test/shop/v1")), "a.shop.test"),
		"wildcard, another host":   at(with(denied, wild, aud("https://b.shop.test/shop/v1")), "a.shop.test"),
		"wildcard, another path":   at(with(denied, wild, aud("https://a.shop.test/shop/v2")), "a.shop.test"),
		"wildcard, another scheme": at(with(denied, wild, aud("http://a.shop.test/shop/v1")), "a.shop.test"),
		"root": at(with(pass, func(r *Route) { r.Domain, r.Version, r.Prefix, r.Host = "", "", "/", "a.test" },
			aud("https://a.test")), "a.test"),
		"root with a slash": at(with(pass, func(r *Route) { r.Domain, r.Version, r.Prefix, r.Host = "", "", "/", "a.test" },
			aud("https://a.test/")), "a.test"),
	})
}

// A server that does not know its own address takes no token for granted.
func TestAudienceWithoutIssuer(t *testing.T) {
	c, err := Compile(shop(nil), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, aud := range []string{"", "/", "/shop/v1", "/shop/v1/"} {
		who := byToken()
		who.Audience = []string{aud}
		if d := c.Decide(target(), who); outcomeOf(t, d) != Login {
			t.Errorf("audience %q: %+v", aud, d)
		}
	}
}

func TestIssuer(t *testing.T) {
	auth0 := func(r *Route) { r.Issuers = []string{"auth0"} }
	of := func(name string) func(*Caller) { return func(c *Caller) { c.By, c.Issuer = ByForeign, name } }
	check(t, map[string]story{
		"ours":                  {route: auth0, want: Pass},
		"named":                 {route: auth0, caller: of("auth0"), want: Pass},
		"another":               {route: auth0, caller: of("keycloak"), want: Login, rule: "issuer", code: CodeInvalidToken},
		"none named":            {caller: of("auth0"), want: Login, rule: "issuer", code: CodeInvalidToken},
		"foreign without name":  {route: auth0, caller: of(""), want: Login, rule: "issuer", code: CodeInvalidToken},
		"foreign, by a session": {caller: func(c *Caller) { c.By, c.Issuer = BySession, "auth0" }, want: Login, rule: "issuer", code: CodeInvalidToken},
		"open":                  {route: func(r *Route) { r.Unidentified = true }, caller: of("auth0"), want: Login, rule: "issuer", code: CodeInvalidToken},
	})
}

func TestClient(t *testing.T) {
	web := func(r *Route) { r.Clients, r.Issuers = []string{"web", "auth0:abc", "odd:id"}, []string{"auth0"} }
	is := func(issuer, id string) func(*Caller) {
		return func(c *Caller) {
			if c.Client = id; issuer != "" {
				c.By, c.Issuer = ByForeign, issuer
			}
		}
	}
	check(t, map[string]story{
		"listed":              {route: web, want: Pass},
		"another":             {route: web, caller: is("", "other"), want: Deny, rule: "client"},
		"none":                {route: web, caller: is("", ""), want: Deny, rule: "client"},
		"id with a colon":     {route: web, caller: is("", "odd:id"), want: Pass},
		"foreign":             {route: web, caller: is("auth0", "abc"), want: Pass},
		"foreign of our name": {route: web, caller: is("auth0", "web"), want: Deny, rule: "client"},
		"ours of theirs":      {route: web, caller: is("", "abc"), want: Deny, rule: "client"},
		"ours written theirs": {route: web, caller: is("", "auth0:abc"), want: Deny, rule: "client"},
	})
}

// RFC 6750 §3.1: the challenge names all the scopes that are needed.
func TestScope(t *testing.T) {
	two := func(r *Route) { r.Scopes = []string{"read", "write"} }
	has := func(l ...string) func(*Caller) { return func(c *Caller) { c.Scopes = l } }
	check(t, map[string]story{
		"both":          {route: two, caller: has("write", "x", "read"), want: Pass},
		"one":           {route: two, caller: has("read"), want: Deny, rule: "scope", code: CodeInsufficientScope},
		"none":          {route: two, caller: has(), want: Deny, rule: "scope", code: CodeInsufficientScope},
		"other letters": {route: two, caller: has("READ", "WRITE"), want: Deny, rule: "scope", code: CodeInsufficientScope},
		"session": {
			route: two, caller: func(c *Caller) { *c = Caller{By: BySession, User: "u1"} },
			want: Deny, rule: "scope", code: CodeInsufficientScope,
		},
	})
	d := story{route: two, caller: has("read")}.decide(t)
	if !slices.Equal(d.Challenge.Scope, []string{"read", "write"}) || !slices.Equal(d.Had, []string{"read"}) || strings.Contains(d.Reason, "read") {
		t.Errorf("%+v", d)
	}
	if d := (story{route: two, nobody: true}).decide(t); !slices.Equal(d.Challenge.Scope, []string{"read", "write"}) {
		t.Errorf("for nobody: %+v", d)
	}
}

func TestRole(t *testing.T) {
	buyers := func(r *Route) { r.Roles, r.ClientID = []string{"buyer", "seller"}, true }
	alone := func(by string, proven bool, roles ...string) func(*Caller) {
		return func(c *Caller) {
			*c = Caller{By: by, Client: "robot", Subject: "robot", Proven: proven, ClientRoles: roles, Audience: []string{issuer}}
		}
	}
	check(t, map[string]story{
		"the user's":                     {route: buyers, want: Pass},
		"the user's other":               {route: buyers, caller: func(c *Caller) { c.UserRoles = []string{"guest"} }, want: Deny, rule: "role"},
		"the user's none":                {route: buyers, caller: func(c *Caller) { c.UserRoles = nil }, want: Deny, rule: "role"},
		"the client's, but for a user":   {route: buyers, caller: func(c *Caller) { c.UserRoles, c.ClientRoles = nil, []string{"buyer"} }, want: Deny, rule: "role"},
		"the client's, by token":         {route: buyers, caller: alone(ByToken, true, "seller"), want: Pass},
		"the client's, by secret":        {route: buyers, caller: alone(BySecret, true, "seller"), want: Pass},
		"the client's, by its id alone":  {route: buyers, caller: alone(ByClientID, false, "seller"), want: Deny, rule: "role"},
		"the client's, another":          {route: buyers, caller: alone(ByToken, true, "guest"), want: Deny, rule: "role"},
		"the user's, in a session":       {route: buyers, caller: func(c *Caller) { c.By, c.Audience = BySession, nil }, want: Pass},
		"the user's, in capital letters": {route: buyers, caller: func(c *Caller) { c.UserRoles = []string{"BUYER"} }, want: Deny, rule: "role"},
	})
}

// RFC 9470 §3: the challenge says what sign-in would do.
func TestStepUp(t *testing.T) {
	strong := func(r *Route) { r.ACR = "aal2" }
	recent := func(r *Route) { r.MaxAge = Duration(5 * time.Minute) }
	both := func(r *Route) { strong(r); recent(r) }
	signed := func(acr string, ago time.Duration) func(*Caller) {
		return func(c *Caller) { c.ACR, c.AuthTime = acr, noon.Add(-ago) }
	}
	alone := func(c *Caller) {
		*c = Caller{By: ByToken, Client: "robot", Subject: "robot", Audience: []string{issuer}}
	}
	check(t, map[string]story{
		"strong enough":      {route: strong, caller: signed("aal2", time.Hour), want: Pass},
		"stronger":           {route: func(r *Route) { r.ACR = "aal1" }, caller: signed("aal2", time.Hour), want: Pass},
		"weaker":             {route: strong, caller: signed("aal1", 0), want: StepUp, rule: "acr", code: CodeStepUp},
		"unknown strength":   {route: func(r *Route) { r.ACR = "aal1" }, caller: signed("urn:x", 0), want: StepUp, rule: "acr", code: CodeStepUp},
		"no strength":        {route: strong, caller: signed("", 0), want: StepUp, rule: "acr", code: CodeStepUp},
		"client alone":       {route: strong, caller: alone, want: Deny, rule: "acr"},
		"just now":           {route: recent, caller: signed("aal1", 0), want: Pass},
		"at the limit":       {route: recent, caller: signed("aal1", 5*time.Minute), want: Pass},
		"too long ago":       {route: recent, caller: signed("aal1", 5*time.Minute+1), want: StepUp, rule: "age", code: CodeStepUp},
		"clock a bit ahead":  {route: recent, caller: signed("aal1", -time.Minute), want: Pass},
		"from the future":    {route: recent, caller: signed("aal1", -2*time.Minute), want: StepUp, rule: "age", code: CodeStepUp},
		"at no time":         {route: recent, caller: func(c *Caller) { c.AuthTime = time.Time{} }, want: StepUp, rule: "age", code: CodeStepUp},
		"client alone, age":  {route: recent, caller: alone, want: Deny, rule: "age"},
		"strong and recent":  {route: both, caller: signed("aal2", time.Minute), want: Pass},
		"strong, not recent": {route: both, caller: signed("aal2", time.Hour), want: StepUp, rule: "age", code: CodeStepUp},
		"recent, not strong": {route: both, caller: signed("aal1", time.Minute), want: StepUp, rule: "acr", code: CodeStepUp},
	})
	for _, c := range []func(*Caller){signed("aal1", 0), signed("aal2", time.Hour)} {
		d := story{route: both, caller: c}.decide(t)
		if d.Challenge.ACR != "aal2" || d.Challenge.MaxAge != Duration(5*time.Minute) {
			t.Errorf("the challenge of %s asks for %q and %s", d.Rule, d.Challenge.ACR, d.Challenge.MaxAge)
		}
	}
}

// The first rule that does not hold decides: each step mends one.
func TestOrder(t *testing.T) {
	c := compiled(t, shop(func(r *Route) {
		r.Methods, r.Host, r.Networks, r.Clients, r.Scopes, r.Roles = []string{"GET"}, "shop.test", []string{"10.0.0.0/8"}, []string{"web"}, []string{"buy"}, []string{"boss"}
		r.ACR, r.MaxAge, r.Issuers, r.Audiences = "aal2", Duration(time.Minute), []string{"auth0"}, []string{"shop"}
	}))
	to, who := target(), &Caller{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}
	to.Method = "POST"
	for _, step := range []struct {
		rule string
		mend func()
	}{
		{"method", func() { to.Method = "GET" }},
		{"host", func() { to.Host = "shop.test" }},
		{"network", func() { who.Networks = nil }},
		{"network", func() { to.IP = netip.MustParseAddr("10.2.0.1") }},
		{"credential", func() { who.By, who.User, who.Issuer, who.Client = ByForeign, "u1", "keycloak", "other" }},
		{"audience", func() { who.Audience = []string{"shop"} }},
		{"issuer", func() { who.By, who.Issuer = ByToken, "" }},
		{"client", func() { who.Client = "web" }},
		{"scope", func() { who.Scopes = []string{"buy"} }},
		{"role", func() { who.UserRoles = []string{"boss"} }},
		{"acr", func() { who.ACR = "aal2" }},
		{"age", func() { who.AuthTime = noon }},
	} {
		d := c.Decide(to, who)
		if d == nil || d.Rule != step.rule {
			t.Fatalf("decided by %+v, want %s", d, step.rule)
		}
		step.mend()
	}
	if d := c.Decide(to, who); d != nil {
		t.Errorf("%+v", d)
	}
}

// Whatever a stranger sends, what is kept of it is bounded.
func TestDenialsAreBounded(t *testing.T) {
	big := strings.Repeat("ü", 4000)
	list := slices.Repeat([]string{big}, 500)
	for _, s := range []story{
		{route: func(r *Route) { r.Scopes = []string{"buy"} }, caller: func(c *Caller) { c.Scopes = list }},
		{route: func(r *Route) { r.Roles = []string{"boss"} }, caller: func(c *Caller) { c.UserRoles = list }},
		{route: func(r *Route) { r.Clients = []string{"x"} }, caller: func(c *Caller) { c.Client = big }},
		{route: func(r *Route) { r.ACR = "aal2" }, caller: func(c *Caller) { c.ACR = big }},
		{route: func(r *Route) { r.Methods = []string{"GET"} }, target: func(t *Target) { t.Method = big }},
		{route: func(r *Route) { r.Host = "x.test" }, target: func(t *Target) { t.Host = big }},
		{caller: func(c *Caller) { c.Audience = list }},
		{caller: func(c *Caller) { c.By, c.Issuer = ByForeign, big }},
		{caller: func(c *Caller) { c.Hosts = []string{"x"}; c.Client = big }, target: func(t *Target) { t.Host = big }},
		{caller: func(c *Caller) { c.Origins = list[:1]; c.Client = big }, target: func(t *Target) { t.Origin = big + "x" }},
		{route: func(r *Route) { r.Origins = []string{"https://a.test"} }, target: func(t *Target) { t.Origin = big }},
		{caller: func(c *Caller) { c.Routes = list; c.Client = big }},
	} {
		d := s.decide(t)
		if d == nil {
			t.Fatal("passed")
		}
		b, err := json.Marshal(d.Recorded())
		if err != nil || len(b) > 16<<10 {
			t.Errorf("%s: %d bytes, %v", d.Rule, len(b), err)
		}
	}
}

// All that passes is decided without a single allocation.
func TestDecideAllocates(t *testing.T) {
	c := compiled(t, shop(func(r *Route) {
		r.Methods, r.Networks, r.Clients, r.Scopes, r.Roles = []string{"GET"}, []string{"192.0.2.0/24"}, []string{"web"}, []string{"read"}, []string{"buyer"}
		r.ACR, r.MaxAge, r.Host = "aal1", Duration(2*time.Hour), "*.example.org"
	}))
	to, who := target(), byToken()
	to.Host, who.Audience = "a.example.org", []string{"x", "https://a.example.org/shop/v1"}
	who.Networks, who.Hosts, who.Routes = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, []string{"*.example.org"}, []string{"shop"}
	if d := c.Decide(to, who); d != nil {
		t.Fatalf("%+v", d)
	}
	if n := testing.AllocsPerRun(100, func() { c.Decide(to, who) }); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	c := compiled(b, shop(func(r *Route) { r.Scopes = []string{"read"} }))
	to, who := target(), byToken()
	b.ReportAllocs()
	for b.Loop() {
		if c.Decide(to, who) != nil {
			b.Fatal("denied")
		}
	}
}
