package admin_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/plan"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestExportsMatchTheSchema checks documents by the JSON Schema that editors get.
func TestExportsMatchTheSchema(t *testing.T) {
	w := newConfigured(t)
	w.apply(w.input(shop))
	text, err := w.ops.ExportConfig(t.Context(), admin.CommandLine(), admin.ConfigExport{})
	testkit.Must(t, err)
	own, err := w.ops.ExportConfig(t.Context(), admin.CommandLine(), admin.ConfigExport{Label: "shop"})
	testkit.Must(t, err)
	raw, err := plan.Schema(admin.ConfigSections(w.ops.Rules()))
	testkit.Must(t, err)
	var schema map[string]any
	testkit.Must(t, json.Unmarshal(raw, &schema))
	for _, document := range []string{shop, string(text), string(own)} {
		var v any
		testkit.Must(t, yaml.Unmarshal([]byte(document), &v))
		if err := mismatch(schema, v); err != nil {
			t.Errorf("%v\n%s", err, document)
		}
	}
	for _, wrong := range []string{
		"label: x", "version: 1\nlabel: x\nclient: []", "version: 1\nlabel: x\nclients: [{}]",
		"version: 1\nlabel: x\nclients: [{client_id: a, client_secret: literal}]",
	} {
		var v any
		testkit.Must(t, yaml.Unmarshal([]byte(wrong), &v))
		if mismatch(schema, v) == nil {
			t.Errorf("the schema accepts %q", wrong)
		}
	}
}

// mismatch returns why a value does not match a schema, by the keywords that ours has.
func mismatch(schema map[string]any, v any) error {
	if forms, ok := schema["anyOf"].([]any); ok {
		if !slices.ContainsFunc(forms, func(s any) bool { return mismatch(s.(map[string]any), v) == nil }) {
			return fmt.Errorf("%v matches none of %v", v, forms)
		}
		return nil
	}
	kind := map[string]string{
		"string": "string", "bool": "boolean", "int": "integer", "float64": "number",
		"[]interface {}": "array", "map[string]interface {}": "object",
	}[fmt.Sprintf("%T", v)]
	if want, ok := schema["type"]; ok {
		number := kind == "integer" && fmt.Sprint(want) == "[string number boolean]"
		list, _ := want.([]any)
		if want != kind && !number && !slices.Contains(list, any(kind)) {
			return fmt.Errorf("%v is %s, not %v", v, kind, want)
		}
	}
	if p, ok := schema["pattern"].(string); ok && kind == "string" && !regexp.MustCompile(p).MatchString(v.(string)) {
		return fmt.Errorf("%v does not match %s", v, p)
	}
	switch v := v.(type) {
	case []any:
		items, _ := schema["items"].(map[string]any)
		for _, x := range v {
			if err := mismatch(items, x); err != nil {
				return err
			}
		}
	case map[string]any:
		properties, limited := schema["properties"].(map[string]any)
		required, _ := schema["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				return fmt.Errorf("%v is missing", name)
			}
		}
		for name, x := range v {
			p, ok := properties[name].(map[string]any)
			if limited && !ok {
				return fmt.Errorf("%s is not in the schema", name)
			}
			if ok {
				if err := mismatch(p, x); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return nil
}
