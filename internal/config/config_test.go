package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite docs/SETTINGS.md")

const key = "mK7vQ2xW9tL4bR8nY3cF6hJ1pD5sG0zA-raw"

func load(t *testing.T, src Source) *Config {
	t.Helper()
	c, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := load(t, Source{})
	want := Config{
		Server: Server{
			Environment:      Development,
			Host:             "localhost",
			Port:             8080,
			BaseURL:          "http://localhost:8080",
			LogLevel:         "info",
			LogFormat:        "text",
			RequestBodyLimit: 65536,
			DrainDelay:       5 * time.Second,
			ShutdownTimeout:  20 * time.Second,

			RealmsOpen:        100,
			RealmsConnections: 16,
		},
		Storage: Storage{DatabaseURL: "sqlite:data/gatehouse.db", Statements: "auto", Checkpoint: "own"},
		Tokens: Tokens{
			AccessTTL:          time.Hour,
			IDTTL:              time.Hour,
			RefreshTTL:         30 * day,
			RefreshAbsoluteTTL: 365 * day,
			RefreshReuse:       10 * time.Second,
			RevocationMaxAge:   5 * time.Minute,
			RefreshRotation:    true,
			CodeTTL:            time.Minute,
			DeviceCodeTTL:      10 * time.Minute,
			AccessFormat:       "jwt",
			DPoPNonce:          "off",
			Algorithm:          "RS256",
			DefaultScopes:      []string{"openid"},
			PKCERequired:       "true",
		},
		Branding: Branding{AppName: "Gatehouse", Theme: ThemeAuto},
		Sessions: Sessions{TTL: 7 * day, Idle: 30 * time.Minute, Stay: "unchecked", Accounts: 5, Remember: true, RevokeTokens: true},
		Passwords: Passwords{
			MinLength:      12,
			AdminMinLength: 16,
			History:        5,
			ExpiryWarning:  14 * day,
			ExpiryGrace:    7 * day,
			Policy:         "composition",
			Uppercase:      true,
			Lowercase:      true,
			Numbers:        true,
			CheckCommon:    true,
			HashQueue:      64,
		},
		Lockout: Lockout{
			Threshold:   5,
			Duration:    30 * time.Minute,
			AutoUnlock:  true,
			IPThreshold: 10,
		},
		MFA: MFA{TrustBrowser: 30 * day, Grace: 7 * day},
		Accounts: Accounts{
			VerifyRequired:   true,
			VerifyTTL:        24 * time.Hour,
			HideExistence:    true,
			PasswordResetTTL: time.Hour,
			PasswordResets:   3,
			ResetWindow:      time.Hour,
			RecoveryDelay:    24 * time.Hour,
			LoginMethods:     []string{"password", "passkey"},
			DefaultLocale:    "en",
			DeletionGrace:    14 * 24 * time.Hour,
		},
		Passkeys: Passkeys{Attestation: "none", Verification: "preferred"},
		Mail:     Mail{Port: 587, Security: "starttls", GiveUp: 72 * time.Hour},
		RateLimits: RateLimits{
			Enabled:       true,
			By:            "ip",
			Store:         "memory",
			Token:         Limit{6000, time.Minute},
			Introspect:    Limit{60000, time.Minute},
			Revoke:        Limit{6000, time.Minute},
			Revocations:   Limit{600, time.Minute},
			UserInfo:      Limit{6000, time.Minute},
			TokenInfo:     Limit{6000, time.Minute},
			Login:         Limit{60, time.Minute},
			Device:        Limit{60, time.Minute},
			PasswordReset: Limit{3, time.Hour},
			Register:      Limit{10, time.Hour},
			Authorize:     Limit{600, time.Minute},
			Registration:  Limit{120, time.Minute},

			OpenRegistration: Limit{10, time.Hour},
			MailRequests:     5000,

			ValidatePassword: Limit{120, time.Minute},
		},
		Audit: Audit{
			Retention:       90 * day,
			Cleanup:         nightly(t),
			Issuance:        "each",
			Tree:            true,
			CheckpointEvery: time.Minute,
		},
		Shipping: Shipping{
			Format:         "json",
			FileKeep:       10,
			SyslogPort:     514,
			SyslogProtocol: "udp",
			ElasticIndex:   "gatehouse-audit",
		},
		Notices: Notices{Alerts: true, SecretWarning: 14 * day},
		Administration: Administration{
			Reauth:              15 * time.Minute,
			Impersonation:       time.Hour,
			NotifyImpersonation: true,
		},
		Backups: Backups{Keep: 7},

		Monitoring: Monitoring{MetricsHost: "127.0.0.1"},
		HTTPS:      HTTPS{Directory: "https://acme-v02.api.letsencrypt.org/directory"},
		Registration: Registration{
			Enabled: true,
			Open:    "off",
			Scopes:  []string{"openid", "profile", "email", "offline_access"},
			Sweep:   30 * 24 * time.Hour,
		},
	}
	c.origins, c.texts, c.source = nil, nil, nil
	// Printing would hide what differs in a Secret; nothing here is one.
	if !reflect.DeepEqual(*c, want) {
		t.Errorf("got  %+v\nwant %+v", *c, want)
	}
	if got := c.Hosts(); !slices.Equal(got, []string{"127.0.0.1", "::1"}) {
		t.Errorf("Hosts() = %q", got)
	}
}

func TestProductionDefaults(t *testing.T) {
	c := load(t, Source{
		Env: []string{"ENVIRONMENT=Production", "BASE_URL=https://id.example", "SECRET_KEY=" + key},
	})
	if got := c.Hosts(); !slices.Equal(got, []string{""}) {
		t.Errorf("Hosts() = %q", got)
	}
	if c.Server.LogFormat != "json" || !c.MFA.RequireAdmin || !c.Production() {
		t.Errorf("production defaults: %+v %+v", c.Server, c.MFA)
	}
	c = load(t, Source{Env: []string{
		"ENVIRONMENT=production", "SECRET_KEY=" + key,
		"HOST=[::]", "LOG_FORMAT=text", "REQUIRE_ADMIN_MFA=no",
	}})
	if c.Server.LogFormat != "text" || c.MFA.RequireAdmin || c.Hosts()[0] != "::" {
		t.Errorf("what is set stays set: %+v %+v", c.Server, c.MFA)
	}
}

func TestLastSourceWins(t *testing.T) {
	file := []byte("port: 1001\ncode_ttl: 31\nlog_level: warn\n")
	env := []string{"PORT=1002", "CODE_TTL=32", "port=7", "PORTS=8"}
	flags := map[string]string{"port": "1003", "log-level": ""}
	c := load(t, Source{
		File:     file,
		FileName: "g.yaml",
		Env:      env,
		Flags:    flags,
	})
	if c.Server.Port != 1003 || c.Tokens.CodeTTL != 32*time.Second || c.Server.LogLevel != "warn" || c.Tokens.IDTTL != time.Hour {
		t.Errorf("%+v %+v", c.Server, c.Tokens)
	}
	for name, from := range map[string]string{
		"PORT": "command line", "CODE_TTL": "environment",
		"LOG_LEVEL": "g.yaml line 3", "ID_TOKEN_TTL": "default",
	} {
		if got := c.Origin(name); got != from {
			t.Errorf("Origin(%s) = %q, want %q", name, got, from)
		}
	}
}

func TestValues(t *testing.T) {
	for _, tc := range []struct {
		env  string
		got  func(c *Config) any
		want any
	}{
		{"ACCESS_TOKEN_TTL=900", func(c *Config) any { return c.Tokens.AccessTTL }, 15 * time.Minute},
		{"ACCESS_TOKEN_TTL=1h30m", func(c *Config) any { return c.Tokens.AccessTTL }, 90 * time.Minute},
		{"ACCESS_TOKEN_TTL=", func(c *Config) any { return c.Tokens.AccessTTL }, time.Hour},
		{"ACCESS_TOKEN_TTL=  60\n", func(c *Config) any { return c.Tokens.AccessTTL }, time.Minute},
		{"LOCKOUT_DURATION=45", func(c *Config) any { return c.Lockout.Duration }, 45 * time.Minute},
		{"LOCKOUT_DURATION=2h", func(c *Config) any { return c.Lockout.Duration }, 2 * time.Hour},
		{"IDLE_TIMEOUT_MINUTES=0", func(c *Config) any { return c.Sessions.Idle }, time.Duration(0)},
		{"SESSION_DURATION_DAYS=14", func(c *Config) any { return c.Sessions.TTL }, 14 * day},
		{"SHUTDOWN_TIMEOUT=500ms", func(c *Config) any { return c.Server.ShutdownTimeout }, 500 * time.Millisecond},
		{"SINGLE_SESSION=ON", func(c *Config) any { return c.Sessions.Single }, true},
		{"PKCE_REQUIRED=ALL", func(c *Config) any { return c.Tokens.PKCERequired }, "all"},
		{"JWT_ALGORITHM=eddsa", func(c *Config) any { return c.Tokens.Algorithm }, "EdDSA"},
		{"DEFAULT_SCOPES=openid profile,email", func(c *Config) any { return c.Tokens.DefaultScopes }, []string{"openid", "profile", "email"}},
		{"PASSWORD_GRANT_ALLOWED_CLIENTS=a, b", func(c *Config) any { return c.Tokens.PasswordClients }, []string{"a", "b"}},
		{"TRUSTED_PROXIES=10.0.0.0/8 ::1,::ffff:192.0.2.1", func(c *Config) any { return c.Server.TrustedProxies }, []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.0.2.1/32"),
		}},
		{"TRUSTED_PROXIES=none", func(c *Config) any { return len(c.Server.TrustedProxies) }, 0},
		{"REDIS_URL=None", func(c *Config) any { return string(c.Storage.RedisURL) }, ""},
		{"REDIS_URL=REDIS://h:6379/1", func(c *Config) any { return string(c.Storage.RedisURL) }, "redis://h:6379/1"},
		{"DATABASE_URL=sqlite::memory:", func(c *Config) any { return string(c.Storage.DatabaseURL) }, "sqlite::memory:"},
		{"BASE_URL=https://ID.Example:443/", func(c *Config) any { return c.Server.BaseURL }, "https://id.example"},
		{"BASE_URL=http://[::1]:9000/", func(c *Config) any { return c.Server.BaseURL }, "http://[::1]:9000"},
		{"HOST=192.0.2.1", func(c *Config) any { return c.Hosts() }, []string{"192.0.2.1"}},
		{"HOST=*", func(c *Config) any { return c.Hosts() }, []string{""}},
		{"PORT=9090", func(c *Config) any { return c.Server.BaseURL }, "http://localhost:9090"},
		{"REQUIRE_MFA_ROLES=finance=0, editor=14 auditor", func(c *Config) any { return c.MFA.Roles }, []RoleGrace{
			{"finance", 0}, {"editor", 14 * day}, {"auditor", -1},
		}},
		{"PASSWORD_POLICY=NIST", func(c *Config) any { return c.Passwords.Nist() }, true},
		{"RATE_LIMIT_LOGIN_MAX=7", func(c *Config) any { return c.RateLimits.Login.Max }, 7},
		{"RATE_LIMIT_PASSWORD_RESET_WINDOW=2h", func(c *Config) any { return c.RateLimits.PasswordReset.Window }, 2 * time.Hour},
	} {
		t.Run(tc.env, func(t *testing.T) {
			c := load(t, Source{Env: []string{tc.env}})
			if d := cmp.Diff(tc.want, tc.got(c), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBaseURLFollows(t *testing.T) {
	c := load(t, Source{Env: []string{"PORT=0", "SSL_CERT=/c.pem", "SSL_KEY=/k.pem"}})
	c.ListeningOn(43210)
	if c.Server.BaseURL != "https://localhost:43210" || !c.TLS() {
		t.Errorf("BASE_URL %s", c.Server.BaseURL)
	}
	c = load(t, Source{Env: []string{"PORT=0", "BASE_URL=http://localhost:5"}})
	if c.ListeningOn(6); c.Server.BaseURL != "http://localhost:5" || c.Server.Port != 6 {
		t.Errorf("%+v", c.Server)
	}
}

func TestMasterKey(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb}, 32)
	for name, tc := range map[string]struct {
		in   string
		want []byte
	}{
		"hexadecimal":          {strings.Repeat("fb", 32), raw},
		"base64 padded":        {"+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=", raw},
		"base64url unpadded":   {"-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s", raw},
		"32 letters":           {strings.Repeat("x", 32), []byte(strings.Repeat("x", 32))},
		"40 letters and a dot": {strings.Repeat("x", 40) + ".", []byte(strings.Repeat("x", 40) + ".")},
	} {
		t.Run(name, func(t *testing.T) {
			c := load(t, Source{Env: []string{"SECRET_KEY=" + tc.in}})
			if got := c.MasterKey(); !bytes.Equal(got, tc.want) {
				t.Errorf("got %x", got)
			}
			text, _ := c.KeyTexts()
			if decoded := tc.in != string(tc.want); decoded != (string(text) == tc.in) || !decoded && text != nil {
				t.Errorf("the text is %q", text)
			}
		})
	}
	if load(t, Source{}).MasterKey() != nil {
		t.Error("a key out of nothing")
	}
}

func TestFileVariables(t *testing.T) {
	files := map[string]string{"/run/key": key + "\n", "/run/empty": " \n", "/run/port": "80a\n"}
	read := func(path string) ([]byte, error) {
		if s, ok := files[path]; ok {
			return []byte(s), nil
		}
		return nil, fmt.Errorf("open %s: no such file", path)
	}
	c := load(t, Source{
		Env:      []string{"SECRET_KEY_FILE=/run/key", "SSL_CERT_FILE=/etc/ssl/certs.pem", "SSL_KEY_FILE=/x"},
		ReadFile: read,
	})
	if string(c.MasterKey()) != key || c.TLS() {
		t.Errorf("key %q, certificate %q", string(c.Storage.SecretKey), c.Server.CertFile)
	}
	for env, want := range map[string]string{
		"SECRET_KEY_FILE=/run/none":                  "environment: SECRET_KEY_FILE cannot be read: open /run/none: no such file",
		"SECRET_KEY_FILE=/run/empty":                 `environment: SECRET_KEY_FILE names "/run/empty", which is empty`,
		"SECRET_KEY_FILE=/run/key SECRET_KEY=" + key: "environment: SECRET_KEY and SECRET_KEY_FILE are both set; keep one of them",
		"PORT_FILE=/run/port":                        `environment: PORT_FILE is "80a"; it must be a whole number from 0 to 65535`,
	} {
		_, err := Load(Source{Env: strings.Fields(env), ReadFile: read})
		if err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", env, err, want)
		}
	}
	if _, err := Load(Source{Env: []string{"PORT_FILE=/x"}}); err == nil {
		t.Error("a file was read out of nowhere")
	}
}

func TestRefusedValues(t *testing.T) {
	for env, want := range map[string]string{
		"ENVIRONMENT=prodution":                   `environment: ENVIRONMENT is "prodution"; it must be development or production; did you mean production?`,
		"PORT=65536":                              `environment: PORT is "65536"; it must be a whole number from 0 to 65535`,
		"PORT=0x10":                               `PORT is "0x10"`,
		"ACCESS_TOKEN_TTL=1 hour":                 `environment: ACCESS_TOKEN_TTL is "1 hour"; it must be seconds from 1 to 2592000, or a form like 90s, 15m, 1h30m or 7d`,
		"ACCESS_TOKEN_TTL=0":                      "from 1 to",
		"ACCESS_TOKEN_TTL=-5":                     "from 1 to",
		"ACCESS_TOKEN_TTL=-5s":                    "from 1 to",
		"CODE_TTL=9223372036854775807":            "from 1 to 600",
		"CODE_TTL=11m":                            "from 1 to 600",
		"IDLE_TIMEOUT_MINUTES=1h":                 `must be minutes from 0 to 525600`,
		"SESSION_DURATION_DAYS=0":                 "days from 1 to",
		"LOCKOUT_DURATION=forever":                "must be minutes from 1 to 525600, or a form like",
		"REFRESH_TOKEN_ROTATION=maybe":            "must be true or false (or yes/no, on/off, 1/0)",
		"JWT_ALGORITHM=RS265":                     "must be RS256, PS256, ES256 or EdDSA; did you mean RS256?",
		"JWT_ALGORITHM=none":                      "must be RS256, PS256, ES256 or EdDSA",
		"ACCESS_TOKEN_FORMAT=jwe":                 "must be jwt or opaque; did you mean jwt?",
		"LOG_LEVEL=verbose":                       "must be debug, info, warn or error",
		"LOG_FORMAT=xml":                          "must be text or json",
		"RATE_LIMIT_STORE=memcached":              "must be memory or redis",
		"RATE_LIMIT_BY=country":                   "must be ip, client or user",
		`DEFAULT_SCOPES=openid "x"`:               "must be scope names, separated by commas or spaces; item 2 is not",
		"PASSWORD_GRANT_ALLOWED_CLIENTS=é":        "item 1 is not",
		"TRUSTED_PROXIES=10.0.0.0/8 proxy":        "item 2 is not an address",
		"TRUSTED_PROXIES=10.0.0.1/8":              "item 1 has bits set beyond its length; did you mean 10.0.0.0/8?",
		"TRUSTED_PROXIES=10.0.0.0/33":             "item 1 is not a network",
		"TRUSTED_PROXIES=::ffff:10.0.0.0/96":      "write it as IPv4",
		"TRUSTED_PROXIES=fe80::1%eth0":            "item 1 is not an address",
		"LOCKOUT_WHITELIST=x":                     "item 1 is not an address",
		"RATE_LIMIT_TOKEN_MAX=-1":                 "a whole number from 0",
		"RATE_LIMIT_TOKEN_WINDOW=0":               "seconds from 1",
		"REQUEST_BODY_LIMIT=1":                    "from 4096",
		"PASSWORD_MIN_LENGTH=4":                   "from 8 to 64",
		"LOGIN_HASH_QUEUE=0":                      "from 1 to",
		"DATABASE_URL=mysql://root:pw@h/db":       "environment: DATABASE_URL must be sqlite:PATH, postgres://… or postgresql://…",
		"DATABASE_URL=postgres://u:p%w@h/db":      "write special characters of a password as %XX",
		"DATABASE_URL=postgres://u:p@w@h/db":      "write special characters of a password as %XX",
		"DATABASE_URL=postgres:db":                "must be a complete address",
		"DATABASE_URL=data/gatehouse.db":          "must be sqlite:PATH",
		"REDIS_URL=localhost:6379":                "must be redis://…, rediss://…, unix://…, valkey://…",
		"HOST=localhost:8080":                     `HOST is "localhost:8080"; it takes an address or a host name alone, and PORT the port`,
		"HOST=http://x":                           "HOST is",
		"SSL_CERT=/c.pem":                         "SSL_CERT and SSL_KEY belong together",
		"SSL_KEY=/k.pem":                          "SSL_CERT and SSL_KEY belong together",
		"HTTP_PORT=8081":                          "HTTP_PORT redirects to https",
		"ACME_EMAIL=ops@example.com":              "ACME_DOMAINS is not; set it, too",
		"ACME_EAB_KID=k":                          "ACME_EAB_KID and ACME_EAB_HMAC belong together",
		"ACME_DOMAINS=*.example.com":              "must be host names",
		"ACME_DOMAINS=192.0.2.7":                  "must be host names",
		"TLS_CLIENT_CERTS=true":                   "TLS_CLIENT_CERTS needs SSL_CERT and SSL_KEY",
		"BASE_URL=id.example.com":                 "must be an absolute address",
		"BASE_URL=ftp://id.example.com":           "must be an absolute address",
		"APP_NAME=" + strings.Repeat("x", 65):     "a name of 1 to 64 characters",
		"APP_NAME=a\x01b":                         "a name of 1 to 64 characters",
		"SUPPORT_URL=help.example.com":            "SUPPORT_URL is",
		"SUPPORT_URL=javascript:alert(1)":         "SUPPORT_URL is",
		"SUPPORT_URL=data:text/html,x":            "SUPPORT_URL is",
		"SUPPORT_URL=mailto:":                     "SUPPORT_URL is",
		"LOGO_URL=data:image/svg+xml,<svg/>":      "LOGO_URL is",
		"LOGO_URL=javascript:alert(1)":            "LOGO_URL is",
		"LOGO_URL=http://a.example/logo.png":      "LOGO_URL is",
		"LOGO_URL=//a.example/logo.png":           "LOGO_URL is",
		"LOGO_URL=/\\a.example/logo.png":          "LOGO_URL is",
		"LOGO_URL=logo.png":                       "LOGO_URL is",
		"LOGO_DARK_URL=blob:x":                    "LOGO_DARK_URL is",
		"FAVICON_URL=https:///icon.png":           "FAVICON_URL is",
		"FAVICON_URL=/a b.png":                    "FAVICON_URL is",
		"TERMS_URL=javascript:alert(1)":           "TERMS_URL is",
		"PRIVACY_URL=mailto:a@b.example":          "PRIVACY_URL is",
		"PRIMARY_COLOR=purple":                    "# and six hexadecimal digits",
		"PRIMARY_COLOR=#fff":                      "# and six hexadecimal digits",
		"THEME=darc":                              "did you mean dark?",
		"COMPANY_NAME=a\x01b":                     "COMPANY_NAME is",
		"COMPANY_ADDRESS=1 High St":               "COMPANY_NAME is not",
		"APP_TAGLINE=" + strings.Repeat("x", 201): "one line of at most 200",
		"BASE_URL=https://":                       "must be an absolute address",
		"BASE_URL=https:id.example":               "must be an absolute address",
		"BASE_URL=https://u:p@id.example":         "BASE_URL holds a username or password; leave it out",
		"BASE_URL=https://id.example?x=1":         "no query and no fragment",
		"BASE_URL=https://id.example#x":           "no query and no fragment",
		"BASE_URL=https://id.example/auth":        "without a path: use https://id.example",
		"SECRET_KEY=short":                        "SECRET_KEY has 5 bytes; it needs at least 32",
		"RATE_LIMIT_STORE=redis":                  "REDIS_URL is not set",
		"PASSWORD_MIN_LENGTH=20":                  "ADMIN_PASSWORD_MIN_LENGTH is 16, less than PASSWORD_MIN_LENGTH with 20",
		"ENVIRONMENT=production":                  "SECRET_KEY is required in production; make one with `openssl rand -hex 32`",
		"DATABASE_URL=postgres://h/db":            "SECRET_KEY is required with a PostgreSQL database",
		"SMTP=\x00":                               "",
		"LOG_LEVEL=in\x00fo":                      "holds a zero byte",
	} {
		t.Run(env, func(t *testing.T) {
			_, err := Load(Source{Env: []string{env}})
			if want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got  %v\nwant …%s…", err, want)
			}
		})
	}
}

func TestHTTPSInProduction(t *testing.T) {
	for base, ok := range map[string]bool{
		"http://id.example":     false,
		"http://10.0.0.1":       false,
		"http://127.0.0.1:8080": true,
		"http://[::1]":          true,
		"http://app.localhost":  true,
		"http://localhost.evil": false,
		"https://id.example":    true,
	} {
		_, err := Load(Source{
			Env: []string{"ENVIRONMENT=production", "SECRET_KEY=" + key, "BASE_URL=" + base},
		})
		if (err == nil) != ok {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestRefusedFiles(t *testing.T) {
	for file, want := range map[string]string{
		"port: 80\nacces_token_ttl: 1": "g.yaml line 2: acces_token_ttl is not a setting; did you mean access_token_ttl?",
		"PORT: 80":                     "g.yaml line 1: PORT is not a setting; did you mean port?",
		"colour: red":                  "g.yaml line 1: colour is not a setting",
		"port: 80\n\nport: 81":         "g.yaml line 3: port is set twice; the first time in line 1",
		"code_ttl: soon":               `g.yaml line 1: code_ttl is "soon"; it must be seconds from 1 to 600`,
		"port: {a: 1}":                 "port must be a single value or a list of single values",
		"default_scopes: [a, [b]]":     "must be a single value or a list",
		"- port: 80":                   "g.yaml: must be a list of `name: value` lines",
		"just words":                   "must be a list of",
		"port: 80\n---\nport: 81":      "more than one YAML document",
		"port: [":                      "g.yaml: not readable as YAML: line 1",
		"secret_key: *hunter2":         "a value begins with *; put it in quotes",
		"? [a]\n: b":                   "is not a setting",
		"<<: {port: 80}":               "<< is not a setting",
		"secret_key: hunter2":          "SECRET_KEY has 7 bytes",
		"database_url: oracle:hunter2": "g.yaml line 1: database_url must be sqlite:PATH",
	} {
		_, err := Load(Source{File: []byte(file), FileName: "g.yaml"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q\n got %v\nwant …%s…", file, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a secret is shown: %v", err)
		}
	}
	for _, file := range []string{"", "# nothing\n", "~", "---\n", "port:\n", "port: null", "default_scopes: [openid, profile]", "refresh_token_rotation: no"} {
		load(t, Source{File: []byte(file)})
	}
}

func TestRefusedFlags(t *testing.T) {
	_, err := Load(Source{
		Flags: map[string]string{"acess-token-ttl": "1", "CODE_TTL": "1", "port": "x"},
	})
	want := `command line: --port is "x"; it must be a whole number from 0 to 65535
command line: --CODE_TTL is not a setting; did you mean --code-ttl?
command line: --acess-token-ttl is not a setting; did you mean --access-token-ttl?`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestEveryProblemIsNamed(t *testing.T) {
	_, err := Load(Source{
		Env: []string{"ENVIRONMENT=production", "BASE_URL=http://id.example", "RATE_LIMIT_STORE=redis", "SSL_CERT=c"},
	})
	if p, ok := err.(Problems); !ok || len(p) != 4 || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("%v", err)
	}
}

func TestSecretsStayHidden(t *testing.T) {
	c := load(t, Source{Env: []string{"SECRET_KEY=" + key, "DATABASE_URL=postgres://u:hunter2@h/db"}})
	doc, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(doc) + fmt.Sprintf("%v %+v %#v %s %q %x", c, *c, c.Storage, c.Storage, c.Storage, c.Storage) +
		fmt.Sprintf("%d %d", c.Storage.DatabaseURL, c.Storage.SecretKey)
	if strings.Contains(shown, "hunter2") || strings.Contains(shown, key) || strings.Contains(shown, fmt.Sprintf("%x", key)) {
		t.Error(shown)
	}
	if !strings.Contains(shown, hidden) {
		t.Error("a secret that is set should be seen to be set")
	}
}

func TestLoadsAreIndependent(t *testing.T) {
	a := load(t, Source{Env: []string{"DEFAULT_SCOPES=a b", "TRUSTED_PROXIES=10.0.0.0/8", "PORT=1"}})
	b := load(t, Source{})
	a.Tokens.DefaultScopes[0] = "changed"
	if !slices.Equal(b.Tokens.DefaultScopes, []string{"openid"}) || b.Server.Port != 8080 || b.Server.TrustedProxies != nil || b.isSet("PORT") {
		t.Errorf("%+v", b)
	}
	c := load(t, Source{})
	b.Tokens.DefaultScopes[0] = "changed"
	if c.Tokens.DefaultScopes[0] != "openid" {
		t.Error("two configurations share a list")
	}
}

func TestTableIsWellFormed(t *testing.T) {
	seen := map[string]bool{}
	places := map[any]string{}
	var c Config
	for _, s := range Settings() {
		if seen[s.Name] || s.Name != strings.ToUpper(s.Name) || strings.HasSuffix(s.Name, "_FILE") && !s.path {
			t.Errorf("%s: name", s.Name)
		}
		seen[s.Name] = true
		if s.Group == "" || !strings.HasSuffix(s.Doc, ".") || s.Accepts() == "" {
			t.Errorf("%s: group, doc or accepted values are missing", s.Name)
		}
		v := s.place(&c)
		at := reflect.ValueOf(v).Field(0).Pointer()
		if other, taken := places[at]; taken && at != reflect.ValueOf(&c).Pointer() {
			t.Errorf("%s lands where %s does", s.Name, other)
		}
		places[at] = s.Name
	}
}

func TestReference(t *testing.T) {
	for page, want := range map[string]string{
		"../../docs/SETTINGS.md":    Reference(),
		"../../deploy/.env.example": EnvExample(),
	} {
		if *update {
			if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, string(got)); d != "" {
			t.Errorf("%s is out of date; run go test ./internal/config -update\n%s", page, d)
		}
	}
}

// The example can be used with a key, and its comments are the defaults.
func TestEnvExample(t *testing.T) {
	key := fmt.Sprintf("%x", sha256.Sum256([]byte("the example")))
	env := strings.Split(strings.Replace(EnvExample(), "\nSECRET_KEY=", "\nSECRET_KEY="+key, 1), "\n")
	for i, line := range env {
		env[i] = strings.TrimPrefix(line, "#")
	}
	c, err := Load(Source{Env: env})
	if err != nil || c.Server.Port != 8080 || !strings.EqualFold(string(c.Storage.SecretKey), key) {
		t.Errorf("%v", err)
	}
}

func FuzzFile(f *testing.F) {
	for _, s := range []string{"port: 80", "a: &a [*a]", "secret_key: *x", "? {}", "\xff", "port: !!binary aGk=", "---\n...\n---", "default_scopes:\n- a\n- b"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Load(Source{File: data, FileName: "f"})
		if (c == nil) == (err == nil) {
			t.Fatal("neither a value nor an error, or both")
		}
		if err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
	})
}

// An address may hold a password where none belongs: no error repeats it.
func TestErrorsRepeatNoPassword(t *testing.T) {
	for _, env := range [][]string{
		{"DATABASE_URL=postgres://u:a@pass-word@h/db"},
		{"DATABASE_URL=postgres://u:a@pass-word@h,h2/db"},
		{"SMTP_HOST=smtp://u:pass-word@h", "SMTP_FROM=a@b.example"},
		{"SMTP_HOST=u:pass-word@h:25", "SMTP_FROM=a@b.example"},
		{"SUPPORT_URL=https://u:pass-word@h:x"},
		{"LOGO_URL=https://u:pass-word@h/x.png"},
		{"BASE_URL=https://u:pass-word@h:x"},
	} {
		_, err := Load(Source{Env: append(env, "SECRET_KEY="+key)})
		if err == nil || strings.Contains(err.Error(), "pass-word") {
			t.Errorf("%s: %v", env, err)
		}
	}
	c := load(t, Source{Env: []string{"SECRET_KEY=" + key, "DATABASE_URL=postgres://h/db?user=u&password=a@b"}})
	if !strings.Contains(string(c.Storage.DatabaseURL), "a@b") {
		t.Errorf("a password in the query became %s", string(c.Storage.DatabaseURL))
	}
}

// The ways to sign in are words of a list, and there is at least one.
func TestLoginMethods(t *testing.T) {
	env := func(methods string, more ...string) Source {
		return Source{Env: append(more, "LOGIN_METHODS="+methods)}
	}
	c := load(t, env("passkey, PASSWORD passkey"))
	if want := []string{"passkey", "password"}; !slices.Equal(c.Accounts.LoginMethods, want) {
		t.Errorf("got %v, want %v", c.Accounts.LoginMethods, want)
	}
	load(t, env("email_code")) // development shows messages
	for methods, want := range map[string]string{
		"paskey":            "did you mean passkey?",
		"password,magiclnk": "did you mean magic_link?",
		",":                 "must name at least one of password, passkey, email_code or magic_link",
	} {
		if _, err := Load(env(methods)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", methods, err, want)
		}
	}
	_, err := Load(env("email_code", "BASE_URL=http://login.example"))
	if err == nil || !strings.Contains(err.Error(), "SMTP_HOST is not set") {
		t.Errorf("codes by mail without mail: %v", err)
	}
}

// In YAML, # begins a comment: a color without quotes would silently be no color.
func TestColorWithoutQuotes(t *testing.T) {
	_, err := Load(Source{File: []byte("port: 80\nprimary_color: #7c3aed # purple\n"), FileName: "f"})
	if err == nil || !strings.Contains(err.Error(), "f line 2: primary_color has no value") {
		t.Errorf("%v", err)
	}
	c, err := Load(Source{File: []byte("primary_color: '#7C3AED' # purple\nlogo_url: # none yet\ntheme: Dark\n"), FileName: "f"})
	if err != nil || c.Branding.PrimaryColor != "#7c3aed" || c.Branding.Theme != ThemeDark {
		t.Errorf("%+v %v", c, err)
	}
}

func TestBrandAddresses(t *testing.T) {
	for _, s := range []string{"/images/logo.png", "https://cdn.example/a/logo.svg?v=2", "/terms?lang=en#top"} {
		for _, name := range []string{"LOGO_URL", "LOGO_DARK_URL", "FAVICON_URL", "TERMS_URL", "PRIVACY_URL", "SUPPORT_URL"} {
			if _, err := Load(Source{Env: []string{name + "=" + s}}); err != nil {
				t.Errorf("%v", err)
			}
		}
	}
}

// What passkeys cannot be bound to, and what nobody would check, stops the start.
func TestPasskeySettings(t *testing.T) {
	base := "BASE_URL=https://login.example.com"
	c := load(t, Source{Env: []string{
		base, "PASSKEY_RP_ID=example.com", "PASSKEY_ATTESTATION=direct",
		"PASSKEY_AAGUIDS=ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4", "PASSKEY_RELATED_ORIGINS=https://example.org",
	}})
	if len(c.Passkeys.AAGUIDs) != 1 || len(c.Passkeys.Related) != 1 || c.Passkeys.ServerID != "example.com" {
		t.Errorf("got %+v", c.Passkeys)
	}
	for setting, want := range map[string]string{
		"PASSKEY_RP_ID=example.org":                                                           "must be login.example.com or a domain above it",
		"PASSKEY_RP_ID=ogin.example.com":                                                      "must be login.example.com",
		"PASSKEY_AAGUIDS=ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4":                                "needs PASSKEY_ATTESTATION=direct",
		"PASSKEY_AAGUIDS=ea9b8d66":                                                            "must be AAGUIDs",
		"PASSKEY_RELATED_ORIGINS=http://example.org":                                          "must be origins",
		"PASSKEY_RELATED_ORIGINS=https://example.org/a":                                       "must be origins",
		"PASSKEY_RELATED_ORIGINS=https://a https://b https://c https://d https://e https://f": "browsers look at 5",
		"PASSKEY_USER_VERIFICATION=requird":                                                   "did you mean required?",
	} {
		if _, err := Load(Source{Env: []string{base, setting}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", setting, err, want)
		}
	}
}

// nightly returns the default of AUDIT_LOG_CLEANUP_SCHEDULE.
func nightly(t *testing.T) (s Schedule) {
	t.Helper()
	if err := (schedule{&s}).parse("0 2 * * *"); err != nil {
		t.Fatal(err)
	}
	return s
}
