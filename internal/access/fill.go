package access

import (
	"encoding"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// fill reads a node of the routes file into the value that v points to.
//
// The library's own decoding is too kind for a file that says who may pass: it takes `yes` for true, 010 for 8, and a name without a value
// for an empty one, so that `scopes:` with its list forgotten would open a route. Here a value is what is written, or a mistake.
func fill(n *yaml.Node, name string, v any) error {
	return fillValue(n, name, reflect.ValueOf(v).Elem())
}

func fillValue(n *yaml.Node, name string, v reflect.Value) error {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return at(n, "%s uses an alias or an anchor (* or &); write the value out, or put it in quotes", name)
	case n.Style&yaml.TaggedStyle != 0:
		return at(n, "%s has a YAML tag; leave out the word that begins with !", name)
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return at(n, "%s has no value; write one, or leave the name out", name)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fillValue(n, name, v.Elem())
	case reflect.Struct:
		return fillStruct(n, name, v)
	case reflect.Slice:
		return fillList(n, name, v)
	}
	if n.Kind != yaml.ScalarNode {
		return at(n, "%s must be a single value", name)
	}
	return fillScalar(n, name, v)
}

func fillStruct(n *yaml.Node, name string, v reflect.Value) error {
	if n.Kind != yaml.MappingNode {
		return at(n, "%s must be lines of the form `name: value`", name)
	}
	fields, known := fieldsOf(v.Type())
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		field, ok := fields[key.Value]
		if !ok || key.Kind != yaml.ScalarNode {
			return unknownName(key, known)
		}
		if first, twice := lines[key.Value]; twice {
			return at(key, "%s is there twice; the first time in line %d", key.Value, first)
		}
		lines[key.Value] = key.Line
		if err := fillValue(val, key.Value, v.Field(field)); err != nil {
			return err
		}
	}
	return nil
}

func unknownName(key *yaml.Node, known []string) error {
	e := fault.InvalidField(clip(key.Value), "%q is no known name; known are %s", clip(key.Value), strings.Join(known, ", "))
	if near := spell.Nearest(key.Value, known); near != "" {
		e.Text = fault.New(fault.Invalid, "%q is no known name; did you mean %s?", clip(key.Value), near).Text
	}
	return moved(key, e)
}

// fieldsOf gives the fields of a struct by their names in the file, and these in order.
func fieldsOf(t reflect.Type) (fields map[string]int, known []string) {
	fields = map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields[name] = i
			known = append(known, name)
		}
	}
	return fields, known
}

func fillList(n *yaml.Node, name string, v reflect.Value) error {
	if n.Kind != yaml.SequenceNode {
		return at(n, "%s must be a list, with a dash before each entry or in [ ]", name)
	}
	list := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		if err := fillValue(item, "an entry of "+name, list.Index(i)); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

func fillScalar(n *yaml.Node, name string, v reflect.Value) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(n.Value)); err != nil {
			return at(n, "%s: %v", name, err)
		}
		return nil
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			return at(n, "%s must be true or false", name)
		}
		v.SetBool(n.Value == "true")
	default: // whole numbers are all that is left; a test fills every field
		i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		if err != nil || strconv.FormatInt(i, 10) != n.Value { // 010 would be 8 to other programs
			return at(n, "%s must be a whole number in plain digits", name)
		}
		v.SetInt(i)
	}
	return nil
}
