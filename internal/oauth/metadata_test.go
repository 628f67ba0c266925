package oauth_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

var update = flag.Bool("update", false, "write the golden files")

// OpenID Connect Discovery §3, RFC 8414 §2.
func TestMetadataGolden(t *testing.T) {
	for name, tweak := range map[string]func(*oauth.Config){
		"default":  func(*oauth.Config) {},
		"password": func(c *oauth.Config) { c.PasswordGrant = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := worldOver(t, storetest.Memory(t), tweak)
			got, err := json.MarshalIndent(w.srv.Metadata(), "", "  ")
			testkit.Must(t, err)
			got = append(got, '\n')
			file := filepath.Join("testdata", "metadata_"+name+".json")
			if *update {
				testkit.Must(t, os.WriteFile(file, got, 0o644))
			}
			want, err := os.ReadFile(file)
			testkit.Must(t, err)
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Fatalf("the document has changed; if that is meant, run with -update\n%s", d)
			}
		})
	}
}

// The document names the languages of the pages, if the server has pages.
func TestMetadataNamesTheLanguages(t *testing.T) {
	w := worldOver(t, storetest.Memory(t), func(c *oauth.Config) { c.UILocales = []string{"en", "ar"} })
	testkit.Equal(t, "languages", fmt.Sprint(w.srv.Metadata().UILocales), "[en ar]")
}

// What is advertised is served.
func TestMetadataIsTrue(t *testing.T) {
	w := newWorld(t)
	m := w.srv.Metadata()
	for _, g := range m.GrantTypes {
		_, err := w.token(w.client(func(c *client.Client) { c.Grants = []string{g} }), "grant_type", g)
		if err != nil && oauth.Wire(err).Code == "unsupported_grant_type" {
			t.Errorf("grant type %s is advertised, not served", g)
		}
	}
	if !slices.Equal(m.TokenAuth, token.ClientRules().AuthMethodNames()) {
		t.Errorf("authentication methods %v", m.TokenAuth)
	}
	for _, mode := range m.ResponseModes {
		testkit.Equal(t, "mode", w.authorize(w.client(), "response_mode", mode).Reply.Mode, mode)
	}
	for _, p := range m.Prompts {
		st := w.authorize(w.client(), "prompt", p)
		if st.Reply != nil && st.Reply.Params.Has("error") {
			t.Errorf("prompt %s: %v", p, st.Reply.Params)
		}
	}
	for _, alg := range m.IDTokenAlgs {
		testkit.Equal(t, "alg", header(t, w.login(w.client(func(c *client.Client) { c.Alg = alg })).IDToken)["alg"], any(alg))
	}
	for _, sc := range m.Scopes {
		if w.db.Scopes()[sc] == nil {
			t.Errorf("scope %s is not defined", sc)
		}
	}
	list(t, "challenge methods", m.ChallengeMethods, "S256")
	list(t, "response types", m.ResponseTypes, "code")
	if slices.Contains(m.IntrospectionAuth, client.MethodNone) {
		t.Error("introspection without authentication is advertised")
	}
}

func TestJWKSHoldsNoPrivatePart(t *testing.T) {
	w := newWorld(t)
	for _, alg := range jose.Algorithms() {
		testkit.Must(t, w.ring.Ensure(t.Context(), alg, w.now))
	}
	doc, err := w.srv.JWKS(w.call())
	testkit.Must(t, err)
	var all struct{ Keys []map[string]any }
	testkit.Must(t, json.Unmarshal(doc, &all))
	if len(all.Keys) < 4 {
		t.Fatalf("%d keys", len(all.Keys))
	}
	for _, k := range all.Keys {
		absent(t, k, "d", "p", "q", "dp", "dq", "qi", "k")
		for _, n := range []string{"kid", "alg", "use", "kty"} {
			if k[n] == nil {
				t.Errorf("key without %s: %v", n, k)
			}
		}
	}
}
