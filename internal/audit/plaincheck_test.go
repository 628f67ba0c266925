package audit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// Of an export without proofs, a missing, repeated, moved or torn line is found.
func TestPlainExport(t *testing.T) {
	lines := []string{`{"id":"3"}`, `{"id":"2"}`, `{"id":"1"}`, `{"end":true,"count":3}`}
	for name, x := range map[string]struct {
		lines []string
		found string
	}{
		"whole":          {lines, "[]"},
		"no end":         {lines[:3], "[removed 3]"},
		"a line missing": {[]string{lines[0], lines[2], lines[3]}, "[removed 3]"},
		"a line twice":   {[]string{lines[0], lines[0], lines[1], lines[3]}, "[moved 2]"},
		"other order":    {[]string{lines[1], lines[0], lines[2], lines[3]}, "[moved 2]"},
		"torn":           {[]string{lines[0], `{"id":"2`, lines[2], lines[3]}, "[altered 2 removed 4]"},
		"something else": {[]string{lines[0], lines[1], lines[2], lines[3], `{"id":"0"}`}, "[altered 5]"},
		"empty":          {nil, "[removed 0]"},
	} {
		check, err := audit.CheckPlainExport(strings.NewReader(strings.Join(x.lines, "\n")))
		testkit.Must(t, err)
		var found []string
		for _, f := range check.Findings {
			found = append(found, fmt.Sprint(f.Kind, " ", f.Line))
		}
		testkit.Equal(t, name, fmt.Sprint(found), x.found)
	}
}
