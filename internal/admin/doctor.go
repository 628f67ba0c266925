package admin

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/doctor"
)

// Examine reports what is wrong with the installation or will be. It sends requests to other
// machines, so that it may take some seconds.
func (o *Operations) Examine(ctx context.Context, a Actor) (*doctor.Report, error) {
	if err := o.authorize(a, ScopeSettingsRead); err != nil {
		return nil, err
	}
	if o.parts.Facts == nil {
		return &doctor.Report{}, nil
	}
	return doctor.Examine(o.parts.Facts(ctx)), nil
}
