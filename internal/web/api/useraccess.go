package api

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/oapi-codegen/nullable"

	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// LockUser keeps a user from signing in.
func (s handlers) LockUser(ctx context.Context, in gen.LockUserRequestObject) (gen.LockUserResponseObject, error) {
	u, err := s.Operations.LockUser(ctx, actorOf(ctx), in.ID, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	view, err := s.after(ctx, u)
	return gen.LockUser200JSONResponse{
		Body:    view,
		Headers: gen.LockUser200ResponseHeaders{ETag: etag(int64(view.Version))},
	}, err
}

// ImpersonateUser answers a link to act as a user.
func (s handlers) ImpersonateUser(
	ctx context.Context, in gen.ImpersonateUserRequestObject,
) (gen.ImpersonateUserResponseObject, error) {
	made, err := s.Operations.ImpersonateUser(ctx, actorOf(ctx), in.ID, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	return gen.ImpersonateUser200JSONResponse{URL: made.URL, ExpiresAt: made.ExpiresAt.UTC()}, nil
}

// UnlockUser ends the lock of an account.
func (s handlers) UnlockUser(
	ctx context.Context, in gen.UnlockUserRequestObject,
) (gen.UnlockUserResponseObject, error) {
	u, err := s.Operations.UnlockUser(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	view, err := s.after(ctx, u)
	return gen.UnlockUser200JSONResponse{
		Body:    view,
		Headers: gen.UnlockUser200ResponseHeaders{ETag: etag(int64(view.Version))},
	}, err
}

// SendPasswordReset mails a link to set a new password.
func (s handlers) SendPasswordReset(
	ctx context.Context, in gen.SendPasswordResetRequestObject,
) (gen.SendPasswordResetResponseObject, error) {
	_, err := s.Operations.SendPasswordReset(ctx, actorOf(ctx), in.ID)
	return gen.SendPasswordReset202Response{}, err
}

// SendVerification mails a link that proves the email address.
func (s handlers) SendVerification(
	ctx context.Context, in gen.SendVerificationRequestObject,
) (gen.SendVerificationResponseObject, error) {
	_, err := s.Operations.SendVerification(ctx, actorOf(ctx), in.ID)
	return gen.SendVerification202Response{}, err
}

// CreatePasswordLink makes a link to set a new password.
func (s handlers) CreatePasswordLink(
	ctx context.Context, in gen.CreatePasswordLinkRequestObject,
) (gen.CreatePasswordLinkResponseObject, error) {
	made, err := s.Operations.CreatePasswordLink(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return gen.CreatePasswordLink201JSONResponse{Link: made.Link}, nil
}

// RevokeUserTokens ends all tokens of a user.
func (s handlers) RevokeUserTokens(
	ctx context.Context, in gen.RevokeUserTokensRequestObject,
) (gen.RevokeUserTokensResponseObject, error) {
	_, err := s.Operations.RevokeUserTokens(ctx, actorOf(ctx), in.ID)
	return gen.RevokeUserTokens200JSONResponse{Revoked: true}, err
}

// PasswordStatus answers when a password expires.
func (s handlers) PasswordStatus(
	ctx context.Context, in gen.PasswordStatusRequestObject,
) (gen.PasswordStatusResponseObject, error) {
	p, err := s.Operations.PasswordStatus(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	days := nullable.NewNullNullable[int]()
	if !p.ExpiresAt.IsZero() {
		left := p.ExpiresAt.Sub(web.EventOf(ctx).Now)
		days.Set(int(math.Floor(float64(left) / float64(24*time.Hour))))
	}
	return gen.PasswordStatus200JSONResponse{
		LastChanged:     moment(p.LastChanged),
		ExpiresAt:       moment(p.ExpiresAt),
		DaysUntilExpiry: days,
		RequiresChange:  p.RequiresChange,
	}, nil
}

// UserAuthorizations answers what a user has allowed which clients.
func (s handlers) UserAuthorizations(
	ctx context.Context, in gen.UserAuthorizationsRequestObject,
) (gen.UserAuthorizationsResponseObject, error) {
	all, err := s.Operations.UserAuthorizations(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	out := gen.UserAuthorizations200JSONResponse{Data: []management.Authorization{}, Total: len(all)}
	for _, x := range all {
		out.Data = append(out.Data, management.Authorization{
			ClientID:   string(x.Client),
			ClientName: x.ClientName,
			Scope:      strings.Join(x.Scopes, " "),
			CreatedAt:  moment(x.Since),
			LastUsedAt: moment(x.LastUsedAt),
			Grants:     x.Grants,
		})
	}
	return out, nil
}

// RevokeUserAuthorizations disconnects clients from a user.
func (s handlers) RevokeUserAuthorizations(
	ctx context.Context, in gen.RevokeUserAuthorizationsRequestObject,
) (gen.RevokeUserAuthorizationsResponseObject, error) {
	n, err := s.Operations.RevokeUserAuthorizations(ctx, actorOf(ctx), in.ID, value(in.Params.ClientID))
	return gen.RevokeUserAuthorizations200JSONResponse{Revoked: n}, err
}

// UserFactors answers the second factors of a user.
func (s handlers) UserFactors(
	ctx context.Context, in gen.UserFactorsRequestObject,
) (gen.UserFactorsResponseObject, error) {
	all, err := s.Operations.UserFactors(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	out := gen.UserFactors200JSONResponse{Data: []management.Factor{}, Total: len(all)}
	for i := range all {
		out.Data = append(out.Data, factorView(&all[i]))
	}
	return out, nil
}

// ResetTwoStep removes all second factors of a user.
func (s handlers) ResetTwoStep(
	ctx context.Context, in gen.ResetTwoStepRequestObject,
) (gen.ResetTwoStepResponseObject, error) {
	_, err := s.Operations.ResetTwoStep(ctx, actorOf(ctx), in.ID)
	return gen.ResetTwoStep204Response{}, err
}

// StopRecovery ends the request for recovery of a user.
func (s handlers) StopRecovery(
	ctx context.Context, in gen.StopRecoveryRequestObject,
) (gen.StopRecoveryResponseObject, error) {
	_, err := s.Operations.StopRecovery(ctx, actorOf(ctx), in.ID)
	return gen.StopRecovery204Response{}, err
}

// RemoveFactor removes a second factor of a user.
func (s handlers) RemoveFactor(
	ctx context.Context, in gen.RemoveFactorRequestObject,
) (gen.RemoveFactorResponseObject, error) {
	err := s.Operations.RemoveFactor(ctx, actorOf(ctx), in.ID, identity.CredentialID(in.FactorID))
	return gen.RemoveFactor204Response{}, err
}

func factorView(c *identity.Credential) management.Factor {
	return management.Factor{
		ID:         string(c.ID),
		Kind:       c.Kind,
		Label:      c.Label,
		CreatedAt:  c.CreatedAt.UTC(),
		LastUsedAt: moment(c.LastUsedAt),
	}
}
