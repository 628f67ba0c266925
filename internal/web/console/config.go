package console

import (
	"maps"
	"net/http"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
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
			{"GET /admin/config/export", []string{"ExportConfig"}, s.exportConfig},
			{"POST " + configPlanPath, []string{"PlanConfig"}, s.postConfigPlan},
			{"POST " + configApplyPath, []string{"ApplyConfig"}, s.postConfigApply},
		},
		views: []View{&ConfigView{}, &AppliedView{}},
		notes: map[string]string{"applied": "The document has been applied."},
	}
}

const (
	configPlanPath  = Root + "/config/plan"
	configApplyPath = Root + "/config/apply"
)

// PathsOfDocuments returns the paths that take configuration documents, which may be long.
func PathsOfDocuments() []string { return []string{configPlanPath, configApplyPath} }

// ConfigView shows the documents that were applied with what has changed since, and what a document
// would change.
type ConfigView struct {
	Base
	Documents []ConfigGroup
	Result    *ConfigGroup // of the document that was entered, or nil
	Apply     *ConfigApply // makes the changes of the plan, or nil
	Empty     *Empty       // instead of documents, or nil
	Same      Same
}

// ConfigApply is the form that makes the changes of a plan, after the page has shown it.
type ConfigApply struct {
	Hidden []Pair
	Many   string // asks whether that much is to be deleted; or ""
	Danger bool   // something is deleted
}

// AppliedView shows what a document has changed, with secrets that nobody can see again.
type AppliedView struct {
	Base
	Group   ConfigGroup
	Secrets []ConfigSecret
	Back    Link
}

// ConfigSecret is the secret of something that was created.
type ConfigSecret struct{ Key, Noun, Secret string }

// Page names the template.
func (*AppliedView) Page() string { return "applied" }

// ConfigGroup is a document with what it would change.
type ConfigGroup struct {
	Name, Outcome string
	Tone          string // of the outcome: good, warn or bad
	Open          bool   // it has references without a value here
	Applied       Moment
	By            string
	Edit          string // the address of the page with the document in the editor; or ""
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

// exportConfig sends the stored configuration as a document.
func (s *Server) exportConfig(w http.ResponseWriter, r *http.Request, q *request) error {
	text, err := s.ops.ExportConfig(r.Context(), q.actor, admin.ConfigExport{Label: q.form.Get("label")})
	if err != nil {
		return err
	}
	out := newDownload(w, "gatehouse.yaml", "application/yaml; charset=utf-8")
	_, err = out.Write(text)
	return err
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
		if u, err := s.ops.User(r.Context(), q.actor, d.AppliedBy); err == nil {
			d.AppliedBy = u.Label()
		}
		g.Name, g.By, g.Applied = d.Label, d.AppliedBy, v.When(d.AppliedAt)
		g.Edit = with(Root+"/config", "edit", d.Label)
		if r.Method == http.MethodGet && !q.draft && q.form.Get("edit") == d.Label {
			v.Form.Set("document", d.Text)
		}
		v.Documents = append(v.Documents, g)
	}
	if len(v.Documents) == 0 {
		v.Empty = &Empty{
			Icon:  "list",
			Title: "No document has been applied",
			Text: "A document describes scopes, roles, clients, routes and webhooks. Export what is stored, keep the " +
				"file in version control, and apply it here or with the command.",
			Link: &Link{"Export what is stored", Root + "/config/export"},
		}
	}
	v.Same = s.same("GET", "/api/v1/config", nil, "export", "--output=gatehouse.yaml").also("Plan",
		s.same("POST", "/api/v1/config/plan", map[string]any{"document": "DOCUMENT"}, "plan", "gatehouse.yaml"))
	return v, nil
}

// configGroup returns a plan as the page shows it.
func (s *Server) configGroup(p *plan.Plan) ConfigGroup {
	g := ConfigGroup{Name: p.Label, Outcome: p.Summary(), Tone: "good"}
	if !p.Empty() {
		g.Tone = "warn"
	}
	g.Table = Table{Caption: "Changes of " + p.Label, Columns: []Column{{Name: "Change"}, {Name: "Thing"}, {Name: "Values"}}}
	nouns := configNouns(s.ops.Rules())
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

// configInput returns the document of a form.
func configInput(q *request) admin.ConfigInput {
	return admin.ConfigInput{
		Document:    []byte(strings.ReplaceAll(q.form.Get("document"), "\r\n", "\n")), // forms have CRLF
		Prune:       q.form.Get("prune") != "",
		TakeOver:    q.form.Get("take_over") != "",
		AllowDelete: q.form.Get("allow_delete") != "",
		Plan:        q.form.Get("plan"),
	}
}

// retryConfig shows the page again with what is wrong with its document.
func (s *Server) retryConfig(w http.ResponseWriter, r *http.Request, q *request, err error) error {
	v, viewErr := s.configView(r, q)
	if viewErr != nil {
		return viewErr
	}
	if err := retry(&v.Base, q, err); err != nil {
		return err
	}
	for i := range v.Errors { // whatever member it is about, it is in the document
		v.Errors[i].Field = "document"
	}
	return s.show(w, v.status(), v)
}

func (s *Server) postConfigPlan(w http.ResponseWriter, r *http.Request, q *request) error {
	in := configInput(q)
	in.Plan = ""
	p, err := s.ops.PlanConfig(r.Context(), q.actor, in)
	whole := err == nil
	if !whole { // references have no value here, if nothing else is wrong
		in.Open = true
		if p, err = s.ops.PlanConfig(r.Context(), q.actor, in); err != nil {
			return s.retryConfig(w, r, q, err)
		}
	}
	v, err := s.configView(r, q)
	if err != nil {
		return err
	}
	g := s.configGroup(p)
	g.Open = !whole
	v.Result = &g
	if whole && !p.Empty() {
		v.Apply = configApply(p, in, q)
	}
	args := []string{"plan", "gatehouse.yaml"}
	body := map[string]any{"document": string(in.Document)}
	for _, x := range []struct {
		set          bool
		flag, member string
	}{{in.Prune, "--prune", "prune"}, {in.TakeOver, "--take-over", "take_over"}} {
		if x.set {
			args, body[x.member] = append(args, x.flag), true
		}
	}
	v.Same = s.same("POST", "/api/v1/config/plan", body, args...)
	if v.Apply != nil {
		apply := maps.Clone(body)
		apply["plan"] = p.ID
		v.Same = v.Same.also("Apply these changes",
			s.same("POST", "/api/v1/config/apply", apply, append([]string{"apply"}, args[1:]...)...))
	}
	return s.show(w, http.StatusOK, v)
}

// configApply returns the form that makes the changes of a plan.
func configApply(p *plan.Plan, in admin.ConfigInput, q *request) *ConfigApply {
	out := &ConfigApply{
		Hidden: []Pair{{"document", string(in.Document)}, {"plan", p.ID}},
		Danger: p.Count(plan.Delete) > 0,
	}
	for _, name := range []string{"prune", "take_over"} {
		if q.form.Get(name) != "" {
			out.Hidden = append(out.Hidden, Pair{name, "on"})
		}
	}
	if p.TooManyDeletions() {
		out.Many = "Delete " + grouped(p.Count(plan.Delete)) + " of " + count(p.Labeled, "thing") + " of this document"
	}
	return out
}

// postConfigApply makes the changes of a plan that a page has shown, if it still holds.
func (s *Server) postConfigApply(w http.ResponseWriter, r *http.Request, q *request) error {
	in := configInput(q)
	if in.Plan == "" {
		return s.postConfigPlan(w, r, q)
	}
	done, err := s.ops.ApplyConfig(r.Context(), q.actor, in)
	if err != nil {
		return s.retryConfig(w, r, q, err)
	}
	if len(done.Secrets) == 0 {
		return seeOther(w, r, Root+"/config?done=applied")
	}
	v := &AppliedView{Base: s.begin(r, q, "The document has been applied"), Group: s.configGroup(done.Plan)}
	v.Group.Outcome = grouped(done.Plan.Count(plan.Create)) + " created, " + grouped(done.Plan.Count(plan.Update)) +
		" updated, " + grouped(done.Plan.Count(plan.Delete)) + " deleted."
	v.Back = Link{"Configuration", Root + "/config"}
	v.Crumbs = []Link{v.Back}
	nouns := configNouns(s.ops.Rules())
	for _, x := range done.Secrets {
		v.Secrets = append(v.Secrets, ConfigSecret{Key: x.Key, Noun: nouns[x.Section], Secret: x.Secret})
	}
	return s.show(w, http.StatusOK, v)
}

// configNouns returns what one thing of each section is called.
func configNouns(r client.Rules) map[string]string {
	out := map[string]string{}
	for _, x := range admin.ConfigSections(r) {
		out[x.Name] = x.Noun
	}
	return out
}
