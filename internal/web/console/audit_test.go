package console_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// record stores an event and returns its id.
func (s *site) record(e audit.Event) string {
	s.t.Helper()
	if e.At.IsZero() {
		e.At = s.now.Add(-time.Minute)
	}
	testkit.Must(s.t, s.db.Record(s.t.Context(), e))
	page, err := s.ops.Events(s.t.Context(), s.actor(), admin.AuditQuery{Limit: 100, RequestID: e.RequestID})
	testkit.Must(s.t, err)
	for i := range page.Events {
		if page.Events[i].Type == e.Type {
			return page.Events[i].ID
		}
	}
	s.t.Fatal("the event is missing")
	return ""
}

func TestAudit(t *testing.T) {
	s := newSite(t)
	u := s.newUser(hostile)
	client := s.newClient(webApp())
	id := s.record(audit.Event{
		Type: audit.LoginFailed, User: string(u.ID), Actor: string(u.ID), Reason: "wrong_password", IP: "192.0.2.1", Agent: hostile, RequestID: "R1",
		Client: client, Session: "SESS", Grant: "GRANT", Detail: map[string]string{"method": hostile},
	})
	changed := s.record(audit.Event{
		Type: audit.ScopeUpdated, Actor: "cli", TargetType: audit.TargetScope, TargetID: "read", RequestID: "R2",
		Changes: []audit.Change{{Field: "description", Before: "<b>", After: "more"}, {Field: "jwks"}},
	})
	s.record(audit.Event{Type: audit.AccountLocked, RequestID: "R3"})
	s.get("/admin/audit").shows(200, "Login failed", "Wrong password", u.Email, "Cologne", "/admin/audit/"+id, "Command line", "Somebody unknown", "/admin/scopes/read", "/admin/audit/export?format=csv").wellFormed()
	s.get("/admin/audit?event=user.login_failed&actor="+u.Email+"&text=metho&user="+u.Email+"&client="+client+"&ip=192.0.2.1&from=2026-05-04&to=2026-05-04").shows(200, "Wrong password", "1 event", "--type=user.login_failed", "client_id="+client).hides("Command line")
	s.get("/admin/audit?from=2026-05-05").shows(200, "No event")
	s.get("/admin/audit?from=yesterday&to=2026-05-04T09:59:00Z").shows(400, "is not a date")
	s.get("/admin/audit?ip=nonsense").shows(400, "is not an IP address")
	s.get("/admin/audit/"+id).shows(200, "GRANT", "SESS", "/admin/clients/"+client, "Explain the request", "Method", "audit show "+id).wellFormed()
	s.get("/admin/audit/"+changed).shows(200, "&lt;b&gt;", "more", "does not show the values").wellFormed()
	s.get("/admin/audit/"+id).shows(200, "Prove this event")
	s.get("/admin/audit/"+id+"?proof=1").shows(200, "As it was recorded", "audit proof "+id).wellFormed()
	s.get("/admin/audit/nothing").shows(404)
	for range 51 {
		testkit.Must(t, s.db.Record(t.Context(), audit.Event{At: s.now, Type: audit.LoginSucceeded, Actor: "system"}))
	}
	p := s.get("/admin/audit").shows(200, "Next page", "The server")
	next := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(p.Body.String())[1]
	s.get(strings.ReplaceAll(next, "&amp;", "&")).shows(200, "First page", "Login failed").hides("Next page")
}

// A client that caused an event, or that one concerns, has its name, with its id beside it: several
// may have one name. An administrator who may not read clients sees the id.
func TestAuditNamesClients(t *testing.T) {
	s := newSite(t)
	id := s.newClient(webApp())
	event := s.record(audit.Event{
		Type: audit.ClientCredentialsIssued, Actor: id, Client: id, RequestID: "R1", Detail: map[string]string{"scope": "read"},
	})
	gone := s.record(audit.Event{
		Type: audit.ClientCredentialsIssued, Actor: "gone", Client: "gone", RequestID: "R2",
	})
	for _, page := range []string{"/admin/audit", "/admin/audit/" + event} {
		s.get(page).shows(200, "<bdi>Notes</bdi>", id, "/admin/clients/"+id).wellFormed()
	}
	s.get("/admin/audit/"+gone).shows(200, "/admin/clients/gone", "<bdi>gone</bdi>")
	s.get("/admin/clients/"+id).shows(200, "Recent activity", "<bdi>Notes</bdi>")

	_, err := s.ops.CreateRole(t.Context(), s.actor(), "auditor", admin.RolePatch{
		Values: identity.Role{Scopes: []string{string(admin.ScopeAuditRead)}}, Names: []string{"scopes"},
	})
	testkit.Must(t, err)
	s.signIn(s.newUser("Reader", "auditor"))
	s.get("/admin/audit").shows(200, id).hides("Notes")
}

// An export has what the filters select, in a form that a spreadsheet cannot be made to run.
func TestAuditExport(t *testing.T) {
	s := newSite(t)
	s.get("/admin/audit?from=2026-05-04").shows(200, "/admin/audit/proofs?from=2026-05-04")
	s.get("/admin/audit/proofs?from=nonsense").shows(400, "is not a date")
	s.record(audit.Event{Type: audit.LoginFailed, Agent: "=cmd()", RequestID: "R1"})
	p := s.get("/admin/audit/export?format=csv&event=user.login_failed").shows(200, "user.login_failed", "R1").hides("client.", ",=cmd")
	testkit.Equal(t, "type", p.Header().Get("Content-Type"), "text/csv; charset=utf-8")
	testkit.Equal(t, "disposition", p.Header().Get("Content-Disposition"), `attachment; filename="audit-log.csv"`)
	s.get("/admin/audit/export?event=user.login_failed").shows(200, `"end":true,"count":1`)
	s.get("/admin/audit/export?event=user.created").shows(200, `"end":true,"count":0`)
	s.get("/admin/audit/export?from=yesterday").shows(400)
	s.get("/admin/audit/export?event=strange").shows(400)
	_, err := s.ops.CreateRole(t.Context(), s.actor(), "auditor", admin.RolePatch{
		Values: identity.Role{Scopes: []string{string(admin.ScopeAuditRead)}}, Names: []string{"scopes"},
	})
	testkit.Must(t, err)
	s.signIn(s.newUser("Reader", "auditor"))
	s.get("/admin/audit").shows(200, "Login failed").hides("/admin/audit/export")
	s.get("/admin/audit/export").shows(403)
}

func TestExplain(t *testing.T) {
	s := newSite(t)
	s.record(audit.Event{Type: audit.LoginFailed, Reason: "wrong_password", RequestID: "REQ1"})
	s.get("/admin/audit/explain").shows(200, "X-Request-Id")
	s.get("/admin/audit/explain?request=req1").shows(200, "Wrong password", "gatehouse explain req1")
	s.get("/admin/audit/explain?request=none").shows(404, "Nothing is known")
	testkit.Must(t, s.db.PutDenials(t.Context(), []*access.DenialRecord{{
		RequestID: "REQ2", At: s.now, Method: "GET", Host: "api.example", Path: hostile, Route: "gone", RouteName: hostile, Caller: access.RecordedCaller{Client: "c", User: "u"},
		IP: "192.0.2.1", Status: 403, Denial: access.RecordedDenial{Rule: "scope", Reason: "the token lacks a scope", Needed: []string{"read"}, Had: []string{"write"}, Remedy: "request the scope read"},
	}}))
	s.get("/admin/audit/explain?request=REQ2").shows(200, "The gateway denied it", "Request the scope read", "403 Forbidden", "Deleted since", "/admin/clients/c").wellFormed()
}
