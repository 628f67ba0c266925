// Package oauth is the authorization server as a person meets it: OAuth 2 (RFC 6749 with the
// practice of RFC 9700) and OpenID Connect Core, as values in and values out. It knows no HTTP,
// no SQL and no clock. It also defines the terms that all endpoints share: Call, Grant, Code,
// AccessToken, Revocation, Error, scopes and resources.
//
// The endpoints that programs call (token, device authorization, introspection, revocation,
// userinfo, discovery) are in package token. All of those authenticate a client or read a token,
// and none of these do, so token imports oauth and oauth does not know token.
//
// The way of a browser:
//
//	          ┌────────────── Step.Login ──► login page ──┐
//	          │                                           ▼
//	request ──► Authorize ◄──────── the sealed Flow ──────┤
//	          │                                           ▲
//	          ├────────────── Step.Consent ► consent page ┘
//	          └─ Step.Reply ► the client, with a code or an error
//
// State that must survive between two of these requests is sealed into the Flow that the browser
// carries, so an anonymous visitor stores nothing here.
package oauth

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Config holds an operator's decisions about the protocol.
type Config struct {
	Issuer          string // BASE_URL
	CodeTTL         time.Duration
	AccessTTL       time.Duration
	IDTokenTTL      time.Duration
	RefreshTTL      time.Duration // from each use on
	RefreshAbsolute time.Duration // from the approval on; 0: no bound
	ReuseInterval   time.Duration // how long a client may repeat a refresh whose answer was lost
	DeviceTTL       time.Duration
	Rotation        bool   // rotate refresh tokens of confidential clients as well
	TokenFormat     string // FormatJWT or FormatOpaque
	Alg             string
	DefaultScopes   []string
	PasswordGrant   bool
	PasswordClients []client.ID
	RequirePKCE     bool // for confidential clients as well
	EndWithSession  bool // tokens issued in a browser session end with it
	CountIssuances  bool // audit tokens of machines by number; see token.Server.RecordIssuances
	DPoPNonce       bool // proofs must carry a nonce of ours (RFC 9449 §8)

	// RevocationMaxAge is how old the knowledge of revocations may be by which tokens are accepted.
	// 0: as old as it is.
	RevocationMaxAge time.Duration

	UILocales   []string // BCP 47 tags of the languages of the pages
	ClientCerts bool     // clients may present a TLS certificate (RFC 8705 §3)
}

// Access token formats.
const (
	FormatJWT    = client.FormatJWT
	FormatOpaque = client.FormatOpaque
)

// Server serves the browser's endpoints. It is safe for concurrent use; two Servers share
// nothing.
type Server struct {
	cfg     Config
	store   Store
	clients Clients
	scopes  ScopePolicy
	ring    *jose.Ring
	keys    *secret.Keys
	flows   *secret.Box
	tests   SignInTests

	clientKeys ClientKeys
	failures   failureLimiter
}

// New returns a Server. It reads the keys of clients that have a jwks_uri by fetch.
func New(
	cfg Config, st Store, ring *jose.Ring, keys *secret.Keys, fetch KeyFetcher,
) *Server {
	return &Server{
		cfg:     cfg,
		store:   st,
		clients: Clients{st},
		scopes: ScopePolicy{
			Defaults: cfg.DefaultScopes, Defined: st.Scopes, Roles: st.RoleDefinitions,
		},
		ring:       ring,
		keys:       keys,
		flows:      keys.Box("flow"),
		tests:      NewSignInTests(cfg.Issuer, keys),
		clientKeys: ClientKeys{fetch},
	}
}

// Issuer returns the server's issuer identifier.
func (s *Server) Issuer() string { return s.cfg.Issuer }
