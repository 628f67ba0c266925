package ui_test

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// The person signs in, sees which device asks, and decides (RFC 8628 §3.3).
func TestActivate(t *testing.T) {
	for action, want := range map[string]string{"approve": `"access_token"`, "deny": `"access_denied"`} {
		t.Run(action, func(t *testing.T) {
			s := newSite(t)
			device, code := s.pair()
			b := s.browser()
			b.get("/device?user_code=" + code)
			b.shows(200, `name="password"`)
			b.submit("username", s.user.Email, "password", "password")
			b.shows(200, `name="user_code"`, `value="`+code+`"`)
			b.submit("user_code", strings.ToLower(strings.ReplaceAll(code, "-", " ")))
			b.shows(200, code, "Demo &lt;App&gt;", "View your email address")
			if got := s.poll(device); !strings.Contains(got, "authorization_pending") {
				t.Fatalf("before the answer: %s", got)
			}
			b.submit("consent_action", action)
			b.shows(200, "Demo &lt;App&gt;")
			s.now = s.now.Add(6 * time.Second)
			if got := s.poll(device); !strings.Contains(got, want) {
				t.Fatalf("after it: %s", got)
			}
		})
	}
}

func TestActivateRejections(t *testing.T) {
	s := newSite(t)
	b := s.signedIn(s.user)
	b.get("/activate?code=<script>")
	b.shows(200, `name="user_code"`)
	if strings.Contains(b.last.Body.String(), "<script>") {
		t.Fatal("markup comes back")
	}
	for _, typed := range []string{"", "BBBB-BBBB", "no code"} {
		b.get("/activate")
		b.submit("user_code", typed)
		b.shows(400, "not known")
	}
	b.post("/activate/confirm", url.Values{"user_code": {"BBBB-BBBB"}, "consent_action": {"approve"}})
	b.shows(400)
	_, code := s.pair()
	b.post("/activate/confirm", url.Values{"user_code": {code}})
	b.shows(400, "Your decision is missing")
	s.limiter.full = true
	b.post("/activate", url.Values{"user_code": {code}})
	b.shows(429)
	s.limiter.full = false
	stranger := s.browser()
	stranger.post("/activate/confirm", url.Values{"user_code": {code}, "consent_action": {"approve"}})
	stranger.shows(200, `name="password"`)
	if _, err := s.db.DeviceByUserCode(t.Context(), strings.ReplaceAll(code, "-", ""), s.now); err != nil {
		t.Fatalf("somebody answered: %v", err)
	}
}
