package admin_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/plan"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// shop is a document with something of each kind.
const shop = `version: 1
label: shop
scopes:
  - name: orders:write
    description: change your orders
    requires: [orders:read]
    role: clerk
  - name: orders:read
    description: view your orders
roles:
  - name: clerk
    description: Works at the desk.
    scopes: [orders:write]
clients:
  - client_id: shop-web
    client_name: Shop
    grant_types: [code, refresh]
    redirect_uris: ["https://shop.example/callback"]
    scope: openid orders:read
    access_token_ttl: 10m
    rate_limits: {token: {max: 100, window: 60}}
  - client_id: shop-api
    client_name: Shop API
    grant_types: [client_credentials]
    scope: orders:read
    client_secret: ${env:SHOP_API_SECRET}
routes:
  - name: shop
    prefix: /shop
    upstreams: ["http://shop.internal:8080"]
    scopes: [orders:read]
    clients: [shop-web]
webhooks:
  - url: https://hooks.example/gatehouse
    events: [user.*]
`

const shopSecret = "5f2b8e9a7c6d4e3f2a1b0c9d8e7f6a5b"

// configured is a world to which documents are applied.
type configured struct{ *world }

func newConfigured(t *testing.T) *configured { return configuredIn(newWorld(t)) }

func configuredIn(w *world) *configured {
	w.parts.WebhookKeys = webhook.NewKeys(w.parts.Keys)
	w.ops = w.with(func(*admin.Config) {})
	return &configured{w}
}

func (w *configured) input(document string) admin.ConfigInput {
	return admin.ConfigInput{
		Document: []byte(document),
		Values:   map[string]string{"${env:SHOP_API_SECRET}": shopSecret},
	}
}

func (w *configured) apply(in admin.ConfigInput) *admin.AppliedConfig {
	w.t.Helper()
	out, err := w.ops.ApplyConfig(w.t.Context(), admin.CommandLine(), in)
	testkit.Must(w.t, err)
	return out
}

// plan returns the changes of a document, each as "action section key: fields".
func (w *configured) plan(in admin.ConfigInput) []string {
	w.t.Helper()
	p, err := w.ops.PlanConfig(w.t.Context(), admin.CommandLine(), in)
	testkit.Must(w.t, err)
	return lines(p.Changes)
}

func lines(changes []plan.Change) []string {
	out := []string{}
	for _, c := range changes {
		line := fmt.Sprintf("%s %s %s:", c.Action, c.Section, c.Key)
		for _, f := range c.Fields {
			line += " " + f.Field
		}
		out = append(out, strings.TrimSuffix(line, ":"))
	}
	return out
}

// TestConfigStory applies a document, changes it, and applies it again to reverse manual changes.
func TestConfigStory(t *testing.T) {
	w := newConfigured(t)
	in := w.input(shop)
	first := w.apply(in)
	if got := first.Plan.Count(plan.Create); got != 7 {
		t.Errorf("%d things were created: %v", got, lines(first.Plan.Changes))
	}
	if len(first.Secrets) != 2 { // shop-web and the webhook; that of shop-api is known
		t.Errorf("secrets: %v", first.Secrets)
	}
	testkit.Equal(t, "the result", w.plan(in), []string{})
	if again := w.apply(in); !again.Plan.Empty() || again.Plan.ID == first.Plan.ID {
		t.Errorf("the second time: %v", again.Plan)
	}
	c, err := w.db.Client(t.Context(), "shop-api")
	testkit.Must(t, err)
	if len(c.Secrets) != 1 || c.Secrets[0].Hash != w.parts.Keys.Hash(shopSecret) {
		t.Error("the client does not have the secret of the document")
	}
	s := w.db.Scopes()["orders:write"]
	testkit.Equal(t, "the result", s.Role, "clerk")

	_, err = w.ops.UpdateClient(t.Context(), admin.CommandLine(), "shop-web", patch(t, client.Fields(w.ops.Rules()),
		map[string]string{"client_name": "Changed by hand", "description": "stays"}))
	testkit.Must(t, err)
	testkit.Equal(t, "the result", w.plan(in), []string{"update clients shop-web: client_name"})
	w.apply(in)
	testkit.Equal(t, "the result", w.plan(in), []string{})

	// What the document no longer says returns to its default; what it never said is left alone.
	less := w.input(strings.Replace(shop, "    access_token_ttl: 10m\n", "", 1))
	testkit.Equal(t, "the result", w.plan(less), []string{"update clients shop-web: access_token_ttl"})
	w.apply(less)
	c, err = w.db.Client(t.Context(), "shop-web")
	testkit.Must(t, err)
	if c.AccessTTL != 0 || c.Description != "stays" {
		t.Errorf("got %v, %q", c.AccessTTL, c.Description)
	}
}

// TestConfigIsAudited checks that each change is recorded, with what names the application.
func TestConfigIsAudited(t *testing.T) {
	w := newConfigured(t)
	w.apply(w.input(shop))
	events, err := w.db.ListAudit(t.Context(), store.AuditQuery{Limit: 100})
	testkit.Must(t, err)
	seen, requests := map[audit.Type]int{}, map[string]bool{}
	for _, e := range events {
		seen[e.Type]++
		requests[e.RequestID] = true
		if strings.Contains(fmt.Sprint(e), shopSecret) {
			t.Errorf("%s has the secret", e.Type)
		}
	}
	testkit.Equal(t, "the result", seen, map[audit.Type]int{
		audit.ScopeCreated: 2, audit.ScopeUpdated: 1, audit.RoleCreated: 1, audit.ClientCreated: 2,
		audit.RouteCreated: 1, audit.WebhookCreated: 1, audit.ConfigApplied: 1,
	})
	if len(requests) != 1 || requests[""] {
		t.Errorf("the requests are %v", requests)
	}
}

// TestExportIsApplied applies an export: to the same server, where it changes nothing, and to an
// empty one, whose export is the same then.
func TestExportIsApplied(t *testing.T) {
	w := newConfigured(t)
	w.apply(w.input(shop))
	export := func(w *configured) string {
		t.Helper()
		text, err := w.ops.ExportConfig(t.Context(), admin.CommandLine(), admin.ConfigExport{Label: "shop"})
		testkit.Must(t, err)
		return string(text)
	}
	text := export(w)
	if strings.Contains(text, shopSecret) || !strings.Contains(text, "SHOP_API_SECRET") {
		t.Errorf("the export is\n%s", text)
	}
	testkit.Equal(t, "the result", w.plan(w.input(text)), []string{})
	other := newConfigured(t)
	other.apply(w.input(text))
	testkit.Equal(t, "the result", export(other), text)
	testkit.Equal(t, "the result", other.plan(w.input(text)), []string{})
}

// TestNothingOrAll applies documents of which a later part cannot be applied.
func TestNothingOrAll(t *testing.T) {
	w := newConfigured(t)
	w.apply(w.input("version: 1\nlabel: base\nroles:\n  - {name: held, description: of somebody}\n"))
	w.createUser("somebody@example.com", "held")
	before := len(w.db.Scopes())
	in := w.input("version: 1\nlabel: base\nscopes:\n  - {name: x:read, description: view x}\nroles: []\n")
	in.Prune = true
	_, err := w.ops.ApplyConfig(t.Context(), admin.CommandLine(), in)
	if fault.Reason(err) != admin.ReasonHeld {
		t.Fatalf("got %v", err)
	}
	if len(w.db.Scopes()) != before || w.db.RoleDefinitions()["held"] == nil {
		t.Error("a part of the document was applied")
	}
	events, err := w.db.ListAudit(t.Context(), store.AuditQuery{Type: audit.ScopeCreated})
	testkit.Must(t, err)
	if len(events) != 0 {
		t.Error("a change that was undone is in the audit log")
	}
	testkit.Must(t, w.db.Load(t.Context()))
	if len(w.db.Scopes()) != before {
		t.Error("a part of the document is in the database")
	}
}

// TestPruning deletes what carries the label, never without being asked, and not much at once.
func TestPruning(t *testing.T) {
	w := newConfigured(t)
	w.createClient(map[string]string{"client_name": "By hand", "grant_types": "client_credentials"})
	var b strings.Builder
	b.WriteString("version: 1\nlabel: many\nscopes:\n")
	for i := range 10 {
		fmt.Fprintf(&b, "  - {name: 's%d', description: view it}\n", i)
	}
	all := b.String()
	w.apply(w.input(all))
	head, _, _ := strings.Cut(all, "  - {name: 's7'")

	left, err := w.ops.PlanConfig(t.Context(), admin.CommandLine(), w.input(head))
	testkit.Must(t, err)
	if len(left.Orphans) != 3 || !left.Empty() {
		t.Errorf("without being asked: %+v", left)
	}
	in := w.input(head)
	in.Prune = true
	_, err = w.ops.ApplyConfig(t.Context(), admin.CommandLine(), in)
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "--allow-delete") {
		t.Errorf("a third: %v", err)
	}
	in.AllowDelete = true
	testkit.Equal(t, "the result", slices.Sorted(slices.Values(lines(w.apply(in).Plan.Changes))),
		[]string{"delete scopes s7", "delete scopes s8", "delete scopes s9"})
	if w.db.Clients()["app"] == nil {
		t.Error("a client without a label is deleted")
	}
	// A section that is missing is left alone.
	none := w.input("version: 1\nlabel: many\nclients: []\n")
	none.Prune = true
	testkit.Equal(t, "the result", w.plan(none), []string{})
	// A later thing of the same name does not carry the label.
	testkit.Must(t, onlyError(w.ops.DeleteScope(t.Context(), admin.CommandLine(), "s6", 0)))
	testkit.Must(t, onlyError(w.ops.CreateScope(t.Context(), admin.CommandLine(), "s6",
		patch(t, admin.ScopeFields(), map[string]string{"description": "made by hand"}))))
	in = w.input(strings.Replace(head, "  - {name: 's6', description: view it}\n", "", 1))
	in.Prune = true
	testkit.Equal(t, "the result", w.plan(in), []string{})
}

func onlyError[T any](_ T, err error) error { return err }

// TestTwoDocuments checks that no document takes what another one describes.
func TestTwoDocuments(t *testing.T) {
	w := newConfigured(t)
	one := "version: 1\nlabel: one\nscopes:\n  - {name: x:read, description: view x}\n"
	two := strings.Replace(one, "one", "two", 1)
	w.apply(w.input(one))
	if _, err := w.ops.PlanConfig(t.Context(), admin.CommandLine(), w.input(two)); !fault.Is(err, fault.Conflict) {
		t.Errorf("got %v", err)
	}
	text, err := w.ops.ExportConfig(t.Context(), admin.CommandLine(), admin.ConfigExport{Label: "two"})
	testkit.Must(t, err)
	if strings.Contains(string(text), "x:read") {
		t.Error("an export has what another document describes")
	}
	in := w.input(two)
	in.TakeOver = true
	w.apply(in)
	prune := w.input("version: 1\nlabel: one\nscopes: []\n")
	prune.Prune = true
	testkit.Equal(t, "the result", w.plan(prune), []string{})
}

// TestPlanIsBound applies a plan after something has changed.
func TestPlanIsBound(t *testing.T) {
	w := newConfigured(t)
	w.apply(w.input(shop))
	in := w.input(strings.Replace(shop, "client_name: Shop\n", "client_name: New\n", 1))
	p, err := w.ops.PlanConfig(t.Context(), admin.CommandLine(), in)
	testkit.Must(t, err)
	rename := func(name string) {
		testkit.Must(t, onlyError(w.ops.UpdateClient(t.Context(), admin.CommandLine(), "shop-web",
			patch(t, client.Fields(w.ops.Rules()), map[string]string{"client_name": name}))))
	}
	rename("Meanwhile")
	rename("Shop") // back, but the state is another one
	in.Plan = p.ID
	if _, err := w.ops.ApplyConfig(t.Context(), admin.CommandLine(), in); fault.Reason(err) != admin.ReasonStale {
		t.Errorf("got %v", err)
	}
	p, err = w.ops.PlanConfig(t.Context(), admin.CommandLine(), in)
	testkit.Must(t, err)
	// A change of something else does not matter.
	testkit.Must(t, onlyError(w.ops.UpdateClient(t.Context(), admin.CommandLine(), "shop-api",
		patch(t, client.Fields(w.ops.Rules()), map[string]string{"description": "else"}))))
	in.Plan = p.ID
	w.apply(in)
}

// TestConfigSecrets gives a client another secret by its reference.
func TestConfigSecrets(t *testing.T) {
	w := newConfigured(t)
	w.apply(w.input(shop))
	w.now = w.now.Add(time.Minute) // the newest secret comes first
	in := w.input(shop)
	in.Values = map[string]string{"${env:SHOP_API_SECRET}": strings.Repeat("n", 32)}
	testkit.Equal(t, "the result", w.plan(in), []string{"update clients shop-api: client_secret"})
	w.apply(in)
	c, err := w.db.Client(t.Context(), "shop-api")
	testkit.Must(t, err)
	var hashes []secret.Hash
	for _, s := range c.Secrets {
		hashes = append(hashes, s.Hash)
	}
	want := []secret.Hash{w.parts.Keys.Hash(strings.Repeat("n", 32)), w.parts.Keys.Hash(shopSecret)}
	if !slices.Equal(hashes, want) {
		t.Error("the client does not have the new secret beside the former one")
	}
	testkit.Equal(t, "the result", w.plan(in), []string{})
	in.Values = nil
	var e *fault.Error
	if _, err := w.ops.ApplyConfig(t.Context(), admin.CommandLine(), in); !errors.As(err, &e) ||
		!strings.Contains(e.Text, "line 26") || !strings.Contains(e.Text, "SHOP_API_SECRET") {
		t.Errorf("without a value: %v", err)
	}
	in.Values = map[string]string{"${env:SHOP_API_SECRET}": "short"}
	if _, err := w.ops.PlanConfig(t.Context(), admin.CommandLine(), in); !fault.Is(err, fault.Invalid) {
		t.Errorf("a short secret: %v", err)
	}
}

// TestConfigDrift compares stored settings with the last applied documents.
func TestConfigDrift(t *testing.T) {
	w := newConfigured(t)
	w.apply(w.input(shop))
	drift := func() *plan.Plan {
		t.Helper()
		all, err := w.ops.ConfigDrift(t.Context(), admin.CommandLine())
		testkit.Must(t, err)
		if len(all) != 1 || all[0].Problem != "" {
			t.Fatalf("got %+v", all)
		}
		return all[0].Plan
	}
	p := drift()
	if !p.Empty() || len(p.Open) != 1 || p.Open[0].Field != "client_secret" {
		t.Errorf("got %+v", p)
	}
	testkit.Must(t, onlyError(w.ops.DeleteClient(t.Context(), admin.CommandLine(), "shop-web", 0)))
	testkit.Equal(t, "the result", lines(drift().Changes)[0][:23], "create clients shop-web")
}
