package admin

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/plan"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// ConfigStore is what configuration as code needs of storage.
type ConfigStore interface {
	// Together runs f with a store on which all changes are one transaction; settle makes what f
	// has changed visible to reads from memory. f may run more than once.
	Together(ctx context.Context, f func(s Store, settle func() error) error) error
	// ConfigDocuments returns the documents that were applied last, by their labels.
	ConfigDocuments(ctx context.Context) ([]ConfigDocument, error)
	// ConfigLabels returns the labels of all things that carry one.
	ConfigLabels(ctx context.Context) (map[ConfigMark]string, error)
	// SaveConfig stores a document, and the labels of things; "" takes the label from a thing.
	SaveConfig(ctx context.Context, c *ConfigDocument, labels map[ConfigMark]string, ev ...audit.Event) error
}

// ConfigDocument is a document as it was applied last. References in it have no values.
type ConfigDocument struct {
	Label     string
	Text      string
	AppliedAt time.Time
	AppliedBy string // the actor
}

// ConfigMark names one thing that carries a label.
type ConfigMark struct{ Section, Mark string }

// ConfigInput is a document to be compared or applied.
type ConfigInput struct {
	Document []byte
	// Values has the values of the references in the document, as in "${env:NAME}". The server
	// reads neither its environment nor files for a document.
	Values      map[string]string
	Prune       bool   // delete what carries the label of the document and is not in it
	AllowDelete bool   // however much that is
	TakeOver    bool   // give things of other documents to this one
	Plan        string // the id of the plan that must still hold, or ""
	Open        bool   // compare also without the values of references; not for applying
}

// value returns the value of a reference.
func (in *ConfigInput) value(r plan.Reference) (string, bool) {
	v, ok := in.Values[r.String()]
	return v, ok
}

// IssuedSecret is the secret of a thing that was created, returned this once.
type IssuedSecret struct {
	Section string `json:"section"`
	Key     string `json:"key"`
	Secret  string `json:"secret"`
}

// AppliedConfig is what a document has changed.
type AppliedConfig struct {
	Plan    *plan.Plan
	Secrets []IssuedSecret

	labels map[ConfigMark]string
}

// ConfigDrift is a document that was applied, and what applying it again would change.
type ConfigDrift struct {
	ConfigDocument
	Plan    *plan.Plan
	Problem string // why it cannot be compared, or ""
}

func staleConfig() error {
	return &fault.Error{
		Kind:   fault.Conflict,
		Reason: ReasonStale,
		Text:   "what is stored has changed since the plan was made, and nothing was applied; make a new plan",
	}
}

// readConfig parses a document, and checks that the actor has the scopes of its lists.
func (o *Operations) readConfig(a Actor, in *ConfigInput, changes bool) (*plan.Document, error) {
	if err := o.authorizeConfig(a, nil, changes); err != nil {
		return nil, err
	}
	doc, err := plan.Read(in.Document, ConfigSections(o.parts.Rules), in.value, in.Open && !changes)
	if err != nil {
		return nil, err
	}
	return doc, o.authorizeConfig(a, doc, changes)
}

// authorizeConfig returns a denial unless the actor may read, or change, what a document has. With
// nil, it returns one for an actor who may do so with no document.
func (o *Operations) authorizeConfig(a Actor, doc *plan.Document, changes bool) error {
	base := ScopeClientsRead
	if changes {
		base = ScopeClientsWrite
	}
	denied := o.authorize(a, base)
	for _, k := range o.configKinds() {
		s, write := k.scopes()
		if changes {
			s = write
		}
		err := o.authorize(a, s)
		switch {
		case doc == nil && err == nil:
			return nil
		case doc != nil && doc.List(k.section().Name) != nil && err != nil:
			return err
		}
	}
	if doc != nil {
		return nil
	}
	return denied
}

// PlanConfig returns what a document would change. It changes nothing.
func (o *Operations) PlanConfig(ctx context.Context, a Actor, in ConfigInput) (*plan.Plan, error) {
	doc, err := o.readConfig(a, &in, false)
	if err != nil {
		return nil, err
	}
	c, err := o.compare(ctx, a, &in, doc)
	if err != nil {
		return nil, err
	}
	return c.plan, nil
}

// ApplyConfig makes the changes of a document in one transaction: all or none. Each is checked,
// guarded and recorded like the operation that makes it alone. Where nothing differs, nothing is
// changed. Of several documents at a time, one is applied after the other: what another one has
// changed meanwhile is planned anew, unless a plan was asked for.
func (o *Operations) ApplyConfig(ctx context.Context, a Actor, in ConfigInput) (*AppliedConfig, error) {
	doc, err := o.readConfig(a, &in, true)
	if err != nil {
		return nil, err
	}
	if a.RequestID == "" {
		a.RequestID = secret.NewID(o.parts.Now())
	}
	for try := 1; ; try++ {
		out, err := o.applyConfig(ctx, a, &in, doc)
		if in.Plan != "" || fault.Reason(err) != ReasonStale || try == staleTries {
			return out, err
		}
		if err := o.store.SyncCache(ctx); err != nil {
			return nil, err
		}
	}
}

// applyConfig plans a document, and applies it if the plan holds until the transaction.
func (o *Operations) applyConfig(
	ctx context.Context, a Actor, in *ConfigInput, doc *plan.Document,
) (*AppliedConfig, error) {
	now := o.parts.Now()
	first, err := o.compare(ctx, a, in, doc)
	if err != nil {
		return nil, err
	}
	if err := o.authorizeLast(first); err != nil {
		return nil, err
	}
	if in.Plan != "" && in.Plan != first.plan.ID {
		return nil, staleConfig()
	}
	if first.plan.TooManyDeletions() && !in.AllowDelete {
		return nil, fault.New(fault.Conflict, "the document would delete %d of the %d things that carry its label; "+
			"if that is meant, apply it with --allow-delete", first.plan.Count(plan.Delete), first.plan.Labeled)
	}
	same, err := o.isApplied(ctx, in, first)
	if err != nil || same {
		return &AppliedConfig{Plan: first.plan}, err
	}
	for _, alg := range o.newAlgorithms(first) {
		if _, err := o.publishKey(ctx, alg, now); err != nil {
			return nil, err
		}
	}
	var out *AppliedConfig
	err = o.store.Together(ctx, func(s Store, settle func() error) error {
		out, err = o.on(s).applyTogether(ctx, a, in, doc, first.plan.ID, settle)
		return err
	})
	return out, err
}

// isApplied reports whether nothing is to be done for a document, not even to be remembered.
func (o *Operations) isApplied(ctx context.Context, in *ConfigInput, c *comparison) (bool, error) {
	if !c.plan.Empty() || len(c.adopt) > 0 {
		return false, nil
	}
	all, err := o.store.ConfigDocuments(ctx)
	return slices.ContainsFunc(all, func(d ConfigDocument) bool {
		return d.Label == c.document.Label && d.Text == string(in.Document)
	}), err
}

// applyTogether makes the changes of a document on the store of a transaction, if they are still
// those of a plan.
func (o *Operations) applyTogether(
	ctx context.Context, a Actor, in *ConfigInput, doc *plan.Document, id string, settle func() error,
) (*AppliedConfig, error) {
	c, err := o.compare(ctx, a, in, doc)
	switch {
	case err != nil:
		return nil, err
	case c.plan.ID != id:
		return nil, staleConfig()
	}
	if err := o.authorizeLast(c); err != nil {
		return nil, err
	}
	o.together = true
	out := &AppliedConfig{Plan: c.plan, labels: c.adopt}
	section := ""
	for i, do := range c.steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if s := c.plan.Changes[i].Section; s != section {
			if section = s; i > 0 {
				if err := settle(); err != nil {
					return nil, err
				}
			}
		}
		if err := do(ctx, o, a, out); err != nil {
			return nil, err
		}
	}
	now := o.parts.Now()
	d := &ConfigDocument{Label: doc.Label, Text: string(in.Document), AppliedAt: now, AppliedBy: a.Name()}
	return out, o.store.SaveConfig(ctx, d, out.labels, c.event(now))
}

// event returns the event of an application.
func (c *comparison) event(now time.Time) audit.Event {
	p := c.plan
	ev := c.a.event(audit.ConfigApplied, now)
	ev.Guard = c.guard()
	ev.TargetType, ev.TargetID = audit.TargetConfig, p.Label
	ev.Detail = map[string]string{
		"plan":       p.ID,
		"created":    strconv.Itoa(p.Count(plan.Create)),
		"updated":    strconv.Itoa(p.Count(plan.Update)),
		"deleted":    strconv.Itoa(p.Count(plan.Delete)),
		"adopted":    strconv.Itoa(c.adopted),
		"taken_over": strconv.Itoa(c.taken),
	}
	return ev
}

// newAlgorithms returns the algorithms that clients would sign tokens with and do not now.
func (o *Operations) newAlgorithms(c *comparison) []string {
	var out []string
	now := o.store.Clients()
	for id, after := range c.o.store.Clients() {
		if before := now[id]; after.Alg != "" && (before == nil || before.Alg != after.Alg) {
			out = append(out, after.Alg)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ConfigExport selects what an export has.
type ConfigExport struct {
	Label    string   // of the document; "": main
	Sections []string // none: all
}

// defaultLabel is the label of an export that names none.
const defaultLabel = "main"

// ExportConfig returns the stored configuration as a document. It leaves out everything that other
// documents describe.
// Applying it changes nothing. Secrets are not in it; comments say where they were.
func (o *Operations) ExportConfig(ctx context.Context, a Actor, q ConfigExport) ([]byte, error) {
	if q.Label == "" {
		q.Label = defaultLabel
	}
	if !plan.ValidLabel(q.Label) {
		return nil, fault.InvalidField("label", "the label must be one word of letters, digits and . _ -")
	}
	kinds, err := o.selectKinds(q.Sections)
	if err != nil {
		return nil, err
	}
	kinds, omitted, err := o.readableKinds(a, kinds, len(q.Sections) == 0)
	if err != nil {
		return nil, err
	}
	labels, err := o.store.ConfigLabels(ctx)
	if err != nil {
		return nil, err
	}
	w := &plan.Writer{Label: q.Label, Header: []string{
		"Configuration of Gatehouse, written by: gatehouse export",
		"Secrets are not in it. What other documents describe is left out.",
	}}
	if len(omitted) > 0 {
		w.Header = append(w.Header, "Not exported for want of a scope, and so left alone: "+strings.Join(omitted, ", "))
	}
	for _, k := range kinds {
		entries, err := k.entries(ctx, o, labels, q.Label)
		if err != nil {
			return nil, err
		}
		if err := w.Add(k.section(), entries); err != nil {
			return nil, err
		}
	}
	return w.Bytes()
}

// readableKinds returns the kinds that an actor may read, and the names of the others. It returns a
// denial for the first of these unless all kinds are meant.
func (o *Operations) readableKinds(
	a Actor, kinds []configKind, all bool,
) (readable []configKind, omitted []string, err error) {
	if all {
		if err := o.authorize(a, ScopeClientsRead); err != nil {
			return nil, nil, err
		}
	}
	for _, k := range kinds {
		read, _ := k.scopes()
		switch err := o.authorize(a, read); {
		case err == nil:
			readable = append(readable, k)
		case !all:
			return nil, nil, err
		default:
			omitted = append(omitted, k.section().Name)
		}
	}
	return readable, omitted, nil
}

// selectKinds returns the kinds of the named sections; all if none is named.
func (o *Operations) selectKinds(sections []string) ([]configKind, error) {
	all := o.configKinds()
	var known []string
	for _, k := range all {
		known = append(known, k.section().Name)
	}
	for _, name := range sections {
		if !slices.Contains(known, name) {
			return nil, fault.InvalidField("sections", "there is no section %.32q%s; the sections are %s", name,
				didYouMeanSection(name, known), strings.Join(known, ", "))
		}
	}
	if len(sections) == 0 {
		return all, nil
	}
	return slices.DeleteFunc(all, func(k configKind) bool { return !slices.Contains(sections, k.section().Name) }), nil
}

func didYouMeanSection(name string, known []string) string {
	if near := spell.Nearest(name, known); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}

// readsAll reports whether an actor may read every list of documents.
func (o *Operations) readsAll(a Actor) bool {
	for _, k := range o.configKinds() {
		if read, _ := k.scopes(); o.authorize(a, read) != nil {
			return false
		}
	}
	return true
}

// ConfigDrift returns the documents that were applied last, each with what applying it again would
// change. References in them have no values here, and are not compared.
func (o *Operations) ConfigDrift(ctx context.Context, a Actor) ([]ConfigDrift, error) {
	if err := o.authorize(a, ScopeClientsRead); err != nil {
		return nil, err
	}
	all, err := o.store.ConfigDocuments(ctx)
	if err != nil {
		return nil, err
	}
	var out []ConfigDrift
	for i := range all {
		d := ConfigDrift{ConfigDocument: all[i]}
		in := &ConfigInput{Document: []byte(d.Text)}
		doc, err := plan.Read(in.Document, ConfigSections(o.parts.Rules), in.value, true)
		if err == nil {
			if err := o.authorizeConfig(a, doc, false); err != nil {
				continue // of what the actor may not read, not even the name is shown
			}
			var c *comparison
			if c, err = o.compare(ctx, a, in, doc); err == nil {
				d.Plan = c.plan
			}
		}
		if err != nil {
			if doc == nil && !o.readsAll(a) {
				continue // nobody knows which lists it has
			}
			if fault.KindOf(err) == fault.Internal || fault.Is(err, fault.Unavailable) {
				return nil, err
			}
			d.Problem = err.Error()
		}
		out = append(out, d)
	}
	return out, nil
}
