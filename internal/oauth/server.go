// Package oauth is the authorization server: OAuth 2 (RFC 6749 with the practice of RFC 9700) and OpenID
// Connect Core, as values in and values out. It knows no HTTP, no SQL and no clock.
//
// A browser's journey:
//
//	          ┌────────────── Step.Login ──► login page ──┐
//	          │                                           ▼
//	request ──► Authorize ◄──────── the sealed Flow ──────┤
//	          │                                           ▲
//	          ├────────────── Step.Consent ► consent page ┘
//	          └─ Step.Reply ► the client, with a code or an error
//
// What must live between two hops is sealed into the Flow that the browser carries, so an anonymous
// visitor stores nothing here.
package oauth

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Config is what an operator decides about the protocol.
type Config struct {
	Issuer          string // BASE_URL
	CodeTTL         time.Duration
	AccessTTL       time.Duration
	IDTokenTTL      time.Duration
	RefreshTTL      time.Duration // sliding
	RefreshAbsolute time.Duration // from the approval on; 0: no bound
	ReuseInterval   time.Duration // how long a lost answer to a refresh may be asked for again
	DeviceTTL       time.Duration
	Rotation        bool   // rotate refresh tokens of confidential clients; public ones always do unless a client opts out
	TokenFormat     string // FormatJWT or FormatOpaque
	Alg             string
	DefaultScopes   []string
	PasswordGrant   bool
	PasswordClients []client.ID
	RequirePKCE     bool    // for confidential clients, too
	EndWithSession  bool    // what was issued in a browser session ends with it
	CountIssuances  bool    // record tokens that no sign-in stands behind by their number; see RecordIssuances
	DPoPNonce       bool    // proofs must carry a nonce of ours (RFC 9449 §8)
	ClientCerts     bool    // connections may come with a client certificate, so that tokens can be bound to it (RFC 8705 §3)
	Replays         Replays // of proofs at resources; nil: a memory of this process
}

// Access token formats.
const (
	FormatJWT    = "jwt"
	FormatOpaque = "opaque"
)

// KeyFetcher reads a client's key set from its jwks_uri. With fresh, a copy kept from before does not do.
type KeyFetcher interface {
	KeySet(ctx context.Context, uri string, fresh bool) ([]byte, error)
}

// Owner checks a resource owner's password for the password grant (RFC 6749 §4.3).
type Owner interface {
	ResourceOwner(ctx context.Context, c *Call, username, password string) (*identity.User, error)
}

// Server is one authorization server. It is safe for concurrent use; two of them share nothing.
type Server struct {
	cfg       Config
	store     Store
	ring      *jose.Ring
	keys      *secret.Keys
	flows     *secret.Box
	tag       []byte // authenticates refresh tokens
	next      []byte // derives a refresh token's successor
	nonce     []byte // makes the nonces of DPoP proofs
	replays   Replays
	fetch     KeyFetcher
	owner     Owner
	seen      *seen
	tally     *tally
	discovery atomic.Pointer[metadata]
	grants    []GrantType
	methods   []ClientAuth
}

// New makes a server. Owner may be nil when the password grant is off.
func New(cfg Config, st Store, ring *jose.Ring, keys *secret.Keys, fetch KeyFetcher, owner Owner) *Server {
	replays := cfg.Replays
	if replays == nil {
		replays = newReplayMemory()
	}
	return &Server{
		cfg: cfg, store: st, ring: ring, keys: keys, fetch: fetch, owner: owner, replays: replays,
		flows: keys.Box("flow"), tag: keys.Derive("refresh-tag"), next: keys.Derive("refresh-next"), nonce: keys.Derive("dpop-nonce"),
		seen:    newSeen(),
		tally:   newTally(),
		grants:  grantTypes(cfg),
		methods: clientAuths(),
	}
}

// grantTypes is the table of grant types that are served; discovery is derived from it.
func grantTypes(cfg Config) []GrantType {
	all := []GrantType{grantCode{}, grantRefresh{}, grantClient{}, grantDevice{}, grantExchange{}}
	if cfg.PasswordGrant {
		all = append(all, grantPassword{})
	}
	return all
}

// clientAuths is the table of client authentication methods; discovery is derived from it.
func clientAuths() []ClientAuth {
	return []ClientAuth{authBasic{}, authPost{}, authPrivateKey{}, authNone{}}
}

// Issuer is the server's issuer identifier.
func (s *Server) Issuer() string { return s.cfg.Issuer }

// TokenEndpoint is the canonical address of the token endpoint.
func (s *Server) TokenEndpoint() string { return s.cfg.Issuer + "/oauth/token" }

// client gives a client that exists and is not disabled.
func (s *Server) client(ctx context.Context, id client.ID) (*client.Client, error) {
	cl, err := s.store.Client(ctx, id)
	if fault.Is(err, fault.NotFound) {
		if err := s.store.SyncCache(ctx); err != nil {
			return nil, err
		}
		cl, err = s.store.Client(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	if cl.Disabled {
		return nil, invalidClient("", "The client is disabled.")
	}
	return cl, nil
}

// Registered reports whether a client of that id exists.
func (s *Server) ClientExists(ctx context.Context, id client.ID) bool {
	_, err := s.store.Client(ctx, id)
	return err == nil
}
