package token

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// A refresh token consists, before prefix and checksum, of the grant's id (16 bytes), a secret
// (32) and a tag (8).
//
// The id finds the row by its primary key. The tag is keyed, so an invented token is rejected
// without a query, and knowing a grant's id is not enough to feign a replay. The secret of a
// rotated token is derived from its predecessor's with a key that only the server has: a client
// that lost the response and asks again within the reuse interval gets the same successor, not a
// second one.
const (
	refreshIDSize     = 16
	refreshSecretSize = 32
	refreshTagSize    = 8
	refreshSize       = refreshIDSize + refreshSecretSize + refreshTagSize
)

// jtiPrefix distinguishes the hash of an access token's id from that of a refresh token, where a
// grant holds either.
const jtiPrefix = "jti:"

// refreshTokens writes, reads and rotates refresh tokens, and the access token ids that replace
// them for clients with server-side refresh tokens.
type refreshTokens struct {
	grants GrantStore
	keys   *secret.Keys
	tagKey []byte // authenticates refresh tokens
	next   []byte // derives a refresh token's successor

	lifetime time.Duration // from each use on
	reuse    time.Duration // how long a lost response may be repeated
	rotate   bool          // confidential clients' tokens as well
}

func newRefreshTokens(cfg oauth.Config, grants GrantStore, keys *secret.Keys) *refreshTokens {
	return &refreshTokens{
		grants:   grants,
		keys:     keys,
		tagKey:   keys.Derive("refresh-tag"),
		next:     keys.Derive("refresh-next"),
		lifetime: cfg.RefreshTTL,
		reuse:    cfg.ReuseInterval,
		rotate:   cfg.Rotation,
	}
}

// ttl returns how long a client's refresh token is valid from each use on.
func (t *refreshTokens) ttl(cl *client.Client) time.Duration {
	if cl.RefreshTTL > 0 {
		return cl.RefreshTTL
	}
	return t.lifetime
}

// rotates reports whether a client's refresh tokens work once. Those of a public client always do
// unless its operator decided otherwise for this client (RFC 9700 §4.14.2).
func (t *refreshTokens) rotates(cl *client.Client) bool {
	switch cl.Rotation {
	case "on":
		return true
	case "off":
		return false
	}
	return cl.Public || t.rotate
}

// new returns the credential that renews a new grant, and its hash: a refresh token, or for a
// client with server-side refresh tokens the access token itself. That of a public client must
// be bound to a key; otherwise the grant ends with its first access token.
func (t *refreshTokens) new(
	cl *client.Client, g oauth.GrantID, access *oauth.AccessToken,
) (refresh string, h secret.Hash) {
	if !cl.ServerSideRefresh {
		sec := make([]byte, refreshSecretSize)
		rand.Read(sec)
		refresh = t.seal(g, sec)
		return refresh, t.keys.Hash(refresh)
	}
	if cl.Public && access.Bound == "" {
		return "", ""
	}
	return "", t.hashID(access.ID)
}

// ReplacementOf returns a new refresh token for a stored approval, and the hash that the approval
// must have for it: a rehearsal on a copy of a database renews approvals that it has no tokens of.
func (s *Server) ReplacementOf(g oauth.GrantID) (refresh string, h secret.Hash) {
	sec := make([]byte, refreshSecretSize)
	rand.Read(sec)
	refresh = s.refresh.seal(g, sec)
	return refresh, s.keys.Hash(refresh)
}

// seal writes a refresh token.
func (t *refreshTokens) seal(id oauth.GrantID, sec []byte) string {
	u, _ := secret.ParseID(string(id)) // grant ids are made by NewID
	raw := make([]byte, 0, refreshSize)
	raw = append(append(raw, u[:]...), sec...)
	return secret.Encode(secret.PrefixRefreshToken, append(raw, t.tag(raw)...))
}

// open reads a refresh token. It returns false if this server did not write it.
func (t *refreshTokens) open(token string) (id oauth.GrantID, sec []byte, ok bool) {
	raw, ok := secret.Decode(secret.PrefixRefreshToken, token, refreshSize)
	if !ok {
		return "", nil, false
	}
	body, tag := raw[:refreshIDSize+refreshSecretSize], raw[refreshIDSize+refreshSecretSize:]
	if !hmac.Equal(tag, t.tag(body)) {
		return "", nil, false
	}
	id = oauth.GrantID(secret.FormatID([16]byte(body[:refreshIDSize])))
	return id, body[refreshIDSize:], true
}

func (t *refreshTokens) tag(body []byte) []byte { return mac(t.tagKey, body)[:refreshTagSize] }

// nextSecret derives the successor's secret.
func (t *refreshTokens) nextSecret(id oauth.GrantID, sec []byte) []byte {
	return mac(t.next, append(slices.Clone(sec), id...))
}

// hashID returns the hash under which a grant records its newest access token.
func (t *refreshTokens) hashID(jti string) secret.Hash {
	return jtiPrefix + t.keys.Hash("access token id/"+jti)
}

// nextID derives the id of an access token's successor, so that a lost response can be repeated:
// a version 8 UUID (RFC 9562 §5.8).
func (t *refreshTokens) nextID(g oauth.GrantID, jti string) string {
	var u [16]byte
	copy(u[:], mac(t.next, []byte("access token id/"+string(g)+"/"+jti)))
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return secret.FormatID(u)
}

// isLast reports whether a rotation is the grant's last one: its successor has not been used.
func isLast(g *oauth.Grant, r *oauth.RefreshRotation) bool {
	return g.PrevHash != "" &&
		secret.Equal(string(g.PrevHash), string(r.Old)) &&
		secret.Equal(string(g.RefreshHash), string(r.New))
}

// isRecent reports whether the grant's last rotation happened so recently that its response may
// have been lost on its way. The clocks of two servers may differ a little.
func (t *refreshTokens) isRecent(g *oauth.Grant, r *oauth.RefreshRotation) bool {
	return t.reuse > 0 && r.Now.Sub(g.RotatedAt).Abs() <= t.reuse
}

// store carries a rotation out, with its audit events, in one change. Another request may have
// rotated the token since it was read.
func (t *refreshTokens) store(
	ctx context.Context, r *Request, rotation *oauth.RefreshRotation, ev ...audit.Event,
) error {
	t.grants.BeginRotation(rotation)
	if !rotation.Repeats {
		err := t.grants.RotateRefresh(ctx, *rotation, ev...)
		switch {
		case fault.Is(err, fault.NotFound):
			return approvalRevoked()
		case !fault.Is(err, fault.Consumed):
			return err
		}
	}
	return t.repeat(ctx, r, rotation, ev...)
}

// repeat answers a rotation that has been stored before: at any time if no answer to it was ready,
// else only for a moment. Otherwise the grant ends.
func (t *refreshTokens) repeat(
	ctx context.Context, r *Request, rotation *oauth.RefreshRotation, ev ...audit.Event,
) error {
	g, err := t.grants.Grant(ctx, rotation.Grant)
	if err == nil && isLast(g, rotation) {
		recent := t.isRecent(g, rotation)
		if err = t.grants.RepeatRotation(ctx, *rotation, recent, ev...); err == nil {
			return nil
		}
	} else if err == nil {
		err = fault.New(fault.Consumed, "the refresh token has been used before")
	}
	switch {
	case fault.Is(err, fault.NotFound):
		return approvalRevoked()
	case fault.Is(err, fault.Consumed):
		return t.endReplayed(ctx, r, g)
	}
	return err
}

// end reports to the store how an attempt to rotate ended. Without an answer, and unless it is
// known that nothing was stored, the client may repeat its request.
func (t *refreshTokens) end(ctx context.Context, rotation *oauth.RefreshRotation, err error) {
	if rotation == nil || rotation.Attempt == "" {
		return
	}
	unanswered := ctx.Err() != nil || err != nil && !rejected(err)
	t.grants.EndRotation(rotation, unanswered)
}

// rejected reports whether an error is a decision of ours, and not a failure.
func rejected(err error) bool {
	var e *oauth.Error
	if errors.As(err, &e) {
		return true
	}
	switch fault.KindOf(err) {
	case fault.Internal, fault.Unavailable:
		return false
	}
	return true
}

// endReplayed ends a grant whose credential was presented twice: one of two holders is not the
// client. It returns the error to respond with.
func (t *refreshTokens) endReplayed(ctx context.Context, r *Request, g *oauth.Grant) error {
	ev := r.Event(audit.RefreshTokenReplayed, r.Client)
	ev.Grant, ev.User = string(g.ID), string(g.User)
	if err := t.grants.EndGrant(ctx, g.ID, r.Now, ev); err != nil {
		return err
	}
	return oauth.InvalidGrant("The token has been used before. To be safe, all tokens of this " +
		"approval have been revoked; the user must sign in again.")
}

// approvalRevoked returns the error for a grant that ended during the request.
func approvalRevoked() error {
	return oauth.InvalidGrant("The approval has been revoked meanwhile.")
}

// mac returns the HMAC-SHA-256 of data.
func mac(key, data []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(data)
	return m.Sum(nil)
}
