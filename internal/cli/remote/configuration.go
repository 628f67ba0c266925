package remote

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/plan"
)

// configRequest is a document as the API takes it. The values of its references come from here: the
// server resolves none.
type configRequest struct {
	Document    string            `json:"document"`
	Values      map[string]string `json:"values,omitempty"`
	Prune       bool              `json:"prune,omitempty"`
	AllowDelete bool              `json:"allow_delete,omitempty"`
	TakeOver    bool              `json:"take_over,omitempty"`
	Plan        string            `json:"plan,omitempty"`
}

func configBody(in *admin.ConfigInput) configRequest {
	return configRequest{
		Document:    string(in.Document),
		Values:      in.Values,
		Prune:       in.Prune,
		AllowDelete: in.AllowDelete,
		TakeOver:    in.TakeOver,
		Plan:        in.Plan,
	}
}

// ExportConfig returns the server's stored configuration as a document.
func (s *Server) ExportConfig(ctx context.Context, _ admin.Actor, q admin.ConfigExport) ([]byte, error) {
	var doc struct{ Document string }
	var pairs []string
	if q.Label != "" {
		pairs = append(pairs, "label", q.Label)
	}
	if len(q.Sections) > 0 {
		pairs = append(pairs, "sections", strings.Join(q.Sections, ","))
	}
	err := s.get(ctx, &doc, parameters(pairs...), "config")
	return []byte(doc.Document), err
}

// PlanConfig returns what a document would change on the server.
func (s *Server) PlanConfig(ctx context.Context, _ admin.Actor, in admin.ConfigInput) (*plan.Plan, error) {
	var p plan.Plan
	if err := s.post(ctx, &p, configBody(&in), "config", "plan"); err != nil {
		return nil, err
	}
	return &p, nil
}

// ApplyConfig makes the changes of a document on the server.
func (s *Server) ApplyConfig(
	ctx context.Context, _ admin.Actor, in admin.ConfigInput,
) (*admin.AppliedConfig, error) {
	var out struct {
		Plan    *plan.Plan
		Secrets []admin.IssuedSecret
	}
	if err := s.post(ctx, &out, configBody(&in), "config", "apply"); err != nil {
		return nil, err
	}
	return &admin.AppliedConfig{Plan: out.Plan, Secrets: out.Secrets}, nil
}
