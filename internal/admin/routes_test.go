package admin

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// texts calls f with every constant text in the Go files of some rooms, tests left out.
func texts(t *testing.T, rooms []string, f func(text string)) {
	t.Helper()
	for _, room := range rooms {
		names, err := filepath.Glob(filepath.Join("..", room, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no files in %s: %v", room, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil {
						f(text)
					}
				}
				return true
			})
		}
	}
}

// TestNoRouteCoversOurOwnPaths looks for everything in the handlers that is written like one of
// our paths.
func TestNoRouteCoversOurOwnPaths(t *testing.T) {
	path := regexp.MustCompile(`^(?:[A-Z]+ )?/([a-z0-9._-]{2,})(?:$|[/?{])`)
	found := map[string]bool{}
	texts(t, []string{"web/protocol", "web/ui", "app", "cli", "gateway", "bff"}, func(text string) {
		if m := path.FindStringSubmatch(text); m != nil {
			found[m[1]] = true
		}
	})
	if len(found) < 20 {
		t.Fatalf("only %d paths found: the search is broken", len(found))
	}
	elsewhere := []string{
		"debug",                                                // PPROF_PORT has a listener of its own
		"confirm", "add", "rename", "remove", "proof", "later", // ends of longer paths
		"etc", "proc", "sys", "usr", // files of Linux
		"images", "theme.css", // files of the operator, who decides about routes as well
	}
	for first := range found {
		if slices.Contains(elsewhere, first) {
			continue
		}
		if !slices.Contains(ownPaths(), first) {
			t.Errorf("a route could cover /%s; add it to ownPaths", first)
		}
	}
	o := RouteOptions("https://id.example", &access.File{})
	for _, first := range ownPaths() {
		if _, err := access.Compile(access.Route{
			Prefix:    "/" + first + "/x",
			Upstreams: []string{"http://x"},
		}, o); err == nil {
			t.Errorf("a route for /%s/x can be made", first)
		}
	}
}

// TestLoopbackNamesAreOurs: in development the server is called by all of them.
func TestLoopbackNamesAreOurs(t *testing.T) {
	for issuer, host := range map[string]string{
		"http://localhost:8080": "127.0.0.1", "http://127.0.0.1:8080": "::1", "http://[::1]:8080": "localhost", "https://ID.example:8443": "id.EXAMPLE",
	} {
		o := RouteOptions(issuer, &access.File{})
		if _, err := access.Compile(access.Route{
			Host:      host,
			Prefix:    "/login",
			Upstreams: []string{"http://x"},
		}, o); err == nil {
			t.Errorf("with the issuer %s a route can cover /login at %s", issuer, host)
		}
	}
}

// TestRoutesTogether: a server has the routes of the file and of the database, or is told why
// not.
func TestRoutesTogether(t *testing.T) {
	route := func(id, domain string) access.Route {
		return access.Route{
			ID:        id,
			Domain:    domain,
			Version:   "v1",
			Upstreams: []string{"http://x"},
		}
	}
	file := &access.File{Routes: []access.Route{route("file:a", "a")}}
	table, err := NewRouteTable(RouteOptions("https://id.example", file), file, []access.Route{route("1", "b")})
	if err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"a", "b"} {
		if _, _, ok := table.Match("id.example", "/"+domain+"/v1/x"); !ok {
			t.Errorf("the route of /%s/v1 is not found", domain)
		}
	}
	if _, err := NewRouteTable(RouteOptions("https://id.example", file), file, []access.Route{route("1", "a")}); err == nil || !strings.Contains(err.Error(), "same address") {
		t.Errorf("two routes of one address: %v", err)
	}
	_, err = NewRouteTable(RouteOptions("https://id.example", file), file, []access.Route{route("1", "oauth"), route("2", "ok"), route("3", "bad name")})
	if err == nil || !strings.Contains(err.Error(), "oauth/v1 (1)") || !strings.Contains(err.Error(), "bad name/v1 (3)") {
		t.Errorf("routes that cannot be used: %v; want both named", err)
	}
}
