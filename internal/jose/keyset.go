package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"slices"

	gojose "github.com/go-jose/go-jose/v4"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// KeySet holds the public keys of a client or of another issuer.
type KeySet struct{ keys []gojose.JSONWebKey }

// Bounds of a key set.
const (
	MaxKeySet  = 64 << 10 // bytes
	maxKeys    = 32
	minRSABits = 2048 // RFC 7518 §3.3
	maxRSABits = 8192 // larger ones only cost time
)

// ParseKeySet reads a JWK set of public signing keys (RFC 7517 §5). It skips keys of an unknown
// kind and encryption keys, and rejects private, symmetric and weak keys.
func ParseKeySet(raw []byte) (*KeySet, error) {
	if len(raw) > MaxKeySet {
		return nil, fault.InvalidField("jwks", "the key set is larger than %d bytes", MaxKeySet)
	}
	var doc struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, fault.InvalidField("jwks", "the key set is not JSON of the form {\"keys\": […]}")
	}
	if len(doc.Keys) > maxKeys {
		return nil, fault.InvalidField("jwks", "the key set contains more than %d keys", maxKeys)
	}
	set := &KeySet{}
	for _, one := range doc.Keys {
		var k gojose.JSONWebKey
		if err := k.UnmarshalJSON(one); err != nil || k.Use == "enc" {
			continue
		}
		if err := publicOnly(k); err != nil {
			return nil, err
		}
		set.keys = append(set.keys, k)
	}
	if len(set.keys) == 0 {
		return nil, fault.InvalidField("jwks",
			"the key set contains no public key that can verify a signature")
	}
	return set, nil
}

// publicOnly rejects a key that is not public, or whose size is out of bounds.
func publicOnly(k gojose.JSONWebKey) error {
	switch p := k.Key.(type) {
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < minRSABits || n > maxRSABits {
			return fault.InvalidField("jwks", "RSA key %q has %d bits; it needs %d to %d",
				k.KeyID, n, minRSABits, maxRSABits)
		}
		return nil
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	}
	return fault.InvalidField("jwks",
		"key %q is not a public key; never register private or symmetric keys", k.KeyID)
}

// Header is the protected header of a token.
type Header struct{ Alg, KeyID, Type string }

// Verify checks a compact JWS against the set, with the named algorithms only, and returns its
// payload and header. NotFound: no key has the token's key id, and a fresh copy of the set may
// have it. Denied: the token is not valid.
func (s *KeySet) Verify(token string, algs []string) ([]byte, Header, error) {
	if len(token) > MaxToken {
		return nil, Header{}, fault.New(fault.Denied, "the token is too large")
	}
	allowed := make([]gojose.SignatureAlgorithm, len(algs))
	for i, a := range algs {
		allowed[i] = gojose.SignatureAlgorithm(a)
	}
	jws, err := parseCompact(token, allowed)
	if err != nil {
		return nil, Header{}, malformed(err)
	}
	p := jws.Signatures[0].Protected
	head := Header{Alg: p.Algorithm, KeyID: p.KeyID}
	head.Type, _ = p.ExtraHeaders["typ"].(string)
	tried := false
	for _, k := range s.keys {
		if (p.KeyID != "" && k.KeyID != p.KeyID) || (k.Algorithm != "" && k.Algorithm != p.Algorithm) {
			continue
		}
		tried = true
		if payload, err := jws.Verify(k.Key); err == nil {
			return payload, head, nil
		}
	}
	if !tried {
		return nil, head, fault.New(fault.NotFound,
			"no registered key has the token's key id and algorithm")
	}
	return nil, head, fault.New(fault.Denied,
		"the token's signature does not match the registered key")
}

// Peek returns the payload of a compact JWS without verifying it. It shows only which signer the
// token claims.
func Peek(token string, algs []string) ([]byte, error) {
	if len(token) > MaxToken {
		return nil, fault.New(fault.Denied, "the token is too large")
	}
	allowed := make([]gojose.SignatureAlgorithm, len(algs))
	for i, a := range algs {
		allowed[i] = gojose.SignatureAlgorithm(a)
	}
	if slices.Contains(algs, "none") {
		return nil, fault.New(fault.Internal, "alg none is never accepted")
	}
	jws, err := parseCompact(token, allowed)
	if err != nil {
		return nil, malformed(err)
	}
	return jws.UnsafePayloadWithoutVerification(), nil
}

func malformed(err error) error {
	return fault.Wrap(fault.Denied, err,
		"the token is malformed, or signed with an algorithm that is not accepted")
}
