package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

type object = map[string]any

// methods are the operations that a path may have.
var methods = []string{"get", "post", "put", "patch", "delete"}

// keywords are what a schema may use: the part of JSON Schema that the generators of all languages
// understand, and that the server itself checks.
var keywords = []string{
	"$ref", "type", "properties", "required", "items", "enum", "anyOf", "format", "pattern",
	"minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "uniqueItems",
	"additionalProperties", "description", "example", "default", "readOnly", "title",
}

// readSpec merges the fragments of a folder in the order of their names.
func readSpec(dir string) (object, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	doc := object{}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var fragment object
		if err := yaml.Unmarshal(raw, &fragment); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := merge(doc, fragment, 0); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	components, _ := doc["components"].(object)
	schemas, _ := components["schemas"].(object)
	if err := derive(schemas); err != nil {
		return nil, err
	}
	if err := idempotency(doc); err != nil {
		return nil, err
	}
	if err := complete(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

// merge adds a fragment to a document. Members meet down to the names of paths, methods and
// components; below that, a name that is there already is an error.
func merge(doc, fragment object, depth int) error {
	for name, value := range fragment {
		old, ok := doc[name]
		if !ok {
			doc[name] = value
			continue
		}
		if list, ok := old.([]any); ok && name == "tags" {
			more, _ := value.([]any)
			doc[name] = append(list, more...)
			continue
		}
		from, ok1 := old.(object)
		to, ok2 := value.(object)
		if !ok1 || !ok2 || depth > 1 {
			return fmt.Errorf("%s is there twice", name)
		}
		if err := merge(from, to, depth+1); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// complete adds to each operation what is the same for all, and checks the document.
func complete(doc object) error {
	var wrong []error
	seen := map[string]string{}
	for at, op := range operations(doc) {
		id, _ := op["operationId"].(string)
		switch {
		case id == "":
			wrong = append(wrong, fmt.Errorf("%s: no operationId", at))
		case seen[id] != "":
			wrong = append(wrong, fmt.Errorf("%s: the operationId %s is that of %s", at, id, seen[id]))
		}
		seen[id] = at
		for _, name := range []string{"summary", "tags", "security", "responses"} {
			if _, ok := op[name]; !ok {
				wrong = append(wrong, fmt.Errorf("%s: no %s", at, name))
			}
		}
		if responses, ok := op["responses"].(object); ok {
			responses["default"] = object{"$ref": "#/components/responses/Problem"}
		}
	}
	components, _ := doc["components"].(object)
	schemas, _ := components["schemas"].(object)
	for name, s := range schemas {
		wrong = append(wrong, checkSchema("#/components/schemas/"+name, s)...)
	}
	closeRequests(doc, schemas)
	return errors.Join(wrong...)
}

// operations returns the operations of a document by method and path.
func operations(doc object) map[string]object {
	out := map[string]object{}
	paths, _ := doc["paths"].(object)
	for path, item := range paths {
		item, _ := item.(object)
		for _, method := range methods {
			if op, ok := item[method].(object); ok {
				out[strings.ToUpper(method)+" "+path] = op
			}
		}
	}
	return out
}

// checkSchema reports keywords that a schema may not use.
func checkSchema(at string, s any) []error {
	schema, ok := s.(object)
	if !ok {
		return []error{fmt.Errorf("%s is not a schema", at)}
	}
	var wrong []error
	for name, value := range schema {
		switch {
		case !slices.Contains(keywords, name) && !strings.HasPrefix(name, "x-"):
			wrong = append(wrong, fmt.Errorf("%s: the keyword %s is not used here", at, name))
		case name == "properties":
			properties, _ := value.(object)
			for property, s := range properties {
				wrong = append(wrong, checkSchema(at+"/properties/"+property, s)...)
			}
		case name == "items":
			wrong = append(wrong, checkSchema(at+"/items", value)...)
		case name == "anyOf":
			list, _ := value.([]any)
			for i, s := range list {
				wrong = append(wrong, checkSchema(fmt.Sprintf("%s/anyOf/%d", at, i), s)...)
			}
		}
	}
	_, properties := schema["properties"]
	if _, open := schema["additionalProperties"]; open && properties {
		wrong = append(wrong, fmt.Errorf("%s: additionalProperties beside properties", at))
	}
	return wrong
}

// closeRequests forbids members that a request body does not name: the server rejects them. Bodies
// of answers stay open, so that a client of today reads the answers of a later server.
func closeRequests(doc, schemas object) {
	for _, op := range operations(doc) {
		body, _ := op["requestBody"].(object)
		content, _ := body["content"].(object)
		for _, media := range content {
			media, _ := media.(object)
			closeSchema(media["schema"], schemas)
		}
	}
}

func closeSchema(s any, schemas object) {
	schema, ok := s.(object)
	if !ok {
		return
	}
	if ref, ok := schema["$ref"].(string); ok {
		closeSchema(schemas[strings.TrimPrefix(ref, "#/components/schemas/")], schemas)
		return
	}
	if schema["additionalProperties"] != nil {
		return
	}
	if properties, ok := schema["properties"].(object); ok {
		schema["additionalProperties"] = false
		for _, p := range properties {
			closeSchema(p, schemas)
		}
	}
	closeSchema(schema["items"], schemas)
	list, _ := schema["anyOf"].([]any)
	for _, s := range list {
		closeSchema(s, schemas)
	}
}

// serverDocument returns the document without the answers that are written in one place for all
// operations, so that no code is generated for them.
func serverDocument(doc object) object {
	return withOperations(doc, func(op object) {
		responses := maps.Clone(op["responses"].(object))
		delete(responses, "default")
		op["responses"] = responses
	})
}

// renamed returns the document with operations renamed whose Go names would mean something else in
// generated code.
func renamed(doc object) object {
	return withOperations(doc, func(op object) {
		if op["operationId"] == "client" {
			op["operationId"] = "getClient"
		}
	})
}

// withOperations returns a copy of a document whose operations are changed.
func withOperations(doc object, change func(op object)) object {
	out := maps.Clone(doc)
	paths := maps.Clone(out["paths"].(object))
	for path, item := range paths {
		item := maps.Clone(item.(object))
		for _, method := range methods {
			if op, ok := item[method].(object); ok {
				op = maps.Clone(op)
				change(op)
				item[method] = op
			}
		}
		paths[path] = item
	}
	out["paths"] = paths
	return out
}
