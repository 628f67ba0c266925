package config

import (
	"math"
	"slices"
	"strings"
	"time"
)

// A Setting is one row of the table: what an operator may set, and where its value goes.
type Setting struct {
	Name    string // upper case, as in the environment
	Group   string
	Default string // as written in a file; "" means none, or as Doc says
	Doc     string // for the reference page and the usage text
	Secret  bool   // the value is never shown

	path  bool // a path, which has no …_FILE form
	place func(*Config) value
}

// Flag returns the setting's name on the command line, without the leading dashes.
func (s Setting) Flag() string { return strings.ReplaceAll(strings.ToLower(s.Name), "_", "-") }

// Key returns the setting's name in a YAML file.
func (s Setting) Key() string { return strings.ToLower(s.Name) }

// Accepts describes in words which values the setting accepts.
func (s Setting) Accepts() string { return s.place(new(Config)).accepts() }

// Bool reports whether the flag may stand without a value, meaning true.
func (s Setting) Bool() bool { return s.place(new(Config)).isBool() }

const (
	day    = 24 * time.Hour
	year   = 365 * day
	minKey = 32 // bytes of SECRET_KEY
	many   = math.MaxInt32
)

// Settings returns the table, in the order of the reference page.
func Settings() []Setting {
	var all []Setting
	for _, g := range []struct {
		name string
		rows []Setting
	}{
		{"Server", addressRows()},
		{"Server", processRows()},
		{"Server", httpsRows()},
		{"Server", stopRows()},
		{"Server", outboundRows()},
		{"Server", realmRows()},
		{"Branding", brandingRows()},
		{"Storage", storageRows()},
		{"Storage", sharedStoreRows()},
		{"Tokens", lifetimeRows()},
		{"Tokens", grantRows()},
		{"Sessions", sessionRows()},
		{"Sessions", browserRows()},
		{"Passwords", passwordRows()},
		{"Passwords", expiryRows()},
		{"Passwords", characterRows()},
		{"Passwords", passwordListRows()},
		{"Lockout", lockoutRows()},
		{"Two-step verification", mfaRows()},
		{"Accounts", accountRows()},
		{"Accounts", accountDataRows()},
		{"Accounts", passkeyRows()},
		{"Mail", mailRows()},
		{"Rate limits", rateRows()},
		{"Gateway", gatewayRows()},
		{"Audit", auditRows()},
		{"Audit", proofRows()},
		{"Audit", fileSinkRows()},
		{"Audit", syslogRows()},
		{"Audit", logServerRows()},
		{"Notices to administrators", noticeRows()},
		{"Registration", registrationRows()},
		{"Administration", administrationRows()},
		{"Monitoring", monitoringRows()},
		{"Monitoring", telemetryRows()},
		{"Backups", backupRows()},
	} {
		for _, row := range g.rows {
			row.Group = g.name
			all = append(all, row)
		}
	}
	return all
}

func addressRows() []Setting {
	return []Setting{
		{
			Name:    "ENVIRONMENT",
			Default: "development",
			Doc: "Deployment mode. production requires https, a SECRET_KEY, and two-step " +
				"verification for administrators.",
			place: func(c *Config) value {
				return choice[Environment]{&c.Server.Environment, []Environment{Development, Production}}
			},
		},
		{
			Name: "HOST",
			Doc: "The address to listen on. The default is localhost in development (both " +
				"loopback addresses) and * (all interfaces) in production.",
			place: func(c *Config) value {
				return text{&c.Server.Host, "an address, a host name, or *"}
			},
		},
		{
			Name:    "PORT",
			Default: "8080",
			Doc:     "The port to listen on; 0 picks a free one.",
			place:   func(c *Config) value { return number[int]{&c.Server.Port, 0, 65535} },
		},
		{
			Name:    "BASE_URL",
			Default: "http://localhost:8080",
			Doc: "The address that browsers and clients use, and the issuer in tokens. If it " +
				"is not set, it follows PORT, and is https if SSL_CERT is set.",
			place: func(c *Config) value {
				return text{&c.Server.BaseURL, "an http or https address without a path"}
			},
		},
		{
			Name: "TRUSTED_PROXIES",
			Doc: "The proxies in front of this server. The server trusts their X-Forwarded-* or " +
				"Forwarded and X-Request-Id, and they may ask /gateway/check about " +
				"requests (forward-auth). The default is none.",
			place: func(c *Config) value { return prefixes{&c.Server.TrustedProxies} },
		},
		{
			Name: "SSL_CERT",
			path: true,
			Doc: "The file with the certificate chain (PEM) for serving https directly. A " +
				"renewed file is loaded without a restart.",
			place: func(c *Config) value { return text{&c.Server.CertFile, "a path"} },
		},
		{
			Name:  "SSL_KEY",
			path:  true,
			Doc:   "The file with the certificate's private key (PEM).",
			place: func(c *Config) value { return text{&c.Server.KeyFile, "a path"} },
		},
	}
}

func processRows() []Setting {
	return []Setting{
		{
			Name:    "TLS_CLIENT_CERTS",
			Default: "false",
			Doc: "Request a client certificate in the TLS handshake, without requiring one, " +
				"so that tokens can be bound to it (RFC 8705 §3). Needs SSL_CERT. Browsers " +
				"that have certificates may ask their user to choose one.",
			place: func(c *Config) value { return boolean{&c.Server.ClientCerts} },
		},
		{
			Name:    "LOG_LEVEL",
			Default: "info",
			Doc:     "Log messages of this level and above.",
			place: func(c *Config) value {
				return choice[string]{&c.Server.LogLevel, []string{"debug", "info", "warn", "error"}}
			},
		},
		{
			Name: "LOG_FORMAT",
			Doc: "The format of log lines. The default is text in development and json in " +
				"production.",
			place: func(c *Config) value {
				return choice[string]{&c.Server.LogFormat, []string{"text", "json"}}
			},
		},
		{
			Name:    "REQUEST_BODY_LIMIT",
			Default: "65536",
			Doc:     "The largest request body, in bytes, that the server's own endpoints read.",
			place: func(c *Config) value {
				return number[int64]{&c.Server.RequestBodyLimit, 4096, 64 << 20}
			},
		},
	}
}

func stopRows() []Setting {
	return []Setting{
		{
			Name:    "DRAIN_DELAY",
			Default: "5",
			Doc: "How long a server that gets SIGTERM still accepts requests while /readyz " +
				"answers 503, so that load balancers stop sending them first. An interrupt " +
				"(Ctrl-C) skips it.",
			place: func(c *Config) value {
				return duration{p: &c.Server.DrainDelay, unit: time.Second, max: 10 * time.Minute}
			},
		},
		{
			Name:    "SHUTDOWN_TIMEOUT",
			Default: "20s",
			Doc:     "How long a stopping server then waits for requests in progress.",
			place: func(c *Config) value {
				return duration{p: &c.Server.ShutdownTimeout, unit: time.Second, max: time.Hour}
			},
		},
		{
			Name:    "PPROF_PORT",
			Default: "0",
			Doc: "A port on 127.0.0.1 that serves the profiles of the Go runtime under " +
				"/debug/pprof/; 0 turns them off.",
			place: func(c *Config) value { return number[int]{&c.Server.ProfilePort, 0, 65535} },
		},
	}
}

func brandingRows() []Setting {
	return append(nameRows(), lookRows()...)
}

// nameRows returns the texts and links that the operator's pages and messages have.
func nameRows() []Setting {
	return []Setting{
		{
			Name:    "APP_NAME",
			Default: "Gatehouse",
			Doc: "The name of this server for people: on its pages, and in authenticator apps " +
				"beside the account.",
			place: func(c *Config) value { return text{&c.Branding.AppName, "a name of at most 64 characters"} },
		},
		{
			Name: "APP_TAGLINE",
			Doc:  "A few words below the name on the sign-in page. The default is none.",
			place: func(c *Config) value {
				return text{&c.Branding.Tagline, "a text of at most 200 characters"}
			},
		},
		{
			Name: "COMPANY_NAME",
			Doc:  "Who runs this server, in the footers of pages and messages. The default is none.",
			place: func(c *Config) value {
				return text{&c.Branding.CompanyName, "a text of at most 200 characters"}
			},
		},
		{
			Name: "COMPANY_ADDRESS",
			Doc:  "The postal address behind COMPANY_NAME, in one line. The default is none.",
			place: func(c *Config) value {
				return text{&c.Branding.CompanyAddress, "a text of at most 200 characters"}
			},
		},
		{
			Name:  "TERMS_URL",
			Doc:   "The terms of service, which the footers of pages link to. The default is none.",
			place: func(c *Config) value { return text{&c.Branding.TermsURL, linkForm} },
		},
		{
			Name:  "PRIVACY_URL",
			Doc:   "The privacy policy, which the footers of pages link to. The default is none.",
			place: func(c *Config) value { return text{&c.Branding.PrivacyURL, linkForm} },
		},
		{
			Name: "SUPPORT_URL",
			Doc: "Where people get help when they cannot sign in: the footers of pages and the error " +
				"pages link to it. The default is none.",
			place: func(c *Config) value {
				return text{&c.Branding.SupportURL, "an https, http or mailto address, or a path of this server"}
			},
		},
	}
}

// What the settings of addresses accept.
const (
	linkForm    = "an https or http address, or a path of this server"
	pictureForm = "an https address, or a path of this server"
)

// lookRows returns how pages look.
func lookRows() []Setting {
	return []Setting{
		{
			Name: "LOGO_URL",
			Doc: "The logo on pages and, if it is a PNG, JPEG or GIF file, in messages. The default " +
				"is images/logo.png below TEMPLATES_PATH/public, if it exists, and else APP_NAME beside a mark.",
			place: func(c *Config) value { return text{&c.Branding.LogoURL, pictureForm} },
		},
		{
			Name: "LOGO_DARK_URL",
			Doc: "The logo on dark pages. The default is images/logo-dark.png below " +
				"TEMPLATES_PATH/public, if it exists, and else LOGO_URL on a white ground.",
			place: func(c *Config) value { return text{&c.Branding.LogoDarkURL, pictureForm} },
		},
		{
			Name: "FAVICON_URL",
			Doc: "The icon in the browser's tab. The default is images/favicon.ico below " +
				"TEMPLATES_PATH/public, if it exists, and else a mark in PRIMARY_COLOR.",
			place: func(c *Config) value { return text{&c.Branding.FaviconURL, pictureForm} },
		},
		{
			Name:    "THEME",
			Default: "auto",
			Doc:     "Whether pages are light or dark. auto follows the person's system.",
			place: func(c *Config) value {
				return choice[Theme]{&c.Branding.Theme, []Theme{ThemeAuto, ThemeLight, ThemeDark}}
			},
		},
		{
			Name: "PRIMARY_COLOR",
			Doc: "The color of the main button of each page. Other colors derive from it: links, icons " +
				"and focus rings are darker or lighter where text needs it to be legible (WCAG 2.2 AA). " +
				"In a YAML file put it in quotes. The default is a deep green.",
			place: func(c *Config) value {
				return shade{&c.Branding.PrimaryColor}
			},
		},
		{
			Name: "TEMPLATES_PATH",
			path: true,
			Doc: "A directory with templates that replace single pages and messages, and with files to " +
				"serve below public. It is checked at the start; in development, changes show at once.",
			place: func(c *Config) value { return text{&c.Branding.TemplatesPath, "a directory"} },
		},
	}
}

func storageRows() []Setting {
	return []Setting{
		{
			Name:    "DATABASE_URL",
			Default: "sqlite:data/gatehouse.db",
			Secret:  true,
			Doc:     "The database: a SQLite file, or a PostgreSQL database.",
			place: func(c *Config) value {
				return dsn{p: &c.Storage.DatabaseURL, schemes: []string{"sqlite", "postgres", "postgresql"}}
			},
		},
		{
			Name:    "DATABASE_STATEMENTS",
			Default: "auto",
			Doc: "How statements are sent to PostgreSQL. auto prepares them, but not behind a " +
				"connection pooler, which it detects. prepared is faster behind a pooler that " +
				"keeps sessions or prepared statements; exec and simple send each statement " +
				"anew, simple with the parameters in its text.",
			place: func(c *Config) value {
				return choice[string]{&c.Storage.Statements, []string{"auto", "prepared", "exec", "simple"}}
			},
		},
		{
			Name:   "DATABASE_LISTEN_URL",
			Secret: true,
			Doc: "The address of the same PostgreSQL database without a connection pooler, over " +
				"which servers hear of each other's changes at once. Behind a pooler without " +
				"it, they ask the database about three times a second. The default is none.",
			place: func(c *Config) value {
				return dsn{p: &c.Storage.ListenURL, schemes: []string{"postgres", "postgresql"}, none: true}
			},
		},
		{
			Name:    "SQLITE_CHECKPOINT",
			Default: "own",
			Doc: "Who moves changes from SQLite's write-ahead log into the main file: own, or " +
				"external for a program such as Litestream that copies the log.",
			place: func(c *Config) value {
				return choice[string]{&c.Storage.Checkpoint, []string{"own", "external"}}
			},
		},
	}
}

func sharedStoreRows() []Setting {
	return []Setting{
		{
			Name:   "REDIS_URL",
			Secret: true,
			Doc: "A Redis or Valkey server that several servers share for data that may be " +
				"lost: used DPoP proofs, and rate limits if RATE_LIMIT_STORE is redis. " +
				"redis://s1:26379,s2:26379,s3:26379/NAME finds the primary NAME through " +
				"Sentinels, and redis://n1:6379,n2:6379,n3:6379 is a cluster; rediss uses " +
				"TLS. The default is none.",
			place: func(c *Config) value {
				return dsn{p: &c.Storage.RedisURL, schemes: redisSchemes(), none: true}
			},
		},
		{
			Name:   "SECRET_KEY",
			Secret: true,
			Doc: "The key that encrypts private keys and two-step verification secrets, and " +
				"that hashes tokens: 32 bytes or more. Hexadecimal and base64 are decoded " +
				"if they yield at least 32 bytes; anything else is used as it is. In " +
				"development the server generates a key and stores it beside the SQLite " +
				"file; production requires one. Data encrypted with one key cannot be read " +
				"with another.",
			place: func(c *Config) value {
				return sealed{&c.Storage.SecretKey, "at least 32 bytes, for example from `openssl rand -hex 32`"}
			},
		},
		{
			Name:   "SECRET_KEY_PREVIOUS",
			Secret: true,
			Doc: "The SECRET_KEY of before, while servers change over to a new one. The server " +
				"says in its log when it can be removed.",
			place: func(c *Config) value {
				return sealed{&c.Storage.PreviousKey, "the former SECRET_KEY"}
			},
		},
	}
}

// redisSchemes returns the schemes that internal/cache knows.
func redisSchemes() []string {
	return []string{
		"redis", "rediss", "unix", "valkey", "valkeys",
		"redis-sentinel", "rediss-sentinel", "redis-cluster", "rediss-cluster",
	}
}

func lifetimeRows() []Setting {
	return slices.Concat([]Setting{
		{
			Name:    "ACCESS_TOKEN_TTL",
			Default: "3600",
			Doc:     "The lifetime of an access token.",
			place: func(c *Config) value {
				return seconds(&c.Tokens.AccessTTL, time.Second, 30*day)
			},
		},
		{
			Name:    "ID_TOKEN_TTL",
			Default: "3600",
			Doc:     "The lifetime of an ID token.",
			place:   func(c *Config) value { return seconds(&c.Tokens.IDTTL, time.Second, 30*day) },
		},
	}, refreshRows(), []Setting{
		{
			Name:    "CODE_TTL",
			Default: "60",
			Doc:     "The lifetime of an authorization code.",
			place: func(c *Config) value {
				return seconds(&c.Tokens.CodeTTL, time.Second, 10*time.Minute)
			},
		},
		{
			Name:    "DEVICE_CODE_TTL",
			Default: "600",
			Doc:     "How long a person has to approve a device.",
			place: func(c *Config) value {
				return seconds(&c.Tokens.DeviceCodeTTL, 30*time.Second, time.Hour)
			},
		},
	})
}

func refreshRows() []Setting {
	return []Setting{
		{
			Name:    "REFRESH_TOKEN_TTL",
			Default: "2592000",
			Doc: "The lifetime of a refresh token after its last use; 0 means that no refresh " +
				"tokens are issued, except to clients that have a lifetime of their own.",
			place: func(c *Config) value {
				return seconds(&c.Tokens.RefreshTTL, 0, 10*year)
			},
		},
		{
			Name:    "REFRESH_TOKEN_ABSOLUTE_TTL",
			Default: "31536000",
			Doc:     "How long a grant can be refreshed in all, however often it is used.",
			place: func(c *Config) value {
				return seconds(&c.Tokens.RefreshAbsoluteTTL, time.Second, 10*year)
			},
		},
		{
			Name:    "REFRESH_TOKEN_ROTATION",
			Default: "true",
			Doc: "Issue a new refresh token at every use, and revoke the grant when an old " +
				"one comes back (RFC 9700 §4.14). The refresh tokens of public clients " +
				"always rotate, unless a client is registered otherwise.",
			place: func(c *Config) value { return boolean{&c.Tokens.RefreshRotation} },
		},
		{
			Name:    "REFRESH_TOKEN_REUSE_INTERVAL",
			Default: "10",
			Doc: "How long a client may repeat a refresh whose response it lost: the previous " +
				"refresh token then yields the same successor again, so that nothing forks. " +
				"Later, or once the successor was used, the old token revokes the grant; 0 means " +
				"always.",
			place: func(c *Config) value { return seconds(&c.Tokens.RefreshReuse, 0, time.Minute) },
		},
		{
			Name:    "REVOCATION_MAX_AGE",
			Default: "300",
			Doc: "For how long a server that has lost its database accepts tokens and sessions by the " +
				"revocations that it knows. Afterwards the gateway, introspection and all other checks " +
				"answer 503 until it reads them again. At least 10; 0 means without end.",
			place: func(c *Config) value { return seconds(&c.Tokens.RevocationMaxAge, 0, 24*time.Hour) },
		},
	}
}

func grantRows() []Setting {
	return slices.Concat([]Setting{
		{
			Name:    "ACCESS_TOKEN_FORMAT",
			Default: "jwt",
			Doc: "The format of access tokens: signed JWTs that APIs verify themselves (RFC " +
				"9068), or opaque strings for introspection. A client may have its own.",
			place: func(c *Config) value {
				return choice[string]{&c.Tokens.AccessFormat, []string{"jwt", "opaque"}}
			},
		},
		{
			Name:    "JWT_ALGORITHM",
			Default: "RS256",
			Doc:     "The signature algorithm of tokens. A client may have its own.",
			place: func(c *Config) value {
				return choice[string]{&c.Tokens.Algorithm, []string{"RS256", "PS256", "ES256", "EdDSA"}}
			},
		},
		{
			Name:    "DPOP_NONCE",
			Default: "off",
			Doc: "Whether DPoP proofs must contain a recent nonce of this server (RFC 9449 " +
				"§8). required costs clients an additional request now and then, and makes " +
				"proofs signed in advance worthless.",
			place: func(c *Config) value {
				return choice[string]{&c.Tokens.DPoPNonce, []string{"off", "required"}}
			},
		},
		{
			Name:    "DEFAULT_SCOPES",
			Default: "openid",
			Doc:     "The scopes of a request that names none.",
			place: func(c *Config) value {
				return list{&c.Tokens.DefaultScopes, "scope names", scopeToken}
			},
		},
	}, restrictionRows())
}

func restrictionRows() []Setting {
	return []Setting{
		{
			Name:    "ENABLE_PASSWORD_GRANT",
			Default: "false",
			Doc: "Let the clients in PASSWORD_GRANT_ALLOWED_CLIENTS send a user's password " +
				"to the token endpoint. RFC 9700 §2.4 forbids it for new applications.",
			place: func(c *Config) value { return boolean{&c.Tokens.PasswordGrant} },
		},
		{
			Name: "PASSWORD_GRANT_ALLOWED_CLIENTS",
			Doc:  "The ids of the clients that may use the password grant.",
			place: func(c *Config) value {
				return list{&c.Tokens.PasswordClients, "client ids", printable}
			},
		},
		{
			Name:    "PKCE_REQUIRED",
			Default: "true",
			Doc: "Which clients must use PKCE: true means all public clients, all means " +
				"confidential clients, too. Public clients must use it with every value " +
				"(RFC 9700 §2.1.1). A confidential client can also be registered to require " +
				"it.",
			place: func(c *Config) value {
				return choice[string]{&c.Tokens.PKCERequired, []string{"true", "false", "all"}}
			},
		},
	}
}

func gatewayRows() []Setting {
	return []Setting{
		{
			Name: "ROUTES_FILE",
			path: true,
			Doc: "A YAML file with routes of the gateway, in addition to those created by " +
				"commands, and with the external issuers whose tokens routes accept. A " +
				"changed file takes effect within a second.",
			place: func(c *Config) value { return text{&c.Gateway.RoutesFile, "a path"} },
		},
	}
}

// seconds returns a duration whose plain numbers are seconds, for tokens.
func seconds(p *time.Duration, least, most time.Duration) value {
	return duration{
		p:    p,
		unit: time.Second,
		min:  least,
		max:  most,
	}
}

// scopeToken reports whether s is a scope-token (RFC 6749 §3.3).
func scopeToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// printable reports whether s consists of visible ASCII characters (client_id is VSCHAR,
// RFC 6749 appendix A.1).
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return s != ""
}
