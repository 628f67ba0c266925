// Package jose signs and verifies tokens: with the server's own key ring, which it publishes and
// rotates, and with the public keys of others.
//
// A small encoder writes our own tokens. go-jose parses everything that is read, and every call
// states the algorithms that it accepts (RFC 8725 §3.1).
package jose

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"math/big"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Algorithms that this server signs with (RFC 7518 §3.1, RFC 8037 §3.1).
const (
	RS256 = "RS256"
	PS256 = "PS256"
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

// rsaBits is the size of new RSA keys.
const rsaBits = 2048

// Algorithms lists the algorithms that this server signs with.
func Algorithms() []string { return []string{RS256, ES256, EdDSA, PS256} }

// AssertionAlgorithms lists the algorithms that are accepted in tokens of others. All are
// asymmetric.
func AssertionAlgorithms() []string {
	return []string{RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA}
}

// Further algorithms, for tokens of others only.
const (
	RS384 = "RS384"
	RS512 = "RS512"
	PS384 = "PS384"
	PS512 = "PS512"
	ES384 = "ES384"
	ES512 = "ES512"
)

// CanSign reports whether this server signs with an algorithm.
func CanSign(alg string) bool { return slices.Contains(Algorithms(), alg) }

// generate returns a new private key for an algorithm.
func generate(alg string) (crypto.Signer, error) {
	switch alg {
	case RS256, PS256:
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fault.InvalidField("alg",
		"%q is not an algorithm for signing keys; use RS256, ES256, EdDSA or PS256", alg)
}

// signature signs the input of a compact JWS. RSA is so slow that more concurrent signatures than
// cores only delay all of them, so they queue for slots.
func signature(
	ctx context.Context, alg string, key crypto.Signer, slots chan struct{}, input []byte,
) ([]byte, error) {
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(k, input), nil
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
		if err != nil {
			return nil, err
		}
		return fixedRS(r, s), nil
	case *rsa.PrivateKey:
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-ctx.Done():
			return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "the server is busy; try again in a moment")
		}
		sum := sha256.Sum256(input)
		if alg == PS256 {
			opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
			return rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], opts)
		}
		return rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
	}
	return nil, fault.New(fault.Internal, "key of type %T cannot sign", key)
}

// fixedRS writes an ECDSA signature as two 32-byte numbers (RFC 7518 §3.4).
func fixedRS(r, s *big.Int) []byte {
	out := make([]byte, 64)
	r.FillBytes(out[:32])
	s.FillBytes(out[32:])
	return out
}

// AccessHash returns the at_hash or c_hash of a token (OpenID Connect Core §3.1.3.6): half of its
// digest.
func AccessHash(alg, token string) string {
	sum := digest(alg, token)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// digest returns the hash that belongs to a signature algorithm: SHA-512 for Ed25519, else
// SHA-256.
func digest(alg, s string) []byte {
	if alg == EdDSA {
		sum := sha512.Sum512([]byte(s))
		return sum[:]
	}
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}
