package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

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

func (grantRefresh) Type() string { return client.GrantTypeRefresh }

func (grantRefresh) Redeem(ctx context.Context, s *Server, cl *client.Client, c *Call) (*Entitlement, error) {
	raw := c.Get("refresh_token")
	if raw == "" {
		return nil, invalidRequest("refresh_token is missing.")
	}
	id, sec, ok := s.openRefresh(raw)
	if !ok {
		return nil, invalidGrant("The refresh token is not one that this server gave out.")
	}
	g, u, err := s.store.GrantAndUser(ctx, id)
	if fault.Is(err, fault.NotFound) || (err == nil && !g.refreshes(cl, c.Now)) {
		return nil, invalidGrant("The refresh token has expired or been revoked, or is another client's.")
	}
	if err != nil {
		return nil, err
	}
	if err := c.held.answersFor(g.Bound); err != nil {
		return nil, err // before anything is compared or turned: who lacks the key can neither spend the token nor end its family
	}
	turn, successor := s.turn(cl, c, id, raw, sec)
	if !secret.Equal(string(g.RefreshHash), string(turn.Old)) {
		if !s.mayRepeat(g, *turn) {
			return nil, s.refreshReplayed(ctx, cl, c, g)
		}
		turn = nil
	}
	return s.refreshed(c, &Entitlement{Grant: g, User: u, Refresh: successor, Rotation: turn})
}

// refreshes reports whether a grant has a refresh token that the client may use at now.
func (g *Grant) refreshes(cl *client.Client, now time.Time) bool {
	return g.Client == cl.ID && g.RefreshHash != "" && g.ExpiresAt.After(now)
}

// turn prepares to replace a refresh token by its successor, which is the same one where tokens are not rotated.
func (s *Server) turn(cl *client.Client, c *Call, id GrantID, raw string, sec []byte) (*RefreshRotation, string) {
	successor := raw
	if s.rotates(cl) {
		successor = s.sealRefresh(id, s.nextSecret(id, sec))
	}
	return &RefreshRotation{
		Grant: id, Client: cl.ID, Old: s.keys.Hash(raw), New: s.keys.Hash(successor), Now: c.Now,
		ExpiresAt: c.Now.Add(s.refreshTTL(cl)), IP: c.IP, Agent: c.Agent,
	}, successor
}

// refreshed is what a grant is worth once its token is turned: the scopes and audiences asked for, out of those granted. What is wrong
// with the request is found before the turn: a typing error does not cost the client its token.
func (s *Server) refreshed(c *Call, e *Entitlement) (*Entitlement, error) {
	var err error
	if e.Scopes, err = narrowed(e.Grant.Scopes, c.Get("scope")); err != nil {
		return nil, err
	}
	if e.Audience, err = s.narrowedResources(e.Grant.Resources, c.Form); err != nil {
		return nil, err
	}
	if e.Grant.User == "" {
		return e, nil
	}
	return e, mayUse(e.User)
}

// turnRefresh turns the token and records it, in one change. Somebody may have turned it since it was read.
func (s *Server) turnRefresh(ctx context.Context, cl *client.Client, c *Call, e *Entitlement, ev ...audit.Event) error {
	err := s.store.RotateRefresh(ctx, *e.Rotation, ev...)
	var g *Grant
	if fault.Is(err, fault.Consumed) {
		g, err = s.store.Grant(ctx, e.Rotation.Grant)
	}
	switch {
	case fault.Is(err, fault.NotFound):
		return invalidGrant("The approval has been revoked meanwhile.")
	case err != nil || g == nil || s.mayRepeat(g, *e.Rotation):
		return err
	}
	return s.refreshReplayed(ctx, cl, c, g)
}

// rotates reports whether a client's refresh tokens work once. A public client's always do unless its operator
// said otherwise for this very client (RFC 9700 §4.14.2).
func (s *Server) rotates(cl *client.Client) bool {
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
func (s *Server) mayRepeat(g *Grant, t RefreshRotation) bool {
	return s.cfg.ReuseInterval > 0 && g.PrevHash != "" && secret.Equal(string(g.PrevHash), string(t.Old)) &&
		secret.Equal(string(g.RefreshHash), string(t.New)) && t.Now.Sub(g.RotatedAt).Abs() <= s.cfg.ReuseInterval // of servers whose clocks differ a little, too
}

// refreshReplayed ends the family: one of two holders of the token is not the client.
func (s *Server) refreshReplayed(ctx context.Context, cl *client.Client, c *Call, g *Grant) error {
	ev := s.event(c, audit.RefreshTokenReplayed, cl)
	ev.Grant, ev.User = string(g.ID), string(g.User)
	if err := s.store.EndGrant(ctx, g.ID, c.Now, ev); err != nil {
		return err
	}
	return invalidGrant("The token has been used before. To be safe, everything that it stood for has been ended; the user must sign in again.")
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
func (s *Server) refreshTTL(cl *client.Client) time.Duration {
	if cl.RefreshTTL > 0 {
		return cl.RefreshTTL
	}
	return s.cfg.RefreshTTL
}
