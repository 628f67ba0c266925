package main

import (
	"strings"
	"testing"
)

func run(t *testing.T, lines ...string) (out string, ok bool) {
	t.Helper()
	var b strings.Builder
	r := &report{out: &b, pending: map[string]*strings.Builder{}, skipped: map[string]int{}}
	if err := r.read(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
		t.Fatal(err)
	}
	ok = r.finish()
	return b.String(), ok
}

func TestReport(t *testing.T) {
	const passed = `{"Action":"pass","Package":"a","Elapsed":1.25}`
	skip := func(text string) []string {
		return []string{
			`{"Action":"output","Package":"a","Test":"TestX","Output":"    x_test.go:3: ` + text + `\n"}`,
			`{"Action":"skip","Package":"a","Test":"TestX"}`,
			passed,
		}
	}
	for name, tc := range map[string]struct {
		lines []string
		ok    bool
		has   string
	}{
		"passed": {[]string{passed}, true, "ok  \ta\t1.2s"},
		"failed": {[]string{
			`{"Action":"output","Package":"a","Test":"TestX","Output":"it is wrong\n"}`,
			`{"Action":"fail","Package":"a","Test":"TestX"}`,
			`{"Action":"fail","Package":"a"}`,
		}, false, "it is wrong"},
		"allowed skip": {skip("the race detector allocates, too"), true, "skipped: 1 tests: the race"},
		"other skip":   {skip("redis-server is not installed"), false, "SKIPPED without a listed reason: 1 tests: redis"},
		"crash": {[]string{
			`{"Action":"output","Package":"a","Test":"TestX","Output":"panic: test timed out\n"}`,
		}, false, "timed out"},
		"build": {[]string{
			`{"ImportPath":"a","Action":"build-output","Output":"undefined: x\n"}`,
			`{"ImportPath":"a","Action":"build-fail"}`,
		}, false, "undefined: x"},
		"no event": {[]string{"go: cannot find module", passed}, true, "cannot find module"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, ok := run(t, tc.lines...); ok != tc.ok || !strings.Contains(out, tc.has) {
				t.Errorf("%v: %q; want %v and %q", ok, out, tc.ok, tc.has)
			}
		})
	}
}
