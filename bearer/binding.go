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

// checkBinding checks that the sender of a token holds the key or certificate that it is bound to.
func (v *Verifier) checkBinding(ctx context.Context, t *Token, c *Credential, now time.Time) error {
	if t.Certificate != "" {
		if err := checkCertificate(t, c); err != nil {
			return err
		}
	}
	switch {
	case c.Scheme == SchemeDPoP && t.Thumbprint == "": // RFC 9449 §7.1
		return invalid("The access token is not bound to a key. Send it with the Bearer scheme.", nil)
	case c.Scheme == SchemeDPoP:
		return v.checkProof(ctx, t, c, now)
	case t.Thumbprint != "": // RFC 9449 §7.2: without a proof the binding would have no effect
		return &Error{
			Status: http.StatusUnauthorized, Code: CodeInvalidToken, Scheme: SchemeDPoP,
			Description: "The access token is bound to a key. Send it with the DPoP scheme and a proof.",
		}
	case v.DPoP.Required:
		return &Error{
			Status: http.StatusUnauthorized, Code: CodeInvalidToken, Scheme: SchemeDPoP,
			Description: "This API accepts only access tokens that are bound to a key (DPoP).",
		}
	}
	return nil
}

// checkCertificate compares the caller's certificate with the token's (RFC 8705 §3).
func checkCertificate(t *Token, c *Credential) error {
	if c.Certificate == nil {
		return invalid("The access token is bound to a TLS certificate, and the connection has none.", nil)
	}
	sum := sha256.Sum256(c.Certificate.Raw)
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(t.Certificate)) != 1 {
		return invalid("The access token is bound to another TLS certificate.", nil)
	}
	return nil
}

// checkProof checks the DPoP proof (RFC 9449 §4.3) and that it was not used before (§11.1).
func (v *Verifier) checkProof(ctx context.Context, t *Token, c *Credential, now time.Time) error {
	if len(c.Proofs) != 1 {
		return badProof("A DPoP header with one proof is needed.", fmt.Errorf("the request has %d", len(c.Proofs)))
	}
	proof, err := dpop.Verify(c.Proofs[0], dpop.Want{
		Method:      c.Method,
		URL:         c.URL,
		AccessToken: c.Token,
		Thumbprint:  t.Thumbprint,
		Now:         now,
		Window:      proofWindow,
	})
	if err != nil {
		return badProof(describeProofError(err), err)
	}
	if v.nonces != nil && !v.nonces.valid(proof.Nonce, now) {
		return &Error{
			Status: http.StatusUnauthorized, Code: CodeUseNonce, Scheme: SchemeDPoP,
			Description: "The proof needs the nonce in the DPoP-Nonce header.",
		}
	}
	return v.checkReplay(ctx, proof, now)
}

// describeProofError returns what the caller is told about a proof that is not valid.
func describeProofError(err error) string {
	switch {
	case errors.Is(err, dpop.ErrExpired):
		return "The DPoP proof was not made just now. Make one for each request, and check the clock."
	case errors.Is(err, dpop.ErrWrong):
		return "The DPoP proof is for another request, access token or key."
	}
	return "The DPoP proof is malformed."
}

// checkReplay records a proof: in this process, and in the cache that the servers of this API
// share.
func (v *Verifier) checkReplay(ctx context.Context, p *dpop.Proof, now time.Time) error {
	const replayed = "The DPoP proof has been used before. Make one for each request."
	id := sha256.Sum256([]byte(p.Thumbprint + "\x00" + p.ID))
	switch absent, room := v.proofs.add(id, p.IssuedAt, now); {
	case !room:
		return unavailable("Too many DPoP proofs are in use. Try again in a minute.", nil)
	case !absent:
		return badProof(replayed, nil)
	}
	if v.DPoP.Replays == nil {
		return nil
	}
	key := replayPrefix + base64.RawURLEncoding.EncodeToString(id[:])
	absent, err := v.DPoP.Replays.Add(ctx, key, p.IssuedAt.Add(proofWindow+time.Second).Sub(now))
	if err != nil { // this server still rejects the replays of what it has recorded itself
		v.reportError(fmt.Errorf("bearer: the shared replay cache failed: %w", err))
		return nil
	}
	if !absent {
		return badProof(replayed, nil)
	}
	return nil
}
