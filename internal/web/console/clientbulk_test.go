package console_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestDeleteClients deletes exactly the ticked clients, after a page that says what will end.
func TestDeleteClients(t *testing.T) {
	s := newSite(t)
	one, two, three := webApp(), webApp(), webApp()
	two.Name, three.Name, three.Scopes = "Two", "Stays", []string{"openid"}
	a, b, c := s.newClient(one), s.newClient(two), s.newClient(three)
	s.get("/admin/clients").shows(200, "Delete selected", "pick-"+a).wellFormed()
	s.get("/admin/clients/bulk").shows(400, "No client is selected")
	s.post("/admin/clients/bulk").shows(400, "No client is selected")
	p := s.get("/admin/clients/bulk?pick-"+a+"=on&pick-"+b+"=on&pick-nobody=on").
		shows(200, "Delete 2 clients", "signed out of them", "cannot be undone", "gatehouse client delete").wellFormed()
	p.submit("/admin/clients/bulk").leads("/admin/clients?done=several")
	s.get("/admin/clients?done=several").shows(200, "The clients were deleted", "Stays").hides(a, b)
	events, err := s.ops.Events(t.Context(), s.actor(), admin.AuditQuery{Types: []audit.Type{audit.ClientDeleted}})
	testkit.Must(t, err)
	testkit.Equal(t, "events", len(events.Events), 2)

	s.signIn(s.newUser("Reader", "reader"))
	s.post("/admin/clients/bulk", "pick-"+c, "on").shows(403)
}

// TestClientGrants shows the live grants of a client, and revokes one of them.
func TestClientGrants(t *testing.T) {
	s := newSite(t)
	all := s.furnishApps()
	page := "/admin/clients/" + all["client"]
	s.get(page).shows(200, "Live grants", all["grant"], s.user.Email, "Revoke all").wellFormed()
	s.get(page+"?user=nobody").shows(200, "There is no user nobody", "Nobody uses the client now").wellFormed()
	s.get(page+"?user="+s.user.Email).shows(200, all["grant"])
	g, err := s.ops.ClientGrants(t.Context(), s.actor(), all["client"], "")
	testkit.Must(t, err)
	extra := &oauth.Grant{
		User: s.user.ID, Client: client.ID(all["client"]), Kind: client.GrantTypeCode, Scopes: []string{"openid"},
		CreatedAt: s.now, LastUsedAt: s.now.Add(-time.Hour), ExpiresAt: s.now.Add(time.Hour),
	}
	for i := len(g.Grants); i < 11; i++ {
		extra.ID = oauth.GrantID(secret.NewID(s.now))
		testkit.Must(t, s.db.PutGrant(t.Context(), extra))
	}
	s.get(page).shows(200, "Show more").hides(string(extra.ID)).wellFormed()
	s.get(page+"?grants=all").shows(200, string(extra.ID))

	ask := page + "/grants/" + all["grant"] + "/revoke"
	s.get(ask).shows(200, "must sign in again", "gatehouse client grants revoke").wellFormed()
	s.post(ask).leads(page + "?done=grant")
	s.get(page+"?done=grant").shows(200, "The grant was revoked").hides(all["grant"])
	s.post(ask).shows(404, "may have ended")
	if c := s.db.Clients()[client.ID(all["client"])]; c == nil {
		t.Error("the client is gone")
	}
}
