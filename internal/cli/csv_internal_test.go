package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// TestCSVCells: no cell is a formula, ends its record or leaves its column.
func TestCSVCells(t *testing.T) {
	for in, want := range map[string]string{
		"":                          "",
		"plain text":                "plain text",
		"=HYPERLINK(0)":             "'=HYPERLINK(0)",
		"+1":                        "'+1",
		"-2+3":                      "'-2+3",
		"@SUM(A1)":                  "'@SUM(A1)",
		"\t=1":                      "'\t=1",
		"\r=1":                      "\"'\r=1\"",
		"\n=1":                      "\"'\n=1\"",
		" =1":                       "' =1",
		"\u3000＝1":                  "'\u3000＝1",
		"＋1":                        "'＋1",
		"a=1":                       "a=1",
		"a,b":                       `"a,b"`,
		`say "hi"`:                  `"say ""hi"""`,
		"x\r\n=cmd|' /C calc'!A0":   "\"x\r\n=cmd|' /C calc'!A0\"",
		`=1","=2`:                   `"'=1"",""=2"`,
		"\x1b[31mred\x00\u009b\x7f": "\uFFFD[31mred\uFFFD\uFFFD\uFFFD",
		"bad \xff byte":             "bad \uFFFD byte",
		"\x00=1":                    "\uFFFD=1",
	} {
		var b bytes.Buffer
		if err := writeCSV(&b, "first", in, "last"); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != "first,"+want+",last\r\n" {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestCSVEvents: an independent reader of CSV finds the hostile values of events in their columns.
func TestCSVEvents(t *testing.T) {
	hostile := []string{`=1+1`, "a\",\"b\nLOGIN,\"", `@x`, "-\n", `","`, `'`, `\"`, `<b>&amp;`}
	var b bytes.Buffer
	if err := writeCSV(&b, eventColumns()...); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for _, h := range hostile {
		e := audit.Event{
			ID: "1", At: at, Type: audit.LoginFailed, Agent: h, RequestID: h, Reason: h, User: h,
			Detail: map[string]string{h: h, "=key": "\x1b]0;"},
		}
		if err := writeEventCSV(&b, viewEvent(&e)); err != nil {
			t.Fatal(err)
		}
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
		for _, column := range []int{4, 9, 10, 11} {
			if r[column] != want {
				t.Errorf("%s is %q, want %q", eventColumns()[column], r[column], want)
			}
		}
		var detail map[string]string
		if err := json.Unmarshal([]byte(r[12]), &detail); err != nil || detail[h] != h || detail["=key"] != "\x1b]0;" {
			t.Errorf("the detail is %q: %v", r[12], err)
		}
		if r[1] != "2026-11-28T12:00:00Z" || r[2] != "LOGIN_FAILED" {
			t.Errorf("got %q", r)
		}
	}
}

// TestCSVColumns: the CSV has the members that every exported JSON document has, in their order.
func TestCSVColumns(t *testing.T) {
	raw, err := json.Marshal(viewEvent(&audit.Event{}))
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, name := range eventColumns() {
		next := strings.Index(string(raw[at:]), `"`+name+`":`)
		if next < 0 {
			t.Fatalf("%s is not a member after %s", name, raw[:at])
		}
		at += next + 1
	}
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil || len(members) != len(eventColumns()) {
		t.Errorf("%d members, %d columns: %v", len(members), len(eventColumns()), err)
	}
}
