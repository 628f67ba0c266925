package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/spreadsheet"
)

// ClientExport says which clients are exported, and how.
type ClientExport struct {
	Query  ClientQuery
	Format UserFormat // FormatJSON or FormatCSV
}

// ExportClients writes clients, without their secrets. They are read page by page, so that a slow
// receiver holds nothing. It returns how many it has written. The export is recorded.
func (o *Operations) ExportClients(ctx context.Context, a Actor, in ClientExport, w io.Writer) (n int, err error) {
	if err := o.authorize(a, ScopeClientsRead); err != nil {
		return 0, err
	}
	q, err := checkClientQuery(in.Query)
	if err != nil {
		return 0, err
	}
	out := &clientWriter{w: bufio.NewWriterSize(w, 32<<10), format: in.Format, fields: client.Fields(o.parts.Rules)}
	if err := out.begin(); err != nil {
		return 0, err
	}
	ev := a.event(audit.ClientsExported, o.parts.Now())
	ev.Detail = map[string]string{"format": string(in.Format)}
	if err := o.store.Record(ctx, ev); err != nil {
		return 0, err
	}
	q.Page = Page{Limit: MaxPage}
	for after := (*Position)(nil); ; {
		rows, err := o.store.ListClients(ctx, q, after)
		if err != nil {
			return n, err
		}
		for _, c := range rows.Items {
			if err := out.write(c); err != nil {
				return n, err
			}
			n++
		}
		if after = rows.Next; after == nil {
			return n, out.end(n)
		}
	}
}

// clientWriter writes clients as JSON lines or as CSV.
type clientWriter struct {
	w      *bufio.Writer
	format UserFormat
	fields []field.Field[client.Client]
}

// begin writes the header, or returns what is wrong with the format.
func (w *clientWriter) begin() error {
	switch w.format {
	case FormatJSON:
		return nil
	case FormatCSV:
		cells := []string{"client_id"}
		for _, f := range w.fields {
			cells = append(cells, f.Name)
		}
		return spreadsheet.WriteRow(w.w, append(cells, memberCreated)...)
	}
	return fault.InvalidField("format", "there is no format %q; clients are exported as json or csv", w.format)
}

func (w *clientWriter) write(c *client.Client) error {
	created := c.CreatedAt.UTC().Format(time.RFC3339Nano)
	if w.format == FormatCSV {
		cells := []string{string(c.ID)}
		for _, f := range w.fields {
			text := f.String(c)
			if f.Switch != nil && !*f.Switch(c) {
				text = ""
			}
			cells = append(cells, text)
		}
		return spreadsheet.WriteRow(w.w, append(cells, created)...)
	}
	id, err := json.Marshal(c.ID)
	if err != nil {
		return err
	}
	b := append([]byte(`{"client_id":`), id...)
	for _, f := range w.fields {
		if f.IsZero(c) {
			continue
		}
		value, err := f.MarshalValue(c)
		if err != nil {
			return err
		}
		b = append(b, `,"`+f.Name+`":`...)
		b = append(b, value...)
	}
	b = append(b, `,"`+memberCreated+`":"`+created+"\"}\n"...)
	_, err = w.w.Write(b)
	return err
}

// end writes the last line, without which an export in JSON is not whole.
func (w *clientWriter) end(n int) error {
	if w.format == FormatJSON {
		if _, err := fmt.Fprintf(w.w, "{\"end\":true,\"count\":%d}\n", n); err != nil {
			return err
		}
	}
	return w.w.Flush()
}
