package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func TestCompletion(t *testing.T) {
	for _, tt := range []struct{ words, want string }{
		{"ver", "version"},
		{"user l", "list lock"},
		{"user list --st", "--status"},
		{"user bulk run l", "lock"},
		{"user import people.csv --on-error s", "skip stop"},
		{"user import --on-error = sk", "skip"},
		{"user import --on-error =", "skip stop"},
		{"user import --on-error=sk", "--on-error=skip"},
		{"user list --search user l", ""},
		{"user list --json --sear", "--search"},
		{"user list --server https://x --sear", "--search"},
		{"user list -- --sear", ""},
		{"nonsense l", ""},
		{"completion ", "bash fish zsh"},
		{"user show $(reboot) --js", "--json"},
		{"--serv", "--server"},
		{"backup --ver", "--verify"},
		{"scope rm --y", "--yes"},
		{"user ls --st", "--status"},
	} {
		var out, errs bytes.Buffer
		status := Main(t.Context(), Program{Rules: token.ClientRules()}, Streams{In: nil, Out: &out, Err: &errs},
			append([]string{completeWord}, strings.Split(tt.words, " ")...))
		var words []string
		for line := range strings.Lines(out.String()) {
			word, help, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			words = append(words, word)
			if strings.ContainsAny(help, "\t\r\x1b") {
				t.Errorf("%q", line)
			}
		}
		if status != 0 || errs.Len() > 0 || strings.Join(words, " ") != tt.want {
			t.Errorf("%q: %q, not %q; %d %s", tt.words, words, tt.want, status, errs.String())
		}
	}
	// Every command can be found, and none of the settings is in the way.
	var l line
	k, err := l.parser(t.Context(), testEnv(), []string{})
	testkit.Must(t, err)
	for _, leaf := range k.Model.Leaves(true) {
		command := strings.TrimPrefix(pathOf(leaf), program+" ")
		words := strings.Fields(command)
		found := candidates(k.Model.Node, words)
		if len(found) == 0 || found[0].word != words[len(words)-1] || found[0].help == "" {
			t.Errorf("%s: %v", command, found)
		}
	}
}

// TestShellsComplete gives the functions to the shells, with a program of the test in the place of
// gatehouse: it records its arguments and answers two words.
func TestShellsComplete(t *testing.T) {
	const zsh = `
_describe() { print -l -- "${(@P)3}" }
_files() { print files }
compdef() { print "registered $*" }
source "$0"
words=(gatehouse user --search "a b" l) CURRENT=5
_gatehouse`
	for shell, args := range map[string][]string{
		"bash": {"--norc", "-c", `source "$0"; complete -p gatehouse
COMP_WORDS=(gatehouse user --search "a b" l more); COMP_CWORD=4; _gatehouse; printf '%s\n' "${COMPREPLY[@]}"`},
		"zsh":  {"-f", "-c", zsh},
		"fish": {"--no-config", "-c", `source $argv[1]; complete -C 'gatehouse user --search "a b" l'`},
	} {
		t.Run(shell, func(t *testing.T) {
			bin := testkit.Need(t, shell)
			dir := t.TempDir()
			var script, errs bytes.Buffer
			if Main(t.Context(), Program{}, Streams{nil, &script, &errs}, []string{"completion", shell}) != 0 {
				t.Fatal(errs.String())
			}
			file, record := filepath.Join(dir, "function"), filepath.Join(dir, "record")
			testkit.Must(t, os.WriteFile(file, script.Bytes(), 0o600))
			fake := fmt.Sprintf("#!/bin/sh\nprintf '<%%s>' \"$@\" >%s\nprintf 'list\\tList: it\\nlock\\t\\n'\n", record)
			testkit.Must(t, os.WriteFile(filepath.Join(dir, "gatehouse"), []byte(fake), 0o700))
			cmd := exec.CommandContext(t.Context(), bin, append(args, file)...)
			cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir}
			out, err := cmd.CombinedOutput()
			arguments, _ := os.ReadFile(record)
			if err != nil || !strings.Contains(string(out), "list") || !strings.Contains(string(out), "lock") {
				t.Errorf("%v: %s", err, out)
			}
			testkit.Equal(t, "words", string(arguments), "<__complete><user><--search><a b><l>")
		})
	}
}

func TestManualPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	var out, errs bytes.Buffer
	if Main(t.Context(), Program{Version: "v1.2.3", Rules: token.ClientRules()}, Streams{nil, &out, &errs},
		[]string{"man", dir}) != 0 {
		t.Fatal(errs.String())
	}
	commands := []string{"settings", "user", "user bulk"}
	var l line
	k, err := l.parser(t.Context(), testEnv(), []string{})
	testkit.Must(t, err)
	for _, leaf := range k.Model.Leaves(true) {
		commands = append(commands, strings.TrimPrefix(pathOf(leaf), program+" "))
	}
	for _, command := range commands {
		name := "gatehouse-" + strings.ReplaceAll(command, " ", "-") + ".1"
		page, err := os.ReadFile(filepath.Join(dir, name))
		testkit.Must(t, err)
		for line := range strings.Lines(string(page)) {
			if macro, ok := strings.CutPrefix(line, "."); ok &&
				!strings.Contains("TH SH TP PP RS RE nf fi", strings.Fields(macro)[0]) {
				t.Errorf("%s: %q is no macro", name, line)
			}
		}
		if command != "settings" && !bytes.Contains(page, []byte(".SH SYNOPSIS\n")) {
			t.Errorf("%s has no synopsis", name)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, "gatehouse-user-create.1"))
	testkit.Must(t, err)
	for _, part := range []string{
		`.TH GATEHOUSE\-USER\-CREATE 1 "" "gatehouse v1.2.3" ""`, ".SH EXAMPLES", `\fB\-\-email=EMAIL\fR`,
		`gatehouse user create \-\-email ada@example.com`, `gatehouse\-user(1)`,
	} {
		if !strings.Contains(string(page), part) {
			t.Errorf("gatehouse-user-create.1 has no %s:\n%s", part, page)
		}
	}
	testkit.Equal(t, "a line like a macro", roff(`.SH \n`), `\&.SH \en`)
}
