// Package realm describes the realms of a server: issuers of their own in one process. It reads
// REALMS_FILE, and finds the realm that a request belongs to.
package realm

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Bounds of a file.
const (
	MaxFile   = 4 << 20 // bytes
	maxRealms = 1000
	maxName   = 40
)

// File is the content of REALMS_FILE.
type File struct {
	// Hosts are further hosts of the main issuer, beside that of its BASE_URL.
	Hosts  []string
	Realms []Entry
}

// An Entry describes one realm.
type Entry struct {
	Name   string
	Line   int
	Hosts  []string // further hosts that belong to the realm, for routes of its gateway
	Values []Value  // settings, in the order of the file
}

// A Value is a setting of a realm as it is written.
type Value struct {
	Key  string // as in the file, such as base_url or secret_key_file
	Text string
	Line int
}

// Entry returns the entry of a realm.
func (f *File) Entry(name string) (Entry, error) {
	for _, e := range f.Realms {
		if e.Name == name {
			return e, nil
		}
	}
	return Entry{}, fault.New(fault.NotFound, "REALMS_FILE has no realm %q; gatehouse realm list shows those that it has", name)
}

// CheckName returns an error unless a name can be that of a realm: it is part of addresses, of
// names of directories and of labels.
func CheckName(name string) error {
	bad := func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') }
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, bad) ||
		strings.HasPrefix(name, "-") || strings.HasSuffix(name, "-") {
		return fault.New(fault.Invalid, "%q cannot be the name of a realm; it takes 1 to %d of the characters "+
			"a–z, 0–9 and -, and neither begins nor ends with -", clip(name), maxName)
	}
	if name == mainName {
		return fault.New(fault.Invalid, "%q is the name of the server's own issuer; choose another one", name)
	}
	return nil
}

// mainName stands for the server's own issuer, which is in no file.
const mainName = "main"

// Parse reads a file. The errors are fault.Invalid and name the line.
func Parse(raw []byte) (*File, error) {
	root, err := document(raw)
	if err != nil || root == nil {
		return &File{}, err
	}
	f := &File{}
	for key, value := range pairs(root) {
		switch key.Value {
		case "hosts":
			f.Hosts, err = texts(value)
		case "realms":
			f.Realms, err = entries(value)
		default:
			err = at(key, "%q is not known here; the file has hosts and realms", clip(key.Value))
		}
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

// document returns the mapping of a file, or nil if the file is empty.
func document(raw []byte) (*yaml.Node, error) {
	if len(raw) > MaxFile {
		return nil, fault.New(fault.Invalid, "the file is larger than %d bytes", MaxFile)
	}
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		// The text of the error may quote the file, which may hold secrets.
		return nil, fault.New(fault.Invalid, "the file is not readable as YAML; put values that begin "+
			"with *, &, !, %% or @ in quotes")
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "the file holds more than one YAML document; keep one")
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, at(root, "the file must be a mapping with hosts and realms")
	}
	return root, twice(root)
}

// twice returns an error if a mapping has a key twice.
func twice(n *yaml.Node) error {
	seen := map[string]bool{}
	for key := range pairs(n) {
		if key.Kind != yaml.ScalarNode {
			return at(key, "a name must be a word")
		}
		if seen[key.Value] {
			return at(key, "%q is there twice", clip(key.Value))
		}
		seen[key.Value] = true
	}
	return nil
}

func entries(n *yaml.Node) ([]Entry, error) {
	if n.Tag == "!!null" {
		return nil, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, at(n, "realms must be a mapping of names to settings")
	}
	if err := twice(n); err != nil {
		return nil, err
	}
	var all []Entry
	for key, value := range pairs(n) {
		if err := CheckName(key.Value); err != nil {
			return nil, at(key, "%v", err)
		}
		e, err := entry(key, value)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	if len(all) > maxRealms {
		return nil, at(n, "there are more than %d realms", maxRealms)
	}
	return all, nil
}

func entry(key, n *yaml.Node) (Entry, error) {
	e := Entry{Name: key.Value, Line: key.Line}
	if n.Kind != yaml.MappingNode {
		return e, at(key, "the realm %s must be a mapping of settings; it needs base_url", e.Name)
	}
	if err := twice(n); err != nil {
		return e, err
	}
	for name, value := range pairs(n) {
		list, err := texts(value)
		switch {
		case err != nil:
			return e, err
		case name.Value == "hosts":
			e.Hosts = list
		default:
			e.Values = append(e.Values, Value{Key: name.Value, Text: strings.Join(list, ","), Line: name.Line})
		}
	}
	return e, nil
}

// texts returns the text of a scalar, or those of a list of scalars.
func texts(n *yaml.Node) (all []string, err error) {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag != "!!null" {
			all = append(all, n.Value)
		}
		return all, nil
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, at(item, "the list must hold single values")
			}
			all = append(all, item.Value)
		}
		return all, nil
	}
	return nil, at(n, "the value must be a single one, or a list of single values")
}

// pairs returns the names and values of a mapping.
func pairs(n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// at returns an error with the line that it is about.
func at(n *yaml.Node, format string, args ...any) error {
	return fault.Wrap(fault.Invalid, fault.New(fault.Invalid, format, args...), "line %d", n.Line)
}

func clip(s string) string {
	if len(s) <= 80 {
		return s
	}
	return strings.ToValidUTF8(s[:80], "") + "…"
}
