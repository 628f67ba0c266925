package console

import (
	"net/http"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
)

// doctorSection shows what is wrong with the installation.
func (s *Server) doctorSection() section {
	return section{
		path:   "/doctor",
		name:   "Doctor",
		icon:   "check",
		group:  "System",
		scope:  admin.ScopeSettingsRead,
		routes: []route{{"GET /admin/doctor", []string{"Examine"}, s.showDoctor}},
		views:  []View{&DoctorView{}},
	}
}

// DoctorView shows the findings of an examination: first what needs somebody, then the rest.
type DoctorView struct {
	Base
	Outcome string // one sentence
	Tone    string // of the outcome: good, warn or bad
	Groups  []FindingGroup
	Passed  FindingGroup // what is as it should be
	Same    Same
}

// FindingGroup are the findings of one area.
type FindingGroup struct {
	Name  string
	Table Table
}

// Page names the template.
func (*DoctorView) Page() string { return "doctor" }

func (s *Server) showDoctor(w http.ResponseWriter, r *http.Request, q *request) error {
	report, err := s.ops.Examine(r.Context(), q.actor)
	if err != nil {
		return err
	}
	v := &DoctorView{Base: s.begin(r, q, "Doctor")}
	v.Lead = "What is wrong with this installation, or will be, and what to do about it."
	v.Outcome, v.Tone = outcome(report)
	columns := []Column{{Name: "Level"}, {Name: "Finding"}}
	for _, area := range doctor.Areas() {
		g := FindingGroup{Name: doctor.AreaTitle(area), Table: Table{Caption: doctor.AreaTitle(area), Columns: columns}}
		for _, f := range report.Findings {
			switch {
			case f.Area() != area:
			case f.Level == doctor.Good:
				v.Passed.Table.Rows = append(v.Passed.Table.Rows, findingRow(f))
			default:
				g.Table.Rows = append(g.Table.Rows, findingRow(f))
			}
		}
		if len(g.Table.Rows) > 0 {
			v.Groups = append(v.Groups, g)
		}
	}
	v.Passed.Name = "Checks that passed"
	v.Passed.Table.Caption, v.Passed.Table.Columns = v.Passed.Name, columns
	v.Same = s.same("GET", "/api/v1/doctor", nil, "doctor")
	return s.show(w, http.StatusOK, v)
}

// outcome returns the outcome of an examination as a sentence, and its tone.
func outcome(report *doctor.Report) (text, tone string) {
	problems, warnings := report.Count(doctor.Problem), report.Count(doctor.Warning)
	switch {
	case problems > 0:
		return count(problems, "problem") + " found.", "bad"
	case warnings > 0:
		return "Nothing is broken; " + count(warnings, "warning") + " found.", "warn"
	}
	return "All is well.", "good"
}

func findingRow(f doctor.Finding) Row {
	tone, level := "plain", "Note"
	switch f.Level {
	case doctor.Problem:
		tone, level = "bad", "Problem"
	case doctor.Warning:
		tone, level = "warn", "Warning"
	case doctor.Good:
		tone, level = "good", "OK"
	}
	return Row{ID: f.Check, Name: f.Title, Cells: []Cell{badgeCell(tone, level), {Text: f.Title, Sub: f.Fix}}}
}
