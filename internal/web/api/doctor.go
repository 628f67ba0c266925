package api

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// Examine answers what is wrong with the installation.
func (s handlers) Examine(ctx context.Context, _ gen.ExamineRequestObject) (gen.ExamineResponseObject, error) {
	report, err := s.Operations.Examine(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	out := gen.Examine200JSONResponse{
		Worst:    management.FindingLevel(report.Worst()),
		Problems: report.Count(doctor.Problem),
		Warnings: report.Count(doctor.Warning),
		Findings: []management.Finding{},
	}
	for _, f := range report.Findings {
		out.Findings = append(out.Findings, management.Finding{
			Check: f.Check,
			Area:  doctor.AreaTitle(f.Area()),
			Level: management.FindingLevel(f.Level),
			Title: f.Title,
			Fix:   optional(f.Fix),
		})
	}
	return out, nil
}
