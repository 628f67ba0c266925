package client

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// ID names a client (RFC 6749 §2.2): a UUIDv7 unless the operator chose another.
type ID string

// Client is a registered client. Values read from the store are shared and must not be changed.
type Client struct {
	ID                ID
	Name              string
	Description       string
	URI               string // home page, shown on the consent page
	LogoURI           string
	BrandColor        string          // #rrggbb, or ""
	TermsURI          string          // terms of service, linked on the consent page
	PolicyURI         string          // privacy policy, linked on the consent page
	Contacts          []string        // email addresses of the people who look after it
	Public            bool            // cannot keep a secret; authenticates by `none`
	AuthMethod        string          // token_endpoint_auth_method (RFC 7591 §2): one of the method names of this package
	Secrets           []Secret        // newest first; some may have expired
	JWKS              json.RawMessage // inline public keys for private_key_jwt, or empty
	JWKSURI           string          // the address of a key set, or ""
	AuthAlg           string          // the only algorithm of its client assertions, or "" for any
	RequestAlg        string          // the only algorithm of its request objects (RFC 9101), or "" for any
	StrictAudience    bool            // its assertions name the issuer alone as aud (FAPI 2.0 §5.3.2.1)
	Grants            []string        // grant types it may use
	Redirects         []string        // exact redirect URIs (RFC 9700 §2.1)
	CustomSchemes     bool            // a redirect URI's scheme need not be a domain name in reverse
	PostLogout        []string        // post_logout_redirect_uris
	Scopes            []string        // scopes it may request
	Resources         []string        // resource indicators (RFC 8707) it may request besides the issuer
	TokenFormat       string          // "jwt", "opaque" or "" for the server's default
	TokenTyp          string          // `typ` header of its JWT access tokens: TypAccessToken, TypJWT or "" for the first
	Alg               string          // signature algorithm of its tokens, or "" for the server's default
	IDTokenProfile    string          // profile claims in its ID tokens: "on", "off" or "" for on
	FirstParty        bool            // people are not asked for consent
	PlainPKCE         bool            // code_challenge_method plain is allowed (RFC 7636 §4.2)
	RequirePKCE       bool            // for confidential clients; public ones always must
	Rotation          string          // refresh rotation: "on", "off" or "" for the server's default
	AccessTTL         time.Duration   // 0: the server's default; likewise below
	IDTokenTTL        time.Duration
	RefreshTTL        time.Duration
	Roles             []string        // of the client when it acts for itself
	Networks          []string        // CIDR it may call the gateway from; empty: anywhere
	Origins           []string        // the Origin header of its calls is one of them; empty: any, or none
	Hosts             []string        // hosts of the gateway it may call; empty: any
	Routes            []string        // routes of the gateway it may call, as domain/version, domain or an id; empty: any
	IntrospectAny     bool            // it sees every token at introspection and in the revocation feed
	DPoPBound         bool            // its tokens are always bound to a key (RFC 9449 §5.2, dpop_bound_access_tokens)
	CertBound         bool            // its tokens are always bound to its TLS certificate (RFC 8705 §3)
	ServerSideRefresh bool            // it gets access tokens only, and exchanges an old one for a new one
	RateLimits        json.RawMessage // its own limits: see RateLimit; or empty
	LoopbackOnly      bool            // it is served only to this machine, past no proxy
	Disabled          bool
	Registration      Registration
	CreatedAt         time.Time
	UpdatedAt         time.Time
	Version           int64 // raised by changes of what an administrator sets; 0: not stored
}

// Registration says how a client was registered, and holds the token by which it manages its own
// registration (RFC 7592).
type Registration struct {
	By     string          // ByAnybody, ByInitialToken and an id, or "" for an administrator
	Policy json.RawMessage // what it may register of itself, or empty
	Chain  string          // the series that its registration access tokens belong to; "": none
	Hash   secret.Hash     // of the current registration access token
	Next   secret.Hash     // of its successor, which has been issued but not used yet; or ""
	UsedAt time.Time       // when somebody last signed in to it; only of ByAnybody
}

// Values of Registration.By.
const (
	ByAnybody      = "anybody" // nobody has checked the client
	ByInitialToken = "token:"  // followed by the id of the initial access token
)

// Unverified reports whether nobody has checked who the client is.
func (c *Client) Unverified() bool { return c.Registration.By == ByAnybody }

// Secret is the stored form of a client secret.
type Secret struct {
	ID        string
	Hash      secret.Hash
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// Active reports whether the secret has not expired.
func (s *Secret) Active(now time.Time) bool {
	return s.ExpiresAt.IsZero() || s.ExpiresAt.After(now)
}

// ActiveSecrets returns how many secrets of the client have not expired.
func (c *Client) ActiveSecrets(now time.Time) int {
	n := 0
	for i := range c.Secrets {
		if c.Secrets[i].Active(now) {
			n++
		}
	}
	return n
}

// CanUseGrant reports whether the client may use a grant type, by its wire name.
// ServerSideRefresh implies token exchange.
func (c *Client) CanUseGrant(grant string) bool {
	return slices.Contains(c.Grants, grant) || (c.ServerSideRefresh && grant == GrantTypeExchange)
}

// AcceptsMethod reports whether a client may authenticate by a method. A confidential client that
// is registered without a method may use client_secret_basic and client_secret_post.
func (c *Client) AcceptsMethod(method string) bool {
	switch {
	case c.Public:
		return method == MethodNone
	case c.AuthMethod == "":
		return method == MethodBasic || method == MethodPost
	}
	return c.AuthMethod == method
}

// CanRefresh reports whether the client can get new access tokens for a grant without the person.
func (c *Client) CanRefresh() bool { return c.CanUseGrant(GrantTypeRefresh) || c.ServerSideRefresh }

// Values of the `typ` header of JWT access tokens.
const (
	TypAccessToken = "at+jwt" // RFC 9068 §2.1
	TypJWT         = "JWT"    // for APIs whose libraries know no other (RFC 7519 §5.1)
)

// AccessTokenTyp returns the `typ` header of the client's JWT access tokens.
func (c *Client) AccessTokenTyp() string {
	if c.TokenTyp == "" {
		return TypAccessToken
	}
	return c.TokenTyp
}

// ProfileInIDToken reports whether the client's ID tokens carry the claims of the scopes profile,
// email, phone and address beside the userinfo endpoint.
func (c *Client) ProfileInIDToken() bool { return c.IDTokenProfile != "off" }

// Names of the client authentication methods (RFC 7591 §2, OpenID Connect Core §9).
const (
	MethodBasic      = "client_secret_basic"
	MethodPost       = "client_secret_post"
	MethodPrivateKey = "private_key_jwt"
	MethodNone       = "none"
)

// Names of the grant types (RFC 6749, RFC 8628 §3.4).
const (
	GrantTypeCode     = "authorization_code"
	GrantTypeRefresh  = "refresh_token"
	GrantTypeClient   = "client_credentials"
	GrantTypeDevice   = "urn:ietf:params:oauth:grant-type:device_code"
	GrantTypePassword = "password"
	GrantTypeExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
)
