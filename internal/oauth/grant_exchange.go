package oauth

import (
	"context"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// Names of RFC 8693 §2.1 and §3.
const (
	tokenTypeAccess = "urn:ietf:params:oauth:token-type:access_token"
)

// keptPrefix tells the hash of an access token's id from that of a refresh token, where a grant keeps either.
const keptPrefix = "jti:"

// grantExchange gives a new access token for an old one of the same client (RFC 8693), also for one that has expired, as long as
// the grant behind it lives. It is for clients whose refresh token is kept in the back: a grant of theirs remembers which access
// token is its newest, and that one takes the place of a refresh token, with the same rules: it works once, and an
// older one that comes back ends everything (RFC 9700 §4.14.2).
type grantExchange struct{}

func (grantExchange) Type() string { return client.GrantTypeExchange }

func (grantExchange) Redeem(ctx context.Context, s *Server, cl *client.Client, c *Call) (*Entitlement, error) {
	if err := checkExchange(c); err != nil {
		return nil, err
	}
	t, err := s.subjectToken(ctx, cl, c)
	if err != nil {
		return nil, err
	}
	g, u, err := s.store.GrantAndUser(ctx, t.Grant)
	if fault.Is(err, fault.NotFound) || (err == nil && !(g.refreshes(cl, c.Now) && strings.HasPrefix(string(g.RefreshHash), keptPrefix))) {
		return nil, invalidGrant("What the access token stood for has expired or been revoked, or was not made to be prolonged; the user must sign in again.")
	}
	if err != nil {
		return nil, err
	}
	next := s.nextTokenID(g.ID, t.ID)
	turn := &RefreshRotation{
		Grant: g.ID, Client: cl.ID, Old: s.keptHash(t.ID), New: s.keptHash(next), Now: c.Now,
		ExpiresAt: c.Now.Add(s.refreshTTL(cl)), IP: c.IP, Agent: c.Agent,
	}
	if !secret.Equal(string(g.RefreshHash), string(turn.Old)) {
		if !s.mayRepeat(g, *turn) {
			return nil, s.refreshReplayed(ctx, cl, c, g)
		}
		turn = nil
	}
	e, err := s.refreshed(c, &Entitlement{Grant: g, User: u, Rotation: turn})
	if err != nil {
		return nil, err
	}
	e.TokenID, e.Issued = next, tokenTypeAccess
	return e, nil
}

// checkExchange reads what is asked for (RFC 8693 §2.1): nothing but a newer one of the same kind, for the same client.
func checkExchange(c *Call) error {
	switch {
	case c.Get("subject_token") == "":
		return invalidRequest("subject_token is missing: send the access token that is to be replaced.")
	case c.Get("subject_token_type") != tokenTypeAccess:
		return invalidRequest("subject_token_type must be %s.", tokenTypeAccess)
	case c.Get("actor_token") != "" || c.Get("actor_token_type") != "":
		return invalidRequest("actor_token is not served: a client exchanges its own tokens only.")
	case c.Get("requested_token_type") != "" && c.Get("requested_token_type") != tokenTypeAccess:
		return invalidRequest("requested_token_type must be %s.", tokenTypeAccess)
	case c.Get("audience") != "":
		return invalidTarget("audience is not served. Name one of the approval's audiences by resource, or none for all of them.")
	}
	return nil
}

// subjectToken reads the old access token. Its time may be over: signature and grant decide. Of an opaque one the row is the proof,
// which is swept away some time after its end.
func (s *Server) subjectToken(ctx context.Context, cl *client.Client, c *Call) (*AccessToken, error) {
	t, err := s.readAccess(ctx, c.Get("subject_token"), time.Time{})
	if fault.Is(err, fault.Denied) || (err == nil && s.store.Revoked(t)) {
		return nil, invalidGrant("The subject_token is not an access token of this server, or has been revoked.")
	}
	if err != nil {
		return nil, err
	}
	if t.Client != cl.ID {
		return nil, invalidGrant("The subject_token was given to another client.")
	}
	if cl.Public && t.Bound == "" {
		return nil, invalidGrant("A public client may exchange only tokens that are bound to a key of its own (RFC 9700 section 2.2.2): sign in with DPoP.")
	}
	return t, s.checkBound(ctx, c, t)
}

// renewal is what a new grant is prolonged with: a refresh token, or for a client whose refresh token is kept in the back the
// access token itself. A public client's must be bound to a key, or the grant ends with its first access token.
func (s *Server) renewal(cl *client.Client, g GrantID, t *AccessToken) (refresh string, h secret.Hash) {
	switch {
	case !cl.ServerSideRefresh:
		refresh = s.newRefresh(g)
		return refresh, s.keys.Hash(refresh)
	case cl.Public && t.Bound == "":
		return "", ""
	}
	return "", s.keptHash(t.ID)
}

// keptHash is the form in which a grant remembers its newest access token.
func (s *Server) keptHash(jti string) secret.Hash {
	return keptPrefix + s.keys.Hash("access token id/"+jti)
}

// nextTokenID derives the id of an access token's successor, so that an answer that was lost can be given again: a UUID of our
// own making (RFC 9562 §5.8).
func (s *Server) nextTokenID(g GrantID, jti string) string {
	var u [16]byte
	copy(u[:], s.mac(s.next, []byte("access token id/"+string(g)+"/"+jti)))
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return secret.FormatID(u)
}

// exchangeError is what a failed exchange is answered with: RFC 8693 §2.2.2 knows invalid_request only where a token is no good.
func exchangeError(g GrantType, err error) error {
	e, ok := err.(*Error)
	if !ok || e.Code != "invalid_grant" || g.Type() != client.GrantTypeExchange {
		return err
	}
	other := *e
	other.Code = "invalid_request"
	return &other
}

// revokeKept ends the grant of a client's access token that could be exchanged for others (RFC 7009 §2.1), whether or not
// the token's own time is over.
func (s *Server) revokeKept(ctx context.Context, cl *client.Client, c *Call, token string, ev audit.Event) error {
	t, err := s.readAccess(ctx, token, time.Time{})
	if fault.Is(err, fault.Denied) {
		return nil
	}
	if err != nil {
		return err
	}
	if t.Client != cl.ID {
		return unauthorizedClient("The token was given to another client.")
	}
	if t.User == "" { // the client's own, which never could be
		ev.Grant, ev.Detail = string(t.Grant), map[string]string{"jti": t.ID}
		return s.store.Revoke(ctx, Revocation{Kind: RevokeToken, ID: t.ID, NotBefore: c.Now, Until: t.Expires}, ev)
	}
	ev.Type, ev.User, ev.Grant, ev.Detail = audit.GrantRevoked, string(t.User), string(t.Grant), map[string]string{"jti": t.ID}
	return s.store.EndGrant(ctx, t.Grant, c.Now, ev)
}
