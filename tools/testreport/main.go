// Command testreport reads the output of go test -json from its standard input and prints one line
// for each package, the output of failed tests, and the skipped tests. Its exit status is 1 if a
// test failed, or was skipped for a reason that is not in the list of allowed ones:
//
//	go test -json ./... | go run ./tools/testreport
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

// allowedSkips lists texts of skips that are no gap: the tests run elsewhere.
func allowedSkips() []string {
	return []string{
		"the race detector allocates", // these run without it, see unit in tools/test.sh
		"needs Patroni, which make strangers installs",
		"needs Litestream, which make strangers builds",
		"the former release is not in the history of these sources", // a shallow clone, or none
	}
}

// An event is one line of go test -json (go doc test2json).
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// A report collects the output of tests until they end.
type report struct {
	out     io.Writer
	pending map[string]*strings.Builder // by package and test
	skipped map[string]int              // by reason
	failed  bool
}

func main() {
	r := &report{out: os.Stdout, pending: map[string]*strings.Builder{}, skipped: map[string]int{}}
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
	if !r.finish() {
		os.Exit(1)
	}
}

// read handles all events. A line that is no event, such as a compiler's error, is printed.
func (r *report) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 64<<10), 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(r.out, lines.Text())
			continue
		}
		r.handle(e)
	}
	return lines.Err()
}

func (r *report) handle(e event) {
	key := cmp.Or(e.Package, e.ImportPath) + "\x00" + e.Test
	switch e.Action {
	case "output", "build-output":
		b := r.pending[key]
		if b == nil {
			b = &strings.Builder{}
			r.pending[key] = b
		}
		b.WriteString(e.Output)
	case "pass", "skip", "fail", "build-fail":
		text := ""
		if b := r.pending[key]; b != nil {
			text = b.String()
		}
		delete(r.pending, key)
		r.end(e, text)
	}
}

// end prints what is worth reading of a test or package that has ended.
func (r *report) end(e event, text string) {
	switch {
	case e.Action == "fail" || e.Action == "build-fail":
		r.failed = true
		fmt.Fprint(r.out, text)
	case e.Action == "skip" && e.Test != "":
		r.skipped[reason(text)]++
	case e.Action == "pass" && e.Test == "":
		fmt.Fprintf(r.out, "ok  \t%s\t%.1fs\n", e.Package, e.Elapsed)
	}
}

// reason returns what a skipped test has logged, without the place: "file_test.go:12: text".
func reason(text string) string {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if _, rest, ok := strings.Cut(line, "_test.go:"); ok {
			if _, why, ok := strings.Cut(rest, ": "); ok {
				return why
			}
		}
		if _, rest, ok := strings.Cut(line, ".go:"); ok && !strings.HasPrefix(line, "---") {
			if _, why, ok := strings.Cut(rest, ": "); ok {
				return why
			}
		}
	}
	return "no reason given"
}

// finish prints the skips and what never ended, and reports whether everything is as it must be.
func (r *report) finish() bool {
	ok := !r.failed
	for _, why := range slices.Sorted(maps.Keys(r.skipped)) {
		allowed := slices.ContainsFunc(allowedSkips(), func(s string) bool { return strings.Contains(why, s) })
		word := "skipped"
		if !allowed {
			word, ok = "SKIPPED without a listed reason", false
		}
		fmt.Fprintf(r.out, "%s: %d tests: %s\n", word, r.skipped[why], why)
	}
	for _, key := range slices.Sorted(maps.Keys(r.pending)) { // a test binary that crashed or timed out
		if _, test, _ := strings.Cut(key, "\x00"); test != "" {
			ok = false
			fmt.Fprint(r.out, r.pending[key].String())
		}
	}
	return ok
}
