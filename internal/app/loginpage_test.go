package app

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// The sign-in page, with the question to a passkey and with the flow of an app, needs no statement
// of the database, and few allocations.
func TestLoginPageNeedsNoDatabase(t *testing.T) {
	h := newTestServer(t, "PRIMARY_COLOR=#7c3aed", "TERMS_URL=https://example.com/terms")
	get := func(path string) *httptest.ResponseRecorder {
		t.Helper()
		r := h.request("GET", path, nil, "")
		r.Header.Set("Accept-Language", "de-DE,de;q=0.9,en;q=0.5")
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		return w
	}
	ask := url.Values{
		"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {"https://a.example/cb"}, "scope": {"openid"}, "state": {"s"},
		"code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"},
	}
	flow := get("/oauth/authorize?" + ask.Encode()).Header().Get("Location")
	if !strings.HasPrefix(flow, "/login?flow=") {
		t.Fatalf("the request leads to %q", flow)
	}
	testkit.Must(t, h.parts.db.Close())
	for path, budget := range map[string]float64{"/login": 100, flow: 140} {
		w := get(path)
		for _, want := range []string{`<html lang="de"`, `data-options="{`, `name="password"`} {
			if page := w.Body.String(); w.Code != 200 || !strings.Contains(page, want) {
				t.Fatalf("%.20s: %d without %s\n%s", path, w.Code, want, page)
			}
		}
		allocations := testing.AllocsPerRun(100, func() { get(path) })
		if allocations > budget && !raceEnabled {
			t.Errorf("%.20s: %.0f allocations, budget %.0f", path, allocations, budget)
		}
	}
}
