package token

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Any stored claims parameter can be read, and only claims that the user has are given.
func FuzzProfileOf(f *testing.F) {
	for _, s := range []string{
		`{"id_token":{"email":null,"phone_number_verified":{"essential":true}}}`, `{"id_token":{"":null}}`,
		`null`, `[]`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u := &identity.User{ID: "u", Email: "a@b.example", Phone: "+1", Name: "A"}
		p := profileOf(u, nil, oauth.ParseClaims([]byte(raw)).IDToken)
		if p.GivenName != "" || p.Address != nil || p.Picture != "" {
			t.Fatalf("%s gives %+v", raw, p)
		}
	})
}

// Discovery lists the claims of all scopes: a user who has everything gets each of them.
func TestEveryClaimOfAScopeIsGiven(t *testing.T) {
	u := &identity.User{
		ID: "u", Username: "x", Email: "x@x.example", Phone: "+1", Name: "x", GivenName: "x", MiddleName: "x",
		FamilyName: "x", Nickname: "x", Picture: "x", Profile: "x", Website: "x", Gender: "x", Birthdate: "x",
		Locale: "x", Zoneinfo: "x", Address: identity.Address{Locality: "x"}, Roles: []string{"x"}, UpdatedAt: time.Unix(1, 0),
	}
	for _, scope := range oauth.UserScopes() {
		raw, err := json.Marshal(profileOf(u, []string{scope}, nil))
		if err != nil {
			t.Fatal(err)
		}
		var given map[string]any
		if err := json.Unmarshal(raw, &given); err != nil {
			t.Fatal(err)
		}
		for _, name := range oauth.ScopeClaims(scope) {
			if given[name] == nil {
				t.Errorf("the scope %s does not give %s", scope, name)
			}
		}
		if len(given) != len(oauth.ScopeClaims(scope)) {
			t.Errorf("the scope %s gives %v", scope, given)
		}
	}
}
