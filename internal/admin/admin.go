// Package admin holds what administrators can do, each operation once: it checks what the actor
// may do, validates the input and stores the change together with its audit event. The command
// line, the management API and the console call the same operations and hold no rules.
package admin

import (
	"context"
	"net/netip"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// Config is what the settings say about management.
type Config struct {
	Issuer       string // the server's base URL
	AccessTTL    time.Duration
	IDTokenTTL   time.Duration
	Algorithm    string // signs tokens of clients that choose none
	RoutesFile   string // the name of the routes file, or ""
	RevokeTokens bool   // the end of a session revokes the tokens that it gave

	AllowedIPs []netip.Prefix // from where the server may be managed; none: from everywhere
	Reauth     time.Duration  // the greatest age of a sign-in that may make changes; 0: any
	RequireMFA bool           // changes need a sign-in in two steps

	Impersonation time.Duration // of sessions in which somebody acts as another person; 0: nobody may

	Registration   Registration
	AuditRetention time.Duration // how long audit events stay; 0: forever

	NotifyRotation bool // administrators get a message when a client's secret is rotated

	Webhooks       webhook.Rules
	SecretLifetime time.Duration // of new client secrets; 0: forever

	PasswordGrant   bool     // the password grant is switched on
	PasswordClients []string // the ids of the clients that may use it
}

// Parts are what the operations work with.
type Parts struct {
	Store     Store
	Keys      *secret.Keys
	Ring      *jose.Ring
	Passwords Hasher
	Accounts  Accounts
	Rules     client.Rules
	Routes    func() (*access.File, error) // reads the routes file
	Mail      outbox.Sender                // nil: no mail server is configured
	Sealer    *outbox.Sealer
	Now       func() time.Time
	Settings  func() []Setting // of the server; nil: none are shown
	// Facts collects the state of the installation for Examine. Without it, Examine finds nothing.
	Facts func(ctx context.Context) *doctor.Facts

	Backups BackupWriter // nil: this program makes none

	WebhookKeys *webhook.Keys
	Webhooks    WebhookSender

	SignIns SignInTester // nil: without a server, nobody can sign in
}

// Operations are the operations of administrators.
type Operations struct {
	cfg   Config
	parts Parts
	store Store
	views views // into the audit log

	draft    bool // the store is a draft: nothing is changed, and reading is enough
	together bool // the store is a transaction of several changes
}

// New returns the operations on what the parts hold.
func New(cfg Config, p Parts) *Operations { return &Operations{cfg: cfg, parts: p, store: p.Store} }

// Rules returns what clients may choose from.
func (o *Operations) Rules() client.Rules { return o.parts.Rules }

// A Warning reports that a change was stored, but may not have the effect that was meant.
type Warning struct {
	Code    string // one of the Warning constants
	Subject string // the id or name concerned
	Nearest string // the known name that was probably meant, or ""
}

// Warnings.
const (
	WarnPasswordGrantOff = "password_grant_off" // the settings do not allow the client the password grant
	WarnNoSecret         = "no_secret"          // the client needs a secret and has none
	WarnNoActiveSecret   = "no_active_secret"   // the last secret of the client was removed
	WarnSecretEnded      = "secret_ended"       // a rotation has ended a secret before its time
	WarnUnknownClient    = "unknown_client"     // a route names a client that does not exist
	WarnUnknownScope     = "unknown_scope"      // a scope that does not exist is named
	WarnUnknownRole      = "unknown_role"       // nobody has the role that is given, and no route names it
	WarnCustomScheme     = "custom_scheme"      // any app may take the scheme of a redirect URI
	WarnFirstKey         = "first_key"          // the client's algorithm has had no key until now
	WarnAdminPassword    = "admin_password"     // a new administrator keeps a password chosen as another user
)
