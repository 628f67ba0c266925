package api

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// ListInitialTokens answers a page of initial access tokens.
func (s handlers) ListInitialTokens(
	ctx context.Context, in gen.ListInitialTokensRequestObject,
) (gen.ListInitialTokensResponseObject, error) {
	n, offset := limit(in.Params.Limit), value(in.Params.Offset)
	all, total, err := s.Operations.ListInitialTokens(ctx, actorOf(ctx), n, offset)
	if err != nil {
		return nil, err
	}
	out := gen.ListInitialTokens200JSONResponse{
		Data: []management.InitialToken{}, Total: total, Limit: n, Offset: offset,
	}
	for i := range all {
		out.Data = append(out.Data, initialTokenView(&all[i]))
	}
	return out, nil
}

// CreateInitialToken creates an initial access token.
func (s handlers) CreateInitialToken(
	ctx context.Context, in gen.CreateInitialTokenRequestObject,
) (gen.CreateInitialTokenResponseObject, error) {
	policy := value(in.Body.Policy)
	t, text, err := s.Operations.CreateInitialToken(ctx, actorOf(ctx), admin.NewInitialToken{
		Description: value(in.Body.Description),
		Count:       value(in.Body.Count),
		ExpiresIn:   time.Duration(value(in.Body.ExpiresIn)) * time.Second,
		Policy: admin.RegistrationPolicy{
			Grants:        value(policy.GrantTypes),
			Scopes:        value(policy.Scopes),
			RedirectHosts: value(policy.RedirectHosts),
			AuthMethods:   value(policy.TokenEndpointAuthMethods),
			Resources:     value(policy.Resources),
		},
	})
	if err != nil {
		return nil, err
	}
	view := initialTokenView(t)
	view.Token = &text
	return gen.CreateInitialToken201JSONResponse(view), nil
}

// RevokeInitialToken deletes an initial access token.
func (s handlers) RevokeInitialToken(
	ctx context.Context, in gen.RevokeInitialTokenRequestObject,
) (gen.RevokeInitialTokenResponseObject, error) {
	err := s.Operations.RevokeInitialToken(ctx, actorOf(ctx), in.ID)
	return gen.RevokeInitialToken204Response{}, err
}

func initialTokenView(t *admin.InitialToken) management.InitialToken {
	p := t.Policy
	return management.InitialToken{
		ID:          t.ID,
		Description: t.Description,
		Count:       t.Count,
		Used:        t.Used,
		Policy: management.RegistrationPolicy{
			GrantTypes:               &p.Grants,
			Scopes:                   &p.Scopes,
			RedirectHosts:            listOf(p.RedirectHosts),
			TokenEndpointAuthMethods: listOf(p.AuthMethods),
			Resources:                listOf(p.Resources),
		},
		CreatedBy: t.CreatedBy,
		CreatedAt: t.CreatedAt,
		ExpiresAt: t.ExpiresAt,
	}
}

// listOf returns the address of a list, or nil for an empty one.
func listOf[T any](list []T) *[]T {
	if len(list) == 0 {
		return nil
	}
	return &list
}
