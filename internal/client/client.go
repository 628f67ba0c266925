package client

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// ClientID names a client (RFC 6749 §2.2): a UUIDv7 unless the operator chose another.
type ID string

// Client is a registered client. Values read from the store are shared and must not be changed.
type Client struct {
	ID                ID
	Name              string
	Description       string
	URI               string // home page, shown on the consent page
	LogoURI           string
	Public            bool            // cannot keep a secret; authenticates by `none`
	AuthMethod        string          // token_endpoint_auth_method (RFC 7591 §2): one of the method names of this package
	Secrets           []Secret        // the live ones, newest first
	JWKS              json.RawMessage // inline public keys for private_key_jwt, or empty
	JWKSURI           string          // where to read them, or ""
	Grants            []string        // grant types it may use
	Redirects         []string        // exact redirect URIs (RFC 9700 §2.1)
	PostLogout        []string        // post_logout_redirect_uris
	Scopes            []string        // scopes it may ask for
	Resources         []string        // resource indicators (RFC 8707) it may ask for beyond the issuer
	TokenFormat       string          // "jwt", "opaque" or "" for the server's default
	Alg               string          // signature algorithm of its tokens, or "" for the server's default
	FirstParty        bool            // consent is not asked
	PlainPKCE         bool            // code_challenge_method plain is allowed (RFC 7636 §4.2); off unless asked for
	RequirePKCE       bool            // for confidential clients; public ones always must
	Rotation          string          // refresh rotation: "on", "off" or "" for the server's default
	AccessTTL         time.Duration   // 0: the server's default; likewise below
	IDTokenTTL        time.Duration
	RefreshTTL        time.Duration
	Roles             []string // of the client when it acts for itself
	Networks          []string // CIDR it may call the gateway from; empty: anywhere
	Hosts             []string // hosts of the gateway it may call; empty: any
	Routes            []string // routes of the gateway it may call, as domain/version, domain or an id; empty: any
	DPoPBound         bool     // its tokens are always bound to a key (RFC 9449 §5.2, dpop_bound_access_tokens)
	CertBound         bool     // its tokens are always bound to its TLS certificate (RFC 8705 §3)
	ServerSideRefresh bool     // it is given access tokens only, and exchanges an old one for a new one
	Disabled          bool
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// Secret is the stored form of a client secret.
type Secret struct {
	ID        string
	Hash      secret.Hash
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
}

// May reports whether the client may use a grant type. ServerSideRefresh brings its own.
func (c *Client) CanUseGrant(grant string) bool {
	return slices.Contains(c.Grants, grant) || (c.ServerSideRefresh && grant == GrantTypeExchange)
}

// accepts reports whether a client may authenticate by a method. A confidential client registered without a
// method may send its secret either way.
func (cl *Client) AcceptsMethod(method string) bool {
	switch {
	case cl.Public:
		return method == MethodNone
	case cl.AuthMethod == "":
		return method == MethodBasic || method == MethodPost
	}
	return cl.AuthMethod == method
}

// prolongs reports whether what a person allows the client can last longer than its first access token.
func (cl *Client) CanRefresh() bool { return cl.CanUseGrant(GrantTypeRefresh) || cl.ServerSideRefresh }

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
