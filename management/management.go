// Package management is a typed client of Gatehouse's management API. Its types and methods are
// generated from the OpenAPI document that the server publishes at /api/openapi.json.
//
//	config := clientcredentials.Config{
//		ClientID: "…", ClientSecret: "…",
//		TokenURL: "https://id.example.com/oauth/token",
//		Scopes:   []string{"admin:users:read"},
//	}
//	api, err := management.New("https://id.example.com", config.Client(ctx))
//	…
//	for user, err := range api.AllUsers(ctx, nil) { … }
//
// An answer that is not a success is an *Error.
package management

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
)

// maxProblem bounds how much of an error is read, in bytes.
const maxProblem = 1 << 20

// API calls the management API of one server. Its methods are those of ClientWithResponses; they
// are named after the operations.
type API struct{ *ClientWithResponses }

// New returns an API of the server with that address. The HTTP client adds the access token to
// requests, as those of golang.org/x/oauth2 do; nil is http.DefaultClient.
func New(server string, client *http.Client, options ...ClientOption) (*API, error) {
	if client == nil {
		client = http.DefaultClient
	}
	options = append([]ClientOption{WithHTTPClient(checker{client})}, options...)
	c, err := NewClientWithResponses(strings.TrimSuffix(server, "/")+"/api/v1", options...)
	if err != nil {
		return nil, err
	}
	return &API{c}, nil
}

// Error is an answer that is not a success.
type Error struct {
	Problem
	Header http.Header
}

// Error returns what happened.
func (e *Error) Error() string {
	text := fmt.Sprintf("%d %s", e.Status, e.Problem.Error)
	if e.Detail != nil {
		text += ": " + *e.Detail
	}
	return text
}

// Code returns the code of an error of the API, such as not_found, or "".
func Code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Problem.Error
	}
	return ""
}

// checker turns answers that are not a success into errors.
type checker struct{ client *http.Client }

// Do sends a request.
func (c checker) Do(r *http.Request) (*http.Response, error) {
	answer, err := c.client.Do(r)
	if err != nil || answer.StatusCode < http.StatusBadRequest {
		return answer, err
	}
	defer answer.Body.Close()
	e := &Error{Header: answer.Header}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxProblem))
	if err != nil {
		return nil, err
	}
	if json.Unmarshal(body, &e.Problem) != nil || e.Problem.Error == "" {
		e.Problem = Problem{Title: http.StatusText(answer.StatusCode), Error: "unknown"}
	}
	e.Status = answer.StatusCode
	return nil, e
}

// All returns the items of all pages of a list. read returns a page by its cursor, which is nil for
// the first one, and the cursor of the next, which is nil at the end.
func All[T any](read func(cursor *string) (items []T, next *string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var cursor *string
		for {
			items, next, err := read(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if cursor = next; cursor == nil {
				return
			}
		}
	}
}

// AllUsers returns all users that parameters select; nil selects everybody.
func (a *API) AllUsers(ctx context.Context, params *UsersParams) iter.Seq2[User, error] {
	var p UsersParams
	if params != nil {
		p = *params
	}
	return All(func(cursor *string) ([]User, *string, error) {
		p.Cursor = cursor
		page, err := a.UsersWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return page.JSON200.Data, page.JSON200.Next, nil
	})
}

// AllClients returns all clients that parameters select; nil selects all.
func (a *API) AllClients(ctx context.Context, params *ClientsParams) iter.Seq2[Client, error] {
	var p ClientsParams
	if params != nil {
		p = *params
	}
	return All(func(cursor *string) ([]Client, *string, error) {
		p.Cursor = cursor
		page, err := a.ClientsWithResponse(ctx, &p)
		if err != nil {
			return nil, nil, err
		}
		return page.JSON200.Data, page.JSON200.Next, nil
	})
}
