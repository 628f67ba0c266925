package api

import (
	"context"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// Overview answers what has happened on the server.
func (s handlers) Overview(
	ctx context.Context, r gen.OverviewRequestObject,
) (gen.OverviewResponseObject, error) {
	period := ""
	if r.Params.Period != nil {
		period = string(*r.Params.Period)
	}
	x, err := s.Operations.Overview(ctx, actorOf(ctx), period)
	if err != nil {
		return nil, err
	}
	return gen.Overview200JSONResponse(management.Overview{
		Period:         x.Period,
		From:           x.From.UTC(),
		StepSeconds:    int(x.Step / time.Second),
		SignIns:        x.SignIns,
		Failures:       x.Failures,
		Locks:          x.Locks,
		Tokens:         x.Tokens,
		Sessions:       x.Sessions,
		Users:          sizeView(x.Sizes.Users),
		Clients:        sizeView(x.Sizes.Clients),
		ActiveSessions: sizeView(x.Sizes.Sessions),
		DeadMessages:   sizeView(x.Sizes.DeadMail),
		LockedUsers:    sizeView(x.Sizes.LockedUsers),
	}), nil
}

func sizeView(s admin.Size) management.Size {
	v := management.Size{N: s.N}
	if s.AtLeast {
		v.AtLeast = &s.AtLeast
	}
	return v
}
