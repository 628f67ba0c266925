package config

import (
	"math"
	"strings"
	"time"
)

// A Setting is one row of the table: what users may set, and where it lands.
type Setting struct {
	Name    string // upper case, as in the environment
	Group   string
	Default string // in the form that users write; "" is none, or as Doc says
	Doc     string // what it does, for the reference page and the usage text
	Secret  bool   // its value is never shown

	path  bool // holds a path: has no …_FILE form
	place func(*Config) value
}

// Flag is the setting's name on the command line, without the leading dashes.
func (s Setting) Flag() string { return strings.ReplaceAll(strings.ToLower(s.Name), "_", "-") }

// Key is the setting's name in a YAML file.
func (s Setting) Key() string { return strings.ToLower(s.Name) }

// Accepts says in words what values it takes.
func (s Setting) Accepts() string { return s.place(new(Config)).accepts() }

// Bool reports whether the flag may stand without a value, meaning true.
func (s Setting) Bool() bool { return s.place(new(Config)).isBool() }

const (
	day    = 24 * time.Hour
	year   = 365 * day
	minKey = 32 // bytes of SECRET_KEY
	many   = math.MaxInt32
)

// Settings is the table, in the order of the reference page.
func Settings() []Setting {
	var all []Setting
	for _, g := range []struct {
		name string
		rows []Setting
	}{
		{"Server", serverRows()},
		{"Storage", storageRows()},
		{"Tokens", tokenRows()},
		{"Sessions", sessionRows()},
		{"Passwords", passwordRows()},
		{"Lockout", lockoutRows()},
		{"Second factor", mfaRows()},
		{"Rate limits", rateRows()},
		{"Gateway", gatewayRows()},
		{"Audit", auditRows()},
	} {
		for _, row := range g.rows {
			row.Group = g.name
			all = append(all, row)
		}
	}
	return all
}

func serverRows() []Setting {
	return []Setting{
		{Name: "ENVIRONMENT", Default: "development", Doc: "How strict the server is with itself: production demands https, a SECRET_KEY and a second factor of administrators.", place: func(c *Config) value {
			return choice[Environment]{&c.Server.Environment, []Environment{Development, Production}}
		}},
		{Name: "HOST", Doc: "The address to listen on; the default is localhost in development (both loopback addresses) and * (all interfaces) in production.", place: func(c *Config) value {
			return text{&c.Server.Host, "an address, a host name, or *"}
		}},
		{Name: "PORT", Default: "8080", Doc: "The port to listen on; 0 takes any free one.", place: func(c *Config) value {
			return number[int]{&c.Server.Port, 0, 65535}
		}},
		{Name: "BASE_URL", Default: "http://localhost:8080", Doc: "The address that browsers and clients use, which is also the issuer in tokens; when it is not set it follows PORT, and is https when SSL_CERT is set.", place: func(c *Config) value {
			return text{&c.Server.BaseURL, "an http or https address without a path"}
		}},
		{Name: "TRUSTED_PROXIES", Doc: "The proxies in front of this server: what they say of the caller in X-Forwarded-For and X-Request-Id is believed, and they may ask /gateway/check about requests that they hold; the default is none.", place: func(c *Config) value {
			return prefixes{&c.Server.TrustedProxies}
		}},
		{Name: "SSL_CERT", path: true, Doc: "The file with the certificate chain (PEM) for serving https directly; a renewed file is taken up without a restart.", place: func(c *Config) value {
			return text{&c.Server.CertFile, "a path"}
		}},
		{Name: "SSL_KEY", path: true, Doc: "The file with the certificate's private key (PEM).", place: func(c *Config) value {
			return text{&c.Server.KeyFile, "a path"}
		}},
		{Name: "TLS_CLIENT_CERTS", Default: "false", Doc: "Ask for a client certificate in the TLS handshake, without demanding one, so that tokens can be bound to it (RFC 8705 §3). Needs SSL_CERT; browsers that have certificates may ask their user to choose one.", place: func(c *Config) value {
			return boolean{&c.Server.ClientCerts}
		}},
		{Name: "LOG_LEVEL", Default: "info", Doc: "The least important messages that are still logged.", place: func(c *Config) value {
			return choice[string]{&c.Server.LogLevel, []string{"debug", "info", "warn", "error"}}
		}},
		{Name: "LOG_FORMAT", Doc: "How log lines look; the default is text in development and json in production.", place: func(c *Config) value {
			return choice[string]{&c.Server.LogFormat, []string{"text", "json"}}
		}},
		{Name: "REQUEST_BODY_LIMIT", Default: "65536", Doc: "The largest request body in bytes that an endpoint of ours reads.", place: func(c *Config) value {
			return number[int64]{&c.Server.RequestBodyLimit, 4096, 64 << 20}
		}},
		{Name: "SHUTDOWN_TIMEOUT", Default: "20s", Doc: "How long a stopping server waits for requests that it has begun.", place: func(c *Config) value {
			return duration{p: &c.Server.ShutdownTimeout, unit: time.Second, max: time.Hour}
		}},
		{Name: "PPROF_PORT", Default: "0", Doc: "A port of 127.0.0.1 that serves the profiles of the Go runtime under /debug/pprof/; 0 is none.", place: func(c *Config) value {
			return number[int]{&c.Server.ProfilePort, 0, 65535}
		}},
	}
}

func storageRows() []Setting {
	return []Setting{
		{Name: "DATABASE_URL", Default: "sqlite:data/gatehouse.db", Secret: true, Doc: "Where everything is kept: a SQLite file, or a PostgreSQL database.", place: func(c *Config) value {
			return dsn{p: &c.Storage.DatabaseURL, schemes: []string{"sqlite", "postgres", "postgresql"}}
		}},
		{Name: "REDIS_URL", Secret: true, Doc: "A Redis or Valkey that several servers share for what may be lost: DPoP proofs that were used, and rate limits where RATE_LIMIT_STORE says so; the default is none.", place: func(c *Config) value {
			return dsn{p: &c.Storage.RedisURL, schemes: []string{"redis", "rediss", "unix"}, none: true}
		}},
		{Name: "SECRET_KEY", Secret: true, Doc: "The key that seals private keys and second factors and hashes tokens: 32 bytes or more. Hexadecimal and base64 are decoded when they give at least 32 bytes, anything else is taken as it stands. In development it is made and kept beside the SQLite file; production requires it. What was sealed with one key cannot be read with another.", place: func(c *Config) value {
			return sealed{&c.Storage.SecretKey, "at least 32 bytes, for example from `openssl rand -hex 32`"}
		}},
	}
}

func tokenRows() []Setting {
	seconds := func(p *time.Duration, least, most time.Duration) value {
		return duration{p: p, unit: time.Second, min: least, max: most}
	}
	return []Setting{
		{Name: "ACCESS_TOKEN_TTL", Default: "3600", Doc: "How long an access token lives.", place: func(c *Config) value {
			return seconds(&c.Tokens.AccessTTL, time.Second, 30*day)
		}},
		{Name: "ID_TOKEN_TTL", Default: "3600", Doc: "How long an ID token lives.", place: func(c *Config) value {
			return seconds(&c.Tokens.IDTTL, time.Second, 30*day)
		}},
		{Name: "REFRESH_TOKEN_TTL", Default: "2592000", Doc: "How long a refresh token lives after its last use.", place: func(c *Config) value {
			return seconds(&c.Tokens.RefreshTTL, time.Second, 10*year)
		}},
		{Name: "REFRESH_TOKEN_ABSOLUTE_TTL", Default: "31536000", Doc: "How long an approval can be refreshed at all, however often it is used.", place: func(c *Config) value {
			return seconds(&c.Tokens.RefreshAbsoluteTTL, time.Second, 10*year)
		}},
		{Name: "REFRESH_TOKEN_ROTATION", Default: "true", Doc: "Give a new refresh token at every use and end the approval when an old one comes back (RFC 9700 §4.14). Public clients always rotate.", place: func(c *Config) value {
			return boolean{&c.Tokens.RefreshRotation}
		}},
		{Name: "REFRESH_TOKEN_REUSE_INTERVAL", Default: "0", Doc: "How long the refresh token before the current one is still taken, for clients whose answers get lost.", place: func(c *Config) value {
			return seconds(&c.Tokens.RefreshReuse, 0, time.Minute)
		}},
		{Name: "CODE_TTL", Default: "60", Doc: "How long an authorization code lives.", place: func(c *Config) value {
			return seconds(&c.Tokens.CodeTTL, time.Second, 10*time.Minute)
		}},
		{Name: "DEVICE_CODE_TTL", Default: "600", Doc: "How long a person has to approve a device.", place: func(c *Config) value {
			return seconds(&c.Tokens.DeviceCodeTTL, 30*time.Second, time.Hour)
		}},
		{Name: "ACCESS_TOKEN_FORMAT", Default: "jwt", Doc: "What access tokens are: signed JWTs that APIs check themselves (RFC 9068), or opaque strings for introspection. A client may have its own.", place: func(c *Config) value {
			return choice[string]{&c.Tokens.AccessFormat, []string{"jwt", "opaque"}}
		}},
		{Name: "JWT_ALGORITHM", Default: "RS256", Doc: "The signature of tokens. A client may have its own.", place: func(c *Config) value {
			return choice[string]{&c.Tokens.Algorithm, []string{"RS256", "PS256", "ES256", "EdDSA"}}
		}},
		{Name: "DPOP_NONCE", Default: "off", Doc: "Whether DPoP proofs must carry a nonce that this server gave out a moment ago (RFC 9449 §8): required costs clients one more request now and then, and makes proofs that were signed in advance worthless.", place: func(c *Config) value {
			return choice[string]{&c.Tokens.DPoPNonce, []string{"off", "required"}}
		}},
		{Name: "DEFAULT_SCOPES", Default: "openid", Doc: "The scopes of a request that names none.", place: func(c *Config) value {
			return list{&c.Tokens.DefaultScopes, "scope names", scopeToken}
		}},
		{Name: "ENABLE_PASSWORD_GRANT", Default: "false", Doc: "Let the clients in PASSWORD_GRANT_ALLOWED_CLIENTS send a user's password to the token endpoint. RFC 9700 §2.4 advises against it.", place: func(c *Config) value {
			return boolean{&c.Tokens.PasswordGrant}
		}},
		{Name: "PASSWORD_GRANT_ALLOWED_CLIENTS", Doc: "The client ids that may use the password grant.", place: func(c *Config) value {
			return list{&c.Tokens.PasswordClients, "client ids", printable}
		}},
		{Name: "PKCE_REQUIRED", Default: "true", Doc: "Who must use PKCE: true is every public client, all is confidential ones as well. Public clients must with any value (RFC 9700 §2.1.1); single confidential clients can be made to.", place: func(c *Config) value {
			return choice[string]{&c.Tokens.PKCERequired, []string{"true", "false", "all"}}
		}},
	}
}

func sessionRows() []Setting {
	return []Setting{
		{Name: "SESSION_DURATION_DAYS", Default: "7", Doc: "How many days after signing in a browser must sign in again.", place: func(c *Config) value {
			return duration{p: &c.Sessions.TTL, unit: day, min: day, max: 10 * year, plain: true}
		}},
		{Name: "IDLE_TIMEOUT_MINUTES", Default: "30", Doc: "How many minutes without use end a browser's session; 0 is no such limit.", place: func(c *Config) value {
			return duration{p: &c.Sessions.Idle, unit: time.Minute, max: year, plain: true}
		}},
		{Name: "SINGLE_SESSION", Default: "false", Doc: "End a user's other browser sessions when they sign in.", place: func(c *Config) value {
			return boolean{&c.Sessions.Single}
		}},
		{Name: "NOTIFY_NEW_SESSION", Default: "false", Doc: "Write to users when they sign in from a new device. This release sends no mail: it says so at the start and goes on without.", place: func(c *Config) value {
			return boolean{&c.Sessions.NotifyNew}
		}},
		{Name: "REVOKE_TOKENS_ON_SESSION_END", Default: "true", Doc: "Revoke the tokens that were given in a session when the user ends it; offline access stays.", place: func(c *Config) value {
			return boolean{&c.Sessions.RevokeTokens}
		}},
	}
}

func passwordRows() []Setting {
	return []Setting{
		{Name: "PASSWORD_MIN_LENGTH", Default: "12", Doc: "The least number of characters of a password.", place: func(c *Config) value {
			return number[int]{&c.Passwords.MinLength, 8, 64}
		}},
		{Name: "ADMIN_PASSWORD_MIN_LENGTH", Default: "16", Doc: "The same for administrators; not less than PASSWORD_MIN_LENGTH.", place: func(c *Config) value {
			return number[int]{&c.Passwords.AdminMinLength, 8, 64}
		}},
		{Name: "PASSWORD_HISTORY_COUNT", Default: "5", Doc: "How many former passwords may not be chosen again.", place: func(c *Config) value {
			return number[int]{&c.Passwords.History, 0, 24}
		}},
		{Name: "PASSWORD_EXPIRY_DAYS", Default: "0", Doc: "After how many days a password must be changed; 0 is never.", place: func(c *Config) value {
			return duration{p: &c.Passwords.Expiry, unit: day, max: 10 * year, plain: true}
		}},
		{Name: "REQUIRE_UPPERCASE", Default: "true", Doc: "Passwords need an upper-case letter.", place: func(c *Config) value {
			return boolean{&c.Passwords.Uppercase}
		}},
		{Name: "REQUIRE_LOWERCASE", Default: "true", Doc: "Passwords need a lower-case letter.", place: func(c *Config) value {
			return boolean{&c.Passwords.Lowercase}
		}},
		{Name: "REQUIRE_NUMBERS", Default: "true", Doc: "Passwords need a digit.", place: func(c *Config) value {
			return boolean{&c.Passwords.Numbers}
		}},
		{Name: "REQUIRE_SPECIAL", Default: "false", Doc: "Passwords need a character that is neither letter nor digit.", place: func(c *Config) value {
			return boolean{&c.Passwords.Special}
		}},
		{Name: "CHECK_COMMON_PASSWORDS", Default: "true", Doc: "Refuse passwords that are known to be common.", place: func(c *Config) value {
			return boolean{&c.Passwords.CheckCommon}
		}},
		{Name: "LOGIN_HASH_QUEUE", Default: "64", Doc: "How many sign-ins may wait for their password to be checked; the next one is answered 503. Each check needs 19 MiB while it runs, and as many run at once as there are processors.", place: func(c *Config) value {
			return number[int]{&c.Passwords.HashQueue, 1, 100_000}
		}},
	}
}

func lockoutRows() []Setting {
	return []Setting{
		{Name: "LOCKOUT_THRESHOLD", Default: "5", Doc: "How many wrong passwords lock an account; 0 is never.", place: func(c *Config) value {
			return number[int]{&c.Lockout.Threshold, 0, 1000}
		}},
		{Name: "LOCKOUT_DURATION", Default: "30", Doc: "How long a lock lasts; a plain number is minutes.", place: func(c *Config) value {
			return duration{p: &c.Lockout.Duration, unit: time.Minute, min: time.Second, max: year}
		}},
		{Name: "ENABLE_AUTO_UNLOCK", Default: "true", Doc: "Unlock by itself after LOCKOUT_DURATION; else an administrator must.", place: func(c *Config) value {
			return boolean{&c.Lockout.AutoUnlock}
		}},
		{Name: "PROGRESSIVE_LOCKOUT", Default: "false", Doc: "Make every lock of an account twice as long as the one before.", place: func(c *Config) value {
			return boolean{&c.Lockout.Progressive}
		}},
		{Name: "LOCKOUT_BY_IP", Default: "false", Doc: "Also lock out an address after wrong passwords for any accounts.", place: func(c *Config) value {
			return boolean{&c.Lockout.ByIP}
		}},
		{Name: "IP_LOCKOUT_THRESHOLD", Default: "10", Doc: "How many wrong passwords lock out an address.", place: func(c *Config) value {
			return number[int]{&c.Lockout.IPThreshold, 1, 1_000_000}
		}},
		{Name: "LOCKOUT_WHITELIST", Doc: "Addresses that are never locked out.", place: func(c *Config) value {
			return prefixes{&c.Lockout.Whitelist}
		}},
	}
}

func mfaRows() []Setting {
	return []Setting{
		{Name: "REQUIRE_MFA", Default: "false", Doc: "Every user needs a second factor.", place: func(c *Config) value {
			return boolean{&c.MFA.Require}
		}},
		{Name: "REQUIRE_ADMIN_MFA", Doc: "Administrators need a second factor; the default is false in development and true in production.", place: func(c *Config) value {
			return boolean{&c.MFA.RequireAdmin}
		}},
		{Name: "MFA_GRACE_PERIOD_DAYS", Default: "7", Doc: "How many days a user who needs a second factor may still sign in without one.", place: func(c *Config) value {
			return duration{p: &c.MFA.Grace, unit: day, max: year, plain: true}
		}},
	}
}

func rateRows() []Setting {
	rows := []Setting{
		{Name: "RATE_LIMIT_ENABLED", Default: "true", Doc: "Limit how often an endpoint may be called.", place: func(c *Config) value {
			return boolean{&c.RateLimits.Enabled}
		}},
		{Name: "RATE_LIMIT_BY", Default: "ip", Doc: "What callers are told apart by; an address counts where there is no client or user.", place: func(c *Config) value {
			return choice[string]{&c.RateLimits.By, []string{"ip", "client", "user"}}
		}},
		{Name: "RATE_LIMIT_STORE", Default: "memory", Doc: "Where the counts are: in each server's memory, or in the Redis of REDIS_URL for all of them together.", place: func(c *Config) value {
			return choice[string]{&c.RateLimits.Store, []string{"memory", "redis"}}
		}},
		{Name: "RATE_LIMIT_WHITELIST", Doc: "Addresses that are never limited.", place: func(c *Config) value {
			return prefixes{&c.RateLimits.Whitelist}
		}},
	}
	for _, e := range []struct {
		name, max, window, what string
		at                      func(*Config) *Limit
	}{
		{"TOKEN", "6000", "60", "the token endpoint", func(c *Config) *Limit { return &c.RateLimits.Token }},
		{"LOGIN", "60", "60", "sign-ins", func(c *Config) *Limit { return &c.RateLimits.Login }},
		{"DEVICE", "60", "60", "new device codes and entered user codes", func(c *Config) *Limit { return &c.RateLimits.Device }},
		{"PASSWORD_RESET", "3", "3600", "password resets", func(c *Config) *Limit { return &c.RateLimits.PasswordReset }},
		{"REGISTER", "10", "3600", "registrations of users and clients (this release serves none)", func(c *Config) *Limit { return &c.RateLimits.Register }},
	} {
		rows = append(rows,
			Setting{Name: "RATE_LIMIT_" + e.name + "_MAX", Default: e.max, Doc: "How many requests a caller has for " + e.what + " in the window; 0 is no limit.", place: func(c *Config) value {
				return number[int]{&e.at(c).Max, 0, many}
			}},
			Setting{Name: "RATE_LIMIT_" + e.name + "_WINDOW", Default: e.window, Doc: "The window for " + e.what + ".", place: func(c *Config) value {
				return duration{p: &e.at(c).Window, unit: time.Second, min: time.Second, max: 30 * day}
			}},
		)
	}
	return rows
}

func gatewayRows() []Setting {
	return []Setting{
		{Name: "ROUTES_FILE", path: true, Doc: "A YAML file with routes of the gateway and with the foreign issuers whose tokens may pass, beside the routes that are made by commands; a changed file is in force within a second.", place: func(c *Config) value {
			return text{&c.Gateway.RoutesFile, "a path"}
		}},
	}
}

func auditRows() []Setting {
	return []Setting{
		{Name: "AUDIT_LOG_RETENTION_DAYS", Default: "90", Doc: "How many days audit records are kept; 0 is for ever.", place: func(c *Config) value {
			return duration{p: &c.Audit.Retention, unit: day, max: 100 * year, plain: true}
		}},
		{Name: "AUDIT_ISSUANCE", Default: "each", Doc: "How the issuing of tokens is recorded where nobody signs in (client credentials, refresh): each is one record per token, stored before the answer; aggregate is one record per client and ten seconds with their number.", place: func(c *Config) value {
			return choice[string]{&c.Audit.Issuance, []string{"each", "aggregate"}}
		}},
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

// printable reports whether s is made of visible ASCII (client_id is VSCHAR, RFC 6749 appendix A.1).
func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return s != ""
}
