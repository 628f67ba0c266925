package token

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// issue makes the tokens of a redemption. Everything is stored before it returns, so that no
// crash can take back what a client has got.
func (s *Server) issue(
	ctx context.Context, r *Request, red Redemption,
) (resp *Response, err error) {
	a := red.access()
	if a.Grant.Impersonated() && !a.Grant.AbsoluteEnd.After(r.Now) {
		return nil, approvalRevoked()
	}
	if a.User != nil { // of what was approved, what the person may hand out by now
		a.Scopes = s.scopes.Definitions().ForPerson(a.User.Roles, a.Scopes)
	}
	t := s.newAccessToken(r, a)
	resp = &Response{
		TokenType: tokenType(t.Bound),
		ExpiresIn: t.Expires.Unix() - t.IssuedAt.Unix(),
		Scope:     strings.Join(a.Scopes, " "),
	}
	nonce, wait := "", noWait
	switch red := red.(type) {
	case *NewGrant:
		nonce = red.Nonce
		resp.RefreshToken, err = s.storeGrant(ctx, r, red, t)
	case *Rotation:
		if red.TokenID != "" {
			t.ID = red.TokenID
		}
		resp.RefreshToken, resp.IssuedType = red.RefreshToken, red.IssuedType
		defer func() { s.refresh.end(ctx, red.Rotate, err) }()
		wait, err = s.storeRotation(ctx, r, red, t)
	case *Stateless:
		wait = s.recordIssuance(r, red, t)
	}
	if err != nil {
		return nil, err
	}
	// Events that belong to no change are stored while the token is being signed.
	if resp.AccessToken, err = s.access.write(ctx, r.Client, t, r.Now); err != nil {
		return nil, err
	}
	if err := wait(ctx); err != nil {
		return nil, err
	}
	if a.User != nil && slices.Contains(a.Scopes, oauth.ScopeOpenID) {
		resp.IDToken, err = s.writeIDToken(ctx, r, a, nonce, resp.AccessToken)
	}
	return resp, err
}

// newAccessToken returns the content of an access token, which is valid from now on.
func (s *Server) newAccessToken(r *Request, a *Access) *oauth.AccessToken {
	ttl := r.Client.AccessTTL
	if ttl <= 0 {
		ttl = s.cfg.AccessTTL
	}
	now := r.Now.Truncate(time.Second)
	t := &oauth.AccessToken{
		ID:       secret.NewID(r.Now),
		Grant:    a.Grant.ID,
		Client:   r.Client.ID,
		Session:  a.Grant.Session,
		Subject:  string(r.Client.ID),
		Scopes:   a.Scopes,
		Audience: a.Audience,
		IssuedAt: now,
		Expires:  now.Add(ttl),
		AuthTime: a.Grant.AuthTime,
		ACR:      a.Grant.ACR,
		AMR:      a.Grant.AMR,
		Bound:    r.Proof.Binding,
	}
	if a.Grant.Impersonated() {
		t.Actor = a.Grant.Impersonator.ID
		t.Expires = earlier(t.Expires, a.Grant.AbsoluteEnd.Truncate(time.Second))
	}
	if a.User != nil {
		t.User, t.Subject, t.Roles = a.User.ID, string(a.User.ID), a.User.Roles
		claims := oauth.ParseClaims(a.Grant.Claims).Allowed(r.Client)
		if len(claims.UserInfo) > 0 {
			t.Claims, _ = json.Marshal(claims.UserInfo) // what was parsed from JSON always marshals
		}
	}
	return t
}

// storeGrant stores a new grant with its audit event, and consumes the credential that it came
// from. It returns the grant's refresh token, or "".
func (s *Server) storeGrant(
	ctx context.Context, r *Request, red *NewGrant, t *oauth.AccessToken,
) (refresh string, err error) {
	ev := s.issuance(r, &red.Access, t, audit.AccessTokenIssued)
	g := red.Grant
	sessionEnd := g.AbsoluteEnd // of an impersonated one
	g.Bound = r.Proof.grantBinding(r.Client)
	g.LastUsedAt, g.ExpiresAt = r.Now, t.Expires
	if red.Refreshes && s.refresh.ttl(r.Client) > 0 { // REFRESH_TOKEN_TTL=0 turns them off
		refresh, g.RefreshHash = s.refresh.new(r.Client, g.ID, t)
	}
	if g.RefreshHash != "" {
		ttl := s.refresh.ttl(r.Client)
		g.ExpiresAt = r.Now.Add(ttl)
		g.AbsoluteEnd = g.ExpiresAt
		if s.cfg.RefreshAbsolute > 0 {
			g.AbsoluteEnd = r.Now.Add(max(s.cfg.RefreshAbsolute, ttl))
		}
	}
	if g.Impersonated() {
		g.ExpiresAt, g.AbsoluteEnd = earlier(g.ExpiresAt, sessionEnd), sessionEnd
	}
	if red.Consumes != nil {
		err = red.Consumes.Redeem(ctx, g, ev)
	} else {
		err = s.store.PutGrant(ctx, g, ev)
	}
	if fault.Is(err, fault.Consumed) || fault.Is(err, fault.Denied) {
		err = approvalRevoked()
	}
	return refresh, err
}

// storeRotation replaces the credential of a grant by its successor, and records the issuance.
func (s *Server) storeRotation(
	ctx context.Context, r *Request, red *Rotation, t *oauth.AccessToken,
) (wait func(context.Context) error, err error) {
	var evs []audit.Event
	if !s.cfg.CountIssuances {
		evs = append(evs, s.issuance(r, &red.Access, t, audit.RefreshTokenUsed))
	}
	wait = noWait
	if red.Rotate == nil {
		wait = s.store.RecordAsync(evs...)
	} else if err := s.refresh.store(ctx, r, red.Rotate, evs...); err != nil {
		return nil, err
	}
	if s.cfg.CountIssuances { // every continuation of an approval counts as a refresh
		s.issued.add(r.Client.ID, client.GrantTypeRefresh, r.Now)
	}
	return wait, nil
}

// recordIssuance records a token for which nothing else is stored.
func (s *Server) recordIssuance(
	r *Request, red *Stateless, t *oauth.AccessToken,
) (wait func(context.Context) error) {
	if s.cfg.CountIssuances {
		s.issued.add(r.Client.ID, red.Grant.Kind, r.Now)
		return noWait
	}
	return s.store.RecordAsync(s.issuance(r, &red.Access, t, red.Event))
}

// issuance returns the audit event of an access token.
func (s *Server) issuance(
	r *Request, a *Access, t *oauth.AccessToken, kind audit.Type,
) audit.Event {
	ev := r.Event(kind, r.Client)
	ev.Grant, ev.User, ev.Actor = string(a.Grant.ID), string(t.User), string(r.Client.ID)
	ev.Detail = map[string]string{
		"grant_type": a.Grant.Kind,
		"scope":      strings.Join(a.Scopes, " "),
		"jti":        t.ID,
	}
	if t.Actor != "" {
		ev.Detail["impersonator"] = t.Actor
	}
	return ev
}

// earlier returns the earlier of two times.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// noWait returns at once: nothing is being stored.
func noWait(context.Context) error { return nil }
