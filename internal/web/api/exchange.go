package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// Media types.
const (
	typeJSON    = "application/json"
	typePatch   = "application/merge-patch+json"
	typeProblem = "application/problem+json"
)

// matchHeader names the version that a change is based on.
const matchHeader = "If-Match"

// exchange is one request and its answer, on its way through the generated code.
type exchange struct {
	w     http.ResponseWriter
	r     *http.Request
	op    *operation
	actor admin.Actor
	raw   []byte         // the JSON body
	body  map[string]any // what it holds, as encoding/json reads it with UseNumber

	browser bool // the session of a browser counts as well as a token
}

type exchangeKey struct{}

// exchangeOf returns the exchange that a handler's context belongs to.
func exchangeOf(ctx context.Context) *exchange {
	x, _ := ctx.Value(exchangeKey{}).(*exchange)
	return x
}

// actorOf returns who calls the operation.
func actorOf(ctx context.Context) admin.Actor { return exchangeOf(ctx).actor }

// prepare finds the operation of a request, authenticates its caller and checks its input against
// the document.
func (s *Server) prepare(x *exchange, r *http.Request, path string) error {
	op, values, allow := s.doc.match(r.Method, path)
	switch {
	case op != nil:
		x.op = op
		web.EventOf(r.Context()).Route = op.method + " " + versioned + strings.TrimPrefix(op.path, "/")
	case len(allow) > 0:
		slices.Sort(allow)
		return web.WrongMethod(x.w.Header(), strings.Join(slices.Compact(allow), ", "))
	default:
		return fault.New(fault.NotFound, "There is nothing at this address. /api/docs lists the operations.")
	}
	ctx := context.WithValue(r.Context(), exchangeKey{}, x)
	x.r = r.WithContext(ctx)
	for name, value := range values {
		x.r.SetPathValue(name, value)
	}
	if !acceptable(r.Header, op) {
		return oauth.NewError("not_acceptable", http.StatusNotAcceptable,
			"This operation does not answer with any of the media types in Accept.")
	}
	if err := s.authenticate(x); err != nil {
		return err
	}
	if err := x.checkCondition(); err != nil {
		return err
	}
	return errors.Join(s.checkInput(x, values), nil)
}

// checkCondition returns fault.Stale for a change on the condition of a version where there is
// none: such a condition cannot hold (RFC 9110 §13.1.1), and is never ignored.
func (x *exchange) checkCondition() error {
	tag := strings.TrimSpace(x.r.Header.Get(matchHeader))
	if tag == "" || tag == "*" || x.op.method == http.MethodGet || x.op.parameter("header", matchHeader) != nil {
		return nil
	}
	return fault.New(fault.Stale,
		"What this operation changes has no version, so that no If-Match but * holds. Nothing was changed.")
}

// checkInput checks parameters and body.
func (s *Server) checkInput(x *exchange, values map[string]string) error {
	var errs []error
	for name, value := range values {
		if p := x.op.parameter("path", name); p != nil {
			errs = append(errs, p.check(value)...)
		}
	}
	query, err := x.checkQuery()
	if err != nil {
		return err
	}
	errs = append(errs, query...)
	for _, p := range x.op.Parameters {
		if p.In != "header" {
			continue
		}
		lines := x.r.Header.Values(p.Name)
		switch {
		case len(lines) > 1:
			errs = append(errs, wrong(p.Name, "This header is sent more than once."))
		case len(lines) == 1:
			errs = append(errs, p.check(lines[0])...)
		}
	}
	body, err := x.readBody()
	if err != nil {
		return err
	}
	return fault.Join(append(errs, body...)...)
}

// check returns what is wrong with a parameter.
func (p *parameter) check(value string) []error {
	if !utf8.ValidString(value) || strings.ContainsRune(value, 0) {
		return []error{wrong(p.Name, "This is not UTF-8 text.")}
	}
	var v any = value
	switch {
	case slices.Contains(p.Schema.Types, "integer") || slices.Contains(p.Schema.Types, "number"):
		if _, err := strconv.ParseFloat(value, 64); err == nil {
			v = json.Number(value)
		}
	case slices.Contains(p.Schema.Types, "boolean"):
		switch value {
		case "true":
			v = true
		case "false":
			v = false
		}
	}
	return p.Schema.check(p.Name, v)
}

// checkQuery checks the query parameters. Those without a value count as absent and are left out of
// what the handler sees, unless the document lists their values.
func (x *exchange) checkQuery() ([]error, error) {
	all, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return nil, fault.New(fault.Invalid, "The query is not form-encoded.")
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(all)) {
		p := x.op.parameter("query", name)
		switch {
		case p == nil:
			errs = append(errs, wrong(strings.ToValidUTF8(name, "?"), "This operation has no such parameter."))
			continue
		case len(all[name]) > 1:
			errs = append(errs, wrong(name, "This parameter is sent more than once."))
			continue
		case all.Get(name) == "" && p.Schema.MinLength == 0 && len(p.Schema.Enum) == 0:
			delete(all, name)
			continue
		}
		errs = append(errs, p.check(all.Get(name))...)
	}
	for _, p := range x.op.Parameters {
		if p.In == "query" && p.Required && !all.Has(p.Name) {
			errs = append(errs, wrong(p.Name, "This parameter is required."))
		}
	}
	u := *x.r.URL
	u.RawQuery = all.Encode()
	x.r.URL = &u
	return errs, nil
}

// readBody checks the body of a request. A body that is not JSON goes to the handler as it is.
func (x *exchange) readBody() ([]error, error) {
	if x.op.Body == nil {
		return nil, x.noBody()
	}
	kind, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err == nil && kind == typePatch && x.op.method == http.MethodPatch {
		kind = typeJSON
		x.r.Header = x.r.Header.Clone()
		x.r.Header.Set("Content-Type", typeJSON)
	}
	if x.r.ContentLength == 0 && !x.op.Body.Required {
		return nil, nil
	}
	media := x.op.Body.Content[kind]
	if err != nil || media == nil {
		accepted := slices.Sorted(maps.Keys(x.op.Body.Content))
		return nil, oauth.NewError("unsupported_media_type", http.StatusUnsupportedMediaType,
			"The body must be %s.", strings.Join(accepted, " or "))
	}
	if kind != typeJSON {
		return nil, nil
	}
	raw, err := io.ReadAll(x.r.Body)
	if err != nil {
		return nil, readFault(err)
	}
	v, err := parse(raw)
	if err != nil {
		return nil, err
	}
	x.raw = raw
	x.body, _ = v.(map[string]any)
	x.r.Body = io.NopCloser(bytes.NewReader(raw))
	return media.Schema.check("", v), nil
}

// noBody rejects a body where none belongs.
func (x *exchange) noBody() error {
	if x.r.Body == nil || x.r.Body == http.NoBody || x.r.ContentLength == 0 {
		return nil
	}
	n, err := io.ReadFull(x.r.Body, make([]byte, 1))
	if n > 0 || err != nil && !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "This operation takes no body.")
	}
	return nil
}

func readFault(err error) error {
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return fault.Wrap(fault.Invalid, err, "The request body is larger than %d bytes.", tooBig.Limit)
	}
	return fault.Wrap(fault.Invalid, err, "The request body could not be read to its end.")
}

// maxDepth bounds how deep values of a body are nested.
const maxDepth = 20

// parse reads a JSON document strictly: nothing after it, no member twice, no text with a NUL.
func parse(raw []byte) (any, error) {
	if !utf8.Valid(raw) {
		return nil, fault.New(fault.Invalid, "The body is not UTF-8 text.")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	v, err := parseValue(dec, "", 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fault.New(fault.Invalid, "The body holds more than one JSON value.")
	}
	return v, nil
}

func parseValue(dec *json.Decoder, at string, depth int) (any, error) {
	t, err := dec.Token()
	if err != nil {
		return nil, fault.New(fault.Invalid, "The body is not JSON.")
	}
	if depth > maxDepth {
		return nil, fault.New(fault.Invalid, "The body is nested too deeply.")
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '{' {
			return parseObject(dec, at, depth)
		}
		return parseList(dec, at, depth)
	case string:
		if strings.ContainsRune(t, 0) {
			return nil, wrong(at, "This contains a NUL character.")
		}
		return t, nil
	}
	return t, nil
}

func parseObject(dec *json.Decoder, at string, depth int) (any, error) {
	out := map[string]any{}
	for dec.More() {
		t, err := dec.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, fault.New(fault.Invalid, "The body is not JSON.")
		}
		if _, ok := out[name]; ok {
			return nil, wrong(join(at, name), "This member is there twice.")
		}
		if out[name], err = parseValue(dec, join(at, name), depth+1); err != nil {
			return nil, err
		}
	}
	return out, closing(dec)
}

func parseList(dec *json.Decoder, at string, depth int) (any, error) {
	out := []any{}
	for dec.More() {
		v, err := parseValue(dec, join(at, strconv.Itoa(len(out))), depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, closing(dec)
}

func closing(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return fault.New(fault.Invalid, "The body is not JSON.")
	}
	return nil
}

// acceptable reports whether the caller takes one of the media types of the operation's answers
// (RFC 9110 §12.5.1).
func acceptable(h http.Header, op *operation) bool {
	lines := h.Values("Accept")
	if len(lines) == 0 {
		return true
	}
	for one := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		kind, params, err := mime.ParseMediaType(strings.TrimSpace(one))
		if err != nil {
			continue
		}
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil && q == 0 {
			continue
		}
		major, minor, _ := strings.Cut(kind, "/")
		switch {
		case kind == "*/*" || kind == typeProblem || kind == typeJSON || op.produces(kind):
			return true
		case minor == "*" && op.producesMajor(major+"/"):
			return true
		}
	}
	return false
}

// producesMajor reports whether an answer of the operation has a media type with that beginning.
func (op *operation) producesMajor(prefix string) bool {
	for _, r := range op.Responses {
		for kind := range r.Content {
			if strings.HasPrefix(kind, prefix) {
				return true
			}
		}
	}
	return false
}
