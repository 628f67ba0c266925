package admin

import (
	"context"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/plan"
)

// comparison is the making of a plan: the operations of a document run on a draft, and what they
// change there is what they would change.
type comparison struct {
	o        *Operations // on a draft
	a        Actor
	document *plan.Document
	last     *plan.Document // as it was applied last, or nil
	unread   bool           // it was applied by another release, and this one cannot read it
	labels   map[ConfigMark]string
	prunes   bool
	takeOver bool

	plan  *plan.Plan
	steps []configStep // one for each change of the plan
	later []func(ctx context.Context) error
	adopt map[ConfigMark]string // labels that things get without a change

	changed map[string][]*plan.Item // by section, those that are created or updated

	adopted, taken int // things that get the label: those that had none, or another one
	// claimed has, by section, what the actor must cover to let the document describe things: a
	// label, or a description that is stored, decides what a later application changes or deletes.
	claimed map[string][]subject
}

// configStep makes one change of a plan, and adds to the result what it made and the labels of it.
type configStep func(ctx context.Context, o *Operations, a Actor, out *AppliedConfig) error

// on returns the operations on another store.
func (o *Operations) on(s Store) *Operations {
	out := &Operations{cfg: o.cfg, parts: o.parts, store: s}
	out.parts.Store = s
	return out
}

// compare plans a document on the store of the operations.
func (o *Operations) compare(ctx context.Context, a Actor, in *ConfigInput, doc *plan.Document) (*comparison, error) {
	draft, err := newDraftStore(ctx, o.store)
	if err != nil {
		return nil, err
	}
	c := &comparison{
		o: o.on(draft), a: a, document: doc, prunes: in.Prune, takeOver: in.TakeOver,
		plan: &plan.Plan{Label: doc.Label, Changes: []plan.Change{}, Orphans: []plan.Change{}, Open: []plan.Open{}},
	}
	c.o.draft = true
	c.adopt, c.claimed = map[ConfigMark]string{}, map[string][]subject{}
	c.changed = map[string][]*plan.Item{}
	if c.labels, err = o.store.ConfigLabels(ctx); err != nil {
		return nil, err
	}
	if c.last, c.unread, err = o.lastDocument(ctx, in, doc.Label); err != nil {
		return nil, err
	}
	return c, c.run(ctx)
}

// lastDocument returns a document as it was applied last, or nil, and whether there is one that
// cannot be read: a newer release has written it, or an older one what this one does not know.
func (o *Operations) lastDocument(
	ctx context.Context, in *ConfigInput, label string,
) (last *plan.Document, unread bool, err error) {
	all, err := o.store.ConfigDocuments(ctx)
	if err != nil {
		return nil, false, err
	}
	for i := range all {
		if all[i].Label == label {
			last, err := plan.Read([]byte(all[i].Text), ConfigSections(o.parts.Rules), in.value, true)
			if err != nil {
				return nil, true, nil
			}
			return last, false, nil
		}
	}
	return nil, false, nil
}

func (c *comparison) run(ctx context.Context) error {
	kinds := c.o.configKinds()
	for _, k := range kinds {
		if l := c.document.List(k.section().Name); l != nil {
			if err := k.compare(ctx, c, l); err != nil {
				return err
			}
		}
	}
	for _, f := range c.later {
		if err := f(ctx); err != nil {
			return err
		}
	}
	for _, k := range slices.Backward(kinds) {
		if l := c.document.List(k.section().Name); l != nil {
			if err := k.prune(ctx, c, l); err != nil {
				return err
			}
		}
	}
	if err := c.fitRoutes(); err != nil {
		return err
	}
	c.plan.Adopted = len(c.adopt)
	c.plan.Seal()
	return nil
}

// fitRoutes returns an error if the routes of the document do not fit together, or not with others.
func (c *comparison) fitRoutes() error {
	items := c.changed[routesSection]
	names := make([]string, len(items))
	for i := range items {
		names[i] = items[i].Key
	}
	name, err := c.o.fitRoutes(names)
	if err == nil || name == "" {
		return err
	}
	return c.document.List(routesSection).Item(name).Located(err)
}

// add adds a change to the plan.
func (c *comparison) add(change plan.Change, do configStep) {
	c.plan.Changes = append(c.plan.Changes, change)
	c.steps = append(c.steps, do)
}

// compare plans the things of a list.
func (k *describedKind[T]) compare(ctx context.Context, c *comparison, l *plan.List) error {
	all, err := k.list(ctx, c.o)
	if err != nil {
		return err
	}
	found := map[string][]*T{}
	for _, t := range all {
		found[k.key(t)] = append(found[k.key(t)], t)
	}
	items := pointers(l.Items)
	if k.order != nil {
		items = k.order(l)
	}
	for _, i := range items {
		if err := ctx.Err(); err != nil {
			return err
		}
		switch have := found[i.Key]; len(have) {
		case 0:
			err = k.creates(ctx, c, i)
		case 1:
			if err := k.claim(c, i, have[0]); err != nil {
				return i.At(err)
			}
			err = k.updates(ctx, c, i, have[0])
		default:
			return i.At(ambiguous(k.spec.Noun, i.Shown()))
		}
		if err != nil {
			return i.Located(err)
		}
	}
	return nil
}

// creates plans a new thing.
func (k *describedKind[T]) creates(ctx context.Context, c *comparison, i *plan.Item) error {
	p, err := patchOfItem(c, &k.spec, k.fields, i)
	if err != nil {
		return err
	}
	if k.postpone != nil {
		k.postpone(c, i, &p)
	}
	if i.Open != "" { // the key is not known: nothing can be said about the thing
		c.plan.Open = append(c.plan.Open, plan.Open{
			Section: k.spec.Name, Key: i.Shown(), Field: k.spec.Key, Reference: i.Open,
		})
		return nil
	}
	t, _, err := k.create(ctx, c.o, c.a, i, p)
	if err != nil {
		return err
	}
	fields, state := k.differences(c, i, new(T), t)
	if v := i.Value(k.secret); v != nil && v.Open == "" {
		fields = append(fields, plan.FieldChange{Field: k.secret, Hidden: true})
		state += string(c.o.parts.Keys.Hash(v.Texts[0]))
	}
	if i.Source != "" { // the plan does not show the key, and is for this one
		state += " " + string(c.o.parts.Keys.Hash(i.Key))
	}
	c.changed[k.spec.Name] = append(c.changed[k.spec.Name], i)
	change := plan.Change{Action: plan.Create, Section: k.spec.Name, Key: i.Shown(), Line: i.Line, Fields: fields, State: state}
	c.add(change, func(ctx context.Context, o *Operations, a Actor, out *AppliedConfig) error {
		t, secret, err := k.create(ctx, o, a, i, p)
		if err != nil {
			return i.Located(err)
		}
		if secret != nil {
			secret.Key = i.Shown()
			out.Secrets = append(out.Secrets, *secret)
		}
		out.labels[ConfigMark{k.spec.Name, k.mark(t)}] = c.document.Label
		return nil
	})
	return nil
}

// claim plans that a thing gets the label, and returns an error if another document has it.
func (k *describedKind[T]) claim(c *comparison, i *plan.Item, t *T) error {
	mark := ConfigMark{k.spec.Name, k.mark(t)}
	label := c.labels[mark]
	if label != c.document.Label || !c.describedBefore(k.spec.Name, i) {
		c.claimed[k.spec.Name] = append(c.claimed[k.spec.Name], k.subjects(t)...)
	}
	switch {
	case label == c.document.Label:
		c.plan.Labeled++
		return nil
	case label != "" && !c.takeOver:
		return fault.New(fault.Conflict, "the %s %s belongs to the document %s; take it out there first, or apply "+
			"this one with --take-over", k.spec.Noun, i.Shown(), label)
	case k.stays(t):
		return nil
	case label == "":
		c.adopted++
	default:
		c.taken++
	}
	c.adopt[mark] = c.document.Label
	return nil
}

// updates plans the changes of a thing that is there.
func (k *describedKind[T]) updates(ctx context.Context, c *comparison, i *plan.Item, t *T) error {
	mark := ConfigMark{k.spec.Name, k.mark(t)}
	p, err := patchOfItem(c, &k.spec, k.fields, i)
	if err != nil {
		return err
	}
	k.clearForgotten(c, i, &p)
	if k.postpone != nil {
		k.postpone(c, i, &p)
	}
	after, err := k.drafted(ctx, c, t, p)
	if err != nil {
		return err
	}
	fields, state := k.differences(c, i, t, after)
	var extra *extraChange
	if k.extra != nil {
		if extra, err = k.extra(c, i, after); err != nil {
			return err
		}
	}
	hasFields := len(fields) > 0
	if extra != nil {
		fields, state = append(fields, extra.field), state+" "+extra.state
	}
	if len(fields) == 0 {
		c.plan.Same++
		return nil
	}
	delete(c.adopt, mark)
	c.changed[k.spec.Name] = append(c.changed[k.spec.Name], i)
	change := plan.Change{Action: plan.Update, Section: k.spec.Name, Key: i.Shown(), Line: i.Line, Fields: fields, State: state}
	c.add(change, func(ctx context.Context, o *Operations, a Actor, out *AppliedConfig) error {
		if hasFields {
			if _, err := k.update(ctx, o, a, t, p); err != nil {
				return i.Located(err)
			}
		}
		if extra != nil {
			if err := extra.do(ctx, o, a); err != nil {
				return i.Located(err)
			}
		}
		if !k.stays(t) {
			out.labels[mark] = c.document.Label
		}
		return nil
	})
	return nil
}

// drafted returns a thing after a patch; the thing itself if the patch changes nothing.
func (k *describedKind[T]) drafted(ctx context.Context, c *comparison, t *T, p field.Patch[T]) (*T, error) {
	next := *t
	p.Apply(k.fields, &next)
	if len(k.differ(t, &next)) == 0 {
		return t, nil
	}
	return k.update(ctx, c.o, c.a, t, p)
}

// differ returns the names of the fields in which two things differ. How a JSON document is written
// makes no difference.
func (k *describedKind[T]) differ(a, b *T) []string {
	return slices.DeleteFunc(field.Differences(k.fields, a, b), func(name string) bool {
		f, _ := field.Named(k.fields, name)
		return f.JSON != nil && sameJSON(*f.JSON(a), *f.JSON(b))
	})
}

// differences returns the fields in which two states of a thing differ as they are shown, and what
// names the stored state and the values that are not shown.
func (k *describedKind[T]) differences(c *comparison, i *plan.Item, a, b *T) ([]plan.FieldChange, string) {
	names := k.differ(a, b)
	state := k.state(a)
	var out []plan.FieldChange
	for _, x := range field.Changes(k.fields, a, b) {
		if !slices.Contains(names, x.Field) || x.Field == k.spec.Key {
			continue
		}
		f, _ := field.Named(k.fields, x.Field)
		v := i.Value(x.Field)
		change := plan.FieldChange{Field: x.Field, Before: x.Before, After: x.After}
		if !f.Audited || v != nil && v.Hidden || c.hidBefore(k.spec.Name, i, x.Field) {
			change = plan.FieldChange{Field: x.Field, Hidden: true}
			state += " " + string(c.o.parts.Keys.Hash(f.String(a)+"\x00"+f.String(b)))
		}
		out = append(out, change)
	}
	return out, state
}

// hidBefore reports whether a member came from a reference when the document was applied last.
func (c *comparison) hidBefore(section string, i *plan.Item, member string) bool {
	if c.last == nil {
		return false
	}
	l := c.last.List(section)
	if l == nil {
		return false
	}
	before := l.Item(i.Key)
	if before == nil {
		return false
	}
	v := before.Value(member)
	return v != nil && v.Hidden
}

// describedBefore reports whether the document that was applied last has an item, with the same
// members.
func (c *comparison) describedBefore(section string, i *plan.Item) bool {
	if c.last == nil {
		return false
	}
	l := c.last.List(section)
	if l == nil {
		return false
	}
	before := l.Item(i.Key)
	return before != nil && !slices.ContainsFunc(i.Values, func(v plan.Value) bool {
		return before.Value(v.Member.Name) == nil
	})
}

// guard returns the guard of storing the document: its actor has the scopes of its lists, and
// covers what gets its label.
func (c *comparison) guard() audit.Guard {
	var all []audit.Guard
	for _, k := range c.o.configKinds() {
		name := k.section().Name
		if c.unread || c.document.List(name) != nil || c.last != nil && c.last.List(name) != nil {
			if g := k.guard(c); g != nil {
				all = append(all, g)
			}
		}
	}
	return func(ctx context.Context, rows audit.Rows) error {
		for _, g := range all {
			if err := g(ctx, rows); err != nil {
				return err
			}
		}
		return nil
	}
}

// authorizeLast returns a denial unless the actor may change every list of the document that this
// one replaces.
func (o *Operations) authorizeLast(c *comparison) error {
	for _, k := range o.configKinds() {
		if !c.unread && (c.last == nil || c.last.List(k.section().Name) == nil) {
			continue
		}
		_, write := k.scopes()
		if err := o.authorize(c.a, write); err != nil {
			return err
		}
	}
	return nil
}

// clearForgotten clears the fields that the document had when it was applied last and has no more.
// What it never had is left alone.
func (k *describedKind[T]) clearForgotten(c *comparison, i *plan.Item, p *field.Patch[T]) {
	if c.last == nil {
		return
	}
	l := c.last.List(k.spec.Name)
	if l == nil {
		return
	}
	before := l.Item(i.Key)
	if before == nil {
		return
	}
	for j := range before.Values {
		m := before.Values[j].Member
		f, ok := field.Named(k.fields, m.Name)
		if ok && i.Value(m.Name) == nil && !m.Required && !m.Always {
			p.Clear(f)
		}
	}
}

// prune plans the deletions of what carries the label of the document and is not in it.
func (k *describedKind[T]) prune(ctx context.Context, c *comparison, l *plan.List) error {
	if slices.ContainsFunc(l.Items, func(i plan.Item) bool { return i.Open != "" }) {
		return nil // each of these may be one that the document describes
	}
	all, err := k.list(ctx, c.o)
	if err != nil {
		return err
	}
	if k.deletions != nil {
		all = k.deletions(all)
	}
	for _, t := range all {
		if err := ctx.Err(); err != nil {
			return err
		}
		mark := ConfigMark{k.spec.Name, k.mark(t)}
		if c.labels[mark] != c.document.Label || k.stays(t) || l.Item(k.key(t)) != nil {
			continue
		}
		c.plan.Labeled++
		change := plan.Change{Action: plan.Delete, Section: k.spec.Name, Key: k.key(t), State: k.state(t)}
		if !c.prunes {
			change.Action = plan.Keep
			c.plan.Orphans = append(c.plan.Orphans, change)
			continue
		}
		if err := k.remove(ctx, c.o, c.a, t); err != nil {
			return err
		}
		c.add(change, func(ctx context.Context, o *Operations, a Actor, out *AppliedConfig) error {
			out.labels[mark] = ""
			return k.remove(ctx, o, a, t)
		})
	}
	return nil
}

// entries returns the things of a kind as an export shows them: without those of other documents.
func (k *describedKind[T]) entries(
	ctx context.Context, o *Operations, labels map[ConfigMark]string, label string,
) ([]plan.Entry, error) {
	all, err := k.list(ctx, o)
	if err != nil {
		return nil, err
	}
	var out []plan.Entry
	seen := map[string]bool{}
	for _, t := range all {
		of := labels[ConfigMark{k.spec.Name, k.mark(t)}]
		if k.hidden != nil && k.hidden(t) || of != "" && of != label {
			continue
		}
		key := k.key(t)
		if seen[key] {
			return nil, ambiguous(k.spec.Noun, key)
		}
		seen[key] = true
		e, err := plan.EntryOf(&k.spec, k.fields, key, t)
		if err != nil {
			return nil, err
		}
		if k.remark != nil {
			e.Remark = k.remark(t)
		}
		out = append(out, e)
	}
	return out, nil
}

// stays reports whether documents do not delete a thing, so that it carries no label.
func (k *describedKind[T]) stays(t *T) bool { return k.fixed != nil && k.fixed(t) }
