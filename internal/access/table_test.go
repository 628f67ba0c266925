package access

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestMatchFindsTheNearest(t *testing.T) {
	tab := table(
		t,
		compiled(t, shop(nil)),
		routeAt(t, "", "/shop"),
		routeAt(t, "", "/shop/v1/admin"),
		routeAt(t, "app.test", "/"),
		routeAt(t, "app.test", "/shop"),
		routeAt(t, "*.test", "/shop/v1"),
		routeAt(t, "*.deep.test", "/shop"),
		compiled(t, Route{ID: "kept", Prefix: "/kept", KeepPath: true, Upstreams: []string{"http://u"}}),
		compiled(t, Route{ID: "off", Prefix: "/off", Inactive: true, Upstreams: []string{"http://u"}}),
		compiled(t, Route{ID: "off again", Prefix: "/off", Inactive: true, Upstreams: []string{"http://u"}}),
	)
	for _, tc := range []struct{ host, path, id, rest string }{
		{"x", "/shop/v1", "0190-1", ""},
		{"x", "/shop/v1/", "0190-1", "/"},
		{"x", "/shop/v1/items/2", "0190-1", "/items/2"},
		{"x", "/shop/v1/admin", "/shop/v1/admin", ""},
		{"x", "/shop/v1/admin/a", "/shop/v1/admin", "/a"},
		{"x", "/shop/v1/administrator", "0190-1", "/administrator"},
		{"x", "/shop/v11", "/shop", "/v11"},
		{"x", "/shop", "/shop", ""},
		{"x", "/shop/", "/shop", "/"},
		{"x", "/shopping", "", ""},
		{"x", "/SHOP/v1", "", ""},
		{"x", "/", "", ""},
		{"x", "/off", "", ""},
		{"x", "/kept/a", "kept", "/kept/a"},
		{"x", "", "", ""},
		{"x", "shop/v1", "", ""},

		{"app.test", "/", "app.test/", "/"},
		{"app.test", "/other", "app.test/", "/other"},
		{"app.test", "/shop/v1/admin", "app.test/shop", "/v1/admin"},
		{"app.test.", "/shop", "app.test/shop", ""},
		{"b.test", "/shop/v1/admin", "*.test/shop/v1", "/admin"},
		{"b.test", "/shop", "/shop", ""},
		{"a.b.test", "/shop/v1/x", "*.test/shop/v1", "/x"},
		{"a.deep.test", "/shop/v1/x", "*.deep.test/shop", "/v1/x"},
		{"test", "/shop/v1", "0190-1", ""},
		{".test", "/shop/v1", "0190-1", ""},
		{"", "/shop/v1", "0190-1", ""},

		// Programs that cut parameters off would see /shop/v1/admin: what is no plain match is
		// none.
		{"x", "/shop/v1/items;a=b", "0190-1", "/items;a=b"},
		{"x", "/shop/v1/admin;a=b", "", ""},
		{"x", "/shop/v1;a=b/items", "", ""},
		{"x", "/shop;a=b/v1/items", "", ""},
		{"x", "/shop/v1/admin/x;a=b", "/shop/v1/admin", "/x;a=b"},
	} {
		c, rest, ok := tab.Match(tc.host, tc.path)
		id := ""
		if ok {
			id = c.Route().ID
		}
		if id != tc.id || rest != tc.rest || (c != nil) != ok {
			t.Errorf("Match(%q, %q) = %q, %q, %v; want %q, %q", tc.host, tc.path, id, rest, ok, tc.id, tc.rest)
		}
	}
}

// Match against a search through all routes, on hosts and paths out of few letters, so that much
// is found.
func TestMatchAgreesWithSearch(t *testing.T) {
	r := rand.New(rand.NewPCG(9110, 3986))
	name := func(n int) string { return string(rune('a' + r.IntN(n))) }
	host := func() string { return strings.Repeat(name(2)+".", r.IntN(3)) + name(2) + ".test" }
	path := func(most int) string {
		p := ""
		for range r.IntN(most + 1) {
			p += "/" + name(2)
		}
		return p
	}
	for range 200 {
		var all []*Compiled
		for range 20 {
			c := routeAt(t, []string{"", host(), "*." + host(), "*.test"}[r.IntN(4)], path(3)+"/"+name(2))
			if _, err := NewTable(append(all, c)); err == nil {
				all = append(all, c)
			}
		}
		tab := table(t, all...)
		for range 50 {
			h, p := host(), path(6)+[]string{"", "/"}[r.IntN(2)]
			got, rest, ok := tab.Match(h, p)
			want := search(all, h, p)
			if got != want || ok != (want != nil) || ok && rest != strings.TrimPrefix(p, want.Prefix()) {
				t.Fatalf("Match(%q, %q) = %v, %q, %v; want %v", h, p, got, rest, ok, want)
			}
		}
	}
}

// search is Match as its documentation says it.
func search(all []*Compiled, host, path string) (best *Compiled) {
	rank := func(c *Compiled) int { return c.host.kind%2<<20 | len(c.host.name)<<10 | len(c.prefix) } // hostExact is odd, and a longer wildcard is nearer
	for _, c := range all {
		if c.host.covers(host) && (path == c.prefix || strings.HasPrefix(path, c.prefix+"/")) &&
			(best == nil || rank(c) > rank(best)) {
			best = c
		}
	}
	return best
}

// An upstream may ignore case, or dots and spaces at the end. A path that it would read as one of a
// longer prefix, with rules of its own, does not pass by the shorter one.
func TestMatchRefusesOtherSpellingsOfLongerPrefixes(t *testing.T) {
	var routes []*Compiled
	for _, r := range []Route{
		{ID: "wide", Prefix: "/shop/v1"},
		{ID: "admin", Prefix: "/shop/v1/admin"},
		{ID: "mixed", Prefix: "/shop/v1/Mixed"},
		{ID: "host", Prefix: "/", Host: "a.example"},
		{ID: "below", Prefix: "/api", Host: "a.example"},
	} {
		r.Upstreams = []string{"http://10.0.0.1"}
		c, err := Compile(r, Options{})
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, c)
	}
	tab, err := NewTable(routes)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ host, path, want string }{
		{"b.example", "/shop/v1/admin", "admin"},
		{"b.example", "/shop/v1/admin/X", "admin"},
		{"b.example", "/shop/v1/ADMIN", ""},
		{"b.example", "/shop/v1/Admin/x", ""},
		{"b.example", "/shop/v1/admin.", ""},
		{"b.example", "/shop/v1/admin ", ""},
		{"b.example", "/shop/v1/admin. ./x", ""},
		{"b.example", "/shop/v1/ＡＤＭＩＮ", ""},
		{"b.example", "/shop/v1/／admin", ""},
		{"b.example", "/shop/v1/administration", "wide"},
		{"b.example", "/shop/v1/x/ADMIN", "wide"},
		{"b.example", "/shop/v1/ITEMS.", "wide"},
		{"b.example", "/shop/v1/Mixed", "mixed"},
		{"b.example", "/shop/v1/mixed", ""},
		{"a.example", "/API/x", ""},
		{"a.example", "/api/x", "below"},
		{"a.example", "/Other", "host"},
	} {
		c, _, ok := tab.Match(row.host, row.path)
		got := ""
		if ok {
			got = c.Route().ID
		}
		if got != row.want {
			t.Errorf("%s%s: route %q, want %q", row.host, row.path, got, row.want)
		}
	}
}

func TestMatchInNoTable(t *testing.T) {
	for name, tab := range map[string]*Table{"nil": nil, "zero": {}, "empty": table(t)} {
		if _, _, ok := tab.Match("x", "/shop"); ok {
			t.Errorf("%s: a route was found", name)
		}
	}
}

func TestNewTableRefusesTwoOfOneAddress(t *testing.T) {
	for name, pair := range map[string][2]*Compiled{
		"domain and prefix": {compiled(t, shop(nil)), routeAt(t, "", "/shop/v1")},
		"host":              {routeAt(t, "a.test", "/x"), routeAt(t, "A.TEST", "/x")},
		"wildcard":          {routeAt(t, "*.test", "/"), routeAt(t, "*.test", "/")},
	} {
		_, err := NewTable(pair[:])
		if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), pair[0].Address()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The upstream gets the path with its escapes as they were sent, cut at the same place.
func TestRestAgreesWithMatch(t *testing.T) {
	tab := table(
		t, compiled(t, shop(nil)), routeAt(t, "app.test", "/"),
		compiled(t, Route{Prefix: "/kept", KeepPath: true, Upstreams: []string{"http://u"}}),
	)
	for _, tc := range []struct{ host, raw, rest string }{
		{"x", "/shop/v1", ""},
		{"x", "/shop/v1/", "/"},
		{"x", "/%73hop/v%31/a%20b/%C3%BC", "/a%20b/%C3%BC"},
		{"app.test", "/a%20b", "/a%20b"},
		{"app.test", "/", "/"},
		{"x", "/kept/a%20b", "/kept/a%20b"},
	} {
		path, err := Clean(tc.raw)
		if err != nil {
			t.Fatal(err)
		}
		c, rest, ok := tab.Match(tc.host, path)
		if !ok {
			t.Fatalf("%q: no route", tc.raw)
		}
		got := c.Rest(tc.raw)
		if got != tc.rest {
			t.Errorf("Rest(%q) = %q, want %q", tc.raw, got, tc.rest)
		}
		if read, err := unescape(got); err != nil || read != rest {
			t.Errorf("Rest(%q) = %q, and Match says %q", tc.raw, got, rest)
		}
	}
	if got := compiled(t, shop(nil)).Rest("/shop"); got != "" {
		t.Errorf("Rest of a path that is too short = %q", got)
	}
}

func TestMatchAllocates(t *testing.T) {
	tab := table(t, compiled(t, shop(nil)), routeAt(t, "*.test", "/a/b/c"), routeAt(t, "app.test", "/"))
	for _, at := range [][2]string{{"x", "/shop/v1/items"}, {"a.b.test", "/a/b/c/d"}, {"app.test", "/x/y/z"}, {"x", "/none"}} {
		if n := testing.AllocsPerRun(100, func() { tab.Match(at[0], at[1]) }); n > 0 {
			t.Errorf("%v: %v allocations, want none", at, n)
		}
	}
}

// A path of thousands of segments, or a host of many labels, costs about as much as reading it.
func TestMatchIsBoundedByThePath(t *testing.T) {
	tab := table(t, compiled(t, shop(nil)), routeAt(t, "*.test", "/a/b/c"))
	path, err := Clean("/" + strings.Repeat("a/", MaxPath/2-1) + "a")
	if err != nil {
		t.Fatal(err)
	}
	host := strings.Repeat("a.", 120) + "test"
	r := testing.Benchmark(func(b *testing.B) {
		for b.Loop() {
			tab.Match(host, path)
		}
	})
	if r.NsPerOp() > 200_000 {
		t.Errorf("%d ns", r.NsPerOp())
	}
}

// benchmarkMatch asks for n routes in turn, in no order. The path is written into the same few
// bytes each time, as a server has it in its cache when it has just read a request: else the
// benchmark would measure its own list of paths.
func benchmarkMatch(b *testing.B, n int) {
	routes := make([]*Compiled, n)
	for i := range routes {
		routes[i] = compiled(
			b,
			Route{
				ID:        fmt.Sprint(i),
				Domain:    fmt.Sprintf("service-%05d", i),
				Version:   "v1",
				Upstreams: []string{"http://10.0.0.5:8000"},
			},
		)
	}
	tab := table(b, routes...)
	order := make([][5]byte, n)
	for i, k := range rand.Perm(n) {
		copy(order[i][:], fmt.Sprintf("%05d", k))
	}
	path := []byte("/service-00000/v1/items/4711")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		copy(path[9:], order[i][:])
		if _, _, ok := tab.Match("id.example.com", unsafe.String(&path[0], len(path))); !ok {
			b.Fatal("no route")
		}
		if i++; i == n {
			i = 0
		}
	}
}

func BenchmarkMatch10(b *testing.B)    { benchmarkMatch(b, 10) }
func BenchmarkMatch10000(b *testing.B) { benchmarkMatch(b, 10_000) }
