package token

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// refreshGrant is the refresh grant (RFC 6749 §6), with rotation and the detection of replays
// (RFC 9700 §4.14.2).
type refreshGrant struct {
	grants  GrantStore
	refresh *refreshTokens
	scopes  oauth.ScopePolicy
	issuer  string
}

func (refreshGrant) Describe() client.GrantType {
	return client.GrantType{
		Name:      client.GrantTypeRefresh,
		Short:     "refresh_token",
		Aliases:   []string{"refresh"},
		Summary:   "The client renews its access token without the person.",
		Continues: true,
	}
}

func (g refreshGrant) Redeem(ctx context.Context, r *Request) (Redemption, error) {
	raw := r.Get("refresh_token")
	if raw == "" {
		return nil, oauth.InvalidRequest("refresh_token is missing.")
	}
	id, sec, ok := g.refresh.open(raw)
	if !ok {
		return nil, oauth.InvalidGrant("The refresh token was not issued by this server.")
	}
	grant, user, err := g.grants.GrantAndUser(ctx, id)
	if fault.Is(err, fault.NotFound) || (err == nil && !refreshable(grant, r)) {
		return nil, oauth.InvalidGrant(
			"The refresh token has expired, been revoked, or belongs to another client.")
	}
	if err != nil {
		return nil, err
	}
	// Checked first: a caller without the key can neither consume the token nor end its family.
	if err := r.Proof.Matches(grant.Bound); err != nil {
		return nil, err
	}
	successor := raw
	if g.refresh.rotates(r.Client) {
		successor = g.refresh.seal(id, g.refresh.nextSecret(id, sec))
	}
	out := &Rotation{
		Access:       Access{Grant: grant, User: user},
		RefreshToken: successor,
	}
	old, next := g.refresh.keys.Hash(raw), g.refresh.keys.Hash(successor)
	if out.Rotate, err = g.refresh.rotation(ctx, r, grant, old, next); err != nil {
		return nil, err
	}
	return out, narrow(&out.Access, g.scopes, g.issuer, r)
}

// refreshable reports whether the client of a request may renew the tokens of a grant now.
func refreshable(g *oauth.Grant, r *Request) bool {
	return g.Client == r.Client.ID && g.RefreshHash != "" && g.ExpiresAt.After(r.Now)
}

// narrow sets the scopes and audiences of a renewed access token to those that the request asks
// for, out of those that were granted. It runs before the rotation, so that a mistake in the
// request does not cost the client its token.
func narrow(a *Access, scopes oauth.ScopePolicy, issuer string, r *Request) error {
	var err error
	if a.Scopes, err = scopes.Narrow(r.Client, a.Grant.Scopes, r.Get("scope")); err != nil {
		return err
	}
	if a.Audience, err = oauth.NarrowResources(issuer, a.Grant.Resources, r.Form); err != nil {
		return err
	}
	if a.Grant.User == "" {
		return nil
	}
	return checkUser(a.User)
}

// rotation returns how to replace the credential that a request presents by its successor, given
// the hashes of both; or nil if that was done a moment ago and the response may have been lost.
// The predecessor of the current credential may be presented again while it is not known whether
// its response reached the client. Any other credential ends the grant.
func (t *refreshTokens) rotation(
	ctx context.Context, r *Request, g *oauth.Grant, old, next secret.Hash,
) (*oauth.RefreshRotation, error) {
	rotation := &oauth.RefreshRotation{
		Grant:     g.ID,
		Client:    r.Client.ID,
		Old:       old,
		New:       next,
		Now:       r.Now,
		ExpiresAt: r.Now.Add(t.ttl(r.Client)),
		IP:        r.IP,
		Agent:     r.Agent,
	}
	if secret.Equal(string(g.RefreshHash), string(old)) {
		return rotation, nil
	}
	if !isLast(g, rotation) {
		return nil, t.endReplayed(ctx, r, g)
	}
	if g.Attempt == "" && t.isRecent(g, rotation) {
		return nil, nil
	}
	rotation.Repeats = true
	return rotation, nil
}
