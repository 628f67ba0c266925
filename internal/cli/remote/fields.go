package remote

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/field"
)

// object is a JSON object of the API.
type object map[string]json.RawMessage

// read stores the members that are called like fields.
func read[T any](fields []field.Field[T], doc object, t *T) error {
	for _, f := range fields {
		raw, ok := doc[f.Name]
		if !ok {
			continue
		}
		if err := f.UnmarshalValue(t, raw); err != nil {
			return err
		}
	}
	return nil
}

// member reads one member. A missing one is the zero value.
func member[T any](doc object, name string) T {
	var v T
	if raw, ok := doc[name]; ok && json.Unmarshal(raw, &v) != nil {
		var zero T
		return zero
	}
	return v
}

// at reads a time that may be missing or null.
func at(doc object, name string) time.Time { return when(member[*time.Time](doc, name)) }

// warningView is a warning of the API.
type warningView struct {
	Code    string `json:"code"`
	Subject string `json:"subject"`
	Nearest string `json:"nearest"`
}

func warningsOf(doc object) []admin.Warning {
	return warningList(member[[]warningView](doc, "warnings"))
}

func warningList(all []warningView) []admin.Warning {
	var out []admin.Warning
	for _, w := range all {
		out = append(out, admin.Warning(w))
	}
	return out
}

// body returns a patch as a document, with further members.
func body[T any](fields []field.Field[T], p *field.Patch[T], more ...any) (map[string]any, error) {
	members, err := p.Members(fields)
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	for name, raw := range members {
		out[name] = raw
	}
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i].(string)] = more[i+1]
	}
	return out, nil
}

// orNil returns nil for an empty list, as the database does.
func orNil(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Clone(list)
}
