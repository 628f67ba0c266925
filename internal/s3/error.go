package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Error is what a server answered. It holds none of our credentials, whatever the server sends
// back.
type Error struct {
	Status  int
	Code    string
	Message string
	method  string
	region  string // in which the bucket is, if the server says that it is another one
}

// maxMessage bounds what an error repeats of a server's message, in bytes.
const maxMessage = 300

// errorBody is the content of an error.
type errorBody struct {
	XMLName xml.Name
	Code    string `xml:"Code"`
	Message string `xml:"Message"`
}

// Error returns what was tried, what the server answered, and what to do about it.
func (e *Error) Error() string {
	text := fmt.Sprintf("the S3 server answered %d to %s", e.Status, e.method)
	if e.Code != "" {
		text += ": " + e.Code
	}
	if e.Message != "" {
		text += " (" + e.Message + ")"
	}
	if hint := e.hint(); hint != "" {
		text += "; " + hint
	}
	return text
}

func (e *Error) hint() string {
	switch {
	case e.region != "":
		return "the bucket is in the region " + e.region + ": set AWS_REGION"
	case e.Status >= 300 && e.Status < 400:
		return "set AWS_REGION, and AWS_ENDPOINT_URL_S3 to the address that the server sends to"
	case e.Code == "RequestTimeTooSkewed":
		return "set the clock of this machine"
	case e.Code == "SignatureDoesNotMatch":
		return "check AWS_SECRET_ACCESS_KEY and AWS_REGION"
	case e.Code == "InvalidAccessKeyId":
		return "check AWS_ACCESS_KEY_ID"
	case e.Code == "ExpiredToken", e.Code == "InvalidToken":
		return "AWS_SESSION_TOKEN is not valid any more"
	case e.Status == http.StatusForbidden:
		return "the access key needs s3:ListBucket and s3:ListBucketMultipartUploads of the bucket, and " +
			"s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload of its objects"
	case e.Code == "NoSuchBucket":
		return "create the bucket"
	}
	return ""
}

// errorOf returns the error of a response.
func (c *Client) errorOf(method string, res *http.Response) *Error {
	raw, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	var b errorBody
	_ = xml.Unmarshal(raw, &b) // proxies answer with pages
	e := c.newError(method, res.StatusCode, b)
	if r := res.Header.Get("X-Amz-Bucket-Region"); r != c.c.Region {
		e.region = c.clean(r)
	}
	return e
}

func (c *Client) newError(method string, status int, b errorBody) *Error {
	return &Error{Status: status, Code: c.clean(b.Code), Message: c.clean(b.Message), method: method}
}

// clean returns a text of the server as one short line without our credentials.
func (c *Client) clean(text string) string {
	for _, s := range []string{c.c.Secret, c.c.Token, c.c.KeyID} {
		if s != "" {
			text = strings.ReplaceAll(text, s, "[removed]")
		}
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	text = strings.TrimSpace(text)
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}

// unreachable returns the error of a request that was not answered, without its address.
func (c *Client) unreachable(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.Canceled) {
		return fault.Wrap(fault.Unavailable, err,
			"the request to the S3 server at %s was broken off", c.base.Host)
	}
	return fault.Wrap(fault.Unavailable, err, "the S3 server at %s cannot be reached", c.base.Host)
}

// transient reports whether the same request may succeed later.
func transient(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return true
	}
	return e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests ||
		e.Status >= 500 && e.Status != http.StatusNotImplemented
}
