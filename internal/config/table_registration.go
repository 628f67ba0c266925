package config

import (
	"net/url"
	"time"
)

// Registration holds the settings of dynamic client registration.
type Registration struct {
	Enabled   bool
	Token     Secret // an initial access token, or ""
	Open      string // off, public
	Scopes    []string
	Resources []string
	Sweep     time.Duration // 0: unused clients stay
}

// minRegistrationToken is the least length of DYNAMIC_CLIENT_REGISTRATION_TOKEN.
const minRegistrationToken = 20

func registrationRows() []Setting {
	return []Setting{
		{
			Name:    "ENABLE_DYNAMIC_CLIENT_REGISTRATION",
			Default: "true",
			Doc: "Accept initial access tokens and registration access tokens at /oauth/register " +
				"(RFC 7591, RFC 7592). Off: only administrators register and manage clients there.",
			place: func(c *Config) value { return boolean{&c.Registration.Enabled} },
		},
		{
			Name:   "DYNAMIC_CLIENT_REGISTRATION_TOKEN",
			Secret: true,
			Doc: "An initial access token that registers any number of apps for people. Tokens with a " +
				"limit, an expiry and a policy of their own are made by `gatehouse registration create`.",
			place: func(c *Config) value { return sealed{&c.Registration.Token, "at least 20 characters"} },
		},
		{
			Name:    "OPEN_REGISTRATION",
			Default: "off",
			Doc: "With public, anybody may register public clients that use PKCE and send people back to " +
				"https addresses or to their own device, as MCP clients do. People are warned that nobody " +
				"has checked such an app.",
			place: func(c *Config) value {
				return choice[string]{&c.Registration.Open, []string{"off", "public"}}
			},
		},
		{
			Name:    "OPEN_REGISTRATION_SCOPES",
			Default: "openid profile email offline_access",
			Doc:     "The scopes that clients get which anybody has registered.",
			place: func(c *Config) value {
				return list{&c.Registration.Scopes, "scope names", scopeToken}
			},
		},
		{
			Name: "OPEN_REGISTRATION_RESOURCES",
			Doc: "The APIs, such as MCP servers, that such clients may request tokens for (RFC 8707): " +
				"the addresses that the APIs name as their resource.",
			place: func(c *Config) value {
				return list{&c.Registration.Resources, "addresses", absoluteURI}
			},
		},
		{
			Name:    "REGISTRATION_SWEEP_DAYS",
			Default: "30",
			Doc: "For how many days after the last sign-in such a client stays, if nobody allows it access. " +
				"One that nobody has signed in to stays a day. 0 means forever.",
			place: func(c *Config) value {
				return duration{
					p:     &c.Registration.Sweep,
					unit:  day,
					max:   10 * year,
					plain: true,
				}
			},
		},
	}
}

// absoluteURI reports whether s is an absolute URI without a fragment (RFC 8707 §2).
func absoluteURI(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && u.Host != "" && u.Fragment == "" && printable(s)
}

func (c *Config) checkRegistration(p *Problems) {
	if n := len(c.Registration.Token); n > 0 && n < minRegistrationToken {
		p.add("DYNAMIC_CLIENT_REGISTRATION_TOKEN has %d characters; it needs at least %d: make one with "+
			"`openssl rand -hex 32`", n, minRegistrationToken)
	}
	for _, scope := range c.Registration.Scopes {
		if scope == "superuser" || scope == "admin" || len(scope) > 6 && scope[:6] == "admin:" {
			p.add("OPEN_REGISTRATION_SCOPES names %s, which is a scope of administrators; remove it", clip(scope))
		}
	}
}
