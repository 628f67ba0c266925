package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// TestTablesFitTheTerminal: on a terminal the widest columns are cut, but for ids. Elsewhere
// nothing is cut.
func TestTablesFitTheTerminal(t *testing.T) {
	const id = "0193a1b2-7c1d-7d3e-8f00-0123456789ab"
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	long := strings.Repeat("long-Ä", 40) + "@example.com"
	draw := func(width int) []string {
		var b bytes.Buffer
		s := newTable(&b, width, now)
		s.row("ID", "EMAIL", "NAME", "STATE", "LAST LOGIN")
		s.row(id, long, "Ada Lovelace of the long name", "active", s.when(now.Add(-3*time.Hour)))
		s.row(id, "b@example.com", "", "locked", s.when(now.Add(48*time.Hour)))
		s.line("2 shown")
		s.pair("secret", long)
		s.flush()
		return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	}
	for _, width := range []int{100, 120, 200} {
		lines := draw(width)
		for _, line := range lines[:3] {
			if n := utf8.RuneCountInString(line); n > width {
				t.Errorf("%d columns of %d: %s", n, width, line)
			}
		}
		if !strings.HasPrefix(lines[1], id+"  long-") || !strings.Contains(lines[1], "…") ||
			!strings.HasSuffix(lines[1], "  3h ago") || !strings.HasSuffix(lines[2], "  in 2d") {
			t.Errorf("width %d: %q", width, lines[1:3])
		}
		testkit.Equal(t, "a value to copy", lines[4], "secret  "+long)
	}
	if lines := draw(20); !strings.HasPrefix(lines[1], id+"  ") { // as narrow as it can be
		t.Error(lines[1])
	}
	lines := draw(0)
	if !strings.Contains(lines[1], long) || !strings.HasSuffix(lines[1], "2026-11-29T09:00:00Z") {
		t.Error(lines[1])
	}
	uneven := [][]string{{"ID", "A", "B"}, {"x"}}
	fit(uneven, 5) // does not panic
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", time.Minute: "1m", 47 * time.Hour: "1d", 800 * 24 * time.Hour: "2y",
	} {
		testkit.Equal(t, "age", age(d), want)
	}
}

// TestStreamsWithoutATerminal: COLUMNS alone makes no terminal.
func TestStreamsWithoutATerminal(t *testing.T) {
	t.Setenv("COLUMNS", "40")
	e := &env{Program: Program{Getenv: func(string) string { return "40" }}, stdout: new(bytes.Buffer)}
	testkit.Equal(t, "width", e.screenWidth(), 0)
}
