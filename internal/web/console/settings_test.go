package console_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/doctor"
)

func TestSettings(t *testing.T) {
	s := newSite(t)
	s.get("/admin/settings").shows(200, "APP_NAME", "Default: Gatehouse", "Set, not shown", "&lt;img", "Environment", "8080").wellFormed()
	s.get("/admin/settings?search=password&group=Mail").shows(200, "SMTP_PASSWORD", `value="Mail" selected`).hides("APP_NAME")
	s.get("/admin/settings?show=set").shows(200, "APP_NAME").hides("PORT")
	s.get("/admin/settings?show=default").shows(200, "PORT").hides("APP_NAME")
	s.get("/admin/settings?search=nothing").shows(200, "No setting matches", "Clear")
	s.get("/admin/settings?offset=1").shows(200, "First page")
}

// The page says first what needs somebody; what a name of a client says is shown as text.
func TestDoctor(t *testing.T) {
	s := newSite(t)
	s.get("/admin/doctor").shows(200, "All is well").wellFormed()
	s.facts.Now = s.now
	s.facts.Disks = []doctor.Disk{{Path: "/", Free: 50 << 30, Total: 100 << 30}}
	s.facts.Clock = &doctor.Clock{Unsynchronized: true}
	s.get("/admin/doctor").shows(200, "Nothing is broken; 1 warning found", "chrony", "Checks that passed", "gatehouse doctor").wellFormed()
	s.facts.Clients = []doctor.Client{{Name: hostile, PlainPKCE: true}}
	s.facts.Database = &doctor.Database{Err: "refused"}
	s.get("/admin/doctor").shows(200, "1 problem found", "DATABASE_URL", "plain").wellFormed()
}

func TestRegistrations(t *testing.T) {
	s := newSite(t)
	s.get("/admin/registrations").shows(200, "There are no initial access tokens")
	s.get("/admin/registrations/new").shows(200, `name="grant_types-authorization_code" value="on" checked`, "registration create").wellFormed()
	s.post("/admin/registrations", "count", "many", "expires_in", "soon", "description", hostile).shows(400, `id="f-count-error"`, `id="f-expires_in-error"`).wellFormed()
	s.post("/admin/registrations", "count", "0").shows(400, `id="f-count-error"`)
	s.post("/admin/registrations", "expires_in", "400d").shows(400, `id="f-expires_in-error"`)
	s.post("/admin/registrations", "scopes", "admin").shows(400, "Error")
	p := s.post("/admin/registrations", "description", hostile, "count", "3", "expires_in", "7d", "grant_types-authorization_code", "on", "redirect_hosts", "*.example.com\nb.example")
	p.shows(200, "it is not shown again", "3 clients", "/oauth/register, until 11 May 2026", `<code id="secret">gth_`).wellFormed()
	p = s.get("/admin/registrations").shows(200, "0 of 3", "Active", "authorization_code", "1 token").wellFormed()
	p.hides("gth_")
	path := regexp.MustCompile(`href="(/admin/registrations/[^"]+/revoke)"`).FindStringSubmatch(p.Body.String())[1]
	s.get(path).shows(200, "The clients that it registered stay", "registration revoke")
	s.now = s.now.Add(8 * 24 * time.Hour)
	s.signIn(s.user)
	s.get("/admin/registrations").shows(200, "Expired")
	s.post(path).leads("/admin/registrations?done=revoked")
	s.post(path).shows(404)
	for range 51 {
		s.post("/admin/registrations").shows(200)
	}
	s.get("/admin/registrations").shows(200, "51 tokens", "/admin/registrations?offset=50")
	s.get("/admin/registrations?offset=50").shows(200, "First page")
	s.post("/admin/registrations", "description", hostile, "count", "3", "expires_in", "1h", "resources", "https://api.example", "token_endpoint_auth_methods", "x").shows(400, "--resource=https://api.example", "--expires-in=1h0m0s")
}
