package bearer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// metadata holds the members of a discovery document that are used (RFC 8414 §2).
type metadata struct {
	Issuer        string `json:"issuer"`
	JWKS          string `json:"jwks_uri"`
	Introspection string `json:"introspection_endpoint"`
}

// loadMetadata reads the issuer's discovery document: that of OpenID Connect, or else that of
// RFC 8414.
func (v *Verifier) loadMetadata(ctx context.Context) (metadata, time.Duration, error) {
	var first error
	for _, address := range discoveryURLs(v.Issuer) {
		body, lifetime, err := v.issuerHTTP.get(ctx, address)
		if err == nil {
			m, err := parseMetadata(body, v.Issuer)
			if err == nil && !v.AllowHTTP {
				err = m.checkHTTPS(v.Issuer)
			}
			return m, lifetime, err
		}
		if first == nil {
			first = err
		}
		var status *statusError
		if !errors.As(err, &status) { // the server cannot be reached, so the other address would not help
			break
		}
	}
	return metadata{}, 0, first
}

// discoveryURLs returns the addresses of an issuer's document: OpenID Connect Discovery §4, then
// RFC 8414 §3.
func discoveryURLs(issuer string) []string {
	base := strings.TrimSuffix(issuer, "/")
	origin, path := base, ""
	if i := strings.Index(base, "://"); i >= 0 {
		if j := strings.IndexByte(base[i+3:], '/'); j >= 0 {
			origin, path = base[:i+3+j], base[i+3+j:]
		}
	}
	return []string{
		base + "/.well-known/openid-configuration",
		origin + "/.well-known/oauth-authorization-server" + path,
	}
}

// parseMetadata parses a discovery document. Its issuer must be the configured one, or one server
// could speak for another (RFC 8414 §3.3).
func parseMetadata(body []byte, issuer string) (metadata, error) {
	var m metadata
	if err := json.Unmarshal(body, &m); err != nil {
		return metadata{}, errors.New("the discovery document cannot be parsed")
	}
	if m.Issuer != issuer {
		return metadata{}, fmt.Errorf(
			"the discovery document belongs to the issuer %.200q, not to %q: set Issuer exactly as the server does",
			m.Issuer, issuer)
	}
	return m, nil
}

// checkHTTPS rejects the document of an issuer on https that names an address without TLS, which
// may be one of this machine: any program that listens there would be trusted with keys and tokens.
// Such an address can be set in the Config.
func (m *metadata) checkHTTPS(issuer string) error {
	if !onHTTPS(issuer) {
		return nil
	}
	for name, address := range map[string]string{
		"jwks_uri":               m.JWKS,
		"introspection_endpoint": m.Introspection,
	} {
		if address != "" && !onHTTPS(address) {
			return fmt.Errorf("the discovery document of %s names a %s that does not begin with https://", issuer, name)
		}
	}
	return nil
}

func onHTTPS(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Scheme == "https"
}

// A keySet holds an issuer's signing keys.
type keySet struct{ keys []signingKey }

type signingKey struct {
	id, alg    string
	thumbprint string // RFC 7638; distinguishes keys that share an id
	key        any
}

const (
	maxKeys  = 64
	minRSA   = 2048 // bits (RFC 7518 §3.3)
	maxRSA   = 8192 // bits; larger keys only cost time
	maxKeyID = 256  // bytes
)

func (v *Verifier) loadKeys(ctx context.Context) (*keySet, time.Duration, error) {
	address := v.JWKSURL
	if address == "" {
		m, err := v.metadata.get(ctx, v.Clock())
		if err != nil {
			return nil, 0, errors.Unwrap(err) // without the description for callers, which is added once
		}
		if address = m.JWKS; address == "" {
			return nil, 0, fmt.Errorf("the discovery document of %s names no jwks_uri", v.Issuer)
		}
	}
	body, lifetime, err := v.issuerHTTP.get(ctx, address)
	if err != nil {
		return nil, 0, err
	}
	set, err := parseKeys(body)
	return set, lifetime, err
}

// parseKeys parses a JWK set (RFC 7517 §5). It skips keys that cannot verify a signature: keys of
// other kinds or uses, weak ones, and private or symmetric ones, which no issuer should publish.
func parseKeys(body []byte) (*keySet, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, errors.New("the issuer's key set cannot be parsed")
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("the issuer's key set has more than %d keys", maxKeys)
	}
	set := &keySet{}
	for _, raw := range doc.Keys {
		var k gojose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err != nil || k.Use == "enc" || !canVerify(k.Key) || len(k.KeyID) > maxKeyID {
			continue
		}
		sum, err := k.Thumbprint(crypto.SHA256)
		if err != nil {
			continue
		}
		set.keys = append(set.keys, signingKey{
			id:         k.KeyID,
			alg:        k.Algorithm,
			thumbprint: base64.RawURLEncoding.EncodeToString(sum),
			key:        k.Key,
		})
	}
	if len(set.keys) == 0 {
		return nil, errors.New("the issuer's key set has no key that can verify a signature")
	}
	return set, nil
}

func canVerify(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		n := k.N.BitLen()
		return n >= minRSA && n <= maxRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// has reports whether a key is still published.
func (s *keySet) has(thumbprint string) bool {
	for i := range s.keys {
		if s.keys[i].thumbprint == thumbprint {
			return true
		}
	}
	return false
}

// candidates returns the keys that may have signed a token: the one with the id, or, if the token
// names none, all keys of the algorithm.
func (s *keySet) candidates(id, alg string) []signingKey {
	var out []signingKey
	for _, k := range s.keys {
		if (id == "" || k.id == id) && (k.alg == "" || k.alg == alg) {
			out = append(out, k)
		}
	}
	return out
}

func asymmetric(alg string) bool {
	return slices.Contains([]string{
		"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
	}, alg)
}
