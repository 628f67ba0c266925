package token

import (
	"testing"

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
