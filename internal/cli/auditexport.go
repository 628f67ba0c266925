package cli

import (
	"errors"
	"fmt"
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
	x, err := audit.VerifyExport(file, checkpoints, f.Key)
	if err := errors.Join(err, file.Close()); err != nil {
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
