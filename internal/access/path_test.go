package access

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestCleanGivesPlainPaths(t *testing.T) {
	for raw, want := range map[string]string{
		"/":                         "/",
		"/shop/v1":                  "/shop/v1",
		"/shop/v1/":                 "/shop/v1/",
		"/shop/%76%31/items":        "/shop/v1/items",
		"/a%20b/%C3%BC/%e4%bd%a0":   "/a b/ü/你",
		"/ü":                        "/ü",
		"/100%25":                   "/100%",
		"/50%25off":                 "/50%off",
		"/is%3F/%23one":             "/is?/#one",
		"/...":                      "/...",
		"/.well-known/x":            "/.well-known/x",
		"/a..b/.c/d.":               "/a..b/.c/d.",
		"/items;color=red/2":        "/items;color=red/2",
		"/grpc.health.v1.Health/~x": "/grpc.health.v1.Health/~x",
	} {
		if got, err := Clean(raw); err != nil || got != want {
			t.Errorf("Clean(%q) = %q, %v; want %q", raw, got, err, want)
		}
	}
}

// RFC 3986 §5.2.4, §6.2.2: what normalising programs would change is refused, not changed.
func TestCleanRefusesWhatReadsInTwoWays(t *testing.T) {
	for name, raw := range map[string]string{
		"empty":                        "",
		"relative":                     "shop",
		"asterisk form":                "*",
		"absolute form":                "http://id.example.com/shop",
		"dot":                          "/shop/./v1",
		"dot at the end":               "/shop/.",
		"two dots":                     "/shop/../admin",
		"two dots at the end":          "/shop/..",
		"two dots at the beginning":    "/../admin",
		"escaped dots":                 "/shop/%2e%2e/admin",
		"half escaped dots":            "/shop/.%2E/admin",
		"escaped dot":                  "/shop/%2e/v1",
		"dots with parameters":         "/shop/..;/admin",
		"dots with escaped parameters": "/shop/..%3bx=1/admin",
		"dot with parameters":          "/shop/.;x/v1",
		"escaped slash":                "/shop%2fv1",
		"escaped slash, capital":       "/shop%2Fv1",
		"escaped backslash":            "/shop%5cv1",
		"escaped backslash, capital":   "/shop%5Cv1",
		"backslash":                    `/shop\v1`,
		"dots and backslash":           `/shop/..\admin`,
		"escaped NUL":                  "/shop/v1%00",
		"NUL":                          "/shop/v1\x00",
		"escaped line end":             "/shop/v1%0d%0aHost:x",
		"line end":                     "/shop/v1\r\nHost:x",
		"tab":                          "/shop\tv1",
		"DEL":                          "/shop%7f",
		"C1 control":                   "/shop/%C2%85",
		"double slash":                 "/shop//v1",
		"double slash first":           "//id.example.com/shop",
		"double slash last":            "/shop//",
		"empty with parameters":        "/shop/;x=1/v1",
		"empty last with parameters":   "/shop/;x",
		"space":                        "/shop v1",
		"query":                        "/shop?x=/..",
		"fragment":                     "/shop#x",
		"escape cut short":             "/shop%2",
		"percent alone":                "/shop%",
		"escape not hexadecimal":       "/shop%zz",
		"IIS escape":                   "/shop%u002e%u002e/admin",
		"escape of an escape":          "/shop/%252e%252e/admin",
		"escape of an escaped letter":  "/shop/%2561dmin",
		"escape in three escapes":      "/shop/%25%36%31dmin",
		"overlong slash":               "/shop/%c0%af",
		"overlong dots":                "/shop/%c0%ae%c0%ae/admin",
		"surrogate":                    "/shop/%ed%a0%80",
		"Latin-1":                      "/shop/%fc",
		"Latin-1 unescaped":            "/shop/\xfc",
		"longer than 8 KiB":            "/" + strings.Repeat("a", MaxPath),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Clean(raw)
			if !fault.Is(err, fault.Invalid) || got != "" {
				t.Errorf("Clean(%q) = %q, %v; want an Invalid error", raw, got, err)
			}
		})
	}
	if _, err := Clean("/" + strings.Repeat("a", MaxPath-1)); err != nil {
		t.Errorf("8 KiB: %v", err)
	}
}

func TestCleanAllocates(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _, _ = Clean("/shop/v1/items/4711") }); n > 0 {
		t.Errorf("%v allocations for a plain path, want none", n)
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{
		"/", "/shop/v1/items", "/a%20b", "/shop/%2e%2e/x", "/a;b=c/d", "/%C3%BC", "/x%2500", "//x", "/x/", "/..;/x", `/\`, "/%25%32%65", "/a/;",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		path, err := Clean(raw)
		if err != nil {
			if path != "" {
				t.Fatalf("%q: refused, and yet %q", raw, path)
			}
			return
		}
		if strings.Count(path, "/") != strings.Count(raw, "/") {
			t.Fatalf("%q: %q has other segments", raw, path)
		}
		if !utf8.ValidString(path) || strings.ContainsFunc(path, unicode.IsControl) || strings.ContainsAny(path, `\`) ||
			strings.Contains(path, "//") {
			t.Fatalf("%q: %q passed", raw, path)
		}
		for _, s := range strings.Split(withoutParameters(path), "/")[1:] {
			if s == "." || s == ".." {
				t.Fatalf("%q: %q has a dot segment", raw, path)
			}
		}
		// Who reads the escapes again finds none.
		for i := 0; i+2 < len(path); i++ {
			if path[i] == '%' && isHex(path[i+1]) && isHex(path[i+2]) {
				t.Fatalf("%q: %q has an escape left", raw, path)
			}
		}
	})
}

// A path with escaped slashes belongs to a route that allows them, however a program reads it: as
// text of a segment, or as slashes.
func TestEncodedSlashes(t *testing.T) {
	allow := func(r *Route) { r.EncodedSlash = true }
	packages := compiled(t, shop(allow))
	admin := compiled(t, Route{
		ID: "admin", Prefix: "/shop/v1/admin", Upstreams: []string{"http://10.0.0.5:8000"},
		EncodedSlash: true,
	})
	strict := compiled(t, Route{
		ID: "strict", Domain: "strict", Version: "v1", Upstreams: []string{"http://10.0.0.5:8000"},
	})
	tab := table(t, packages, admin, strict)
	for raw, want := range map[string]*Compiled{
		"/shop/v1/@scope%2Fname":      packages,
		"/shop/v1/@scope%2fname/-/a":  packages,
		"/shop/v1/a%2Fb%2Fc":          packages,
		"/shop/v1/a%20b%2F%C3%A4":     packages,
		"/shop/v1/admin/a%2Fb":        admin,
		"/shop/v1/plain":              packages,
		"/shop/v1/admin%2Fa":          nil, // another program finds it below /shop/v1/admin
		"/shop/v1%2Fadmin/a":          nil,
		"/shop%2Fv1/a":                nil,
		"/shop/v1/ADMIN%2Fa":          nil,
		"/shop/v1/a%2F..%2Fadmin":     nil,
		"/shop/v1/a%2F%2e%2e%2Fadmin": nil,
		"/shop/v1/a%2F.%2Fb":          nil,
		"/shop/v1/a%2F%2Fb":           nil,
		"/shop/v1/a/%2Fb":             nil,
		"/shop/v1/a%252Fb":            nil,
		"/shop/v1/a%2%46b":            nil,
		"/shop/v1/a%2Fb%5C":           nil,
		"/shop/v1/a%2Fb%00":           nil,
		"/shop/v1/a%2F;x=/../b":       nil,
		"/strict/v1/a%2Fb":            nil,
		"/nowhere/v1/a%2Fb":           nil,
	} {
		c, err := tab.Locate("id.example.com", raw)
		if c != want || want == nil && err == nil {
			t.Errorf("%s: %v, %v", raw, c, err)
		}
		if c != nil && c.Rest(raw) != raw[len(c.Prefix()):] {
			t.Errorf("%s: the upstream gets %s", raw, c.Rest(raw))
		}
	}
}
