package api

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// ClientGrants answers the access that a client has now.
func (s handlers) ClientGrants(
	ctx context.Context, in gen.ClientGrantsRequestObject,
) (gen.ClientGrantsResponseObject, error) {
	all, err := s.Operations.ClientGrants(ctx, actorOf(ctx), in.ID, value(in.Params.User))
	if err != nil {
		return nil, err
	}
	out := gen.ClientGrants200JSONResponse{Data: []management.ClientGrant{}, Total: len(all.Grants)}
	if all.More {
		out.TotalIs = optional("at_least")
	}
	for i := range all.Grants {
		g := &all.Grants[i]
		out.Data = append(out.Data, management.ClientGrant{
			ID:         string(g.ID),
			UserID:     string(g.User),
			UserName:   g.UserName,
			UserAgent:  g.Agent,
			IP:         g.IP,
			GrantType:  g.Kind,
			Scope:      strings.Join(g.Scopes, " "),
			CreatedAt:  moment(g.CreatedAt),
			LastUsedAt: moment(g.LastUsedAt),
			ExpiresAt:  moment(g.ExpiresAt),
		})
	}
	return out, nil
}

// RevokeClientGrant ends one grant of a client.
func (s handlers) RevokeClientGrant(
	ctx context.Context, in gen.RevokeClientGrantRequestObject,
) (gen.RevokeClientGrantResponseObject, error) {
	err := s.Operations.RevokeClientGrant(ctx, actorOf(ctx), in.ID, oauth.GrantID(in.GrantID))
	return gen.RevokeClientGrant204Response{}, err
}

// DeleteClients deletes several clients.
func (s handlers) DeleteClients(
	ctx context.Context, in gen.DeleteClientsRequestObject,
) (gen.DeleteClientsResponseObject, error) {
	ids := make([]client.ID, len(in.Body.Ids))
	for i, id := range in.Body.Ids {
		ids[i] = client.ID(id)
	}
	done, err := s.Operations.DeleteClients(ctx, actorOf(ctx), ids)
	if err != nil {
		return nil, err
	}
	out := gen.DeleteClients200JSONResponse{
		Total:          len(done.Deleted) + len(done.Refused),
		Done:           len(done.Deleted),
		Refused:        len(done.Refused),
		RefusedClients: []management.RefusedClient{},
	}
	for _, x := range done.Refused {
		out.RefusedClients = append(out.RefusedClients, management.RefusedClient{ClientID: string(x.ID), Error: x.Error})
	}
	return out, nil
}
