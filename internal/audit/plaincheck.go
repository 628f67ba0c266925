package audit

import (
	"bufio"
	"fmt"
	"io"
)

// PlainCheck is the outcome of the check of an export without proofs.
type PlainCheck struct {
	Events   int64
	Findings []ExportFinding
}

// CheckPlainExport checks what can be told of an export as JSON lines without proofs: that it is
// whole and in order, and that no record is in it twice. Nothing proves that its records are those
// that were written.
func CheckPlainExport(r io.Reader) (*PlainCheck, error) {
	out := &PlainCheck{}
	find := func(kind string, line int, event, format string, args ...any) {
		if len(out.Findings) < maxExportFindings {
			out.Findings = append(out.Findings, ExportFinding{kind, line, event, fmt.Sprintf(format, args...)})
		}
	}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxExportLine)
	n, before, ended := 0, "", false
	for lines.Scan() {
		n++
		id, end, count, err := ReadExported(lines.Bytes())
		switch {
		case ended:
			find(ExportAltered, n, id, "a line follows the end of the export")
		case err != nil || !end && id == "":
			find(ExportAltered, n, "", "the line is not a record of an export")
		case end:
			ended = true
			if count != out.Events {
				find(ExportRemoved, n, "", "the export had %d events, and %d are here", count, out.Events)
			}
		default:
			out.Events++
			if before != "" && id >= before {
				find(ExportMoved, n, id, "the event is not older than the one before it")
			}
			before = id
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d of the export cannot be read: %w", n+1, err)
	}
	if !ended {
		find(ExportRemoved, n, "", "the last line is missing, which says that the export is whole")
	}
	return out, nil
}
