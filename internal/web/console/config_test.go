package console_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestConfiguration shows what differs from a document that was applied, and what another one would
// change.
func TestConfiguration(t *testing.T) {
	s := newSite(t)
	s.get("/admin/config").shows(200, "No document has been applied", "gatehouse export").wellFormed()
	doc := "version: 1\nlabel: shop\nscopes:\n  - name: orders:read\n    description: view your orders\n"
	_, err := s.ops.ApplyConfig(t.Context(), admin.CommandLine(), admin.ConfigInput{Document: []byte(doc)})
	testkit.Must(t, err)
	s.get("/admin/config").shows(200, "shop", "Nothing to change").wellFormed()
	_, err = s.ops.DeleteScope(t.Context(), admin.CommandLine(), "orders:read", 0)
	testkit.Must(t, err)
	s.get("/admin/config").shows(200, "Differs from what is stored", "orders:read").wellFormed()

	s.post("/admin/config/plan", "document", strings.Replace(doc, "view", "see", 1)+
		"clients:\n  - client_id: app\n    client_name: '<img src=x>'\n    grant_types: [client_credentials]\n"+
		"    client_secret: ${env:SECRET}\n").
		shows(200, "Plan: what the document would change", "gatehouse apply", "2 to create", "&lt;").wellFormed()
	s.post("/admin/config/plan", "document", "version: 1\nlabel: x\nclient: []\n").shows(400, "did you mean clients").wellFormed()
	if s.db.Clients()["app"] != nil {
		t.Error("a plan has created a client")
	}
}

// TestApplyConfiguration applies a document after the page has shown its plan, and nothing else.
func TestApplyConfiguration(t *testing.T) {
	s := newSite(t)
	doc := "version: 1\nlabel: shop\nclients:\n  - client_id: app\n    client_name: App\n" +
		"    grant_types: [client_credentials]\nscopes:\n  - name: orders:read\n    description: view orders\n"
	crlf := strings.ReplaceAll(doc, "\n", "\r\n")
	s.post("/admin/config/apply", "document", crlf).shows(200, "Plan: what the document would change", "Apply these changes")
	s.post("/admin/config/apply", "document", crlf, "plan", "another").shows(409, "make a new plan").wellFormed()
	if s.db.Clients()["app"] != nil {
		t.Fatal("a document was applied without a plan that holds")
	}
	p := s.post("/admin/config/plan", "document", crlf)
	id := regexp.MustCompile(`name="plan" value="([^"]+)"`).FindStringSubmatch(p.Body.String())
	if id == nil {
		t.Fatal("the plan has no form that applies it")
	}
	s.post("/admin/config/apply", "document", crlf, "plan", id[1]).
		shows(200, "New secrets, shown this once", "gth_cs_", "2 created").wellFormed()
	s.get("/admin/config").shows(200, "Nothing to change", "Open in the editor").wellFormed()
	s.get("/admin/config?edit=shop").shows(200, "client_id: app\n").wellFormed()
	out := s.get("/admin/config/export?label=shop")
	if out.Code != 200 || !strings.Contains(out.Body.String(), "orders:read") || strings.Contains(out.Body.String(), "gth_cs_") {
		t.Errorf("the export is %d %s", out.Code, out.Body)
	}

	none := "version: 1\nlabel: shop\nclients: []\nscopes: []\n"
	p = s.post("/admin/config/plan", "document", none, "prune", "on").
		shows(200, "2 to delete", `class="danger"`, "Delete 2 of 2 things", "gatehouse plan gatehouse.yaml --prune").wellFormed()
	id = regexp.MustCompile(`name="plan" value="([^"]+)"`).FindStringSubmatch(p.Body.String())
	s.post("/admin/config/apply", "document", none, "prune", "on", "plan", id[1]).shows(409, "would delete 2")
	s.post("/admin/config/apply", "document", none, "prune", "on", "plan", id[1], "allow_delete", "on").
		leads("/admin/config?done=applied")
	if s.db.Clients()["app"] != nil {
		t.Error("the client is still there")
	}

	s.signIn(s.newUser("Reader", "reader"))
	s.post("/admin/config/plan", "document", crlf).shows(403)
}
