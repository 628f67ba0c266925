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

// metadata is what is used of a discovery document (RFC 8414 §2).
type metadata struct {
	Issuer        string `json:"issuer"`
	JWKS          string `json:"jwks_uri"`
	Introspection string `json:"introspection_endpoint"`
}

// loadMetadata reads the issuer's discovery document: that of OpenID Connect, or else that of RFC 8414.
func (v *Verifier) loadMetadata(ctx context.Context) (metadata, time.Duration, error) {
	var first error
	for _, address := range discoveryAddresses(v.issuer) {
		body, life, err := v.out.get(ctx, address)
		if err == nil {
			m, err := parseMetadata(body, v.issuer)
			if err == nil && !v.plain {
				err = m.keepsTo(v.issuer)
			}
			return m, life, err
		}
		if first == nil {
			first = err
		}
		var status *statusError
		if !errors.As(err, &status) { // nobody answers there: asking again elsewhere would not help
			break
		}
	}
	return metadata{}, 0, first
}

// discoveryAddresses are where OpenID Connect Discovery §4 and RFC 8414 §3 put the document of an issuer.
func discoveryAddresses(issuer string) []string {
	base := strings.TrimSuffix(issuer, "/")
	origin, path := base, ""
	if i := strings.Index(base, "://"); i >= 0 {
		if j := strings.IndexByte(base[i+3:], '/'); j >= 0 {
			origin, path = base[:i+3+j], base[i+3+j:]
		}
	}
	return []string{base + "/.well-known/openid-configuration", origin + "/.well-known/oauth-authorization-server" + path}
}

// parseMetadata reads a discovery document. Its issuer must be the one that was asked for, or one server could
// speak for another (RFC 8414 §3.3).
func parseMetadata(body []byte, issuer string) (metadata, error) {
	var m metadata
	if err := json.Unmarshal(body, &m); err != nil {
		return metadata{}, errors.New("the discovery document cannot be read")
	}
	if m.Issuer != issuer {
		return metadata{}, fmt.Errorf("the discovery document is that of the issuer %.200q, not of %q: name the issuer exactly as it names itself", m.Issuer, issuer)
	}
	return m, nil
}

// keepsTo refuses a document of an issuer on https that leads away from it: an address without it may be one of this very machine,
// and whoever listens there would be trusted with keys and tokens. Who means it can give the address by an option.
func (m *metadata) keepsTo(issuer string) error {
	if !onHTTPS(issuer) {
		return nil
	}
	for name, address := range map[string]string{"jwks_uri": m.JWKS, "introspection_endpoint": m.Introspection} {
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

// keySet is an issuer's signing keys.
type keySet struct{ keys []signingKey }

type signingKey struct {
	id, alg    string
	thumbprint string // RFC 7638, which tells one key from another whatever its id
	key        any
}

const (
	maxKeys   = 64
	leastRSA  = 2048 // bits (RFC 7518 §3.3)
	mostRSA   = 8192 // larger ones only cost time
	maxKeyIDs = 256  // bytes
)

func (v *Verifier) loadKeys(ctx context.Context) (*keySet, time.Duration, error) {
	address := v.jwksAt
	if address == "" {
		m, err := v.metadata.get(ctx, v.now())
		if err != nil {
			return nil, 0, errors.Unwrap(err) // without the words for a caller, which are said once
		}
		if address = m.JWKS; address == "" {
			return nil, 0, fmt.Errorf("the discovery document of %s names no jwks_uri", v.issuer)
		}
	}
	body, life, err := v.out.get(ctx, address)
	if err != nil {
		return nil, 0, err
	}
	set, err := parseKeys(body)
	return set, life, err
}

// parseKeys reads a JWK set (RFC 7517 §5). What cannot verify a signature is passed over: keys of other kinds or uses, weak ones, and private
// or symmetric ones, which no issuer should publish.
func parseKeys(body []byte) (*keySet, error) {
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, errors.New("the issuer's key set cannot be read")
	}
	if len(doc.Keys) > maxKeys {
		return nil, fmt.Errorf("the issuer's key set holds more than %d keys", maxKeys)
	}
	set := &keySet{}
	for _, raw := range doc.Keys {
		var k gojose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err != nil || k.Use == "enc" || !verifies(k.Key) || len(k.KeyID) > maxKeyIDs {
			continue
		}
		sum, err := k.Thumbprint(crypto.SHA256)
		if err != nil {
			continue
		}
		set.keys = append(set.keys, signingKey{k.KeyID, k.Algorithm, base64.RawURLEncoding.EncodeToString(sum), k.Key})
	}
	if len(set.keys) == 0 {
		return nil, errors.New("the issuer's key set holds no key that can verify a signature")
	}
	return set, nil
}

func verifies(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		n := k.N.BitLen()
		return n >= leastRSA && n <= mostRSA
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

// candidates are the keys that may have signed: that with the id, or, for a token that names none, all of the algorithm.
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
	return slices.Contains([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}, alg)
}
