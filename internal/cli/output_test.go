package cli

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
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
	printError(&out, errors.New("failed to connect to `user=u`:\n\t127.0.0.1:1: refused\n\t[::1]:1: refused\nend\n"), false)
	testkit.Equal(t, "line", out.String(),
		"gatehouse: failed to connect to `user=u`: 127.0.0.1:1: refused [::1]:1: refused; end\n")
}

// TestErrorsInJSON: a program reads the reason of an error, its text and the exit status.
func TestErrorsInJSON(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{fault.New(fault.NotFound, "there is no <user>"), `{"error":"not_found","error_description":"there is no <user>","exit_status":1}`},
		{fault.InvalidField("email", "x"), `{"error":"invalid","error_description":"x","field":"email","exit_status":1}`},
		{wrong("a\x1bb"), `{"error":"usage","error_description":"a` + "\ufffd" + `b","exit_status":2}`},
		{&fault.Error{Kind: fault.Conflict, Reason: "held", Text: "y"}, `{"error":"held","error_description":"y","exit_status":1}`},
		{context.Canceled, `{"error":"interrupted","error_description":"interrupted","exit_status":1}`},
		{errors.New("z"), `{"error":"failed","error_description":"z","exit_status":1}`},
	} {
		var out bytes.Buffer
		printError(&out, tt.err, true)
		testkit.Equal(t, "line", out.String(), tt.want+"\n")
	}
}

// TestQuietLists prints what names the items of a list, and other documents as ever.
func TestQuietLists(t *testing.T) {
	var out bytes.Buffer
	c := &call{env: &env{stdout: &out, Program: Program{Now: time.Now}}, quiet: true}
	testkit.Must(t, showList(c, []object{{{"name", "a\tb"}, {"system", true}}, {{"id", 7}}}, 2, func(*table) {}))
	testkit.Must(t, c.done(object{{"name", "x"}}, "Done: %s.", "x"))
	testkit.Equal(t, "output", out.String(), "a b\nid\nDone: x.\n")
}
