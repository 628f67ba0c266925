package audit

import (
	"encoding/json"
	"io"
	"strconv"

	"github.com/gatehouse-id/gatehouse/internal/spreadsheet"
)

// Formats of exports.
const (
	FormatJSON = "json" // a record a line, and a last line that says that the export is whole
	FormatCSV  = "csv"  // with a header, for spreadsheets
)

// An Exporter writes records one by one.
type Exporter struct {
	w   io.Writer
	csv bool
	n   int64
}

// NewExporter returns an Exporter of a format. Other formats than FormatCSV are FormatJSON.
func NewExporter(w io.Writer, format string) *Exporter {
	return &Exporter{w: w, csv: format == FormatCSV}
}

// Begin writes the header, if the format has one.
func (x *Exporter) Begin() error {
	if !x.csv {
		return nil
	}
	return spreadsheet.WriteRow(x.w, "id", "timestamp", "event", "type", "actor_id", "actor_type", "resource_type",
		"resource_id", "ip_address", "user_agent", "metadata", "changes", "request_id", "user_id", "client_id",
		"session_id", "grant_id", "reason")
}

// Write writes a record. In CSV, metadata and changes are cells of JSON.
func (x *Exporter) Write(e *Event) error {
	x.n++
	if !x.csv {
		_, err := x.w.Write(append(e.JSON(), '\n'))
		return err
	}
	r := e.Record()
	metadata, changes := "", ""
	if len(r.Metadata) > 0 {
		metadata = string(encode(r.Metadata))
	}
	if len(r.Changes) > 0 {
		changes = string(encode(r.Changes))
	}
	return spreadsheet.WriteRow(x.w, r.ID, r.Timestamp, r.Event, string(r.Type), r.ActorID, r.ActorType, r.ResourceType,
		r.ResourceID, r.IPAddress, r.UserAgent, metadata, changes, r.RequestID, r.UserID, r.ClientID, r.SessionID,
		r.GrantID, r.Reason)
}

// End writes what says that the export is whole: the last line of JSON.
func (x *Exporter) End() error {
	if x.csv {
		return nil
	}
	_, err := io.WriteString(x.w, `{"end":true,"count":`+strconv.FormatInt(x.n, 10)+"}\n")
	return err
}

// exportedEnd is the last line of an export.
type exportedEnd struct {
	End   bool   `json:"end"`
	Count int64  `json:"count"`
	ID    string `json:"id"`
}

// ReadExported reads a line of an export: the id of its record, or that it is the last one.
func ReadExported(line []byte) (id string, end bool, count int64, err error) {
	var x exportedEnd
	err = json.Unmarshal(line, &x)
	return x.ID, x.End, x.Count, err
}
