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
	x, err := s.overview(ctx, string(value(r.Params.Period)))
	if err != nil {
		return nil, err
	}
	return gen.Overview200JSONResponse(*x), nil
}

// AuditStats answers the same at the address where old scripts look for it.
func (s handlers) AuditStats(
	ctx context.Context, r gen.AuditStatsRequestObject,
) (gen.AuditStatsResponseObject, error) {
	x, err := s.overview(ctx, string(value(r.Params.Period)))
	if err != nil {
		return nil, err
	}
	return gen.AuditStats200JSONResponse(*x), nil
}

func (s handlers) overview(ctx context.Context, period string) (*management.Overview, error) {
	x, err := s.Operations.Overview(ctx, actorOf(ctx), period)
	if err != nil {
		return nil, err
	}
	return &management.Overview{
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
		Attention:      attentionView(&x.Sizes.Attention),
	}, nil
}

func attentionView(a *admin.Attention) management.Attention {
	return management.Attention{
		ExpiringSecrets: sizeView(a.ExpiringSecrets),
		FailingSinks:    sizeView(a.FailingSinks),
		Gaps:            sizeView(a.Gaps),
		EndedWebhooks:   sizeView(a.EndedWebhooks),
		OldKeys:         sizeView(a.OldKeys),
	}
}

func sizeView(s admin.Size) management.Size {
	v := management.Size{N: s.N}
	if s.AtLeast {
		v.AtLeast = &s.AtLeast
	}
	return v
}
