package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/field"
)

// Writer makes a document of what is stored.
type Writer struct {
	Label  string
	Header []string // lines of comment at the top

	root *yaml.Node
}

// Entry is one thing of a list.
type Entry struct {
	Key     string
	Members []Pair
	Remark  string // a comment above it, or ""
}

// Pair is a member with its value in JSON.
type Pair struct {
	Name  string
	Value json.RawMessage
}

// EntryOf returns a thing with the members that are set, or that an export always has.
func EntryOf[T any](s *Section, fields []field.Field[T], key string, t *T) (Entry, error) {
	e := Entry{Key: key}
	for _, f := range fields {
		m := s.member(f.Name)
		if m == nil || f.IsZero(t) && !m.Always {
			continue
		}
		raw, err := f.MarshalValue(t)
		if err != nil {
			return e, err
		}
		if f.TTL != nil {
			raw, err = json.Marshal(field.FormatDuration(*f.TTL(t)))
			if err != nil {
				return e, err
			}
		}
		e.Members = append(e.Members, Pair{f.Name, raw})
	}
	return e, nil
}

// Add adds a list to the document.
func (w *Writer) Add(s *Section, entries []Entry) error {
	if w.root == nil {
		w.root = &yaml.Node{Kind: yaml.MappingNode}
		w.put(w.root, "version", scalar("!!int", strconv.Itoa(Version)))
		w.put(w.root, "label", text(w.Label))
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	if len(entries) == 0 {
		list.Style = yaml.FlowStyle
	}
	for _, e := range entries {
		item := &yaml.Node{Kind: yaml.MappingNode, HeadComment: comment(e.Remark)}
		w.put(item, s.Key, text(escaped(e.Key)))
		for _, p := range e.Members {
			n, err := node(p.Value, variable(s.Noun, e.Key, p.Name))
			if err != nil {
				return fmt.Errorf("plan: %s of %s: %w", p.Name, e.Key, err)
			}
			w.put(item, p.Name, n)
		}
		list.Content = append(list.Content, item)
	}
	w.put(w.root, s.Name, list)
	return nil
}

func (w *Writer) put(to *yaml.Node, name string, value *yaml.Node) {
	to.Content = append(to.Content, scalar("!!str", name), value)
}

// Bytes returns the document.
func (w *Writer) Bytes() ([]byte, error) {
	var b bytes.Buffer
	for _, line := range w.Header {
		b.WriteString(comment(line) + "\n")
	}
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(w.root); err != nil {
		return nil, err
	}
	return b.Bytes(), enc.Close()
}

// comment returns a text as a comment of one line.
func comment(s string) string {
	if s == "" {
		return ""
	}
	return "# " + strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

func scalar(tag, value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

// text returns a text that every reader of YAML takes for one.
func text(s string) *yaml.Node {
	n := scalar("!!str", s)
	if oldWord.MatchString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// oldWord matches what YAML 1.1 takes for a switch, a number or a time.
var oldWord = regexp.MustCompile(`^(?i:y|n|yes|no|on|off|true|false|null|[-+.]?[0-9].*)$`)

// userinfo matches addresses that contain a user name or a password.
var userinfo = regexp.MustCompile(`://[^/?#\s]*@`)

// node returns a value of JSON as a node. A text that may contain a password is replaced by a
// reference to the variable.
func node(raw json.RawMessage, name string) (*yaml.Node, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	return nodeOf(v, name), nil
}

func nodeOf(v any, name string) *yaml.Node {
	switch v := v.(type) {
	case string:
		if userinfo.MatchString(v) {
			n := text(Reference{FromEnv, name}.String())
			n.LineComment = "# not exported: it contains a password"
			return n
		}
		return text(escaped(v))
	case bool:
		return scalar("!!bool", strconv.FormatBool(v))
	case json.Number:
		return scalar("!!int", v.String())
	case []any:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if len(v) == 0 {
			n.Style = yaml.FlowStyle
		}
		for i, x := range v {
			n.Content = append(n.Content, nodeOf(x, name+"_"+strconv.Itoa(i+1)))
		}
		return n
	case map[string]any:
		n := &yaml.Node{Kind: yaml.MappingNode}
		var names []string
		for k := range v {
			names = append(names, k)
		}
		sort.Strings(names)
		for _, k := range names {
			n.Content = append(n.Content, text(k), nodeOf(v[k], name+"_"+k))
		}
		return n
	}
	return scalar("!!null", "null")
}

// escaped returns a text in which nothing reads like a reference.
func escaped(s string) string { return strings.ReplaceAll(s, "${", "$${") }

// variable returns the name of an environment variable for a value that is not exported.
func variable(parts ...string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, strings.Join(parts, "_"))
}

// Variable returns the reference that stands for a secret of a thing in documents.
func Variable(parts ...string) string { return Reference{FromEnv, variable(parts...)}.String() }
