package token

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Metadata is the discovery document (OpenID Connect Discovery §3, RFC 8414 §2). It is derived
// from the tables that the endpoints use, so it cannot advertise what is not served.
type Metadata struct {
	Issuer                string   `json:"issuer"`
	Authorization         string   `json:"authorization_endpoint"`
	Token                 string   `json:"token_endpoint"`
	UserInfo              string   `json:"userinfo_endpoint"`
	JWKS                  string   `json:"jwks_uri"`
	Introspection         string   `json:"introspection_endpoint"`
	Revocation            string   `json:"revocation_endpoint"`
	DeviceAuthorization   string   `json:"device_authorization_endpoint"`
	EndSession            string   `json:"end_session_endpoint"`
	Registration          string   `json:"registration_endpoint"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgs           []string `json:"id_token_signing_alg_values_supported"`
	Scopes                []string `json:"scopes_supported"`
	Claims                []string `json:"claims_supported"`
	ACRs                  []string `json:"acr_values_supported"`
	Prompts               []string `json:"prompt_values_supported"`
	UILocales             []string `json:"ui_locales_supported,omitempty"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	TokenAuth             []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgs         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuth     []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgs []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationAuth        []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgs    []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
	RequestObjectAlgs     []string `json:"request_object_signing_alg_values_supported"` // RFC 9101 §9
	IssInResponse         bool     `json:"authorization_response_iss_parameter_supported"`
	DPoPAlgs              []string `json:"dpop_signing_alg_values_supported"`          // RFC 9449 §5.1
	CertBoundTokens       bool     `json:"tls_client_certificate_bound_access_tokens"` // RFC 8705 §3.3
}

// Metadata returns the discovery document.
func (s *Server) Metadata() *Metadata {
	iss := s.cfg.Issuer
	m := &Metadata{
		Issuer:              iss,
		Authorization:       iss + "/oauth/authorize",
		Token:               s.TokenEndpoint(),
		UserInfo:            iss + "/oauth/userinfo",
		JWKS:                iss + "/.well-known/jwks.json",
		Introspection:       iss + "/oauth/introspect",
		Revocation:          iss + "/oauth/revoke",
		DeviceAuthorization: iss + "/oauth/device/code",
		EndSession:          iss + "/oauth/logout",
		Registration:        iss + "/oauth/register",
		ResponseTypes:       []string{"code"},
		ResponseModes:       oauth.ResponseModes(),
		SubjectTypes:        []string{"public"},
		IDTokenAlgs:         s.signingAlgs(),
		ACRs:                []string{identity.ACR1, identity.ACR2},
		Prompts:             oauth.PromptValues(),
		UILocales:           s.cfg.UILocales,
		ChallengeMethods:    []string{oauth.PKCES256},
		ClaimsParameter:     true,
		RequestParameter:    true,
		RequestObjectAlgs:   jose.AssertionAlgorithms(),
		IssInResponse:       true,
		DPoPAlgs:            dpop.Algorithms(),
		CertBoundTokens:     s.cfg.ClientCerts,
	}
	for _, g := range s.GrantTypes() {
		m.GrantTypes = append(m.GrantTypes, g.Name)
	}
	s.fillAuthMethods(m)
	// Not those of the management API: there are clients that request whatever is listed.
	m.Scopes = slices.DeleteFunc(slices.Sorted(maps.Keys(s.store.Scopes())), oauth.IsAdminScope)
	m.Claims = []string{
		"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash",
	}
	for _, sc := range oauth.UserScopes() {
		m.Claims = append(m.Claims, oauth.ScopeClaims(sc)...)
	}
	return m
}

// signingAlgs returns the algorithms that ID tokens are signed with: that of the settings, and
// others that have a key.
func (s *Server) signingAlgs() []string {
	have := s.ring.Algorithms()
	return slices.DeleteFunc(jose.Algorithms(), func(alg string) bool {
		return alg != s.cfg.Alg && !slices.Contains(have, alg)
	})
}

// fillAuthMethods advertises the client authentication methods at each endpoint that uses them.
func (s *Server) fillAuthMethods(m *Metadata) {
	for _, method := range s.AuthMethods() {
		m.TokenAuth = append(m.TokenAuth, method.Name)
		if !method.Public { // public clients may not introspect
			m.IntrospectionAuth = append(m.IntrospectionAuth, method.Name)
		}
	}
	m.RevocationAuth = m.TokenAuth
	m.TokenAuthAlgs = jose.AssertionAlgorithms()
	m.IntrospectionAuthAlgs, m.RevocationAuthAlgs = m.TokenAuthAlgs, m.TokenAuthAlgs
}

// discoveryDoc is a discovery document in JSON, with the state that it was made for.
type discoveryDoc struct {
	scopes map[string]*oauth.Scope // referenced, so that no later map gets its address
	algs   []string                // of the key ring
	json   []byte
}

// Discovery returns the discovery document as JSON, made once for each state of the scopes and of
// the algorithms that have keys. The bytes are shared.
func (s *Server) Discovery() ([]byte, error) {
	// Storage replaces the whole map when a scope changes, so its address tells one state from
	// another.
	scopes := s.store.Scopes()
	same := func(other map[string]*oauth.Scope) bool {
		return reflect.ValueOf(other).Pointer() == reflect.ValueOf(scopes).Pointer()
	}
	algs := s.ring.Algorithms()
	if doc := s.discovery.Load(); doc != nil && same(doc.scopes) && slices.Equal(doc.algs, algs) {
		return doc.json, nil
	}
	raw, err := json.Marshal(s.Metadata())
	if err == nil {
		s.discovery.Store(&discoveryDoc{scopes: scopes, algs: algs, json: raw})
	}
	return raw, err
}

// JWKS returns the key set to publish at the time of a call (RFC 7517 §5).
func (s *Server) JWKS(c *oauth.Call) ([]byte, error) { return s.ring.JWKS(c.Now) }
