package oauth

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
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

func TestMatchURI(t *testing.T) {
	have := []string{"https://app.example/cb", "http://127.0.0.1/cb", "http://localhost:3000/cb?a=1", "http://[::1]/", "com.example.app:/cb"}
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

// RFC 6749 §3.3.
func TestParseScope(t *testing.T) {
	for in, want := range map[string][]string{
		"":                        nil,
		"openid":                  {"openid"},
		" openid  email ":         {"openid", "email"},
		"b a b":                   {"b", "a"},
		"api:read https://x/y.z!": {"api:read", "https://x/y.z!"},
	} {
		got, err := ParseScope(in)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{`a"b`, `a\b`, "a\tb", "ä", "a\x7f", "a\x00", strings.Repeat("x", 129)} {
		if _, err := ParseScope(in); err == nil || Wire(err).Code != "invalid_scope" {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// RFC 7636 appendix B.
func TestPKCEVector(t *testing.T) {
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	if err := checkVerifier(challenge, PKCES256, verifier); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][3]string{
		"S256 compared as plain":           {challenge, PKCES256, challenge},
		"plain compared as S256":           {challenge, PKCEPlain, verifier},
		"too long":                         {challenge, PKCES256, strings.Repeat("a", 129)},
		"characters that are not reserved": {strings.Repeat("ä", 22), PKCEPlain, strings.Repeat("ä", 22)},
	} {
		if err := checkVerifier(c[0], c[1], c[2]); err == nil || Wire(err).Code != "invalid_grant" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// RFC 8628 §6.1.
func TestReadUserCode(t *testing.T) {
	for in, want := range map[string]string{
		"WDJB-MJHT": "WDJBMJHT", "wdjb mjht": "WDJBMJHT", "w.d.j.b.m.j.h.t": "WDJBMJHT", "WDJB—MJHT": "WDJBMJHT",
		"WDJB-MJH": "", "WDJB-MJHTT": "", "WDJB-MJHA": "", "WDJB-MJH1": "", "": "", "WDJB_MJHT": "", "ẞDJB-MJHT": "",
	} {
		got, ok := ParseUserCode(in)
		if ok != (want != "") || (ok && got != want) {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
	}
}

func TestNewUserCode(t *testing.T) {
	seen := map[byte]int{}
	for range 2000 {
		code := newUserCode()
		if back, ok := ParseUserCode(FormatUserCode(code)); !ok || back != code {
			t.Fatalf("%q does not read back", code)
		}
		for i := range code {
			seen[code[i]]++
		}
	}
	for _, c := range []byte(userCodeAlphabet) { // 16000 letters, 800 expected of each
		if n := seen[c]; n < 600 || n > 1000 {
			t.Errorf("%c was drawn %d times", c, n)
		}
	}
}

func TestWire(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		code   string
		status int
	}{
		"its own words":    {invalidGrant("x"), "invalid_grant", 400},
		"bad input":        {fault.New(fault.Invalid, "The “x” is bad."), "invalid_request", 400},
		"too many":         {fault.New(fault.Limited, "x"), "rate_limit_exceeded", 429},
		"overload":         {fault.New(fault.Unavailable, "x"), "temporarily_unavailable", 503},
		"storage":          {errors.New("pq: relation"), "server_error", 500},
		"anything missing": {fault.New(fault.NotFound, "row"), "server_error", 500},
	} {
		e := Wire(c.err)
		if e.Code != c.code || e.Status != c.status || strings.ContainsAny(e.Description, "\"\\“") || strings.Contains(e.Description, "pq") {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

// RFC 7519 §2, §4.1.3.
func TestNumericDateAndAudience(t *testing.T) {
	var v struct {
		T seconds  `json:"t"`
		A audience `json:"a"`
	}
	for in, want := range map[string]int64{`{"t":5}`: 5, `{"t":5.9}`: 5, `{"t":1e3}`: 1000} {
		v.T = 0
		if err := json.Unmarshal([]byte(in), &v); err != nil || int64(v.T) != want {
			t.Errorf("%s: %v %v", in, v.T, err)
		}
	}
	for _, in := range []string{`{"t":-1}`, `{"t":1e300}`, `{"t":"5"}`, `{"a":5}`, `{"a":[5]}`, `{"a":{}}`} {
		if json.Unmarshal([]byte(in), &v) == nil {
			t.Errorf("%s is read as %+v", in, v)
		}
	}
	for _, in := range []string{`"x"`, `["x","y"]`} {
		var a audience
		if err := json.Unmarshal([]byte(in), &a); err != nil {
			t.Fatal(err)
		}
		if out, _ := json.Marshal(a); string(out) != in {
			t.Errorf("%s becomes %s", in, out)
		}
	}
}

func testServer(t testing.TB) *Server {
	t.Helper()
	keys, err := secret.NewKeys([]byte("a master key of at least 32 bytes"))
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Issuer: "https://id.example"}, nil, nil, keys, nil, nil)
}

// A refresh token reads back, and is no other server's.
func TestRefreshTokenForm(t *testing.T) {
	s := testServer(t)
	id := GrantID("0190a0a0-0000-7000-8000-000000000001")
	token := s.newRefresh(id)
	got, sec, ok := s.openRefresh(token)
	if !ok || got != id || s.sealRefresh(id, sec) != token {
		t.Fatalf("%v %v", got, ok)
	}
	if a, b := s.nextSecret(id, sec), s.nextSecret(id, sec); string(a) != string(b) || string(a) == string(sec) {
		t.Fatal("the successor is not derived")
	}
	keys, _ := secret.NewKeys([]byte("another master key, also 32 bytes."))
	if _, _, ok := New(Config{}, nil, nil, keys, nil, nil).openRefresh(token); ok {
		t.Fatal("another server opens it")
	}
}

func FuzzParseScope(f *testing.F) {
	for _, s := range []string{"openid email", "a  b", `x"y`, "ä", strings.Repeat("s ", 100), ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseScope(s)
		if err != nil {
			return
		}
		if len(got) > maxScopes {
			t.Fatalf("%d scopes", len(got))
		}
		again, err := ParseScope(strings.Join(got, " "))
		if err != nil || !slices.Equal(got, again) {
			t.Fatalf("%q reads back as %q (%v)", got, again, err)
		}
		for i, name := range got {
			if !ValidScope(name) || slices.Contains(got[:i], name) {
				t.Fatalf("%q in %q", name, got)
			}
		}
	})
}

// A match is the registered text itself, or differs from it in the port of a loopback address alone.
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
	f.Fuzz(func(t *testing.T, have, asked string) {
		if client.ValidRedirect(have) != nil || !client.MatchURI([]string{have}, asked) || have == asked {
			return
		}
		h, err := url.Parse(have)
		if err != nil {
			t.Fatal(err)
		}
		a, err := url.Parse(asked)
		if err != nil {
			t.Fatalf("%q matches %q and cannot be read", asked, have)
		}
		if a.Scheme != "http" || !client.IsLoopback(a.Hostname()) || a.Hostname() != h.Hostname() || a.User != nil || a.EscapedPath() != h.EscapedPath() ||
			a.RawQuery != h.RawQuery || a.Fragment != "" {
			t.Fatalf("%q matches %q", asked, have)
		}
	})
}

func FuzzReadUserCode(f *testing.F) {
	for _, s := range []string{"WDJB-MJHT", "wdjb mjht", "ı", "K", strings.Repeat("B", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		code, ok := ParseUserCode(s)
		if !ok {
			return
		}
		if len(code) != userCodeLen || strings.Trim(code, userCodeAlphabet) != "" {
			t.Fatalf("%q is read as %q", s, code)
		}
		if again, ok := ParseUserCode(FormatUserCode(code)); !ok || again != code {
			t.Fatalf("%q does not read back", code)
		}
	})
}

// Only what this server sealed opens, and it is sealed in one way only.
func FuzzOpenRefresh(f *testing.F) {
	s := testServer(f)
	f.Add(s.newRefresh("0190a0a0-0000-7000-8000-000000000001"))
	f.Add(secret.Encode(secret.PrefixRefreshToken, make([]byte, refreshSize)))
	f.Add("gth_rt_")
	f.Fuzz(func(t *testing.T, token string) {
		if id, sec, ok := s.openRefresh(token); ok && s.sealRefresh(id, sec) != token {
			t.Fatalf("%q opens as %s", token, id)
		}
	})
}

func FuzzClaimsParameter(f *testing.F) {
	for _, s := range []string{
		`{"userinfo":{"email":null},"id_token":{"acr":{"essential":true,"values":["aal2"]}}}`, `{"id_token":{"sub":{"value":"x"}}}`, `null`, `[]`,
		`{"id_token":{"acr":null,"sub":null}}`, `{"userinfo":{"a":{"values":[{},[],1]}}}`, `{"id_token":{"acr":{"value":5}}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		r := &request{}
		if err := r.readClaims(raw); err != nil {
			if Wire(err).Code != "invalid_request" {
				t.Fatal(err)
			}
			return
		}
		again := &request{}
		if err := again.readClaims(string(r.claims)); err != nil && len(r.claims) <= maxClaims {
			t.Fatalf("what is kept cannot be read again: %s: %v", r.claims, err)
		} else if err == nil && (again.acr != r.acr || again.essential != r.essential || again.subject != r.subject) {
			t.Fatalf("%s means something else: %+v %+v", r.claims, r, again)
		}
		profileOf(fuzzUser(), nil, wants(r.claims).IDToken)
	})
}

func FuzzBasicCredentials(f *testing.F) {
	for _, s := range []string{"Basic YTpi", "basic YSUyMGI6Yw==", "Basic", "Bearer x", "Basic ====", "Basic YTo="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, h string) {
		id, _, ok, err := basicCredentials(h)
		if ok && (err != nil || id == "") {
			t.Fatalf("%q: %q %v", h, id, err)
		}
		if err != nil && Wire(err).Code != "invalid_client" {
			t.Fatalf("%q: %v", h, err)
		}
	})
}

func fuzzUser() *identity.User {
	return &identity.User{ID: "u", Email: "a@b.example", Phone: "+1", Name: "A"}
}
