package main

import (
	"fmt"
	"maps"
	"slices"
)

// Extensions of schemas that the fragments use, and that the document does not have.
const (
	patchOf = "x-patch-of" // the schema is a merge patch of another one
	newOf   = "x-new-of"   // the schema is what another one is created from
	notNull = "x-not-null" // a member cannot be cleared
)

// derive completes the schemas of changes: they have the members of the thing itself, which in a
// patch may be null. Members that the server sets may be sent back as they were in a patch; what
// creates a thing does not have them. Members that the fragment names replace those.
func derive(schemas object) error {
	for name, s := range schemas {
		schema, _ := s.(object)
		for _, kind := range []string{patchOf, newOf} {
			of, ok := schema[kind].(string)
			if !ok {
				continue
			}
			from, ok := schemas[of].(object)
			if !ok {
				return fmt.Errorf("%s: there is no schema %s", name, of)
			}
			properties := derived(from, kind)
			own, _ := schema["properties"].(object)
			maps.Copy(properties, own)
			schema["type"], schema["properties"] = "object", properties
			delete(schema, kind)
		}
	}
	for _, s := range schemas {
		removeExtension(s)
	}
	return nil
}

func derived(from object, kind string) object {
	out := object{}
	properties, _ := from["properties"].(object)
	for name, p := range properties {
		p := maps.Clone(p.(object))
		fixed := p["readOnly"] == true
		switch {
		case fixed && kind == newOf:
			continue
		case !fixed && p[notNull] == nil && p["$ref"] == nil:
			p["type"] = withNull(p["type"])
		}
		out[name] = p
	}
	return out
}

// withNull returns a type of JSON Schema or null.
func withNull(t any) any {
	switch t := t.(type) {
	case string:
		return []any{t, "null"}
	case []any:
		if !slices.Contains(t, any("null")) {
			return append(slices.Clone(t), "null")
		}
	}
	return t
}

func removeExtension(v any) {
	switch v := v.(type) {
	case object:
		delete(v, notNull)
		for _, one := range v {
			removeExtension(one)
		}
	case []any:
		for _, one := range v {
			removeExtension(one)
		}
	}
}
