package cli

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// clientView is a client as the command line shows it, by the names of RFC 7591 §2 where it has them: never a hash.
type clientView struct {
	ClientID        client.ID       `json:"client_id"`
	ClientSecret    string          `json:"client_secret,omitempty"` // of a new client, once
	Name            string          `json:"client_name"`
	Description     string          `json:"description"`
	URI             string          `json:"client_uri"`
	LogoURI         string          `json:"logo_uri"`
	Public          bool            `json:"public"`
	Disabled        bool            `json:"disabled"`
	AuthMethod      string          `json:"token_endpoint_auth_method"` // "" is a secret in header or body
	JWKS            json.RawMessage `json:"jwks,omitempty"`
	JWKSURI         string          `json:"jwks_uri"`
	Grants          []string        `json:"grant_types"`
	Redirects       []string        `json:"redirect_uris"`
	PostLogout      []string        `json:"post_logout_redirect_uris"`
	Scope           string          `json:"scope"`
	Resources       []string        `json:"resources"`
	TokenFormat     string          `json:"token_format"`
	Alg             string          `json:"alg"`
	AccessTokenTTL  life            `json:"access_token_ttl"` // null is the server's setting; likewise below
	IDTokenTTL      life            `json:"id_token_ttl"`
	RefreshTokenTTL life            `json:"refresh_token_ttl"`
	RefreshRotation string          `json:"refresh_rotation"`
	FirstParty      bool            `json:"first_party"`
	AllowPlainPKCE  bool            `json:"allow_plain_pkce"`
	RequirePKCE     bool            `json:"require_pkce"`
	Roles           []string        `json:"roles"`
	Networks        []string        `json:"from_networks"`
	Hosts           []string        `json:"to_hosts"`
	Routes          []string        `json:"to_routes"`
	DPoPBound       bool            `json:"dpop_bound_access_tokens"`                   // RFC 9449 §5.2
	CertBound       bool            `json:"tls_client_certificate_bound_access_tokens"` // RFC 8705 §3.4
	KeepRefresh     bool            `json:"keep_refresh"`
	Secrets         []secretView    `json:"secrets"`
	CreatedAt       when            `json:"created_at"`
	UpdatedAt       when            `json:"updated_at"`
}

// secretView is all that can be said of a secret.
type secretView struct {
	ID        string `json:"id"`
	CreatedAt when   `json:"created_at"`
	ExpiresAt when   `json:"expires_at"`
}

func (v *clientView) fill(cl *client.Client, now time.Time) {
	*v = clientView{
		ClientID: cl.ID, ClientSecret: v.ClientSecret, Name: cl.Name, Description: cl.Description, URI: cl.URI, LogoURI: cl.LogoURI,
		Public: cl.Public, Disabled: cl.Disabled, AuthMethod: cl.AuthMethod, JWKS: cl.JWKS, JWKSURI: cl.JWKSURI,
		Grants: words(cl.Grants), Redirects: words(cl.Redirects), PostLogout: words(cl.PostLogout), Scope: strings.Join(cl.Scopes, " "),
		Resources: words(cl.Resources), TokenFormat: cl.TokenFormat, Alg: cl.Alg, AccessTokenTTL: life(cl.AccessTTL),
		IDTokenTTL: life(cl.IDTokenTTL), RefreshTokenTTL: life(cl.RefreshTTL), RefreshRotation: cl.Rotation, FirstParty: cl.FirstParty,
		AllowPlainPKCE: cl.PlainPKCE, RequirePKCE: cl.RequirePKCE, Roles: words(cl.Roles), Networks: words(cl.Networks),
		Hosts: words(cl.Hosts), Routes: words(cl.Routes), DPoPBound: cl.DPoPBound, CertBound: cl.CertBound, KeepRefresh: cl.ServerSideRefresh,
		Secrets:   []secretView{},
		CreatedAt: when{cl.CreatedAt}, UpdatedAt: when{cl.UpdatedAt},
	}
	for _, s := range cl.Secrets {
		if s.ExpiresAt.IsZero() || s.ExpiresAt.After(now) {
			v.Secrets = append(v.Secrets, secretView{s.ID, when{s.CreatedAt}, when{s.ExpiresAt}})
		}
	}
}

// differences names the fields in which two views of one thing differ, for the audit log.
func differences(before, after any) []string {
	a, b := fields(before), fields(after)
	var out []string
	for _, name := range sortedKeys(b) {
		if name != "updated_at" && !bytes.Equal(a[name], b[name]) {
			out = append(out, name)
		}
	}
	for _, name := range sortedKeys(a) {
		if _, stays := b[name]; !stays {
			out = append(out, name)
		}
	}
	return out
}

func fields(v any) map[string]json.RawMessage {
	var out map[string]json.RawMessage
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		panic(err) // a struct of texts, numbers and JSON that was parsed before
	}
	return out
}

func (v *clientView) kind() string {
	if v.Public {
		return "public"
	}
	return "confidential"
}

func (v *clientView) state() string {
	if v.Disabled {
		return "disabled"
	}
	return "active"
}

// printNew shows what the client must be given.
func (v *clientView) printNew(s *sheet) {
	s.pair("client_id", string(v.ClientID))
	s.pair("client_secret", v.ClientSecret)
	if v.ClientSecret != "" {
		s.line("Keep the secret now: it is not shown again.")
	}
}

func (v *clientView) print(s *sheet) {
	s.pair("client_id", string(v.ClientID))
	s.pair("name", v.Name)
	s.pair("description", v.Description)
	s.pair("type", v.kind())
	s.pair("state", v.state())
	s.pair("grants", strings.Join(shortGrants(v.Grants), " "))
	for _, u := range v.Redirects {
		s.pair("redirect_uri", u)
	}
	for _, u := range v.PostLogout {
		s.pair("post_logout_redirect_uri", u)
	}
	s.pair("scope", v.Scope)
	s.pair("resources", strings.Join(v.Resources, " "))
	s.pair("auth_method", v.method())
	v.printAccess(s)
	s.pair("jwks_uri", v.JWKSURI)
	s.pair("access_token_ttl", v.AccessTokenTTL.String())
	s.pair("id_token_ttl", v.IDTokenTTL.String())
	s.pair("refresh_token_ttl", v.RefreshTokenTTL.String())
	s.pair("refresh_rotation", v.RefreshRotation)
	s.pair("token_format", v.TokenFormat)
	s.pair("alg", v.Alg)
	for _, flag := range []struct {
		name string
		on   bool
	}{
		{"first_party", v.FirstParty},
		{"allow_plain_pkce", v.AllowPlainPKCE},
		{"require_pkce", v.RequirePKCE},
		{"dpop_bound", v.DPoPBound},
		{"certificate_bound", v.CertBound},
		{"keep_refresh", v.KeepRefresh},
	} {
		if flag.on {
			s.pair(flag.name, "yes")
		}
	}
	s.pair("uri", v.URI)
	s.pair("logo_uri", v.LogoURI)
	for _, sec := range v.Secrets {
		s.pair("secret", sec.line())
	}
	s.pair("created_at", v.CreatedAt.String())
	s.pair("updated_at", v.UpdatedAt.String())
}

// printAccess shows what the gateway knows of the client.
func (v *clientView) printAccess(s *sheet) {
	s.pair("roles", strings.Join(v.Roles, " "))
	s.pair("from_networks", strings.Join(v.Networks, " "))
	s.pair("to_hosts", strings.Join(v.Hosts, " "))
	s.pair("to_routes", strings.Join(v.Routes, " "))
}

func (v *clientView) method() string {
	if v.AuthMethod == "" {
		return client.MethodBasic + " or " + client.MethodPost
	}
	return v.AuthMethod
}

func (s secretView) line() string {
	if s.ExpiresAt.IsZero() {
		return "made " + s.CreatedAt.String()
	}
	return "made " + s.CreatedAt.String() + ", works until " + s.ExpiresAt.String()
}

// shortGrants writes grant types as people do.
func shortGrants(grants []string) []string {
	out := slices.Clone(grants)
	for i, g := range out {
		if g == client.GrantTypeDevice {
			out[i] = "device_code"
		}
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
