package bearer

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
)

const (
	proofWindow  = dpop.DefaultWindow
	replayPrefix = "gatehouse:dpop:"
)

// bound checks that whoever sends a token holds what it is bound to.
func (v *Verifier) bound(ctx context.Context, t *Token, c *Credential, now time.Time) error {
	if t.Certificate != "" {
		if err := holdsCertificate(t, c); err != nil {
			return err
		}
	}
	switch {
	case c.Scheme == SchemeDPoP && t.Thumbprint == "": // RFC 9449 §7.1
		return invalid("The access token is not bound to a key. Send it with the Bearer scheme.", nil)
	case c.Scheme == SchemeDPoP:
		return v.holdsKey(ctx, t, c, now)
	case t.Thumbprint != "": // RFC 9449 §7.2: downgrading would undo the binding
		return &Error{
			Status: http.StatusUnauthorized, Code: CodeInvalidToken, Scheme: SchemeDPoP,
			Description: "The access token is bound to a key. Send it with the DPoP scheme and a proof.",
		}
	case v.onlyDPoP:
		return &Error{
			Status: http.StatusUnauthorized, Code: CodeInvalidToken, Scheme: SchemeDPoP,
			Description: "This API takes only access tokens that are bound to a key (DPoP).",
		}
	}
	return nil
}

// holdsCertificate compares the caller's certificate with the token's (RFC 8705 §3).
func holdsCertificate(t *Token, c *Credential) error {
	if c.Certificate == nil {
		return invalid("The access token is bound to a TLS certificate, and none was shown.", nil)
	}
	sum := sha256.Sum256(c.Certificate.Raw)
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(t.Certificate)) != 1 {
		return invalid("The access token is bound to another TLS certificate.", nil)
	}
	return nil
}

// holdsKey checks the proof (RFC 9449 §4.3), and that it is the first time that it is shown (§11.1).
func (v *Verifier) holdsKey(ctx context.Context, t *Token, c *Credential, now time.Time) error {
	if len(c.Proofs) != 1 {
		return badProof("A DPoP header with one proof is needed.", fmt.Errorf("there were %d", len(c.Proofs)))
	}
	proof, err := dpop.Verify(c.Proofs[0], dpop.Want{
		Method: c.Method, URL: c.URL, AccessToken: c.Token, Thumbprint: t.Thumbprint, Now: now, Window: proofWindow,
	})
	if err != nil {
		return badProof(proofWords(err), err)
	}
	if v.nonces != nil && !v.nonces.good(proof.Nonce, now) {
		return &Error{
			Status: http.StatusUnauthorized, Code: CodeUseNonce, Scheme: SchemeDPoP,
			Description: "The proof needs the nonce in the DPoP-Nonce header.",
		}
	}
	return v.firstUse(ctx, proof, now)
}

func proofWords(err error) string {
	switch {
	case errors.Is(err, dpop.ErrExpired):
		return "The DPoP proof was not made just now. Make one for each request, and check the clock."
	case errors.Is(err, dpop.ErrWrong):
		return "The DPoP proof is for another request, access token or key."
	}
	return "The DPoP proof is malformed."
}

// firstUse remembers a proof: here, and where the servers of this API share what they remember.
func (v *Verifier) firstUse(ctx context.Context, p *dpop.Proof, now time.Time) error {
	const again = "The DPoP proof has been used before. Make one for each request."
	id := sha256.Sum256([]byte(p.Thumbprint + "\x00" + p.ID))
	switch fresh, room := v.proofs.add(id, p.IssuedAt, now); {
	case !room:
		return unavailable("Too many DPoP proofs are in use. Try again in a minute.", nil)
	case !fresh:
		return badProof(again, nil)
	}
	if v.once == nil {
		return nil
	}
	fresh, err := v.once.Add(ctx, replayPrefix+base64.RawURLEncoding.EncodeToString(id[:]), p.IssuedAt.Add(proofWindow+time.Second).Sub(now))
	if err != nil { // each server still remembers what it has seen itself
		v.told(fmt.Errorf("bearer: the shared memory of DPoP proofs does not answer: %w", err))
		return nil
	}
	if !fresh {
		return badProof(again, nil)
	}
	return nil
}
