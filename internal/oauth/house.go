package oauth

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// SessionCallback is the path of the redirect URI that makes a client one of the house: its tokens are kept on this server, and
// its browsers hold a cookie instead.
const SessionCallback = "/session/callback"

// AppSession is a browser app's session: what a cookie stands for. The tokens are sealed by who keeps them.
type AppSession struct {
	ID         string // UUIDv7; not the cookie's secret
	Client     client.ID
	User       identity.UserID
	Grant      GrantID
	Session    identity.SessionID // the browser session that the grant came from, or ""
	Tokens     string             // sealed
	Version    int64              // of Tokens: grows with every refresh
	BusyUntil  time.Time          // a server is refreshing the tokens until then
	CreatedAt  time.Time
	LastSeenAt time.Time
	ExpiresAt  time.Time // absolute end
}

// House serves the code and the refresh grant of the token endpoint to the part of this process that keeps browser apps' tokens.
// No client authentication takes part: what proves the client is that the code was sent to this server, at the callback that the
// client has registered exactly so and that redirect_uri repeats with every call.
//
// Refresh tokens of the house are not rotated: they never leave it (RFC 9700 §4.14.2 asks for rotation where they may leak), and
// a server that dies between the turn and the keeping of a successor must not cost people their sessions.
func (s *Server) RedeemForSession(ctx context.Context, id client.ID, c *Call) (*TokenResponse, error) {
	cl, err := s.client(ctx, id)
	if err != nil {
		return nil, err
	}
	callback := c.Get("redirect_uri")
	if !strings.HasSuffix(callback, SessionCallback) || !slices.Contains(cl.Redirects, callback) {
		return nil, unauthorizedClient("The client keeps its tokens itself: it has not registered this server's %s.", SessionCallback)
	}
	house := *cl
	house.Rotation, house.ServerSideRefresh = "off", false
	if cl.ServerSideRefresh { // it is kept in the back, here
		house.Grants = append(slices.Clone(cl.Grants), client.GrantTypeRefresh)
	}
	house.DPoPBound, house.CertBound = false, false // keys bind tokens that travel
	var grant GrantType
	switch name := c.Get("grant_type"); name {
	case client.GrantTypeCode:
		grant = grantCode{}
	case client.GrantTypeRefresh:
		grant = grantRefresh{}
	default:
		return nil, failure("unsupported_grant_type", 400, "The house redeems codes and refresh tokens only.")
	}
	if !house.CanUseGrant(grant.Type()) {
		return nil, unauthorizedClient("The client may not use the grant type %s. Its operator can allow it.", grant.Type())
	}
	e, err := grant.Redeem(ctx, s, &house, c)
	if err != nil {
		return nil, err
	}
	return s.issue(ctx, &house, c, e)
}
