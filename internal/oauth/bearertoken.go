package oauth

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Access reads an access token of ours and checks that it is in force: signature or storage, times, and the
// memory of revocations. Denied: it is not. Of a JWT nothing is read from storage.
func (s *Server) Access(ctx context.Context, token string, now time.Time) (*AccessToken, error) {
	t, err := s.readAccess(ctx, token, now)
	if err != nil {
		return nil, err
	}
	if !t.Expires.After(now) {
		return nil, fault.New(fault.Denied, "the token has expired")
	}
	if s.store.Revoked(t) {
		return nil, fault.New(fault.Denied, "the token has been revoked")
	}
	return t, nil
}

// readAccess reads an access token whatever its format.
func (s *Server) readAccess(ctx context.Context, token string, now time.Time) (*AccessToken, error) {
	if strings.HasPrefix(token, secret.PrefixAccessToken) {
		if !secret.WellFormed(secret.PrefixAccessToken, token) {
			return nil, fault.New(fault.Denied, "the token is not one of ours")
		}
		t, err := s.store.Opaque(ctx, s.keys.Hash(token), now)
		if fault.Is(err, fault.NotFound) {
			return nil, fault.New(fault.Denied, "the token is unknown or has expired")
		}
		return t, err
	}
	return s.seen.token(token, s.ring, func() (*AccessToken, error) { return s.readJWT(token) })
}

// readJWT verifies a JWT access token and reads its claims (RFC 9068 §4).
func (s *Server) readJWT(token string) (*AccessToken, error) {
	raw, kid, err := s.ring.VerifyKey(token, typAccess)
	if err != nil {
		return nil, err
	}
	var c accessClaims
	if err := json.Unmarshal(raw, &c); err != nil || c.Issuer != s.cfg.Issuer {
		return nil, fault.New(fault.Denied, "the token is another issuer's")
	}
	t := &AccessToken{
		ID: c.ID, Grant: GrantID(c.Grant), Client: client.ID(c.Client), Session: identity.SessionID(c.Session), Subject: c.Subject,
		Scopes: strings.Fields(c.Scope), Audience: c.Audience, Claims: c.Claims, Roles: c.Roles, ACR: c.ACR, AMR: c.AMR,
		IssuedAt: c.IssuedAt.Time(), Expires: c.Expires.Time(), Bound: c.Confirm.bound(), kid: kid,
	}
	if c.AuthTime > 0 {
		t.AuthTime = c.AuthTime.Time()
	}
	if c.Subject != c.Client {
		t.User = identity.UserID(c.Subject)
	}
	return t, nil
}

// presented takes the token out of a protected resource's request (RFC 6750 §2, RFC 9449 §7.1): from the header or from the form,
// never from the address, and never from both.
func presented(c *Call) (Presentation, error) {
	scheme, token, _ := strings.Cut(c.Authorization, " ")
	p := Presentation{Token: strings.TrimSpace(token), Scheme: scheme, Proofs: c.DPoP, Cert: c.Cert, Method: c.Method, URL: c.URL, Now: c.Now}
	inHeader := strings.EqualFold(scheme, schemeBearer) || strings.EqualFold(scheme, schemeDPoP)
	form := c.Get("access_token")
	switch {
	case inHeader && form != "":
		return p, invalidRequest("The access token is sent twice. Send it in the Authorization header alone.")
	case inHeader:
		return p, nil
	case form != "" && c.Method == "POST":
		p.Token, p.Scheme = form, schemeBearer
		return p, nil
	case form != "":
		return p, invalidRequest("An access token in the address is refused (RFC 6750 section 5.3). Send it in the Authorization header.")
	}
	e := failure("", 401, "")
	e.Challenge = schemeBearer
	return p, e
}

// caller is the access token that a request to one of our own protected resources carries, and is entitled to carry.
func (s *Server) caller(ctx context.Context, c *Call) (*AccessToken, error) {
	p, err := presented(c)
	if err != nil {
		return nil, err
	}
	t, err := s.Access(ctx, p.Token, c.Now)
	if fault.Is(err, fault.Denied) {
		return nil, invalidToken("The access token is invalid, expired or revoked.")
	}
	if err != nil {
		return nil, err
	}
	proof, err := s.VerifyBinding(t, &p)
	if err != nil {
		return nil, err
	}
	return t, s.CheckReplay(ctx, proof, c.Now)
}
