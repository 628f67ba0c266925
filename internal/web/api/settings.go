package api

import (
	"context"

	"github.com/oapi-codegen/nullable"

	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// Settings answers the settings of the server.
func (s handlers) Settings(ctx context.Context, _ gen.SettingsRequestObject) (gen.SettingsResponseObject, error) {
	all, err := s.Operations.Settings(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	out := gen.Settings200JSONResponse{Data: []management.Setting{}, Total: len(all), Limit: len(all)}
	for _, x := range all {
		v := nullable.NewNullableWithValue(x.Value)
		if x.Secret {
			v.SetNull()
		}
		out.Data = append(out.Data, management.Setting{
			Name:        x.Name,
			Group:       x.Group,
			Value:       v,
			Default:     x.Default,
			Source:      x.Source,
			Description: x.Description,
		})
	}
	return out, nil
}
