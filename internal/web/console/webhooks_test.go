package console_test

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// SendTest answers as the address of a webhook says.
func (s *site) SendTest(_ context.Context, w *webhook.Webhook, _ string, _ []byte, _ time.Time) webhook.Answer {
	if strings.Contains(w.URL, "broken") {
		return webhook.Answer{Status: 500, Body: hostile, Duration: time.Second, Err: errors.New("the target answered 500")}
	}
	return webhook.Answer{Status: 204, Duration: 12 * time.Millisecond}
}

// newWebhook subscribes an address and returns the id.
func (s *site) newWebhook(address string) string {
	s.t.Helper()
	out, err := s.ops.CreateWebhook(s.t.Context(), s.actor(), webhook.Patch{
		Values: webhook.Webhook{URL: address, Events: []string{"user.*"}, Description: hostile}, Names: []string{"url", "events", "description"},
	})
	testkit.Must(s.t, err)
	return string(out.Webhook.ID)
}

func TestWebhooks(t *testing.T) {
	s := newSite(t)
	s.get("/admin/webhooks").shows(200, "There are no webhooks yet", "gatehouse webhook create")
	s.get("/admin/webhooks/new").shows(200, `name="events-user.*"`, `name="active" type="checkbox" value="on" checked`, "Every event").wellFormed()
	s.post("/admin/webhooks", "url", "ftp://x", "events-user.login", "on").shows(400, `id="f-url-error"`, `name="events-user.login" value="on" checked`, `<details class="choices" open>`).wellFormed()
	s.post("/admin/webhooks", "url", "https://hooks.example.com/x").shows(400, `id="f-events"`)
	p := s.post("/admin/webhooks", "url", "https://hooks.example.com/x", "events-user.*", "on", "events-client.created", "on", "active", "on", "description", hostile)
	p.shows(200, "whsec_", "it is not shown again", "hooks.example.com").wellFormed()
	id := regexp.MustCompile(`/admin/webhooks/([0-9a-f-]{36})`).FindStringSubmatch(p.Body.String())[1]
	path := "/admin/webhooks/" + id
	s.get("/admin/webhooks").shows(200, "client.created, user.*", "On", "&lt;img").wellFormed()
	s.get(path).shows(200, "Send a test", "Rotate secret", "Nothing was sent").wellFormed()
	s.post(path + "/test").leads(path + "?done=tested")
	s.get(path+"?done=tested").shows(200, "has accepted", "204 No Content, 12ms", "webhook.tested").hides("whsec_")
	s.get(path+"/edit").shows(200, `name="events-user.*" value="on" checked`, "webhook update "+id)
	s.get(path+"/edit").submit(path+"/edit", "url", "https://broken.example/", "events-*", "on").leads(path + "?done=updated")
	s.get("/admin/webhooks").shows(200, "Off")
	s.post(path + "/test").leads(path + "?done=failed")
	p = s.get(path+"?done=failed").shows(200, "did not accept", "500 Internal Server Error", "Given up", "Resend").wellFormed()
	resend := regexp.MustCompile(`action="([^"]+/resend)"`).FindStringSubmatch(p.Body.String())[1]
	p.post(resend, "page", path+"?state=dead").leads(path + "?done=resent&state=dead")
	s.get(path+"?state=resend").shows(200, "To be sent again", "1 delivery")
	s.get(path+"?state=strange").shows(400, "There is no state")
	s.get(path+"/rotate").shows(200, "carry both signatures")
	s.post(path+"/rotate", "overlap", "30d").shows(400, `id="f-overlap-error"`)
	s.post(path+"/rotate", "overlap", "x").shows(400, `id="f-overlap-error"`)
	s.post(path+"/rotate").shows(200, "whsec_", "signature of the former secret, until 5 May 2026").wellFormed()
	s.get(path).shows(200, "Signs until")
	p = s.get(path + "/edit")
	p.submit(path+"/edit", "url", "nonsense", "events-*", "on").shows(400, `id="f-url-error"`)
	_, err := s.ops.UpdateWebhook(t.Context(), s.actor(), id, webhook.Patch{Values: webhook.Webhook{Description: "other"}, Names: []string{"description"}}, 0)
	testkit.Must(t, err)
	p.submit(path+"/edit", "url", "https://broken.example/", "events-*", "on").shows(412, "Somebody changed this", "<bdi>other</bdi>")
	s.get(path+"/delete").shows(200, "none of those that wait")
	s.post(path + "/delete").leads("/admin/webhooks?done=deleted")
	s.get(path).shows(404)
}

func TestDeliveries(t *testing.T) {
	s := newSite(t)
	id := s.newWebhook("https://hooks.example.com/x")
	for i := range 51 {
		d := &webhook.Delivery{
			ID: secret.NewID(s.now), Webhook: webhook.ID(id), Event: secret.NewID(s.now), Type: audit.LoginFailed, State: webhook.Queued, Attempts: 2,
			CreatedAt: s.now, NextAttemptAt: s.now.Add(time.Minute), Error: hostile,
		}
		if i == 0 {
			d.State = webhook.Dead
		}
		testkit.Must(t, s.db.SaveDelivery(t.Context(), d))
	}
	p := s.get("/admin/webhooks/"+id).shows(200, "51 deliveries", "2 attempts, next in 1 minute", "Next page", "/admin/audit/").wellFormed()
	next := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(p.Body.String())[1]
	s.get(strings.ReplaceAll(next, "&amp;", "&")).shows(200, "First page", "Given up")
}

func TestSinks(t *testing.T) {
	s := newSite(t)
	s.get("/admin/audit/sinks").shows(200, "The log is not delivered anywhere", "/admin/audit/sinks/cleanup")
	s.get("/admin/audit/sinks/cleanup").shows(200, "gatehouse audit cleanup", "what was removed is recorded")
	s.post("/admin/audit/sinks/cleanup").shows(409, "events are kept forever")
	id := s.newWebhook("https://hooks.example.com/x")
	for _, name := range []string{webhook.SinkPrefix + id, "syslog", "file"} {
		x, err := s.db.OpenSink(t.Context(), name, s.now)
		testkit.Must(t, err)
		old := x.Position
		x.Delivered, x.DeliveredAt = 1200, s.now
		var gaps []audit.Gap
		if name == "syslog" {
			x.FailingSince, x.NextAttemptAt, x.LastError, x.Attempts = s.now, s.now.Add(time.Minute), hostile, 3
			gaps = []audit.Gap{
				{ID: secret.NewID(s.now), Sink: name, Parked: true, Reason: audit.GapRefused, Events: 3, CreatedAt: s.now, Error: hostile},
				{ID: secret.NewID(s.now), Sink: name, Reason: audit.GapAway, Events: 1, CreatedAt: s.now},
			}
		}
		testkit.Must(t, s.db.AdvanceSink(t.Context(), old, x, gaps))
	}
	testkit.Must(t, s.db.KeepSinks(t.Context(), []string{"syslog", webhook.SinkPrefix + id}))
	s.get("/admin/audit/sinks").shows(200, "/admin/webhooks/"+id, "1,200", "Failing", "next attempt in 1 minute", "Off", "Given up", "Away").wellFormed()
}

// settings returns two settings.
func settings() []admin.Setting {
	return []admin.Setting{
		{Name: "SMTP_PASSWORD", Group: "Mail", Secret: true, Source: "environment", Description: "The password."},
		{Name: "APP_NAME", Group: "Look", Value: hostile, Default: "Gatehouse", Source: "file", Description: "The name of the server."},
		{Name: "PORT", Group: "Server", Value: "8080", Default: "8080", Source: "default", Description: "The port."},
	}
}
