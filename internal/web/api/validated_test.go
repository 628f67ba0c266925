package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
)

// judge checks answers against the document, with a library that knows nothing of the server.
type judge struct {
	doc  *openapi3.T
	seen map[string]bool // operations and statuses that were answered
}

func newJudge(t *testing.T) *judge {
	t.Helper()
	var raw map[string]any
	if err := json.Unmarshal(gen.Document, &raw); err != nil {
		t.Fatal(err)
	}
	schemas := raw["components"].(map[string]any)["schemas"].(map[string]any)
	for _, s := range schemas {
		closeSchema(s)
	}
	closed, err := json.Marshal(raw)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(closed)
	if err != nil {
		t.Fatal(err)
	}
	return &judge{doc: doc, seen: map[string]bool{}}
}

// closeSchema forbids members that a schema does not name: an answer must not have any.
func closeSchema(s any) {
	switch s := s.(type) {
	case []any:
		for _, one := range s {
			closeSchema(one)
		}
	case map[string]any:
		_, object := s["properties"].(map[string]any)
		if _, open := s["additionalProperties"]; object && !open {
			s["additionalProperties"] = false
		}
		for _, one := range s {
			closeSchema(one)
		}
	}
}

// find returns the operation at an address below /api or /api/v1, or nil.
func (j *judge) find(method, path string) *routers.Route {
	path = strings.TrimPrefix(strings.TrimPrefix(path, "/api"), "/v1")
	segments := strings.Split(path, "/")
	var best *routers.Route
	for pattern, item := range j.doc.Paths.Map() {
		op := item.GetOperation(method)
		want := strings.Split(pattern, "/")
		if op == nil || len(want) != len(segments) {
			continue
		}
		literal := true
		fits := !slices.ContainsFunc(slices.Collect(indices(len(want))), func(i int) bool {
			if strings.HasPrefix(want[i], "{") {
				literal = false
				return segments[i] == ""
			}
			return want[i] != segments[i]
		})
		if fits && (best == nil || literal) {
			best = &routers.Route{Spec: j.doc, Path: pattern, PathItem: item, Method: method, Operation: op}
		}
	}
	return best
}

func indices(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// check returns what is wrong with an answer.
func (j *judge) check(r *http.Request, w *httptest.ResponseRecorder) error {
	if r.Method == http.MethodHead { // the recorder stores what the server would leave out
		return nil
	}
	route := j.find(r.Method, r.URL.EscapedPath())
	if route == nil {
		if w.Header().Get("Content-Type") != "application/problem+json" {
			return fmt.Errorf("%s without an operation: %s", w.Header().Get("Content-Type"), r.URL.Path)
		}
		return nil
	}
	j.seen[route.Operation.OperationID+" "+fmt.Sprint(w.Code)] = true
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request:     r,
			PathParams:  map[string]string{},
			QueryParams: url.Values{},
			Route:       route,
		},
		Status:  w.Code,
		Header:  w.Header(),
		Body:    io.NopCloser(bytes.NewReader(w.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
}

// The document follows its own specification.
func TestDocumentIsValid(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(gen.Document)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}
