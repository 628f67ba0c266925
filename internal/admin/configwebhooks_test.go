package admin_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

const hookWithSecret = "version: 1\nlabel: hook\nwebhooks:\n  - url: https://hooks.example/x\n    events: [user.*]\n    secret: ${env:HOOK}\n"

// hookSecret returns a secret of a webhook that consists of one letter.
func hookSecret(letter string) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
}

// hook returns a document whose reference has a value.
func (w *configured) hook(document, value string) admin.ConfigInput {
	in := w.input(document)
	in.Values = map[string]string{"${env:HOOK}": value}
	return in
}

// signs checks by which secrets the messages of the only webhook are signed.
func (w *configured) signs(what string, secrets ...string) {
	w.t.Helper()
	all, err := w.db.ListWebhooks(w.t.Context())
	testkit.Must(w.t, err)
	signer, err := w.parts.WebhookKeys.Signer(&all[0], w.now)
	testkit.Must(w.t, err)
	var want []string
	for _, s := range secrets {
		one, err := webhook.ParseSecret(s)
		testkit.Must(w.t, err)
		want = append(want, one.Sign("id", w.now, nil))
	}
	testkit.Equal(w.t, what, signer.Sign("id", w.now, nil), strings.Join(want, " "))
}

// TestWebhookSecretsOfDocuments gives a webhook its secret, another one, and the former one again
// after somebody has changed it by hand.
func TestWebhookSecretsOfDocuments(t *testing.T) {
	w := newConfigured(t)
	first, second := hookSecret("1"), hookSecret("2")
	out := w.apply(w.hook(hookWithSecret, first))
	testkit.Equal(t, "secrets that are shown", len(out.Secrets), 0)
	w.signs("at first", first)
	testkit.Equal(t, "the plan afterwards", w.plan(w.hook(hookWithSecret, first)), []string{})

	const update = "update webhooks https://hooks.example/x: secret"
	testkit.Equal(t, "the plan of another secret", w.plan(w.hook(hookWithSecret, second)), []string{update})
	w.signs("after a plan", first)
	out = w.apply(w.hook(hookWithSecret, second))
	testkit.Equal(t, "secrets that are shown", len(out.Secrets), 0)
	w.signs("with another secret", second, first)
	w.now = w.now.Add(25 * time.Hour)
	w.signs("a day later", second)

	byHand, err := w.ops.RotateWebhookSecret(t.Context(), admin.CommandLine(), "https://hooks.example/x", 0)
	testkit.Must(t, err)
	w.signs("changed by hand", byHand.Secret)
	in := w.hook(strings.Replace(hookWithSecret, "[user.*]", "[client.*]", 1), second)
	testkit.Equal(t, "the plan of both changes", w.plan(in), []string{strings.Replace(update, ": ", ": events ", 1)})
	w.apply(in)
	w.signs("as the document says", second, byHand.Secret)

	without := strings.Replace(hookWithSecret, "    secret: ${env:HOOK}\n", "", 1)
	w.apply(w.hook(strings.Replace(without, "[user.*]", "[client.*]", 1), ""))
	w.signs("left alone", second, byHand.Secret)

	events, err := w.db.ListAudit(t.Context(), store.AuditQuery{Limit: 100})
	testkit.Must(t, err)
	rotations := 0
	for _, e := range events {
		if e.Type == audit.WebhookSecretRotated {
			rotations++
		}
	}
	testkit.Equal(t, "recorded changes of the secret", rotations, 3)
	text, err := w.ops.ExportConfig(t.Context(), admin.CommandLine(), admin.ConfigExport{Label: "hook"})
	testkit.Must(t, err)
	for _, s := range []string{first, second, byHand.Secret} {
		if strings.Contains(string(text)+fmt.Sprint(events), s) {
			t.Error("an event or the export has a secret")
		}
	}
	if !strings.Contains(string(text), "secret: ${env:WEBHOOK_HOOKS_EXAMPLE_SECRET}") || strings.Contains(string(text), "\n    secret:") {
		t.Errorf("the export is\n%s", text)
	}
}

// A value that is not a webhook secret is rejected, and the error does not contain it.
func TestWrongWebhookSecrets(t *testing.T) {
	w := newConfigured(t)
	for name, value := range map[string]string{
		"no prefix": "T0kenOfHooks", "short": "whsec_" + base64.StdEncoding.EncodeToString([]byte("T0kenOfHooks")),
		"long": hookSecret("long"), "no base64": "whsec_T0kenOfHooks!",
	} {
		for _, there := range []bool{false, true} {
			if there {
				w.apply(w.hook(hookWithSecret, hookSecret("1")))
			}
			_, err := w.ops.PlanConfig(t.Context(), admin.CommandLine(), w.hook(hookWithSecret, value))
			if !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), value) || !strings.Contains(err.Error(), "whsec_ and 24 to 64 bytes") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	in := w.input(strings.Replace(hookWithSecret, "${env:HOOK}", hookSecret("1"), 1))
	_, err := w.ops.PlanConfig(t.Context(), admin.CommandLine(), in)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "write a reference") {
		t.Errorf("a secret in the document: %v", err)
	}
}

// TestWebhookSecretsAreNotGuessed: a plan says whether a webhook has a secret only to those who may
// change it.
func TestWebhookSecretsAreNotGuessed(t *testing.T) {
	h := newHierarchy(t)
	w := configuredIn(h.world)
	w.apply(w.hook(hookWithSecret, hookSecret("1")))
	_, err := h.ops.CreateRole(t.Context(), admin.CommandLine(), "reader", patchOf(t, admin.RoleFields(),
		map[string][]string{"scopes": {"admin:webhooks:read", "admin:audit:read"}}))
	testkit.Must(t, err)
	h.people["reader"] = h.person("reader@example.com", "reader")
	for role, want := range map[string][2]int{"reader": {0, 1}, "super_admin": {1, 0}} {
		p, err := h.ops.PlanConfig(t.Context(), h.actor(role), w.hook(hookWithSecret, hookSecret("2")))
		testkit.Must(t, err)
		testkit.Equal(t, role, [2]int{len(p.Changes), len(p.Open)}, want)
	}
}
