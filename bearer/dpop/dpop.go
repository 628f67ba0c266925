// Package dpop verifies DPoP proofs (RFC 9449). It uses no network, no clock and no state: its
// callers record the identifiers of proofs, so that no proof works twice.
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

	"github.com/gatehouse-id/gatehouse/bearer/internal/compact"
)

// A Want is what a proof must match.
type Want struct {
	Method      string        // of the request
	URL         string        // of the request; query and fragment are ignored (RFC 9449 §4.3)
	AccessToken string        // whose hash must be the proof's ath; "" at the token endpoint
	Thumbprint  string        // of the key that the token is bound to, see Thumbprint; "" means any key
	Now         time.Time     // the present time
	Window      time.Duration // how far iat may be from Now in both directions; 0 means DefaultWindow
}

// A Proof is a valid proof.
type Proof struct {
	ID         string    // jti; together with Thumbprint it identifies the proof
	Thumbprint string    // of the key that signed it
	IssuedAt   time.Time // iat
	Nonce      string    // nonce, or ""; the caller of Verify compares it
}

// DefaultWindow is how far a proof's iat may be from the clock. A proof must be recorded until
// iat + window.
const DefaultWindow = time.Minute

// Errors of Verify, for errors.Is. Their texts say more. They contain nothing that the caller sent
// and may be shown to the caller.
var (
	// ErrMalformed: the proof could not be valid for any request.
	ErrMalformed = errors.New("the DPoP proof is malformed")
	// ErrWrong: the proof belongs to another request, token or key.
	ErrWrong = errors.New("the DPoP proof does not match")
	// ErrExpired: the proof is too old, or the clocks differ too much.
	ErrExpired = errors.New("the DPoP proof was not made just now")

	errNotPublic = errors.New("not a public key of a kind that DPoP proofs may use")
)

// Bounds of a proof.
const (
	maxProof = 8 << 10 // bytes
	maxID    = 256     // bytes of jti
	maxNonce = 512     // bytes of nonce
	minRSA   = 2048    // bits (RFC 7518 §3.3)
	maxRSA   = 4096    // bits; larger keys only cost time

	typ        = "dpop+jwt"
	algEd25519 = "Ed25519" // the name that RFC 9864 §2.2 gives EdDSA with this curve
	maxSeconds = 253402300799
)

// Algorithms returns the signature algorithms accepted in proofs, for
// dpop_signing_alg_values_supported and the algs of challenges.
func Algorithms() []string {
	return []string{"ES256", "ES384", "EdDSA", algEd25519, "RS256", "PS256"}
}

func accepted() []gojose.SignatureAlgorithm {
	return []gojose.SignatureAlgorithm{
		gojose.ES256, gojose.ES384, gojose.EdDSA, algEd25519, gojose.RS256, gojose.PS256,
	}
}

// claims are the claims of a proof (RFC 9449 §4.2). Pointers distinguish absent from zero.
type claims struct {
	ID      string   `json:"jti"`
	Method  string   `json:"htm"`
	URL     string   `json:"htu"`
	Issued  *float64 `json:"iat"`
	Expires *float64 `json:"exp"`
	Hash    string   `json:"ath"`
	Nonce   string   `json:"nonce"`
}

// Verify verifies the value of one DPoP header by the numbered list of RFC 9449 §4.3. The caller
// checks that there was only one header, that Proof.Nonce was issued by the server, and that no
// proof with this ID and Thumbprint was used before. The error is an ErrMalformed, an ErrWrong or
// an ErrExpired.
func Verify(proof string, w Want) (*Proof, error) {
	payload, key, err := open(proof)
	if err != nil {
		return nil, err
	}
	var c claims
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, malformed("its payload is not an object with the members of RFC 9449")
	}
	if err := c.checkForm(); err != nil {
		return nil, err
	}
	thumb, err := thumbprint(key)
	if err != nil {
		return nil, malformed("its key has no thumbprint")
	}
	if err := c.match(thumb, w); err != nil {
		return nil, err
	}
	if err := c.checkTimes(w); err != nil {
		return nil, err
	}
	return &Proof{
		ID:         c.ID,
		Thumbprint: thumb,
		IssuedAt:   time.Unix(int64(*c.Issued), 0).UTC(),
		Nonce:      c.Nonce,
	}, nil
}

// open checks header and signature, and returns the payload and the key that signed it.
func open(proof string) ([]byte, *gojose.JSONWebKey, error) {
	if len(proof) > maxProof {
		return nil, nil, malformed("it is longer than %d bytes", maxProof)
	}
	jws, err := gojose.ParseSignedCompact(proof, accepted())
	if err != nil || !compact.Strict(proof) {
		return nil, nil, malformed("it is not one compact JWT that an accepted algorithm signed and whose header has a public key")
	}
	head := jws.Signatures[0].Protected
	if t, _ := head.ExtraHeaders["typ"].(string); t != typ {
		return nil, nil, malformed("its typ is not %s", typ)
	}
	if _, ok := head.ExtraHeaders["crit"]; ok { // RFC 7515 §4.1.11: no critical extension is supported
		return nil, nil, malformed("its header has critical members")
	}
	key := head.JSONWebKey
	if key == nil {
		return nil, nil, malformed("its header has no key")
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

// verifyEd25519 verifies a signature under the algorithm's newer name, which the library does not
// support yet.
func verifyEd25519(proof string, jws *gojose.JSONWebSignature, key *gojose.JSONWebKey) ([]byte, *gojose.JSONWebKey, error) {
	signed := proof[:strings.LastIndexByte(proof, '.')]
	if pub, ok := key.Key.(ed25519.PublicKey); !ok || !ed25519.Verify(pub, []byte(signed), jws.Signatures[0].Signature) {
		return nil, nil, wrong("its signature is not by the key in its header")
	}
	return jws.UnsafePayloadWithoutVerification(), key, nil // verified above
}

// suits reports whether a key is public, of the algorithm's kind and of a secure size, and has no
// other alg.
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

// checkForm checks that the required claims are present and in range.
func (c *claims) checkForm() error {
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

// match compares a proof with the request, the access token and the key that it must belong to.
func (c *claims) match(thumb string, w Want) error {
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

// checkTimes compares a proof's times with the clock.
func (c *claims) checkTimes(w Want) error {
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
	case c.Expires != nil && !time.Unix(int64(*c.Expires), 0).After(w.Now): // RFC 7519 §4.1.4: optional here, but binding
		return fmt.Errorf("%w: exp has passed", ErrExpired)
	}
	return nil
}

// Thumbprint returns the SHA-256 thumbprint (RFC 7638) in base64url of a public JWK, as in cnf.jkt
// and dpop_jkt.
func Thumbprint(jwk []byte) (string, error) {
	var k gojose.JSONWebKey
	if err := k.UnmarshalJSON(jwk); err != nil {
		return "", fmt.Errorf("%w: %w", errNotPublic, err)
	}
	if !k.IsPublic() {
		return "", errNotPublic
	}
	return thumbprint(&k)
}

func thumbprint(k *gojose.JSONWebKey) (string, error) {
	sum, err := k.Thumbprint(crypto.SHA256)
	return base64.RawURLEncoding.EncodeToString(sum), err
}

// TokenHash returns the ath of an access token (RFC 9449 §4.2).
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func wrong(why string) error { return fmt.Errorf("%w: %s", ErrWrong, why) }
