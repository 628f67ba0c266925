package oauth

import (
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

func FuzzClaimsParameter(f *testing.F) {
	for _, s := range []string{
		`{"userinfo":{"email":null},"id_token":{"acr":{"essential":true,"values":["aal2"]}}}`, `{"id_token":{"sub":{"value":"x"}}}`, `null`, `[]`,
		`{"id_token":{"acr":null,"sub":null}}`, `{"userinfo":{"a":{"values":[{},[],1]}}}`, `{"id_token":{"acr":{"value":5}}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		cl := &client.Client{Scopes: []string{"openid", "email"}}
		r := &authorization{client: cl}
		if err := r.readClaims(raw); err != nil {
			if Wire(err).Code != "invalid_request" {
				t.Fatal(err)
			}
			return
		}
		again := &authorization{client: cl}
		if err := again.readClaims(string(r.claims)); err != nil && len(r.claims) <= maxClaims {
			t.Fatalf("what was stored cannot be read again: %s: %v", r.claims, err)
		} else if err == nil && (string(again.claims) != string(r.claims) || !slices.Equal(again.consents, r.consents)) {
			t.Fatalf("%s means something else: %+v %+v", r.claims, r, again)
		}
		ParseClaims(r.claims)
	})
}
