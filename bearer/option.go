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

// Option is a choice of New.
type Option func(*settings) error

// Blind is what is done with a JWT while the feed of revocations is not current.
type Blind int

const (
	Introspect Blind = iota // show it to the introspection endpoint; answers are kept for CacheFor
	Refuse                  // answer 503 until the feed is current again
)

// settings are what options set.
type settings struct {
	audiences    []string
	anyAudience  bool
	clientID     string
	clientSecret string
	algs         []string
	foreign      bool
	claims       Claims
	always       bool
	introspectAt string
	jwksAt       string
	noFeed       bool
	blind        Blind
	cache        Cache
	cacheFor     time.Duration
	once         Once
	nonces       *nonces
	onlyDPoP     bool
	base         string
	certificate  func(*http.Request) *x509.Certificate
	resource     *Resource
	document     []byte // that describes it
	documentPath string // where on its host the document stands
	documentURL  string
	realm        string
	leeway       time.Duration
	late         time.Duration // leeway after exp
	maxToken     int
	remember     int
	http         *http.Client
	plain        bool
	now          func() time.Time
	onError      func(error)
	onRefused    func(*http.Request, *Error)
}

const (
	defaultLeeway   = 10 * time.Second
	defaultCacheFor = 10 * time.Second
	defaultMaxToken = 8 << 10
	defaultRemember = 50_000
	defaultMemory   = 32 << 20
	mostLeeway      = 5 * time.Minute
	leastNonceKey   = 32
)

func defaults() settings {
	return settings{
		algs:   []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"},
		leeway: defaultLeeway, cacheFor: defaultCacheFor, maxToken: defaultMaxToken, remember: defaultRemember,
		claims:      Claims{Scopes: "scope", Roles: "roles", Client: "client_id", Name: "username"},
		certificate: peerCertificate, now: time.Now,
	}
}

// check looks at what the options say together.
func (s *settings) check(issuer string) error {
	switch {
	case addressable(issuer, s.plain) != nil:
		return fmt.Errorf("the issuer: %w", addressable(issuer, s.plain))
	case len(s.audiences) == 0 && !s.anyAudience:
		return errors.New("say with Audience which name the tokens have for this API; those meant for the server itself name its issuer")
	case s.always && s.clientID == "":
		return errors.New("introspection needs a Client of this API's own")
	}
	for what, address := range map[string]string{"IntrospectionEndpoint": s.introspectAt, "JWKS": s.jwksAt} {
		if address == "" {
			continue
		}
		if err := addressable(address, s.plain); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if s.resource != nil {
		return s.describe(issuer)
	}
	return nil
}

// Audience names this API as its tokens do in `aud`. A token must name one of the audiences.
func Audience(names ...string) Option {
	return func(s *settings) error {
		s.audiences = append(s.audiences, names...)
		return nil
	}
}

// AnyAudience leaves the audience to the caller of Verify, who must compare Token.Audience: a token meant for somebody
// else is otherwise good here, and whoever it was meant for can use it.
func AnyAudience() Option {
	return func(s *settings) error {
		s.anyAudience = true
		return nil
	}
}

// Client is this API's own confidential client at the issuer. With it revocations are followed and opaque tokens introspected.
func Client(id, secret string) Option {
	return func(s *settings) error {
		if id == "" || secret == "" {
			return errors.New("Client needs the id and the secret of a confidential client")
		}
		s.clientID, s.clientSecret = id, secret
		return nil
	}
}

// Algorithms replaces the list of accepted signature algorithms, by default RS256, PS256, ES256, ES384 and EdDSA. Only asymmetric ones can be
// chosen.
func Algorithms(names ...string) Option {
	return func(s *settings) error {
		for _, a := range names {
			if !asymmetric(a) {
				return fmt.Errorf("%q is not an asymmetric signature algorithm, such as RS256", a)
			}
		}
		if len(names) == 0 {
			return errors.New("Algorithms needs at least one name")
		}
		s.algs = names
		return nil
	}
}

// Foreign takes tokens of an issuer that is not Gatehouse, such as Auth0 or Keycloak: JWTs of type JWT, or of none, are accepted beside at+jwt,
// claims that RFC 9068 demands may be missing, and what they are called is told by c. There is no feed: revocations are seen only
// by AlwaysIntrospect.
func Foreign(c Claims) Option {
	return func(s *settings) error {
		s.foreign, s.claims = true, c
		return nil
	}
}

// AlwaysIntrospect shows every token to the introspection endpoint, also those that could be checked here.
func AlwaysIntrospect() Option {
	return func(s *settings) error {
		s.always = true
		return nil
	}
}

// IntrospectionEndpoint is asked instead of the one in the discovery document.
func IntrospectionEndpoint(address string) Option {
	return func(s *settings) error {
		s.introspectAt = address
		return nil
	}
}

// JWKS is where the issuer's keys are, for an issuer without a discovery document.
func JWKS(address string) Option {
	return func(s *settings) error {
		s.jwksAt = address
		return nil
	}
}

// WithoutFeed does not follow revocations: a JWT is good until it expires.
func WithoutFeed() Option {
	return func(s *settings) error {
		s.noFeed = true
		return nil
	}
}

// WhenBlind chooses what is done while the feed of revocations is not current. The default is Introspect.
func WhenBlind(b Blind) Option {
	return func(s *settings) error {
		if b != Introspect && b != Refuse {
			return fmt.Errorf("WhenBlind takes Introspect or Refuse, not %d", b)
		}
		s.blind = b
		return nil
	}
}

// CacheIn keeps answers of introspection in c, by default a Memory of this process. Who can write to c decides which tokens are good.
func CacheIn(c Cache) Option {
	return func(s *settings) error {
		s.cache = c
		return nil
	}
}

// CacheFor is how long an answer of introspection is believed, by default 10 seconds: the revocation of an opaque token is seen so much
// later. While the feed of revocations is current it is seen at once, and answers are believed for five minutes.
func CacheFor(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 || d > mostKept {
			return fmt.Errorf("CacheFor takes 0 to %s", mostKept)
		}
		s.cacheFor = d
		return nil
	}
}

// ReplaysIn shares the memory of DPoP proofs between servers, so that a proof works once at all of them together. While it does not
// answer, each server remembers by itself.
func ReplaysIn(o Once) Option {
	return func(s *settings) error {
		s.once = o
		return nil
	}
}

// RequireNonce demands of each DPoP proof a nonce that this API gave out within the last minutes (RFC 9449 §9), so that
// proofs cannot be made in advance. Servers that stand for one API share the key of at least 32 bytes; nil makes one.
func RequireNonce(key []byte) Option {
	return func(s *settings) error {
		if key == nil {
			key = make([]byte, leastNonceKey)
			_, _ = rand.Read(key) // never fails
		}
		if len(key) < leastNonceKey {
			return fmt.Errorf("RequireNonce needs a key of at least %d bytes", leastNonceKey)
		}
		s.nonces = newNonces(key)
		return nil
	}
}

// RequireDPoP refuses tokens that are not bound to a key of their client.
func RequireDPoP() Option {
	return func(s *settings) error {
		s.onlyDPoP = true
		return nil
	}
}

// PublicURL is the API's address as its callers see it, up to where request paths begin: https://api.example.com. DPoP proofs name it. By default it
// is taken from the request, which is wrong behind a proxy that ends TLS or changes the host. It also lets the caller say which host it
// is: set it, or let only requests for your own hosts come this far, if another API is sent the same tokens, for that one could
// pass on a proof that was made for it.
func PublicURL(base string) Option {
	return func(s *settings) error {
		u, err := url.Parse(base)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return fmt.Errorf("PublicURL: %q is not an http or https address without a query", base)
		}
		s.base = strings.TrimSuffix(base, "/")
		return nil
	}
}

// ClientCertificate says where a caller's TLS certificate is, for an API behind a proxy that ends TLS and hands it on in a header of its own. By
// default it is that of the connection.
func ClientCertificate(of func(*http.Request) *x509.Certificate) Option {
	return func(s *settings) error {
		s.certificate = of
		return nil
	}
}

// Describe sets what is said of this API in its metadata (RFC 9728). Challenges then point to them; serve them with Metadata.
func Describe(r Resource) Option {
	return func(s *settings) error {
		s.resource = &r
		return nil
	}
}

// Realm is named in challenges (RFC 9110 §11.5).
func Realm(name string) Option {
	return func(s *settings) error {
		if strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) {
			return fmt.Errorf("Realm: %q has characters that cannot stand in a header", name)
		}
		s.realm = name
		return nil
	}
}

// Leeway is how far the issuer's clock may be from ours, up to five minutes. By default it is 10 seconds for iat and nbf, and none for exp: a
// token that ends a moment early costs its client a refresh, one that lives on may cost its user more.
func Leeway(d time.Duration) Option {
	return func(s *settings) error {
		if d < 0 || d > mostLeeway {
			return fmt.Errorf("Leeway takes 0 to %s", mostLeeway)
		}
		s.leeway, s.late = d, d
		return nil
	}
}

// MaxToken is how many bytes a token may have, by default 8 KiB.
func MaxToken(bytes int) Option {
	return func(s *settings) error {
		if bytes < 1 {
			return errors.New("MaxToken needs a number of bytes")
		}
		s.maxToken = bytes
		return nil
	}
}

// Remember is how many verified JWTs are remembered, by their hash, so that a signature is verified once and not at each request; by default
// 50,000, of about a kilobyte each.
func Remember(tokens int) Option {
	return func(s *settings) error {
		if tokens < 1 {
			return errors.New("Remember needs a number of tokens")
		}
		s.remember = tokens
		return nil
	}
}

// HTTPClient is used to ask the issuer. Its redirects are not followed and its time is bounded whatever it says.
func HTTPClient(c *http.Client) Option {
	return func(s *settings) error {
		s.http = c
		return nil
	}
}

// AllowHTTP takes an issuer without TLS that is not on this machine, as in a test network. Whoever is on the way can then forge tokens.
func AllowHTTP() Option {
	return func(s *settings) error {
		s.plain = true
		return nil
	}
}

// Clock replaces time.Now, for tests.
func Clock(now func() time.Time) Option {
	return func(s *settings) error {
		s.now = now
		return nil
	}
}

// OnError is told what fails behind the requests: the issuer or a cache that cannot be reached. The error holds no token or secret.
func OnError(told func(error)) Option {
	return func(s *settings) error {
		s.onError = told
		return nil
	}
}

// OnRefused is told of each refusal by Require, with the reason (errors.Unwrap) that its caller is not told.
func OnRefused(told func(*http.Request, *Error)) Option {
	return func(s *settings) error {
		s.onRefused = told
		return nil
	}
}
