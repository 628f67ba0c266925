package remote

import (
	"context"
	"errors"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/plan"
)

var errConfiguration = errors.New("documents are compared and applied beside the database; run the command there, without --server")

// ExportConfig returns an error: a server elsewhere does not export documents yet.
func (s *Server) ExportConfig(context.Context, admin.Actor, admin.ConfigExport) ([]byte, error) {
	return nil, errConfiguration
}

// PlanConfig returns an error: a server elsewhere does not compare documents yet.
func (s *Server) PlanConfig(context.Context, admin.Actor, admin.ConfigInput) (*plan.Plan, error) {
	return nil, errConfiguration
}

// ApplyConfig returns an error: a server elsewhere does not apply documents yet.
func (s *Server) ApplyConfig(context.Context, admin.Actor, admin.ConfigInput) (*admin.AppliedConfig, error) {
	return nil, errConfiguration
}
