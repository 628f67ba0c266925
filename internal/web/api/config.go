package api

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/plan"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// PathsOfDocuments returns the paths that take configuration documents, which may be long.
func PathsOfDocuments() []string {
	var out []string
	for _, base := range []string{root, versioned} {
		out = append(out, base+"config/plan", base+"config/apply")
	}
	return out
}

// ExportConfig answers the configuration as a document.
func (s handlers) ExportConfig(
	ctx context.Context, in gen.ExportConfigRequestObject,
) (gen.ExportConfigResponseObject, error) {
	q := admin.ConfigExport{
		Label:    value(in.Params.Label),
		Sections: strings.FieldsFunc(value(in.Params.Sections), func(r rune) bool { return r == ',' }),
	}
	text, err := s.Operations.ExportConfig(ctx, actorOf(ctx), q)
	if err != nil {
		return nil, err
	}
	return gen.ExportConfig200JSONResponse{Document: string(text)}, nil
}

// configInput returns a document with the values of its references.
func configInput(in *management.ConfigRequest) admin.ConfigInput {
	return admin.ConfigInput{
		Document:    []byte(in.Document),
		Values:      value(in.Values),
		Prune:       value(in.Prune),
		AllowDelete: value(in.AllowDelete),
		TakeOver:    value(in.TakeOver),
		Plan:        value(in.Plan),
	}
}

// planView returns a plan as the API shows it: plans have the members of the document.
func planView(p *plan.Plan) (out management.ConfigPlan, err error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return out, err
	}
	return out, json.Unmarshal(raw, &out)
}

// PlanConfig answers what a document would change.
func (s handlers) PlanConfig(
	ctx context.Context, in gen.PlanConfigRequestObject,
) (gen.PlanConfigResponseObject, error) {
	p, err := s.Operations.PlanConfig(ctx, actorOf(ctx), configInput(in.Body))
	if err != nil {
		return nil, err
	}
	out, err := planView(p)
	return gen.PlanConfig200JSONResponse(out), err
}

// ApplyConfig makes the changes of a document.
func (s handlers) ApplyConfig(
	ctx context.Context, in gen.ApplyConfigRequestObject,
) (gen.ApplyConfigResponseObject, error) {
	applied, err := s.Operations.ApplyConfig(ctx, actorOf(ctx), configInput(in.Body))
	if err != nil {
		return nil, err
	}
	out := gen.ApplyConfig200JSONResponse{Secrets: []management.ConfigSecret{}}
	for _, x := range applied.Secrets {
		out.Secrets = append(out.Secrets, management.ConfigSecret{Section: x.Section, Key: x.Key, Secret: x.Secret})
	}
	out.Plan, err = planView(applied.Plan)
	return out, err
}

// ConfigDrift answers what differs from the documents that were applied last.
func (s handlers) ConfigDrift(
	ctx context.Context, _ gen.ConfigDriftRequestObject,
) (gen.ConfigDriftResponseObject, error) {
	all, err := s.Operations.ConfigDrift(ctx, actorOf(ctx))
	if err != nil {
		return nil, err
	}
	out := gen.ConfigDrift200JSONResponse{Data: []management.ConfigDrift{}, Total: len(all)}
	for i := range all {
		d := &all[i]
		view := management.ConfigDrift{
			Label:     d.Label,
			Document:  d.Text,
			AppliedAt: d.AppliedAt,
			AppliedBy: d.AppliedBy,
			Problem:   optional(d.Problem),
		}
		if d.Plan != nil {
			p, err := planView(d.Plan)
			if err != nil {
				return nil, err
			}
			view.Plan = &p
		}
		out.Data = append(out.Data, view)
	}
	return out, nil
}
