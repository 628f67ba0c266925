package token

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// typeAccessToken is the token type of an access token (RFC 8693 §3).
const typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"

// exchangeGrant exchanges an access token for a new one of the same client (RFC 8693), even
// after it has expired, as long as its grant is active. It is for clients with server-side
// refresh tokens: a grant of theirs records its newest access token, which takes the place of a
// refresh token under the same rules: it works once, and an older one that comes back ends
// everything (RFC 9700 §4.14.2).
type exchangeGrant struct {
	grants      GrantStore
	revocations RevocationStore
	tokens      *accessTokens
	refresh     *refreshTokens
	scopes      oauth.ScopePolicy
	issuer      string
}

func (exchangeGrant) Describe() client.GrantType {
	return client.GrantType{
		Name:      client.GrantTypeExchange,
		Short:     "token_exchange",
		Summary:   "The client exchanges an old access token for a new one.",
		Continues: true,
		Implied:   true,
	}
}

func (g exchangeGrant) Redeem(ctx context.Context, r *Request) (Redemption, error) {
	if err := checkExchange(r); err != nil {
		return nil, err
	}
	t, err := g.subjectToken(ctx, r)
	if err != nil {
		return nil, err
	}
	grant, user, err := g.grants.GrantAndUser(ctx, t.Grant)
	if fault.Is(err, fault.NotFound) || (err == nil && !exchangeable(grant, r)) {
		return nil, oauth.InvalidGrant("The grant behind the access token has expired, been " +
			"revoked, or cannot be renewed; the user must sign in again.")
	}
	if err != nil {
		return nil, err
	}
	next := g.refresh.nextID(grant.ID, t.ID)
	out := &Rotation{
		Access:     Access{Grant: grant, User: user},
		TokenID:    next,
		IssuedType: typeAccessToken,
	}
	old := g.refresh.hashID(t.ID)
	out.Rotate, err = g.refresh.rotation(ctx, r, grant, old, g.refresh.hashID(next))
	if err != nil {
		return nil, err
	}
	return out, narrow(&out.Access, g.scopes, g.issuer, r)
}

// MapError replaces invalid_grant, which RFC 8693 §2.2.2 does not use for an unacceptable token,
// by invalid_request.
func (exchangeGrant) MapError(err error) error {
	var e *oauth.Error
	if !errors.As(err, &e) || e.Code != "invalid_grant" {
		return err
	}
	mapped := *e
	mapped.Code = "invalid_request"
	return &mapped
}

// exchangeable reports whether the client of a request may exchange the newest access token of a
// grant now.
func exchangeable(g *oauth.Grant, r *Request) bool {
	return refreshable(g, r) && strings.HasPrefix(string(g.RefreshHash), jtiPrefix)
}

// checkExchange accepts a request for a newer token of the same kind for the same client, and no
// other (RFC 8693 §2.1).
func checkExchange(r *Request) error {
	switch {
	case r.Get("subject_token") == "":
		return oauth.InvalidRequest(
			"subject_token is missing: send the access token that is to be replaced.")
	case r.Get("subject_token_type") != typeAccessToken:
		return oauth.InvalidRequest("subject_token_type must be %s.", typeAccessToken)
	case r.Get("actor_token") != "" || r.Get("actor_token_type") != "":
		return oauth.InvalidRequest(
			"actor_token is not supported: a client exchanges its own tokens only.")
	case r.Get("requested_token_type") != "" && r.Get("requested_token_type") != typeAccessToken:
		return oauth.InvalidRequest("requested_token_type must be %s.", typeAccessToken)
	case r.Get("audience") != "":
		return oauth.InvalidTarget("audience is not supported. " +
			"Name one of the approval's audiences by resource, or none for all of them.")
	}
	return nil
}

// subjectToken reads the old access token, which may have expired: its signature and its grant
// decide. An opaque token is valid as long as its row exists, which is for some time after its
// expiry.
func (g exchangeGrant) subjectToken(ctx context.Context, r *Request) (*oauth.AccessToken, error) {
	t, err := g.tokens.read(ctx, r.Get("subject_token"), time.Time{})
	if fault.Is(err, fault.Denied) || (err == nil && g.revocations.Revoked(t)) {
		return nil, oauth.InvalidGrant(
			"The subject_token is not an access token of this server, or has been revoked.")
	}
	if err != nil {
		return nil, err
	}
	if t.Client != r.Client.ID {
		return nil, oauth.InvalidGrant("The subject_token was issued to another client.")
	}
	if r.Client.Public && t.Bound == "" {
		return nil, oauth.InvalidGrant("A public client may exchange only tokens that are bound to " +
			"a key of its own (RFC 9700 section 2.2.2): sign in with DPoP.")
	}
	return t, r.Proof.Matches(t.Bound)
}
