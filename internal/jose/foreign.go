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

// KeySet is somebody else's public keys.
type KeySet struct{ keys []gojose.JSONWebKey }

// Bounds of a foreign key set.
const (
	MaxKeySet     = 64 << 10 // bytes
	maxKeys       = 32
	minForeignRSA = 2048 // bits (RFC 7518 §3.3)
	maxForeignRSA = 8192 // larger ones only cost us time
)

// ParseKeySet reads a JWK set (RFC 7517 §5) of public signing keys. Keys of unknown kind or for
// encryption are passed over; private, symmetric and weak keys are refused.
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
		return nil, fault.InvalidField("jwks", "the key set holds more than %d keys", maxKeys)
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
		return nil, fault.InvalidField("jwks", "the key set holds no public key that can verify a signature")
	}
	return set, nil
}

func publicOnly(k gojose.JSONWebKey) error {
	switch p := k.Key.(type) {
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n < minForeignRSA || n > maxForeignRSA {
			return fault.InvalidField("jwks", "RSA key %q has %d bits; it needs %d to %d", k.KeyID, n, minForeignRSA, maxForeignRSA)
		}
		return nil
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return nil
	}
	return fault.InvalidField("jwks", "key %q is not a public key; never register private or symmetric keys", k.KeyID)
}

// Header is what a foreign token says of itself.
type Header struct{ Alg, KeyID, Type string }

// Verify checks a compact JWS against the set, accepting only the named algorithms, and returns
// payload and header. NotFound: no key has the token's key id, so a fresh copy of the set may
// help. Denied: all else.
func (s *KeySet) Verify(token string, algs []string) ([]byte, Header, error) {
	if len(token) > MaxToken {
		return nil, Header{}, fault.New(fault.Denied, "the token is too large")
	}
	allowed := make([]gojose.SignatureAlgorithm, len(algs))
	for i, a := range algs {
		allowed[i] = gojose.SignatureAlgorithm(a)
	}
	jws, err := gojose.ParseSignedCompact(token, allowed)
	if err != nil {
		return nil, Header{}, fault.Wrap(fault.Denied, err, "the token is malformed, or signed with an algorithm that is not accepted")
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
		return nil, head, fault.New(fault.NotFound, "no registered key has the token's key id and algorithm")
	}
	return nil, head, fault.New(fault.Denied, "the token's signature does not match the registered key")
}

// Peek reads the payload of a compact JWS without believing it, only to learn who claims to have
// signed it.
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
	jws, err := gojose.ParseSignedCompact(token, allowed)
	if err != nil {
		return nil, fault.Wrap(fault.Denied, err, "the token is malformed, or signed with an algorithm that is not accepted")
	}
	return jws.UnsafePayloadWithoutVerification(), nil
}
