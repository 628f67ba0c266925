package console_test

import (
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
		shows(200, "The document would change", "2 to create", "&lt;").wellFormed()
	s.post("/admin/config/plan", "document", "version: 1\nlabel: x\nclient: []\n").shows(400, "did you mean clients").wellFormed()
	if s.db.Clients()["app"] != nil {
		t.Error("a plan has created a client")
	}
}
