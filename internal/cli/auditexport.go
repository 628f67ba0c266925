package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// exportVerification is the outcome of the verification of an export.
type exportVerification struct {
	OK       bool                  `json:"ok"`
	Events   int64                 `json:"events"`
	Removed  int64                 `json:"removed_before"`
	Erased   int64                 `json:"erased"`
	From     int64                 `json:"from_page"`
	To       int64                 `json:"to_page"`
	Pages    int64                 `json:"pages"` // of the checkpoint
	Root     string                `json:"root"`
	Origin   string                `json:"origin"`
	Signed   bool                  `json:"signed"`
	OwnKeys  bool                  `json:"keys_from_export"`
	Findings []audit.ExportFinding `json:"findings"`
	More     bool                  `json:"more_findings"`
}

// errExportNotWhole is the error of an export that is not what was written.
var errExportNotWhole = errors.New("the export is not what was written")

// export verifies a file without the database.
func (f *auditVerify) export(c *call) error {
	var checkpoints []string
	for _, name := range f.Checkpoint {
		raw, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("the checkpoint cannot be read: %w", err)
		}
		checkpoints = append(checkpoints, string(raw))
	}
	file, err := os.Open(f.Export)
	if err != nil {
		return fmt.Errorf("the export cannot be read: %w", err)
	}
	defer file.Close()
	x, err := audit.VerifyExport(file, checkpoints, f.Key)
	if errors.Is(err, audit.ErrNoProofs) {
		return plainExport(c, file)
	}
	if err != nil {
		return err
	}
	view := exportVerification{
		OK:       len(x.Findings) == 0,
		Events:   x.Events,
		Removed:  x.Removed,
		Erased:   x.Erased,
		From:     x.Header.From,
		To:       x.Header.To,
		Pages:    x.Header.Size,
		Root:     x.Header.Root,
		Origin:   x.Header.Origin,
		Signed:   x.Signed,
		OwnKeys:  x.OwnKeys,
		Findings: append([]audit.ExportFinding{}, x.Findings...),
		More:     x.More,
	}
	if err := c.show(view, func(s *table) { view.rows(s, x) }); err != nil {
		return err
	}
	if !view.OK {
		return errExportNotWhole
	}
	return nil
}

// plainExport writes what can be told of an export without proofs. It always returns an error, so
// that nobody takes that for a proof.
func plainExport(c *call, file *os.File) error {
	first := make([]byte, 1)
	if n, _ := file.ReadAt(first, 0); n == 0 || first[0] != '{' {
		return audit.ErrNoProofs
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	x, err := audit.CheckPlainExport(file)
	if err != nil {
		return err
	}
	view := struct {
		OK       bool                  `json:"ok"`
		Proofs   bool                  `json:"proofs"`
		Whole    bool                  `json:"whole"`
		Events   int64                 `json:"events"`
		Findings []audit.ExportFinding `json:"findings"`
	}{Whole: len(x.Findings) == 0, Events: x.Events, Findings: append([]audit.ExportFinding{}, x.Findings...)}
	err = c.show(view, func(s *table) {
		s.pair("events", strconv.FormatInt(x.Events, 10))
		if view.Whole {
			s.pair("whole", "yes: all lines are here, in order, and none twice")
		}
		s.pair("proofs", "none: nobody can tell whether a line was altered")
		for _, f := range x.Findings {
			s.pair("found", fmt.Sprintf("line %d: %s: %s", f.Line, strings.ToUpper(f.Kind), f.Text))
		}
	})
	switch {
	case err != nil:
		return err
	case !view.Whole:
		return errExportNotWhole
	}
	return audit.ErrNoProofs
}

// rows writes the outcome for people.
func (v *exportVerification) rows(s *table, x *audit.ExportCheck) {
	s.pair("events", strconv.FormatInt(v.Events, 10)+" as they were written")
	if !x.First.IsZero() {
		s.pair("from", x.First.Format(time.RFC3339))
		s.pair("to", x.Last.Format(time.RFC3339))
	}
	if v.Removed > 0 {
		s.pair("removed", fmt.Sprintf("%d events were no longer in the log", v.Removed))
	}
	if v.Erased > 0 {
		s.pair("erased", fmt.Sprintf("%d events lost what belonged to people who were erased", v.Erased))
	}
	if v.From == 0 && v.To == v.Pages {
		s.pair("pages", fmt.Sprintf("all %d", v.Pages))
	} else {
		s.pair("pages", fmt.Sprintf("%d to %d of %d", v.From, v.To-1, v.Pages))
	}
	switch {
	case !v.Signed:
		s.pair("checkpoint", "none is signed: whoever made the file may have invented all of it")
	case v.OwnKeys:
		s.pair("checkpoint", fmt.Sprintf("leads to that of %d pages (%s)", v.Pages, v.Origin))
		s.pair("keys", "taken from the export; give --key to trust the checkpoint rather than the export")
	default:
		s.pair("checkpoint", fmt.Sprintf("leads to that of %d pages (%s)", v.Pages, v.Origin))
	}
	for _, f := range v.Findings {
		s.pair("found", strings.ToUpper(f.Kind)+": "+f.Text)
	}
	if v.More {
		s.pair("found", "more of the same")
	}
}
