package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// report is everything that a run has found.
type report struct {
	*bench
	began   time.Time
	took    time.Duration
	results []result
	facts   []fact
	grown   []growth
	loads   []loading

	matching []fact
}

// table is rows of cells; the first row is the heading.
type table [][]string

var resultHead = []string{"work", "engine", "requests/s", "p50", "p99", "CPU/request", "memory (peak)", "bare/s", "of bare", "other bound", "at least", ""}

// results makes the table of the rows.
func (r *report) resultTable() table {
	t := table{resultHead}
	for _, v := range r.results {
		if v.Row.routes > 0 {
			continue
		}
		bare, part, other := "–", "–", "–"
		if v.Bare.Rate > 0 {
			bare, part = count(v.Bare.Rate), fmt.Sprintf("%.2f", ratio(v.Real.Rate, v.Bare.Rate))
		}
		if v.Ceiling > 0 {
			other = fmt.Sprintf("%.2f of %s %s/s", ratio(v.Real.Rate, v.Ceiling), v.Of, count(v.Ceiling))
		}
		goals, outcome := judge(&v)
		t = append(t, []string{
			v.Row.name, string(v.Engine), count(v.Real.Rate), brief(v.Real.P50), brief(v.Real.P99), brief(v.Real.CPU),
			memoryOf(&v), bare, part, other, goals, outcome,
		})
	}
	return t
}

var gatewayHead = []string{"work", "engine", "a second", "p50", "p99", "CPU/unit", "memory (peak; idle)", "compared with", "does a second", "CPU/unit", "part", "goal", ""}

// gatewayTable makes the table of the gateway's rows. A unit is a request, or a whole stream.
func (r *report) gatewayTable() table {
	t := table{gatewayHead}
	for _, v := range r.results {
		if v.Row.routes == 0 {
			continue
		}
		memory, than := memoryOf(&v), "bare server"
		if v.Idle > 0 {
			memory = strings.TrimSuffix(memory, ")") + "; " + strings.TrimSuffix(mebibytes(v.Idle), " MiB") + ")"
		}
		if v.Proxy {
			than = "bare proxy"
		}
		goals, outcome := judge(&v)
		t = append(t, []string{
			v.Row.name, string(v.Engine), v.amount(v.Real.Rate), brief(v.Real.P50), brief(v.Real.P99), brief(v.Real.CPU), memory,
			than, v.amount(v.Bare.Rate), brief(v.Bare.CPU), fmt.Sprintf("%.2f", ratio(v.Real.Rate, v.Bare.Rate)), goals, outcome,
		})
	}
	return t
}

// amount writes how much work is done in a second.
func (v *result) amount(rate float64) string {
	if v.Row.megabytes > 0 {
		return count(rate*v.Row.megabytes) + " MB"
	}
	return count(rate)
}

// memoryOf returns the memory of the server at the end, and its maximum.
func memoryOf(v *result) string {
	return fmt.Sprintf("%s (%s)", mebibytes(v.Memory), strings.TrimSuffix(mebibytes(v.Peak), " MiB"))
}

// judge writes a row's goals and whether all are met.
func judge(v *result) (goals, outcome string) {
	if len(v.Goals) == 0 {
		return "–", ""
	}
	var texts []string
	met := true
	for _, g := range v.Goals {
		texts = append(texts, g.text)
		met = met && g.met(v)
	}
	return strings.Join(texts, "; "), word(met)
}

func word(met bool) string {
	if met {
		return "met"
	}
	return "short"
}

func factTable(facts []fact) table {
	t := table{{"what", "engine", "figure", "goal", ""}}
	for _, f := range facts {
		goal, outcome := "–", ""
		if f.goal != "" {
			goal, outcome = f.goal, word(f.met)
		}
		t = append(t, []string{f.name, cmp.Or(string(f.engine), "–"), f.value, goal, outcome})
	}
	return t
}

func (r *report) growthTable() table {
	large := count(float64(r.growthSize))
	small := count(growthSmall)
	t := table{{"work", "engine", "requests/s at " + small, "at " + large, "p50 at " + small, "at " + large, "p99 at " + small, "at " + large, "p99 times", "at most", ""}}
	for _, g := range r.grown {
		t = append(t, []string{
			g.work, string(g.engine), count(g.small.Rate), count(g.large.Rate), brief(g.small.P50), brief(g.large.P50), brief(g.small.P99), brief(g.large.P99),
			fmt.Sprintf("%.2f", g.times()), fmt.Sprintf("%.1f", growthWorse), word(g.times() <= growthWorse),
		})
	}
	return t
}

// loadLines describes how the databases of the growth measurement were filled.
func (r *report) loadLines() []string {
	var out []string
	for _, l := range r.loads {
		out = append(out, fmt.Sprintf("%s: %s users and as many grants were loaded in %s and take %s.", l.engine, count(float64(l.rows)), brief(l.took), mebibytes(l.bytes)))
	}
	return out
}

// text returns the report for a terminal.
func (r *report) text() string {
	var b strings.Builder
	b.WriteString("\n" + strings.Join(r.machine(), "\n") + "\n\n")
	for _, t := range []table{r.resultTable(), r.gatewayTable(), factTable(r.matching), factTable(r.facts), r.growthTable()} {
		if len(t) > 1 {
			b.WriteString(t.aligned() + "\n")
		}
	}
	for _, line := range append(r.loadLines(), r.notes...) {
		b.WriteString(line + "\n")
	}
	if r.profiles != "" {
		b.WriteString("profiles: " + r.profiles + "\n")
	}
	return b.String()
}

// markdown returns the report as a page.
func (r *report) markdown() string {
	var b strings.Builder
	b.WriteString("# Benchmarks\n\nWritten by `make bench` from what one run has measured; a row that was not run is not here. ")
	b.WriteString("Load generator, server and database share the machine, so look at the ratios: each row's server and a bare `net/http` server that ")
	b.WriteString("parses the form and answers the same bytes are driven alternately, and the figures are medians over the passes. CPU and memory are those of the server's process alone.\n\n")
	for _, line := range r.machine() {
		b.WriteString("- " + line + "\n")
	}
	b.WriteString("\n")
	for _, part := range []struct {
		title, text string
		tables      []table
	}{
		{"Requests", "", []table{r.resultTable()}},
		{"Gateway", aboutGateway(), []table{r.gatewayTable(), factTable(r.matching)}},
		{"Starting and memory", "", []table{factTable(r.facts)}},
		{"Growth", "", []table{r.growthTable()}},
	} {
		b.WriteString(section(part.title, part.text, part.tables))
	}
	for _, line := range r.loadLines() {
		b.WriteString("- " + line + "\n")
	}
	if len(r.loads) > 0 {
		b.WriteString("\n")
	}
	if len(r.notes) > 0 {
		b.WriteString("## What went wrong in this run\n\n- " + strings.Join(r.notes, "\n- ") + "\n\n")
	}
	r.appendix(&b)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// section returns a heading with its tables, or "" if all of them are empty.
func section(title, text string, tables []table) string {
	var b strings.Builder
	for _, t := range tables {
		if len(t) > 1 {
			b.WriteString(t.markdown() + "\n")
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "## " + title + "\n\n" + text + b.String()
}

// aboutGateway describes the gateway's rows.
func aboutGateway() string {
	return fmt.Sprintf("Routes come from a file, %d of them where nothing else is said, and ask for a scope. `/gateway/check` is asked with the headers of Traefik and Caddy and compared with a ", fewRoutes) +
		"bare `net/http` server that answers the same bytes; what is proxied, with a bare `httputil.ReverseProxy` (`Rewrite`, idle connections kept) before the same upstream. " +
		fmt.Sprintf("Upstream and bare proxy are processes of their own. %d streams run at a time, each of %d MB, through a server that was started for them. ", streamsBy, streamSize/1_000_000) +
		"A remembered caller costs no SQL, so most rows are measured on SQLite alone.\n\n"
}

// appendix shows what pgbench ran, and where the processor was.
func (r *report) appendix(b *strings.Builder) {
	for _, v := range r.results {
		if v.Script != "" {
			fmt.Fprintf(b, "## Appendix: what pgbench ran for «%s»\n\nThe statements that PostgreSQL logged while one token was rotated, on rows of its own.\n\n```sql\n%s```\n\n", v.Row.name, v.Script)
		}
	}
	title := "## Appendix: where the processor and the memory were\n\n"
	for _, v := range r.results {
		if v.Top == "" {
			continue
		}
		fmt.Fprintf(b, "%s### %s, %s\n\n```\n%s```\n\n", title, v.Row.name, v.Engine, v.Top)
		title = ""
	}
}

// machine describes the machine and the run.
func (r *report) machine() []string {
	quick := ""
	if r.seconds < 8*time.Second {
		quick = " (a short run: figures scatter)"
	}
	return []string{
		fmt.Sprintf("%s; %s; the whole run took %s", r.began.UTC().Format("2006-01-02 15:04 MST"), commit(), r.took.Round(time.Second)),
		fmt.Sprintf("%d cores, %s; %s of memory; %s; %s", runtime.NumCPU(), field("/proc/cpuinfo", "model name"), memoryTotal(), system(), runtime.Version()),
		fmt.Sprintf("%s of load on each row's server in %d passes, %d connections%s", r.seconds, r.passes(), r.connections, quick),
		fmt.Sprintf("%s users and grants in the database; SQLite with synchronous=FULL; PostgreSQL with fsync and synchronous_commit on", count(float64(r.users))),
	}
}

// commit names what was measured.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown commit"
	}
	return "commit " + strings.TrimSpace(string(out))
}

// field returns the first value of a name in a file of /proc.
func field(file, name string) string {
	raw, _ := os.ReadFile(file)
	for line := range strings.Lines(string(raw)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown " + name
}

func memoryTotal() string {
	kb, _ := strconv.ParseInt(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 10, 64)
	return mebibytes(kb << 10)
}

func system() string {
	raw, _ := os.ReadFile("/etc/os-release")
	name := "Linux"
	for line := range strings.Lines(string(raw)) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			name = strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return name + ", Linux " + strings.TrimSpace(string(kernel))
}

// aligned formats the table for a terminal.
func (t table) aligned() string {
	width := make([]int, len(t[0]))
	for _, row := range t {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, row := range t {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(c + strings.Repeat(" ", width[i]-utf8.RuneCountInString(c)+2))
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// markdown formats the table for a page.
func (t table) markdown() string {
	var b strings.Builder
	for i, row := range t {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
		if i == 0 {
			b.WriteString(strings.Repeat("| --- ", len(row)) + "|\n")
		}
	}
	return b.String()
}
