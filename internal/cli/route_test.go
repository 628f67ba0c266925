package cli

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// texts calls f with every constant text in the Go files of some rooms, tests left out.
func texts(t *testing.T, rooms []string, f func(text string)) {
	t.Helper()
	for _, room := range rooms {
		names, err := filepath.Glob(filepath.Join("..", room, "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no files in %s: %v", room, err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil {
						f(text)
					}
				}
				return true
			})
		}
	}
}

// TestEveryFieldOfARouteHasAFlag compares the flags with the fields, and --unset with the flags that can be emptied.
func TestEveryFieldOfARouteHasAFlag(t *testing.T) {
	var l line
	k, err := l.parser(t.Context(), &env{stdout: os.Stderr, stderr: os.Stderr}, nil)
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]bool{}
	for _, leaf := range k.Model.Leaves(false) {
		if leaf.Path() == program+" route update <route>" || leaf.FullPath() == program+" route update" {
			for _, f := range leaf.Flags {
				flags[f.Name] = true
			}
		}
	}
	fields := reflect.TypeFor[access.Route]()
	for i := range fields.NumField() {
		name, _, _ := strings.Cut(fields.Field(i).Tag.Get("json"), ",")
		if slices.Contains([]string{"id", "created_at", "updated_at"}, name) {
			continue
		}
		flag := routeFlags()[name]
		if name == "inactive" {
			flag = name
		}
		if !flags[flag] {
			t.Errorf("no flag sets the field %s", name)
		}
	}
	for name := range routeUnset() {
		if !flags[name] {
			t.Errorf("--unset %s empties what no flag sets", name)
		}
	}
}

// TestEveryReasonIsExplained compares the words of the audit log with those that explain knows.
func TestEveryReasonIsExplained(t *testing.T) {
	known := reasonWords()
	reason := regexp.MustCompile(`^(assertion|jwks|secret|client|unknown|wrong|replayed|enroll)_[a-z_]+$|^(disabled|locked|no_secret|no_keys_registered|too_many_failures)$`)
	notReasons := []string{
		"client_id", "client_secret", "client_credentials", "client_secret_basic", "client_secret_post", "client_assertion", "client_assertion_type",
		"jwks_uri", "client_name",
	}
	seen := 0
	texts(t, []string{"oauth", "login"}, func(text string) {
		if !reason.MatchString(text) || slices.Contains(notReasons, text) {
			return
		}
		seen++
		if known[text].what == "" {
			t.Errorf("explain has no words for %s", text)
		}
	})
	if seen < 20 {
		t.Errorf("only %d reasons found: the search is broken", seen)
	}
	for name, text := range known {
		if !strings.HasSuffix(text.what, ".") || !strings.HasSuffix(text.remedy, ".") {
			t.Errorf("%s: %+v are no sentences", name, text)
		}
	}
}

func TestExplainedEvents(t *testing.T) {
	for _, tt := range []struct {
		event        audit.Event
		what, remedy string
	}{
		{audit.Event{Type: audit.ClientAuthFailed, Client: "app", Reason: "wrong_secret"}, "secret is wrong", "rotate-secret app."},
		{audit.Event{Type: audit.LoginFailed, User: "0199", Reason: "locked"}, "locked after", "unlock 0199."},
		{audit.Event{Type: audit.LoginFailed, Reason: "locked"}, "locked after", "unlock USER."},
		{audit.Event{Type: audit.LoginFailed, Reason: "moon_phase"}, "moon_phase", ""},
		{audit.Event{Type: audit.RefreshTokenReplayed}, "used before", "sign in again"},
		{audit.Event{Type: audit.AuthorizationCodeReplayed}, "used before", "new authorization"},
		{audit.Event{Type: audit.ConsentDenied}, "did not agree", "Ask again"},
		{audit.Event{Type: audit.AccessTokenIssued}, "", ""},
	} {
		got := explainEvent(&tt.event)
		if !strings.Contains(got.Explanation, tt.what) || !strings.Contains(got.Remedy, tt.remedy) || tt.what == "" && got.Explanation != "" {
			t.Errorf("%s %s: %q, %q", tt.event.Type, tt.event.Reason, got.Explanation, got.Remedy)
		}
	}
}

func TestClientAccessIsBounded(t *testing.T) {
	many := make([]string, maxAccessList+1)
	for i := range many {
		many[i] = "x" + strconv.Itoa(i)
	}
	for flag, cl := range map[string]*client.Client{
		"role": {Roles: many}, "from-network": {Networks: many}, "to-host": {Hosts: many}, "to-route": {Routes: many},
	} {
		if err := checkClientAccess(cl); err == nil || !strings.Contains(err.Error(), "--"+flag+" is given 257 times") {
			t.Errorf("%s: %v", flag, err)
		}
	}
}
