package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
)

// operation is one operation of the document.
type operation struct {
	ID          string               `json:"operationId"`
	Summary     string               `json:"summary"`
	Description string               `json:"description"`
	Tags        []string             `json:"tags"`
	Parameters  []*parameter         `json:"parameters"`
	Body        *requestBody         `json:"requestBody"`
	Responses   map[string]*response `json:"responses"`
	Security    []map[string][]admin.Scope

	method, path string
	segments     []string // of the path; a parameter is in braces
	serve        http.HandlerFunc
}

// parameter is a parameter in the path, the query or a header.
type parameter struct {
	Ref         string  `json:"$ref"`
	Name        string  `json:"name"`
	In          string  `json:"in"`
	Required    bool    `json:"required"`
	Description string  `json:"description"`
	Schema      *schema `json:"schema"`
}

type requestBody struct {
	Required bool                  `json:"required"`
	Content  map[string]*mediaType `json:"content"`
}

type response struct {
	Ref         string                `json:"$ref"`
	Description string                `json:"description"`
	Content     map[string]*mediaType `json:"content"`
}

type mediaType struct {
	Schema *schema `json:"schema"`
}

// document is what the server reads of the document itself.
type document struct {
	Info struct {
		Title       string `json:"title"`
		Description string `json:"description"`
	} `json:"info"`
	Tags []struct {
		Name        string `json:"name"`
		Description string `json:"description"`
	} `json:"tags"`
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Parameters map[string]*parameter `json:"parameters"`
		Responses  map[string]*response  `json:"responses"`
		Schemas    map[string]*schema    `json:"schemas"`
	} `json:"components"`

	operations []*operation
}

// readDocument reads the document and resolves its references.
func readDocument(raw []byte) (*document, error) {
	d := &document{}
	if err := json.Unmarshal(raw, d); err != nil {
		return nil, err
	}
	all := d.Components.Schemas
	for name, s := range all {
		resolved, err := s.resolve(all)
		if err != nil {
			return nil, fmt.Errorf("schema %s: %w", name, err)
		}
		all[name] = resolved
	}
	for path, item := range d.Paths {
		for method, raw := range item {
			op := &operation{method: strings.ToUpper(method), path: path}
			if err := json.Unmarshal(raw, op); err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			if err := d.resolve(op); err != nil {
				return nil, fmt.Errorf("%s %s: %w", method, path, err)
			}
			d.operations = append(d.operations, op)
		}
	}
	slices.SortFunc(d.operations, func(a, b *operation) int {
		return strings.Compare(a.path+" "+a.method, b.path+" "+b.method)
	})
	return d, nil
}

func (d *document) resolve(op *operation) error {
	op.segments = strings.Split(strings.TrimPrefix(op.path, "/"), "/")
	for i, p := range op.Parameters {
		if p.Ref != "" {
			p = d.Components.Parameters[strings.TrimPrefix(p.Ref, "#/components/parameters/")]
		}
		if p == nil {
			return fmt.Errorf("parameter %d refers to nothing", i)
		}
		var err error
		if p.Schema, err = p.Schema.resolve(d.Components.Schemas); err != nil {
			return err
		}
		op.Parameters[i] = p
	}
	for status, r := range op.Responses {
		if r.Ref != "" {
			op.Responses[status] = d.Components.Responses[strings.TrimPrefix(r.Ref, "#/components/responses/")]
		}
	}
	if op.Body == nil {
		return nil
	}
	for _, m := range op.Body.Content {
		var err error
		if m.Schema, err = m.Schema.resolve(d.Components.Schemas); err != nil {
			return err
		}
	}
	return nil
}

// public reports whether the operation needs no token.
func (op *operation) public() bool { return len(op.Security) == 0 }

// scope returns the scope that the operation needs, or "".
func (op *operation) scope() string {
	for _, need := range op.Security {
		for _, scopes := range need {
			if len(scopes) > 0 {
				return string(scopes[0])
			}
		}
	}
	return ""
}

// parameter returns the parameter with that name and place, or nil.
func (op *operation) parameter(in, name string) *parameter {
	for _, p := range op.Parameters {
		if p.In == in && p.Name == name {
			return p
		}
	}
	return nil
}

// produces reports whether an answer of the operation may have a media type.
func (op *operation) produces(kind string) bool {
	for _, r := range op.Responses {
		if r.Content[kind] != nil {
			return true
		}
	}
	return false
}

// match returns the operation at an escaped path below the root of the interface, with the values
// of its parameters. Of several, one with a literal segment is taken. Without an operation for the
// method, it returns the methods that there are.
func (d *document) match(method, escaped string) (op *operation, values map[string]string, allow []string) {
	segments := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	best := -1
	for _, candidate := range d.operations {
		found, literal, ok := candidate.values(segments)
		switch {
		case !ok:
		case literal > best:
			best, allow, op, values = literal, []string{candidate.method}, nil, nil
		case literal == best:
			allow = append(allow, candidate.method)
		default:
			continue
		}
		if ok && literal == best && (candidate.method == method || method == http.MethodHead && candidate.method == http.MethodGet) {
			op, values = candidate, found
		}
	}
	if slices.Contains(allow, http.MethodGet) {
		allow = append(allow, http.MethodHead)
	}
	return op, values, allow
}

// values returns the parameters in a path and how many of its segments are literal.
func (op *operation) values(segments []string) (values map[string]string, literal int, ok bool) {
	if len(segments) != len(op.segments) {
		return nil, 0, false
	}
	for i, want := range op.segments {
		got, err := url.PathUnescape(segments[i])
		if err != nil {
			return nil, 0, false
		}
		switch {
		case strings.HasPrefix(want, "{"):
			if got == "" {
				return nil, 0, false
			}
			if values == nil {
				values = map[string]string{}
			}
			values[strings.Trim(want, "{}")] = got
		case got != want:
			return nil, 0, false
		default:
			literal++
		}
	}
	return values, literal, true
}
