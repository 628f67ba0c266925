package oauth

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Values of `typ` in the headers of our tokens: they keep one kind from passing for another (RFC 8725 §3.11).
const (
	typAccess = "at+jwt" // RFC 9068 §2.1
	typID     = "JWT"
)

// accessClaims is the payload of a JWT access token (RFC 9068 §2.2).
type accessClaims struct {
	Issuer   string          `json:"iss"`
	Subject  string          `json:"sub"`
	Audience audience        `json:"aud"`
	Client   string          `json:"client_id"`
	Scope    string          `json:"scope,omitempty"`
	IssuedAt seconds         `json:"iat"`
	Expires  seconds         `json:"exp"`
	ID       string          `json:"jti"`
	Grant    string          `json:"gid"`
	Session  string          `json:"sid,omitempty"`
	AuthTime seconds         `json:"auth_time,omitempty"`
	ACR      string          `json:"acr,omitempty"`
	AMR      []string        `json:"amr,omitempty"`
	Roles    []string        `json:"roles,omitempty"`
	Claims   json.RawMessage `json:"claims,omitempty"` // what the userinfo endpoint was asked for beyond the scopes
	Confirm  *confirmation   `json:"cnf,omitempty"`
}

// issue mints what a redeemed grant is worth. What must be stored is stored before the answer: nothing is
// answered that a crash could take back.
func (s *Server) issue(ctx context.Context, cl *client.Client, c *Call, e *Entitlement) (*TokenResponse, error) {
	t := s.accessToken(cl, c, e)
	stored, err := s.keepGrant(ctx, cl, c, e, t)
	if err != nil {
		return nil, err
	}
	token, err := s.writeAccess(ctx, cl, t, c.Now)
	if err != nil {
		return nil, err
	}
	if err := stored(ctx); err != nil {
		return nil, err
	}
	r := &TokenResponse{
		AccessToken: token, TokenType: tokenType(t.Bound), ExpiresIn: t.Expires.Unix() - t.IssuedAt.Unix(),
		RefreshToken: e.Refresh, Scope: strings.Join(e.Scopes, " "), IssuedType: e.Issued,
	}
	if e.User != nil && slices.Contains(e.Scopes, ScopeOpenID) {
		r.IDToken, err = s.writeIDToken(ctx, cl, c, e, token)
	}
	return r, err
}

// accessToken fills in an access token.
func (s *Server) accessToken(cl *client.Client, c *Call, e *Entitlement) *AccessToken {
	ttl := cl.AccessTTL
	if ttl <= 0 {
		ttl = s.cfg.AccessTTL
	}
	now := c.Now.Truncate(time.Second)
	t := &AccessToken{
		ID: secret.NewID(c.Now), Grant: e.Grant.ID, Client: cl.ID, Session: e.Grant.Session, Subject: string(cl.ID),
		Scopes: e.Scopes, Audience: e.Audience, IssuedAt: now, Expires: now.Add(ttl),
		AuthTime: e.Grant.AuthTime, ACR: e.Grant.ACR, AMR: e.Grant.AMR, Bound: c.held.bound,
	}
	if e.TokenID != "" {
		t.ID = e.TokenID
	}
	if e.User != nil {
		t.User, t.Subject, t.Roles = e.User.ID, string(e.User.ID), e.User.Roles
		if p := wants(e.Grant.Claims); len(p.UserInfo) > 0 {
			t.Claims, _ = json.Marshal(p.UserInfo) // a map of what was parsed from JSON always marshals
		}
	}
	return t
}

// stored waits until what was begun to be stored is stored.
type stored func(context.Context) error

func nothing(context.Context) error { return nil }

// keepGrant stores a new grant, with its first refresh token if it gets one, and audits the issuance.
func (s *Server) keepGrant(ctx context.Context, cl *client.Client, c *Call, e *Entitlement, t *AccessToken) (stored, error) {
	if !e.New {
		return s.keepOld(ctx, cl, c, e, t)
	}
	ev := s.issuance(cl, c, e, t, audit.AccessTokenIssued)
	g := e.Grant
	g.LastUsedAt, g.ExpiresAt = c.Now, t.Expires
	if e.IssueRefresh {
		e.Refresh, g.RefreshHash = s.renewal(cl, g.ID, t)
	}
	if g.RefreshHash != "" {
		g.ExpiresAt = c.Now.Add(s.refreshTTL(cl))
		g.AbsoluteEnd = g.ExpiresAt
		if s.cfg.RefreshAbsolute > 0 {
			g.AbsoluteEnd = c.Now.Add(max(s.cfg.RefreshAbsolute, s.refreshTTL(cl)))
		}
	}
	return nothing, s.storeGrant(ctx, cl, c, e, ev)
}

// keepOld turns a refresh token, where there is one, and records that a token was issued, each or by number. A record
// that belongs to no change is stored while the token is being signed.
func (s *Server) keepOld(ctx context.Context, cl *client.Client, c *Call, e *Entitlement, t *AccessToken) (stored, error) {
	kind, grant := audit.RefreshTokenUsed, client.GrantTypeRefresh
	if e.Grant.Kind == client.GrantTypeClient {
		kind, grant = audit.ClientCredentialsIssued, client.GrantTypeClient
	}
	var evs []audit.Event
	if !s.cfg.CountIssuances {
		evs = append(evs, s.issuance(cl, c, e, t, kind))
	}
	done := stored(nothing)
	if e.Rotation != nil {
		if err := s.turnRefresh(ctx, cl, c, e, evs...); err != nil {
			return nil, err
		}
	} else {
		done = s.store.RecordAsync(evs...)
	}
	if s.cfg.CountIssuances {
		s.tally.add(cl.ID, grant, c.Now)
	}
	return done, nil
}

// issuance is the record of a token.
func (s *Server) issuance(cl *client.Client, c *Call, e *Entitlement, t *AccessToken, kind audit.Type) audit.Event {
	ev := s.event(c, kind, cl)
	ev.Grant, ev.User, ev.Actor = string(e.Grant.ID), string(t.User), string(cl.ID)
	ev.Detail = map[string]string{"grant_type": e.Grant.Kind, "scope": strings.Join(e.Scopes, " "), "jti": t.ID}
	return ev
}

// storeGrant stores a new grant; one that a code gives together with the end of the code, so that of any number
// of requests with one code exactly one is answered with tokens, and every later one finds what to end.
func (s *Server) storeGrant(ctx context.Context, cl *client.Client, c *Call, e *Entitlement, ev audit.Event) error {
	var err error
	switch {
	case e.Code != nil:
		err = s.store.RedeemCode(ctx, e.Code.Hash, e.Grant, c.Now, ev)
		if fault.Is(err, fault.Consumed) {
			return s.codeReplayed(ctx, cl, c, e.Code)
		}
	case e.Device != "":
		err = s.store.RedeemDevice(ctx, e.Device, e.Grant, c.Now, ev)
		if fault.Is(err, fault.Consumed) {
			return invalidGrant("The device code is unknown, or has been redeemed.")
		}
	default:
		err = s.store.PutGrant(ctx, e.Grant, ev)
	}
	if fault.Is(err, fault.Consumed) || fault.Is(err, fault.Denied) {
		return invalidGrant("The approval has been revoked meanwhile.")
	}
	return err
}

// writeAccess writes an access token in the client's format. The key is that of now to the millisecond: the token's own
// time is cut to the second, at which the first key of a server that has just started did not exist yet.
func (s *Server) writeAccess(ctx context.Context, cl *client.Client, t *AccessToken, now time.Time) (string, error) {
	format := cl.TokenFormat
	if format == "" {
		format = s.cfg.TokenFormat
	}
	if format == FormatOpaque {
		token := secret.NewToken(secret.PrefixAccessToken)
		return token, s.store.PutOpaque(ctx, s.keys.Hash(token), t)
	}
	payload, err := json.Marshal(accessClaims{
		Issuer: s.cfg.Issuer, Subject: t.Subject, Audience: t.Audience, Client: string(t.Client), Scope: strings.Join(t.Scopes, " "),
		IssuedAt: at(t.IssuedAt), Expires: at(t.Expires), ID: t.ID, Grant: string(t.Grant), Session: string(t.Session),
		AuthTime: at(t.AuthTime), ACR: t.ACR, AMR: t.AMR, Roles: t.Roles, Claims: t.Claims, Confirm: confirms(t.Bound),
	})
	if err != nil {
		return "", err
	}
	return s.ring.Sign(ctx, s.alg(cl), typAccess, payload, now)
}

// idToken is the payload of an ID token (OpenID Connect Core §2), with the claims that the scopes give.
type idToken struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Expires  seconds  `json:"exp"`
	IssuedAt seconds  `json:"iat"`
	AuthTime seconds  `json:"auth_time,omitempty"`
	Nonce    string   `json:"nonce,omitempty"`
	ACR      string   `json:"acr,omitempty"`
	AMR      []string `json:"amr,omitempty"`
	Party    string   `json:"azp,omitempty"`
	Session  string   `json:"sid,omitempty"`
	AtHash   string   `json:"at_hash,omitempty"`
	profile
}

// writeIDToken writes an ID token about the grant's authentication (OpenID Connect Core §3.1.3.3, §12.2).
func (s *Server) writeIDToken(ctx context.Context, cl *client.Client, c *Call, e *Entitlement, access string) (string, error) {
	ttl := cl.IDTokenTTL
	if ttl <= 0 {
		ttl = s.cfg.IDTokenTTL
	}
	alg, g := s.alg(cl), e.Grant
	payload, err := json.Marshal(idToken{
		Issuer: s.cfg.Issuer, Subject: string(e.User.ID), Audience: audience{string(cl.ID)},
		IssuedAt: at(c.Now), Expires: at(c.Now.Add(ttl)), AuthTime: at(g.AuthTime), Nonce: e.Nonce, ACR: g.ACR, AMR: g.AMR,
		Session: string(g.Session), AtHash: jose.AccessHash(alg, access),
		profile: profileOf(e.User, e.Scopes, wants(g.Claims).IDToken),
	})
	if err != nil {
		return "", err
	}
	return s.ring.Sign(ctx, alg, typID, payload, c.Now)
}

// liveUser reads the user of a grant and refuses one who may not sign in any more.
func (s *Server) liveUser(ctx context.Context, id identity.UserID) (*identity.User, error) {
	u, err := s.store.User(ctx, id)
	if fault.Is(err, fault.NotFound) {
		u, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	return u, mayUse(u)
}

// mayUse refuses the grant of a user who is gone, which is nil, or may not sign in any more.
func mayUse(u *identity.User) error {
	switch {
	case u == nil:
		return invalidGrant("The user has been deleted.")
	case u.Disabled:
		return invalidGrant("The user's account is disabled.")
	}
	return nil
}
