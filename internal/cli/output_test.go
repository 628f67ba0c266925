package cli

import (
	"bytes"
	"errors"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                       "plain",
		"\U0001F468\u200d\U0001F469":  "\U0001F468\u200d\U0001F469",
		"one\n\ttwo\tthree\r\nfour":   "one two three four",
		"\x1b[31mred\x07":             "\ufffd[31mred\ufffd",
		"right\u202eleft":             "right\ufffdleft",
		"\u2764\ufe0f":                "\u2764\ufe0f",
		"zero\u200bwidth\u2028 break": "zero\ufffdwidth\ufffd break",
	} {
		testkit.Equal(t, in, printable(in), want)
	}
}

// TestNoteOfAServer writes no escape sequences that a server has sent.
func TestNoteOfAServer(t *testing.T) {
	var out bytes.Buffer
	c := &call{env: &env{stderr: &out}}
	c.note("%s", "sign in again\x1b]0;title\x07")
	testkit.Equal(t, "line", out.String(), "gatehouse: note: sign in again\ufffd]0;title\ufffd\n")
}

// TestErrorOfSeveralLines prints one line, as PostgreSQL's driver lists the addresses it tried.
func TestErrorOfSeveralLines(t *testing.T) {
	var out bytes.Buffer
	printError(&out, errors.New("failed to connect to `user=u`:\n\t127.0.0.1:1: refused\n\t[::1]:1: refused\nend\n"))
	testkit.Equal(t, "line", out.String(),
		"gatehouse: failed to connect to `user=u`: 127.0.0.1:1: refused [::1]:1: refused; end\n")
}
