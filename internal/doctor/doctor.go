// Package doctor examines an installation: it says what is wrong with it or will be, and what to do
// about it. It looks at facts that others have gathered, and decides nothing by itself that changes
// anything.
package doctor

import (
	"slices"
	"strings"
)

// Level says how urgent a finding is.
type Level string

// Levels, the most urgent first.
const (
	Problem Level = "problem" // something does not work, or is unsafe
	Warning Level = "warning" // something will not work, or is less safe than it should be
	Note    Level = "note"    // worth knowing; nothing needs to be done
	Good    Level = "ok"
)

// Levels returns all levels, the most urgent first.
func Levels() []Level { return []Level{Problem, Warning, Note, Good} }

// rank returns the place of a level among Levels.
func (l Level) rank() int { return slices.Index(Levels(), l) }

// Finding is what a check has found.
type Finding struct {
	Check string // stable, such as "tls.expiry"
	Level Level
	Title string // one sentence: what was found
	Fix   string // what to do about it, or ""
	// Repair names what --fix does about it, or is "".
	Repair string
}

// Area returns the part of the installation that a finding is about, such as "tls".
func (f Finding) Area() string {
	area, _, _ := strings.Cut(f.Check, ".")
	return area
}

// Report is the outcome of an examination.
type Report struct {
	Findings []Finding // by area, in each the most urgent first
}

// Worst returns the most urgent level of all findings.
func (r *Report) Worst() Level {
	worst := Good
	for _, f := range r.Findings {
		if f.Level.rank() < worst.rank() {
			worst = f.Level
		}
	}
	return worst
}

// Count returns how many findings have a level.
func (r *Report) Count(l Level) int {
	n := 0
	for _, f := range r.Findings {
		if f.Level == l {
			n++
		}
	}
	return n
}

// Areas returns the names of the areas, in the order of examination.
func Areas() []string {
	var out []string
	for _, c := range checks() {
		out = append(out, c.area)
	}
	return out
}

// check is the examination of one area.
type check struct {
	area  string
	title string
	look  func(*Facts, *findings)
}

// checks returns all checks, in the order in which people read them.
func checks() []check {
	return []check{
		{"server", "Server", examineServer},
		{"proxy", "Address and proxy", examineProxy},
		{"tls", "TLS", examineTLS},
		{"clock", "Clock", examineClock},
		{"database", "Database", examineDatabase},
		{"files", "Files", examineFiles},
		{"disk", "Disk", examineDisk},
		{"backup", "Backups", examineBackups},
		{"secrets", "Secrets and keys", examineSecrets},
		{"mail", "Mail", examineMail},
		{"deliveries", "Deliveries of the audit log", examineDeliveries},
		{"people", "Administrators and sign-in", examinePeople},
		{"clients", "Clients", examineClients},
	}
}

// AreaTitle returns the name of an area for people.
func AreaTitle(area string) string {
	for _, c := range checks() {
		if c.area == area {
			return c.title
		}
	}
	return area
}

// Examine looks at the facts. An area of which no fact is known has no finding.
func Examine(f *Facts) *Report {
	r := &Report{}
	for _, c := range checks() {
		found := findings{area: c.area}
		c.look(f, &found)
		slices.SortStableFunc(found.all, func(a, b Finding) int { return a.Level.rank() - b.Level.rank() })
		r.Findings = append(r.Findings, found.all...)
	}
	return r
}

// findings collects what the check of an area finds.
type findings struct {
	area string
	all  []Finding
}

func (s *findings) add(name string, l Level, title, fix string) *Finding {
	s.all = append(s.all, Finding{Check: s.area + "." + name, Level: l, Title: title, Fix: fix})
	return &s.all[len(s.all)-1]
}

func (s *findings) problem(name, title, fix string) *Finding { return s.add(name, Problem, title, fix) }

func (s *findings) warn(name, title, fix string) *Finding { return s.add(name, Warning, title, fix) }

func (s *findings) note(name, title, fix string) *Finding { return s.add(name, Note, title, fix) }
func (s *findings) good(name, title string) *Finding      { return s.add(name, Good, title, "") }
