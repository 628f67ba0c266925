package api

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// Scopes answers a page of scopes.
func (s handlers) Scopes(ctx context.Context, in gen.ScopesRequestObject) (gen.ScopesResponseObject, error) {
	all, err := s.Operations.Scopes(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	var found []oauth.Scope
	for _, x := range all {
		if in.Params.Name == nil || *in.Params.Name == x.Name {
			found = append(found, x)
		}
	}
	n, offset := limit(in.Params.Limit), value(in.Params.Offset)
	out := gen.Scopes200JSONResponse{Data: []management.Scope{}, Total: len(found), Limit: n, Offset: offset}
	for _, x := range part(found, n, offset) {
		out.Data = append(out.Data, scopeView(&x))
	}
	return out, nil
}

// Scope answers one scope.
func (s handlers) Scope(ctx context.Context, in gen.ScopeRequestObject) (gen.ScopeResponseObject, error) {
	x, err := s.Operations.Scope(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	view := scopeView(x)
	return gen.Scope200JSONResponse{
		Body:    view,
		Headers: gen.Scope200ResponseHeaders{ETag: etag(int64(view.Version))},
	}, nil
}

// CreateScope defines a scope.
func (s handlers) CreateScope(
	ctx context.Context, in gen.CreateScopeRequestObject,
) (gen.CreateScopeResponseObject, error) {
	p, err := patchOf(admin.ScopeFields(), exchangeOf(ctx).body)
	if err != nil {
		return nil, err
	}
	x, err := s.Operations.CreateScope(ctx, actorOf(ctx), in.Body.Name, p)
	if err != nil {
		return nil, err
	}
	view := scopeView(x)
	return gen.CreateScope201JSONResponse{
		Body: view,
		Headers: gen.CreateScope201ResponseHeaders{
			ETag:     etag(int64(view.Version)),
			Location: address(ctx, "scopes", x.ID),
		},
	}, nil
}

// UpdateScope changes a scope.
func (s handlers) UpdateScope(
	ctx context.Context, in gen.UpdateScopeRequestObject,
) (gen.UpdateScopeResponseObject, error) {
	x := exchangeOf(ctx)
	if x.sendsReadOnly() {
		old, err := s.Operations.Scope(ctx, x.actor, in.ID)
		if err != nil {
			return nil, err
		}
		if err := unchanged(x.body, scopeView(old), x.op.readOnly()); err != nil {
			return nil, err
		}
	}
	p, err := patchOf(admin.ScopeFields(), x.body)
	if err != nil {
		return nil, err
	}
	p.IfVersion = ifVersion(in.Params.IfMatch)
	changed, err := s.Operations.UpdateScope(ctx, x.actor, in.ID, p)
	if err != nil {
		return nil, err
	}
	view := scopeView(changed)
	return gen.UpdateScope200JSONResponse{
		Body:    view,
		Headers: gen.UpdateScope200ResponseHeaders{ETag: etag(int64(view.Version))},
	}, nil
}

// DeleteScope deletes a scope.
func (s handlers) DeleteScope(
	ctx context.Context, in gen.DeleteScopeRequestObject,
) (gen.DeleteScopeResponseObject, error) {
	_, err := s.Operations.DeleteScope(ctx, actorOf(ctx), in.ID, ifVersion(in.Params.IfMatch))
	return gen.DeleteScope204Response{}, err
}

func scopeView(x *oauth.Scope) management.Scope {
	return management.Scope{
		ID:          x.ID,
		Name:        x.Name,
		Description: x.Description,
		Default:     x.Default,
		Requires:    append([]string{}, x.Requires...),
		Role:        x.Role,
		Icon:        x.Icon,
		System:      x.System,
		CreatedAt:   x.CreatedAt.UTC(),
		Version:     int(x.Version),
	}
}
