package console

import (
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/plan"
)

// configSection compares what is stored with the documents of configuration as code.
func (s *Server) configSection() section {
	return section{
		path:  "/config",
		name:  "Configuration",
		icon:  "list",
		group: "System",
		scope: admin.ScopeClientsRead,
		routes: []route{
			{"GET /admin/config", []string{"ConfigDrift"}, s.showConfig},
			{"POST /admin/config/plan", []string{"PlanConfig"}, s.postConfigPlan},
		},
		views: []View{&ConfigView{}},
	}
}

// ConfigView shows the documents that were applied with what has changed since, and what a document
// would change.
type ConfigView struct {
	Base
	Documents []ConfigGroup
	Result    *ConfigGroup // of the document that was entered, or nil
	Empty     *Empty       // instead of documents, or nil
	Same      Same
}

// ConfigGroup is a document with what it would change.
type ConfigGroup struct {
	Name, Outcome string
	Tone          string // of the outcome: good, warn or bad
	Applied       Moment
	By            string
	Table         Table
}

// Page names the template.
func (*ConfigView) Page() string { return "config" }

func (s *Server) showConfig(w http.ResponseWriter, r *http.Request, q *request) error {
	v, err := s.configView(r, q)
	if err != nil {
		return err
	}
	return s.show(w, http.StatusOK, v)
}

func (s *Server) configView(r *http.Request, q *request) (*ConfigView, error) {
	all, err := s.ops.ConfigDrift(r.Context(), q.actor)
	if err != nil {
		return nil, err
	}
	v := &ConfigView{Base: s.begin(r, q, "Configuration")}
	v.Lead = "The documents that were applied last, and how the stored scopes, roles, clients, routes and webhooks differ from them."
	for i := range all {
		d := &all[i]
		g := ConfigGroup{Outcome: d.Problem, Tone: "bad"}
		if d.Plan != nil {
			g = s.configGroup(d.Plan)
			if !d.Plan.Empty() {
				g.Outcome = "Differs from what is stored: " + g.Outcome
			}
		}
		g.Name, g.By, g.Applied = d.Label, d.AppliedBy, v.When(d.AppliedAt)
		v.Documents = append(v.Documents, g)
	}
	if len(v.Documents) == 0 {
		v.Empty = &Empty{
			Icon:  "list",
			Title: "No document has been applied",
			Text:  "Write one with gatehouse export, keep it in version control, and apply it with gatehouse apply.",
		}
	}
	v.Same = s.same("GET", "/api/v1/config/drift", nil, "export", "--output=gatehouse.yaml")
	return v, nil
}

// configGroup returns a plan as the page shows it.
func (s *Server) configGroup(p *plan.Plan) ConfigGroup {
	g := ConfigGroup{Name: p.Label, Outcome: p.Summary(), Tone: "good"}
	if !p.Empty() {
		g.Tone = "warn"
	}
	g.Table = Table{Caption: "Changes of " + p.Label, Columns: []Column{{Name: "Change"}, {Name: "Thing"}, {Name: "Values"}}}
	nouns := map[string]string{}
	for _, x := range admin.ConfigSections(s.ops.Rules()) {
		nouns[x.Name] = x.Noun
	}
	add := func(tone, what, section, key, text string) {
		g.Table.Rows = append(g.Table.Rows, Row{ID: section + " " + key, Name: key, Cells: []Cell{
			badgeCell(tone, what), {Text: key, Code: true, Sub: nouns[section]}, {Text: text},
		}})
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		tone, what := "good", "Create"
		switch c.Action {
		case plan.Update:
			tone, what = "warn", "Update"
		case plan.Delete:
			tone, what = "bad", "Delete"
		}
		var fields []string
		for _, f := range c.Fields {
			fields = append(fields, f.Describe(c.Action))
		}
		add(tone, what, c.Section, c.Key, strings.Join(fields, "; "))
	}
	for i := range p.Orphans {
		add("plain", "Not described", p.Orphans[i].Section, p.Orphans[i].Key, "It stays, unless the document is applied with --prune.")
	}
	for _, o := range p.Open {
		add("plain", "Not compared", o.Section, o.Key, o.Field+": "+o.Reference+" has no value here")
	}
	return g
}

func (s *Server) postConfigPlan(w http.ResponseWriter, r *http.Request, q *request) error {
	p, planErr := s.ops.PlanConfig(r.Context(), q.actor, admin.ConfigInput{
		Document: []byte(q.form.Get("document")),
		Open:     true,
	})
	v, err := s.configView(r, q)
	if err != nil {
		return err
	}
	if planErr != nil {
		if err := retry(&v.Base, q, planErr); err != nil {
			return err
		}
		for i := range v.Errors { // whatever member it is about, it is in the document
			v.Errors[i].Field = "document"
		}
		return s.show(w, v.status(), v)
	}
	g := s.configGroup(p)
	v.Result = &g
	return s.show(w, http.StatusOK, v)
}
