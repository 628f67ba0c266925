package client_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

func TestMetadata(t *testing.T) {
	m, err := client.ParseMetadata([]byte(`{"client_name":"A","client_name#de":"B","scope":"openid  email",
		"redirect_uris":["https://a.example/cb"],"contacts":null,"jwks":{"keys":[]},"access_token_ttl":600,
		"refresh_token_rotation":true,"id_token_signed_response_alg":"ES256","subject_type":"public",
		"rate_limits":{"token":{"max":5,"window":60}},"public":false,"Scope":"admin","x":[[{}]]}`), rules())
	if err != nil {
		t.Fatal(err)
	}
	c := m.Fields.Values
	if c.Name != "A" || !slices.Equal(c.Scopes, []string{"openid", "email"}) || c.Alg != "ES256" || c.Rotation != "on" ||
		c.RateLimit(client.RateToken).Max != 5 || m.Fields.Has("contacts") || m.Has("contacts") || m.Fields.Has("public") {
		t.Errorf("%+v, %v", c, m.Fields.Names)
	}
	for body, field := range map[string]string{
		`{"redirect_uris":"https://a.example"}`:      "redirect_uris",
		`{"redirect_uris":[1]}`:                      "redirect_uris",
		`{"redirect_uris":["a\u0000"]}`:              "redirect_uris",
		`{"scope":["openid"]}`:                       "scope",
		`{"client_name":"a\u0000b"}`:                 "client_name",
		`{"client_name":{}}`:                         "client_name",
		`{"contacts":{}}`:                            "contacts",
		`{"jwks":"x"}`:                               "jwks",
		`{"access_token_ttl":"1h"}`:                  "access_token_ttl",
		`{"access_token_ttl":-1}`:                    "access_token_ttl",
		`{"dpop_bound_access_tokens":"yes"}`:         "dpop_bound_access_tokens",
		`{"client_id":1}`:                            "client_id",
		`{"response_types":"code"}`:                  "response_types",
		`{"subject_type":"pairwise"}`:                "subject_type",
		`{"id_token_encrypted_response_alg":"RSA1"}`: "id_token_encrypted_response_alg",
		`{"scope":"a","scope":"b"}`:                  "",
		`{"scope":"a"} {}`:                           "",
		`{"scope":"a"`:                               "",
		`null`:                                       "",
		"{\"client_name\":\"\xff\"}":                 "",
		"":                                           "",
		`{"x":[` + strings.Repeat("[", 20000):        "",
	} {
		_, err := client.ParseMetadata([]byte(body), rules())
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Field != field {
			t.Errorf("%.60s: %v, want an error about %q", body, err, field)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{
		`{"client_name":"A","redirect_uris":["https://a.example/cb"],"scope":"openid","jwks":{"keys":[]}}`,
		`{"grant_types":["authorization_code"],"rate_limits":{"token":{"max":5,"window":60}},"access_token_ttl":1}`,
		`{"software_statement":"a.b.c","client_id":"x","client_secret":"y","contacts":[]}`, `{}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := client.ParseMetadata(raw, rules())
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal(raw, &all); err != nil {
			t.Fatalf("what is no object is accepted: %v", err)
		}
		for _, name := range m.Members {
			if _, ok := all[name]; !ok {
				t.Fatalf("the member %q is invented", name)
			}
		}
		c := m.Fields.Values
		if c.ID, c.CreatedAt = "x", c.UpdatedAt; c.Normalize(rules()) == nil && c.Validate(rules()) == nil {
			for _, uri := range c.Redirects {
				if client.Origin(uri) == "" || strings.HasPrefix(strings.ToLower(uri), "javascript:") {
					t.Fatalf("the redirect URI %q is accepted", uri)
				}
			}
		}
	})
}

func TestRateLimits(t *testing.T) {
	for text, ok := range map[string]bool{
		`{"token":{"max":1000,"window":60}}`:    true,
		`{"gateway":{"max":1,"window":1}}`:      true,
		`{}`:                                    true,
		`null`:                                  true,
		`{"login":{"max":1,"window":1}}`:        false,
		`{"token":{"max":0,"window":60}}`:       false,
		`{"token":{"max":1,"window":0}}`:        false,
		`{"token":{"max":1.5,"window":60}}`:     false,
		`{"token":{"max":1,"window":99999999}}`: false,
		`{"token":{"max":1,"window":1,"x":1}}`:  false,
		`{"token":5}`:                           false,
		`[]`:                                    false,
		`{} {}`:                                 false,
	} {
		c := client.Client{RateLimits: json.RawMessage(text), Grants: []string{"authorization_code"}}
		if err := c.Normalize(rules()); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}
