package oauth

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/jose"
)

// assertionType is the client_assertion_type of a JWT (RFC 7523 §2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Bounds of an assertion's times. The longest life bounds how long its id is remembered.
const (
	assertionSkew = 60 * time.Second
	assertionLife = time.Hour
)

// authPrivateKey is private_key_jwt (RFC 7523 §2.2, OpenID Connect Core §9).
type authPrivateKey struct{}

func (authPrivateKey) Method() string { return client.MethodPrivateKey }

type assertion struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  audience `json:"aud"`
	ID        string   `json:"jti"`
	Expires   *seconds `json:"exp"`
	NotBefore *seconds `json:"nbf"`
	IssuedAt  *seconds `json:"iat"`
}

func (authPrivateKey) Claim(c *Call) (client.ID, bool, error) {
	if c.Get("client_assertion") == "" && c.Get("client_assertion_type") == "" {
		return "", false, nil
	}
	if c.Get("client_assertion_type") != assertionType {
		return "", false, invalidRequest("client_assertion_type must be %s.", assertionType)
	}
	raw, err := jose.Peek(c.Get("client_assertion"), jose.AssertionAlgorithms())
	if err != nil {
		return "", false, invalidClient("", "The client assertion is not a JWT signed with an accepted algorithm.")
	}
	var a assertion
	if json.Unmarshal(raw, &a) != nil || a.Subject == "" {
		return "", false, invalidClient("", "The client assertion names no client in sub.")
	}
	return client.ID(a.Subject), true, nil
}

func (authPrivateKey) Prove(ctx context.Context, s *Server, cl *client.Client, c *Call) error {
	raw, err := s.verifyByClient(ctx, cl, c.Get("client_assertion"))
	if err != nil {
		return err
	}
	var a assertion
	if json.Unmarshal(raw, &a) != nil {
		return denied("assertion_malformed")
	}
	if err := s.checkAssertion(cl, &a, c.Now); err != nil {
		return err
	}
	err = s.store.Once(ctx, "assertion:"+string(s.keys.Hash(string(cl.ID)+"\x00"+a.ID)), a.Expires.Time().Add(assertionSkew), c.Now)
	if fault.Is(err, fault.Consumed) {
		return denied("assertion_replayed")
	}
	return err
}

// checkAssertion is RFC 7523 §3, clause by clause.
func (s *Server) checkAssertion(cl *client.Client, a *assertion, now time.Time) error {
	switch {
	case a.Issuer != string(cl.ID) || a.Subject != string(cl.ID):
		return denied("assertion_wrong_issuer")
	case len(a.Audience) == 0 || slices.ContainsFunc(a.Audience, func(aud string) bool { return aud != s.cfg.Issuer && aud != s.TokenEndpoint() }):
		// All audiences must be ours: another could replay the assertion here.
		return denied("assertion_wrong_audience")
	case a.ID == "" || len(a.ID) > 256:
		return denied("assertion_without_jti")
	case a.Expires == nil || !a.Expires.Time().Add(assertionSkew).After(now):
		return denied("assertion_expired")
	case a.Expires.Time().After(now.Add(assertionLife + assertionSkew)):
		return denied("assertion_lives_too_long")
	case a.NotBefore != nil && a.NotBefore.Time().After(now.Add(assertionSkew)):
		return denied("assertion_not_yet_valid")
	case a.IssuedAt != nil && a.IssuedAt.Time().After(now.Add(assertionSkew)):
		return denied("assertion_from_the_future")
	}
	return nil
}

// verifyByClient checks a signature with the client's registered keys. A key id that the kept copy of jwks_uri
// lacks is looked for once more in a fresh one: the client may have rotated.
func (s *Server) verifyByClient(ctx context.Context, cl *client.Client, token string) ([]byte, error) {
	for _, fresh := range []bool{false, true} {
		doc := []byte(cl.JWKS)
		if len(doc) == 0 {
			if cl.JWKSURI == "" {
				return nil, denied("no_keys_registered")
			}
			var err error
			if doc, err = s.fetch.KeySet(ctx, cl.JWKSURI, fresh); err != nil {
				return nil, denied("jwks_uri_unreachable")
			}
		}
		set, err := jose.ParseKeySet(doc)
		if err != nil {
			return nil, denied("jwks_unusable")
		}
		payload, _, err := set.Verify(token, jose.AssertionAlgorithms())
		if err == nil {
			return payload, nil
		}
		if !fault.Is(err, fault.NotFound) || len(cl.JWKS) > 0 {
			break
		}
	}
	return nil, denied("assertion_signature")
}
