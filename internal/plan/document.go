package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// Bounds of a document.
const (
	MaxDocument = 2 << 20 // bytes
	maxItems    = 2000    // in all lists
	maxList     = 1000    // entries of one value
	maxDepth    = 16      // of an object in a value
	maxLabel    = 64
	maxKey      = 2048 // bytes

	maxReferences = 1000     // different ones
	maxValue      = 64 << 10 // bytes of the value of a reference
	maxExpanded   = 4 << 20  // bytes of all values that replace references
)

// Document is a description of what there should be.
type Document struct {
	Label string // names the document among others
	Lists []List // those that it has, in the order of the sections

	references []Reference
}

// List is one list of a document.
type List struct {
	Section *Section
	Line    int
	Items   []Item

	index map[string]int // of items, by their keys
}

// Item describes one thing.
type Item struct {
	Key    string
	Source string // the key with its references, if it has any, or ""
	Open   string // a reference in the key that has no value, or ""
	Line   int
	Values []Value
}

// Value is the value of one member.
type Value struct {
	Member *Member
	Line   int
	Texts  []string // one, or the entries of a list; an object as JSON
	Open   string   // a reference in it that has no value, or ""
	Hidden bool     // it comes from a reference
	Source string   // the first reference in it, or ""
}

// Value returns the value of a member, or nil.
func (i *Item) Value(name string) *Value {
	for j := range i.Values {
		if i.Values[j].Member.Name == name {
			return &i.Values[j]
		}
	}
	return nil
}

// Shown returns the key for people: with the references in it instead of their values.
func (i *Item) Shown() string {
	if i.Source != "" {
		return i.Source
	}
	return i.Key
}

// Item returns the item with that key, or nil.
func (l *List) Item(key string) *Item {
	i, ok := l.index[key]
	if !ok {
		return nil
	}
	return &l.Items[i]
}

// List returns the list of a section, or nil if the document has none.
func (d *Document) List(section string) *List {
	for i := range d.Lists {
		if d.Lists[i].Section.Name == section {
			return &d.Lists[i]
		}
	}
	return nil
}

// Resolver returns the value of a reference, or false if it is not known.
type Resolver func(Reference) (string, bool)

// Read reads a document, and replaces the references in it by their values. A mistake rejects the
// whole document; the error (fault.Invalid) names its line, and for an unknown name the nearest
// known one. With open, references without a value stay, and the value says so.
func Read(data []byte, sections []Section, resolve Resolver, open bool) (*Document, error) {
	root, err := parse(data)
	if err != nil {
		return nil, err
	}
	r := &reader{sections: sections, resolve: resolve, open: open, seen: map[Reference]bool{}}
	d, err := r.document(root)
	if err != nil {
		return nil, err
	}
	if len(r.missing) > 0 {
		return nil, r.unresolved()
	}
	d.references = r.references
	return d, nil
}

// References returns the references of a document, each once. Values are not needed for it.
func References(data []byte, sections []Section) ([]Reference, error) {
	none := func(Reference) (string, bool) { return "", false }
	d, err := Read(data, sections, none, true)
	if err != nil {
		return nil, err
	}
	return d.references, nil
}

// parse returns the top mapping of the only document.
func parse(data []byte) (*yaml.Node, error) {
	if len(data) > MaxDocument {
		return nil, fault.New(fault.Invalid, "the document has more than %d bytes", MaxDocument)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "the document is empty; nothing is changed")
	} else if err != nil {
		return nil, unreadable(err)
	}
	if err := dec.Decode(&more); err == nil {
		return nil, at(more.Line, "a second YAML document begins here; keep one")
	} else if !errors.Is(err, io.EOF) {
		return nil, unreadable(err)
	}
	if len(doc.Content) != 1 || isNull(doc.Content[0]) {
		return nil, fault.New(fault.Invalid, "the document is empty; nothing is changed")
	}
	return doc.Content[0], nil
}

func unreadable(err error) error {
	return fault.New(fault.Invalid, "the document is not readable as YAML: %s",
		clip(strings.TrimPrefix(err.Error(), "yaml: ")))
}

// at returns an Invalid error at a line of the document.
func at(line int, format string, args ...any) *fault.Error {
	e := fault.New(fault.Invalid, format, args...)
	return atLine(line, e)
}

func atLine(line int, e *fault.Error) *fault.Error {
	out := *e
	out.Text = "line " + strconv.Itoa(line) + ": " + e.Text
	out.Format, out.Args = "", nil
	return &out
}

// Located returns an error about an item with a line of the document before its text: that of the
// member at fault, or that of the item. The values of references are not in it: where it may be
// about one, it names the reference instead.
func (i *Item) Located(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) {
		return err
	}
	return i.At(i.discreet(e))
}

// discreet returns an error without what may be the value of a reference in the item.
func (i *Item) discreet(e *fault.Error) *fault.Error {
	out := *e
	out.More = nil
	for _, m := range e.More {
		out.More = append(out.More, i.discreet(m))
	}
	var hidden []string
	v := i.Value(e.Field)
	switch {
	case e.Kind != fault.Invalid && e.Kind != fault.Conflict && e.Kind != fault.NotFound:
	case v != nil && v.Hidden && v.Member.Kind != KindSecret:
		hidden = []string{v.Source}
	case v == nil || i.Source != "":
		hidden = i.sources()
	}
	if len(hidden) == 0 {
		return &out
	}
	text := "the value of " + clip(strings.Join(hidden, ", ")) + " is not accepted here"
	if e.Field != "" {
		text = e.Field + ": " + text
	}
	return &fault.Error{Kind: e.Kind, Reason: e.Reason, Field: e.Field, Text: text, More: out.More}
}

// sources returns the references in an item, without those to secrets, which no error shows.
func (i *Item) sources() []string {
	var out []string
	if i.Source != "" {
		out = append(out, i.Source)
	}
	for j := range i.Values {
		if v := &i.Values[j]; v.Hidden && v.Member.Kind != KindSecret {
			out = append(out, v.Source)
		}
	}
	return out
}

// At returns an error about an item with a line of the document before its text, as Located does,
// for a text that has no values of the item.
func (i *Item) At(err error) error {
	var e *fault.Error
	if !errors.As(err, &e) {
		return err
	}
	line := i.Line
	if v := i.Value(e.Field); v != nil {
		line = v.Line
	}
	out := atLine(line, e)
	if out.Kind == fault.NotFound {
		out.Kind = fault.Invalid // the address of the request exists
	}
	return out
}

// clip shortens a text for an error.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// reader turns nodes into a document.
type reader struct {
	sections   []Section
	resolve    Resolver
	open       bool
	items      int
	references []Reference
	seen       map[Reference]bool // those in references
	expanded   int                // bytes of the values that have replaced references
	missing    []missing
}

type missing struct {
	line int
	ref  Reference
}

// unresolved returns the error about references that have no value.
func (r *reader) unresolved() error {
	var errs []error
	for i, m := range r.missing {
		if i == 10 {
			break
		}
		e := at(m.line, "the reference %s has no value; %s", clip(m.ref.String()), m.ref.hint())
		e.Field = "document"
		errs = append(errs, e)
	}
	return fault.Join(errs...)
}

// check rejects what would make a document unclear: aliases, tags and missing values.
func check(n *yaml.Node, name string) error {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return at(n.Line, "%s uses an alias or an anchor (* or &); write the value out, or put it in quotes", name)
	case n.Style&yaml.TaggedStyle != 0:
		return at(n.Line, "%s has a YAML tag; leave out the word that begins with !", name)
	case isNull(n):
		return at(n.Line, "%s has no value; write one, or leave the name out", name)
	}
	return nil
}

// pairs calls f for the names and values of a mapping.
func pairs(n *yaml.Node, name string, f func(key, value *yaml.Node) error) error {
	if err := check(n, name); err != nil {
		return err
	}
	if n.Kind != yaml.MappingNode {
		return at(n.Line, "%s must be lines of the form `name: value`", name)
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if err := check(key, "a name"); err != nil {
			return err
		}
		if key.Kind != yaml.ScalarNode {
			return at(key.Line, "a name must be a single word")
		}
		if first, twice := lines[key.Value]; twice {
			return at(key.Line, "%s is there twice; the first time in line %d", clip(key.Value), first)
		}
		lines[key.Value] = key.Line
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

func unknown(key *yaml.Node, known []string) error {
	if near := spell.Nearest(key.Value, known); near != "" {
		return at(key.Line, "there is no %s; did you mean %s?", clip(key.Value), near)
	}
	return at(key.Line, "there is no %s; the names here are %s", clip(key.Value), strings.Join(known, ", "))
}

// document reads the top mapping.
func (r *reader) document(root *yaml.Node) (*Document, error) {
	d := &Document{}
	known := []string{"version", "label"}
	for i := range r.sections {
		known = append(known, r.sections[i].Name)
	}
	lists := map[string]List{}
	version := false
	err := pairs(root, "the document", func(key, value *yaml.Node) (err error) {
		switch key.Value {
		case "version":
			version = true
			if value.Value != strconv.Itoa(Version) {
				return at(value.Line, "this release reads documents of version %d", Version)
			}
			return check(value, "version")
		case "label":
			d.Label, err = readLabel(value)
			return err
		}
		i := slices.IndexFunc(r.sections, func(s Section) bool { return s.Name == key.Value })
		if i < 0 {
			return unknown(key, known)
		}
		list, err := r.list(value, &r.sections[i])
		lists[key.Value] = list
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !version:
		return nil, at(root.Line, "the document needs a line `version: %d`", Version)
	case d.Label == "":
		return nil, at(root.Line, "the document needs a label, such as `label: shop`: what it creates carries it")
	}
	for i := range r.sections {
		if l, ok := lists[r.sections[i].Name]; ok {
			d.Lists = append(d.Lists, l)
		}
	}
	return d, nil
}

func readLabel(n *yaml.Node) (string, error) {
	if err := check(n, "label"); err != nil {
		return "", err
	}
	if n.Kind != yaml.ScalarNode || !ValidLabel(n.Value) {
		return "", at(n.Line, "the label must be one word of at most %d letters, digits and . _ -", maxLabel)
	}
	return n.Value, nil
}

// ValidLabel reports whether a text can be the label of a document.
func ValidLabel(s string) bool {
	if s == "" || len(s) > maxLabel {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// list reads the list of a section.
func (r *reader) list(n *yaml.Node, s *Section) (List, error) {
	l := List{Section: s, Line: n.Line, index: map[string]int{}}
	switch {
	case isNull(n):
		return l, at(n.Line, "%s has no value; write [] for none, or leave the name out to leave them alone", s.Name)
	case n.Kind == yaml.AliasNode, n.Anchor != "", n.Style&yaml.TaggedStyle != 0:
		return l, check(n, s.Name)
	case n.Kind != yaml.SequenceNode:
		return l, at(n.Line, "%s must be a list, with a dash before each entry", s.Name)
	}
	for _, node := range n.Content {
		if r.items++; r.items > maxItems {
			return l, at(node.Line, "a document has at most %d entries", maxItems)
		}
		item, err := r.item(node, s)
		if err != nil {
			return l, err
		}
		if first, twice := l.index[item.Key]; twice {
			return l, at(item.Line, "the %s %s is there twice; the first time in line %d",
				s.Noun, clip(item.Shown()), l.Items[first].Line)
		}
		l.index[item.Key] = len(l.Items)
		l.Items = append(l.Items, item)
	}
	return l, nil
}

// item reads the description of one thing.
func (r *reader) item(n *yaml.Node, s *Section) (Item, error) {
	item := Item{Line: n.Line}
	known := []string{s.Key}
	for i := range s.Members {
		known = append(known, s.Members[i].Name)
	}
	keyed := false
	err := pairs(n, "a "+s.Noun, func(key, value *yaml.Node) error {
		if key.Value == s.Key {
			keyed = true
			v, err := r.value(value, &Member{Name: s.Key, Kind: KindText})
			if err == nil {
				if item.Key, item.Open = v.Texts[0], v.Open; v.Hidden {
					item.Source = value.Value
				}
			}
			return err
		}
		m := s.member(key.Value)
		if m == nil {
			return unknown(key, known)
		}
		v, err := r.value(value, m)
		item.Values = append(item.Values, v)
		return err
	})
	switch {
	case err != nil:
		return item, err
	case !keyed || item.Key == "":
		return item, at(n.Line, "a %s needs %s", s.Noun, s.Key)
	case len(item.Key) > maxKey:
		return item, at(n.Line, "the %s is longer than %d bytes", s.Key, maxKey)
	}
	return item, nil
}

// value reads the value of a member.
func (r *reader) value(n *yaml.Node, m *Member) (Value, error) {
	v := Value{Member: m, Line: n.Line}
	if err := check(n, m.Name); err != nil {
		return v, err
	}
	switch {
	case m.Kind == KindObject && n.Kind == yaml.MappingNode:
		return v, r.object(n, &v)
	case m.Kind == KindList && n.Kind == yaml.SequenceNode:
		v.Texts = []string{}
		if len(n.Content) > maxList {
			return v, at(n.Line, "%s has more than %d entries", m.Name, maxList)
		}
		for _, c := range n.Content {
			if err := r.scalar(c, "an entry of "+m.Name, &v); err != nil {
				return v, err
			}
		}
		return v, nil
	case m.Kind == KindList && !m.Spaced:
		return v, at(n.Line, "%s must be a list, with a dash before each entry or in [ ]", m.Name)
	case m.Kind == KindObject && n.Kind != yaml.ScalarNode:
		return v, at(n.Line, "%s must be lines of the form `name: value`", m.Name)
	}
	if err := r.scalar(n, m.Name, &v); err != nil {
		return v, err
	}
	return v, v.checkForm()
}

// scalar reads one text, and adds it to a value.
func (r *reader) scalar(n *yaml.Node, name string, v *Value) error {
	if err := check(n, name); err != nil {
		return err
	}
	if n.Kind != yaml.ScalarNode {
		return at(n.Line, "%s must be a single value", name)
	}
	text, err := r.expand(n, v)
	v.Texts = append(v.Texts, text)
	return err
}

// checkForm checks a value that is not a list.
func (v *Value) checkForm() error {
	if v.Open != "" {
		return nil
	}
	text := v.Texts[0]
	switch v.Member.Kind {
	case KindSwitch:
		if text != "true" && text != "false" {
			return at(v.Line, "%s must be true or false", v.Member.Name)
		}
	case KindNumber:
		if i, err := strconv.ParseInt(text, 10, 64); err != nil || strconv.FormatInt(i, 10) != text {
			return at(v.Line, "%s must be a whole number in plain digits", v.Member.Name)
		}
	case KindObject:
		if !v.Hidden || !json.Valid([]byte(text)) || !strings.HasPrefix(strings.TrimSpace(text), "{") {
			return at(v.Line, "%s must be lines of the form `name: value`, or a reference to a JSON object",
				v.Member.Name)
		}
	case KindSecret:
		if !v.Hidden {
			return at(v.Line, "%s is a secret, which does not belong into a document; write a reference such as "+
				"${env:SECRET} or ${file:/run/secrets/shop}", v.Member.Name)
		}
	}
	return nil
}

// object reads an object as JSON.
func (r *reader) object(n *yaml.Node, v *Value) error {
	doc, err := r.plain(n, v, 0)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		return at(n.Line, "%s cannot be written as JSON", v.Member.Name)
	}
	v.Texts = []string{strings.TrimSpace(b.String())}
	return nil
}

// plain returns a node as a value of JSON.
func (r *reader) plain(n *yaml.Node, v *Value, depth int) (any, error) {
	if err := check(n, "a value in "+v.Member.Name); err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, at(n.Line, "%s is nested too deeply", v.Member.Name)
	}
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		err := pairs(n, v.Member.Name, func(key, value *yaml.Node) (err error) {
			out[key.Value], err = r.plain(value, v, depth+1)
			return err
		})
		return out, err
	case yaml.SequenceNode:
		out := []any{}
		for _, c := range n.Content {
			x, err := r.plain(c, v, depth+1)
			if err != nil {
				return nil, err
			}
			out = append(out, x)
		}
		return out, nil
	}
	return r.plainScalar(n, v)
}

func (r *reader) plainScalar(n *yaml.Node, v *Value) (any, error) {
	switch n.Tag {
	case "!!bool":
		if n.Value == "true" || n.Value == "false" {
			return n.Value == "true", nil
		}
	case "!!int", "!!float":
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || !json.Valid([]byte(n.Value)) {
			return nil, at(n.Line, "%s has a number that is not written in plain digits", v.Member.Name)
		}
		return json.Number(n.Value), nil
	}
	return r.expand(n, v)
}
