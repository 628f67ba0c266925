package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // a checksum that S3 asks for, not a protection
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// ErrExists is the error of an upload under a name that is taken.
var ErrExists = errors.New("s3: the name is taken")

// Put creates an object of what write writes; until it returns nil, there is none. A name that is
// taken is never overwritten.
func (c *Client) Put(ctx context.Context, key string, write func(io.Writer) error) error {
	// Not all servers know If-None-Match.
	switch _, err := c.head(ctx, key); {
	case err == nil:
		return ErrExists
	case !missing(err):
		return err
	}
	u := &upload{ctx: ctx, c: c, key: key, mark: rand.Text()}
	err := write(u)
	if err == nil {
		err = u.finish()
	}
	if err != nil {
		return errors.Join(err, u.abort())
	}
	return nil
}

// upload is an object that is being written: in one request if it is small, else in parts.
type upload struct {
	ctx   context.Context
	c     *Client
	key   string
	mark  string // in the object's metadata, by which this upload recognizes it
	buf   []byte
	id    string // of the upload in parts, or ""
	parts []part
}

type part struct {
	Number int    `xml:"PartNumber"`
	ETag   string `xml:"ETag"`
}

const markHeader = "X-Amz-Meta-Gatehouse-Upload"

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

// begin begins an upload in parts. If the answer is lost, an upload without parts stays, which
// costs nothing.
func (u *upload) begin() error {
	var begun struct {
		ID string `xml:"UploadId"`
	}
	_, err := u.c.answer(u.ctx, request{
		method: http.MethodPost,
		key:    u.key,
		query:  url.Values{"uploads": {""}},
		header: http.Header{markHeader: {u.mark}},
	}, &begun)
	if err != nil {
		return err
	}
	if begun.ID == "" {
		return fault.New(fault.Unavailable, "the S3 server does not begin an upload")
	}
	u.id = begun.ID
	return nil
}

func (u *upload) sendPart() error {
	if u.id == "" {
		if err := u.begin(); err != nil {
			return err
		}
	}
	n := len(u.parts) + 1
	if n > maxParts {
		return fault.New(fault.Invalid,
			"the backup is larger than an object in parts of %d MB can be", u.c.c.Part>>20)
	}
	h, err := u.c.answer(u.ctx, request{
		method: http.MethodPut,
		key:    u.key,
		query:  url.Values{"partNumber": {strconv.Itoa(n)}, "uploadId": {u.id}},
		header: sumHeader(u.buf),
		body:   u.buf,
	}, nil)
	if err != nil {
		return err
	}
	if h.Get("ETag") == "" {
		return fault.New(fault.Unavailable, "the S3 server does not confirm a part of the upload")
	}
	u.parts = append(u.parts, part{n, h.Get("ETag")})
	u.buf = u.buf[:0]
	return nil
}

// sumHeader returns the checksum without which buckets with object lock take nothing.
func sumHeader(body []byte) http.Header {
	sum := md5.Sum(body) //nolint:gosec // see above
	return http.Header{"Content-Md5": {base64.StdEncoding.EncodeToString(sum[:])}}
}

// finish makes the object appear.
func (u *upload) finish() error {
	if u.id == "" {
		header := sumHeader(u.buf)
		header.Set(markHeader, u.mark)
		return u.create(request{method: http.MethodPut, key: u.key, body: u.buf, header: header}, nil)
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
	err = u.create(request{
		method: http.MethodPost,
		key:    u.key,
		query:  url.Values{"uploadId": {u.id}},
		header: http.Header{},
		body:   body,
	}, &done)
	if err == nil {
		u.id = ""
	}
	return err
}

// create sends the request that creates the object. After an attempt of which nobody knows whether
// it succeeded, the object itself says so: it has the mark of this upload.
func (u *upload) create(r request, v any) error {
	r.header.Set("If-None-Match", "*")
	unknown := false
	pause := firstPause
	for attempt := 1; ; attempt++ {
		res, err := u.c.send(u.ctx, r)
		if err == nil {
			_, err = u.c.decode(r.method, res, v)
		}
		if err == nil {
			return nil
		}
		var e *Error
		if errors.As(err, &e) && e.Status == http.StatusNotImplemented && r.header.Get("If-None-Match") != "" {
			r.header.Del("If-None-Match") // Put has asked whether the name is taken
			continue
		}
		unknown = unknown || transient(err)
		if unknown && u.created() {
			return nil
		}
		if !transient(err) {
			return taken(err)
		}
		if attempt == attempts || !sleep(u.ctx, pause) {
			return err
		}
		pause *= 3
	}
}

// created reports whether the object is there and of this upload.
func (u *upload) created() bool {
	h, err := u.c.head(u.ctx, u.key)
	return err == nil && h.Get(markHeader) == u.mark
}

// taken returns ErrExists for an error of an object that exists already.
func taken(err error) error {
	var e *Error
	if errors.As(err, &e) && (e.Status == http.StatusPreconditionFailed || e.Status == http.StatusConflict) {
		return ErrExists
	}
	return err
}

// abort deletes the parts of an upload that failed, for which one would pay forever.
func (u *upload) abort() error {
	if u.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), abortTimeout)
	defer cancel()
	if err := u.c.Abort(ctx, Upload{Key: u.key, ID: u.id}); err != nil {
		return fmt.Errorf("the parts of the upload that failed are still there: %w", err)
	}
	return nil
}
