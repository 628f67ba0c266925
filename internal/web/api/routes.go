package api

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// Routes answers a page of routes.
func (s handlers) Routes(ctx context.Context, in gen.RoutesRequestObject) (gen.RoutesResponseObject, error) {
	q := admin.RouteQuery{
		Search: value(in.Params.Search),
		Limit:  limit(in.Params.Limit),
		Offset: value(in.Params.Offset),
	}
	found, total, err := s.Operations.Routes(ctx, actorOf(ctx), q)
	if err != nil {
		return nil, err
	}
	out := gen.Routes200JSONResponse{Data: []management.Route{}, Total: total, Limit: q.Limit, Offset: q.Offset}
	for _, r := range found {
		view, err := routeView(r)
		if err != nil {
			return nil, err
		}
		out.Data = append(out.Data, view)
	}
	return out, nil
}

// Route answers one route.
func (s handlers) Route(ctx context.Context, in gen.RouteRequestObject) (gen.RouteResponseObject, error) {
	r, err := s.Operations.Route(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	view, err := routeView(r)
	return gen.Route200JSONResponse{
		Body:    view,
		Headers: gen.Route200ResponseHeaders{ETag: etag(int64(view.RowVersion))},
	}, err
}

// CreateRoute creates a route.
func (s handlers) CreateRoute(
	ctx context.Context, _ gen.CreateRouteRequestObject,
) (gen.CreateRouteResponseObject, error) {
	p, err := patchOf(access.RouteFields(), exchangeOf(ctx).body)
	if err != nil {
		return nil, err
	}
	r, err := s.Operations.CreateRoute(ctx, actorOf(ctx), p)
	if err != nil {
		return nil, err
	}
	view, err := routeView(r)
	return gen.CreateRoute201JSONResponse{
		Body: view,
		Headers: gen.CreateRoute201ResponseHeaders{
			ETag:     etag(int64(view.RowVersion)),
			Location: address(ctx, "routes", view.ID),
		},
	}, err
}

// UpdateRoute changes a route.
func (s handlers) UpdateRoute(
	ctx context.Context, in gen.UpdateRouteRequestObject,
) (gen.UpdateRouteResponseObject, error) {
	x := exchangeOf(ctx)
	if x.sendsReadOnly() {
		old, err := s.Operations.Route(ctx, x.actor, in.ID)
		if err != nil {
			return nil, err
		}
		before, err := routeView(old)
		if err == nil {
			err = unchanged(x.body, before, x.op.readOnly())
		}
		if err != nil {
			return nil, err
		}
	}
	p, err := patchOf(access.RouteFields(), x.body)
	if err != nil {
		return nil, err
	}
	p.IfVersion = ifVersion(in.Params.IfMatch)
	r, err := s.Operations.UpdateRoute(ctx, x.actor, in.ID, p)
	if err != nil {
		return nil, err
	}
	view, err := routeView(r)
	return gen.UpdateRoute200JSONResponse{
		Body:    view,
		Headers: gen.UpdateRoute200ResponseHeaders{ETag: etag(int64(view.RowVersion))},
	}, err
}

// DeleteRoute deletes a route.
func (s handlers) DeleteRoute(
	ctx context.Context, in gen.DeleteRouteRequestObject,
) (gen.DeleteRouteResponseObject, error) {
	_, err := s.Operations.DeleteRoute(ctx, actorOf(ctx), in.ID, ifVersion(in.Params.IfMatch))
	return gen.DeleteRoute204Response{}, err
}

// routeView returns a route with what follows from compiling it.
func routeView(r *admin.Route) (management.Route, error) {
	var out management.Route
	if err := fill(access.RouteFields(), &r.Route, &out); err != nil {
		return out, err
	}
	out.ID, out.Source = r.ID, "database"
	if r.FromFile() {
		out.Source = "file"
	}
	out.Address, out.Resource, out.Problem = r.Address, r.Resource, r.Problem
	out.CreatedAt, out.UpdatedAt = moment(r.CreatedAt), moment(r.UpdatedAt)
	out.RowVersion = int(r.Revision)
	out.Warnings = warnings(r.Warnings)
	return out, nil
}
