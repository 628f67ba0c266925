package audit

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// TestTypes compares the list of types with the constants in the source.
func TestTypes(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "types.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var declared []Type
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if of, ok := spec.Type.(*ast.Ident); ok && of.Name == "Type" {
			name, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			declared = append(declared, Type(name))
		}
		return true
	})
	if len(declared) == 0 || !slices.Equal(Types(), declared) {
		t.Errorf("Types returns %v, declared are %v", Types(), declared)
	}
}

// TestNames checks that each type has a dotted name, and what texts of a search select.
func TestNames(t *testing.T) {
	form := regexp.MustCompile(`^[a-z_]+\.[a-z_]+$`)
	for _, typ := range Types() {
		if !form.MatchString(typ.Name()) {
			t.Errorf("%s has the name %q", typ, typ.Name())
		}
	}
	for text, want := range map[string][]Type{
		"login_failed":      {LoginFailed},
		"user.login":        {LoginSucceeded},
		"User.Login_Failed": {LoginFailed},
		"token.issued":      {AccessTokenIssued, ClientCredentialsIssued, TokensIssued},
		"mfa.*":             {MFAEnabled, MFADisabled, BackupCodesMade, BackupCodeUsed},
		"scope":             {ScopeCreated, ScopeUpdated, ScopeDeleted},
		"":                  nil,
		"*":                 nil,
		"user.log":          nil,
		"nothing.":          nil,
	} {
		if got := Matching(text); !slices.Equal(got, want) {
			t.Errorf("%q selects %v, want %v", text, got, want)
		}
	}
}

func TestActorAndTarget(t *testing.T) {
	for _, tt := range []struct {
		e           Event
		actor       string
		kind, about string
	}{
		{Event{Type: LoginSucceeded, Actor: "u", User: "u"}, ActorUser, TargetUser, "u"},
		{Event{Type: LoginFailed, User: "u"}, "", TargetUser, "u"},
		{Event{Type: ClientCredentialsIssued, Actor: "c", Client: "c"}, ActorClient, TargetClient, "c"},
		{Event{Type: SessionRevoked, Actor: "a", User: "u", Session: "s"}, ActorUser, TargetSession, "s"},
		{Event{Type: ClientAuthFailed, Actor: "c", Client: "c", User: "u"}, ActorClient, TargetClient, "c"},
		{Event{Type: KeyRotated, Actor: "cli", TargetType: TargetKey, TargetID: "k"}, ActorCLI, TargetKey, "k"},
		{Event{Type: UserCreated, Actor: "x", ActorType: ActorClient, User: "u"}, ActorClient, TargetUser, "u"},
		{Event{Type: LogPruned, Actor: "system"}, ActorSystem, "", ""},
	} {
		kind, id := tt.e.Target()
		if got := tt.e.ActorKind(); got != tt.actor || kind != tt.kind || id != tt.about {
			t.Errorf("%s: got %q, %q %q", tt.e.Type, got, kind, id)
		}
	}
}
