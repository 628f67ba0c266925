package api

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
)

// patchOf returns what the members of a body change: those that are called like fields. null clears
// a field.
func patchOf[T any](fields []field.Field[T], body map[string]any) (field.Patch[T], error) {
	var p field.Patch[T]
	var errs []error
	for _, f := range fields {
		v, ok := body[f.Name]
		if ok {
			errs = append(errs, setField(&p, f, v))
		}
	}
	return p, fault.Join(errs...)
}

// setField adds a field to a patch. The document has checked the type of the value.
func setField[T any](p *field.Patch[T], f field.Field[T], v any) error {
	switch v := v.(type) {
	case nil:
		if f.Required {
			return wrong(f.Name, "This cannot be cleared.")
		}
		p.Clear(f)
		return nil
	case string:
		return p.Set(f, v)
	case bool:
		return p.Set(f, strconv.FormatBool(v))
	case json.Number:
		return p.Set(f, v.String())
	case []any:
		var items []string
		for _, item := range v {
			items = append(items, fmt.Sprint(item))
		}
		return p.Set(f, items...)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return p.Set(f, string(raw))
}

// fill stores the fields of a thing in the members of an answer that are called like them.
func fill[T any](fields []field.Field[T], t *T, out any) error {
	doc := map[string]json.RawMessage{}
	for _, f := range fields {
		raw, err := f.MarshalValue(t)
		if err != nil {
			return err
		}
		if len(raw) > 0 {
			doc[f.Name] = raw
		}
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, out)
}

// unchanged rejects members of a body that only the server sets, unless they are what the thing
// has: a caller may send back what it has read. names are these members; current is the thing as
// the caller reads it.
func unchanged(body map[string]any, current any, names []string) error {
	raw, err := json.Marshal(current)
	if err != nil {
		return err
	}
	is, err := parse(raw)
	if err != nil {
		return err
	}
	have, _ := is.(map[string]any)
	var errs []error
	for _, name := range names {
		v, sent := body[name]
		if sent && !reflect.DeepEqual(v, have[name]) {
			errs = append(errs, wrong(name, "This cannot be set. Leave it out, or send it as it is."))
		}
	}
	return fault.Join(errs...)
}

// readOnly returns the members of an operation's body that only the server sets.
func (op *operation) readOnly() []string {
	var names []string
	if op.Body == nil || op.Body.Content[typeJSON] == nil {
		return nil
	}
	for name, p := range op.Body.Content[typeJSON].Schema.Properties {
		if p.ReadOnly {
			names = append(names, name)
		}
	}
	return names
}

// sendsReadOnly reports whether the body has members that only the server sets.
func (x *exchange) sendsReadOnly() bool {
	for _, name := range x.op.readOnly() {
		if _, ok := x.body[name]; ok {
			return true
		}
	}
	return false
}
