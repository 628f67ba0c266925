package config

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// Administration holds who may manage the server, and from where.
type Administration struct {
	AllowedIPs []netip.Prefix // none: from everywhere
	Reauth     time.Duration  // the greatest age of a sign-in that may make changes; 0: any
	// How long an administrator may act as another person; 0: nobody may.
	Impersonation       time.Duration
	NotifyImpersonation bool

	Email    string // of the first administrator, or ""
	Password Secret // the first administrator's, or ""
}

func administrationRows() []Setting {
	return []Setting{
		{
			Name:    "ADMIN_ALLOWED_IPS",
			Default: "any",
			Doc: "From where the server may be managed: addresses and networks, separated by commas. It " +
				"holds for the console, the management API and registration by an administrator, not " +
				"for the command line on the database.",
			place: func(c *Config) value { return allowed{&c.Administration.AllowedIPs} },
		},
		{
			Name:    "ADMIN_REAUTH_MINUTES",
			Default: "15",
			Doc: "How many minutes ago an administrator may have signed in to make changes, by two steps " +
				"under REQUIRE_ADMIN_MFA; 0 means any time. Clients that act for themselves are exempt.",
			place: func(c *Config) value {
				return duration{p: &c.Administration.Reauth, unit: time.Minute, max: day, plain: true}
			},
		},
		{
			Name:    "IMPERSONATION_TTL",
			Default: "1h",
			Doc: "How long an administrator may act as another person before the session ends by itself; " +
				"0 means that nobody may.",
			place: func(c *Config) value {
				return duration{p: &c.Administration.Impersonation, unit: time.Second, max: 8 * time.Hour}
			},
		},
		{
			Name:    "NOTIFY_IMPERSONATION",
			Default: "true",
			Doc: "Email people when an administrator acts as them, with the reason. They see it in the " +
				"history of their account in any case. Needs mail.",
			place: func(c *Config) value { return boolean{&c.Administration.NotifyImpersonation} },
		},
		{
			Name: "ADMIN_EMAIL",
			Doc: "The address of the first administrator, whom the first start creates. It has an effect " +
				"once in the life of a database.",
			place: func(c *Config) value { return text{p: &c.Administration.Email, after: "an email address"} },
		},
		{
			Name:   "ADMIN_PASSWORD",
			Secret: true,
			Doc:    "The password of the administrator of ADMIN_EMAIL. Change it after the first sign-in.",
			place: func(c *Config) value {
				return sealed{&c.Administration.Password, "a password that the policy accepts"}
			},
		},
	}
}

// allowed are networks and single addresses, of which none may be empty: what is left out by
// mistake would be open to everybody.
type allowed struct{ p *[]netip.Prefix }

func (v allowed) parse(s string) error {
	if strings.EqualFold(strings.TrimSpace(s), "any") {
		*v.p = nil
		return nil
	}
	var out []netip.Prefix
	for i, item := range strings.Split(s, ",") {
		p, err := netaddr.ParsePrefix(strings.TrimSpace(item))
		if err != nil {
			return accept(fmt.Sprintf("must be %s; item %d %s", v.accepts(), i+1, err))
		}
		out = append(out, p)
	}
	*v.p = out
	return nil
}

func (v allowed) accepts() string {
	return "any, or addresses and networks such as 192.0.2.7 or 10.0.0.0/8, separated by commas"
}
func (v allowed) isBool() bool { return false }
