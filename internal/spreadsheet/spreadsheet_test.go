package spreadsheet

import (
	"bytes"
	"testing"
)

// TestCells: no cell is a formula, ends its record or leaves its column.
func TestCells(t *testing.T) {
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
		if err := WriteRow(&b, "first", in, "last"); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != "first,"+want+",last\r\n" {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
