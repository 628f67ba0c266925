package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/access"
)

// ask sends a proxy's forward-auth request.
func (w *world) ask(method, host, target string, headers ...string) *httptest.ResponseRecorder {
	r := request(w.t, method, host, target, headers...)
	r.RemoteAddr = "10.0.0.1:1"
	return w.do(r)
}

// proxies returns the ways in which proxies ask about a request, by name.
func proxies() map[string]func(w *world, method, path string, headers ...string) *httptest.ResponseRecorder {
	return map[string]func(w *world, method, path string, headers ...string) *httptest.ResponseRecorder{
		"traefik": func(w *world, method, path string, headers ...string) *httptest.ResponseRecorder {
			return w.ask("GET", "id.example", "/gateway/check", append(headers, "X-Forwarded-Method: "+method, "X-Forwarded-Proto: https", "X-Forwarded-Host: app.example", "X-Forwarded-Uri: "+path, "X-Forwarded-For: 192.0.2.7")...)
		},
		"nginx": func(w *world, method, path string, headers ...string) *httptest.ResponseRecorder {
			return w.ask("GET", "id.example", "/gateway/check", append(headers, "X-Original-Method: "+method, "X-Forwarded-Proto: https", "X-Original-Host: app.example", "X-Original-URI: "+path, "X-Forwarded-For: 192.0.2.7")...)
		},
		"nginx by address": func(w *world, method, path string, headers ...string) *httptest.ResponseRecorder {
			return w.ask("GET", "id.example", "/gateway/check", append(headers, "X-Original-Method: "+method, "X-Original-URL: https://app.example"+path, "X-Forwarded-For: 192.0.2.7")...)
		},
		"envoy": func(w *world, method, path string, headers ...string) *httptest.ResponseRecorder {
			return w.ask(method, "app.example", "/gateway/check"+path, append(headers, "X-Forwarded-Proto: https", "X-Forwarded-For: 192.0.2.7")...)
		},
	}
}

func pages(edit ...func(*access.Route)) []access.Route {
	r := access.Route{ID: "0190f2d0-0000-7000-8000-000000000002", Name: "app", Prefix: "/", Host: "app.example", Browser: true}
	for _, f := range edit {
		f(&r)
	}
	return []access.Route{r}
}

func TestForwardAuthReturnsIdentityHeaders(t *testing.T) {
	w := newWorld(t, pages(func(r *access.Route) { r.Methods = []string{"PATCH"} }))
	for name, ask := range proxies() {
		rec := ask(w, "PATCH", "/page?x=1", "Authorization: Bearer "+w.token())
		h := rec.Header()
		if rec.Code != http.StatusOK || rec.Body.Len() != 0 {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
			continue
		}
		for header, want := range map[string]string{
			"X-Auth-User": string(w.user.ID), "X-Auth-User-Name": "Ada Lovelace", "X-Auth-Client": string(w.client.ID), "X-Auth-Roles": "editor", "X-Auth-Scopes": "read write",
		} {
			if h.Get(header) != want {
				t.Errorf("%s: %s is %q, want %q", name, header, h.Get(header), want)
			}
		}
		if info := w.info(h.Get("X-Auth-Info")); info["aud"] != "https://app.example" || info["route"] != w.routes[0].ID {
			t.Errorf("%s: %v", name, info)
		}
	}
}

// All headers are written for anonymous callers, too, so that a proxy that copies them overwrites
// what the caller sent.
func TestForwardAuthClearsHeadersOfAnonymousCallers(t *testing.T) {
	w := newWorld(t, pages(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	for name, ask := range proxies() {
		rec := ask(w, "GET", "/", "X-Auth-User: forged")
		for _, header := range []string{"X-Auth-User", "X-Auth-User-Name", "X-Auth-Client", "X-Auth-Roles", "X-Auth-Scopes"} {
			if v, ok := rec.Header()[header]; !ok || len(v) != 1 || v[0] != "" {
				t.Errorf("%s: %s is %q", name, header, v)
			}
		}
	}
}

func TestForwardAuthNamesInHeaders(t *testing.T) {
	w := newWorld(t, pages())
	before := *w.user
	w.user.Name = "Zoë 100% \r\nX-Evil: 1"
	must(t, w.db.UpdateUser(t.Context(), &before, w.user))
	rec := proxies()["traefik"](w, "GET", "/", "Authorization: Bearer "+w.token())
	if got := rec.Header().Get("X-Auth-User-Name"); got != "Zo%C3%AB 100%25 %0D%0AX-Evil: 1" {
		t.Errorf("%q", got)
	}
}

func TestForwardAuthDenies(t *testing.T) {
	w := newWorld(t, pages(func(r *access.Route) { r.Scopes = []string{"admin"} }))
	for name, ask := range proxies() {
		nginx := strings.HasPrefix(name, "nginx")
		rec := ask(w, "GET", "/page?x=1", "Accept: application/json")
		if rec.Code != http.StatusUnauthorized || !strings.Contains(rec.Header().Get("WWW-Authenticate"), `resource_metadata="https://app.example/.well-known/oauth-protected-resource"`) {
			t.Errorf("%s, nobody: %d %v", name, rec.Code, rec.Header())
		}
		if rec = ask(w, "GET", "/", "Authorization: Bearer "+w.token()); rec.Code != http.StatusForbidden || problemOf(t, rec).Error != "insufficient_scope" {
			t.Errorf("%s, no scope: %d %s", name, rec.Code, rec.Body)
		}
		rec = ask(w, "GET", "/a/../b", "Authorization: Bearer "+w.token())
		if want := map[bool]int{true: 403, false: 400}[nginx]; rec.Code != want || nginx && rec.Header().Get("X-Auth-Status") != "400" {
			t.Errorf("%s, a path trick: %d", name, rec.Code)
		}
	}
}

func TestForwardAuthUnknownAddressIsForbidden(t *testing.T) {
	w := newWorld(t, shop())
	rec := w.ask("GET", "id.example", "/gateway/check", "X-Forwarded-Method: GET", "X-Forwarded-Host: other.example", "X-Forwarded-Uri: /")
	if rec.Code != http.StatusForbidden || w.lastDenial().Denial.Rule != "route" {
		t.Errorf("%d %+v", rec.Code, w.lastDenial())
	}
}

func TestInvalidForwardAuthRequests(t *testing.T) {
	w := newWorld(t, pages(func(r *access.Route) { r.Unidentified, r.Rate = true, -1 }))
	uri, host, method := "X-Forwarded-Uri: /", "X-Forwarded-Host: app.example", "X-Forwarded-Method: GET"
	for name, row := range map[string]struct {
		target  string
		headers []string
	}{
		"nothing":                 {"/gateway/check", nil},
		"two ways":                {"/gateway/check", []string{uri, host, method, "X-Original-URI: /public"}},
		"a path and a header":     {"/gateway/check/private", []string{uri, host, method}},
		"an address and a header": {"/gateway/check", []string{uri, host, method, "X-Original-URL: https://app.example/"}},
		"no method":               {"/gateway/check", []string{uri, host}},
		"no host":                 {"/gateway/check", []string{uri, method}},
		"two methods":             {"/gateway/check", []string{uri, host, method, method}},
		"two hosts in one":        {"/gateway/check", []string{uri, method, "X-Forwarded-Host: app.example, evil.example"}},
		"two addresses":           {"/gateway/check", []string{uri, uri, host, method}},
		"nginx without a method":  {"/gateway/check", []string{"X-Original-URI: /", "X-Original-Host: app.example"}},
		"nginx without a host":    {"/gateway/check", []string{"X-Original-URI: /", "X-Original-Method: GET"}},
		"no http address":         {"/gateway/check", []string{"X-Original-URL: ftp://app.example/", "X-Original-Method: GET"}},
		"a path alone":            {"/gateway/check", []string{"X-Original-URL: /", "X-Original-Method: GET"}},
		"no slash":                {"/gateway/check", []string{"X-Forwarded-Uri: x", host, method}},
		"a bad host":              {"/gateway/check", []string{uri, method, "X-Forwarded-Host: app.example/x"}},
	} {
		if rec := w.ask("GET", "app.example", row.target, row.headers...); rec.Code != http.StatusBadRequest && rec.Code != http.StatusForbidden {
			t.Errorf("%s: %d", name, rec.Code)
		}
	}
	if rec := w.ask("GET", "id.example", "/gateway/check", uri, host, method); rec.Code != http.StatusOK {
		t.Errorf("the sound question: %d %s", rec.Code, rec.Body)
	}
}

func TestForwardAuthIsForTrustedProxiesOnly(t *testing.T) {
	w := newWorld(t, pages(func(r *access.Route) { r.Unidentified = true }))
	rec := w.get("/gateway/check", "X-Forwarded-Method: GET", "X-Forwarded-Host: app.example", "X-Forwarded-Uri: /")
	if rec.Code != http.StatusForbidden || !strings.Contains(problemOf(t, rec).Description, "TRUSTED_PROXIES") {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
}

func TestForwardAuthRedirectsToSignIn(t *testing.T) {
	own := access.Route{ID: "own", Domain: "pages", Version: "v1", Host: "id.example", Browser: true}
	w := newWorld(t, append(pages(), own), func(o *gatewayOptions) { o.Apps = &noApps{} })
	html := "Accept: text/html,application/xhtml+xml"
	for name, ask := range proxies() {
		rec := ask(w, "GET", "/page?x=1&y=%2F", html)
		to := rec.Header().Get("Location")
		if strings.HasPrefix(name, "nginx") { // which takes no redirect for an answer
			to = rec.Header().Get("X-Auth-Login")
			if rec.Code != http.StatusUnauthorized || rec.Header().Get("Location") != "" {
				t.Errorf("%s: %d", name, rec.Code)
			}
		} else if rec.Code != http.StatusFound {
			t.Errorf("%s: %d", name, rec.Code)
		}
		if want := "https://app.example/session/login?return_to=" + url.QueryEscape("/page?x=1&y=%2F"); to != want {
			t.Errorf("%s: to %s, want %s", name, to, want)
		}
		for _, header := range []string{"Sec-Fetch-Mode: cors", "Accept: */*"} {
			if rec := ask(w, "GET", "/page", header); rec.Code != http.StatusUnauthorized || rec.Header().Get("Location") != "" {
				t.Errorf("%s, %s: %d", name, header, rec.Code)
			}
		}
		if rec := ask(w, "POST", "/page", html); rec.Code != http.StatusUnauthorized {
			t.Errorf("%s, a form: %d", name, rec.Code)
		}
	}
	rec := w.ask("GET", "id.example", "/gateway/check", "X-Forwarded-Method: GET", "X-Forwarded-Proto: https", "X-Forwarded-Host: id.example", "X-Forwarded-Uri: /pages/v1/x?y", html)
	if to := rec.Header().Get("Location"); to != issuer+"/gateway/login?return_to="+url.QueryEscape(issuer+"/pages/v1/x?y") {
		t.Errorf("at our own host: %s", to)
	}
}

// A preflight carries no credential (Fetch Standard §4.8.1). It passes as that of an anonymous
// caller where the route names the origin.
func TestForwardAuthPreflight(t *testing.T) {
	w := newWorld(t, pages(func(r *access.Route) { r.CORS, r.Rate = []string{"https://ui.example"}, -1 }))
	for name, ask := range proxies() {
		rec := ask(w, "OPTIONS", "/", "Origin: https://ui.example", "Access-Control-Request-Method: PUT")
		if rec.Code != http.StatusOK || rec.Header().Get("X-Auth-User") != "" {
			t.Errorf("%s: %d", name, rec.Code)
		}
		if rec = ask(w, "OPTIONS", "/", "Origin: https://evil.example", "Access-Control-Request-Method: PUT"); rec.Code != http.StatusUnauthorized {
			t.Errorf("%s, another origin: %d", name, rec.Code)
		}
	}
}
