package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A request is one HTTP request in full: whoever sends it sends the same bytes.
type request struct {
	Method, Path string
	Header       [][2]string
	Body         string
}

// An answer is what a server said to a request.
type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// get makes a GET.
func get(path string, header ...[2]string) request {
	return request{Method: http.MethodGet, Path: path, Header: header}
}

// form makes a POST of a form by a client that proves who it is with its secret.
func form(path, client, secret string, fields ...string) request {
	values := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	r := request{Method: http.MethodPost, Path: path, Body: values.Encode()}
	r.Header = append(r.Header, [2]string{"Content-Type", "application/x-www-form-urlencoded"})
	if client != "" {
		pair := base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(client) + ":" + url.QueryEscape(secret)))
		r.Header = append(r.Header, [2]string{"Authorization", "Basic " + pair})
	}
	return r
}

// bearer returns the header that carries an access token.
func bearer(token string) [2]string { return [2]string{"Authorization", "Bearer " + token} }

// raw returns the request as it goes over the wire.
func (r request) raw() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n", r.Method, r.Path)
	for _, h := range r.Header {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	if r.Method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.Body))
	}
	b.WriteString("\r\n" + r.Body)
	return b.Bytes()
}

// send asks a server once, following no redirect.
func (r request) send(ctx context.Context, address string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, r.Method, "http://"+address+r.Path, strings.NewReader(r.Body))
	if err != nil {
		return nil, err
	}
	for _, h := range r.Header {
		q.Header.Set(h[0], h[1])
	}
	t := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	res, err := t.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return &answer{res.StatusCode, res.Header, body}, err
}

// expect sends a request and insists on a status.
func (r request) expect(ctx context.Context, address string, status int) (*answer, error) {
	a, err := r.send(ctx, address)
	if err == nil && a.Status != status {
		err = fmt.Errorf("%s %s was answered %d instead of %d: %.300s", r.Method, r.Path, a.Status, status, a.Body)
	}
	return a, err
}

// member returns one string member of a flat JSON object, without parsing all of it.
func member(body []byte, name string) []byte {
	_, rest, ok := bytes.Cut(body, []byte(`"`+name+`":"`))
	if !ok {
		return nil
	}
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return value
}
