package login

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// How long what the accounts API hands out is valid.
const (
	TokenSessionTTL = 24 * time.Hour   // a session
	SessionTokenTTL = 20 * time.Minute // a session token
)

// Reasons of rejected session and refresh tokens. They are stable.
const (
	ReasonTokenInvalid       = "token_invalid"       // not ours, or replaced by a newer one
	ReasonTokenExpired       = "token_expired"       // the session goes on
	ReasonTokenConsumed      = "token_consumed"      // a refresh token was used before
	ReasonSessionExpired     = "session_expired"     // at its absolute end
	ReasonSessionInvalidated = "session_invalidated" // ended before
)

// A session or refresh token consists, before prefix and checksum, of the session's id (16 bytes),
// a secret (32) and a tag (8). The tag is keyed, so an invented token is rejected without a query,
// and a token that was replaced is told apart from one that never was.
const (
	tokenIDSize     = 16
	tokenSecretSize = 32
	tokenTagSize    = 8
	tokenSize       = tokenIDSize + tokenSecretSize + tokenTagSize
)

// SessionTokens is what is stored of the tokens of a session that has no browser.
type SessionTokens struct {
	Session identity.SessionID
	Client  client.ID // that the person signed in with
	Token   secret.Hash
	Expires time.Time // when the session token does
	Refresh secret.Hash
}

// TokenRotation replaces the tokens of a session.
type TokenRotation struct {
	Session   identity.SessionID
	Old       secret.Hash // of the refresh token that is consumed
	Token     secret.Hash
	Expires   time.Time
	Refresh   secret.Hash
	Now       time.Time
	IP, Agent string
}

// TokenPair is what the accounts API hands out for a session.
type TokenPair struct{ Token, Refresh string }

// TokenSession is a session that was opened by the accounts API.
type TokenSession struct {
	identity.Session
	Tokens SessionTokens
}

// sessionTokens writes and reads session and refresh tokens.
type sessionTokens struct {
	keys   *secret.Keys
	tagKey []byte
}

func newSessionTokens(keys *secret.Keys) sessionTokens {
	return sessionTokens{keys, keys.Derive("session-token-tag")}
}

// pair returns new tokens for a session, and what is stored of them.
func (t sessionTokens) pair(id identity.SessionID, now time.Time) (TokenPair, SessionTokens) {
	p := TokenPair{
		Token:   t.new(secret.PrefixSessionToken, id),
		Refresh: t.new(secret.PrefixRefreshToken, id),
	}
	return p, SessionTokens{
		Session: id,
		Token:   t.keys.Hash(p.Token),
		Expires: now.Add(SessionTokenTTL),
		Refresh: t.keys.Hash(p.Refresh),
	}
}

func (t sessionTokens) new(prefix string, id identity.SessionID) string {
	raw := make([]byte, tokenSize)
	u, ok := secret.ParseID(string(id))
	if !ok {
		panic("login: a session's id is not a UUID")
	}
	copy(raw, u[:])
	rand.Read(raw[tokenIDSize : tokenIDSize+tokenSecretSize])
	copy(raw[tokenIDSize+tokenSecretSize:], t.tag(prefix, raw))
	return secret.Encode(prefix, raw)
}

// open returns the session that a token belongs to, or false for one that this server did not make.
func (t sessionTokens) open(prefix, token string) (identity.SessionID, bool) {
	raw, ok := secret.Decode(prefix, token, tokenSize)
	if !ok || !hmac.Equal(raw[tokenIDSize+tokenSecretSize:], t.tag(prefix, raw)) {
		return "", false
	}
	return identity.SessionID(secret.FormatID([tokenIDSize]byte(raw))), true
}

func (t sessionTokens) tag(prefix string, raw []byte) []byte {
	m := hmac.New(sha256.New, t.tagKey)
	m.Write([]byte(prefix))
	m.Write(raw[:tokenIDSize+tokenSecretSize])
	return m.Sum(nil)[:tokenTagSize]
}

// openTokenSession opens a session for a program, which gets tokens instead of a cookie. It does
// not end by not being used.
func (s *Server) openTokenSession(ctx context.Context, v Visit, si *signIn) (*Done, error) {
	from := identity.Browser{IP: v.IP, Agent: v.agent()}
	sess := identity.NewSession(si.user.ID, si.amr, v.Now, TokenSessionTTL, from)
	sess.Stay = true
	pair, tokens := s.tokens.pair(sess.ID, v.Now)
	tokens.Client = client.ID(si.client)
	ev := s.succeeded(v, si, sess)
	ev.Client = si.client
	if err := s.noticeNewProgram(ctx, v, si.user, &ev); err != nil {
		return nil, err
	}
	err := s.store.PutTokenSession(ctx, sess, tokens, s.terms(si), s.opened(v, si.user, sess, ev)...)
	if err != nil {
		return nil, sessionRejected(err)
	}
	return &Done{Session: sess, User: si.user, Backup: si.backup, Tokens: &pair}, nil
}

// ResumeToken returns the session of a session token. The error is Denied, with one of the reasons
// above.
func (s *Server) ResumeToken(ctx context.Context, v Visit, token string) (*TokenSession, error) {
	sess, err := s.tokenSession(ctx, v, secret.PrefixSessionToken, token)
	switch {
	case err != nil:
		return nil, err
	case !secret.Equal(string(sess.Tokens.Token), string(s.keys.Hash(token))):
		return nil, errToken(ReasonTokenInvalid, "The session token was replaced by a newer one.")
	case !sess.Tokens.Expires.After(v.Now):
		return nil, errToken(ReasonTokenExpired,
			"The session token has expired. Get another one with the refresh token.")
	}
	if v.Now.Sub(sess.LastSeenAt) < touchEvery {
		return sess, nil
	}
	if err := s.store.TouchSession(ctx, sess.ID, v.Now, v.IP, v.agent()); err != nil {
		return nil, err
	}
	sess.LastSeenAt, sess.IP, sess.Agent = v.Now, v.IP, v.agent()
	return sess, nil
}

// tokenSession returns the active session that a token was made for.
func (s *Server) tokenSession(
	ctx context.Context, v Visit, prefix, token string,
) (*TokenSession, error) {
	id, ok := s.tokens.open(prefix, token)
	if !ok {
		return nil, errToken(ReasonTokenInvalid, "The token was not issued by this server.")
	}
	sess, err := s.store.TokenSession(ctx, id, v.Now)
	if !fault.Is(err, fault.NotFound) {
		return sess, err
	}
	if secret.IDAt(v.Now.Add(-TokenSessionTTL)) >= string(id) { // identifiers sort by time
		return nil, errToken(ReasonSessionExpired, "The session has expired. Sign in again.")
	}
	return nil, errToken(ReasonSessionInvalidated, "The session has ended. Sign in again.")
}

func errToken(reason, text string) error {
	return &fault.Error{Kind: fault.Denied, Reason: reason, Text: text}
}

// Refresh consumes a refresh token and returns new tokens for its session. A token that was
// consumed before ends the session, since one of the two who have used it is not its owner. Of
// several requests at once with one token, one succeeds, and the others are rejected without that.
func (s *Server) Refresh(
	ctx context.Context, v Visit, by client.ID, token string,
) (*TokenSession, *TokenPair, error) {
	type outcome struct {
		sess *TokenSession
		pair *TokenPair
	}
	first := false
	got, err, _ := s.refreshing.Do(string(s.keys.Hash(token)), func() (any, error) {
		first = true
		sess, pair, err := s.refresh(ctx, v, by, token)
		return outcome{sess, pair}, err
	})
	if err != nil {
		return nil, nil, err
	}
	if !first {
		return nil, nil, errConsumedToken()
	}
	o := got.(outcome)
	return o.sess, o.pair, nil
}

func errConsumedToken() error {
	return errToken(ReasonTokenConsumed, "The refresh token was used before.")
}

func (s *Server) refresh(
	ctx context.Context, v Visit, by client.ID, token string,
) (*TokenSession, *TokenPair, error) {
	sess, err := s.tokenSession(ctx, v, secret.PrefixRefreshToken, token)
	if err != nil {
		return nil, nil, err
	}
	if sess.Tokens.Client != by {
		return nil, nil, errToken(ReasonTokenInvalid, "The refresh token belongs to another client.")
	}
	old := s.keys.Hash(token)
	if !secret.Equal(string(sess.Tokens.Refresh), string(old)) {
		ev := v.event(audit.RefreshTokenReplayed, sess.User)
		ev.Actor, ev.Session, ev.Client = "", string(sess.ID), string(by)
		if err := s.store.EndSession(ctx, sess.ID, v.Now, s.cfg.RevokeTokens, ev); err != nil {
			return nil, nil, err
		}
		return nil, nil, errConsumedToken()
	}
	u, err := s.store.User(ctx, sess.User)
	if err != nil {
		return nil, nil, err
	}
	if u.Blocked() {
		return nil, nil, s.disabled(ctx, v, u)
	}
	pair, tokens := s.tokens.pair(sess.ID, v.Now)
	tokens.Client = by
	ev := v.event(audit.SessionRefreshed, sess.User)
	ev.Session, ev.Client = string(sess.ID), string(by)
	err = s.store.RotateTokens(ctx, TokenRotation{
		Session: sess.ID,
		Old:     old,
		Token:   tokens.Token,
		Expires: tokens.Expires,
		Refresh: tokens.Refresh,
		Now:     v.Now,
		IP:      v.IP,
		Agent:   v.agent(),
	}, ev)
	if fault.Is(err, fault.Consumed) { // another server did it at the same moment
		return nil, nil, errConsumedToken()
	}
	if err != nil {
		return nil, nil, err
	}
	sess.Tokens = tokens
	return sess, &pair, nil
}

// EndByToken signs out the session of a session token or a refresh token, on behalf of the client
// that it belongs to. The token must be the session's present one, but may have expired.
func (s *Server) EndByToken(ctx context.Context, v Visit, by client.ID, token string) error {
	prefix := secret.PrefixSessionToken
	if _, ok := s.tokens.open(secret.PrefixRefreshToken, token); ok {
		prefix = secret.PrefixRefreshToken
	}
	sess, err := s.tokenSession(ctx, v, prefix, token)
	if err != nil {
		return err
	}
	h := string(s.keys.Hash(token))
	present := secret.Equal(h, string(sess.Tokens.Token)) ||
		secret.Equal(h, string(sess.Tokens.Refresh))
	if !present || sess.Tokens.Client != by {
		return errToken(ReasonTokenInvalid, "The token was replaced, or belongs to another client.")
	}
	return s.End(ctx, v, &sess.Session)
}
