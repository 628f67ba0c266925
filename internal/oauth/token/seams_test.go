package token_test

import (
	"context"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
)

// A voucher is a grant type that exists in this test only: the client presents a word and acts
// for itself.
const voucherName = "urn:example:grant-type:voucher"

type voucherGrant struct{ word string }

func (voucherGrant) Describe() client.GrantType {
	return client.GrantType{
		Name:         voucherName,
		Short:        "voucher",
		Aliases:      []string{"v"},
		Summary:      "The client presents a voucher.",
		Confidential: true,
	}
}

func (g voucherGrant) Redeem(_ context.Context, r *token.Request) (token.Redemption, error) {
	if r.Get("voucher") != g.word {
		return nil, oauth.InvalidGrant("The voucher is not valid.")
	}
	grant := &oauth.Grant{ID: "voucher-1", Client: r.Client.ID, Kind: voucherName}
	return &token.Stateless{
		Access: token.Access{Grant: grant, Scopes: []string{"read"}, Audience: []string{"shop"}},
		Event:  audit.AccessTokenIssued,
	}, nil
}

// A badge is a client authentication method that exists in this test only.
type badgeAuth struct{}

func (badgeAuth) Describe() client.AuthMethod {
	return client.AuthMethod{Name: "badge", Summary: "The client shows a badge."}
}

func (badgeAuth) Claim(c *oauth.Call) (client.ID, bool, error) {
	id, ok := strings.CutPrefix(c.Authorization, "Badge ")
	return client.ID(id), ok, nil
}

func (badgeAuth) Prove(_ context.Context, _ *client.Client, c *oauth.Call) error {
	if c.Get("badge") != "blue" {
		return fault.WithReason(fault.Denied, "wrong_badge")
	}
	return nil
}

var testNow = time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)

// extended returns a server with the voucher and the badge beside what is built in, and its
// store.
func extended(t *testing.T) (*token.Server, *store.DB, *secret.Keys) {
	t.Helper()
	keys, err := secret.NewKeys([]byte("a master key of at least 32 bytes"))
	if err != nil {
		t.Fatal(err)
	}
	db := storetest.Memory(t)
	cfg := oauth.Config{Issuer: "https://id.example", AccessTTL: time.Hour, Alg: jose.ES256}
	return token.New(cfg, token.Parts{
		Store:       db,
		Ring:        jose.NewRing(db, keys),
		Keys:        keys,
		Grants:      []token.GrantType{voucherGrant{"swordfish"}},
		ClientAuths: []token.ClientAuth{badgeAuth{}},
	}), db, keys
}

// register stores a client after the validation that every registration passes.
func register(t *testing.T, s *token.Server, db *store.DB, cl *client.Client) error {
	t.Helper()
	cl.CreatedAt, cl.UpdatedAt = testNow, testNow
	if err := cl.Normalize(s.ClientRules()); err != nil {
		return err
	}
	if err := cl.Validate(s.ClientRules()); err != nil {
		return err
	}
	if err := db.CreateClient(t.Context(), cl); err != nil {
		t.Fatal(err)
	}
	return nil
}

func code(err error) string {
	if err == nil {
		return ""
	}
	return oauth.Wire(err).Code
}

// A grant type that is added to the table is validated, advertised and served, by its own words.
func TestGrantTypeIsServedByItsTable(t *testing.T) {
	s, db, keys := extended(t)
	cl := &client.Client{
		ID:      "app",
		Name:    "App",
		Grants:  []string{"v"},
		Scopes:  []string{"read"},
		Secrets: []client.Secret{{ID: "s", Hash: keys.Hash("pass"), CreatedAt: testNow}},
	}
	if err := register(t, s, db, cl); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(cl.Grants, []string{voucherName}) {
		t.Errorf("the alias is stored as %q", cl.Grants)
	}
	public := &client.Client{ID: "spa", Name: "App", Public: true, Grants: []string{"voucher"}}
	if err := register(t, s, db, public); !fault.Is(err, fault.Invalid) {
		t.Errorf("a public client may have a confidential grant type: %v", err)
	}
	if got := s.Metadata().GrantTypes; !slices.Contains(got, voucherName) {
		t.Errorf("discovery advertises %q", got)
	}
	help := client.Fields(s.ClientRules())
	if !slices.ContainsFunc(help, func(f client.Field) bool {
		return strings.Contains(f.Help, "voucher (v)")
	}) {
		t.Error("the help of the command line does not name the grant type")
	}
	call := func(word string) *oauth.Call {
		return &oauth.Call{
			Form:          url.Values{"grant_type": {voucherName}, "voucher": {word}},
			Authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte("app:pass")),
			Method:        "POST",
			Now:           testNow,
		}
	}
	if _, err := s.Token(t.Context(), call("wrong")); code(err) != "invalid_grant" {
		t.Errorf("a wrong voucher: %v", err)
	}
	resp, err := s.Token(t.Context(), call("swordfish"))
	if err != nil {
		t.Fatal(err)
	}
	at, err := s.Access(t.Context(), resp.AccessToken, testNow)
	if err != nil || at.Grant != "voucher-1" || resp.Scope != "read" || resp.RefreshToken != "" {
		t.Errorf("%+v, %+v, %v", at, resp, err)
	}
}

// A client authentication method that is added to the table is validated, advertised and served.
func TestClientAuthIsServedByItsTable(t *testing.T) {
	s, db, _ := extended(t)
	cl := &client.Client{
		ID: "app", Name: "App", AuthMethod: "badge", Grants: []string{client.GrantTypeClient},
	}
	if err := register(t, s, db, cl); err != nil {
		t.Fatal(err)
	}
	m := s.Metadata()
	for name, methods := range map[string][]string{
		"token": m.TokenAuth, "introspection": m.IntrospectionAuth, "revocation": m.RevocationAuth,
	} {
		if !slices.Contains(methods, "badge") {
			t.Errorf("discovery advertises %q for %s", methods, name)
		}
	}
	for badge, want := range map[string]string{"blue": "", "red": "invalid_client"} {
		_, err := s.Token(t.Context(), &oauth.Call{
			Form:          url.Values{"grant_type": {client.GrantTypeClient}, "badge": {badge}},
			Authorization: "Badge app",
			Method:        "POST",
			Now:           testNow,
		})
		if code(err) != want {
			t.Errorf("badge %s: %v", badge, err)
		}
	}
}

// Every grant type and method describes itself in full, and no two share a name.
func TestTablesAreComplete(t *testing.T) {
	taken := map[string]bool{}
	for _, g := range token.GrantTypes() {
		if g.Name == "" || !strings.HasSuffix(g.Summary, ".") {
			t.Errorf("%+v does not describe itself", g)
		}
		words := append([]string{g.Title()}, g.Aliases...)
		if g.Name != g.Title() {
			words = append(words, g.Name)
		}
		for _, word := range words {
			if taken[word] {
				t.Errorf("two grant types are called %s", word)
			}
			taken[word] = true
		}
	}
	for _, m := range token.AuthMethods() {
		if m.Name == "" || !strings.HasSuffix(m.Summary, ".") || taken[m.Name] {
			t.Errorf("%+v does not describe itself, or its name is taken", m)
		}
		taken[m.Name] = true
	}
}
