package admin_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// TestLabelsAreGuarded: nobody lets a document describe what they could not change, although the
// document changes nothing of it now.
func TestLabelsAreGuarded(t *testing.T) {
	ctx, cli := t.Context(), admin.CommandLine()
	head := "version: 1\nlabel: main\n"
	mighty := head + "clients:\n  - client_id: mighty\n"
	longer := mighty + "    description: d\n"
	for _, c := range []struct {
		name             string
		before, document string
		takeOver         bool
		roles            map[string]bool // whether a person with that role may apply it
	}{
		{"a weak client", "", head + "clients:\n  - client_id: plain\n", false, map[string]bool{"editor": true}},
		{"a strong client", "", mighty, false, map[string]bool{"editor": false, "super_admin": true}},
		{
			"a strong client of another document", strings.Replace(mighty, "main", "other", 1), mighty, true,
			map[string]bool{"editor": false, "super_admin": true},
		},
		{"one that was described before", mighty, mighty + "  - client_id: plain\n", false, map[string]bool{"editor": true}},
		{"a further member", mighty, longer, false, map[string]bool{"editor": false, "super_admin": true}},
		{
			"a role", "", head + "roles:\n  - name: helpdesk\n", false,
			map[string]bool{"editor": false, "super_admin": true},
		},
		{
			"a route for administrators", "", head + "routes:\n  - name: back\n", true,
			map[string]bool{"editor": false, "super_admin": true},
		},
		{
			"a list that the document had", head + "clients: []\nwebhooks: []\n",
			head + "clients: []\n", false,
			map[string]bool{"editor": false, "super_admin": true},
		},
	} {
		for role, want := range c.roles {
			h := newHierarchy(t)
			h.parts.WebhookKeys = webhook.NewKeys(h.parts.Keys)
			h.ops = h.with(func(*admin.Config) {})
			_, err := h.ops.UpdateClient(ctx, cli, "mighty",
				patch(t, client.Fields(h.ops.Rules()), map[string]string{"description": "d"}))
			testkit.Must(t, err)
			_, err = h.ops.ApplyConfig(ctx, cli, admin.ConfigInput{Document: []byte("version: 1\nlabel: routes\nroutes:\n" +
				"  - {name: back, prefix: /back, upstreams: ['http://back.internal'], roles: [super_admin]}\n")})
			testkit.Must(t, err)
			if c.before != "" {
				_, err := h.ops.ApplyConfig(ctx, cli, admin.ConfigInput{Document: []byte(c.before)})
				testkit.Must(t, err)
			}
			before, err := h.db.ConfigLabels(ctx)
			testkit.Must(t, err)
			in := admin.ConfigInput{Document: []byte(c.document), TakeOver: c.takeOver}
			_, err = h.ops.ApplyConfig(ctx, h.actor(role), in)
			checkDecision(t, c.name+" by "+role, want, err)
			after, err := h.db.ConfigLabels(ctx)
			testkit.Must(t, err)
			if !want {
				testkit.Equal(t, c.name+": labels", after, before)
			}
		}
	}
}

// TestLabelsAreAudited checks how many things the event of an application says to have got a label.
func TestLabelsAreAudited(t *testing.T) {
	w := newConfigured(t)
	w.createClient(map[string]string{"client_name": "By hand", "grant_types": "client_credentials"})
	w.apply(w.input("version: 1\nlabel: one\nclients:\n  - client_id: app\n"))
	in := w.input("version: 1\nlabel: two\nclients:\n  - {client_id: app, client_name: Other}\n")
	in.TakeOver = true
	w.apply(in)
	events, err := w.db.ListAudit(t.Context(), store.AuditQuery{Type: audit.ConfigApplied})
	testkit.Must(t, err)
	if len(events) != 2 {
		t.Fatalf("got %v", events)
	}
	got := map[string]string{}
	for _, e := range events {
		got[e.TargetID] = e.Detail["adopted"] + " " + e.Detail["taken_over"]
	}
	testkit.Equal(t, "adopted and taken over", got, map[string]string{"one": "1 0", "two": "0 1"})
}
