package admin_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestValuesOfReferencesAreNotShown looks for values in plans, results, errors and drift.
func TestValuesOfReferencesAreNotShown(t *testing.T) {
	w := newConfigured(t)
	const token = "T0kenOfHooks"
	in := w.input("version: 1\nlabel: hooks\nwebhooks:\n  - url: https://hooks.example/${env:TOKEN}\n    events: [user.*]\n")
	in.Values = map[string]string{"${env:TOKEN}": token}
	shows := func(what string, v any) {
		t.Helper()
		text, err := json.Marshal(v)
		testkit.Must(t, err)
		if strings.Contains(string(text), token) || strings.Contains(fmt.Sprint(v), token) {
			t.Errorf("%s shows the value: %s", what, text)
		}
	}
	p, err := w.ops.PlanConfig(t.Context(), admin.CommandLine(), in)
	testkit.Must(t, err)
	shows("the plan", p)
	testkit.Equal(t, "the key", p.Changes[0].Key, "https://hooks.example/${env:TOKEN}")
	other := in
	other.Values = map[string]string{"${env:TOKEN}": "another"}
	q, err := w.ops.PlanConfig(t.Context(), admin.CommandLine(), other)
	testkit.Must(t, err)
	if p.ID == q.ID {
		t.Error("plans for two addresses have the same id")
	}
	out := w.apply(in)
	shows("the result", out.Plan)
	testkit.Equal(t, "the key of the secret", out.Secrets[0].Key, "https://hooks.example/${env:TOKEN}")
	drift, err := w.ops.ConfigDrift(t.Context(), admin.CommandLine())
	testkit.Must(t, err)
	shows("the drift", drift[0].Plan)
	if len(drift[0].Plan.Orphans) != 0 || len(drift[0].Plan.Open) == 0 {
		t.Errorf("the drift is %+v", drift[0].Plan)
	}
	for _, document := range []string{
		"webhooks:\n  - url: '${env:TOKEN}'\n    events: [user.*]\n",
		"webhooks:\n  - url: https://x.example\n    events: ['${env:TOKEN}']\n",
		"roles:\n  - name: r\n    scopes: ['${env:TOKEN}']\n",
		"roles:\n  - name: '${env:TOKEN} x'\n",
		"clients:\n  - client_id: c\n    redirect_uris: ['${env:TOKEN}']\n    grant_types: [code]\n",
		"clients:\n  - client_id: c\n    access_token_ttl: ${env:TOKEN}\n",
	} {
		in.Document = []byte("version: 1\nlabel: wrong\n" + document)
		_, err := w.ops.PlanConfig(t.Context(), admin.CommandLine(), in)
		if err == nil || strings.Contains(err.Error(), token) || !strings.Contains(err.Error(), "${env:TOKEN}") {
			t.Errorf("%s: %v", document, err)
		}
	}
}

// TestSecretsAreNotGuessed: a plan says whether a client has a secret only to those who may change
// it.
func TestSecretsAreNotGuessed(t *testing.T) {
	h := newHierarchy(t)
	ctx, cli := t.Context(), admin.CommandLine()
	in := admin.ConfigInput{
		Document: []byte("version: 1\nlabel: s\nclients:\n  - client_id: plain\n    client_secret: ${env:S}\n"),
		Values:   map[string]string{"${env:S}": shopSecret},
	}
	_, err := h.ops.ApplyConfig(ctx, cli, in)
	testkit.Must(t, err)
	_, err = h.ops.CreateRole(ctx, cli, "reader",
		patchOf(t, admin.RoleFields(), map[string][]string{"scopes": {"admin:clients:read"}}))
	testkit.Must(t, err)
	h.people["reader"] = h.person("reader@example.com", "reader")
	in.Values = map[string]string{"${env:S}": strings.Repeat("g", 32)}
	for role, want := range map[string][2]int{"reader": {0, 1}, "super_admin": {1, 0}} {
		p, err := h.ops.PlanConfig(ctx, h.actor(role), in)
		testkit.Must(t, err)
		testkit.Equal(t, role, [2]int{len(p.Changes), len(p.Open)}, want)
	}
}

// TestUnreadableDocumentsAreNotShown: what a document has that cannot be read is not known, so that
// it is shown only to those who may read everything.
func TestUnreadableDocumentsAreNotShown(t *testing.T) {
	h := newHierarchy(t)
	testkit.Must(t, h.db.SaveConfig(t.Context(), &admin.ConfigDocument{
		Label: "future", Text: "version: 1\nlabel: future\nnovelties: []\n", AppliedAt: h.now,
	}, nil))
	for role, want := range map[string]int{"editor": 0, "super_admin": 1} {
		all, err := h.ops.ConfigDrift(t.Context(), h.actor(role))
		testkit.Must(t, err)
		testkit.Equal(t, role, len(all), want)
	}
}

// TestAlgorithmFromAReference applies a client whose algorithm comes from a reference.
func TestAlgorithmFromAReference(t *testing.T) {
	w := newConfigured(t)
	in := w.input("version: 1\nlabel: alg\nclients:\n  - client_id: signs\n    client_name: Signs\n" +
		"    grant_types: [client_credentials]\n    alg: ${env:ALG}\n")
	in.Values = map[string]string{"${env:ALG}": "ES256"}
	w.apply(in)
	testkit.Equal(t, "alg", w.db.Clients()["signs"].Alg, "ES256")
}

// TestUnchangedScopesAreNotRecorded updates a scope with what it has.
func TestUnchangedScopesAreNotRecorded(t *testing.T) {
	w := newConfigured(t)
	p := patch(t, admin.ScopeFields(), map[string]string{"description": "view it"})
	_, err := w.ops.CreateScope(t.Context(), admin.CommandLine(), "x:read", p)
	testkit.Must(t, err)
	_, err = w.ops.UpdateScope(t.Context(), admin.CommandLine(), "x:read", p)
	testkit.Must(t, err)
	events, err := w.db.ListAudit(t.Context(), store.AuditQuery{Type: audit.ScopeUpdated})
	testkit.Must(t, err)
	testkit.Equal(t, "events", len(events), 0)
}
