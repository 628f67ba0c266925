package console

import (
	"context"
	"io"
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/web"
)

// download sends a file. Its headers follow with the first byte, so that an error before can still
// be shown as a page.
type download struct {
	w          http.ResponseWriter
	long       io.Writer // the same
	name, kind string
	begun      bool
}

func newDownload(w http.ResponseWriter, name, kind string) *download {
	return &download{w: w, long: web.LongAnswer(w), name: name, kind: kind}
}

// Write sends a part of the file.
func (d *download) Write(b []byte) (int, error) {
	if !d.begun {
		d.begun = true
		h := d.w.Header()
		h.Set("Content-Type", d.kind)
		h.Set("Content-Disposition", `attachment; filename="`+d.name+`"`)
	}
	return d.long.Write(b)
}

// persistent returns the context of a request without its deadline, for a download that may take
// long.
func persistent(r *http.Request) context.Context { return web.Persistent(r.Context()) }
