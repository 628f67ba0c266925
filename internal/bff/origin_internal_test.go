package bff

import (
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// One origin in several spellings is one origin.
func TestCanonicalOrigin(t *testing.T) {
	for in, want := range map[string]string{
		"https://app.example":       "https://app.example",
		"HTTPS://App.Example":       "https://app.example",
		"https://app.example:443":   "https://app.example",
		"https://app.example:":      "https://app.example",
		"https://app.example.":      "https://app.example",
		"https://app.example.:443":  "https://app.example",
		"https://app.example.:8443": "https://app.example:8443",
		"https://app.example:80":    "https://app.example:80",
		"http://app.example:80":     "http://app.example",
		"http://app.example:443":    "http://app.example:443",
		"https://[2001:DB8::1]:443": "https://[2001:db8::1]",
		"https://app.example:8443":  "https://app.example:8443",
		"null":                      "null://",
	} {
		if got := canonicalOrigin(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

// Whatever is asked for, the browser stays at the app's host or goes to an origin that is
// registered: as Go resolves the address, and as browsers do, which take a backslash for a slash
// and leave out tabs and line ends (WHATWG URL §4.4).
func FuzzReturnTo(f *testing.F) {
	for _, seed := range []string{
		"", "/", "/a?b#c", "//evil.example", "/\\evil.example", "https://app.example/x", "https://app.example@evil.example", "https:evil.example",
		"/\t/evil.example", "https://www.example:8443/", "/%2f%2fevil.example", "javascript:alert(1)", "https://app.example\\@evil.example/",
	} {
		f.Add(seed)
	}
	cl := &client.Client{Redirects: []string{"https://app.example/session/callback", "com.example.app:/cb"}, PostLogout: []string{"https://www.example:8443/bye"}}
	base := &url.URL{Scheme: "https", Host: "app.example", Path: "/session/callback"}
	f.Fuzz(func(t *testing.T, raw string) {
		to, err := parseReturnTo(cl, raw)
		if err != nil {
			if to != "" {
				t.Fatalf("%q is refused, but leads to %q", raw, to)
			}
			return
		}
		if strings.NewReplacer("\t", "", "\n", "", "\r", "", "\\", "/").Replace(to) != to {
			t.Fatalf("%q: a browser reads %q differently", raw, to)
		}
		u, err := base.Parse(to)
		if err != nil {
			t.Fatalf("%q leads to %q, which is no address: %v", raw, to, err)
		}
		if at := u.Scheme + "://" + u.Host; u.User != nil || (at != "https://app.example" && at != "https://www.example:8443") {
			t.Fatalf("%q leads to %s", raw, u)
		}
	})
}
