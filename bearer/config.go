package bearer

import (
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A Config says whose tokens a Verifier accepts, and how. Issuer and Audience are required; the
// zero value of every other field is a safe default.
type Config struct {
	// Issuer is the authorization server's issuer identifier, exactly as in the tokens' iss.
	Issuer string
	// Audience lists the names of this API in aud. A token must carry one of them.
	Audience []string
	// AnyAudience leaves the audience to the caller of Verify, who must compare Token.Audience:
	// otherwise a token issued for another API is accepted here, and that API could use it. The
	// server tells a client of tokens for other APIs only if it is registered with introspect_any.
	AnyAudience bool
	// Client is this API's own confidential client at the issuer. With it, revocations are followed
	// and opaque tokens are introspected; without it, only JWTs are accepted, until they expire.
	// Register it with each Audience but the issuer as a resource.
	Client ClientCredentials

	// Foreign is set for an issuer that is not Gatehouse, such as Auth0 or Keycloak, and says how
	// it names its claims. JWTs with the type JWT, or without one, are then accepted beside at+jwt,
	// and claims that RFC 9068 requires may be missing. Such an issuer has no revocation feed:
	// revocations are noticed only with AlwaysIntrospect.
	Foreign *Claims
	// Algorithms lists the accepted signature algorithms, asymmetric ones only. Nil means RS256,
	// PS256, ES256, ES384 and EdDSA.
	Algorithms []string
	// JWKSURL is the address of the issuer's keys, for an issuer without a discovery document.
	JWKSURL string

	// AlwaysIntrospect introspects every token, including JWTs that could be verified locally.
	AlwaysIntrospect bool
	// IntrospectionURL is used instead of the endpoint in the discovery document.
	IntrospectionURL string
	// Cache stores introspection responses; nil means a Memory of 32 MiB. Whoever can write to the
	// cache decides which tokens are accepted.
	Cache Cache
	// CacheTTL is how long an introspection response is reused, up to five minutes: the revocation
	// of an opaque token is noticed that much later. Zero means 10 seconds; a negative value turns
	// the cache off. While the revocation feed is current, revocations apply at once and active
	// responses are reused for five minutes.
	CacheTTL time.Duration

	// IgnoreRevocations does not follow the revocation feed: a JWT is accepted until it expires.
	IgnoreRevocations bool
	// StaleFeed says what to do with JWTs while the revocation feed is not current.
	StaleFeed StaleFeedPolicy

	// DPoP configures proofs of possession (RFC 9449). Tokens that are bound to a key are accepted
	// only with a proof, whatever it says.
	DPoP DPoPConfig
	// PublicURL is the API's address as its callers see it, up to where request paths begin, such
	// as https://api.example.com. DPoP proofs name it. By default it is taken from the request,
	// which is wrong behind a proxy that terminates TLS or changes the host. It also lets the
	// caller choose the host: set PublicURL, or accept only requests for your own hosts, if another
	// API receives the same tokens, since that API could reuse a proof that was made for it.
	PublicURL string
	// ClientCertificate returns the caller's TLS certificate, for an API behind a proxy that
	// terminates TLS and passes the certificate on. Nil reads it from the connection.
	ClientCertificate func(*http.Request) *x509.Certificate

	// Resource, if set, describes this API in a metadata document (RFC 9728). Challenges then link
	// to the document; serve it with [Verifier.Metadata].
	Resource *Resource
	// Realm is sent in challenges (RFC 9110 §11.5).
	Realm string

	// Leeway is how much the issuer's clock may differ from ours, up to five minutes. Zero means
	// 10 seconds for iat and nbf and none for exp; a negative value means none at all.
	Leeway time.Duration
	// MaxTokenBytes bounds the size of a token; zero means 8 KiB.
	MaxTokenBytes int
	// MaxCachedTokens bounds how many verified JWTs are cached, by their hash, so that a signature
	// is verified once and not for each request; zero means 50,000, of about a kilobyte each.
	MaxCachedTokens int

	// HTTPClient sends requests to the issuer; nil means one of our own. Its redirects are never
	// followed and each request is bounded in time.
	HTTPClient *http.Client
	// AllowHTTP accepts an issuer without TLS that is not on this machine, as in a test network.
	// Anyone on the network path can then forge tokens.
	AllowHTTP bool
	// Clock replaces time.Now in tests.
	Clock func() time.Time
	// OnError is called when something fails in the background: the issuer or a cache cannot be
	// reached. The error contains no token and no secret. It may be called concurrently.
	OnError func(error)
	// OnReject is called for each request that Require rejects. The error unwraps to the reason
	// that the caller does not see. It may be called concurrently.
	OnReject func(*http.Request, *Error)
}

// ClientCredentials identify a confidential client (RFC 6749 §2.3.1).
type ClientCredentials struct{ ID, Secret string }

// DPoPConfig configures proofs of possession (RFC 9449).
type DPoPConfig struct {
	// Required rejects tokens that are not bound to a key of their client.
	Required bool
	// RequireNonce demands in each proof a nonce that this API issued within the last minutes
	// (RFC 9449 §9), so that proofs cannot be made in advance.
	RequireNonce bool
	// NonceKey authenticates nonces; at least 32 bytes. The servers of one API share it. Nil means
	// a random key of this Verifier.
	NonceKey []byte
	// Replays lets the servers of one API share the used proofs, so that a proof works once at all
	// of them together. While it fails, each server rejects only the replays that it has seen
	// itself.
	Replays ReplayCache
}

// A StaleFeedPolicy says how to treat JWTs while the revocation feed is stale: before it is first
// current, and when nothing has been heard from it for ten seconds.
type StaleFeedPolicy int

const (
	// IntrospectWhenStale introspects each JWT; responses are cached for Config.CacheTTL.
	IntrospectWhenStale StaleFeedPolicy = iota
	// RejectWhenStale responds 503 until the feed is current again. Call [Verifier.Ready] before
	// you serve, or the first requests are rejected too.
	RejectWhenStale
)

const (
	defaultLeeway    = 10 * time.Second
	defaultCacheTTL  = 10 * time.Second
	defaultMaxToken  = 8 << 10
	defaultMaxTokens = 50_000
	defaultMemory    = 32 << 20
	maxLeeway        = 5 * time.Minute
	minNonceKey      = 32
)

// settings are a valid Config with its defaults filled in, and what is derived from it.
type settings struct {
	Config
	claims       Claims
	expLeeway    time.Duration
	nonces       *nonces
	document     []byte // the API's metadata
	documentPath string
	documentURL  string
}

// newSettings validates a Config. The error joins all problems.
func newSettings(c Config) (settings, error) {
	s := settings{Config: c}
	if err := errors.Join(s.checkIssuer(), s.checkIntrospection(), s.checkDPoP(), s.checkBounds()); err != nil {
		return s, err
	}
	s.setDefaults()
	if s.Resource != nil {
		return s, s.describe()
	}
	return s, nil
}

func (s *settings) checkIssuer() error {
	var errs []error
	if err := checkAddress(s.Issuer, s.AllowHTTP); err != nil {
		errs = append(errs, fmt.Errorf("the Issuer is not usable: %w", err))
	}
	if len(s.Audience) == 0 && !s.AnyAudience {
		errs = append(errs, errors.New("set Audience to the name that tokens carry for this API; "+
			"tokens for the server itself carry its issuer"))
	}
	if (s.Client.ID == "") != (s.Client.Secret == "") {
		errs = append(errs, errors.New("the Client needs the ID and the Secret of a confidential client"))
	}
	if s.Algorithms != nil && len(s.Algorithms) == 0 {
		errs = append(errs, errors.New("the list Algorithms needs at least one name"))
	}
	for _, a := range s.Algorithms {
		if !asymmetric(a) {
			errs = append(errs, fmt.Errorf("%q in Algorithms is not an asymmetric signature "+
				"algorithm such as RS256", a))
		}
	}
	if s.JWKSURL != "" {
		if err := checkAddress(s.JWKSURL, s.AllowHTTP); err != nil {
			errs = append(errs, fmt.Errorf("the JWKSURL is not usable: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (s *settings) checkIntrospection() error {
	var errs []error
	if s.AlwaysIntrospect && s.Client.ID == "" {
		errs = append(errs, errors.New("the option AlwaysIntrospect needs a Client"))
	}
	if s.IntrospectionURL != "" {
		if err := checkAddress(s.IntrospectionURL, s.AllowHTTP); err != nil {
			errs = append(errs, fmt.Errorf("the IntrospectionURL is not usable: %w", err))
		}
	}
	if s.CacheTTL > maxCacheTTL {
		errs = append(errs, fmt.Errorf("the CacheTTL must be at most %s", maxCacheTTL))
	}
	if s.StaleFeed != IntrospectWhenStale && s.StaleFeed != RejectWhenStale {
		errs = append(errs, fmt.Errorf("the value of StaleFeed must be IntrospectWhenStale or "+
			"RejectWhenStale, not %d", s.StaleFeed))
	}
	return errors.Join(errs...)
}

func (s *settings) checkDPoP() error {
	var errs []error
	if key := s.DPoP.NonceKey; key != nil && len(key) < minNonceKey {
		errs = append(errs, fmt.Errorf("the key DPoP.NonceKey needs at least %d bytes", minNonceKey))
	}
	if s.PublicURL != "" {
		u, err := url.Parse(s.PublicURL)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") ||
			u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			errs = append(errs, fmt.Errorf("the PublicURL %q is not an http or https address "+
				"without a query", s.PublicURL))
		}
	}
	return errors.Join(errs...)
}

func (s *settings) checkBounds() error {
	var errs []error
	if s.Leeway > maxLeeway {
		errs = append(errs, fmt.Errorf("the Leeway must be at most %s", maxLeeway))
	}
	if s.MaxTokenBytes < 0 {
		errs = append(errs, errors.New("the value of MaxTokenBytes is negative"))
	}
	if s.MaxCachedTokens < 0 {
		errs = append(errs, errors.New("the value of MaxCachedTokens is negative"))
	}
	if s.Realm != quotable(s.Realm) {
		errs = append(errs, fmt.Errorf("the Realm %q has characters that are not allowed in a "+
			"header", s.Realm))
	}
	return errors.Join(errs...)
}

func (s *settings) setDefaults() {
	s.claims = Claims{Scopes: "scope", Roles: "roles", Client: "client_id", Name: "username"}
	if s.Foreign != nil {
		s.claims = *s.Foreign
	}
	if s.Algorithms == nil {
		s.Algorithms = []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}
	}
	if s.expLeeway = max(s.Leeway, 0); s.Leeway == 0 {
		s.Leeway = defaultLeeway
	}
	s.Leeway = max(s.Leeway, 0)
	if s.CacheTTL == 0 {
		s.CacheTTL = defaultCacheTTL
	}
	s.CacheTTL = max(s.CacheTTL, 0)
	if s.MaxTokenBytes == 0 {
		s.MaxTokenBytes = defaultMaxToken
	}
	if s.MaxCachedTokens == 0 {
		s.MaxCachedTokens = defaultMaxTokens
	}
	if s.Cache == nil {
		s.Cache = NewMemory(defaultMemory)
	}
	if s.ClientCertificate == nil {
		s.ClientCertificate = peerCertificate
	}
	if s.Clock == nil {
		s.Clock = time.Now
	}
	if s.DPoP.RequireNonce {
		key := s.DPoP.NonceKey
		if key == nil {
			key = make([]byte, minNonceKey)
			_, _ = rand.Read(key) // never fails
		}
		s.nonces = newNonces(key)
	}
	s.PublicURL = strings.TrimSuffix(s.PublicURL, "/")
}

// followsFeed reports whether the issuer has a revocation feed that this API reads.
func (s *settings) followsFeed() bool {
	return s.Client.ID != "" && s.Foreign == nil && !s.IgnoreRevocations
}
