package token

import (
	"context"
	"crypto/x509"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// confirmation is a cnf claim (RFC 7800 §3.1).
type confirmation struct {
	Key  string `json:"jkt,omitempty"`
	Cert string `json:"x5t#S256,omitempty"`
}

// confirmationOf returns the cnf claim of a binding, or nil.
func confirmationOf(bound string) *confirmation {
	if jkt, ok := strings.CutPrefix(bound, oauth.BoundKey); ok {
		return &confirmation{Key: jkt}
	}
	if x5t, ok := strings.CutPrefix(bound, oauth.BoundCert); ok {
		return &confirmation{Cert: x5t}
	}
	return nil
}

// bound returns the binding that a cnf claim stands for, or "".
func (c *confirmation) bound() string {
	switch {
	case c == nil:
		return ""
	case c.Key != "":
		return oauth.BoundKey + c.Key
	case c.Cert != "":
		return oauth.BoundCert + c.Cert
	}
	return ""
}

// tokenType returns the token_type of an access token with a binding (RFC 9449 §5, §7.1). One
// that is bound to a certificate is still a Bearer token (RFC 8705 §3).
func tokenType(bound string) string {
	if strings.HasPrefix(bound, oauth.BoundKey) {
		return oauth.SchemeDPoP
	}
	return oauth.SchemeBearer
}

// Presentation is an access token as a request to a resource presents it.
type Presentation struct {
	Token       string            // as it was sent
	Scheme      string            // of Authorization, in any case; "Bearer" for a token from elsewhere
	Proofs      []string          // the DPoP headers
	Cert        *x509.Certificate // the caller's TLS certificate, or nil
	Method, URL string            // of the request, as the caller sees them
	Now         time.Time
}

// VerifyBinding checks that a request to a resource proves to hold the key that its access token
// is bound to (RFC 9449 §7, RFC 8705 §3). An unbound token must come as Bearer, one that is
// bound to a key as DPoP. The proof is nil where none is needed; otherwise the caller must pass
// it to CheckReplay. Errors are of type *oauth.Error, with the status and the scheme to respond
// with.
func (s *Server) VerifyBinding(t *oauth.AccessToken, p *Presentation) (*dpop.Proof, error) {
	asDPoP := strings.EqualFold(p.Scheme, oauth.SchemeDPoP)
	switch jkt, keyed := strings.CutPrefix(t.Bound, oauth.BoundKey); {
	case keyed && !asDPoP:
		return nil, atResource(oauth.InvalidToken("The access token is bound to a key: " +
			"send it as Authorization: DPoP, with a proof."))
	case keyed:
		return s.verifyDPoP(jkt, p)
	case asDPoP:
		return nil, atResource(oauth.InvalidToken(
			"The access token is not bound to a key: send it as Authorization: Bearer."))
	case t.Bound == "":
		return nil, nil
	case p.Cert == nil:
		return nil, oauth.InvalidToken("The access token is bound to a certificate, " +
			"but the connection was made without one.")
	case !secret.Equal(t.Bound, certBinding(p.Cert)):
		return nil, oauth.InvalidToken("The access token is bound to another certificate.")
	}
	return nil, nil
}

// verifyDPoP checks the proof that comes with an access token (RFC 9449 §7.1).
func (s *Server) verifyDPoP(jkt string, p *Presentation) (*dpop.Proof, error) {
	if len(p.Proofs) != 1 {
		return nil, atResource(invalidProof("A request with a DPoP access token has one DPoP "+
			"header. This one has %d.", len(p.Proofs)))
	}
	proof, err := dpop.Verify(p.Proofs[0], dpop.Want{
		Method:      p.Method,
		URL:         p.URL,
		AccessToken: p.Token,
		Now:         p.Now,
	})
	if err != nil {
		return nil, atResource(invalidProof("%s.", capitalize(oauth.Printable(err.Error()))))
	}
	if !secret.Equal(proof.Thumbprint, jkt) {
		return nil, atResource(oauth.InvalidToken(
			"The access token is bound to another key than the DPoP proof's."))
	}
	if err := s.nonces.check(proof, p.Now); err != nil {
		return nil, atResource(err)
	}
	return proof, nil
}

// CheckReplay rejects a proof that was presented to a resource before (RFC 9449 §11.1). It
// accepts nil, where no proof is needed.
func (s *Server) CheckReplay(ctx context.Context, p *dpop.Proof, now time.Time) error {
	if p == nil {
		return nil
	}
	added, err := s.replays.Add(ctx, proofKey(p), p.IssuedAt.Add(dpop.DefaultWindow+time.Second), now)
	if err == nil && !added {
		return atResource(replayedProof())
	}
	return err
}

// ProofAlgorithms lists the signature algorithms of DPoP proofs, for the algs of a challenge
// (RFC 9449 §7.1).
func ProofAlgorithms() []string { return dpop.Algorithms() }

// atResource returns an error as a resource responds with it: with a DPoP challenge (RFC 9449
// §7.1).
func atResource(e *oauth.Error) *oauth.Error {
	out := *e
	out.Status, out.Challenge = 401, oauth.SchemeDPoP
	return &out
}
