package api

import (
	"context"
	"strings"
	"time"

	"github.com/oapi-codegen/nullable"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// fieldRotation is the field of a client whose member has another name and type.
const (
	fieldRotation  = "refresh_rotation"
	memberRotation = "refresh_token_rotation"
)

// Clients answers a page of clients.
func (s handlers) Clients(ctx context.Context, in gen.ClientsRequestObject) (gen.ClientsResponseObject, error) {
	before, err := bound("secret_expires_before", in.Params.SecretExpiresBefore, false)
	if err != nil {
		return nil, err
	}
	by, desc := strings.CutPrefix(string(value(in.Params.Sort)), "-")
	q := admin.ClientQuery{
		Search:              value(in.Params.Search),
		Type:                string(value(in.Params.Type)),
		SecretExpiresBefore: before,
		Sort:                admin.Sort{By: by, Desc: desc},
		Page:                page(in.Params.Limit, in.Params.Offset, in.Params.Cursor, in.Params.Total != nil),
	}
	found, err := s.Operations.Clients(ctx, actorOf(ctx), q)
	if err != nil {
		return nil, err
	}
	out := gen.Clients200JSONResponse{
		Data:     []management.Client{},
		Total:    found.Total,
		TotalIs:  atLeast(found.AtLeast),
		Limit:    q.Page.Limit,
		Offset:   q.Page.Offset,
		Next:     optional(found.Next),
		SortedBy: optional(found.SortedBy),
	}
	for _, c := range found.Items {
		view, err := s.clientView(ctx, c)
		if err != nil {
			return nil, err
		}
		out.Data = append(out.Data, view)
	}
	return out, nil
}

// GetClient answers one client.
func (s handlers) GetClient(ctx context.Context, in gen.GetClientRequestObject) (gen.GetClientResponseObject, error) {
	c, err := s.Operations.Client(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	view, err := s.clientView(ctx, c)
	return gen.GetClient200JSONResponse{
		Body:    view,
		Headers: gen.GetClient200ResponseHeaders{ETag: etag(int64(view.Version))},
	}, err
}

// CreateClient registers a client.
func (s handlers) CreateClient(
	ctx context.Context, in gen.CreateClientRequestObject,
) (gen.CreateClientResponseObject, error) {
	p, err := s.clientPatch(ctx)
	if err != nil {
		return nil, err
	}
	made, err := s.Operations.CreateClient(ctx, actorOf(ctx), admin.NewClient{
		ID:     client.ID(text(in.Body.ClientID)),
		Fields: p,
	})
	if err != nil {
		return nil, err
	}
	view, err := s.changedClient(ctx, made)
	return gen.CreateClient201JSONResponse{
		Body: view,
		Headers: gen.CreateClient201ResponseHeaders{
			ETag:     etag(int64(view.Version)),
			Location: address(ctx, "clients", view.ClientID),
		},
	}, err
}

// UpdateClient changes a client.
func (s handlers) UpdateClient(
	ctx context.Context, in gen.UpdateClientRequestObject,
) (gen.UpdateClientResponseObject, error) {
	if err := s.clientUnchanged(ctx, in.ID); err != nil {
		return nil, err
	}
	p, err := s.clientPatch(ctx)
	if err != nil {
		return nil, err
	}
	p.IfVersion = ifVersion(in.Params.IfMatch)
	changed, err := s.Operations.UpdateClient(ctx, actorOf(ctx), in.ID, p)
	if err != nil {
		return nil, err
	}
	view, err := s.changedClient(ctx, changed)
	return gen.UpdateClient200JSONResponse{
		Body:    view,
		Headers: gen.UpdateClient200ResponseHeaders{ETag: etag(int64(view.Version))},
	}, err
}

// clientUnchanged rejects a change of what only the server sets.
func (s handlers) clientUnchanged(ctx context.Context, ref string) error {
	x := exchangeOf(ctx)
	if !x.sendsReadOnly() {
		return nil
	}
	c, err := s.Operations.Client(ctx, x.actor, ref)
	if err != nil {
		return err
	}
	view, err := s.clientView(ctx, c)
	if err != nil {
		return err
	}
	return unchanged(x.body, view, x.op.readOnly())
}

// DeleteClient deletes a client.
func (s handlers) DeleteClient(
	ctx context.Context, in gen.DeleteClientRequestObject,
) (gen.DeleteClientResponseObject, error) {
	_, err := s.Operations.DeleteClient(ctx, actorOf(ctx), in.ID, ifVersion(in.Params.IfMatch))
	return gen.DeleteClient204Response{}, err
}

// RevokeClientTokens ends all tokens of a client.
func (s handlers) RevokeClientTokens(
	ctx context.Context, in gen.RevokeClientTokensRequestObject,
) (gen.RevokeClientTokensResponseObject, error) {
	_, err := s.Operations.RevokeClientTokens(ctx, actorOf(ctx), in.ID)
	return gen.RevokeClientTokens200JSONResponse{Revoked: true}, err
}

// AddSecret adds a secret to a client, or rotates its secrets.
func (s handlers) AddSecret(ctx context.Context, in gen.AddSecretRequestObject) (gen.AddSecretResponseObject, error) {
	b := in.Body
	if value(b.Rotate) {
		grace := time.Duration(value(b.GracePeriod)) * time.Second
		if b.ExpiresIn != nil {
			return nil, wrong("expires_in", "A rotation takes no expires_in.")
		}
		made, err := s.Operations.RotateSecret(ctx, actorOf(ctx), in.ID, grace)
		if err != nil {
			return nil, err
		}
		return gen.AddSecret201JSONResponse{
			ClientID:                string(made.Client.ID),
			ClientSecret:            made.Secret,
			PreviousSecretExpiresAt: moment(made.Previous),
			Warnings:                warnings(made.Warnings),
		}, nil
	}
	if b.GracePeriod != nil {
		return nil, wrong("grace_period", "This goes with rotate.")
	}
	made, err := s.Operations.AddSecret(ctx, actorOf(ctx), in.ID, time.Duration(value(b.ExpiresIn))*time.Second)
	if err != nil {
		return nil, err
	}
	return gen.AddSecret201JSONResponse{
		ClientID:              string(made.Client.ID),
		ClientSecret:          made.Secret,
		ClientSecretExpiresAt: seconds(made.ExpiresAt),
		SecretID:              optional(made.ID),
	}, nil
}

// RemoveSecret deletes a secret of a client.
func (s handlers) RemoveSecret(
	ctx context.Context, in gen.RemoveSecretRequestObject,
) (gen.RemoveSecretResponseObject, error) {
	_, err := s.Operations.RemoveSecret(ctx, actorOf(ctx), in.ID, in.SecretID, value(in.Params.Force))
	return gen.RemoveSecret204Response{}, err
}

// RemoveOldSecrets deletes all secrets of a client but the newest.
func (s handlers) RemoveOldSecrets(
	ctx context.Context, in gen.RemoveOldSecretsRequestObject,
) (gen.RemoveOldSecretsResponseObject, error) {
	n, err := s.Operations.RemoveOldSecrets(ctx, actorOf(ctx), in.ID)
	return gen.RemoveOldSecrets200JSONResponse{Revoked: n}, err
}

// clientPatch returns what a body changes of a client.
func (s handlers) clientPatch(ctx context.Context) (admin.ClientPatch, error) {
	fields := client.Fields(s.Operations.Rules())
	body := exchangeOf(ctx).body
	if v, ok := body[memberRotation]; ok {
		switch v {
		case true:
			body[fieldRotation] = "on"
		case false:
			body[fieldRotation] = "off"
		default:
			body[fieldRotation] = nil
		}
	}
	return patchOf(fields, body)
}

// clientView returns a client for an answer: never a hash.
func (s handlers) clientView(ctx context.Context, c *client.Client) (management.Client, error) {
	var out management.Client
	if err := fill(client.Fields(s.Operations.Rules()), c, &out); err != nil {
		return out, err
	}
	out.ClientID, out.ClientIDIssuedAt = string(c.ID), seconds(c.CreatedAt)
	out.CreatedAt, out.UpdatedAt = c.CreatedAt.UTC(), c.UpdatedAt.UTC()
	out.Version = int(c.Version)
	switch c.Rotation {
	case "on":
		out.RefreshTokenRotation = nullable.NewNullableWithValue(true)
	case "off":
		out.RefreshTokenRotation = nullable.NewNullableWithValue(false)
	default:
		out.RefreshTokenRotation = nullable.NewNullNullable[bool]()
	}
	out.Secrets = []management.ClientSecret{}
	now := web.EventOf(ctx).Now
	var expired []management.ClientSecret
	for i := range c.Secrets {
		x := &c.Secrets[i]
		view := management.ClientSecret{
			ID:        x.ID,
			CreatedAt: x.CreatedAt.UTC(),
			ExpiresAt: moment(x.ExpiresAt),
		}
		if x.Active(now) {
			out.Secrets = append(out.Secrets, view)
		} else {
			expired = append(expired, view)
		}
	}
	out.ExpiredSecrets = listOf(expired)
	return out, nil
}

// changedClient returns a client after a change, with a new secret if it got one.
func (s handlers) changedClient(ctx context.Context, c *admin.ChangedClient) (management.Client, error) {
	out, err := s.clientView(ctx, c.Client)
	if err != nil {
		return out, err
	}
	out.Warnings = warnings(c.Warnings)
	if c.Secret != "" {
		out.ClientSecret, out.ClientSecretExpiresAt = &c.Secret, new(int)
		if len(c.Client.Secrets) > 0 {
			*out.ClientSecretExpiresAt = seconds(c.Client.Secrets[0].ExpiresAt)
		}
	}
	return out, nil
}

// seconds returns a time in seconds since 1970, or 0 for the zero time.
func seconds(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return int(t.Unix())
}

// text returns a text that may be missing or null.
func text(n nullable.Nullable[string]) string {
	v, err := n.Get()
	if err != nil {
		return ""
	}
	return v
}
