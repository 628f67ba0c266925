// Package dpop checks proofs of possession of a key (RFC 9449). It is pure: no network, no clock, no memory. Who uses it
// remembers the identifiers of proofs, so that none works twice.
package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json" // refuses members that are repeated or differ from ours in case
)

// Want is what a proof must say.
type Want struct {
	Method      string        // of the request
	URL         string        // of the request; query and fragment are left out of the comparison (RFC 9449 §4.3)
	AccessToken string        // whose hash the proof must carry as ath; "" at the token endpoint
	Thumbprint  string        // of the key that the token is bound to (RFC 7638, SHA-256, base64url); "": any key
	Now         time.Time     // the clock
	Window      time.Duration // how far iat may be from Now, both ways; 0: DefaultWindow
}

// Proof is a good one.
type Proof struct {
	ID         string    // jti, for the memory of proofs seen: with Thumbprint it is unique
	Thumbprint string    // of its key
	IssuedAt   time.Time // iat
	Nonce      string    // what the server gave it, or "": the caller of Verify compares
}

// DefaultWindow is how far a proof's iat may be from the clock. A proof has to be remembered until iat + window.
const DefaultWindow = time.Minute

// What can be wrong with a proof, for errors.Is. The text of an error of Verify says more, holds nothing that the caller of
// the API sent, and may be shown to it.
var (
	ErrMalformed = errors.New("the DPoP proof is malformed")                         // it could never be good
	ErrWrong     = errors.New("the DPoP proof does not fit")                         // another request's, token's or key's
	ErrExpired   = errors.New("the DPoP proof was not made just now")                // or the clocks differ too much
	errThumb     = errors.New("not a public key of a kind that DPoP proofs may use") // of Thumbprint
)

// Bounds of a proof.
const (
	maxProof = 8 << 10 // bytes
	maxID    = 256     // bytes of jti
	maxNonce = 512     // bytes of nonce
	minRSA   = 2048    // bits (RFC 7518 §3.3)
	maxRSA   = 4096    // bits: larger ones only cost time

	typ        = "dpop+jwt"
	algEd25519 = "Ed25519" // the name of RFC 9864 §2.2 for what EdDSA means with the keys accepted here
	maxSeconds = 253402300799
)

// Algorithms lists the signature algorithms accepted in proofs, for dpop_signing_alg_values_supported and the algs of challenges.
func Algorithms() []string { return []string{"ES256", "ES384", "EdDSA", algEd25519, "RS256", "PS256"} }

func accepted() []gojose.SignatureAlgorithm {
	return []gojose.SignatureAlgorithm{gojose.ES256, gojose.ES384, gojose.EdDSA, algEd25519, gojose.RS256, gojose.PS256}
}

// claims is what a proof says (RFC 9449 §4.2). Pointers tell what is missing from what is empty.
type claims struct {
	ID      string   `json:"jti"`
	Method  string   `json:"htm"`
	URL     string   `json:"htu"`
	Issued  *float64 `json:"iat"`
	Expires *float64 `json:"exp"`
	Hash    string   `json:"ath"`
	Nonce   string   `json:"nonce"`
}

// Verify checks the value of one DPoP header against what it must say: the numbered list of RFC 9449 §4.3. What it leaves to the caller: that
// there was one header only, that Proof.Nonce is the one given out, and that no proof of this ID and Thumbprint was seen before.
// The error is an ErrMalformed, an ErrWrong or an ErrExpired.
func Verify(proof string, w Want) (*Proof, error) {
	payload, key, err := open(proof)
	if err != nil {
		return nil, err
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, malformed("its payload is not an object with the members of RFC 9449")
	}
	if err := c.complete(); err != nil {
		return nil, err
	}
	thumb, err := thumbprint(key)
	if err != nil {
		return nil, malformed("its key has no thumbprint")
	}
	if err := c.fits(thumb, w); err != nil {
		return nil, err
	}
	if err := c.fresh(w); err != nil {
		return nil, err
	}
	return &Proof{ID: c.ID, Thumbprint: thumb, IssuedAt: time.Unix(int64(*c.Issued), 0).UTC(), Nonce: c.Nonce}, nil
}

// open checks form, header and signature, and gives the payload and the key that signed it.
func open(proof string) ([]byte, *gojose.JSONWebKey, error) {
	if len(proof) > maxProof {
		return nil, nil, malformed("it is longer than %d bytes", maxProof)
	}
	jws, err := gojose.ParseSignedCompact(proof, accepted())
	if err != nil {
		return nil, nil, malformed("it is not one compact JWT that an accepted algorithm signed and whose header holds a public key")
	}
	head := jws.Signatures[0].Protected
	if t, _ := head.ExtraHeaders["typ"].(string); t != typ {
		return nil, nil, malformed("its typ is not %s", typ)
	}
	if _, ok := head.ExtraHeaders["crit"]; ok { // RFC 7515 §4.1.11: nothing that could be critical is known
		return nil, nil, malformed("its header has critical members")
	}
	key := head.JSONWebKey
	if key == nil {
		return nil, nil, malformed("its header holds no key")
	}
	if !suits(key, head.Algorithm) {
		return nil, nil, malformed("its key does not suit its alg, or is too weak or too large")
	}
	if head.Algorithm == algEd25519 {
		return verifyEd25519(proof, jws, key)
	}
	payload, err := jws.Verify(key.Key)
	if err != nil {
		return nil, nil, wrong("its signature is not by the key in its header")
	}
	return payload, key, nil
}

// verifyEd25519 verifies a signature under the algorithm's newer name, which the library does not know yet.
func verifyEd25519(proof string, jws *gojose.JSONWebSignature, key *gojose.JSONWebKey) ([]byte, *gojose.JSONWebKey, error) {
	signed := proof[:strings.LastIndexByte(proof, '.')]
	if pub, ok := key.Key.(ed25519.PublicKey); !ok || !ed25519.Verify(pub, []byte(signed), jws.Signatures[0].Signature) {
		return nil, nil, wrong("its signature is not by the key in its header")
	}
	return jws.UnsafePayloadWithoutVerification(), key, nil // verified just now
}

// suits reports whether a key is public, of the algorithm's kind, and of a sound size. The key's own alg must not say otherwise.
func suits(k *gojose.JSONWebKey, alg string) bool {
	if (k.Algorithm != "" && k.Algorithm != alg) || (k.Use != "" && k.Use != "sig") {
		return false
	}
	switch key := k.Key.(type) {
	case *ecdsa.PublicKey:
		return (alg == "ES256" && key.Curve == elliptic.P256()) || (alg == "ES384" && key.Curve == elliptic.P384())
	case ed25519.PublicKey:
		return alg == "EdDSA" || alg == algEd25519
	case *rsa.PublicKey:
		bits := key.N.BitLen()
		return (alg == "RS256" || alg == "PS256") && bits >= minRSA && bits <= maxRSA
	}
	return false
}

// complete reports what a proof lacks, or has too much of.
func (c *claims) complete() error {
	switch {
	case c.ID == "":
		return malformed("jti is missing")
	case len(c.ID) > maxID:
		return malformed("jti is longer than %d bytes", maxID)
	case c.Method == "":
		return malformed("htm is missing")
	case c.URL == "":
		return malformed("htu is missing")
	case c.Issued == nil:
		return malformed("iat is missing")
	case !date(*c.Issued) || (c.Expires != nil && !date(*c.Expires)):
		return malformed("a time is out of range")
	case len(c.Nonce) > maxNonce:
		return malformed("nonce is longer than %d bytes", maxNonce)
	}
	return nil
}

func date(t float64) bool { return !math.IsNaN(t) && t >= 0 && t <= maxSeconds }

// fits compares a proof with the request, the access token and the key that it must belong to.
func (c *claims) fits(thumb string, w Want) error {
	if c.Method != w.Method { // methods are case-sensitive (RFC 9110 §9.1)
		return wrong("htm is not the request's method")
	}
	if !sameURL(c.URL, w.URL) {
		return wrong("htu is not the request's address")
	}
	if w.AccessToken != "" && !equal(c.Hash, TokenHash(w.AccessToken)) {
		return wrong("ath is not the hash of the access token")
	}
	if w.Thumbprint != "" && !equal(thumb, w.Thumbprint) {
		return wrong("its key is not the one that the token is bound to")
	}
	return nil
}

// fresh compares a proof's times with the clock.
func (c *claims) fresh(w Want) error {
	window := w.Window
	if window <= 0 {
		window = DefaultWindow
	}
	iat := time.Unix(int64(*c.Issued), 0)
	switch {
	case iat.Before(w.Now.Add(-window)):
		return fmt.Errorf("%w: iat is more than %d seconds ago", ErrExpired, int(window.Seconds()))
	case iat.After(w.Now.Add(window)):
		return fmt.Errorf("%w: iat is more than %d seconds from now", ErrExpired, int(window.Seconds()))
	case c.Expires != nil && !time.Unix(int64(*c.Expires), 0).After(w.Now): // RFC 7519 §4.1.4: whoever sends it means it
		return fmt.Errorf("%w: exp has passed", ErrExpired)
	}
	return nil
}

// Thumbprint is the SHA-256 thumbprint (RFC 7638) in base64url of a public JWK: what cnf.jkt and dpop_jkt hold.
func Thumbprint(jwk []byte) (string, error) {
	var k gojose.JSONWebKey
	if err := k.UnmarshalJSON(jwk); err != nil {
		return "", fmt.Errorf("%w: %w", errThumb, err)
	}
	if !k.IsPublic() {
		return "", errThumb
	}
	return thumbprint(&k)
}

func thumbprint(k *gojose.JSONWebKey) (string, error) {
	sum, err := k.Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// TokenHash is the ath of an access token (RFC 9449 §4.2).
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func wrong(why string) error { return fmt.Errorf("%w: %s", ErrWrong, why) }
