package admin_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// An export has every client once and no secret, is whole or says that it is not, and is recorded.
func TestExportClients(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	for id, name := range map[client.ID]string{"a": "=1+1", "b": "Shop"} {
		_, err := w.ops.CreateClient(ctx, admin.CommandLine(), admin.NewClient{
			ID: id, Fields: patch(t, client.Fields(token.ClientRules()), map[string]string{"client_name": name, "grant_types": "client_credentials"}),
		})
		testkit.Must(t, err)
	}
	export := func(format admin.UserFormat) (string, int) {
		t.Helper()
		var b strings.Builder
		n, err := w.ops.ExportClients(ctx, admin.CommandLine(), admin.ClientExport{Format: format}, &b)
		testkit.Must(t, err)
		if strings.Contains(b.String(), "gth_cs_") || strings.Contains(b.String(), "hash") {
			t.Errorf("%s: there is a secret: %s", format, b.String())
		}
		return b.String(), n
	}
	text, n := export(admin.FormatJSON)
	testkit.Equal(t, "clients", n, 2)
	testkit.Equal(t, "lines", strings.Count(text, "\n"), 3)
	if !strings.HasSuffix(text, "\n{\"end\":true,\"count\":2}\n") || !strings.Contains(text, `"client_name":"Shop"`) {
		t.Error(text)
	}
	text, _ = export(admin.FormatCSV)
	if lines := strings.Split(text, "\n"); !strings.HasPrefix(lines[0], "client_id") || !strings.Contains(text, "'=1+1") {
		t.Error(text)
	}
	if _, err := w.ops.ExportClients(ctx, admin.CommandLine(), admin.ClientExport{Format: "xml"}, &strings.Builder{}); err == nil {
		t.Error("a format that there is not")
	}
	events, err := w.db.ListAudit(ctx, store.AuditQuery{Type: audit.ClientsExported})
	testkit.Must(t, err)
	testkit.Equal(t, "records", len(events), 2)
}
