package app

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"gatehouse": func() {
			os.Exit(Main(context.Background(), os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
		},
	})
}

// TestStories runs the program as its users do, each story with a database of its own.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"signin": signIn,
			"grab":   grab,
			"refuse": refuse,
			"status": status,
		},
	})
}

// signIn signs a user in as a browser would: signin NAME PASSWORD [REQUEST-ID].
func signIn(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 && len(args) != 3 {
		ts.Fatalf("usage: signin NAME PASSWORD [REQUEST-ID]")
	}
	v := login.Visit{IP: "192.0.2.7", Agent: "Browser\x1b[31m/1", Now: time.Now()}
	if len(args) == 3 {
		v.RequestID = args[2]
	}
	ctx := context.Background()
	p := storyParts(ts)
	defer p.Close()
	step, err := p.login.Password(ctx, v, login.Attempt{Username: args[0], Password: args[1]})
	switch {
	case neg && err == nil:
		ts.Fatalf("%s could sign in", args[0])
	case !neg && err != nil:
		ts.Fatalf("%s could not sign in: %v", args[0], err)
	case !neg && step.Done == nil:
		ts.Fatalf("the sign-in of %s is not complete: %s", args[0], step.Next)
	}
}

// storyParts opens the parts that the story's commands work on, too.
func storyParts(ts *testscript.TestScript) *parts {
	e := &env{
		stdin: strings.NewReader(""), stdout: ts.Stdout(), stderr: ts.Stderr(), getenv: ts.Getenv, now: time.Now, version: "test",
		environ: []string{"DATABASE_URL=sqlite:" + ts.MkAbs("data/gatehouse.db")},
	}
	p, err := open(context.Background(), e, nil)
	ts.Check(err)
	return p
}

// refuse keeps a refusal as the gateway does: refuse REQUEST-ID ROUTE-ID.
func refuse(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: refuse REQUEST-ID ROUTE-ID")
	}
	r := access.Refused{
		RequestID: args[0], At: time.Now(), Method: "POST", Host: "api.example.com", Path: "/shop/v1/orders", IP: "192.0.2.7", Status: 403,
		Route: args[1], Caller: access.RefusedCaller{By: access.ByToken, Client: "app", User: "0199"},
		Refusal: access.Refusal{
			Rule: "scope", Reason: "The token lacks a scope.", Needed: []string{"orders:read", "orders:write"}, Had: []string{"orders:read"},
			Remedy: "Ask for orders:write, too.", Code: "insufficient_scope",
		},
	}
	if r.Route != "" {
		r.RouteName = "shop/v1"
	}
	data, err := r.Encode()
	ts.Check(err)
	p := storyParts(ts)
	defer p.Close()
	ts.Check(p.db.PutRefusals(context.Background(), []store.Refused{{RequestID: r.RequestID, At: r.At, Data: data}}))
}

// status runs a command that must end with an exit status, and with one line on stderr: status N COMMAND…
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
	if n := strings.Count(ts.ReadFile("stderr"), "\n"); n != 1 {
		ts.Fatalf("%d lines on stderr, want 1", n)
	}
}

// grab puts what a pattern's group finds in the last output into a variable: grab NAME PATTERN.
func grab(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: grab NAME PATTERN")
	}
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("the output has nothing like %s", args[1])
	}
	ts.Setenv(args[0], found[1])
}

// TestUsage compares the usage text of every command with what was agreed on; -update writes it.
func TestUsage(t *testing.T) {
	t.Setenv("COLUMNS", "")
	var l line
	k, err := l.parser(t.Context(), &env{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}, nil)
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
		if status := Main(t.Context(), append(words, "--help"), nil, strings.NewReader(""), &got, &stderr); status != 0 || stderr.Len() > 0 {
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
		t.Errorf("the usage text has changed; look at it, and run go test ./internal/app -run TestUsage -update:\n%s", got.String())
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

// TestSettingsAreFlagsEverywhere proves that each command takes each setting, but where a flag of its own has the name.
func TestSettingsAreFlagsEverywhere(t *testing.T) {
	var l line
	k, err := l.parser(t.Context(), &env{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}, nil)
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
		{[]string{"--config", "f.yaml", "version"}, map[string]string{"config": "f.yaml"}},
		{[]string{"client", "create", "--name", "x", "--access-token-ttl", "60", "--code-ttl", "9"}, map[string]string{"code-ttl": "9"}},
		{[]string{"--config", "user", "session", "list", "--user=list", "--port=3"}, map[string]string{"config": "user", "port": "3"}},
	} {
		var l line
		k, err := l.parser(t.Context(), &env{stdout: new(bytes.Buffer), stderr: new(bytes.Buffer)}, tt.args)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Parse(tt.args); err != nil {
			t.Errorf("%v: %v", tt.args, err)
			continue
		}
		got := l.settings.given(l.grammar.Config)
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

func TestSpan(t *testing.T) {
	for raw, want := range map[string]time.Duration{
		"3600": time.Hour, "90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 7 * 24 * time.Hour, "0": 0,
	} {
		var s span
		if err := s.UnmarshalText([]byte(raw)); err != nil || time.Duration(s) != want {
			t.Errorf("%s: got %v, %v; want %v", raw, time.Duration(s), err, want)
		}
	}
	for _, raw := range []string{"", "-1", "-5m", "1 h", "soon", "d", "99999999999999999999", "9999999d"} {
		var s span
		if err := s.UnmarshalText([]byte(raw)); err == nil {
			t.Errorf("%q is taken as %v", raw, time.Duration(s))
		}
	}
}

func TestNearest(t *testing.T) {
	for given, want := range map[string]string{
		"autorization_code": "authorization_code", "refersh_token": "refresh_token", "client_credential": "client_credentials",
		"devicecode": "device_code", "xyz": "", strings.Repeat("a", 1000): "",
	} {
		if got := nearest(given, grantWords()); got != want {
			t.Errorf("%.40s: got %q, want %q", given, got, want)
		}
	}
}

func TestNothingSteersTheTerminal(t *testing.T) {
	var b bytes.Buffer
	s := newSheet(&b)
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
