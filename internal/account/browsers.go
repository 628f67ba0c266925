package account

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/login"
)

// TrustedBrowser is a browser in which the caller skips the second step.
type TrustedBrowser struct {
	login.TrustedBrowser
	Current bool // the one that the caller uses
}

// TrustedBrowsers returns the browsers in which the caller skips the second step.
func (s *Server) TrustedBrowsers(ctx context.Context, c Caller) ([]TrustedBrowser, error) {
	all, err := s.login.TrustedBrowsers(ctx, c.Visit, c.User)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	here, err := s.login.DeviceName(ctx, c.Visit, c.User)
	out := make([]TrustedBrowser, len(all))
	for i, b := range all {
		out[i] = TrustedBrowser{TrustedBrowser: b, Current: b.ID == here}
	}
	return out, err
}

// Distrust makes a browser ask the caller for the second step again. One that does already is not
// an error.
func (s *Server) Distrust(ctx context.Context, c Caller, id string) error {
	if err := c.own(); err != nil {
		return err
	}
	return s.login.Distrust(ctx, c.Visit, c.User.ID, id)
}
