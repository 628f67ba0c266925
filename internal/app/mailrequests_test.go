package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestMailRequestsAreBoundedInAll requests links to set a password from many addresses, for a known
// and an unknown mailbox.
func TestMailRequestsAreBoundedInAll(t *testing.T) {
	h := newTestServer(t, "RATE_LIMIT_MAIL_REQUESTS=4", "METRICS_PORT=9464")
	answers := map[string][]string{}
	for i := range 8 {
		for _, email := range []string{"ada@example.com", "nobody@example.com"} {
			r := httptest.NewRequest(http.MethodPost, "/api/v1/password-reset",
				strings.NewReader(fmt.Sprintf(`{"email":%q}`, email)))
			r.RemoteAddr = fmt.Sprintf("198.51.%d.%d:5", i, len(email))
			r.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			h.handler.ServeHTTP(w, r)
			if accepted := w.Code < 300; accepted != (i < 2) {
				t.Fatalf("round %d, %s: %d %s", i, email, w.Code, w.Body)
			}
			if w.Code >= 300 && (w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "") {
				t.Errorf("round %d: %d %v", i, w.Code, w.Header())
			}
			answers[email] = append(answers[email], fmt.Sprint(w.Code, w.Body))
		}
	}
	testkit.Equal(t, "answers", answers["ada@example.com"][0], answers["nobody@example.com"][0])

	events, err := h.parts.db.ListAudit(t.Context(), store.AuditQuery{Type: audit.MailRequestsLimited})
	testkit.Must(t, err)
	testkit.Equal(t, "events", len(events), 1)
	testkit.Equal(t, "kind", events[0].Detail["rate"], login.RequestReset)
	want := `gatehouse_mail_requests_refused_total{kind="password_reset"} 12`
	if !strings.Contains(h.scrape("text/plain"), want+"\n") {
		t.Error("the metrics have no " + want)
	}
}

// A browser in which somebody has signed in gets its message while strangers have used up what is
// accepted in all, and the kinds of requests are counted separately. Addresses of
// RATE_LIMIT_WHITELIST are not counted.
func TestStrangersKeepNobodyFromMessages(t *testing.T) {
	h := newTestServer(t, "RATE_LIMIT_MAIL_REQUESTS=1", "RATE_LIMIT_WHITELIST=192.0.2.0/24")
	m := h.parts.mailRequests
	admit := func(ip string, r login.Request) bool {
		return m.admit(t.Context(), login.Visit{IP: ip, Now: h.now}, r) == nil
	}
	stranger := login.Request{Kind: login.RequestReset}
	testkit.Equal(t, "the first request", admit("198.51.100.1", stranger), true)
	testkit.Equal(t, "the second request", admit("198.51.100.2", stranger), false)
	testkit.Equal(t, "an exempt address", admit("192.0.2.1", stranger), true)
	testkit.Equal(t, "another kind", admit("198.51.100.1", login.Request{Kind: login.RequestCode}), true)
	known := login.Request{Kind: login.RequestReset, Browser: "browser"}
	for range knownBrowserRate().Max {
		testkit.Equal(t, "a known browser", admit("198.51.100.3", known), true)
	}
	testkit.Equal(t, "a known browser beyond its own limit", admit("198.51.100.3", known), false)
}

// Without rate limits nothing is counted, and 0 is no limit.
func TestMailRequestsWithoutLimit(t *testing.T) {
	for _, setting := range []string{"RATE_LIMIT_MAIL_REQUESTS=0", "RATE_LIMIT_ENABLED=false"} {
		h := newTestServer(t, setting)
		for range 3 {
			err := h.parts.mailRequests.admit(t.Context(), login.Visit{Now: h.now}, login.Request{Kind: login.RequestCode})
			testkit.Must(t, err)
		}
	}
	c, err := config.Load(config.Source{})
	testkit.Must(t, err)
	testkit.Equal(t, "the default", c.RateLimits.MailRequests, 5000)
}
