package token

import (
	"context"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// RedeemForSession serves the code and the refresh grant for a session-managed client: a browser
// app whose tokens this server keeps while its browsers hold a cookie. No client authentication
// takes part. The code itself proves the client: it was sent to this server, to a callback that
// the client has registered and that every call repeats as redirect_uri. callbackPath is the
// path of that callback.
//
// Refresh tokens of session-managed clients are not rotated. They never leave the server (RFC
// 9700 §4.14.2 asks for rotation where they may leak), and a server that dies between the
// rotation and the storing of the successor must not cost people their sessions.
func (s *Server) RedeemForSession(
	ctx context.Context, id client.ID, callbackPath string, c *oauth.Call,
) (*Response, error) {
	cl, err := s.clients.Lookup(ctx, id)
	if err != nil {
		return nil, clientError(err)
	}
	callback := c.Get("redirect_uri")
	if !strings.HasSuffix(callback, callbackPath) || !slices.Contains(cl.Redirects, callback) {
		return nil, oauth.UnauthorizedClient(
			"The client manages its tokens itself: it has not registered this server's %s.",
			callbackPath)
	}
	name := c.Get("grant_type")
	if name != client.GrantTypeCode && name != client.GrantTypeRefresh {
		return nil, oauth.NewError("unsupported_grant_type", 400,
			"This client may only use the authorization_code and refresh_token grants here.")
	}
	managed := sessionManaged(cl)
	grant, err := s.grantType(managed, name)
	if err != nil {
		return nil, err
	}
	return s.redeem(ctx, grant, &Request{Call: c, Client: managed})
}

// sessionManaged returns a client as it applies while this server manages its tokens: without
// rotation and without a binding to keys, which is for tokens that leave the server.
func sessionManaged(cl *client.Client) *client.Client {
	out := *cl
	out.Rotation, out.ServerSideRefresh = "off", false
	out.DPoPBound, out.CertBound = false, false
	if cl.ServerSideRefresh { // its refresh token stays on this server, as it would anyway
		out.Grants = append(slices.Clone(cl.Grants), client.GrantTypeRefresh)
	}
	return &out
}

// clientError returns the error response for a client that Lookup did not find.
func clientError(err error) error {
	if fault.Is(err, fault.Denied) {
		return oauth.InvalidClient("", "The client is not registered, or is disabled.")
	}
	return err
}
