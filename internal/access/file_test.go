package access

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/jose"
)

func TestReadFile(t *testing.T) {
	data, err := os.ReadFile("testdata/routes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := ReadFile(data)
	if err != nil {
		t.Fatal(err)
	}
	want := &File{
		Routes: []Route{
			{
				ID:        "file:shop/v1",
				Name:      "shop/v1",
				Domain:    "shop",
				Version:   "v1",
				Upstreams: []string{"http://10.0.0.5:8000", "http://10.0.0.6:8000"},
				Scopes:    []string{"read"},
			},
			{
				ID:        "file:ledger/1.10",
				Name:      "ledger/1.10",
				Domain:    "ledger",
				Version:   "1.10",
				Upstreams: []string{"h2c://ledger:9000"},
				ACR:       "aal2",
				MaxAge:    Duration(5 * time.Minute),
			},
			{
				ID: "file:The whole app", Name: "The whole app", Prefix: "/", Host: "*.example.com", Upstreams: []string{"https://app.internal/base"},
				KeepPath: true, KeepHost: true, RewriteLocation: true, EncodedSlash: true, Browser: true, Methods: []string{"GET"}, Timeout: Duration(10 * time.Second), BodyLimit: 1048576,
				CORS: []string{
					"https://app.example.com",
				}, Roles: []string{"staff"}, Clients: []string{"web"}, Networks: []string{"10.0.0.0/8"},
				Origins: []string{"https://app.example.com"}, PassBasic: true,
				Audiences: []string{
					"app",
				}, Issuers: []string{"auth0"}, ClientID: true, Rate: 100, RatePer: Duration(time.Second), RateBy: "user",
				HealthPath: "/healthz", HealthEvery: Duration(5 * time.Second),
			},
			{
				ID:           "file:2024-01-01/off",
				Name:         "2024-01-01/off",
				Domain:       "2024-01-01",
				Version:      "off",
				Upstreams:    []string{"http://a"},
				Inactive:     true,
				Unidentified: true,
				Rate:         -1,
			},
		},
		Issuers: []Issuer{
			{
				Name: "auth0", Issuer: "https://tenant.eu.auth0.com/", Audiences: []string{"https://api.example.com"}, Algs: jose.AssertionAlgorithms(),
				RolesClaim: "https://example.com/roles",
			},
			{
				Name: "keycloak", Issuer: "https://kc.example.com/realms/x", JWKSURI: "https://kc.example.com/certs", Audiences: []string{"account"}, Algs: []string{"ES256"},
				Introspection: &Introspection{
					URL:              "http://127.0.0.1:8081/introspect",
					ClientID:         "gw",
					ClientSecretFile: "/run/secrets/kc",
				},
				ScopesClaim: "scp", UserClaim: "preferred_username",
			},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestReadFileOfNothing(t *testing.T) {
	for _, s := range []string{"", "\n", "# only words\n", "---\n", "{}", "routes: []\nissuers: []\n"} {
		f, err := ReadFile([]byte(s))
		if err != nil || len(f.Routes)+len(f.Issuers) > 0 {
			t.Errorf("%q: %+v, %v", s, f, err)
		}
	}
}

// Every field that a route and an issuer have can be written, and comes back.
func TestEveryFieldCanBeFilled(t *testing.T) {
	for _, empty := range []func() any{
		func() any { return new(Route) }, func() any { return new(Issuer) }, func() any { return new(Introspection) },
	} {
		_, known := fieldsOf(reflect.ValueOf(empty()).Elem())
		for _, name := range known {
			v := empty()
			fields, _ := fieldsOf(reflect.ValueOf(v).Elem())
			value := map[reflect.Kind]string{
				reflect.String: "x", reflect.Bool: "true", reflect.Int: "7", reflect.Int64: "7",
				reflect.Slice: "[x]", reflect.Pointer: "{url: x}",
			}[fields[name].Kind()]
			root, err := parseYAML([]byte(name + ": " + value))
			if err != nil {
				t.Fatal(err)
			}
			if err := fill(root, "it", v); err != nil || fields[name].IsZero() {
				t.Errorf("%T.%s: %v", v, name, err)
			}
		}
	}
}

// The fields of a route have the names under which a route is stored, and all of them are there.
func TestRouteFieldsAreComplete(t *testing.T) {
	var names []string
	for _, f := range RouteFields() {
		names = append(names, f.Name)
		if f.Help == "" || !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%s: help %q", f.Name, f.Help)
		}
	}
	var want []string
	typ := reflect.TypeFor[Route]()
	for i := range typ.NumField() {
		name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if name != "-" && name != "id" && name != "created_at" && name != "updated_at" {
			want = append(want, name)
		}
	}
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("fields %v, want %v", names, want)
	}
}

func TestApplyPatch(t *testing.T) {
	patch := func(set map[string]string, clear ...string) *field.Patch[Route] {
		var p field.Patch[Route]
		for name, value := range set {
			f, _ := field.Named(RouteFields(), name)
			if err := p.Set(f, value); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range clear {
			f, _ := field.Named(RouteFields(), name)
			p.Clear(f)
		}
		return &p
	}
	full := Route{
		Domain:      "a",
		Version:     "v1",
		Rate:        5,
		RatePer:     Duration(time.Hour),
		RateBy:      RateByUser,
		HealthPath:  "/up",
		HealthEvery: Duration(time.Minute),
	}
	for name, tc := range map[string]struct {
		patch *field.Patch[Route]
		check func(*Route) bool
	}{
		"a prefix replaces the domain": {patch(map[string]string{"prefix": "/x"}), func(r *Route) bool { return r.Domain == "" && r.Version == "" && r.Prefix == "/x" }},
		"both stay to be rejected":     {patch(map[string]string{"prefix": "/x", "domain": "b"}), func(r *Route) bool { return r.Domain == "b" && r.Prefix == "/x" }},
		"no rate, nothing of it":       {patch(nil, "rate"), func(r *Route) bool { return r.Rate == 0 && r.RatePer == 0 && r.RateBy == "" }},
		"no health check":              {patch(nil, "health_path"), func(r *Route) bool { return r.HealthPath == "" && r.HealthEvery == 0 }},
		"the rest stays":               {patch(map[string]string{"methods": "get"}), func(r *Route) bool { return r.Methods[0] == "GET" && r.Rate == 5 && r.Domain == "a" }},
	} {
		r := full
		if r.ApplyPatch(tc.patch); !tc.check(&r) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestReadFileRefuses(t *testing.T) {
	const up = ", upstreams: [http://a]}\n"
	route := func(s string) string { return "routes:\n- {" + s + up }
	iss := func(s string) string {
		return "issuers:\n- " + strings.Join(
			strings.Split("name: auth0\nissuer: https://a.test\naudiences: [x]\n"+s, "\n"),
			"\n  ",
		)
	}
	for name, tc := range map[string]struct{ file, says string }{
		"no YAML":            {"routes: [", "not readable as YAML"},
		"star without quote": {"routes:\n- host: *.example.com\n", "line 2: did not find"},
		"star, unquoted":     {"routes:\n- host: *.example.com\n", `in quotes: "*.example.com"`},
		"alias of nothing":   {"routes:\n- host: *example\n", `in quotes: "*.example.com"`},
		"a list":             {"- a\n", "line 1: the file must be lines"},
		"a word":             {"routes", "line 1: the file must be lines"},
		"two documents":      {"routes: []\n---\nissuers: []\n", "second YAML document"},
		"unknown top name":   {"\nroute: []\n", `line 2: "route" is not a known name; did you mean routes?`},
		"unlike any name":    {"something_else: []\n", "known are routes, issuers"},
		"unknown name":       {"routes:\n- domain: shop\n  version: v1\n  scops: [a]\n", `line 4: "scops" is not a known name; did you mean scopes?`},
		"name in capitals":   {route("Domain: a, version: b"), "did you mean domain?"},
		"made by the server": {route("domain: a, version: b, created_at: 2024-01-01"), "not a known name"},
		"name twice":         {"routes: []\nissuers: []\nroutes: []\n", "line 3: routes is there twice; the first time in line 1"},
		"list as name":       {"[a]: b\n", "not a known name"},
		"name of no value":   {"routes:\n- domain: shop\n  version: v1\n  upstreams: [http://a]\n  scopes:\n", "line 5: scopes has no value"},
		"entry of no value":  {"routes:\n- domain: shop\n  scopes:\n  -\n", "line 4: an entry of scopes has no value"},
		"tilde":              {route("domain: ~, version: v1"), "domain has no value"},
		"list of no list":    {route("domain: a, version: b, scopes: read"), "line 2: scopes must be a list"},
		"value of a list":    {route("domain: [a], version: b"), "domain must be a single value"},
		"route of a word":    {"routes: [shop]\n", "an entry of routes must be lines"},
		"yes":                {route("domain: a, version: b, inactive: yes"), "inactive must be true or false"},
		"number of words":    {route("domain: a, version: b, rate: many"), "rate must be a whole number"},
		"number in octal":    {route("domain: a, version: b, rate: 010"), "rate must be a whole number"},
		"number with point":  {route("domain: a, version: b, rate: 1.5"), "rate must be a whole number"},
		"number too large":   {route("domain: a, version: b, body_limit: 99999999999999999999"), "body_limit must be a whole number"},
		"no duration":        {route("domain: a, version: b, timeout: soon"), `line 2: timeout: "soon" is not a duration`},
		"negative duration":  {route("domain: a, version: b, timeout: -5s"), "not a duration"},
		"alias":              {"routes:\n- &a {domain: a, version: b, upstreams: [http://a]}\n- *a\n", "alias or an anchor"},
		"tag":                {route("domain: !!binary YQ==, version: b"), "YAML tag"},
		"merge":              {route("<<: {domain: a}, version: b"), `"<<" is not a known name`},
		"id":                 {route("id: a, domain: a, version: b"), "its name identifies it"},
		"no sound route":     {"routes:\n- {domain: a, version: b, upstreams: [http://a]}\n- {domain: a, upstreams: [http://a]}\n", "line 3: the version"},
		"unknown issuer":     {route("domain: a, version: b, issuers: [x]"), `line 2: the issuer "x" is not known`},
		"same name":          {route("domain: a, version: b") + "- {domain: c, version: d, name: a/b" + up, `line 3: the route in line 2 has the name "a/b"`},
		"same address":       {route("domain: a, version: b") + "- {prefix: /a/b, name: x" + up, "line 3: the route in line 2 has the address /a/b, too"},

		"issuer of no name":    {"issuers:\n- {issuer: https://a.test, audiences: [x]}\n", "line 2: an issuer needs a name"},
		"issuer with colon":    {"issuers:\n- {name: 'a:b', issuer: https://a.test, audiences: [x]}\n", "needs a name"},
		"issuer of no address": {"issuers:\n- {name: a, audiences: [x]}\n", "issuer must be an address"},
		"issuer by http":       {"issuers:\n- {name: a, issuer: http://a.test, audiences: [x]}\n", "must begin with https://"},
		"issuer with query":    {"issuers:\n- {name: a, issuer: 'https://a.test?x', audiences: [x]}\n", "no name, password, query"},
		"issuer with user":     {"issuers:\n- {name: a, issuer: 'https://u:hunter2@a.test', audiences: [x]}\n", "no name, password, query"},
		"no audiences":         {"issuers:\n- {name: a, issuer: https://a.test}\n", "tokens for other APIs would pass"},
		"audience with space":  {"issuers:\n- {name: a, issuer: https://a.test, audiences: [a b]}\n", "not an audience"},
		"keys by http":         {iss("jwks_uri: http://a.test/keys"), "jwks_uri must begin with https://"},
		"algorithm none":       {iss("algs: [none]"), `"none" is not accepted`},
		"symmetric algorithm":  {iss("algs: [RS256, HS256]"), `"HS256" is not accepted`},
		"claim with line end":  {iss(`roles_claim: "a\nb"`), "roles_claim must be the name of a claim"},
		"introspection, empty": {iss("introspection: {}"), "introspection.url must be an address"},
		"no secret":            {iss("introspection: {url: https://a.test/i, client_id: gw}"), "client_secret_file"},
		"no client":            {iss("introspection: {url: https://a.test/i, client_secret_file: f}"), "client_id"},
		"secret in the file":   {iss("introspection: {url: https://a.test/i, client_id: a, client_secret: hunter2}"), "did you mean client_secret_file?"},
		"issuer name twice":    {iss("") + "\n- {name: auth0, issuer: https://b.test, audiences: [x]}\n", `the issuer in line 2 has the name "auth0"`},
		"issuer twice":         {iss("") + "\n- {name: b, issuer: https://a.test, audiences: [x]}\n", "in line 2 already"},
		"too large":            {"#" + strings.Repeat("x", maxFile), "bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := ReadFile([]byte(tc.file))
			if invalid(t, err); f != nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v; want %q in it", err, tc.says)
			}
			if strings.Contains(err.Error(), "hunter2") || len(err.Error()) > 600 {
				t.Errorf("the error says too much: %v", err)
			}
		})
	}
}

func FuzzReadFile(f *testing.F) {
	data, err := os.ReadFile("testdata/routes.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{string(data), "routes: [", "routes:\n- &a {domain: *a}\n", "issuers:\n- {}\n", "routes:\n- {prefix: /, host: a.test, upstreams: ['http://[::1]:0/%2e']}\n", "? a\n: b\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ReadFile(data)
		if err != nil {
			invalid(t, err)
			if file != nil {
				t.Fatal("a file with a mistake is used")
			}
			return
		}
		names := []string{}
		for _, i := range file.Issuers {
			names = append(names, i.Name)
			if len(i.Audiences) == 0 || len(i.Algs) == 0 || slices.Contains(i.Algs, "none") {
				t.Fatalf("%+v", i)
			}
		}
		var all []*Compiled
		for _, r := range file.Routes {
			c, err := Compile(r, Options{Issuers: names})
			if err != nil {
				t.Fatalf("read, and yet unsound: %v", err)
			}
			all = append(all, c)
		}
		tab, err := NewTable(all)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if c.Route().Inactive {
				continue
			}
			path, err := Clean(c.Prefix())
			host := strings.Replace(c.Route().Host, "*", "x", 1)
			if got, _, ok := tab.Match(host, path); err != nil || !ok || got != c {
				t.Fatalf("%s does not find itself: %v", c.Address(), err)
			}
		}
	})
}
