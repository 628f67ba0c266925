package plan

import (
	"encoding/json"
	"strings"
)

// Schema returns the JSON Schema (2020-12) of documents, for editors.
func Schema(sections []Section) ([]byte, error) {
	properties := map[string]any{
		"version": map[string]any{"const": Version, "description": "The version of the format."},
		"label": map[string]any{
			"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$",
			"description": "Names the document. What it creates or describes carries the label; " +
				"apply --prune deletes only what does.",
		},
	}
	for i := range sections {
		s := &sections[i]
		properties[s.Name] = map[string]any{
			"type":        "array",
			"description": "Left out: they are left alone. []: there are none.",
			"items":       s.schema(),
		}
	}
	doc := map[string]any{
		"$schema":              "https://json-schema.org/draft/2020-12/schema",
		"title":                "Configuration of Gatehouse",
		"type":                 "object",
		"required":             []string{"version", "label"},
		"additionalProperties": false,
		"properties":           properties,
	}
	return json.MarshalIndent(doc, "", "  ")
}

// schema returns the schema of an item.
func (s *Section) schema() map[string]any {
	properties := map[string]any{
		s.Key: map[string]any{"type": "string", "minLength": 1, "description": s.KeyHelp},
	}
	for i := range s.Members {
		properties[s.Members[i].Name] = s.Members[i].schema()
	}
	return map[string]any{
		"type":                 "object",
		"required":             []string{s.Key},
		"additionalProperties": false,
		"properties":           properties,
	}
}

// schema returns the schema of a value.
func (m *Member) schema() map[string]any {
	text := map[string]any{"type": "string"}
	reference := map[string]any{"type": "string", "pattern": `^\$\{(env|file):[^}]+\}$`}
	out := map[string]any{}
	// Texts may be written as YAML reads other types, such as a version 1.0.
	words := map[string]any{"type": []string{"string", "number", "boolean"}}
	switch m.Kind {
	case KindText:
		out["type"] = words["type"]
	case KindSwitch:
		out["anyOf"] = []any{map[string]any{"type": "boolean"}, reference}
	case KindNumber:
		out["anyOf"] = []any{map[string]any{"type": "integer"}, reference}
	case KindDuration:
		out["anyOf"] = []any{map[string]any{"type": "integer", "minimum": 0}, text}
		out["examples"] = []string{"10m", "1h30m", "30d"}
	case KindList:
		list := map[string]any{"type": "array", "items": words}
		out["anyOf"] = []any{list}
		if m.Spaced {
			out["anyOf"] = []any{list, text}
		}
	case KindObject:
		out["anyOf"] = []any{map[string]any{"type": "object"}, reference}
	case KindSecret:
		out["type"], out["pattern"] = "string", reference["pattern"]
	}
	out["description"] = strings.ReplaceAll(m.Help, " May be repeated.", "")
	return out
}
