package client_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §2.1 and §4.1.
func TestValidRedirect(t *testing.T) {
	for uri, ok := range map[string]bool{
		"https://app.example/callback":                     true,
		"https://app.example":                              true,
		"https://app.example:8443/cb?tenant=1":             true,
		"http://localhost/cb":                              true,
		"http://localhost:3000/cb":                         true,
		"http://127.0.0.1:0/cb":                            true,
		"http://127.8.8.8/cb":                              true,
		"http://[::1]:9000/":                               true,
		"com.example.app:/callback":                        true,
		"com.example.app://callback":                       true,
		"":                                                 false,
		"/callback":                                        false,
		"//app.example/cb":                                 false,
		"app.example/cb":                                   false,
		"http://app.example/cb":                            false,
		"http://10.0.0.1/cb":                               false,
		"http://localhost.evil.example/":                   false,
		"http://2130706433/":                               false,
		"http://0x7f.1/":                                   false,
		"https:///cb":                                      false,
		"https://:443/cb":                                  false,
		"https://app.example/cb#frag":                      false,
		"https://app.example/cb#":                          false,
		"https://*.example/cb":                             false,
		"https://app.example/*":                            false,
		"https://u:p@app.example/":                         false,
		"https://münchen.example/cb":                       false,
		"https://m%C3%BCnchen.example/cb":                  false,
		"https://xn--mnchen-3ya.example/cb":                true,
		"https://app.example/a b":                          false,
		"https://app.example\\@evil.example/":              false,
		"https://app.example/\x00":                         false,
		"https://äpp.example/":                             false,
		"javascript:alert(1)":                              false,
		"JaVaScRiPt:alert(1)":                              false,
		"data:text/html,x":                                 false,
		"vbscript:x":                                       false,
		"file:///etc/passwd":                               false,
		"blob:https://x":                                   false,
		"myapp:/cb":                                        false,
		"urn:ietf:wg:oauth:2.0:oob":                        false,
		"https://app.example/" + strings.Repeat("x", 2048): false,
	} {
		if err := client.ValidRedirect(uri); (err == nil) != ok {
			t.Errorf("%q: %v, want ok=%v", uri, err, ok)
		} else if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v is not of kind Invalid", uri, err)
		}
	}
}

// An administrator may insist on an app's own scheme that is not a domain name in reverse, but not
// on one that is never an app's.
func TestCustomSchemes(t *testing.T) {
	for uri, custom := range map[string]bool{
		"cursor://anysphere.cursor-mcp/oauth/callback": true,
		"vscode://publisher.extension/cb":              true,
		"myapp:/cb":                                    true,
		"MyApp:/cb":                                    true,
		"javascript:alert(1)":                          false,
		"JaVaScRiPt:alert(1)":                          false,
		"javascript://app.example/%0aalert(1)":         false,
		"data:text/html,x":                             false,
		"vbscript:x":                                   false,
		"file:///etc/passwd":                           false,
		"blob:https://x":                               false,
		"filesystem:https://x/y":                       false,
		"view-source:https://x":                        false,
		"about:blank":                                  false,
		"intent://x#Intent;end":                        false,
		"mailto:a@b.example":                           false,
		"ms-msdt:/id":                                  false,
		"search-ms:query=x":                            false,
		"search:query=x":                               false,
		"ms-appinstaller:?source=https://x/y":          false,
		"ms-word:ofe|u|https://x/y":                    false,
		"itms-services://?action=x":                    false,
		"ldap://app.example/":                          false,
		"smb://app.example/x":                          false,
		"sftp://app.example/x":                         false,
		"wss://app.example/":                           false,
		"ftp://app.example/":                           false,
		"urn:ietf:wg:oauth:2.0:oob":                    false,
		"http://app.example/cb":                        false,
		"//cb":                                         false,
		"cursor://u:p@x/":                              false,
		"cursor://x/*":                                 false,
	} {
		for _, allowed := range []bool{false, true} {
			c := web()
			c.Redirects, c.CustomSchemes = []string{uri}, allowed
			if err := c.Validate(rules()); (err == nil) != (custom && allowed) {
				t.Errorf("%q with allowed=%v: %v", uri, allowed, err)
			}
		}
	}
	c := web()
	c.Redirects = []string{"https://a.example/", "http://127.0.0.1/", "com.example.app:/cb", "cursor://a", "cursor://b"}
	c.PostLogout = []string{"vscode://a"}
	if got := c.CustomSchemesUsed(); !slices.Equal(got, []string{"cursor", "vscode"}) {
		t.Errorf("schemes that anybody may take: %q", got)
	}
}

func TestMatchURI(t *testing.T) {
	have := []string{
		"https://app.example/cb",
		"http://127.0.0.1/cb",
		"http://localhost:3000/cb?a=1",
		"http://[::1]/",
		"com.example.app:/cb",
	}
	for uri, ok := range map[string]bool{
		"https://app.example/cb":                 true,
		"https://app.example/cb/":                false,
		"https://app.example/cb?x":               false,
		"https://app.example:443/cb":             false,
		"https://app.example:1/cb":               false,
		"HTTPS://app.example/cb":                 false,
		"https://app.example/%63b":               false,
		"http://127.0.0.1/cb":                    true,
		"http://127.0.0.1:65000/cb":              true,
		"http://127.0.0.1:65000/cb/":             false,
		"http://127.0.0.1:65000/c%62":            false,
		"http://127.0.0.1:65000/cb?x=1":          false,
		"http://127.0.0.1:65000/cb#x":            false,
		"http://x@127.0.0.1:65000/cb":            false,
		"https://127.0.0.1:65000/cb":             false,
		"http://127.0.0.2:65000/cb":              false,
		"http://127.0.0.1:65000@evil.example/cb": false,
		"http://127.0.0.1:65000.evil.example/cb": false,
		"http://localhost/cb?a=1":                true,
		"http://localhost:1/cb?a=1":              true,
		"http://localhost:1/cb?a=2":              false,
		"http://localhost:1/cb":                  false,
		"http://[::1]:8/":                        true,
		"com.example.app:/cb":                    true,
		"com.example.app:/cb2":                   false,
		"com.example.app://cb":                   false,
		"":                                       false,
	} {
		if got := client.MatchURI(have, uri); got != ok {
			t.Errorf("%q: %v, want %v", uri, got, ok)
		}
	}
}

func TestOrigin(t *testing.T) {
	for uri, want := range map[string]string{
		"https://app.example:8443/cb?x": "https://app.example:8443", "com.example.app:/cb": "com.example.app:", "http://[::1]:8/": "http://[::1]:8", "%zz": "",
	} {
		if got := client.Origin(uri); got != want {
			t.Errorf("%q: %q, want %q", uri, got, want)
		}
	}
}

// A match is the registered text itself, or differs from it in the port of a loopback address
// alone.
func FuzzMatchURI(f *testing.F) {
	for _, s := range [][2]string{
		{"https://app.example/cb", "https://app.example/cb"},
		{"http://127.0.0.1/cb", "http://127.0.0.1:8080/cb"},
		{"http://localhost:1/a?b", "http://localhost:2/a?b"},
		{"http://[::1]/", "http://[::1]:1/"},
		{"http://127.0.0.1/cb", "http://127.0.0.1:1@evil/cb"},
		{"com.example:/x", "com.example:/x"},
		{"http://127.0.0.1/%2F", "http://127.0.0.1:5//"},
	} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, have, given string) {
		if client.ValidRedirect(have) != nil || !client.MatchURI([]string{have}, given) || have == given {
			return
		}
		h, err := url.Parse(have)
		if err != nil {
			t.Fatal(err)
		}
		a, err := url.Parse(given)
		if err != nil {
			t.Fatalf("%q matches %q and cannot be read", given, have)
		}
		if a.Scheme != "http" || !client.IsLoopback(a.Hostname()) || a.Hostname() != h.Hostname() || a.User != nil || a.EscapedPath() != h.EscapedPath() ||
			a.RawQuery != h.RawQuery ||
			a.Fragment != "" {
			t.Fatalf("%q matches %q", given, have)
		}
	})
}
