// Package s3 reads and writes objects of a bucket by the protocol of Amazon S3, which many servers
// speak: as little of it as backups need. Requests are signed whole (Signature Version 4), with the
// hash of their content: compatible servers refuse the checksum trailers that the SDKs send.
package s3

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// PartSize is the size of the parts of an upload, but for the last one. Servers take at most 10,000
// parts, and none but the last below 5 MiB.
const PartSize = 16 << 20

const (
	maxParts    = 10_000
	maxAnswer   = 4 << 20
	attempts    = 4
	firstPause  = 200 * time.Millisecond
	abortWithin = 30 * time.Second
)

// Config names a bucket and who uses it.
type Config struct {
	Endpoint string // https://s3.example.com; "" for Amazon's of the region
	Region   string // "" for us-east-1
	Bucket   string
	KeyID    string
	Secret   string
	Token    string // of temporary credentials, or ""

	HTTP *http.Client
	Now  func() time.Time
	Part int // PartSize if 0; for tests
}

// Client uses one bucket, addressed by path.
type Client struct {
	c    Config
	base *url.URL
}

// Object is an object of a listing.
type Object struct {
	Key  string
	Size int64
}

// New returns a client.
func New(c Config) (*Client, error) {
	if c.Region == "" {
		c.Region = "us-east-1"
	}
	if c.Endpoint == "" {
		c.Endpoint = "https://s3." + c.Region + ".amazonaws.com"
	}
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fault.New(fault.Invalid, "AWS_ENDPOINT_URL_S3 is not an http or https address")
	}
	if c.KeyID == "" || c.Secret == "" {
		return nil, fault.New(fault.Invalid, "for an S3 bucket, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	if c.Bucket == "" {
		return nil, fault.New(fault.Invalid, "the address of an S3 bucket looks like s3://BUCKET/PREFIX")
	}
	if c.Part == 0 {
		c.Part = PartSize
	}
	return &Client{c, u}, nil
}

// Error is what a server answered.
type Error struct {
	Status  int
	Code    string
	Message string
	what    string
}

// Error returns what was tried and what the server answered.
func (e *Error) Error() string {
	text := fmt.Sprintf("the S3 server answered %d to %s", e.Status, e.what)
	if e.Code != "" {
		text += ": " + e.Code
	}
	if e.Message != "" {
		text += " (" + e.Message + ")"
	}
	if e.Code == "RequestTimeTooSkewed" {
		text += "; set the clock of this machine"
	}
	return text
}

// request is one request, which may be sent several times.
type request struct {
	method, key string
	query       url.Values
	header      http.Header
	body        []byte
	once        bool // a second one may find what the first one has done
}

// do sends a request until it is answered, and returns the answer if its status is below 300.
func (c *Client) do(ctx context.Context, r request) (*http.Response, error) {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		res, err := c.send(ctx, r)
		var answered *Error
		passes := err != nil && (!errors.As(err, &answered) || answered.Status >= 500 || answered.Status == 429)
		if !passes || attempt == attempts || r.once || ctx.Err() != nil {
			return res, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
		pause *= 3
	}
}

func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	u := *c.base
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + c.c.Bucket
	if r.key != "" {
		u.Path += "/" + r.key
	}
	u.RawPath = escape(u.Path, true)
	u.RawQuery = canonicalQuery(r.query)
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	c.sign(req, &u, r.body)
	res, err := c.c.HTTP.Do(req)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "the S3 server at %s cannot be reached", c.base.Host)
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	e := &Error{Status: res.StatusCode, what: r.method}
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	var answer struct {
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	if xml.Unmarshal(raw, &answer) == nil {
		e.Code, e.Message = answer.Code, answer.Message
	}
	return nil, e
}

// sign adds the signature (AWS Signature Version 4) over the request with all its headers.
func (c *Client) sign(r *http.Request, u *url.URL, body []byte) {
	now := c.c.Now().UTC()
	at, day := now.Format("20060102T150405Z"), now.Format("20060102")
	sum := sha256.Sum256(body)
	r.Header.Set("X-Amz-Date", at)
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	if c.c.Token != "" {
		r.Header.Set("X-Amz-Security-Token", c.c.Token)
	}
	names := []string{"host"}
	for name := range r.Header {
		names = append(names, strings.ToLower(name))
	}
	slices.Sort(names)
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, u.RawPath, u.RawQuery)
	for _, name := range names {
		value := r.Header.Get(name)
		if name == "host" {
			value = u.Host
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.TrimSpace(value))
	}
	signed := strings.Join(names, ";")
	fmt.Fprintf(&canonical, "\n%s\n%x", signed, sum)
	scope := day + "/" + c.c.Region + "/s3/aws4_request"
	hashed := sha256.Sum256([]byte(canonical.String()))
	key := []byte("AWS4" + c.c.Secret)
	for _, part := range []string{day, c.c.Region, "s3", "aws4_request"} {
		key = mac(key, part)
	}
	signature := mac(key, fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", at, scope, hashed))
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x",
		c.c.KeyID, scope, signed, signature))
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}

// escape percent-encodes all but the unreserved characters of RFC 3986.
func escape(s string, slashes bool) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-_.~", c) >= 0,
			c == '/' && slashes:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func canonicalQuery(q url.Values) string {
	var pairs []string
	for name, values := range q {
		for _, v := range values {
			pairs = append(pairs, escape(name, false)+"="+escape(v, false))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// answer sends a request and reads its answer as XML into v, if v is not nil. S3 may answer 200
// with an error inside.
func (c *Client) answer(ctx context.Context, r request, v any) (http.Header, error) {
	res, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "the answer of the S3 server broke off")
	}
	if v == nil {
		return res.Header, nil
	}
	var failed struct {
		XMLName xml.Name `xml:"Error"`
		Code    string   `xml:"Code"`
		Message string   `xml:"Message"`
	}
	if xml.Unmarshal(raw, &failed) == nil && failed.Code != "" {
		return nil, &Error{Status: res.StatusCode, Code: failed.Code, Message: failed.Message, what: r.method}
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
		if page.Next == "" || page.Next == token {
			return nil, fault.New(fault.Unavailable, "the S3 server broke off its listing")
		}
		token = page.Next
	}
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
	return res.Body, nil
}

// Size returns the size of an object.
func (c *Client) Size(ctx context.Context, key string) (int64, error) {
	res, err := c.do(ctx, request{method: http.MethodHead, key: key})
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	return res.ContentLength, nil
}

// Delete deletes an object.
func (c *Client) Delete(ctx context.Context, key string) error {
	_, err := c.answer(ctx, request{method: http.MethodDelete, key: key}, nil)
	return err
}

// ErrExists is the error of an upload under a name that is taken.
var ErrExists = errors.New("s3: the name is taken")

// taken returns ErrExists for an error of an object that exists already.
func taken(err error) error {
	var e *Error
	if errors.As(err, &e) && (e.Status == http.StatusPreconditionFailed || e.Status == http.StatusConflict) {
		return ErrExists
	}
	return err
}

// Put creates an object of what write writes; until it returns nil, there is none. A name that is
// taken is never overwritten.
func (c *Client) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	if err := c.unused(ctx, key); err != nil {
		return err
	}
	u := &upload{ctx: ctx, c: c, key: key}
	err := write(u)
	if err == nil {
		err = u.finish()
	}
	if err != nil {
		return errors.Join(err, u.abort())
	}
	return nil
}

// unused asks for the object first: not all servers know If-None-Match.
func (c *Client) unused(ctx context.Context, key string) error {
	_, err := c.Size(ctx, key)
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound {
		return nil
	}
	if err == nil {
		return ErrExists
	}
	return err
}

// upload is an object that is being written: in one request if it is small, else in parts.
type upload struct {
	ctx   context.Context
	c     *Client
	key   string
	buf   []byte
	id    string // of the upload in parts, or ""
	parts []part
}

type part struct {
	Number int    `xml:"PartNumber"`
	ETag   string `xml:"ETag"`
}

// Write collects a part and sends it.
func (u *upload) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if len(u.buf) == u.c.c.Part { // there is more, so this is not the last part
			if err := u.sendPart(); err != nil {
				return total - len(p), err
			}
		}
		if u.buf == nil {
			u.buf = make([]byte, 0, u.c.c.Part)
		}
		n := min(len(p), u.c.c.Part-len(u.buf))
		u.buf, p = append(u.buf, p[:n]...), p[n:]
	}
	return total, nil
}

func (u *upload) sendPart() error {
	if u.id == "" {
		var begun struct {
			ID string `xml:"UploadId"`
		}
		_, err := u.c.answer(u.ctx, request{
			method: http.MethodPost,
			key:    u.key,
			query:  url.Values{"uploads": {""}},
		}, &begun)
		if err != nil {
			return err
		}
		if begun.ID == "" {
			return fault.New(fault.Unavailable, "the S3 server does not begin an upload")
		}
		u.id = begun.ID
	}
	n := len(u.parts) + 1
	if n > maxParts {
		return fault.New(fault.Invalid, "the backup is larger than an object in parts of %d MB can be", u.c.c.Part>>20)
	}
	h, err := u.c.answer(u.ctx, request{
		method: http.MethodPut,
		key:    u.key,
		query:  url.Values{"partNumber": {strconv.Itoa(n)}, "uploadId": {u.id}},
		body:   u.buf,
	}, nil)
	if err != nil {
		return err
	}
	u.parts = append(u.parts, part{n, h.Get("ETag")})
	u.buf = u.buf[:0]
	return nil
}

func (u *upload) finish() error {
	only := http.Header{"If-None-Match": {"*"}}
	if u.id == "" {
		_, err := u.c.answer(u.ctx, request{method: http.MethodPut, key: u.key, body: u.buf, header: only, once: true}, nil)
		return taken(err)
	}
	if len(u.buf) > 0 {
		if err := u.sendPart(); err != nil {
			return err
		}
	}
	body, err := xml.Marshal(struct {
		XMLName xml.Name `xml:"CompleteMultipartUpload"`
		Parts   []part   `xml:"Part"`
	}{Parts: u.parts})
	if err != nil {
		return err
	}
	var done struct {
		Key string `xml:"Key"`
	}
	_, err = u.c.answer(u.ctx, request{
		method: http.MethodPost,
		key:    u.key,
		query:  url.Values{"uploadId": {u.id}},
		body:   body,
		header: only,
		once:   true,
	}, &done)
	if err == nil {
		u.id = ""
	}
	return taken(err)
}

// abort deletes the parts of an upload that failed, for which one would pay forever.
func (u *upload) abort() error {
	if u.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), abortWithin)
	defer cancel()
	_, err := u.c.answer(ctx, request{method: http.MethodDelete, key: u.key, query: url.Values{"uploadId": {u.id}}}, nil)
	if err != nil {
		return fmt.Errorf("the parts of the upload that failed are still there: %w", err)
	}
	return nil
}
