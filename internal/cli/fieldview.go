package cli

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/gatehouse-id/gatehouse/internal/field"
)

// member is one member of a JSON object, in its place.
type member struct {
	name  string
	value any
}

// object is a JSON object whose members keep their order.
type object []member

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		var value bytes.Buffer
		if err := encode(&value, m.value, ""); err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Fprintf(&b, "%q:%s", m.name, bytes.TrimSpace(value.Bytes()))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// fieldMembers returns the members for the fields of a T. A document that is not set is left out.
func fieldMembers[T any](fields []field.Field[T], t *T) object {
	var out object
	for _, f := range fields {
		raw, err := f.MarshalValue(t)
		if err != nil {
			raw = json.RawMessage("null") // texts, numbers and lists always encode
		}
		if len(raw) > 0 {
			out = append(out, member{f.Name, raw})
		}
	}
	return out
}

// printFields writes a row for each field of a T that is set.
func printFields[T any](s *table, fields []field.Field[T], t *T) {
	for _, f := range fields {
		switch {
		case f.Show != nil:
			s.pair(f.Title(), f.Show(t))
		case f.IsZero(t):
		case f.Rows:
			for _, item := range *f.List(t) {
				s.pair(f.Title(), item)
			}
		case f.Switch != nil:
			s.pair(f.Title(), "yes")
		case f.TTL != nil:
			s.pair(f.Title(), field.FormatDuration(*f.TTL(t)))
		default:
			s.pair(f.Title(), f.String(t))
		}
	}
}
