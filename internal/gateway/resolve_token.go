package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
)

// maxSkew is how far the clocks of two servers of one issuer may differ.
const maxSkew = time.Minute

// tokenResolver identifies callers by access tokens of this server.
type tokenResolver struct{ g *Gateway }

func (tr tokenResolver) resolve(
	ctx context.Context, req *Request, route *Route, p presented,
) (Identity, error) {
	if p.token == "" {
		return Identity{}, nil
	}
	g, now := tr.g, req.Target.Now
	key := keyOf("", p.token, p.clientID())
	c := g.cached(ctx, key, now)
	if c == nil {
		if !tokenLike(p.token) { // cached tokens were validated before
			return Identity{}, ambiguous("The Authorization header contains a scheme without a " +
				"token.")
		}
		var err error
		if c, err = tr.read(req, p); err != nil {
			return Identity{}, err
		}
		g.callers.Set(key, c)
	}
	if p.basic {
		if _, err := g.authenticateClient(ctx, &p.credentials, now); err != nil {
			return Identity{}, err
		}
	}
	if p.scheme == schemeBearer && c.token.Bound == "" {
		return Identity{Caller: c}, nil
	}
	nonce, err := tr.verifyBinding(ctx, req, route, p, c.token)
	return Identity{Caller: c, Nonce: nonce}, err
}

// read returns the caller of a token that is not cached.
func (tr tokenResolver) read(req *Request, p presented) (*Caller, error) {
	ctx, cancel := req.storageContext()
	defer cancel()
	g, now := tr.g, req.Target.Now
	t, err := g.Tokens.Access(ctx, p.token, now)
	switch {
	case fault.Is(err, fault.Denied):
		return nil, badToken("The access token is not valid: " + denialDetail(err) + ".")
	case err != nil:
		return nil, err
	case t.IssuedAt.After(now.Add(maxSkew)):
		return nil, badToken("The access token was issued in the future: the clocks of two " +
			"servers differ.")
	}
	if claimed := p.clientID(); claimed != "" && claimed != t.Client {
		return nil, ambiguous("The client's credentials and the access token name two clients.")
	}
	return tr.callerOf(ctx, t, now)
}

// callerOf returns the caller that a token stands for.
func (tr tokenResolver) callerOf(
	ctx context.Context, t *oauth.AccessToken, now time.Time,
) (*Caller, error) {
	c := &Caller{token: t, Caller: access.Caller{
		By:        access.ByToken,
		Proven:    true,
		User:      string(t.User),
		UserRoles: t.Roles,
		Session:   string(t.Session),
		Scopes:    t.Scopes,
		Audience:  t.Audience,
		Subject:   t.Subject,
		TokenID:   t.ID,
		ACR:       t.ACR,
		AMR:       t.AMR,
		AuthTime:  t.AuthTime,
		Expires:   t.Expires,
		Actor:     t.Actor,
	}}
	cl, err := tr.g.Clients.LookupClient(ctx, t.Client)
	if fault.Is(err, fault.Denied) {
		return nil, badToken(
			"The access token's client is no longer active: " + denialDetail(err) + ".")
	}
	if err != nil {
		return nil, err
	}
	tr.g.setClient(c, cl)
	if err := tr.g.setUser(ctx, c, t.User, now); err != nil {
		return nil, err
	}
	return c, nil
}

// verifyBinding checks that the caller holds the key or the certificate that its token is bound to
// (RFC 9449 §7, RFC 8705 §3), and consumes the proof. It returns the nonce for the next proof.
func (tr tokenResolver) verifyBinding(
	ctx context.Context, req *Request, route *Route, p presented, t *oauth.AccessToken,
) (string, error) {
	tokens, now := tr.g.Tokens, req.Target.Now
	proof, err := tokens.VerifyBinding(t, &token.Presentation{
		Token:  p.token,
		Scheme: p.scheme,
		Proofs: req.Header["Dpop"],
		Cert:   req.certificate(),
		Method: req.Target.Method,
		URL:    tr.g.proofURL(req, route),
		Now:    now,
	})
	if err == nil {
		err = tokens.CheckReplay(ctx, proof, now)
	}
	nonce := ""
	if proof != nil || p.scheme == schemeDPoP {
		nonce = tokens.Nonce(now)
	}
	if err == nil {
		return nonce, nil
	}
	d := unjudged(err)
	var e *oauth.Error
	if errors.As(err, &e) {
		d = badCredential(e.Challenge, e.Code, e.Description, e.Description)
	}
	d.Challenge.Nonce = nonce
	return nonce, d
}
