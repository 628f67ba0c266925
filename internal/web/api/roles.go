package api

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// ListRoles answers a page of roles.
func (s handlers) ListRoles(ctx context.Context, in gen.ListRolesRequestObject) (gen.ListRolesResponseObject, error) {
	all, err := s.Operations.ListRoles(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	var found []identity.Role
	for _, x := range all {
		if in.Params.Name == nil || *in.Params.Name == x.Name {
			found = append(found, x)
		}
	}
	n, offset := limit(in.Params.Limit), value(in.Params.Offset)
	out := gen.ListRoles200JSONResponse{Data: []management.Role{}, Total: len(found), Limit: n, Offset: offset}
	for _, x := range part(found, n, offset) {
		out.Data = append(out.Data, roleView(&x))
	}
	return out, nil
}

// Role answers one role.
func (s handlers) Role(ctx context.Context, in gen.RoleRequestObject) (gen.RoleResponseObject, error) {
	x, err := s.Operations.Role(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	view := roleView(x)
	return gen.Role200JSONResponse{
		Body:    view,
		Headers: gen.Role200ResponseHeaders{ETag: etag(int64(view.Version))},
	}, nil
}

// CreateRole defines a role.
func (s handlers) CreateRole(
	ctx context.Context, in gen.CreateRoleRequestObject,
) (gen.CreateRoleResponseObject, error) {
	p, err := patchOf(admin.RoleFields(), exchangeOf(ctx).body)
	if err != nil {
		return nil, err
	}
	x, err := s.Operations.CreateRole(ctx, actorOf(ctx), in.Body.Name, p)
	if err != nil {
		return nil, err
	}
	view := roleView(x)
	return gen.CreateRole201JSONResponse{
		Body: view,
		Headers: gen.CreateRole201ResponseHeaders{
			ETag:     etag(int64(view.Version)),
			Location: address(ctx, "roles", x.ID),
		},
	}, nil
}

// UpdateRole changes a role.
func (s handlers) UpdateRole(
	ctx context.Context, in gen.UpdateRoleRequestObject,
) (gen.UpdateRoleResponseObject, error) {
	x := exchangeOf(ctx)
	if x.sendsReadOnly() {
		old, err := s.Operations.Role(ctx, x.actor, in.ID)
		if err != nil {
			return nil, err
		}
		if err := unchanged(x.body, roleView(old), x.op.readOnly()); err != nil {
			return nil, err
		}
	}
	p, err := patchOf(admin.RoleFields(), x.body)
	if err != nil {
		return nil, err
	}
	p.IfVersion = ifVersion(in.Params.IfMatch)
	changed, err := s.Operations.UpdateRole(ctx, x.actor, in.ID, p)
	if err != nil {
		return nil, err
	}
	view := roleView(changed)
	return gen.UpdateRole200JSONResponse{
		Body:    view,
		Headers: gen.UpdateRole200ResponseHeaders{ETag: etag(int64(view.Version))},
	}, nil
}

// DeleteRole deletes a role.
func (s handlers) DeleteRole(
	ctx context.Context, in gen.DeleteRoleRequestObject,
) (gen.DeleteRoleResponseObject, error) {
	_, err := s.Operations.DeleteRole(ctx, actorOf(ctx), in.ID, ifVersion(in.Params.IfMatch))
	return gen.DeleteRole204Response{}, err
}

func roleView(x *identity.Role) management.Role {
	return management.Role{
		ID:          x.ID,
		Name:        x.Name,
		Description: x.Description,
		Scopes:      append([]string{}, x.Scopes...),
		System:      x.System,
		CreatedAt:   x.CreatedAt.UTC(),
		UpdatedAt:   x.UpdatedAt.UTC(),
		Version:     int(x.Version),
	}
}
