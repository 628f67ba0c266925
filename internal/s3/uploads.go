package s3

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// maxUploads bounds a listing of uploads.
const maxUploads = 10_000

// Upload is an upload in parts that was neither completed nor aborted. Its parts take room until
// one of both.
type Upload struct {
	Key       string    `xml:"Key"`
	ID        string    `xml:"UploadId"`
	Initiated time.Time `xml:"Initiated"` // by the clock of the server
}

// Uploads returns the uploads in parts whose keys begin with a prefix and that have not ended.
func (c *Client) Uploads(ctx context.Context, prefix string) ([]Upload, error) {
	var out []Upload
	var key, id string
	for {
		q := url.Values{"uploads": {""}, "prefix": {prefix}, "max-uploads": {"1000"}}
		if key != "" {
			q.Set("key-marker", key)
			q.Set("upload-id-marker", id)
		}
		var page struct {
			Uploads   []Upload `xml:"Upload"`
			Truncated bool     `xml:"IsTruncated"`
			NextKey   string   `xml:"NextKeyMarker"`
			NextID    string   `xml:"NextUploadIdMarker"`
		}
		if _, err := c.answer(ctx, request{method: http.MethodGet, query: q}, &page); err != nil {
			return nil, err
		}
		out = append(out, page.Uploads...)
		if !page.Truncated || len(out) >= maxUploads {
			return out, nil
		}
		if page.NextKey == "" || page.NextKey == key && page.NextID == id || len(page.Uploads) == 0 {
			return nil, fault.New(fault.Unavailable, "the S3 server broke off its listing of uploads")
		}
		key, id = page.NextKey, page.NextID
	}
}

// Abort deletes the parts of an upload. That it has ended is not an error.
func (c *Client) Abort(ctx context.Context, u Upload) error {
	_, err := c.answer(ctx, request{
		method: http.MethodDelete,
		key:    u.Key,
		query:  url.Values{"uploadId": {u.ID}},
	}, nil)
	if missing(err) {
		return nil
	}
	return err
}
