// Package spreadsheet writes CSV (RFC 4180) that spreadsheets show without evaluating it.
package spreadsheet

import (
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// WriteRow writes one record of RFC 4180. Cells that a spreadsheet would take for a formula begin
// with an apostrophe, and control characters other than tabs and line breaks become U+FFFD.
// encoding/csv is not used because it drops carriage returns inside cells.
func WriteRow(w io.Writer, cells ...string) error {
	var b strings.Builder
	for i, cell := range cells {
		if i > 0 {
			b.WriteByte(',')
		}
		cell = strings.Map(textOnly, cell)
		if isFormula(cell) {
			cell = "'" + cell
		}
		if strings.ContainsAny(cell, "\",\r\n") {
			cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
		}
		b.WriteString(cell)
	}
	b.WriteString("\r\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// isFormula reports whether a spreadsheet may evaluate a cell: it begins with an operator, in any
// width and also after spaces, or with a tab or a line break.
func isFormula(cell string) bool {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(cell, " \u00a0\u3000"))
	return strings.ContainsRune("=+-@\t\r\n＝＋－＠", first)
}

// textOnly replaces control characters that have no place in a CSV file (RFC 4180 §2), nor at a
// terminal.
func textOnly(r rune) rune {
	if unicode.IsControl(r) && r != '\t' && r != '\r' && r != '\n' {
		return utf8.RuneError
	}
	return r
}
