package audit

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestExportedCSV: an independent reader of CSV finds the hostile values of events in their
// columns.
func TestExportedCSV(t *testing.T) {
	hostile := []string{`=1+1`, "a\",\"b\nLOGIN,\"", `@x`, "-\n", `","`, `'`, `\"`, `<b>&amp;`}
	var b bytes.Buffer
	x := NewExporter(&b, FormatCSV)
	if err := x.Begin(); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for _, h := range hostile {
		e := Event{
			ID: "1", At: at, Type: LoginFailed, Agent: h, RequestID: h, Reason: h, User: h,
			Detail:  map[string]string{h: h, "=key": "\x1b]0;"},
			Changes: []Change{{Field: h, After: h}},
		}
		if err := x.Write(&e); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.End(); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(&b).ReadAll() // each record has as many cells as the header, or an error
	if err != nil || len(records) != len(hostile)+1 || records[0][0] != "id" {
		t.Fatalf("got %q, %v", records, err)
	}
	for i, h := range hostile {
		r := records[i+1]
		want := h
		if strings.ContainsAny(h[:1], "=+-@") {
			want = "'" + h
		}
		for _, column := range []int{7, 9, 12, 13, 17} {
			if r[column] != want {
				t.Errorf("%s is %q, want %q", records[0][column], r[column], want)
			}
		}
		var detail map[string]string
		if err := json.Unmarshal([]byte(r[10]), &detail); err != nil || detail[h] != h || detail["=key"] != "\x1b]0;" {
			t.Errorf("the metadata is %q: %v", r[10], err)
		}
		var changes []Change
		if err := json.Unmarshal([]byte(r[11]), &changes); err != nil || changes[0].After != h {
			t.Errorf("the changes are %q: %v", r[11], err)
		}
		if r[1] != "2026-11-28T12:00:00.000Z" || r[2] != "user.login_failed" || r[3] != "LOGIN_FAILED" {
			t.Errorf("got %q", r)
		}
	}
}

func TestExportedLines(t *testing.T) {
	var b bytes.Buffer
	x := NewExporter(&b, FormatJSON)
	for _, step := range []func() error{
		x.Begin,
		func() error { return x.Write(&Event{ID: "1", Type: Logout}) },
		func() error { return x.Write(&Event{ID: "2", Type: Logout}) },
		x.End,
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 3 || lines[2] != `{"end":true,"count":2}` {
		t.Fatalf("got %q", lines)
	}
	if id, end, _, err := ReadExported([]byte(lines[1])); id != "2" || end || err != nil {
		t.Errorf("the second line is read as %q, %v, %v", id, end, err)
	}
	if _, end, n, err := ReadExported([]byte(lines[2])); !end || n != 2 || err != nil {
		t.Errorf("the end is read as %v, %d, %v", end, n, err)
	}
}
