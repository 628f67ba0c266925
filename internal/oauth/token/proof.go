package token

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/bearer/dpop"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Proof says which key or certificate a request to the token endpoint proves to hold. The zero
// value is a request that proves nothing.
type Proof struct {
	Binding string      // of new tokens, as oauth.AccessToken.Bound, or ""
	dpop    *dpop.Proof // nil without DPoP
}

// readProof checks the proof of possession of a request to the token endpoint. It rejects one
// that proves less than the client must (RFC 9449 §5, RFC 8705 §3).
func (s *Server) readProof(cl *client.Client, c *oauth.Call) (Proof, error) {
	switch {
	case cl.CertBound && (cl.DPoPBound || len(c.DPoP) > 0):
		return Proof{}, oauth.InvalidRequest("The client's tokens are bound to its certificate: " +
			"send no DPoP proof. Its operator can choose between the two.")
	case cl.CertBound && c.Cert == nil:
		return Proof{}, oauth.InvalidRequest("The client's tokens are bound to its certificate, but " +
			"the connection was made without one. Present it in the TLS handshake.")
	case cl.CertBound:
		return Proof{Binding: certBinding(c.Cert)}, nil
	case len(c.DPoP) > 0:
		p, err := s.readDPoP(c)
		if err != nil {
			return Proof{}, err
		}
		return Proof{Binding: oauth.BoundKey + p.Thumbprint, dpop: p}, nil
	case cl.DPoPBound:
		return Proof{}, invalidProof(
			"The client's tokens are bound to a key, but the request has no DPoP header.")
	}
	return Proof{}, nil
}

// readDPoP checks the one DPoP proof of a request to the token endpoint (RFC 9449 §4.3, §5).
func (s *Server) readDPoP(c *oauth.Call) (*dpop.Proof, error) {
	if len(c.DPoP) > 1 {
		return nil, invalidProof("The request has more than one DPoP header.")
	}
	p, err := dpop.Verify(c.DPoP[0], dpop.Want{Method: c.Method, URL: c.URL, Now: c.Now})
	if err != nil {
		return nil, invalidProof("%s.", capitalize(oauth.Printable(err.Error())))
	}
	if err := s.nonces.check(p, c.Now); err != nil {
		return nil, err
	}
	return p, nil
}

// consumeProof records a DPoP proof of the token endpoint and rejects one that was used before
// (RFC 9449 §11.1). Without DPoP it does nothing.
func (s *Server) consumeProof(ctx context.Context, proof Proof, now time.Time) error {
	p := proof.dpop
	if p == nil {
		return nil
	}
	err := s.store.Once(ctx, "dpop:"+proofKey(p), p.IssuedAt.Add(dpop.DefaultWindow+time.Second), now)
	if fault.Is(err, fault.Consumed) {
		return replayedProof()
	}
	return err
}

// Matches rejects a proof of another key than the one that a grant or token of the same client is
// bound to. Every proof matches "".
func (p Proof) Matches(bound string) error {
	switch {
	case bound == "" || secret.Equal(p.Binding, bound):
		return nil
	case p.Binding == "" && strings.HasPrefix(bound, oauth.BoundKey):
		return invalidProof("This is bound to a key: send a DPoP proof made with it.")
	}
	return oauth.InvalidGrant(
		"This is bound to another key or certificate than the request proves to hold.")
}

// grantBinding returns what a new grant, and with it its refresh tokens, is bound to. Those of
// public clients are bound, since nothing else proves who refreshes. A confidential client
// authenticates itself, and may change its key (RFC 9449 §5, RFC 8705 §4).
func (p Proof) grantBinding(cl *client.Client) string {
	if !cl.Public {
		return ""
	}
	return p.Binding
}

// certBinding returns the binding to a certificate (RFC 8705 §3.1).
func certBinding(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return oauth.BoundCert + base64.RawURLEncoding.EncodeToString(sum[:])
}

// proofKey names a proof among the proofs of all keys, in a bounded length.
func proofKey(p *dpop.Proof) string {
	sum := sha256.Sum256([]byte(p.Thumbprint + "/" + p.ID))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// invalidProof returns the error for a DPoP proof that is not acceptable (RFC 9449 §5).
func invalidProof(format string, args ...any) *oauth.Error {
	return oauth.NewError("invalid_dpop_proof", 400, format, args...)
}

func replayedProof() *oauth.Error {
	return invalidProof("The DPoP proof has been used before. Make a new one for every request.")
}

// capitalize begins a sentence.
func capitalize(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
