package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/palette"
)

// file reads a YAML mapping of lower-case names to scalars or lists of scalars. It walks the
// nodes itself: decoding into a struct would lose the line numbers, and would interpret `yes`,
// `010` or `1:30`.
func (l *loader) file(data []byte, name string) {
	if name == "" {
		name = "settings file"
	}
	root, err := parseYAML(data)
	if err != nil {
		l.problems.add("%s: %v", name, err)
		return
	}
	if root == nil {
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, val := root.Content[i], root.Content[i+1]
		origin := fmt.Sprintf("%s line %d", name, key.Line)
		s, ok := l.byName[strings.ToUpper(key.Value)]
		if !ok || key.Kind != yaml.ScalarNode || s.Key() != key.Value {
			l.unknown(origin, strings.TrimSpace(key.Value), strings.ToUpper(key.Value), Setting.Key)
			continue
		}
		if first, twice := lines[key.Value]; twice {
			l.problems.add("%s: %s is set twice; the first time in line %d", origin, key.Value, first)
			continue
		}
		lines[key.Value] = key.Line
		if val.Tag == "!!null" && isColorComment(val.LineComment+key.LineComment) {
			l.problems.add("%s: %s has no value, because # begins a comment; put the color in quotes", origin, key.Value)
			continue
		}
		raw, ok := plain(val)
		if !ok {
			l.problems.add("%s: %s must be a single value or a list of single values", origin, key.Value)
			continue
		}
		l.set(s, raw, origin, key.Value)
	}
}

// isColorComment reports whether a comment begins with a color, which YAML reads as a comment
// unless it is in quotes.
func isColorComment(comment string) bool {
	word, _, _ := strings.Cut(comment, " ")
	_, err := palette.Parse(word)
	return err == nil
}

// parseYAML returns the top-level mapping, or nil for an empty document.
func parseYAML(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, readable(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("holds more than one YAML document; keep one")
	}
	if len(doc.Content) != 1 {
		return nil, nil
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, errors.New("must be a list of `name: value` lines")
	}
	return root, nil
}

// readable returns the error without the library's prefix, and without the part of the file that
// one of its messages quotes: it could contain an unquoted secret that begins with *.
func readable(err error) error {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.Contains(msg, "unknown anchor") {
		msg = "a value begins with *; put it in quotes"
	}
	return errors.New("not readable as YAML: " + msg)
}

// plain returns the text of a scalar, or of a list of scalars joined by commas.
func plain(n *yaml.Node) (string, bool) {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Tag == "!!null" {
			return "", true
		}
		return n.Value, true
	case yaml.SequenceNode:
		words := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return "", false
			}
			words[i] = item.Value
		}
		return strings.Join(words, ","), true
	}
	return "", false
}
