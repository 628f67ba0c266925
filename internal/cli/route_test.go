package cli

import (
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"

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
			parsed, err := parser.ParseFile(gotoken.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == gotoken.STRING {
					if text, err := strconv.Unquote(lit.Value); err == nil {
						f(text)
					}
				}
				return true
			})
		}
	}
}

// TestEveryFieldHasAFlag compares the flags of the update commands with the fields, and --unset
// with the fields that can be cleared.
func TestEveryFieldHasAFlag(t *testing.T) {
	checkFlags(t, "client update", client.Fields(token.ClientRules()))
	checkFlags(t, "route update", access.RouteFields())
	checkFlags(t, "scope update", admin.ScopeFields())
}

func checkFlags[T any](t *testing.T, command string, fields []field.Field[T]) {
	t.Helper()
	var l line
	k, err := l.parser(t.Context(), testEnv(), nil)
	if err != nil {
		t.Fatal(err)
	}
	flags := map[string]*kong.Flag{}
	for _, leaf := range k.Model.Leaves(false) {
		if pathOf(leaf) == program+" "+command {
			for _, f := range leaf.Flags {
				flags[f.Name] = f
			}
		}
	}
	for _, f := range fields {
		if flags[f.Flag] == nil || flags[f.Flag].Help != f.Help {
			t.Errorf("%s: no flag sets the field %s", command, f.Name)
		}
		var p field.Patch[T]
		err := (&fieldFlags[T]{fields: fields}).unset(&p, []string{f.Flag})
		if clearable := f.Switch == nil && !f.Required; clearable != (err == nil) || clearable != p.Has(f.Name) {
			t.Errorf("%s --unset %s: %v", command, f.Flag, err)
		}
	}
}

// TestEveryReasonIsExplained compares the words of the audit log with those that explain knows.
func TestEveryReasonIsExplained(t *testing.T) {
	known := reasonTexts()
	reason := regexp.MustCompile(`^(assertion|jwks|secret|client|unknown|wrong|replayed|enroll)_[a-z_]+$|^(disabled|locked|no_secret|no_keys_registered|too_many_failures)$`)
	notReasons := []string{
		"client_id", "client_secret", "client_credentials", "client_secret_basic", "client_secret_post", "client_assertion", "client_assertion_type",
		"jwks_uri", "client_name",
		"client_id_missing", // the reason of a page, not of an audit event
	}
	seen := 0
	texts(t, []string{"audit", "oauth", "oauth/token", "login"}, func(text string) {
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
		{audit.Event{
			Type:   audit.ClientAuthFailed,
			Client: "app",
			Reason: "wrong_secret",
		}, "secret is wrong", "rotate-secret app."},
		{audit.Event{
			Type:   audit.LoginFailed,
			User:   "0199",
			Reason: "locked",
		}, "locked after", "unlock 0199."},
		{audit.Event{Type: audit.LoginFailed, Reason: "locked"}, "locked after", "unlock USER."},
		{audit.Event{Type: audit.LoginFailed, Reason: "moon_phase"}, "moon_phase", ""},
		{audit.Event{Type: audit.RefreshTokenReplayed}, "used before", "sign in again"},
		{audit.Event{Type: audit.AuthorizationCodeReplayed}, "used before", "new authorization"},
		{audit.Event{Type: audit.ConsentDenied}, "did not agree", "fewer scopes"},
		{audit.Event{Type: audit.AccessTokenIssued}, "", ""},
	} {
		got := explainEvent(&tt.event)
		if !strings.Contains(got.Explanation, tt.what) || !strings.Contains(got.Remedy, tt.remedy) || tt.what == "" && got.Explanation != "" {
			t.Errorf("%s %s: %q, %q", tt.event.Type, tt.event.Reason, got.Explanation, got.Remedy)
		}
	}
}
