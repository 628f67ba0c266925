package gateway

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/bearer"
	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// foreignResolver identifies callers by access tokens of external issuers.
type foreignResolver struct{ g *Gateway }

func (fr foreignResolver) resolve(
	ctx context.Context, req *Request, route *Route, p presented,
) (Identity, error) {
	if p.token == "" {
		return Identity{}, nil
	}
	f := fr.issuerOf(p.token, route)
	if f == nil {
		return Identity{}, nil
	}
	if p.basic {
		return Identity{}, ambiguous("A client's credentials come with a token of an external issuer; " +
			"they cannot be of one client.")
	}
	t, err := f.verifier.VerifyCredential(ctx, &bearer.Credential{
		Scheme:      p.scheme,
		Token:       p.token,
		Proofs:      req.Header["Dpop"],
		Method:      req.Target.Method,
		URL:         fr.g.proofURL(req, route),
		Certificate: req.certificate(),
	})
	if err != nil {
		return Identity{}, foreignDenial(f, err)
	}
	key := keyOf(access.ByForeign, p.token, "")
	if c, ok := fr.g.callers.GetIfPresent(key); ok && c.foreign == t { // the verifier caches tokens
		return Identity{Caller: c}, nil
	}
	c := callerOfForeign(f, t)
	fr.g.callers.Set(key, c)
	return Identity{Caller: c}, nil
}

// issuerOf returns the external issuer that a token claims to be from, or nil; that issuer's
// verifier verifies it. A token without such a claim may be from anywhere, so it is sent to an
// issuer only where the route accepts that issuer's tokens.
func (fr foreignResolver) issuerOf(token string, route *Route) *Foreign {
	all := fr.g.table.Load().foreign
	if len(all) == 0 || strings.HasPrefix(token, secret.PrefixAny) {
		return nil
	}
	iss, signed := claimedIssuer(token)
	for _, f := range all {
		if signed && f.issuer == iss || !signed && f.opaque && slices.Contains(route.source.Issuers, f.name) {
			return f
		}
	}
	return nil
}

// claimedIssuer returns the iss of a JWT, unverified. It reports false for a token that is not a
// JWT.
func claimedIssuer(token string) (string, bool) {
	_, rest, ok := strings.Cut(token, ".")
	payload, rest, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.Contains(rest, ".") {
		return "", false
	}
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return "", false
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(raw, &c) != nil {
		return "", false
	}
	return c.Issuer, true
}

// callerOfForeign returns the caller that an external issuer's token stands for.
func callerOfForeign(f *Foreign, t *bearer.Token) *Caller {
	c := &Caller{foreign: t, Caller: access.Caller{
		By:        access.ByForeign,
		Client:    t.Client,
		Proven:    true,
		User:      t.User,
		UserName:  t.UserName,
		UserRoles: t.Roles,
		Scopes:    t.Scopes,
		Audience:  t.Audience,
		Issuer:    f.name,
		Subject:   t.Subject,
		TokenID:   t.ID,
		ACR:       t.ACR,
		AMR:       t.AMR,
		AuthTime:  t.AuthTime,
		Expires:   t.Expires,
	}}
	if t.User == "" {
		c.UserRoles, c.ClientRoles = nil, t.Roles
	}
	return c
}

// foreignDenial returns the denial for an error of an external issuer's verifier.
func foreignDenial(f *Foreign, err error) error {
	var e *bearer.Error
	if !errors.As(err, &e) {
		return err
	}
	if e.Status >= http.StatusInternalServerError {
		return fault.Wrap(fault.Unavailable, err, "the issuer %s does not answer", f.name)
	}
	scheme := e.Scheme
	if scheme == "" {
		scheme = schemeBearer
	}
	d := badCredential(scheme, e.Code, e.Description,
		"The token of the issuer "+f.name+" is not valid: "+err.Error())
	d.Status = e.Status
	return d
}
