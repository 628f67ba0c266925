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

// fill stores a node of the routes file in the value that v points to.
//
// The library's own decoding is too lenient for a file that grants access: it reads `yes` as true,
// 010 as 8, and a name without a value as an empty one, so that `scopes:` with its list forgotten
// would open a route. Here a value is exactly what is written, or an error.
func fill(n *yaml.Node, name string, v any) error {
	return fillValue(n, name, reflect.ValueOf(v).Elem())
}

func fillValue(n *yaml.Node, name string, v reflect.Value) error {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return at(n, "%s uses an alias or an anchor (* or &); write the value out, or put it in "+
			"quotes", name)
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
	fields, known := fieldsOf(v)
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
		if err := fillValue(val, key.Value, field); err != nil {
			return err
		}
	}
	return nil
}

func unknownName(key *yaml.Node, known []string) error {
	name := clip(key.Value)
	if near := spell.Nearest(key.Value, known); near != "" {
		err := fault.InvalidField(name, "%q is not a known name; did you mean %s?", name, near)
		return atLine(key, err)
	}
	list := strings.Join(known, ", ")
	return atLine(key, fault.InvalidField(name, "%q is not a known name; known are %s", name, list))
}

// fieldsOf returns the fields of a struct by their names in the file, and the names in order. Those
// of a route are its RouteFields; other structs have them in their yaml tags.
func fieldsOf(v reflect.Value) (fields map[string]reflect.Value, known []string) {
	fields = map[string]reflect.Value{}
	if r, ok := v.Addr().Interface().(*Route); ok {
		fields["id"] = reflect.ValueOf(&r.ID).Elem() // checkRoutes rejects it with a better error
		for _, f := range RouteFields() {
			fields[f.Name] = valueOf(f, r)
			known = append(known, f.Name)
		}
		return fields, known
	}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields[name] = v.Field(i)
			known = append(known, name)
		}
	}
	return fields, known
}

// valueOf returns the place where a route holds a field. Durations read as Duration does.
func valueOf(f RouteField, r *Route) reflect.Value {
	var p any
	switch {
	case f.Text != nil:
		p = f.Text(r)
	case f.Switch != nil:
		p = f.Switch(r)
	case f.List != nil:
		p = f.List(r)
	case f.TTL != nil:
		p = (*Duration)(f.TTL(r))
	case f.Int != nil:
		p = f.Int(r)
	default:
		p = f.Bytes(r)
	}
	return reflect.ValueOf(p).Elem()
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
	default: // only integers remain; a test fills every field
		i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		if err != nil || strconv.FormatInt(i, 10) != n.Value { // YAML 1.1 reads 010 as 8
			return at(n, "%s must be a whole number in plain digits", name)
		}
		v.SetInt(i)
	}
	return nil
}
