package app

import (
	"context"
	"fmt"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

// createFirstAdmin creates the administrator of ADMIN_EMAIL at the first start of a database. Later
// starts change nothing, whatever has become of that account.
func createFirstAdmin(ctx context.Context, e *env, p *parts) error {
	c := p.cfg.Administration
	if c.Email == "" {
		return nil
	}
	done, err := p.db.FirstAdminDone(ctx)
	if err != nil || done {
		return err
	}
	v := login.Visit{Now: e.now(), Actor: audit.ActorSystem}
	u, err := p.login.NewAdministrator(ctx, v, login.SetupForm{
		Email:    c.Email,
		Password: string(c.Password),
	})
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "ADMIN_EMAIL and ADMIN_PASSWORD cannot make the first administrator")
	}
	created, err := p.db.CreateFirstAdmin(ctx, u, admin.FirstAdministrator(u, v.Now)...)
	if created {
		fmt.Fprintf(e.stdout, "The first administrator is %s, from ADMIN_EMAIL.\n", u.Email)
	}
	return err
}
