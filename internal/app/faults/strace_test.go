package faults_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A tracer runs a server under strace(1), which delays and records its system calls.
type tracer struct {
	log  string
	wrap []string // a command prefix that starts the server
}

// newTracer returns a tracer of the named system calls, with additional options of strace. The
// server stays the direct child of the test, which can send it signals as usual.
func newTracer(t testing.TB, calls string, options ...string) *tracer {
	t.Helper()
	testkit.Need(t, "strace")
	if output, err := exec.Command("strace", "-o", os.DevNull, "true").CombinedOutput(); err != nil {
		testkit.Missing(t, fmt.Sprintf("strace is not permitted to trace here (ptrace): %v: %s", err, output))
	}
	log := filepath.Join(t.TempDir(), "trace")
	wrap := []string{"strace", "-D", "-f", "--seccomp-bpf", "-e", "signal=KILL", "-ttt", "-T", "-o", log, "-e", "trace=" + calls}
	return &tracer{log, append(append(wrap, options...), "--")}
}

// A kernelCall is one completed system call.
type kernelCall struct {
	name       string
	begin, end time.Time // end is before the call returns to the program
	args       string
}

// calls returns the system calls in the trace of a server that has ended.
func (tr *tracer) calls(t testing.TB) []kernelCall {
	t.Helper()
	var raw []byte
	eventually(t, "the trace is complete", func() (err error) {
		raw, err = os.ReadFile(tr.log)
		if err != nil {
			return err
		}
		tail := string(raw[max(0, len(raw)-200):])
		return want(strings.Contains(tail, "+++ exited with ") || strings.Contains(tail, "+++ killed by "), "it ends in %s", tail)
	})
	var out []kernelCall
	begun := map[string]string{} // by thread: calls during which another thread did something
	for line := range strings.Lines(string(raw)) {
		thread, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		rest = strings.TrimLeft(rest, " ")
		if head, ok := strings.CutSuffix(rest, " <unfinished ...>"); ok {
			begun[thread] = head
			continue
		}
		if _, tail, ok := strings.Cut(rest, " resumed>"); ok {
			rest = begun[thread] + tail
			delete(begun, thread)
		}
		d, ok, err := parseCall(rest)
		if err != nil {
			t.Fatalf("%v in %.300q", err, line)
		}
		if ok {
			out = append(out, d)
		}
	}
	return out
}

// parseCall parses a line such as "1700000000.000001 fsync(3</a/b>) = 0 <0.000100>". For a call
// that failed or did not return, ok is false.
func parseCall(text string) (d kernelCall, ok bool, err error) {
	started, rest, _ := strings.Cut(text, " ")
	if strings.HasPrefix(rest, "+++") || strings.HasPrefix(rest, "---") {
		return d, false, nil
	}
	i := strings.LastIndex(rest, " = ")
	j := strings.LastIndex(rest, " <")
	if i < 0 || j < i || strings.HasPrefix(rest[i+3:], "-1 ") || strings.HasPrefix(rest[i+3:], "? ") {
		return d, false, nil
	}
	secs, micros, _ := strings.Cut(started, ".")
	s, err1 := strconv.ParseInt(secs, 10, 64)
	us, err2 := strconv.ParseInt(micros, 10, 64)
	took, err3 := time.ParseDuration(strings.TrimSuffix(rest[j+2:], ">") + "s")
	name, args, found := strings.Cut(strings.TrimSuffix(strings.TrimRight(rest[:i], " "), ")"), "(")
	if err1 != nil || err2 != nil || err3 != nil || !found {
		return d, false, fmt.Errorf("no system call")
	}
	d = kernelCall{name: name, args: args, begin: time.Unix(s, us*1000)}
	d.end = d.begin.Add(took)
	return d, true, nil
}

// unhex decodes strings such as \x68\x65\x78, as strace prints them.
func unhex(text string) ([]byte, error) {
	out := make([]byte, len(text)/4)
	for i := range out {
		one := text[4*i : 4*i+4]
		if _, err := hex.Decode(out[i:i+1], []byte(one[2:])); err != nil || one[:2] != `\x` {
			return nil, fmt.Errorf("%q is not hexadecimal", one)
		}
	}
	return out, nil
}
