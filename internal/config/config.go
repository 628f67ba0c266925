// Package config holds the table of settings: their names, defaults, syntax and meaning.
//
// Load makes a Config from the contents of a file, a list of environment variables and the flags
// of a command. The package reads no file and no environment by itself, so one process can
// configure two servers. Only internal/app and internal/cli import it; all other packages receive
// the values that they need.
package config

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Config holds every setting, parsed and in range. Settings lists their names.
type Config struct {
	Server     Server
	Branding   Branding
	Storage    Storage
	Tokens     Tokens
	Sessions   Sessions
	Passwords  Passwords
	Lockout    Lockout
	MFA        MFA
	Accounts   Accounts
	Passkeys   Passkeys
	Mail       Mail
	RateLimits RateLimits
	Gateway    Gateway
	Audit      Audit
	Outbound   Outbound
	Shipping   Shipping
	Notices    Notices

	Registration Registration

	Administration Administration
	Backups        Backups

	Monitoring Monitoring
	HTTPS      HTTPS

	Realm string // the name of the realm that these are the settings of; "" for the server's own

	source *Source // what they were read from

	strangers []string // see Warnings

	origins map[string]string // setting name → where its value came from; absent for defaults
	texts   map[string]string // setting name → its value as it was given; absent for secrets and defaults
}

// Environment is the deployment mode.
type Environment string

// The environments.
const (
	Development Environment = "development"
	Production  Environment = "production"
)

// Server holds the settings of the process: addresses, TLS, log.
type Server struct {
	Environment      Environment
	Host             string // see Config.Hosts
	Port             int    // 0 lets the system choose; see Config.ListeningOn
	BaseURL          string // the issuer: absolute, without a trailing slash
	TrustedProxies   []netip.Prefix
	CertFile         string // PEM; set together with KeyFile
	KeyFile          string
	ClientCerts      bool          // request a client certificate in the TLS handshake
	LogLevel         string        // debug, info, warn, error
	LogFormat        string        // text, json
	RequestBodyLimit int64         // bytes
	DrainDelay       time.Duration // between a SIGTERM and the end of new requests
	ShutdownTimeout  time.Duration
	ProfilePort      int    // 0 means none
	RealmsFile       string // a YAML file, or ""
	// RealmsOpen and RealmsConnections bound what the realms of the process have at a time.
	RealmsOpen, RealmsConnections int
}

// Branding holds how the server presents itself to people.
type Branding struct {
	AppName        string // in titles, headings and authenticator apps
	Tagline        string // below the name on the sign-in page, or ""
	CompanyName    string // in the footers of pages and messages, or ""
	CompanyAddress string // behind the company's name, or ""
	LogoURL        string // https or a path of this server, or ""
	LogoDarkURL    string // the same, on dark pages
	FaviconURL     string // the same, for the browser's tab
	TermsURL       string // https, http or a path of this server, or ""
	PrivacyURL     string // the same
	SupportURL     string // the same, or mailto: where people get help
	Theme          Theme
	PrimaryColor   string // #rrggbb, or ""
	TemplatesPath  string // a directory, or ""
}

// Theme says whether pages are light or dark.
type Theme string

// The themes. ThemeAuto follows the person's system.
const (
	ThemeAuto  Theme = "auto"
	ThemeLight Theme = "light"
	ThemeDark  Theme = "dark"
)

// Storage holds the settings of the databases, and the master key.
type Storage struct {
	DatabaseURL Secret // sqlite:PATH or postgres://…; may hold a password
	Schema      string // of PostgreSQL, created if it is missing; "": as DatabaseURL says
	Statements  string // how PostgreSQL runs statements: auto, prepared, exec, simple
	ListenURL   Secret // postgres://…, or empty: where notifications arrive
	Checkpoint  string // who moves SQLite's log into the main file: own, external
	RedisURL    Secret // redis://…, or empty
	SecretKey   Secret // as written; see Config.MasterKey
	PreviousKey Secret // as written; see Config.PreviousMasterKey
}

// Tokens holds the lifetimes and formats of what the authorization server issues.
type Tokens struct {
	AccessTTL          time.Duration
	IDTTL              time.Duration
	RefreshTTL         time.Duration // since its last use
	RefreshAbsoluteTTL time.Duration // since the approval
	RefreshRotation    bool
	RefreshReuse       time.Duration // how long the previous token is still accepted; 0 means never
	RevocationMaxAge   time.Duration // of what is known of revocations; 0: as old as it is
	CodeTTL            time.Duration
	DeviceCodeTTL      time.Duration
	AccessFormat       string // jwt, opaque
	DPoPNonce          string // off, required
	Algorithm          string // RS256, PS256, ES256, EdDSA
	DefaultScopes      []string
	PasswordGrant      bool
	PasswordClients    []string
	PKCERequired       string // true or false: public clients; all: confidential ones, too
}

// Sessions holds the settings of browser sessions.
type Sessions struct {
	TTL          time.Duration
	Idle         time.Duration // 0 means no idle timeout
	Stay         string        // off, unchecked, checked
	Accounts     int           // that one browser may be signed in to at once
	Remember     bool          // browsers offer accounts after people have signed out
	Single       bool
	NotifyNew    bool
	RevokeTokens bool
}

// Passwords holds the policy for new passwords, and how many checks may wait.
type Passwords struct {
	MinLength      int
	AdminMinLength int
	History        int
	Expiry         time.Duration // 0 means never
	AdminExpiry    time.Duration // of administrators; 0 means as Expiry
	ExpiryWarning  time.Duration // before the end, in which people are warned
	ExpiryGrace    time.Duration // after the end, in which the change may be put off
	Policy         string        // composition, nist
	Uppercase      bool
	Lowercase      bool
	Numbers        bool
	Special        bool
	CheckCommon    bool
	CommonFile     string // further common passwords, one per line; "" means none
	Breached       string // a list of breached passwords; "" means none
	HashQueue      int
}

// Values of PASSWORD_POLICY.
const (
	PolicyComposition = "composition"
	PolicyNIST        = "nist"
)

// Nist reports whether new passwords are judged by length and lists alone.
func (p Passwords) Nist() bool { return p.Policy == PolicyNIST }

// Lockout holds the settings of locks after repeated wrong passwords.
type Lockout struct {
	Threshold   int // 0 turns the lockout of accounts off
	Duration    time.Duration
	AutoUnlock  bool
	Progressive bool
	ByIP        bool
	IPThreshold int
	Whitelist   []netip.Prefix
}

// MFA holds who needs two-step verification.
type MFA struct {
	Require      bool
	RequireAdmin bool
	TrustBrowser time.Duration // how long a browser may skip the second step; 0 means never
	Grace        time.Duration
	Roles        []RoleGrace // roles that need it, besides
}

// RoleGrace is a role whose bearers need two-step verification.
type RoleGrace struct {
	Role  string
	Grace time.Duration // negative: MFA.Grace
}

// Accounts holds the settings of joining and recovery, and the language of people who have chosen
// none.
type Accounts struct {
	SignUp           bool
	SignUpDomains    []string // as they were written; none is any
	VerifyRequired   bool     // who must verify the email address does so to sign in
	VerifyTTL        time.Duration
	HideExistence    bool // no page says whether an address has an account
	PasswordResetTTL time.Duration
	PasswordResets   int           // links that one mailbox is sent in PasswordResetWindow
	ResetWindow      time.Duration // the window of PasswordResets
	RecoveryDelay    time.Duration // the wait before a lost second step can be removed; 0 means it cannot
	LoginMethods     []string      // the kinds of factors that begin a sign-in
	DefaultLocale    string        // BCP 47
	DeletionGrace    time.Duration // between the wish to delete an account and its end
	Places           string        // a MaxMind database; "" means none
}

// Passkeys holds the policy for passkeys.
type Passkeys struct {
	ServerID     string   // the host name that they are bound to; "" means that of BASE_URL
	Attestation  string   // none or direct
	AAGUIDs      []string // of the authenticators that are accepted; none accepts all
	Verification string   // preferred or required
	Related      []string // other origins that may use them
}

// Mail holds the mail server and the sender.
type Mail struct {
	Host     string // "" means none
	Port     int
	User     string // "" means no authentication
	Password Secret
	From     string // an address
	FromName string // "" means the product's name
	Security string // starttls, tls, none
	MaxRate  int    // messages a second; 0 means no limit
	GiveUp   time.Duration

	NotifyRotation bool // of client secrets, to administrators
}

// A Limit is a maximum number of requests per window. Max 0 means no limit.
type Limit struct {
	Max    int
	Window time.Duration
}

// RateLimits holds the limits of the endpoints and what they apply to.
type RateLimits struct {
	Enabled       bool
	By            string // ip, client, user
	Store         string // memory, redis
	Whitelist     []netip.Prefix
	Token         Limit
	Introspect    Limit
	Revoke        Limit
	Revocations   Limit
	UserInfo      Limit
	TokenInfo     Limit
	Login         Limit
	Device        Limit
	PasswordReset Limit
	Register      Limit

	ValidatePassword Limit
	Authorize        Limit
	Registration     Limit
	OpenRegistration Limit

	MailRequests int // of each kind in an hour, from everywhere; 0 means no limit
}

// Gateway holds the settings of the gateway.
type Gateway struct {
	RoutesFile string // a YAML file, or ""
}

// Audit holds the settings of the audit log.
type Audit struct {
	Retention time.Duration // 0 means forever
	Cleanup   Schedule      // when what is older is removed
	Issuance  string        // each, aggregate
	Tree      bool          // the log is proved by a tree of hashes

	CheckpointFile  string // or ""
	CheckpointURL   string // or ""
	CheckpointKey   Secret // private keys, separated by spaces
	CheckpointEvery time.Duration
}

// A Secret is a value that no format verb, error or JSON document shows. Convert it to a string
// to use it.
type Secret string

const hidden = "[hidden]"

// Format writes a placeholder whatever the verb.
func (s Secret) Format(f fmt.State, _ rune) {
	if s != "" {
		fmt.Fprint(f, hidden)
	}
}

// MarshalText returns the placeholder.
func (s Secret) MarshalText() ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	return []byte(hidden), nil
}

// Production reports whether ENVIRONMENT is production.
func (c *Config) Production() bool { return c.Server.Environment == Production }

// Local reports whether BASE_URL names this machine, so that nobody can sign in from another one.
func (c *Config) Local() bool {
	u, err := url.Parse(c.Server.BaseURL)
	return err == nil && isLoopback(u.Hostname())
}

// TLS reports whether the server itself serves HTTPS.
func (c *Config) TLS() bool { return c.Server.CertFile != "" || c.ACME() }

// Hosts returns the addresses to listen on: both loopback addresses for localhost,
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

// ListeningOn records the port that the system chose for PORT=0. BASE_URL follows it unless it
// was set.
func (c *Config) ListeningOn(port int) {
	c.Server.Port = port
	if !c.isSet("BASE_URL") {
		c.Server.BaseURL = c.ownAddress()
	}
}

// Origin returns where the value of a setting came from, such as "gatehouse.yaml line 3" or
// "default".
func (c *Config) Origin(name string) string {
	if from, ok := c.origins[name]; ok {
		return from
	}
	return "default"
}

// Text returns the value of a setting as it was given. A default is "", and so is a secret.
func (c *Config) Text(name string) string { return c.texts[name] }

// MasterKey returns the bytes of SECRET_KEY: decoded if it is hexadecimal or base64 that yields
// at least 32 bytes, otherwise its characters. It returns nil if SECRET_KEY is not set.
func (c *Config) MasterKey() []byte { return keyBytes(string(c.Storage.SecretKey)) }

// PreviousMasterKey returns the bytes of SECRET_KEY_PREVIOUS, or nil.
func (c *Config) PreviousMasterKey() []byte { return keyBytes(string(c.Storage.PreviousKey)) }

// KeyTexts returns the characters of SECRET_KEY and of SECRET_KEY_PREVIOUS, each nil where the key
// is not set or not decoded. A server that makes its own key uses the content of the key file as it
// is, so that the same text as a setting has two meanings.
func (c *Config) KeyTexts() (current, previous []byte) {
	text := func(s Secret) []byte {
		if key := keyBytes(string(s)); string(key) != string(s) {
			return []byte(s)
		}
		return nil
	}
	return text(c.Storage.SecretKey), text(c.Storage.PreviousKey)
}

func keyBytes(s string) []byte {
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

// ownAddress returns the BASE_URL of a server for which none is set.
func (c *Config) ownAddress() string {
	scheme := "http"
	if c.ACME() {
		return "https://" + c.HTTPS.Domains[0]
	}
	if c.TLS() {
		scheme = "https"
	}
	return scheme + "://localhost:" + strconv.Itoa(c.Server.Port)
}

// DatabaseFile returns the path of the SQLite database, or "" for PostgreSQL.
func (c *Config) DatabaseFile() string {
	file, _ := strings.CutPrefix(string(c.Storage.DatabaseURL), "sqlite:")
	if c.Engine() != "sqlite" {
		return ""
	}
	return file
}

// Engine returns the name of the database engine: sqlite or postgres.
func (c *Config) Engine() string {
	if strings.HasPrefix(string(c.Storage.DatabaseURL), "sqlite:") {
		return "sqlite"
	}
	return "postgres"
}
