package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// document is what matters here of the document that describes the API of a server.
type document struct {
	paths map[string]map[string]json.RawMessage // by path and method
	words map[string]bool                       // every name in it
}

// maxDocument bounds how much of a document is read, in bytes.
const maxDocument = 16 << 20

// explain replaces an error that comes from a server of another release: one that does not have the
// operation, or does not know a field of it. The server publishes what it has.
func (s *Server) explain(ctx context.Context, q *request, err error) error {
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.NotFound && f.Kind != fault.Invalid {
		return err
	}
	d := s.document(ctx)
	if d == nil {
		return err
	}
	if !d.has(q) {
		return fmt.Errorf("%s is of another release than this command: its API has no %s /%s. Use the command "+
			"of the server's release, or upgrade the server", s.base, q.method, strings.Join(q.path, "/"))
	}
	if f.Kind == fault.Invalid && f.Field != "" && !d.words[lastWord(f.Field)] {
		return fmt.Errorf("%s is of another release than this command: its API does not know %q. Use the command "+
			"of the server's release, or upgrade the server", s.base, f.Field)
	}
	return err
}

// lastWord returns the name at the end of the path of a field.
func lastWord(field string) string {
	words := strings.FieldsFunc(field, func(r rune) bool { return strings.ContainsRune("./[]", r) })
	for _, w := range slices.Backward(words) {
		if strings.Trim(w, "0123456789") != "" {
			return w
		}
	}
	return field
}

// document reads the document of the API, or returns nil if there is none. It is sent no token.
func (s *Server) document(ctx context.Context) *document {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/api/v1/openapi.json", http.NoBody)
	if err != nil {
		return nil
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxDocument))
	var whole any
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err != nil || answer.StatusCode != http.StatusOK || json.Unmarshal(raw, &doc) != nil ||
		json.Unmarshal(raw, &whole) != nil || len(doc.Paths) == 0 {
		return nil
	}
	d := &document{paths: doc.Paths, words: map[string]bool{}}
	d.collect(whole)
	return d
}

// collect adds every name and text of a part of the document.
func (d *document) collect(part any) {
	switch part := part.(type) {
	case map[string]any:
		for name, value := range part {
			d.words[name] = true
			d.collect(value)
		}
	case []any:
		for _, value := range part {
			d.collect(value)
		}
	case string:
		d.words[part] = true // the name of a parameter is a value
	}
}

// has reports whether the API has the operation of a request.
func (d *document) has(q *request) bool {
	for path, methods := range d.paths {
		segments := strings.Split(strings.Trim(path, "/"), "/")
		if _, ok := methods[strings.ToLower(q.method)]; ok && matches(segments, q.path) {
			return true
		}
	}
	return false
}

// matches reports whether a path fits a template with segments such as {id}.
func matches(template, path []string) bool {
	return slices.EqualFunc(template, path, func(t, p string) bool {
		return t == p || strings.HasPrefix(t, "{")
	})
}
