package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
)

// doctorCommand examines the installation.
type doctorCommand struct {
	Fix    bool `help:"Repair what can be repaired without risk, such as permissions of files."`
	Strict bool `help:"Fail for warnings as well."`
	All    bool `help:"Show also what is as it should be."`
}

// findingView is a finding as the command line shows it.
type findingView struct {
	Check    string `json:"check"`
	Level    string `json:"level"`
	Title    string `json:"title"`
	Fix      string `json:"fix,omitempty"`
	Repaired bool   `json:"repaired,omitempty"`
}

// doctorView is a report as the command line shows it.
type doctorView struct {
	Worst    string        `json:"worst"`
	Problems int           `json:"problems"`
	Warnings int           `json:"warnings"`
	Findings []findingView `json:"findings"`
}

// Run examines the installation on this machine. It fails if there is a problem.
func (f *doctorCommand) Run(ctx context.Context, c *call) error {
	report, err := f.examine(ctx, c)
	if err != nil {
		return err
	}
	v := doctorView{Findings: []findingView{}}
	for i := range report.Findings {
		x := &report.Findings[i]
		shown := findingView{Check: x.Check, Level: string(x.Level), Title: x.Title, Fix: x.Fix}
		if f.Fix && x.Repair != "" {
			if err := c.Repair(ctx, x.Repair); err != nil {
				return fmt.Errorf("%s could not be done: %w", x.Repair, err)
			}
			shown.Repaired = true
			x.Level = doctor.Note
		}
		v.Findings = append(v.Findings, shown)
	}
	v.Worst, v.Problems, v.Warnings = string(report.Worst()), report.Count(doctor.Problem), report.Count(doctor.Warning)
	if err := c.show(v, func(t *table) { f.print(t, report, v) }); err != nil {
		return err
	}
	switch {
	case v.Problems > 0:
		return fmt.Errorf("%s found; see above what to do", countOf(v.Problems, "problem was", "problems were"))
	case f.Strict && v.Warnings > 0:
		return fmt.Errorf("%s found; see above what to do", countOf(v.Warnings, "warning was", "warnings were"))
	}
	return nil
}

// examine returns what is wrong with the installation on this machine, or with that of the server
// that is named.
func (f *doctorCommand) examine(ctx context.Context, c *call) (report *doctor.Report, err error) {
	if c.remote() == "" {
		cfg, err := c.config()
		if err != nil {
			return nil, err
		}
		return c.Examine(ctx, cfg), nil
	}
	if f.Fix {
		return nil, wrong("--fix repairs files of this machine only; run it on the server")
	}
	err = c.manage(ctx, func(ops operations, a admin.Actor) error {
		report, err = ops.Examine(ctx, a)
		return err
	})
	return report, err
}

// print writes the findings by area. What is as it should be takes one line, unless all is shown.
func (f *doctorCommand) print(t *table, report *doctor.Report, v doctorView) {
	area, good := "", 0
	for i := range report.Findings {
		x := &report.Findings[i]
		if x.Level == doctor.Good && !f.All {
			good++
			continue
		}
		if x.Area() != area {
			if area != "" {
				t.line("")
			}
			area = x.Area()
			t.line("%s", doctor.AreaTitle(area))
		}
		mark := map[doctor.Level]string{
			doctor.Problem: "PROBLEM", doctor.Warning: "warning", doctor.Note: "note", doctor.Good: "ok",
		}[x.Level]
		text := wrapped(x.Title, t.width)
		if v.Findings[i].Repaired {
			mark = "repaired"
		} else if x.Fix != "" {
			text = append(text, wrapped(x.Fix, t.width)...)
		}
		for _, line := range text {
			t.line("  %-8s  %s", mark, line)
			mark = ""
		}
	}
	if area != "" {
		t.line("")
	}
	t.line("%s, %s, %s; %d more checks passed.", countOf(v.Problems, "problem", "problems"),
		countOf(v.Warnings, "warning", "warnings"), countOf(report.Count(doctor.Note), "note", "notes"), good)
}

// wrapped breaks a text into lines that leave room for what is before them on a terminal of a
// width; 0: no terminal.
func wrapped(text string, terminal int) (lines []string) {
	width := 88
	if terminal > 0 {
		width = max(20, min(width, terminal-12))
	}
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// countOf returns a number with one of two words.
func countOf(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}
