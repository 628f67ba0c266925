package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
)

var update = flag.Bool("update", false, "write the golden files")

// TestUsage compares the usage text of every command with what was agreed on; -update writes it.
func TestUsage(t *testing.T) {
	t.Setenv("COLUMNS", "")
	var l line
	k, err := l.parser(t.Context(), testEnv(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for _, words := range append([][]string{nil}, commandWords(k.Model.Node, nil)...) {
		if len(words) == 1 && words[0] == "serve" {
			continue // its help is the table of settings, which has a test and a page of its own
		}
		got.WriteString("$ gatehouse " + strings.Join(append(words, "--help"), " ") + "\n")
		var stderr bytes.Buffer
		if status := Main(t.Context(), Program{
			Rules: token.ClientRules(),
		}, Streams{strings.NewReader(""), &got, &stderr}, append(words, "--help")); status != 0 || stderr.Len() > 0 {
			t.Fatalf("%v --help: status %d, %s", words, status, stderr.String())
		}
		got.WriteString("\n")
	}
	golden := filepath.Join("testdata", "usage.golden")
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the usage text has changed; look at it, and run go test ./internal/cli -run TestUsage -update:\n%s", got.String())
	}
}

// testEnv returns what is needed to make a parser.
func testEnv() *env {
	return &env{
		Program: Program{Rules: token.ClientRules()},
		stdout:  new(bytes.Buffer),
		stderr:  new(bytes.Buffer),
	}
}

func commandWords(n *kong.Node, above []string) [][]string {
	var out [][]string
	for _, child := range n.Children {
		words := append(above[:len(above):len(above)], child.Name)
		out = append(append(out, words), commandWords(child, words)...)
	}
	return out
}

// TestSettingsAreFlagsEverywhere proves that each command takes each setting, but where a flag of
// its own has the name.
func TestSettingsAreFlagsEverywhere(t *testing.T) {
	var l line
	k, err := l.parser(t.Context(), testEnv(), nil)
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]bool{"access-token-ttl": true, "id-token-ttl": true, "refresh-token-ttl": true}
	for _, leaf := range k.Model.Leaves(false) {
		flags := map[string]int{}
		for _, level := range leaf.AllFlags(false) {
			for _, f := range level {
				flags[f.Name]++
			}
		}
		for _, s := range config.Settings() {
			if flags[s.Flag()] != 1 {
				t.Errorf("%s has %d flags --%s", leaf.Path(), flags[s.Flag()], s.Flag())
			}
		}
	}
	given := map[string]bool{}
	for _, f := range l.settings.all {
		given[f.Name] = true
	}
	for name := range own {
		if !given[name] {
			t.Errorf("no command takes the setting --%s", name)
		}
	}
}

func TestSettingFlagsReachTheCommand(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want map[string]string
	}{
		{[]string{"version"}, map[string]string{}},
		{[]string{"version", "--port", "1", "--base-url=http://x"}, map[string]string{"port": "1", "base-url": "http://x"}},
		{[]string{"version", "--single-session"}, map[string]string{"single-session": "true"}},
		{[]string{"version", "--single-session=false"}, map[string]string{"single-session": "false"}},
		{[]string{"--config", "f.yaml", "version"}, map[string]string{}},
		{[]string{"client", "create", "--name", "x", "--access-token-ttl", "60", "--code-ttl", "9"}, map[string]string{"code-ttl": "9"}},
		{[]string{"--config", "user", "session", "list", "--user=list", "--port=3"}, map[string]string{"port": "3"}},
	} {
		var l line
		k, err := l.parser(t.Context(), testEnv(), tt.args)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Parse(tt.args); err != nil {
			t.Errorf("%v: %v", tt.args, err)
			continue
		}
		got := l.settings.given()
		if i := slices.Index(tt.args, "--config"); i >= 0 && l.grammar.Config != tt.args[i+1] {
			t.Errorf("%v: the settings file is %q", tt.args, l.grammar.Config)
		}
		if len(got) != len(tt.want) {
			t.Errorf("%v: got %v, want %v", tt.args, got, tt.want)
		}
		for name, v := range tt.want {
			if got[name] != v {
				t.Errorf("%v: --%s is %q, want %q", tt.args, name, got[name], v)
			}
		}
	}
}

func TestDuration(t *testing.T) {
	for raw, want := range map[string]time.Duration{
		"3600": time.Hour, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "0": 0,
	} {
		var d duration
		if err := d.UnmarshalText([]byte(raw)); err != nil || time.Duration(d) != want {
			t.Errorf("%s: got %v, %v; want %v", raw, time.Duration(d), err, want)
		}
	}
	for _, raw := range []string{"", "-1", "-5m", "1 h", "soon", "d", "99999999999999999999", "9999999d"} {
		var d duration
		if err := d.UnmarshalText([]byte(raw)); err == nil {
			t.Errorf("%q is taken as %v", raw, time.Duration(d))
		}
	}
}

func TestOutputCannotControlTheTerminal(t *testing.T) {
	var b bytes.Buffer
	s := newTable(&b, 0, time.Time{})
	s.row("a\x1b[2Jb", "", "c\td\r\n", "\u202egnp")
	s.flush()
	if got := b.String(); strings.ContainsAny(got, "\x1b\r\t\u202e") || strings.Count(got, "\n") != 1 || !strings.Contains(got, "  -  ") {
		t.Errorf("got %q", got)
	}
}

func TestPasswordFromStdin(t *testing.T) {
	for in, want := range map[string]string{
		"secret": "secret", "secret\n": "secret", "secret\r\n": "secret", "secret\n\n": "secret\n", " secret ": " secret ", "secret\r": "secret\r",
	} {
		c := &call{env: &env{stdin: strings.NewReader(in)}}
		if got, err := c.password(); err != nil || got != want {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "\n", "\r\n"} {
		c := &call{env: &env{stdin: strings.NewReader(in)}}
		if got, err := c.password(); err == nil {
			t.Errorf("%q: got %q, want an error", in, got)
		}
	}
}

// TestExamples: every command has examples, and each of them is a command line of that command.
func TestExamples(t *testing.T) {
	all, err := LeafCommands()
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range all {
		examples := examplesOf(command)
		if len(examples) == 0 {
			t.Errorf("gatehouse %s has no example; add one in examples.go", command)
		}
		for _, x := range examples {
			words := shellWords(x.line)
			var l line
			k, err := l.parser(t.Context(), testEnv(), words)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := k.Parse(words)
			if err != nil || commandOf(parsed) != command {
				t.Errorf("%s: %v: %s", command, err, x.line)
			}
			if x.what == "" || strings.HasSuffix(x.what, ".") || strings.Contains(x.what+x.line, "\n") {
				t.Errorf("%s: %q", command, x.what)
			}
		}
	}
}

// shellWords splits a line as a shell does: at spaces outside of quotes, up to a redirection.
func shellWords(line string) []string {
	var words []string
	word, quoted, any := "", false, false
	for _, r := range line + " " {
		switch {
		case r == '\'':
			quoted, any = !quoted, true
		case r == ' ' && !quoted:
			if word == "<" || word == ">" {
				return words
			}
			if any {
				words = append(words, word)
			}
			word, any = "", false
		default:
			word, any = word+string(r), true
		}
	}
	return words
}
