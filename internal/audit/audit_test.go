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

// TestSeedNames compares the catalogue with the names that the scripts of the programs that
// Gatehouse replaces look for. What is missing has a reason.
func TestSeedNames(t *testing.T) {
	later := map[string]string{
		"social_account.linked":   "comes with providers",
		"social_account.unlinked": "comes with providers",
	}
	known := Names()
	for _, name := range []string{
		"user.login", "user.login_failed", "user.logout", "user.created", "user.updated", "user.deleted", "user.locked", "user.unlocked",
		"mfa.enabled", "mfa.disabled", "password.changed", "password.reset_requested", "password.reset_sent", "password.reset_completed",
		"password.reset_failed", "token.issued", "token.revoked", "client.created", "client.updated", "client.deleted",
		"client.secret_rotated", "client.secret_expired", "scope.created", "scope.updated", "scope.deleted", "authorization.granted",
		"authorization.denied", "session.created", "session.refreshed", "session.revoked", "session.expired", "admin.login",
		"admin.created", "admin.role_changed", "settings.changed", "social_account.linked", "social_account.unlinked",
	} {
		switch has := slices.Contains(known, name); {
		case has && later[name] != "":
			t.Errorf("%s is in the catalogue: remove its reason", name)
		case !has && later[name] == "":
			t.Errorf("%s is not in the catalogue", name)
		}
	}
	for _, typ := range []Type{"CLIENT_CREDENTIALS_TOKEN_ISSUED", "CLIENT_TOKENS_REVOKED_ALL", "RATE_LIMIT_EXCEEDED", "AUDIT_LOG_VIEWED", "AUDIT_LOG_EXPORTED"} {
		if typ.Name() == "" {
			t.Errorf("%s is not in the catalogue", typ)
		}
	}
}
