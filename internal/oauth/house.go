package oauth

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
)

// House serves the code and the refresh grant of the token endpoint to the part of this process that keeps browser apps' tokens.
// No client authentication takes part: what proves the client is that the code was sent to this server, at the callback that the
// client has registered exactly so and that redirect_uri repeats with every call. callbackPath is the path of that redirect URI.
//
// Refresh tokens of the house are not rotated: they never leave it (RFC 9700 §4.14.2 asks for rotation where they may leak), and
// a server that dies between the turn and the keeping of a successor must not cost people their sessions.
func (s *Server) RedeemForSession(ctx context.Context, id client.ID, callbackPath string, c *Call) (*TokenResponse, error) {
	cl, err := s.client(ctx, id)
	if err != nil {
		return nil, err
	}
	callback := c.Get("redirect_uri")
	if !strings.HasSuffix(callback, callbackPath) || !slices.Contains(cl.Redirects, callback) {
		return nil, unauthorizedClient("The client keeps its tokens itself: it has not registered this server's %s.", callbackPath)
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
