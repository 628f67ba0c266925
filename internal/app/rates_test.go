package app

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
)

// Every endpoint that authenticates a client or takes a token has a rate of its own.
func TestEveryEndpointHasARate(t *testing.T) {
	for _, c := range []struct{ setting, method, path string }{
		{"TOKEN", "POST", "/oauth/token"}, // once when the server of the test is made
		{"INTROSPECT", "POST", "/oauth/introspect"},
		{"INTROSPECT", "POST", "/token/introspect"},
		{"REVOKE", "POST", "/oauth/revoke"},
		{"REVOKE", "POST", "/token/revoke"},
		{"REVOCATIONS", "GET", "/oauth/revocations"},
		{"USERINFO", "GET", "/oauth/userinfo"},
		{"TOKENINFO", "GET", "/oauth/tokeninfo"},
		{"DEVICE", "POST", "/oauth/device/code"},
	} {
		t.Run(c.path, func(t *testing.T) {
			h := newTestServer(t, "RATE_LIMIT_"+c.setting+"_MAX=3")
			form := url.Values{"token": {"invented"}, "grant_type": {"client_credentials"}}
			allowed := 3
			if c.setting == "TOKEN" {
				allowed = 2
			}
			for i := range 5 {
				r := h.request(c.method, c.path, form, "")
				if c.method == http.MethodPost {
					r.SetBasicAuth("stranger", "guess")
				} else {
					r.Header.Set("Authorization", "Bearer invented")
				}
				w := httptest.NewRecorder()
				h.handler.ServeHTTP(w, r)
				if limited := w.Code == http.StatusTooManyRequests; limited != (i >= allowed) {
					t.Errorf("request %d: %d %s", i+1, w.Code, w.Body)
				}
			}
		})
	}
}
