// Package config is the one table of settings: what they are called, what they
// default to, how they are read and what they mean.
//
// A Config is a plain value made by Load from what it is handed: the bytes of a
// file, a list of environment variables, the flags of a command. The package
// looks at nothing by itself, so two servers in one process can be configured
// side by side. Only the wiring in internal/app knows it; every other part gets
// the values it needs.
package config

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Config holds every setting, parsed and in range. The names in the comments of
// the table (see Settings) are those that users write.
type Config struct {
	Server     Server
	Storage    Storage
	Tokens     Tokens
	Sessions   Sessions
	Passwords  Passwords
	Lockout    Lockout
	MFA        MFA
	RateLimits RateLimits
	Gateway    Gateway
	Audit      Audit

	origins map[string]string // setting name → where its value came from; absent for defaults
}

// Environment says how strict the server is with itself.
type Environment string

// The environments.
const (
	Development Environment = "development"
	Production  Environment = "production"
)

// Server is how the process listens and speaks.
type Server struct {
	Environment      Environment
	Host             string // see Config.Hosts
	Port             int    // 0 lets the system choose; see Config.ListeningOn
	BaseURL          string // the issuer: absolute, without a trailing slash
	TrustedProxies   []netip.Prefix
	CertFile         string // PEM; set together with KeyFile
	KeyFile          string
	ClientCerts      bool   // ask for a client certificate in the TLS handshake
	LogLevel         string // debug, info, warn, error
	LogFormat        string // text, json
	RequestBodyLimit int64  // bytes
	ShutdownTimeout  time.Duration
	ProfilePort      int // 0 is none
}

// Storage is where things are kept.
type Storage struct {
	DatabaseURL Secret // sqlite:PATH or postgres://…; may hold a password
	RedisURL    Secret // redis://…, or empty
	SecretKey   Secret // as written; see Config.MasterKey
}

// Tokens are the lifetimes and kinds of what the authorization server gives.
type Tokens struct {
	AccessTTL          time.Duration
	IDTTL              time.Duration
	RefreshTTL         time.Duration // since its last use
	RefreshAbsoluteTTL time.Duration // since the approval
	RefreshRotation    bool
	RefreshReuse       time.Duration // how long the token before the current one is still taken; 0 is never
	CodeTTL            time.Duration
	DeviceCodeTTL      time.Duration
	AccessFormat       string // jwt, opaque
	DPoPNonce          string // off, required
	Algorithm          string // RS256, PS256, ES256, EdDSA
	DefaultScopes      []string
	PasswordGrant      bool
	PasswordClients    []string
	PKCERequired       string // true or false: of public clients alone; all: of confidential ones, too
}

// Sessions are the browser's sessions.
type Sessions struct {
	TTL          time.Duration
	Idle         time.Duration // 0 is no idle limit
	Single       bool
	NotifyNew    bool
	RevokeTokens bool
}

// Passwords is the policy for new passwords, and how many are checked at once.
type Passwords struct {
	MinLength      int
	AdminMinLength int
	History        int
	Expiry         time.Duration // 0 is never
	Uppercase      bool
	Lowercase      bool
	Numbers        bool
	Special        bool
	CheckCommon    bool
	HashQueue      int
}

// Lockout is what repeated wrong passwords lead to.
type Lockout struct {
	Threshold   int // 0 switches lockout of accounts off
	Duration    time.Duration
	AutoUnlock  bool
	Progressive bool
	ByIP        bool
	IPThreshold int
	Whitelist   []netip.Prefix
}

// MFA says who needs a second factor.
type MFA struct {
	Require      bool
	RequireAdmin bool
	Grace        time.Duration
}

// Limit is a number of requests in a stretch of time. Max 0 is no limit.
type Limit struct {
	Max    int
	Window time.Duration
}

// RateLimits are the limits of each endpoint and how callers are told apart.
type RateLimits struct {
	Enabled       bool
	By            string // ip, client, user
	Store         string // memory, redis
	Whitelist     []netip.Prefix
	Token         Limit
	Login         Limit
	Device        Limit
	PasswordReset Limit
	Register      Limit
}

// Gateway is what stands between callers and other people's servers.
type Gateway struct {
	RoutesFile string // a YAML file, or ""
}

// Audit is how long the record of events is kept.
type Audit struct {
	Retention time.Duration // 0 is for ever
	Issuance  string        // each, aggregate
}

// Secret is a value that no format verb, error or JSON document shows. Convert it to a string to use it.
type Secret string

const hidden = "[hidden]"

// Format writes a placeholder whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		fmt.Fprint(f, hidden)
	}
}

// MarshalText gives the placeholder.
func (s Secret) MarshalText() ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	return []byte(hidden), nil
}

// Production reports whether ENVIRONMENT is production.
func (c *Config) Production() bool { return c.Server.Environment == Production }

// TLS reports whether the server itself speaks HTTPS.
func (c *Config) TLS() bool { return c.Server.CertFile != "" }

// Hosts gives the addresses to listen on: both loopback addresses for localhost,
// one empty string for all interfaces, or the one address in HOST.
func (c *Config) Hosts() []string {
	switch c.Server.Host {
	case "localhost":
		return []string{"127.0.0.1", "::1"}
	case "*", "":
		return []string{""}
	}
	return []string{c.Server.Host}
}

// ListeningOn records the port that the system chose for PORT=0. BASE_URL follows it unless it was set.
func (c *Config) ListeningOn(port int) {
	c.Server.Port = port
	if !c.isSet("BASE_URL") {
		c.Server.BaseURL = c.ownAddress()
	}
}

// Origin says where the value of a setting came from, as in "gatehouse.yaml line 3" or "default".
func (c *Config) Origin(name string) string {
	if from, ok := c.origins[name]; ok {
		return from
	}
	return "default"
}

// MasterKey gives the bytes of SECRET_KEY: decoded when it is hexadecimal or base64
// that yields at least 32 bytes, else the characters themselves. It is nil when unset.
func (c *Config) MasterKey() []byte {
	s := string(c.Storage.SecretKey)
	if s == "" {
		return nil
	}
	if b, err := hex.DecodeString(s); err == nil && len(b) >= minKey {
		return b
	}
	// One alphabet covers both kinds of base64, padded or not.
	plain := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(s), "=")
	if b, err := base64.RawStdEncoding.DecodeString(plain); err == nil && len(b) >= minKey {
		return b
	}
	return []byte(s)
}

func (c *Config) isSet(name string) bool { _, ok := c.origins[name]; return ok }

// ownAddress is the BASE_URL of a server nobody gave a name.
func (c *Config) ownAddress() string {
	scheme := "http"
	if c.TLS() {
		scheme = "https"
	}
	return scheme + "://localhost:" + strconv.Itoa(c.Server.Port)
}
