package admin_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestPlanOfPruningChangesNothing plans the deletion of one thing of each kind.
func TestPlanOfPruningChangesNothing(t *testing.T) {
	w := newConfigured(t)
	w.apply(w.input(strings.Replace(shop, "    role: clerk\n", "", 1)))
	in := w.input("version: 1\nlabel: shop\nscopes: []\nroles: []\nclients: []\nroutes: []\nwebhooks: []\n")
	in.Prune = true
	if got := w.plan(in); len(got) != 7 {
		t.Errorf("the plan is %v", got)
	}
	testkit.Must(t, w.db.Load(t.Context()))
	hooks, err := w.db.ListWebhooks(t.Context())
	testkit.Must(t, err)
	if w.db.RoleDefinitions()["clerk"] == nil || w.db.Scopes()["orders:read"] == nil ||
		w.db.Clients()["shop-api"] == nil || len(w.db.Routes()) != 1 || len(hooks) != 1 {
		t.Error("the plan has deleted something")
	}
	in.AllowDelete = true
	w.apply(in)
	if w.db.RoleDefinitions()["clerk"] != nil {
		t.Error("the role is still there")
	}
}

const hooks = `version: 1
label: hooks
webhooks:
  - url: https://one.example/x
    events: [user.*]
    active: true
  - url: https://two.example/x
    events: [user.*]
    active: true
  - url: https://three.example/x
    events: [user.*]
    active: true
`

// webhooks returns the webhooks that are stored, each as "host events state".
func (w *configured) webhooks() []string {
	w.t.Helper()
	all, err := w.db.ListWebhooks(w.t.Context())
	testkit.Must(w.t, err)
	var out []string
	for i := range all {
		state := " off"
		if all[i].Active {
			state = " on"
		}
		out = append(out, all[i].Host()+" "+strings.Join(all[i].Events, " ")+state)
	}
	slices.Sort(out)
	return out
}

// TestWebhooksOfDocuments changes and deletes webhooks by documents.
func TestWebhooksOfDocuments(t *testing.T) {
	one, two, three := "one.example user.* on", "two.example user.* on", "three.example user.* on"
	without := func(host string) string {
		entry := "  - url: https://" + host + "/x\n    events: [user.*]\n    active: true\n"
		return strings.Replace(hooks, entry, "", 1)
	}
	for _, c := range []struct {
		name, document string
		plan, want     []string
	}{
		{
			"another selection of events", strings.Replace(hooks, "[user.*]", "[client.*]", 1),
			[]string{"update webhooks https://one.example/x: events"},
			[]string{"one.example client.* on", three, two},
		},
		{
			"switched off", strings.Replace(hooks, "active: true", "active: false", 1),
			[]string{"update webhooks https://one.example/x: active"},
			[]string{"one.example user.* off", three, two},
		},
		{
			"without the first", without("one.example"),
			[]string{"delete webhooks https://one.example/x"},
			[]string{three, two},
		},
		{
			"without the second", without("two.example"),
			[]string{"delete webhooks https://two.example/x"},
			[]string{one, three},
		},
		{
			"without the last", without("three.example"),
			[]string{"delete webhooks https://three.example/x"},
			[]string{one, two},
		},
		{
			"without the first two", strings.Replace(without("one.example"),
				"  - url: https://two.example/x\n    events: [user.*]\n    active: true\n", "", 1),
			[]string{"delete webhooks https://one.example/x", "delete webhooks https://two.example/x"},
			[]string{three},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newConfigured(t)
			w.apply(w.input(hooks))
			before := []string{one, three, two}
			testkit.Equal(t, "before", w.webhooks(), before)
			in := w.input(c.document)
			in.Prune, in.AllowDelete = true, true
			testkit.Equal(t, "the plan", slices.Sorted(slices.Values(w.plan(in))), c.plan)
			testkit.Equal(t, "after the plan", w.webhooks(), before)
			w.apply(in)
			testkit.Equal(t, "after", w.webhooks(), c.want)
			testkit.Equal(t, "the plan afterwards", w.plan(in), []string{})
		})
	}
}
