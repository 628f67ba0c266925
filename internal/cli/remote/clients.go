package remote

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
)

// The field of a client whose member has another name and type.
const (
	fieldRotation  = "refresh_rotation"
	memberRotation = "refresh_token_rotation"
)

// words returns the words of a text, or nil.
func words(s string) []string { return orNil(strings.Fields(s)) }

func (s *Server) clientOf(doc object) (*client.Client, error) {
	c := &client.Client{
		ID:        member[client.ID](doc, "client_id"),
		CreatedAt: at(doc, "created_at"),
		UpdatedAt: at(doc, "updated_at"),
		Version:   member[int64](doc, "version"),
	}
	if on := member[*bool](doc, memberRotation); on != nil {
		c.Rotation = map[bool]string{true: "on", false: "off"}[*on]
	}
	for _, x := range slices.Concat(member[[]object](doc, "secrets"), member[[]object](doc, "expired_secrets")) {
		c.Secrets = append(c.Secrets, client.Secret{
			ID:        member[string](x, "id"),
			CreatedAt: at(x, "created_at"),
			ExpiresAt: at(x, "expires_at"),
		})
	}
	slices.SortStableFunc(c.Secrets, func(a, b client.Secret) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return c, read(client.Fields(s.rules), doc, c)
}

func (s *Server) clientBody(p *admin.ClientPatch) (map[string]any, error) {
	out, err := body(client.Fields(s.rules), p)
	if err != nil {
		return nil, err
	}
	if _, ok := out[fieldRotation]; ok {
		delete(out, fieldRotation)
		switch p.Values.Rotation {
		case "on", "off":
			out[memberRotation] = p.Values.Rotation == "on"
		case "":
			out[memberRotation] = nil
		default:
			out[memberRotation] = p.Values.Rotation // which is rejected with its reason
		}
	}
	return out, nil
}

// Clients returns a page of clients.
func (s *Server) Clients(
	ctx context.Context, _ admin.Actor, q admin.ClientQuery,
) (*admin.List[*client.Client], error) {
	query := parameters("search", q.Search, "type", q.Type, "sort", sortText(q.Sort),
		"secret_expires_before", instant(q.SecretExpiresBefore))
	return page(ctx, s, query, q.Page, func(doc *object) (*client.Client, error) { return s.clientOf(*doc) }, "clients")
}

// Client returns a client.
func (s *Server) Client(ctx context.Context, _ admin.Actor, ref string) (*client.Client, error) {
	var doc object
	if err := s.get(ctx, &doc, nil, "clients", ref); err != nil {
		return nil, err
	}
	return s.clientOf(doc)
}

// CreateClient registers a client.
func (s *Server) CreateClient(ctx context.Context, _ admin.Actor, in admin.NewClient) (*admin.ChangedClient, error) {
	b, err := s.clientBody(&in.Fields)
	if err != nil {
		return nil, err
	}
	if in.ID != "" {
		b["client_id"] = in.ID
	}
	var doc object
	if err := s.post(ctx, &doc, b, "clients"); err != nil {
		return nil, err
	}
	return s.changedClient(doc)
}

// UpdateClient changes a client.
func (s *Server) UpdateClient(
	ctx context.Context, _ admin.Actor, ref string, p admin.ClientPatch,
) (*admin.ChangedClient, error) {
	b, err := s.clientBody(&p)
	if err != nil {
		return nil, err
	}
	var doc object
	if err := s.patch(ctx, &doc, b, p.IfVersion, "clients", ref); err != nil {
		return nil, err
	}
	return s.changedClient(doc)
}

func (s *Server) changedClient(doc object) (*admin.ChangedClient, error) {
	c, err := s.clientOf(doc)
	if err != nil {
		return nil, err
	}
	return &admin.ChangedClient{
		Client:   c,
		Secret:   member[string](doc, "client_secret"),
		Warnings: warningsOf(doc),
	}, nil
}

// DeleteClient deletes a client.
func (s *Server) DeleteClient(
	ctx context.Context, _ admin.Actor, ref string, version int64,
) (*client.Client, error) {
	return &client.Client{ID: client.ID(ref)}, s.remove(ctx, nil, nil, version, "clients", ref)
}

// RevokeClientTokens ends all tokens of a client.
func (s *Server) RevokeClientTokens(ctx context.Context, _ admin.Actor, ref string) (*client.Client, error) {
	return &client.Client{ID: client.ID(ref)}, s.post(ctx, nil, nil, "clients", ref, "revoke_tokens")
}

// RotateSecret makes a new secret for a client.
func (s *Server) RotateSecret(
	ctx context.Context, _ admin.Actor, ref string, grace time.Duration,
) (*admin.ChangedClient, error) {
	var doc object
	b := map[string]any{"rotate": true, "grace_period": wholeSeconds(grace)}
	if err := s.post(ctx, &doc, b, "clients", ref, "secrets"); err != nil {
		return nil, err
	}
	return &admin.ChangedClient{
		Client:   &client.Client{ID: member[client.ID](doc, "client_id")},
		Secret:   member[string](doc, "client_secret"),
		Previous: at(doc, "previous_secret_expires_at"),
		Warnings: warningsOf(doc),
	}, nil
}

// wholeSeconds returns a duration in seconds, rounded up: what is asked for ends no earlier.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// AddSecret adds a secret to a client.
func (s *Server) AddSecret(
	ctx context.Context, _ admin.Actor, ref string, ttl time.Duration,
) (*admin.AddedSecret, error) {
	var doc object
	b := map[string]any{"expires_in": wholeSeconds(ttl)}
	if err := s.post(ctx, &doc, b, "clients", ref, "secrets"); err != nil {
		return nil, err
	}
	out := &admin.AddedSecret{
		Client: &client.Client{ID: member[client.ID](doc, "client_id")},
		ID:     member[string](doc, "secret_id"),
		Secret: member[string](doc, "client_secret"),
	}
	if ends := member[int64](doc, "client_secret_expires_at"); ends > 0 {
		out.ExpiresAt = time.Unix(ends, 0)
	}
	return out, nil
}

// RemoveSecret deletes a secret of a client.
func (s *Server) RemoveSecret(
	ctx context.Context, a admin.Actor, ref, secretID string, force bool,
) (*admin.ChangedClient, error) {
	query := parameters()
	if force {
		query.Set("force", "true")
	}
	if err := s.remove(ctx, nil, query, 0, "clients", ref, "secrets", secretID); err != nil {
		return nil, err
	}
	var doc object
	out := &admin.ChangedClient{Client: &client.Client{ID: client.ID(ref)}}
	if err := s.get(ctx, &doc, nil, "clients", ref); err != nil {
		return out, nil //nolint:nilerr // the secret is removed; who may not read clients gets no warning
	}
	c, err := s.clientOf(doc)
	if err != nil {
		return nil, err
	}
	out.Client = c
	if c.HasSecret() && string(doc["secrets"]) == "[]" {
		out.Warnings = []admin.Warning{{Code: admin.WarnNoActiveSecret, Subject: string(c.ID)}}
	}
	return out, nil
}

// RemoveOldSecrets deletes all secrets of a client but the newest active one.
func (s *Server) RemoveOldSecrets(ctx context.Context, _ admin.Actor, ref string) (int, error) {
	var doc object
	err := s.remove(ctx, &doc, nil, 0, "clients", ref, "secrets")
	return member[int](doc, "revoked"), err
}

// CreateInitialToken creates an initial access token.
func (s *Server) CreateInitialToken(
	ctx context.Context, _ admin.Actor, in admin.NewInitialToken,
) (*admin.InitialToken, string, error) {
	policy := map[string]any{}
	for name, v := range map[string][]string{
		"grant_types":                 in.Policy.Grants,
		"scopes":                      in.Policy.Scopes,
		"redirect_hosts":              in.Policy.RedirectHosts,
		"token_endpoint_auth_methods": in.Policy.AuthMethods,
		"resources":                   in.Policy.Resources,
	} {
		if len(v) > 0 {
			policy[name] = v
		}
	}
	b := map[string]any{"count": in.Count, "expires_in": wholeSeconds(in.ExpiresIn), "policy": policy}
	if in.Description != "" {
		b["description"] = in.Description
	}
	var doc object
	if err := s.post(ctx, &doc, b, "registrations"); err != nil {
		return nil, "", err
	}
	t := initialTokenOf(doc)
	return &t, member[string](doc, "token"), nil
}

func initialTokenOf(doc object) admin.InitialToken {
	return admin.InitialToken{
		ID:          member[string](doc, "id"),
		Description: member[string](doc, "description"),
		Policy:      member[admin.RegistrationPolicy](doc, "policy"),
		Count:       member[int](doc, "count"),
		Used:        member[int](doc, "used"),
		CreatedBy:   member[string](doc, "created_by"),
		CreatedAt:   at(doc, "created_at"),
		ExpiresAt:   at(doc, "expires_at"),
	}
}

// ListInitialTokens returns a page of initial access tokens.
func (s *Server) ListInitialTokens(
	ctx context.Context, _ admin.Actor, limit, offset int,
) ([]admin.InitialToken, int, error) {
	docs, total, err := part[object](ctx, s, nil, limit, offset, "registrations")
	var out []admin.InitialToken
	for _, doc := range docs {
		out = append(out, initialTokenOf(doc))
	}
	return out, total, err
}

// RevokeInitialToken deletes an initial access token.
func (s *Server) RevokeInitialToken(ctx context.Context, _ admin.Actor, id string) error {
	return s.remove(ctx, nil, nil, 0, "registrations", id)
}
