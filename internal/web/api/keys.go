package api

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/web"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// defaultPublishAhead is for how long a new key is published before it signs.
const defaultPublishAhead = time.Hour

// Keys answers the signing keys.
func (s handlers) Keys(ctx context.Context, _ gen.KeysRequestObject) (gen.KeysResponseObject, error) {
	all, err := s.Operations.Keys(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	out := gen.Keys200JSONResponse{Data: []management.Key{}, Total: len(all), Limit: len(all)}
	for _, k := range all {
		view := keyView(k, web.EventOf(ctx).Now)
		until, err := s.Operations.KeyTokensUntil(ctx, k)
		if err != nil {
			return nil, err
		}
		view.TokensUntil = moment(until)
		out.Data = append(out.Data, view)
	}
	return out, nil
}

// RotateKey makes a new signing key.
func (s handlers) RotateKey(ctx context.Context, in gen.RotateKeyRequestObject) (gen.RotateKeyResponseObject, error) {
	ahead := defaultPublishAhead
	if in.Body.PublishAhead != nil {
		ahead = time.Duration(*in.Body.PublishAhead) * time.Second
	}
	made, err := s.Operations.RotateKey(ctx, actorOf(ctx), admin.KeyRotation{
		Algorithm:    value(in.Body.Alg),
		Now:          value(in.Body.Now),
		PublishAhead: ahead,
	})
	if err != nil {
		return nil, err
	}
	return gen.RotateKey201JSONResponse{
		Key:            keyView(made.Key, web.EventOf(ctx).Now),
		Retires:        append([]string{}, made.Retires...),
		PublishedUntil: moment(made.PublishedUntil),
	}, nil
}

// RetireKey withdraws a key.
func (s handlers) RetireKey(ctx context.Context, in gen.RetireKeyRequestObject) (gen.RetireKeyResponseObject, error) {
	_, err := s.Operations.RetireKey(ctx, actorOf(ctx), in.ID)
	return gen.RetireKey204Response{}, err
}

func keyView(k jose.StoredKey, now time.Time) management.Key {
	return management.Key{
		ID:        k.ID,
		Alg:       k.Alg,
		State:     k.State(now),
		CreatedAt: k.CreatedAt.UTC(),
		ActiveAt:  k.ActiveAt.UTC(),
		RetiredAt: moment(k.RetiredAt),
		ExpiresAt: moment(k.ExpiresAt),
	}
}
