// Package remote carries out the operations of administrators on a server elsewhere, through its
// management API. Its methods are those of admin.Operations that the command line uses, and return
// the same values and the same kinds of errors. The actor is whoever the token is for: the argument
// of that type is ignored.
package remote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

const (
	requestTimeout = time.Minute // for one request, streams excepted
	maxAnswer      = 64 << 20    // bytes of an answer that is read whole
)

// Tokens gives the tokens that authorize requests.
type Tokens interface {
	// Token returns an access token for the server. It is asked before every request.
	Token(ctx context.Context) (string, error)
	// StepUp signs the person in again, as the server demands for a change. It returns an error
	// that says what to do where nobody can be asked.
	StepUp(ctx context.Context, c *Challenge) error
	// Rejected returns the error for a token that the server rejects, or nil if there is another
	// one to try.
	Rejected(ctx context.Context, text string) error
}

// Server is a Gatehouse server elsewhere. It serves one command: it is not safe for concurrent use.
type Server struct {
	base   string // the address of the server, without a slash at its end
	client *http.Client
	tokens Tokens
	rules  client.Rules

	locks map[identity.UserID]time.Time // of the users that were listed last
	names map[identity.UserID]string    // of the users whose sessions were listed last
}

// New returns the server at an address. Transport may be nil.
func New(base string, transport http.RoundTripper, tokens Tokens, rules client.Rules) *Server {
	if transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = 5 * time.Minute // an import is read whole before it is answered
		transport = t
	}
	return &Server{
		base: strings.TrimSuffix(base, "/"),
		client: &http.Client{
			Transport: transport,
			// A token is sent to the server that was named and to no other.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		tokens: tokens,
		rules:  rules,
	}
}

// request is a request to the API.
type request struct {
	method string
	path   []string // segments below /api/v1, not escaped
	query  url.Values
	header http.Header
	body   any // encoded as JSON; nil: none
	// open returns a body that is no JSON document, from its beginning.
	open   func() (io.Reader, error)
	stream bool // the answer takes as long as it takes
}

// address returns where a request goes.
func (s *Server) address(q *request) (string, error) {
	var b strings.Builder
	b.WriteString(s.base + "/api/v1")
	for _, segment := range q.path {
		if segment == "" {
			return "", errors.New("an empty name names nothing")
		}
		escaped := url.PathEscape(segment)
		if strings.Trim(segment, ".") == "" { // proxies would take it for a step up
			escaped = strings.ReplaceAll(segment, ".", "%2E")
		}
		b.WriteString("/" + escaped)
	}
	if len(q.query) > 0 {
		b.WriteString("?" + q.query.Encode())
	}
	return b.String(), nil
}

// send sends a request, and again where the person has signed in as the server demands. The answer
// is a success.
func (s *Server) send(ctx context.Context, q *request) (*http.Response, error) {
	steppedUp, rejected := false, false
	for {
		answer, err := s.sendOnce(ctx, q)
		var (
			c *Challenge
			r *rejection
		)
		switch {
		case errors.As(err, &c) && !steppedUp:
			steppedUp = true
			err = s.tokens.StepUp(ctx, c)
		case errors.As(err, &r):
			if err = s.tokens.Rejected(ctx, r.text); err == nil && rejected {
				err = r
			}
			rejected = true
		default:
			return answer, err
		}
		if err != nil {
			return nil, err
		}
	}
}

func (s *Server) sendOnce(ctx context.Context, q *request) (*http.Response, error) {
	token, err := s.tokens.Token(ctx)
	if err != nil {
		return nil, err
	}
	where, err := s.address(q)
	if err != nil {
		return nil, err
	}
	body, kind, err := q.content()
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, q.method, where, body)
	if err != nil {
		return nil, err
	}
	for name, values := range q.header {
		r.Header[name] = values
	}
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	cancel := func() {}
	if !q.stream {
		ctx, stop := context.WithTimeout(r.Context(), requestTimeout)
		r, cancel = r.WithContext(ctx), stop
	}
	answer, err := s.client.Do(r)
	if err != nil {
		cancel()
		return nil, s.unreachable(ctx, err)
	}
	answer.Body = &timedBody{answer.Body, cancel}
	if answer.StatusCode < http.StatusMultipleChoices {
		return answer, s.fromGatehouse(answer)
	}
	defer answer.Body.Close()
	return nil, s.explain(ctx, q, s.problem(answer))
}

// timedBody is the body of an answer, whose end ends the time that it may take.
type timedBody struct {
	io.ReadCloser
	cancel func()
}

// Close ends the answer.
func (b *timedBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// content returns the body of a request and its media type.
func (q *request) content() (io.Reader, string, error) {
	switch {
	case q.open != nil:
		body, err := q.open()
		return io.NopCloser(body), "application/octet-stream", err
	case q.body == nil:
		return http.NoBody, "", nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	return &b, "application/json", enc.Encode(q.body)
}

// fromGatehouse returns an error for a success that no Gatehouse server answers, such as the page
// of a proxy.
func (s *Server) fromGatehouse(answer *http.Response) error {
	if answer.StatusCode == http.StatusNoContent || answer.ContentLength == 0 {
		return nil
	}
	kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	switch kind {
	case "application/json", "application/jsonl", "application/x-ndjson", "text/csv":
		return nil
	}
	answer.Body.Close()
	return s.notGatehouse(answer)
}

func (s *Server) notGatehouse(answer *http.Response) error {
	return fmt.Errorf("%s answered %s, and not as a Gatehouse server does; is the address right?", s.base, answer.Status)
}

// call sends a request and reads the JSON answer into out, unless that is nil.
func (s *Server) call(ctx context.Context, q *request, out any) error {
	_, err := s.callHeader(ctx, q, out)
	return err
}

func (s *Server) callHeader(ctx context.Context, q *request, out any) (http.Header, error) {
	answer, err := s.send(ctx, q)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, s.unreachable(ctx, err)
	case len(raw) > maxAnswer:
		return nil, fmt.Errorf("the answer of %s is longer than %d bytes", s.base, maxAnswer)
	case out == nil:
		return answer.Header, nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return nil, fmt.Errorf("the answer of %s cannot be read; if the server is of a newer release, "+
			"use its command: %w", s.base, err)
	}
	return answer.Header, nil
}

// get reads a thing.
func (s *Server) get(ctx context.Context, out any, query url.Values, path ...string) error {
	return s.call(ctx, &request{method: http.MethodGet, path: path, query: query}, out)
}

// post sends a document, or nothing if body is nil.
func (s *Server) post(ctx context.Context, out, body any, path ...string) error {
	return s.call(ctx, &request{method: http.MethodPost, path: path, body: body}, out)
}

// patch changes a thing.
func (s *Server) patch(ctx context.Context, out, body any, version int64, path ...string) error {
	return s.call(ctx, &request{
		method: http.MethodPatch,
		path:   path,
		body:   body,
		header: ifMatch(version),
	}, out)
}

// remove deletes a thing.
func (s *Server) remove(ctx context.Context, out any, query url.Values, version int64, path ...string) error {
	return s.call(ctx, &request{
		method: http.MethodDelete,
		path:   path,
		query:  query,
		header: ifMatch(version),
	}, out)
}

// ifMatch returns the header for a change of a version of a thing; 0: of any.
func ifMatch(version int64) http.Header {
	if version == 0 {
		return nil
	}
	return http.Header{"If-Match": {fmt.Sprintf(`"v%d"`, version)}}
}

// apiPage is the longest page of the API, in items.
const apiPage = 500

// list is a page of a list as the API answers it.
type list[T any] struct {
	Data    []T    `json:"data"`
	Total   int    `json:"total"`
	TotalIs string `json:"total_is"`
	Next    string `json:"next"`

	SortedBy string `json:"sorted_by"`
}

// page reads a page of a list that may be longer than those of the API. The items of T become those
// of U by convert.
func page[T, U any](ctx context.Context, s *Server, query url.Values, p admin.Page, convert func(*T) (U, error),
	path ...string,
) (*admin.List[U], error) {
	if p.Limit == 0 {
		p.Limit = admin.DefaultPage
	}
	out := &admin.List[U]{}
	for first := true; first || len(out.Items) < p.Limit && out.Next != ""; first = false {
		q := pageQuery(query, p, first, p.Limit-len(out.Items), out.Next)
		var answer list[T]
		if err := s.get(ctx, &answer, q, path...); err != nil {
			return nil, err
		}
		if first {
			out.Total, out.AtLeast, out.SortedBy = answer.Total, answer.TotalIs != "", answer.SortedBy
		}
		for i := range answer.Data {
			item, err := convert(&answer.Data[i])
			if err != nil {
				return nil, err
			}
			out.Items = append(out.Items, item)
		}
		if answer.Next != "" && answer.Next == out.Next {
			return nil, fmt.Errorf("%s answers the same page again", s.base)
		}
		out.Next = answer.Next
	}
	return out, nil
}

// pageQuery returns the parameters of one page of the API.
func pageQuery(query url.Values, p admin.Page, first bool, limit int, next string) url.Values {
	q := url.Values{}
	for name, v := range query {
		q[name] = v
	}
	q.Set("limit", fmt.Sprint(min(limit, apiPage)))
	switch {
	case !first:
		q.Set("cursor", next)
	case p.Cursor != "":
		q.Set("cursor", p.Cursor)
	case p.Offset > 0:
		q.Set("offset", fmt.Sprint(p.Offset))
	}
	if p.Exact {
		q.Set("total", "exact")
	}
	return q
}

// part reads a part of a list that has no cursors.
func part[T any](ctx context.Context, s *Server, query url.Values, limit, offset int, path ...string) ([]T, int, error) {
	var all []T
	total := 0
	for {
		q := pageQuery(query, admin.Page{Offset: offset + len(all)}, true, limit-len(all), "")
		var answer list[T]
		if err := s.get(ctx, &answer, q, path...); err != nil {
			return nil, 0, err
		}
		all, total = append(all, answer.Data...), answer.Total
		if len(answer.Data) == 0 || len(all) >= limit || offset+len(all) >= total {
			return all, total, nil
		}
	}
}

// parameters returns query parameters of names and values by turns. Empty values are left out.
func parameters(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// whether returns a switch for a query, or "" where it is off.
func whether(on bool) string {
	if on {
		return "true"
	}
	return ""
}

// instant returns a time for a query, or "" for the zero time.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// when returns a time that may be missing.
func when(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// sortText returns an order for a query.
func sortText(s admin.Sort) string {
	if s.Desc {
		return "-" + s.By
	}
	return s.By
}
