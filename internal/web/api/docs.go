package api

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
)

//go:embed docs
var docsFiles embed.FS

// docsPolicy is the content security policy of the page: style sheets of this server, and nothing
// else.
const docsPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'"

// published are the documents that everybody may read.
type published struct {
	page, style       []byte
	pageGz, openAPIGz []byte // compressed by gzip
}

// publish renders the page of the document.
func (s *Server) publish() (*published, error) {
	t, err := template.New("page.html").Funcs(template.FuncMap{
		"prose": prose,
		"lower": strings.ToLower,
	}).ParseFS(docsFiles, "docs/page.html")
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	if err := t.Execute(&page, s.doc.view()); err != nil {
		return nil, err
	}
	p := &published{page: page.Bytes()}
	var errs [3]error
	p.style, errs[0] = docsFiles.ReadFile("docs/docs.css")
	p.pageGz, errs[1] = compress(p.page)
	p.openAPIGz, errs[2] = compress(gen.Document)
	return p, errors.Join(errs[:]...)
}

func compress(body []byte) ([]byte, error) {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(body)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

// isDocument reports whether a request reads one of the documents.
func isDocument(r *http.Request, path string) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		slices.Contains([]string{"/openapi.json", "/docs", "/docs/", "/docs.css"}, path)
}

// serve answers the addresses of documents. See isDocument.
func (p *published) serve(w http.ResponseWriter, r *http.Request, path string) {
	h := w.Header()
	body, gz := gen.Document, p.openAPIGz
	switch path {
	case "/openapi.json":
		h.Set("Content-Type", typeJSON)
		h.Set("Access-Control-Allow-Origin", "*") // it holds nothing of anybody
	case "/docs", "/docs/":
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", docsPolicy)
		h.Set("X-Frame-Options", "DENY")
		body, gz = p.page, p.pageGz
	case "/docs.css":
		h.Set("Content-Type", "text/css; charset=utf-8")
		h.Set("Cache-Control", "public, max-age=300")
		body, gz = p.style, nil
	}
	h.Set("Vary", "Accept-Encoding")
	if gz != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = gz
	}
	_, _ = w.Write(body) // the caller is gone if it fails
}

// docView is what the page shows.
type docView struct {
	Title, Text string
	Groups      []docGroup
	Schemas     []docSchema
}

type docGroup struct {
	Name, Text string
	Operations []docOperation
}

type docOperation struct {
	ID, Method, Path, Summary, Text string
	Scope                           string // "": no token is needed
	Parameters                      []docMember
	Body                            string // the name of the schema, or ""
	Kinds                           []string
	Required                        bool
	Answers                         []docAnswer
	Example                         string
}

type docAnswer struct {
	Status, Text, Schema string
	Kinds                []string
}

type docSchema struct {
	Name, Text string
	Members    []docMember
}

type docMember struct {
	Name, Type, Text string
	Place            string // of a parameter: query, path or header
	Link             string // the schema that it has, or ""
	Required, Fixed  bool
}

// view returns what the page shows of the document.
func (d *document) view() docView {
	names := map[*schema]string{}
	for name, s := range d.Components.Schemas {
		names[s] = name
	}
	out := docView{Title: d.Info.Title, Text: d.Info.Description}
	for _, tag := range d.Tags {
		g := docGroup{Name: tag.Name, Text: tag.Description}
		for _, op := range d.operations {
			if slices.Contains(op.Tags, tag.Name) {
				g.Operations = append(g.Operations, op.view(names))
			}
		}
		slices.SortStableFunc(g.Operations, func(a, b docOperation) int {
			return strings.Compare(a.Path+"\x00"+order(a.Method), b.Path+"\x00"+order(b.Method))
		})
		out.Groups = append(out.Groups, g)
	}
	slices.SortFunc(out.Groups, func(a, b docGroup) int { return strings.Compare(a.Name, b.Name) })
	for name, s := range d.Components.Schemas {
		out.Schemas = append(out.Schemas, docSchema{Name: name, Text: s.Text, Members: s.members(names)})
	}
	slices.SortFunc(out.Schemas, func(a, b docSchema) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// order sorts methods: what reads comes first.
func order(method string) string {
	return fmt.Sprint(slices.Index([]string{"GET", "POST", "PUT", "PATCH", "DELETE"}, method))
}

func (op *operation) view(names map[*schema]string) docOperation {
	out := docOperation{
		ID:      op.ID,
		Method:  op.method,
		Path:    op.path,
		Summary: op.Summary,
		Text:    op.Description,
		Scope:   op.scope(),
		Example: op.example(),
	}
	for _, p := range op.Parameters {
		out.Parameters = append(out.Parameters, docMember{
			Name:     p.Name,
			Type:     p.Schema.label(names),
			Text:     p.Description,
			Place:    p.In,
			Required: p.Required,
		})
	}
	if op.Body != nil {
		out.Required = op.Body.Required
		for kind, m := range op.Body.Content {
			out.Kinds = append(out.Kinds, kind)
			if kind == typeJSON {
				out.Body = names[m.Schema]
			}
		}
		slices.Sort(out.Kinds)
	}
	for status, r := range op.Responses {
		a := docAnswer{Status: status, Text: r.Description}
		for kind, m := range r.Content {
			a.Kinds = append(a.Kinds, kind)
			if name := names[m.Schema]; name != "" {
				a.Schema = name
			} else if m.Schema != nil && m.Schema.Ref != "" {
				a.Schema = strings.TrimPrefix(m.Schema.Ref, "#/components/schemas/")
			}
		}
		slices.Sort(a.Kinds)
		out.Answers = append(out.Answers, a)
	}
	slices.SortFunc(out.Answers, func(a, b docAnswer) int { return strings.Compare(a.Status, b.Status) })
	return out
}

func (s *schema) members(names map[*schema]string) []docMember {
	var out []docMember
	for name, p := range s.Properties {
		m := docMember{
			Name:     name,
			Type:     p.label(names),
			Text:     p.Text,
			Required: slices.Contains(s.Required, name),
			Fixed:    p.ReadOnly,
			Link:     names[p],
		}
		if p.Items != nil && names[p.Items] != "" {
			m.Link = names[p.Items]
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b docMember) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// label returns the type of a value in a few words.
func (s *schema) label(names map[*schema]string) string {
	if name := names[s]; name != "" {
		return name
	}
	var out []string
	for _, t := range s.Types {
		switch {
		case t == "array" && s.Items != nil:
			out = append(out, "list of "+s.Items.label(names))
		case t == "string" && s.Format != "":
			out = append(out, s.Format)
		default:
			out = append(out, t)
		}
	}
	text := strings.Join(out, " or ")
	if len(s.Enum) > 0 {
		text += ": " + strings.Join(slices.DeleteFunc(slices.Clone(s.Enum), func(e string) bool { return e == "" }), ", ")
	}
	return text
}

// example returns a call of the operation with curl.
func (op *operation) example() string {
	var b strings.Builder
	b.WriteString("curl")
	if op.method != http.MethodGet {
		b.WriteString(" -X " + op.method)
	}
	query := ""
	for _, p := range op.Parameters {
		if p.In == "query" && p.Required {
			query = "?" + p.Name + "=…"
		}
	}
	fmt.Fprintf(&b, " \"$BASE_URL%s%s%s\"", strings.TrimSuffix(versioned, "/"), op.path, query)
	if !op.public() {
		b.WriteString(" \\\n  -H \"Authorization: Bearer $TOKEN\"")
	}
	if op.Body == nil || op.Body.Content[typeJSON] == nil {
		return b.String()
	}
	raw, err := json.Marshal(op.Body.Content[typeJSON].Schema.sample())
	if err == nil {
		fmt.Fprintf(&b, " \\\n  -H 'Content-Type: application/json' \\\n  -d '%s'", raw)
	}
	return b.String()
}

// sample returns an object with the members that are required.
func (s *schema) sample() any {
	switch {
	case len(s.Enum) > 0:
		return s.Enum[0]
	case slices.Contains(s.Types, "object"):
		out := map[string]any{}
		for _, name := range s.Required {
			out[name] = s.Properties[name].sample()
		}
		return out
	case slices.Contains(s.Types, "array"):
		return []any{s.Items.sample()}
	case slices.Contains(s.Types, "integer"):
		return 1
	case slices.Contains(s.Types, "boolean"):
		return true
	}
	return "…"
}

// prose returns a text as paragraphs, with the pieces between backquotes as code.
func prose(text string) template.HTML {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		b.WriteString("<p>")
		for i, piece := range strings.Split(paragraph, "`") {
			piece = template.HTMLEscapeString(piece)
			if i%2 == 1 {
				piece = "<code>" + piece + "</code>"
			}
			b.WriteString(piece)
		}
		b.WriteString("</p>")
	}
	return template.HTML(b.String()) // every piece of the document is escaped
}
