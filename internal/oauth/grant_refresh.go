package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// A refresh token is, before prefix and checksum: the grant's id (16 bytes), a secret (32), a tag (8).
//
// The id finds the row by its primary key. The tag is keyed, so a made-up token is refused without
// a look at the database, and nobody who merely knows a grant's id can pretend a replay. The secret of
// a rotated token is derived from its predecessor's with a key that only the server has: a client that lost
// the answer and asks again within the reuse interval gets the same successor, not a second one.
const (
	refreshID     = 16
	refreshSecret = 32
	refreshTag    = 8
	refreshSize   = refreshID + refreshSecret + refreshTag
)

// grantRefresh is the refresh grant (RFC 6749 §6), with rotation and replay detection (RFC 9700 §4.14.2).
type grantRefresh struct{}

func (grantRefresh) Type() string { return GrantTypeRefresh }

func (grantRefresh) Redeem(ctx context.Context, s *Server, cl *Client, c *Call) (*Entitlement, error) {
	raw := c.Get("refresh_token")
	if raw == "" {
		return nil, invalidRequest("refresh_token is missing.")
	}
	id, sec, ok := s.openRefresh(raw)
	if !ok {
		return nil, invalidGrant("The refresh token is not one that this server gave out.")
	}
	if err := s.refreshAsks(ctx, cl, c, id); err != nil {
		return nil, err
	}
	turn := RefreshTurn{
		Grant: id, Client: cl.ID, Old: s.keys.Hash(raw), Now: c.Now, ExpiresAt: c.Now.Add(s.refreshTTL(cl)), IP: c.IP, Agent: c.Agent,
	}
	successor := raw
	if s.rotates(cl) {
		successor = s.sealRefresh(id, s.nextSecret(id, sec))
	}
	turn.New = s.keys.Hash(successor)
	g, err := s.store.TurnRefresh(ctx, turn)
	switch {
	case fault.Is(err, fault.Spent):
		if !s.mayRepeat(g, turn) {
			return nil, s.refreshReplayed(ctx, cl, c, g)
		}
	case fault.Is(err, fault.NotFound):
		return nil, invalidGrant("The refresh token has expired or been revoked, or is another client's.")
	case err != nil:
		return nil, err
	}
	return s.refreshed(ctx, c, g, successor)
}

// refreshed is what a turned grant is worth: the scopes and audiences asked for, out of those granted.
func (s *Server) refreshed(ctx context.Context, c *Call, g *Grant, token string) (*Entitlement, error) {
	e := &Entitlement{Grant: g, Refresh: token}
	var err error
	if e.Scopes, err = narrowed(g.Scopes, c.Get("scope")); err != nil {
		return nil, err
	}
	if e.Audience, err = s.narrowedResources(g.Resources, c.Form); err != nil {
		return nil, err
	}
	if g.User == "" {
		return e, nil
	}
	e.User, err = s.liveUser(ctx, g.User)
	return e, err
}

// refreshAsks checks scope and resource before the token is turned, where the request has them: a typing error
// must not cost the client its token.
func (s *Server) refreshAsks(ctx context.Context, cl *Client, c *Call, id GrantID) error {
	if c.Get("scope") == "" && len(c.Form["resource"]) == 0 {
		return nil
	}
	g, err := s.store.Grant(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return nil // the turn says it better
	}
	if err != nil || g.Client != cl.ID {
		return err
	}
	if _, err := narrowed(g.Scopes, c.Get("scope")); err != nil {
		return err
	}
	_, err = s.narrowedResources(g.Resources, c.Form)
	return err
}

// rotates reports whether a client's refresh tokens work once. A public client's always do unless its operator
// said otherwise for this very client (RFC 9700 §4.14.2).
func (s *Server) rotates(cl *Client) bool {
	switch cl.Rotation {
	case "on":
		return true
	case "off":
		return false
	}
	return cl.Public || s.cfg.Rotation
}

// mayRepeat reports whether the token presented is the current one's predecessor, turned so recently that the
// answer may have been lost on the wire.
func (s *Server) mayRepeat(g *Grant, t RefreshTurn) bool {
	return s.cfg.ReuseInterval > 0 && g.PrevHash != "" && secret.Equal(string(g.PrevHash), string(t.Old)) &&
		secret.Equal(string(g.RefreshHash), string(t.New)) && t.Now.Sub(g.RotatedAt) <= s.cfg.ReuseInterval
}

// refreshReplayed ends the family: one of two holders of the token is not the client.
func (s *Server) refreshReplayed(ctx context.Context, cl *Client, c *Call, g *Grant) error {
	ev := s.event(c, audit.RefreshTokenReplayed, cl)
	ev.Grant, ev.User = string(g.ID), string(g.User)
	if err := s.store.EndGrant(ctx, g.ID, c.Now, ev); err != nil {
		return err
	}
	return invalidGrant("The refresh token has been used before. To be safe, everything that it stood for has been ended; the user must sign in again.")
}

// newRefresh makes the first refresh token of a grant.
func (s *Server) newRefresh(id GrantID) string {
	sec := make([]byte, refreshSecret)
	rand.Read(sec)
	return s.sealRefresh(id, sec)
}

// sealRefresh writes a refresh token.
func (s *Server) sealRefresh(id GrantID, sec []byte) string {
	u, _ := secret.ParseID(string(id)) // grant ids are made by NewID
	raw := make([]byte, 0, refreshSize)
	raw = append(append(raw, u[:]...), sec...)
	return secret.Encode(secret.PrefixRefreshToken, append(raw, s.mac(s.tag, raw)[:refreshTag]...))
}

// openRefresh reads a refresh token that this server wrote.
func (s *Server) openRefresh(token string) (GrantID, []byte, bool) {
	raw, ok := secret.Decode(secret.PrefixRefreshToken, token, refreshSize)
	if !ok {
		return "", nil, false
	}
	body, tag := raw[:refreshID+refreshSecret], raw[refreshID+refreshSecret:]
	if !hmac.Equal(tag, s.mac(s.tag, body)[:refreshTag]) {
		return "", nil, false
	}
	return GrantID(secret.FormatID([16]byte(body[:refreshID]))), body[refreshID:], true
}

// nextSecret derives the successor's secret.
func (s *Server) nextSecret(id GrantID, sec []byte) []byte {
	return s.mac(s.next, append(slices.Clone(sec), id...))
}

func (s *Server) mac(key, data []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(data)
	return m.Sum(nil)
}

// refreshTTL is how long a refresh token of a client lives from each use.
func (s *Server) refreshTTL(cl *Client) time.Duration {
	if cl.RefreshTTL > 0 {
		return cl.RefreshTTL
	}
	return s.cfg.RefreshTTL
}
