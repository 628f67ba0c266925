// Package jose signs and verifies: the server's own key ring, with its publication and rotation,
// and other people's JSON Web Keys and tokens.
//
// Our own tokens are written by a small compact encoder that only writes; everything that is
// read is parsed by go-jose, and every call states the algorithms it accepts (RFC 8725 §3.1).
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
	"encoding/base64"
	"math/big"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// Signature algorithms that we sign with (RFC 7518 §3.1, RFC 8037 §3.1).
const (
	RS256 = "RS256"
	PS256 = "PS256"
	ES256 = "ES256"
	EdDSA = "EdDSA"
)

// rsaBits is the size of the RSA keys that we make.
const rsaBits = 2048

// Algorithms lists the algorithms that we sign with.
func Algorithms() []string { return []string{RS256, ES256, EdDSA, PS256} }

// AssertionAlgorithms lists the algorithms accepted in what others sign for us: all are
// asymmetric.
func AssertionAlgorithms() []string {
	return []string{RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA}
}

// Further algorithms, accepted from others only.
const (
	RS384 = "RS384"
	RS512 = "RS512"
	PS384 = "PS384"
	PS512 = "PS512"
	ES384 = "ES384"
	ES512 = "ES512"
)

// Known reports whether we sign with an algorithm.
func Known(alg string) bool { return slices.Contains(Algorithms(), alg) }

// generate makes a private key for an algorithm.
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
	return nil, fault.InvalidField("alg", "%q is not an algorithm we sign with; use RS256, ES256, EdDSA or PS256", alg)
}

// signature signs the input of a compact JWS. RSA is so slow that more signatures at once than
// cores only make every one of them late, so they queue for `slots`.
func signature(ctx context.Context, alg string, key crypto.Signer, slots chan struct{}, input []byte) ([]byte, error) {
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
			return rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
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

// AccessHash is the at_hash and c_hash of OpenID Connect Core §3.1.3.6: half of the token's
// digest. All our algorithms digest with SHA-256, but Ed25519, for which SHA-512 is used.
func AccessHash(alg, token string) string {
	sum := digest(alg, token)
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}
