package app

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
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

// TestCallersBeyondARateAreRecordedOnce sends many requests beyond a rate from two addresses.
func TestCallersBeyondARateAreRecordedOnce(t *testing.T) {
	h := newTestServer(t, "RATE_LIMIT_USERINFO_MAX=1")
	for _, peer := range []string{"192.0.2.1:5", "192.0.2.2:5"} {
		for range 6 {
			r := h.request("GET", "/oauth/userinfo", nil, "invented")
			r.RemoteAddr = peer
			h.handler.ServeHTTP(httptest.NewRecorder(), r)
		}
	}
	events, err := h.parts.db.ListAudit(t.Context(), store.AuditQuery{Type: audit.RateLimitExceeded})
	testkit.Must(t, err)
	if n := len(events); n < 2 || n > 4 { // the minute may end in between
		t.Fatalf("%d events", n)
	}
	testkit.Equal(t, "rate", events[0].Detail["rate"], "userinfo")
	recorded := map[string]bool{}
	for _, ev := range events {
		recorded[ev.IP] = true
	}
	testkit.Equal(t, "addresses", recorded, map[string]bool{"192.0.2.1": true, "192.0.2.2": true})
}

// TestChangedSettingsAreRecorded starts servers on one database, the last ones with another
// setting.
func TestChangedSettingsAreRecorded(t *testing.T) {
	url := storetest.SQLite(t)
	e := &env{stdout: io.Discard, stderr: io.Discard, now: time.Now}
	start := func(ctx context.Context, name string) []audit.Event {
		cfg, err := config.Load(config.Source{Env: []string{
			"DATABASE_URL=" + url, "SECRET_KEY=0123456789abcdef0123456789abcdef", "APP_NAME=" + name,
		}})
		testkit.Must(t, err)
		p, err := openParts(ctx, e, cfg, nil)
		testkit.Must(t, err)
		defer p.Close()
		testkit.Must(t, recordSettings(ctx, e, p))
		events, err := p.db.ListAudit(ctx, store.AuditQuery{Type: audit.SettingsChanged})
		testkit.Must(t, err)
		return events
	}
	testkit.Equal(t, "events of the first start", len(start(t.Context(), "One")), 0)
	testkit.Equal(t, "events of the same settings", len(start(t.Context(), "One")), 0)
	events := start(t.Context(), "Two")
	testkit.Equal(t, "events", len(events), 1)
	testkit.Equal(t, "changes", events[0].Changes, []audit.Change{{Field: "APP_NAME", Before: "One", After: "Two"}})
	testkit.Equal(t, "events of the new settings", len(start(t.Context(), "Two")), 1)
}
