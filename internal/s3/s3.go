// Package s3 reads and writes objects of a bucket by the protocol of Amazon S3, which many servers
// speak: as little of it as backups need. Requests are signed whole (Signature Version 4), with the
// hash of their content: compatible servers reject the checksum trailers that the SDKs send.
package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// PartSize is the size of the parts of an upload, but for the last one. Servers take at most 10,000
// parts, and none but the last below 5 MiB.
const PartSize = 16 << 20

const (
	maxParts   = 10_000
	maxAnswer  = 4 << 20
	maxObjects = 100_000 // of a listing
	attempts   = 4
	firstPause = 200 * time.Millisecond

	requestTimeout = 10 * time.Minute // of a request with its content, the largest a part
	idleTimeout    = 2 * time.Minute  // without a byte of an object that is read
	abortTimeout   = 30 * time.Second
)

// bucketMark in an endpoint stands for the name of the bucket.
const bucketMark = "{bucket}"

// Config names a bucket and who uses it.
type Config struct {
	// Endpoint is the address of the server, such as https://s3.example.com, or
	// https://{bucket}.s3.example.com where the name of the bucket belongs into the host. Empty
	// means Amazon's of the region.
	Endpoint string
	Region   string // "" for us-east-1
	Bucket   string
	KeyID    string
	Secret   string
	Token    string // of temporary credentials, or ""

	HTTP *http.Client
	Now  func() time.Time
	Part int // PartSize if 0; for tests
}

// Client uses one bucket.
type Client struct {
	c    Config
	base *url.URL // of the bucket, without a slash at the end
}

// Object is an object of a listing.
type Object struct {
	Key  string
	Size int64
}

// New returns a client.
func New(c Config) (*Client, error) {
	if c.KeyID == "" || c.Secret == "" {
		return nil, fault.New(fault.Invalid,
			"for an S3 bucket, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	if !validBucket(c.Bucket) {
		return nil, fault.New(fault.Invalid, "the address of an S3 bucket looks like "+
			"s3://BUCKET/PREFIX; names of buckets have 3 to 63 lowercase letters, digits, dots and hyphens")
	}
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Part == 0 {
		c.Part = PartSize
	}
	base, err := bucketURL(c.Endpoint, c.Region, c.Bucket)
	if err != nil {
		return nil, err
	}
	return &Client{c, base}, nil
}

// validBucket reports whether a name can be that of a bucket, so that it changes nothing else of an
// address.
func validBucket(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Contains(name, "..") {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		letter := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !letter && (c != '-' && c != '.' || i == 0 || i == len(name)-1) {
			return false
		}
	}
	return true
}

// bucketURL returns the address of a bucket. Amazon wants its name in the host, which needs a name
// without dots, as the certificate covers one label only. Other servers mostly want it in the path.
func bucketURL(endpoint, region, bucket string) (*url.URL, error) {
	if endpoint == "" {
		endpoint = "https://s3." + region + ".amazonaws.com"
		if !strings.Contains(bucket, ".") {
			endpoint = "https://" + bucketMark + ".s3." + region + ".amazonaws.com"
		}
	}
	inHost := strings.Contains(endpoint, bucketMark)
	u, err := url.Parse(strings.Replace(endpoint, bucketMark, bucket, 1))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		// The error has the address in it, which may hold a password.
		return nil, fault.New(fault.Invalid, "AWS_ENDPOINT_URL_S3 must be an http or https address "+
			"without a user name or query, such as https://s3.example.com")
	}
	u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), ""
	if !inHost {
		u.Path += "/" + bucket
	}
	return u, nil
}

// request is one request, which may be sent several times.
type request struct {
	method, key string
	query       url.Values
	header      http.Header
	body        []byte
}

// do sends a request until it is answered, and returns the response if its status is below 300.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		res, err := c.send(ctx, r)
		if err == nil || !transient(err) || attempt == attempts || ctx.Err() != nil {
			return res, err
		}
		if !sleep(ctx, pause) {
			return nil, err
		}
		pause *= 3
	}
}

// sleep reports whether ctx lasted for so long.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// send sends a request once.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	u := *c.base
	if r.key != "" || u.Path == "" {
		u.Path += "/" + r.key
	}
	u.RawPath = escape(u.Path, true)
	u.RawQuery = canonicalQuery(r.query)
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(requestTimeout, cancel)
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		cancel()
		return nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	c.sign(req, &u, r.body)
	res, err := c.c.HTTP.Do(req)
	timer.Stop()
	if err != nil {
		cancel()
		return nil, c.unreachable(err)
	}
	res.Body = newBody(res.Body, cancel)
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, c.errorOf(r.method, res)
}

// body is the content of a response. A read that brings nothing for long ends the request.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
	idle   *time.Timer
	stuck  atomic.Bool
}

func newBody(r io.ReadCloser, cancel context.CancelFunc) *body {
	b := &body{ReadCloser: r, cancel: cancel}
	b.idle = time.AfterFunc(idleTimeout, func() {
		b.stuck.Store(true)
		cancel()
	})
	b.idle.Stop()
	return b
}

// Read reads, and waits for the next byte anew. Between two reads the reader may take its time.
func (b *body) Read(p []byte) (int, error) {
	b.idle.Reset(idleTimeout)
	n, err := b.ReadCloser.Read(p)
	b.idle.Stop()
	if err != nil && b.stuck.Load() {
		err = fault.New(fault.Unavailable, "the S3 server has sent nothing for %s", idleTimeout)
	}
	return n, err
}

// Close ends the request.
func (b *body) Close() error {
	b.idle.Stop()
	err := b.ReadCloser.Close()
	b.cancel()
	return err
}

// answer sends a request and decodes the XML of its response into v, if v is not nil. S3 may answer
// 200 with an error inside.
func (c *Client) answer(ctx context.Context, r request, v any) (http.Header, error) {
	res, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	return c.decode(r.method, res, v)
}

func (c *Client) decode(method string, res *http.Response, v any) (http.Header, error) {
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "the answer of the S3 server broke off")
	}
	if v == nil {
		return res.Header, nil
	}
	var failed errorBody
	if xml.Unmarshal(raw, &failed) == nil && failed.XMLName.Local == "Error" {
		return nil, c.newError(method, http.StatusInternalServerError, failed)
	}
	if err := xml.Unmarshal(raw, v); err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "the answer of the S3 server cannot be read")
	}
	return res.Header, nil
}

// List returns all objects whose keys begin with a prefix.
func (c *Client) List(ctx context.Context, prefix string) ([]Object, error) {
	var out []Object
	token := ""
	for {
		q := url.Values{"list-type": {"2"}, "prefix": {prefix}, "max-keys": {"1000"}}
		if token != "" {
			q.Set("continuation-token", token)
		}
		var page struct {
			Contents  []Object `xml:"Contents"`
			Truncated bool     `xml:"IsTruncated"`
			Next      string   `xml:"NextContinuationToken"`
		}
		if _, err := c.answer(ctx, request{method: http.MethodGet, query: q}, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Contents...)
		if !page.Truncated {
			return out, nil
		}
		if page.Next == "" || page.Next == token || len(page.Contents) == 0 {
			return nil, fault.New(fault.Unavailable, "the S3 server broke off its listing")
		}
		if len(out) >= maxObjects {
			return nil, fault.New(fault.Unavailable,
				"there are more than %d objects at that prefix; use one of its own for backups", maxObjects)
		}
		token = page.Next
	}
}

// Check returns why the bucket cannot be read, or nil.
func (c *Client) Check(ctx context.Context, prefix string) error {
	q := url.Values{"list-type": {"2"}, "prefix": {prefix}, "max-keys": {"1"}}
	_, err := c.answer(ctx, request{method: http.MethodGet, query: q}, nil)
	return err
}

// Get reads an object, or with length > 0 a part of it from an offset; a negative offset counts
// from the end.
func (c *Client) Get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	r := request{method: http.MethodGet, key: key}
	switch {
	case offset < 0:
		r.header = http.Header{"Range": {"bytes=" + strconv.FormatInt(offset, 10)}}
	case length > 0:
		r.header = http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)}}
	}
	res, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.header != nil && res.StatusCode != http.StatusPartialContent {
		_ = res.Body.Close()
		return nil, fault.New(fault.Unavailable, "the S3 server does not read parts of objects")
	}
	return res.Body, nil
}

// Size returns the size of an object.
func (c *Client) Size(ctx context.Context, key string) (int64, error) {
	h, err := c.head(ctx, key)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil {
		return 0, fault.New(fault.Unavailable, "the S3 server does not say how large an object is")
	}
	return n, nil
}

func (c *Client) head(ctx context.Context, key string) (http.Header, error) {
	return c.answer(ctx, request{method: http.MethodHead, key: key}, nil)
}

// Delete deletes an object. That it does not exist is not an error.
func (c *Client) Delete(ctx context.Context, key string) error {
	_, err := c.answer(ctx, request{method: http.MethodDelete, key: key}, nil)
	if missing(err) {
		return nil
	}
	return err
}

// missing reports whether an error says that there is no such object.
func missing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound && e.Code != "NoSuchBucket"
}

// Unreadable reports whether an error concerns one object alone: it does not exist, is shorter than
// it was, or is in an archive from which it has to be brought back first.
func Unreadable(err error) bool {
	var e *Error
	return missing(err) || errors.As(err, &e) &&
		(e.Code == "InvalidObjectState" || e.Status == http.StatusRequestedRangeNotSatisfiable)
}
