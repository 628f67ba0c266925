package app

import (
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/web"
)

// maxOpenClients bounds the clients that anybody has registered. In a day, after which those
// without a sign-in are deleted, openRegistrationRate accepts fewer.
const maxOpenClients = 10_000

// openRegistrationRate bounds the clients that anybody registers, from all addresses together.
func openRegistrationRate() web.Rate { return web.Rate{Max: 300, Window: time.Hour} }

// registrationConfig returns what the settings say about dynamic client registration.
func registrationConfig(c *config.Config) admin.Registration {
	r := c.Registration
	return admin.Registration{
		Enabled:   r.Enabled,
		Token:     string(r.Token),
		Open:      r.Open == "public",
		Scopes:    r.Scopes,
		Resources: r.Resources,
		AppName:   c.Branding.AppName,
		MaxOpen:   maxOpenClients,
		Unused:    r.Sweep,
	}
}
