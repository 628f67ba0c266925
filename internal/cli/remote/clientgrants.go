package remote

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// ClientGrants returns the grants of a client.
func (s *Server) ClientGrants(ctx context.Context, _ admin.Actor, ref, user string) (*admin.ClientGrants, error) {
	var doc object
	if err := s.get(ctx, &doc, parameters("user", user), "clients", ref, "grants"); err != nil {
		return nil, err
	}
	out := &admin.ClientGrants{More: member[string](doc, "total_is") != ""}
	for _, x := range member[[]object](doc, "data") {
		out.Grants = append(out.Grants, admin.ClientGrant{
			ID:         member[oauth.GrantID](x, "id"),
			User:       member[identity.UserID](x, "user_id"),
			UserName:   member[string](x, "user_name"),
			Agent:      member[string](x, "user_agent"),
			IP:         member[string](x, "ip"),
			Kind:       member[string](x, "grant_type"),
			Scopes:     words(member[string](x, "scope")),
			CreatedAt:  at(x, "created_at"),
			LastUsedAt: at(x, "last_used_at"),
			ExpiresAt:  at(x, "expires_at"),
		})
	}
	return out, nil
}

// RevokeClientGrant ends a grant of a client.
func (s *Server) RevokeClientGrant(ctx context.Context, _ admin.Actor, ref string, id oauth.GrantID) error {
	return s.remove(ctx, nil, nil, 0, "clients", ref, "grants", string(id))
}

// DeleteClients deletes several clients.
func (s *Server) DeleteClients(ctx context.Context, _ admin.Actor, ids []client.ID) (*admin.DeletedClients, error) {
	var doc object
	if err := s.post(ctx, &doc, map[string]any{"action": "delete", "ids": ids}, "clients", "bulk"); err != nil {
		return nil, err
	}
	out := &admin.DeletedClients{}
	refused := map[client.ID]bool{}
	for _, x := range member[[]object](doc, "refused_clients") {
		id := member[client.ID](x, "client_id")
		refused[id] = true
		out.Refused = append(out.Refused, admin.RefusedClient{ID: id, Error: member[string](x, "error")})
	}
	for _, id := range ids {
		if !refused[id] {
			out.Deleted = append(out.Deleted, id)
		}
	}
	return out, nil
}
