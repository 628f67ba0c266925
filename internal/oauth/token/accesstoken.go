package token

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// accessTokens writes and reads access tokens in both formats.
type accessTokens struct {
	store    opaqueStore
	ring     *jose.Ring
	keys     *secret.Keys
	issuer   string
	format   string // the default
	alg      string // the default
	verified *tokenCache
}

// opaqueStore stores opaque access tokens.
type opaqueStore interface {
	PutOpaque(ctx context.Context, h secret.Hash, t *oauth.AccessToken) error
	Opaque(ctx context.Context, h secret.Hash, now time.Time) (*oauth.AccessToken, error)
}

// accessClaims is the payload of a JWT access token (RFC 9068 §2.2).
type accessClaims struct {
	Issuer   string            `json:"iss"`
	Subject  string            `json:"sub"`
	Audience oauth.Audience    `json:"aud"`
	Client   string            `json:"client_id"`
	Scope    string            `json:"scope,omitempty"`
	IssuedAt oauth.NumericDate `json:"iat"`
	Expires  oauth.NumericDate `json:"exp"`
	ID       string            `json:"jti"`
	Grant    string            `json:"gid"`
	Session  string            `json:"sid,omitempty"`
	AuthTime oauth.NumericDate `json:"auth_time,omitempty"`
	ACR      string            `json:"acr,omitempty"`
	AMR      []string          `json:"amr,omitempty"`
	Roles    []string          `json:"roles,omitempty"`
	Claims   json.RawMessage   `json:"claims,omitempty"` // userinfo claims requested beyond the scopes
	Confirm  *confirmation     `json:"cnf,omitempty"`
	Actor    *actor            `json:"act,omitempty"`
}

// actor is the claim that says who acts as the subject of a token (RFC 8693 §4.1).
type actor struct {
	Subject string `json:"sub"`
}

// actorClaim returns the claim, or nil if the subject acts.
func actorClaim(id string) *actor {
	if id == "" {
		return nil
	}
	return &actor{Subject: id}
}

// write writes an access token in the client's format. It signs with the key that is current at
// now, not at the token's own time: that is cut to the second, at which the first key of a
// server that has just started did not exist yet.
func (a *accessTokens) write(
	ctx context.Context, cl *client.Client, t *oauth.AccessToken, now time.Time,
) (string, error) {
	if a.formatOf(cl) == oauth.FormatOpaque {
		token := secret.NewToken(secret.PrefixAccessToken)
		return token, a.store.PutOpaque(ctx, a.keys.Hash(token), t)
	}
	payload, err := a.claims(t)
	if err != nil {
		return "", err
	}
	return a.ring.Sign(ctx, a.algorithm(cl), cl.AccessTokenTyp(), payload, now)
}

// formatOf returns the format of a client's access tokens.
func (a *accessTokens) formatOf(cl *client.Client) string {
	if cl.TokenFormat != "" {
		return cl.TokenFormat
	}
	return a.format
}

// claims returns the payload of a JWT access token.
func (a *accessTokens) claims(t *oauth.AccessToken) ([]byte, error) {
	return json.Marshal(accessClaims{
		Issuer:   a.issuer,
		Subject:  t.Subject,
		Audience: t.Audience,
		Client:   string(t.Client),
		Scope:    strings.Join(t.Scopes, " "),
		IssuedAt: oauth.NumericDateOf(t.IssuedAt),
		Expires:  oauth.NumericDateOf(t.Expires),
		ID:       t.ID,
		Grant:    string(t.Grant),
		Session:  string(t.Session),
		AuthTime: oauth.NumericDateOf(t.AuthTime),
		ACR:      t.ACR,
		AMR:      t.AMR,
		Roles:    t.Roles,
		Claims:   t.Claims,
		Confirm:  confirmationOf(t.Bound),
		Actor:    actorClaim(t.Actor),
	})
}

// algorithm returns the signature algorithm of a client's tokens.
func (a *accessTokens) algorithm(cl *client.Client) string {
	if jose.CanSign(cl.Alg) {
		return cl.Alg
	}
	return a.alg
}

// read reads an access token in either format, whether or not it has expired. Denied: it is not
// one of ours.
func (a *accessTokens) read(
	ctx context.Context, token string, now time.Time,
) (*oauth.AccessToken, error) {
	if strings.HasPrefix(token, secret.PrefixAccessToken) {
		if !secret.WellFormed(secret.PrefixAccessToken, token) {
			return nil, fault.New(fault.Denied, "the token was not issued by this server")
		}
		t, err := a.store.Opaque(ctx, a.keys.Hash(token), now)
		if fault.Is(err, fault.NotFound) {
			return nil, fault.New(fault.Denied, "the token is unknown or has expired")
		}
		return t, err
	}
	return a.verified.get(token, a.ring, func() (*oauth.AccessToken, error) {
		return a.readJWT(token)
	})
}

// readJWT verifies a JWT access token and reads its claims (RFC 9068 §4).
func (a *accessTokens) readJWT(token string) (*oauth.AccessToken, error) {
	raw, head, err := a.ring.VerifyKind(token, client.TypAccessToken, client.TypJWT)
	if err != nil {
		return nil, err
	}
	var c accessClaims
	if err := json.Unmarshal(raw, &c); err != nil || c.Issuer != a.issuer {
		return nil, fault.New(fault.Denied, "the token was issued by another issuer")
	}
	// ID tokens have the type JWT as well, but name no client and no grant (RFC 8725 §3.12).
	if c.Client == "" || c.Grant == "" || c.ID == "" {
		return nil, fault.New(fault.Denied, "the token is not an access token")
	}
	t := &oauth.AccessToken{
		ID:       c.ID,
		Grant:    oauth.GrantID(c.Grant),
		Client:   client.ID(c.Client),
		Session:  identity.SessionID(c.Session),
		Subject:  c.Subject,
		Scopes:   strings.Fields(c.Scope),
		Audience: c.Audience,
		Claims:   c.Claims,
		Roles:    c.Roles,
		ACR:      c.ACR,
		AMR:      c.AMR,
		IssuedAt: c.IssuedAt.Time(),
		Expires:  c.Expires.Time(),
		Bound:    c.Confirm.bound(),
		KeyID:    head.KeyID,
	}
	if c.AuthTime > 0 {
		t.AuthTime = c.AuthTime.Time()
	}
	if c.Actor != nil {
		t.Actor = c.Actor.Subject
	}
	if c.Subject != c.Client {
		t.User = identity.UserID(c.Subject)
	}
	return t, nil
}

// Access reads an access token of ours and checks that it is active: its signature or its row,
// its times, and the revocations in memory. Denied: it is not active. Unavailable with
// ReasonStale: whether it has been revoked is not known. A JWT costs no query.
func (s *Server) Access(
	ctx context.Context, token string, now time.Time,
) (*oauth.AccessToken, error) {
	t, err := s.access.read(ctx, token, now)
	if err != nil {
		return nil, err
	}
	if !t.Expires.After(now) {
		return nil, fault.New(fault.Denied, "the token has expired")
	}
	if s.store.Revoked(t) {
		return nil, fault.New(fault.Denied, "the token has been revoked")
	}
	if err := s.Current(); err != nil {
		return nil, err
	}
	return t, nil
}

// ReasonStale is the reason of an error of Current.
const ReasonStale = "revocations_stale"

// Current returns Unavailable with ReasonStale while the revocations in memory are older than they
// may be: a token that looks active may have been revoked at another server since.
func (s *Server) Current() error {
	if most := s.cfg.RevocationMaxAge; most > 0 && s.store.KnowledgeAge() > most {
		return stale()
	}
	return nil
}

func stale() error {
	err := fault.RetryAfter(fault.Unavailable, staleRetry,
		"the revocations that this server knows are older than REVOCATION_MAX_AGE")
	err.Reason = ReasonStale
	return err
}

// staleRetry is when a caller may try again.
const staleRetry = 5 * time.Second

// Active reports whether a token that Access returned before is still active: not expired, not
// revoked, and signed with a key that is still trusted. It reads memory alone, so that a caller
// that caches tokens can ask at every request, beside Current.
func (s *Server) Active(t *oauth.AccessToken, now time.Time) bool {
	return t.Expires.After(now) && (t.KeyID == "" || s.ring.Has(t.KeyID)) && !s.store.Revoked(t)
}

// Caller returns the access token of a request to one of our own resources, after all checks.
func (s *Server) Caller(ctx context.Context, c *oauth.Call) (*oauth.AccessToken, error) {
	return s.callerToken(ctx, c)
}

// callerToken returns the access token of a request to one of our own protected resources, after
// all checks.
func (s *Server) callerToken(ctx context.Context, c *oauth.Call) (*oauth.AccessToken, error) {
	p, err := presentation(c)
	if err != nil {
		return nil, err
	}
	t, err := s.Access(ctx, p.Token, c.Now)
	if fault.Is(err, fault.Denied) {
		return nil, oauth.InvalidToken("The access token is invalid, expired or revoked.")
	}
	if err != nil {
		return nil, err
	}
	if !slices.Contains(t.Audience, s.cfg.Issuer) { // RFC 9068 §4, RFC 9700 §2.3
		return nil, oauth.InvalidToken("The access token is for another API. " +
			"Request one without resource, or with the issuer as a resource.")
	}
	if !c.Local { // of a client that memory does not know, no token is restricted
		if cl, err := s.store.Client(ctx, t.Client); err == nil && cl.LoopbackOnly {
			return nil, oauth.InvalidToken("The access token is only accepted from the server's own machine.")
		}
	}
	proof, err := s.VerifyBinding(t, &p)
	if err != nil {
		return nil, err
	}
	return t, s.CheckReplay(ctx, proof, c.Now)
}

// presentation reads the access token of a request (RFC 6750 §2, RFC 9449 §7.1): from the header
// or from the form, never from the address, and never from both.
func presentation(c *oauth.Call) (Presentation, error) {
	scheme, token, _ := strings.Cut(c.Authorization, " ")
	p := Presentation{
		Token:  strings.TrimSpace(token),
		Scheme: scheme,
		Proofs: c.DPoP,
		Cert:   c.Cert,
		Method: c.Method,
		URL:    c.URL,
		Now:    c.Now,
	}
	inHeader := presentsToken(scheme)
	form := c.Get("access_token")
	switch {
	case inHeader && form != "":
		return p, oauth.InvalidRequest(
			"The access token is sent twice. Send it in the Authorization header alone.")
	case inHeader:
		return p, nil
	case form != "" && c.Method == "POST":
		p.Token, p.Scheme = form, oauth.SchemeBearer
		return p, nil
	case form != "":
		return p, oauth.InvalidRequest("An access token in the address is not accepted " +
			"(RFC 6750 section 5.3). Send it in the Authorization header.")
	}
	e := oauth.NewError("", 401, "")
	e.Challenge = oauth.SchemeBearer
	return p, e
}

// presentsToken reports whether a scheme of the Authorization header presents an access token.
func presentsToken(scheme string) bool {
	return strings.EqualFold(scheme, oauth.SchemeBearer) ||
		strings.EqualFold(scheme, oauth.SchemeDPoP)
}
