package config

import (
	"time"
)

// endpointLimit is the limit of one endpoint: its settings, their defaults and where they go.
type endpointLimit struct {
	name, max, window, what string
	limit                   func(*RateLimits) *Limit
}

func rateRows() []Setting {
	rows := []Setting{
		{
			Name:    "RATE_LIMIT_ENABLED",
			Default: "true",
			Doc:     "Limit the rate of requests to endpoints.",
			place:   func(c *Config) value { return boolean{&c.RateLimits.Enabled} },
		},
		{
			Name:    "RATE_LIMIT_BY",
			Default: "ip",
			Doc: "What a limit applies to. Without a client or user, the address counts. A " +
				"client that has not authenticated is counted at each address separately; a " +
				"user name that is only claimed, such as on the login page, counts for the address.",
			place: func(c *Config) value {
				return choice[string]{&c.RateLimits.By, []string{"ip", "client", "user"}}
			},
		},
		{
			Name:    "RATE_LIMIT_STORE",
			Default: "memory",
			Doc: "Where requests are counted: in each server's memory, or in the Redis of " +
				"REDIS_URL for all servers together.",
			place: func(c *Config) value {
				return choice[string]{&c.RateLimits.Store, []string{"memory", "redis"}}
			},
		},
		{
			Name:  "RATE_LIMIT_WHITELIST",
			Doc:   "Addresses that are never limited.",
			place: func(c *Config) value { return prefixes{&c.RateLimits.Whitelist} },
		},
		{
			Name:    "RATE_LIMIT_MAIL_REQUESTS",
			Default: "5000",
			Doc: "How many sign-ups, password resets and messages to sign in with people who are not " +
				"signed in may ask for in an hour, from all addresses together; each of the three is " +
				"counted separately. A browser in which somebody has signed in may make 20 such " +
				"requests an hour that do not count. 0 means no limit.",
			place: func(c *Config) value { return number[int]{&c.RateLimits.MailRequests, 0, many} },
		},
	}
	return append(rows, limitRows()...)
}

// endpointLimits returns the limits, in the order of the reference page.
func endpointLimits() []endpointLimit {
	return []endpointLimit{
		{"TOKEN", "6000", "60", "token requests", func(r *RateLimits) *Limit { return &r.Token }},
		{
			"INTROSPECT", "60000", "60", "introspection requests",
			func(r *RateLimits) *Limit { return &r.Introspect },
		},
		{
			"REVOKE", "6000", "60", "revocation requests",
			func(r *RateLimits) *Limit { return &r.Revoke },
		},
		{
			"REVOCATIONS", "600", "60", "connections to the feed of revocations",
			func(r *RateLimits) *Limit { return &r.Revocations },
		},
		{
			"USERINFO", "6000", "60", "userinfo requests",
			func(r *RateLimits) *Limit { return &r.UserInfo },
		},
		{
			"TOKENINFO", "6000", "60", "tokeninfo requests",
			func(r *RateLimits) *Limit { return &r.TokenInfo },
		},
		{"LOGIN", "60", "60", "sign-ins", func(r *RateLimits) *Limit { return &r.Login }},
		{
			"DEVICE", "60", "60", "new device codes and entered user codes",
			func(r *RateLimits) *Limit { return &r.Device },
		},
		{
			"PASSWORD_RESET", "3", "3600", "password resets",
			func(r *RateLimits) *Limit { return &r.PasswordReset },
		},
		{
			"REGISTER", "10", "3600", "sign-ups",
			func(r *RateLimits) *Limit { return &r.Register },
		},
		{
			"VALIDATE_PASSWORD", "120", "60", "checks of passwords while people choose them",
			func(r *RateLimits) *Limit { return &r.ValidatePassword },
		},
		{
			"AUTHORIZE", "600", "60", "authorization requests",
			func(r *RateLimits) *Limit { return &r.Authorize },
		},
		{
			"REGISTRATION", "120", "60", "requests that register clients or manage registrations",
			func(r *RateLimits) *Limit { return &r.Registration },
		},
		{
			"OPEN_REGISTRATION", "10", "3600", "clients that anybody registers",
			func(r *RateLimits) *Limit { return &r.OpenRegistration },
		},
	}
}

// limitRows returns two settings for each endpoint with a limit: the number and its window.
func limitRows() []Setting {
	var rows []Setting
	for _, e := range endpointLimits() {
		rows = append(rows,
			Setting{
				Name:    "RATE_LIMIT_" + e.name + "_MAX",
				Default: e.max,
				Doc:     "The maximum number of " + e.what + " per caller and window; 0 means no limit.",
				place: func(c *Config) value {
					return number[int]{&e.limit(&c.RateLimits).Max, 0, many}
				},
			},
			Setting{
				Name:    "RATE_LIMIT_" + e.name + "_WINDOW",
				Default: e.window,
				Doc:     "The window for " + e.what + ".",
				place: func(c *Config) value {
					return duration{
						p:    &e.limit(&c.RateLimits).Window,
						unit: time.Second,
						min:  time.Second,
						max:  30 * day,
					}
				},
			},
		)
	}
	return rows
}
