package console_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/web/console"
)

// newClient registers a client and returns its id.
func (s *site) newClient(c client.Client) string {
	s.t.Helper()
	p := admin.ClientPatch{Values: c}
	for _, f := range client.Fields(token.ClientRules()) {
		if !f.IsZero(&c) {
			p.Names = append(p.Names, f.Name)
		}
	}
	out, err := s.ops.CreateClient(s.t.Context(), s.actor(), admin.NewClient{ID: c.ID, Fields: p})
	testkit.Must(s.t, err)
	return string(out.Client.ID)
}

// furnishApps makes one of each thing that apps use, and returns their ids.
func (s *site) furnishApps() map[string]string {
	s.t.Helper()
	c := webApp()
	c.Name, c.Description = hostile, hostile
	id := s.newClient(c)
	grant := &oauth.Grant{
		ID: oauth.GrantID(secret.NewID(s.now)), User: s.user.ID, Client: client.ID(id), Kind: client.GrantTypeCode, Agent: hostile,
		Scopes: []string{"openid"}, CreatedAt: s.now, LastUsedAt: s.now, ExpiresAt: s.now.Add(time.Hour),
	}
	testkit.Must(s.t, s.db.PutGrant(s.t.Context(), grant))
	return map[string]string{
		"grant":   string(grant.ID),
		"webhook": s.newWebhook("https://hooks.example.com/x"),
		"initial": "0123",
		"scope":   s.newScope("things:read"), "route": s.newRoute(access.Route{Prefix: "/shop", Upstreams: []string{"http://x:1"}, Name: hostile}),
		"client": id, "secret": s.clientNow(id).Secrets[0].ID,
		"event": s.record(audit.Event{Type: audit.LoginFailed, User: hostile, Actor: hostile, Agent: hostile, IP: "192.0.2.1", Reason: "wrong_password", RequestID: hostile}),
	}
}

// clientNow returns a client as it is stored now.
func (s *site) clientNow(id string) *client.Client {
	s.t.Helper()
	c, err := s.ops.Client(s.t.Context(), s.actor(), id)
	testkit.Must(s.t, err)
	return c
}

func webApp() client.Client {
	return client.Client{
		Name: "Notes", Grants: []string{"authorization_code", "refresh_token"}, Description: "Of the web team",
		Redirects: []string{"https://notes.example.com/callback", "https://notes.example.com/second"},
	}
}

func TestClients(t *testing.T) {
	s := newSite(t)
	s.get("/admin/clients").shows(200, "There are no clients yet", "gatehouse client create", "New client").hides("Search clients")
	id := s.newClient(webApp())
	public := s.newClient(client.Client{Name: "Phone", Public: true, Grants: []string{"device_code"}})
	s.get("/admin/clients?sort=-created").shows(200, "Notes", "Phone", "and 1 more", "2 clients", "authorization_code, refresh_token", `aria-sort="descending"`).wellFormed()
	s.get("/admin/clients?type=public").shows(200, public, `value="public" selected`, "client list --type=public").hides(id)
	s.get("/admin/clients?type=confidential&search=not").shows(200, id).hides(public)
	s.get("/admin/clients?type=strange").shows(400, "There is no type")
	s.get("/admin/clients?secrets=expiring").shows(200, "No client matches", "secret_expires_before=2026-06-03")
	_, err := s.ops.AddSecret(t.Context(), s.actor(), id, 24*time.Hour)
	testkit.Must(t, err)
	s.get("/admin/clients?secrets=expiring").shows(200, id)
	for range 51 {
		s.newClient(webApp())
	}
	p := s.get("/admin/clients").shows(200, "53 clients", "Next page")
	next := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(p.Body.String())[1]
	s.get(strings.ReplaceAll(next, "&amp;", "&")).shows(200, "First page")
}

func TestNewClient(t *testing.T) {
	s := newSite(t)
	s.get("/admin/clients/new").shows(200, "Client type", `name="grant_types-authorization_code" value="on" checked`, "There are address, email").wellFormed()
	p := s.post("/admin/clients", "client_name", "", "grant_types-authorization_code", "on", "redirect_uris", "nonsense", "access_token_ttl", "soon", "jwks", "{")
	p.shows(400, `id="f-access_token_ttl-error"`, `id="f-jwks-error"`, `value="soon"`, `<details class="advanced" open>`).wellFormed()
	s.post("/admin/clients", "client_name", "x", "grant_types-authorization_code", "on", "redirect_uris", "nonsense").shows(400, `id="f-redirect_uris-error"`, "nonsense</textarea>")
	s.post("/admin/clients", "client_name", "x", "grant_types-strange", "on").shows(400, `id="f-grant_types"`)
	p = s.post("/admin/clients", "client_name", "Notes", "client_id", "notes", "grant_types-authorization_code", "on", "grant_types-client_credentials", "on",
		"redirect_uris", "https://notes.example.com/callback\r\n\r\nhttps://notes.example.com/second\r\n", "access_token_ttl", "10m",
		"rate_limits", `{ "token": {"max": 10, "window": 60} }`, "contacts", "ops@example.com")
	p.shows(200, "it is not shown again", "<code>notes</code>", "OIDC_CLIENT_SECRET=gth_cs_", "Open Notes").wellFormed()
	c := s.clientNow("notes")
	testkit.Equal(t, "redirects", strings.Join(c.Redirects, " "), "https://notes.example.com/callback https://notes.example.com/second")
	testkit.Equal(t, "grants", strings.Join(c.Grants, " "), "authorization_code client_credentials")
	testkit.Equal(t, "lifetime", c.AccessTTL, 10*time.Minute)
	testkit.Equal(t, "scopes", strings.Join(c.Scopes, " "), "openid profile email offline_access")
	s.post("/admin/clients", "client_name", "Notes", "client_id", "notes", "grant_types-client_credentials", "on").shows(409, "There is a client", "client create")
	s.post("/admin/clients", "client_name", "Phone", "public", "on", "grant_types-device_code", "on", "client_id", "phone").leads("/admin/clients/phone?done=created")
	s.get("/admin/clients/phone?done=created").shows(200, "The client was registered", "public").hides("Rotate secret", "h-secrets")
	s.post("/admin/clients", "client_name", "App", "public", "on", "grant_types-authorization_code", "on", "client_id", "app",
		"redirect_uris", "cursor://callback", "allow_custom_schemes", "on").shows(200, "Any other app", "cursor").hides("Client secret")
	// The command and the call have the values of the form.
	p = s.post("/admin/clients", "client_name", "A 'name", "grant_types-authorization_code", "on", "redirect_uris", "https://a.example/?x=$(id)\nbad", "refresh_rotation", "off", "first_party", "on", "rate_limits", `{"gateway":{"max":5,"window":1}}`)
	p.shows(400, `&#39;--name=A &#39;\&#39;&#39;name&#39;`, "&#39;--redirect-uri=https://a.example/?x=$(id)&#39;", "--first-party", "&#34;refresh_token_rotation&#34;:false", "--rate-limit=gateway=5/1s")
}

func TestEditClient(t *testing.T) {
	s := newSite(t)
	id := s.newClient(webApp())
	path := "/admin/clients/" + id
	p := s.get(path+"/edit").shows(200, `value="Notes"`, "https://notes.example.com/callback\nhttps://notes.example.com/second</textarea>", `name="grant_types-refresh_token" value="on" checked`, "client update "+id).wellFormed()
	fields := []string{"client_name", "Notes 2", "grant_types-authorization_code", "on", "redirect_uris", "https://notes.example.com/callback", "scope", "openid", "token_format", "opaque"}
	p.submit(path+"/edit", fields...).leads(path + "?done=updated")
	c := s.clientNow(id)
	testkit.Equal(t, "name", c.Name, "Notes 2")
	testkit.Equal(t, "format", c.TokenFormat, "opaque")
	testkit.Equal(t, "description", c.Description, "")
	s.get(path+"/edit").shows(200, `<details class="advanced" open>`)
	// It changes its type, and what follows from that.
	s.get(path+"/edit").submit(path+"/edit", append(fields, "public", "on")...).leads(path + "?done=updated")
	testkit.Equal(t, "method", s.clientNow(id).AuthMethod, client.MethodNone)
	s.get(path+"/edit").submit(path+"/edit", fields...).leads(path + "?done=updated")
	s.get(path+"/edit").submit(path+"/edit", append(fields, "logo_uri", "JavaScript:alert(1)")...).shows(400, `id="f-logo_uri-error"`)
	s.post(path+"/edit", fields...).shows(400, "lost its version")
	// Somebody else changes it while the form is open.
	p = s.get(path + "/edit")
	_, err := s.ops.UpdateClient(t.Context(), s.actor(), id, admin.ClientPatch{Values: client.Client{Name: "Other"}, Names: []string{"client_name"}})
	testkit.Must(t, err)
	p.submit(path+"/edit", fields...).shows(412, "Somebody changed this", "<td><bdi>Other</bdi></td>", "Edit what is stored now")
	testkit.Equal(t, "name", s.clientNow(id).Name, "Other")
}

func TestClientPage(t *testing.T) {
	s := newSite(t)
	c := webApp()
	c.Name, c.Description, c.FirstParty, c.JWKSURI = hostile, hostile, true, ""
	c.Grants = []string{"authorization_code", "client_credentials"}
	id := s.newClient(c)
	testkit.Must(t, s.db.Record(t.Context(), audit.Event{At: s.now, Type: audit.LoginFailed, Client: id, Actor: id, Reason: "wrong_secret", RequestID: "REQ1"}))
	var denied []*access.DenialRecord
	for i := range 12 {
		denied = append(denied, &access.DenialRecord{
			RequestID: fmt.Sprint("G", i), At: s.now.Add(time.Duration(i) * time.Second), Method: "GET", Path: "/shop/" + hostile, Status: 403, IP: "192.0.2.1",
			RouteName: "shop", Caller: access.RecordedCaller{Client: id}, Denial: access.RecordedDenial{Rule: "scope", Reason: "x"},
		})
		// Successes do not push failures out of sight.
		testkit.Must(t, s.db.Record(t.Context(), audit.Event{At: s.now.Add(time.Minute), Type: audit.AccessTokenIssued, Client: id, Actor: id}))
		testkit.Must(t, s.db.Record(t.Context(), audit.Event{At: s.now.Add(-time.Minute), Type: audit.ClientAuthFailed, Client: id, Actor: id, Reason: "wrong_secret"}))
	}
	testkit.Must(t, s.db.PutDenials(t.Context(), denied))
	path := "/admin/clients/" + id
	s.get(path).shows(200, "Denied by the gateway", "request=G11", "All denials of the last day", "client="+id+"&amp;failed=true")
	s.get("/admin/audit/denials?client="+id).shows(200, "12 requests", "403 Forbidden", "audit denials --client="+id, "/api/v1/denials?client_id="+id).wellFormed()
	s.get("/admin/audit/denials?client=nobody").shows(200, "No denial")
	s.get("/admin/audit?failed=true&client="+id).shows(200, "13 events", "--failed", "failed=true", "Failures and denials")
	p := s.get(path).shows(200, id, "https://notes.example.com/second", "OIDC_REDIRECT_URI=https://notes.example.com/callback", "issuer-uri", "NextAuth", "oidc.NewProvider",
		"grant_type=client_credentials", "Last failures", "/admin/audit/explain?request=REQ1", "Wrong secret", "All events", "Yes").wellFormed()
	p.hides("gth_cs_")
	for action, words := range map[string]string{
		"secret": "Valid for", "rotate": "The old secret works for", "revoke-tokens": "Everybody who uses the app", "disable": "Nothing is deleted",
		"delete": "cannot be undone",
	} {
		s.get(path+"/"+action).shows(200, words, "/api/v1/clients/"+id).wellFormed()
	}
	s.post(path+"/secret", "expires_in", "never").shows(400, `id="f-expires_in-error"`)
	s.post(path+"/secret", "expires_in", "90d").shows(200, "gth_cs_", "The secret expires", "OIDC_CLIENT_SECRET=").wellFormed()
	testkit.Equal(t, "secrets", len(s.clientNow(id).Secrets), 2)
	s.get(path+"/rotate").shows(200, "1 older secret will end at once")
	s.post(path+"/rotate", "grace", "later").shows(400, `id="f-grace-error"`)
	s.post(path+"/rotate", "grace", "2h").shows(200, "gth_cs_", "The secret before it ends").wellFormed()
	s.get(path).shows(200, "Expires soon", "Remove old secrets")
	s.get(path+"/old-secrets").shows(200, "but the newest")
	s.post(path + "/old-secrets").leads(path + "?done=old")
	last := s.clientNow(id).Secrets
	testkit.Equal(t, "secrets", len(last), 1)
	remove := path + "/secrets/" + last[0].ID + "/remove"
	s.get(remove).shows(200, last[0].ID, "--yes")
	s.post(remove).shows(400, "the only active secret")
	s.post(remove, "force", "on").leads(path + "?done=removed")
	s.post(remove).shows(404)
	s.get(path).shows(200, "The client has no secret")
	s.post(path + "/revoke-tokens").leads(path + "?done=tokens")
	s.post(path + "/disable").leads(path + "?done=disabled")
	s.get(path+"?done=disabled").shows(200, "every request of it is rejected", "Enable").hides("Test sign-in")
	s.post(path + "/enable").leads(path + "?done=enabled")
	s.post(path+"/delete", "confirm", "another").shows(400, "to delete this client")
	s.post(path+"/delete", "confirm", id).leads("/admin/clients?done=deleted")
	s.get(path).shows(404, "There is no client")
}

// Snippets hold what an administrator or a registration has chosen as text, whatever it is.
func TestSnippets(t *testing.T) {
	evil := "a'\"`$(id)\n${x}: - #\u202e"
	c := &client.Client{ID: client.ID(evil), Grants: []string{client.GrantTypeCode, client.GrantTypeClient}, Redirects: []string{"https://x.example/?" + url.QueryEscape(evil) + evil}, Scopes: []string{evil}}
	for _, x := range console.Snippets("https://id.example", c) {
		for line := range strings.Lines(x.Text) {
			if strings.HasPrefix(line, "$") || strings.Contains(line, "\u202e") {
				t.Errorf("%s: %q", x.Name, line)
			}
		}
		if x.Name == ".env" || x.Name == "curl" {
			testkit.Equal(t, x.Name, strings.Contains(x.Text, `'a'\''"`+"`$(id)"), true)
		} else {
			testkit.Equal(t, x.Name, strings.Contains(x.Text, `"a'\"`+"`$(id)${x}: - #"), true)
		}
	}
}

// Whoever may only look sees no buttons that would fail.
func TestReadOnly(t *testing.T) {
	s := newSite(t)
	id := s.newClient(webApp())
	_, err := s.ops.CreateRole(t.Context(), s.actor(), "auditor", admin.RolePatch{
		Values: identity.Role{Scopes: []string{string(admin.ScopeClientsRead)}}, Names: []string{"scopes"},
	})
	testkit.Must(t, err)
	s.signIn(s.newUser("Reader", "auditor"))
	s.get("/admin/clients").shows(200, "Notes").hides("New client")
	s.get("/admin/clients/"+id).shows(200, "Configuration").hides("Rotate secret", "/delete", "/edit", "Recent activity", "/remove")
	for _, path := range []string{"/new", "/" + id + "/edit"} {
		s.get("/admin/clients"+path).shows(403, "Not allowed")
	}
	for _, path := range []string{"", "/" + id + "/edit", "/" + id + "/delete", "/" + id + "/rotate", "/" + id + "/secret"} {
		if p := s.post("/admin/clients"+path, "confirm", id, "version", "1", "client_name", "x"); p.Code != 403 {
			t.Errorf("%s: %d", path, p.Code)
		}
	}
}
