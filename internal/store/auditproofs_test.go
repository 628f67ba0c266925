package store_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestExportWithProofs changes an export in every way, and expects that its verification, which has
// no database, finds and names it.
func TestExportWithProofs(t *testing.T) {
	onBoth(t, func(t *testing.T, url func(testing.TB) string) {
		l := newLedger(t, url(t))
		ids := l.record(t, 300, "u1")
		l.sequence(t)
		private, public, err := audit.NewCheckpointKey("here/audit")
		testkit.Must(t, err)
		head, err := l.db.AuditTree(t.Context())
		testkit.Must(t, err)
		c := audit.Checkpoint{Origin: "here/audit", Size: head.Size, Root: head.Root}
		note, err := c.Sign(private)
		testkit.Must(t, err)
		l.record(t, 3, "u2") // later than the checkpoint
		l.sequence(t)

		var file bytes.Buffer
		testkit.Must(t, l.ops.ExportProofs(t.Context(), admin.CommandLine(), admin.ProofsInput{Checkpoint: note}, &file))
		lines := strings.Split(strings.TrimSuffix(file.String(), "\n"), "\n")
		verify := func(lines []string) *audit.ExportCheck {
			t.Helper()
			x, err := audit.VerifyExport(strings.NewReader(strings.Join(lines, "\n")+"\n"), []string{note}, []string{public})
			testkit.Must(t, err)
			return x
		}
		x := verify(lines)
		testkit.Equal(t, "findings", fmt.Sprint(x.Findings), "[]")
		testkit.Equal(t, "events", x.Events, 300)
		testkit.Equal(t, "signed", x.Signed, true)

		at := slices.IndexFunc(lines, func(s string) bool { return strings.HasPrefix(s, `{"id":"`+ids[42]) })
		event := lines[at]
		swapped := func(i, j int) []string {
			out := slices.Clone(lines)
			out[i], out[j] = out[j], out[i]
			return out
		}
		with := func(i int, line string) []string {
			out := slices.Clone(lines)
			out[i] = line
			return out
		}
		for name, test := range map[string]struct {
			lines []string
			kind  string
			event string
		}{
			"value":         {with(at, strings.Replace(event, "192.0.2.7", "192.0.2.8", 1)), audit.ExportAltered, ids[42]},
			"salt":          {with(at, strings.Replace(event, `"salt":"`, `"salt":"A`, 1)), audit.ExportAltered, ids[42]},
			"shown name":    {with(at, strings.Replace(event, "user.login", "user.logout", 1)), audit.ExportAltered, ids[42]},
			"second value":  {with(at, strings.Replace(event, `{`, `{"ip_address":"192.0.2.9",`, 1)), audit.ExportAltered, ids[42]},
			"space":         {with(at, event+" "), audit.ExportAltered, ids[42]},
			"shown detail":  {with(at, strings.Replace(event, `"method":"password"`, `"method":"passkey"`, 1)), audit.ExportAltered, ids[42]},
			"removed":       {slices.Delete(slices.Clone(lines), at, at+1), audit.ExportRemoved, ids[42]},
			"reordered":     {swapped(at, at+2), audit.ExportMoved, ids[42]},
			"twice":         {slices.Insert(slices.Clone(lines), at, event), audit.ExportAdded, ""},
			"page":          {with(at-1, strings.Replace(lines[at-1], `"seq":`, `"seq":1`, 1)), audit.ExportPage, ""},
			"page removed":  {slices.Delete(slices.Clone(lines), at-1, at+1), audit.ExportRemoved, ""},
			"pages swapped": {slices.Concat(lines[:at-1], lines[at+1:at+3], lines[at-1:at+1], lines[at+3:]), audit.ExportMoved, ""},
			"chunk":         {with(1, strings.Replace(lines[1], `"leaves":["`, `"leaves":["`+strings.Repeat("A", 43)+`=","`, 1)), audit.ExportPage, ""},
			"end":           {lines[:len(lines)-1], audit.ExportRemoved, ""},
			"cut":           {lines[:at], audit.ExportRemoved, ""},
			"count":         {with(len(lines)-1, `{"end":true,"count":1}`), audit.ExportAltered, ""},
			"after the end": {append(slices.Clone(lines), event), audit.ExportAdded, ""},
			"nonsense":      {slices.Insert(slices.Clone(lines), at, "{}"), audit.ExportAltered, ""},
			"shorter":       {with(0, strings.Replace(lines[0], `"size":300`, `"size":299`, 1)), audit.ExportCheckpoint, ""},
		} {
			t.Run(name, func(t *testing.T) {
				if slices.Equal(test.lines, lines) {
					t.Fatal("the test changes nothing")
				}
				x := verify(test.lines)
				if !slices.ContainsFunc(x.Findings, func(f audit.ExportFinding) bool {
					return f.Kind == test.kind && (test.event == "" || f.Event == test.event)
				}) {
					t.Errorf("not found: %v", x.Findings)
				}
			})
		}
		_, other, err := audit.NewCheckpointKey("here/audit")
		testkit.Must(t, err)
		forged, err := audit.VerifyExport(strings.NewReader(file.String()), nil, []string{other})
		testkit.Must(t, err)
		testkit.Equal(t, "signed by another key", forged.Findings[0].Kind, audit.ExportCheckpoint)

		// A row that was removed from or altered in the database is named as well.
		l.exec(t, "DELETE FROM audit_log WHERE id = $1", ids[7])
		l.exec(t, "UPDATE audit_log SET reason = 'x' WHERE id = $1", ids[8])
		file.Reset()
		testkit.Must(t, l.ops.ExportProofs(t.Context(), admin.CommandLine(), admin.ProofsInput{Checkpoint: note}, &file))
		x, err = audit.VerifyExport(&file, nil, []string{public})
		testkit.Must(t, err)
		var found []string
		for _, f := range x.Findings {
			found = append(found, f.Kind+" "+f.Event)
		}
		slices.Sort(found)
		testkit.Equal(t, "found", strings.Join(found, ", "), "altered "+ids[8]+", removed "+ids[7])
	})
}
