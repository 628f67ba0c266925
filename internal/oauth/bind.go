package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// What Grant.Bound and AccessToken.Bound begin with: the name of the method in short, before the thumbprint in base64url.
const (
	boundKey  = "jkt:" // a key, by RFC 7638 (RFC 9449 §6.1)
	boundCert = "x5t:" // a certificate, by its SHA-256 (RFC 8705 §3.1)
)

// confirmation is a cnf claim (RFC 7800 §3.1).
type confirmation struct {
	Key  string `json:"jkt,omitempty"`
	Cert string `json:"x5t#S256,omitempty"`
}

// confirms is the cnf claim of a binding, or nil.
func confirms(bound string) *confirmation {
	if jkt, ok := strings.CutPrefix(bound, boundKey); ok {
		return &confirmation{Key: jkt}
	}
	if x5t, ok := strings.CutPrefix(bound, boundCert); ok {
		return &confirmation{Cert: x5t}
	}
	return nil
}

// bound is the binding that a cnf claim stands for, or "".
func (c *confirmation) bound() string {
	switch {
	case c == nil:
		return ""
	case c.Key != "":
		return boundKey + c.Key
	case c.Cert != "":
		return boundCert + c.Cert
	}
	return ""
}

// certBinding is the binding to a certificate (RFC 8705 §3.1).
func certBinding(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return boundCert + base64.RawURLEncoding.EncodeToString(sum[:])
}

// tokenType is how an access token of a binding is to be used (RFC 9449 §5, §7.1). One that is bound to a certificate is used as
// before (RFC 8705 §3).
func tokenType(bound string) string {
	if strings.HasPrefix(bound, boundKey) {
		return schemeDPoP
	}
	return schemeBearer
}

// Schemes of the Authorization header at a resource (RFC 6750 §2.1, RFC 9449 §7.1).
const (
	schemeBearer = "Bearer"
	schemeDPoP   = "DPoP"
)

// held is what the caller of the token endpoint has proved to hold.
type held struct {
	bound string      // the binding that it gives new tokens, or ""
	proof *dpop.Proof // nil without DPoP
}

// possession reads what a token request proves to hold, and refuses one that proves less than the client must (RFC 9449 §5, RFC 8705 §3).
func (s *Server) possession(cl *client.Client, c *Call) (held, error) {
	switch {
	case cl.CertBound && (cl.DPoPBound || len(c.DPoP) > 0):
		return held{}, invalidRequest("The client's tokens are bound to its certificate: send no DPoP proof. Its operator can choose between the two.")
	case cl.CertBound && c.Cert == nil:
		return held{}, invalidRequest("The client's tokens are bound to its certificate, but the connection was made without one. Present it in the TLS handshake.")
	case cl.CertBound:
		return held{bound: certBinding(c.Cert)}, nil
	case len(c.DPoP) > 0:
		p, err := s.tokenProof(c)
		if err != nil {
			return held{}, err
		}
		return held{bound: boundKey + p.Thumbprint, proof: p}, nil
	case cl.DPoPBound:
		return held{}, badProof("The client's tokens are bound to a key, but the request has no DPoP header.")
	}
	return held{}, nil
}

// tokenProof checks the one proof of a token request (RFC 9449 §4.3, §5).
func (s *Server) tokenProof(c *Call) (*dpop.Proof, error) {
	if len(c.DPoP) > 1 {
		return nil, badProof("The request has more than one DPoP header.")
	}
	p, err := dpop.Verify(c.DPoP[0], dpop.Want{Method: c.Method, URL: c.URL, Now: c.Now})
	if err != nil {
		return nil, badProof("%s.", upper(printable(err.Error())))
	}
	if err := s.checkNonce(p, c.Now); err != nil {
		return nil, err
	}
	return p, nil
}

// useProof uses a token request's proof up: it works once (RFC 9449 §11.1). It comes after everything that can be found wrong with the
// request, so that only requests that get tokens make an entry.
func (s *Server) useProof(ctx context.Context, c *Call) error {
	p := c.held.proof
	if p == nil {
		return nil
	}
	err := s.store.Once(ctx, "dpop:"+proofKey(p), p.IssuedAt.Add(dpop.DefaultWindow+time.Second), c.Now)
	if fault.Is(err, fault.Consumed) {
		return badProof("The DPoP proof has been used before. Make a new one for every request.")
	}
	return err
}

// proofKey names a proof among all keys' proofs in a bounded length.
func proofKey(p *dpop.Proof) string {
	sum := sha256.Sum256([]byte(p.Thumbprint + "/" + p.ID))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// answersFor reports whether the caller holds the key that a grant or token of the same client is bound to. Without a binding everybody does.
func (h held) answersFor(bound string) error {
	switch {
	case bound == "" || secret.Equal(h.bound, bound):
		return nil
	case h.bound == "" && strings.HasPrefix(bound, boundKey):
		return badProof("This is bound to a key: send a DPoP proof made with it.")
	}
	return invalidGrant("This is bound to another key or certificate than the request proves to hold.")
}

// checkBound reports whether the caller of the token endpoint holds the key that an access token of its own is bound to.
func (s *Server) checkBound(_ context.Context, c *Call, t *AccessToken) error {
	return c.held.answersFor(t.Bound)
}

// forGrant is what a new grant is bound to, and with it its refresh tokens: those of public clients are, since nothing else proves
// who refreshes. A confidential client proves itself, and may change its key (RFC 9449 §5, RFC 8705 §4).
func (h held) forGrant(cl *client.Client) string {
	if !cl.Public {
		return ""
	}
	return h.bound
}

// Presentation is an access token as a request to a resource presents it.
type Presentation struct {
	Token       string            // as it was sent
	Scheme      string            // of the Authorization header, in any case; a token from elsewhere counts as "Bearer"
	Proofs      []string          // the DPoP headers
	Cert        *x509.Certificate // the caller's in TLS, or nil
	Method, URL string            // of the request, as the caller sees them
	Now         time.Time
}

// Bound checks that a request to a resource proves to hold the key that its access token is bound to (RFC 9449 §7, RFC 8705 §3). An
// unbound token comes as Bearer only, one bound to a key as DPoP only. The proof is nil where there is none to check;
// otherwise the caller must refuse one that was seen before: Unused does. Errors are of type *Error, with the status and the scheme to answer.
func (s *Server) VerifyBinding(t *AccessToken, p *Presentation) (*dpop.Proof, error) {
	asDPoP := strings.EqualFold(p.Scheme, schemeDPoP)
	switch jkt, keyed := strings.CutPrefix(t.Bound, boundKey); {
	case keyed && !asDPoP:
		return nil, atDPoP(invalidToken("The access token is bound to a key: send it as Authorization: DPoP, with a proof."))
	case keyed:
		return s.boundProof(jkt, p)
	case asDPoP:
		return nil, atDPoP(invalidToken("The access token is not bound to a key: send it as Authorization: Bearer."))
	case t.Bound == "":
		return nil, nil
	case p.Cert == nil:
		return nil, invalidToken("The access token is bound to a certificate, but the connection was made without one.")
	case !secret.Equal(t.Bound, certBinding(p.Cert)):
		return nil, invalidToken("The access token is bound to another certificate.")
	}
	return nil, nil
}

// boundProof checks the proof that comes with an access token (RFC 9449 §7.1).
func (s *Server) boundProof(jkt string, p *Presentation) (*dpop.Proof, error) {
	if len(p.Proofs) != 1 {
		return nil, atDPoP(badProof("A request with a DPoP access token has one DPoP header. This one has %d.", len(p.Proofs)))
	}
	proof, err := dpop.Verify(p.Proofs[0], dpop.Want{Method: p.Method, URL: p.URL, AccessToken: p.Token, Now: p.Now})
	if err != nil {
		return nil, atDPoP(badProof("%s.", upper(printable(err.Error()))))
	}
	if !secret.Equal(proof.Thumbprint, jkt) {
		return nil, atDPoP(invalidToken("The access token is bound to another key than the DPoP proof's."))
	}
	if err := s.checkNonce(proof, p.Now); err != nil {
		return nil, atDPoP(err)
	}
	return proof, nil
}

// Unused refuses a proof that was presented to a resource before (RFC 9449 §11.1). Nil is no proof, and fine.
func (s *Server) CheckReplay(ctx context.Context, p *dpop.Proof, now time.Time) error {
	if p == nil {
		return nil
	}
	fresh, err := s.replays.Add(ctx, proofKey(p), p.IssuedAt.Add(dpop.DefaultWindow+time.Second), now)
	if err == nil && !fresh {
		return atDPoP(badProof("The DPoP proof has been used before. Make a new one for every request."))
	}
	return err
}

// ProofAlgorithms lists the signature algorithms of DPoP proofs, for the algs of a challenge (RFC 9449 §7.1).
func ProofAlgorithms() []string { return dpop.Algorithms() }

// badProof is the answer to a proof that is no good (RFC 9449 §5).
func badProof(format string, args ...any) *Error {
	return failure("invalid_dpop_proof", 400, format, args...)
}

// atDPoP makes an error one of a resource, with a challenge of the scheme (RFC 9449 §7.1).
func atDPoP(e *Error) *Error {
	out := *e
	out.Status, out.Challenge = 401, schemeDPoP
	return &out
}

// upper begins a sentence.
func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// validThumbprint reports whether a dpop_jkt parameter is a thumbprint (RFC 9449 §10).
func validThumbprint(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == sha256.Size
}
