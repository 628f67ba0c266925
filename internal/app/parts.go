package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"runtime"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/breached"
	"github.com/gatehouse-id/gatehouse/internal/cache"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/text"
)

// env is what the program runs in: streams, environment variables and a clock; nothing global.
type env struct {
	stdout, stderr io.Writer
	terminal       bool     // stdout is a terminal
	environ        []string // NAME=value
	args           []string // of the command line, without the program's name
	getenv         func(string) string
	now            func() time.Time

	// What the realms of a process share; nil: the server has its own.
	passwords *secret.Passwords
	texts     *text.Catalogues
	pool      *sqldb.SharedPool
	// limits counts the rate limits of a realm in memory, also while the realm is closed.
	limits *cache.Memory
}

// memoryLimits returns what counts rate limits in memory.
func (e *env) memoryLimits() *cache.Memory {
	if e.limits != nil {
		return e.limits
	}
	return cache.NewMemory(0, e.now)
}

// loadConfig reads the settings: defaults, the YAML file unless its name is "", environment,
// flags.
func loadConfig(e *env, flags map[string]string, file string) (*config.Config, error) {
	src := config.Source{Env: e.environ, ReadFile: os.ReadFile, Flags: flags}
	if file != "" {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("the settings file cannot be read: %w", err)
		}
		src.File, src.FileName = raw, file
	}
	return config.Load(src)
}

// parts are the opened parts that commands and the server work with.
type parts struct {
	cfg       *config.Config
	keys      *secret.Keys // of the data key
	keyName   string       // of SECRET_KEY
	db        *store.DB
	ring      *jose.Ring
	passwords *secret.Passwords
	policies  login.Config
	breached  *breached.List // or nil
	// The state of COMMON_PASSWORD_LIST before it was read.
	commonState string
	login       *login.Server
	places      *places

	mailRequests *mailRequests
	report       func(error) // of errors of background tasks
	monitor      *monitor    // nil: nobody watches
	// expiries returns when the certificates of ACME end; nil: there are none.
	expiries  func() map[string]time.Time
	master    *secret.Keys // of SECRET_KEY itself
	restoring bool         // a restore completes the database
	copied    bool         // the database is a copy for trying things out

	signIns admin.SignInTester // of a server; nil: nobody can sign in
}

// openParts opens the database, brings its schema up to date and loads what is cached in memory.
// It passes errors of background tasks to report.
func openParts(ctx context.Context, e *env, cfg *config.Config, report func(error)) (*parts, error) {
	return openPartsWith(ctx, e, cfg, store.Options{Report: report}, nil)
}

// openPartsWith opens the parts like openParts. o holds what receives the messages of the store.
func openPartsWith(
	ctx context.Context, e *env, cfg *config.Config, o store.Options, m *monitor,
) (*parts, error) {
	master, made, err := masterKey(cfg)
	if err != nil {
		return nil, err
	}
	keys, err := secret.NewKeys(master)
	if err != nil {
		return nil, err
	}
	return openWithKeys(ctx, e, cfg, o, masterKeys{keys, made}, m)
}

// masterKeys are the keys of SECRET_KEY, and the name of the key file if it was created now.
type masterKeys struct {
	*secret.Keys
	made string
}

// openWithKeys opens the parts with the keys of SECRET_KEY.
func openWithKeys(
	ctx context.Context, e *env, cfg *config.Config, o store.Options, keys masterKeys, m *monitor,
) (*parts, error) {
	if o.Report == nil {
		o.Report = func(err error) { fmt.Fprintf(e.stderr, "gatehouse: %v\n", err) }
	}
	o.URL = string(cfg.Storage.DatabaseURL)
	o.Schema, o.Shared = cfg.Storage.Schema, e.pool
	o.Statements, o.ListenURL = cfg.Storage.Statements, string(cfg.Storage.ListenURL)
	o.ExternalCheckpoint = cfg.Storage.Checkpoint == "external"
	o.IdleTimeout = cfg.Sessions.Idle
	o.AuditKey, o.NoAuditTree = keys.Derive("audit pages"), !cfg.Audit.Tree
	m.storeOptions(&o)
	db, err := store.Open(ctx, o)
	if err != nil {
		return nil, explainOwner(err, o.URL)
	}
	p := &parts{
		cfg:       cfg,
		keys:      keys.Keys,
		master:    keys.Keys,
		db:        db,
		report:    o.Report,
		monitor:   m,
		restoring: o.Restoring,
	}
	if err := p.prepare(ctx, e); err != nil {
		if keys.made != "" && fault.Reason(err) == reasonOtherKey {
			// The database has a key already: beside it, a new one would only be taken for it.
			err = errors.Join(fault.New(fault.Invalid, "the key file %s is missing; put back your "+
				"copy of it, since the database cannot be read without it", keys.made), os.Remove(keys.made))
		}
		return nil, errors.Join(err, db.Close())
	}
	return p, nil
}

// prepare migrates, checks the master key and creates the parts that need no network.
func (p *parts) prepare(ctx context.Context, e *env) error {
	if _, err := p.db.Migrate(ctx); err != nil {
		return err
	}
	if err := p.openDataKey(ctx); err != nil {
		return err
	}
	if !p.restoring {
		if err := p.db.Restoring(ctx); err != nil {
			return err
		}
	}
	var err error
	if p.copied, err = p.db.IsCopy(ctx); err != nil {
		return err
	}
	if p.cfg.Realm != "" {
		if err := p.claimDatabase(ctx); err != nil {
			return err
		}
	}
	if err := p.db.RaiseTokenTTL(ctx, p.cfg.Tokens.AccessTTL); err != nil {
		return err
	}
	p.ring = jose.NewRing(p.db, p.keys)
	if err := p.ring.Reload(ctx); err != nil {
		return err
	}
	if p.passwords = e.passwords; p.passwords == nil {
		width := hashWidth(runtime.GOMAXPROCS(0), memoryLimit(os.ReadFile))
		p.passwords = secret.NewPasswords(width, p.cfg.Passwords.HashQueue)
	}
	p.commonState = fileState(p.cfg.Passwords.CommonFile)
	signIn, err := LoginConfig(p.cfg)
	if err != nil {
		return err
	}
	p.places, p.mailRequests = new(places), new(mailRequests)
	signIn.Places, signIn.Admit = p.places, p.mailRequests.admit
	if p.monitor != nil && p.monitor.metrics != nil {
		if e.passwords == nil {
			p.passwords.Watch(p.monitor.metrics.Hashing)
		}
		signIn.OnCheck = p.monitor.check
	}
	signIn.Administers = func(u *identity.User) bool {
		return admin.Administers(oauth.Definitions{Scopes: p.db.Scopes(), Roles: p.db.RoleDefinitions()}, u)
	}
	signIn.MayImpersonate = admin.ImpersonationGuard
	p.policies = signIn
	if err := p.openBreached(); err != nil {
		return err
	}
	p.login = login.New(p.policies, p.db, p.keys, p.passwords)
	return nil
}

// Close closes the database, and the list of breached passwords.
func (p *parts) Close() error {
	if p.breached != nil {
		return errors.Join(p.db.Close(), p.breached.Close())
	}
	return p.db.Close()
}

// LoginConfig returns what the settings say about signing in. It reads COMMON_PASSWORD_LIST.
func LoginConfig(c *config.Config) (login.Config, error) {
	policy, admin, err := passwordPolicy(c)
	if err != nil {
		return login.Config{}, err
	}
	host := c.Server.BaseURL
	if u, err := url.Parse(host); err == nil {
		host = u.Host
	}
	return withPasskeys(c, login.Config{
		Methods:          c.Accounts.LoginMethods,
		AppName:          c.Branding.AppName,
		Host:             host,
		Policy:           policy,
		AdminPolicy:      admin,
		HistoryCount:     c.Passwords.History,
		ExpiryDays:       int(c.Passwords.Expiry / (24 * time.Hour)),
		AdminExpiryDays:  int(c.Passwords.AdminExpiry / (24 * time.Hour)),
		ExpiryWarning:    c.Passwords.ExpiryWarning,
		ExpiryGrace:      c.Passwords.ExpiryGrace,
		SessionTTL:       c.Sessions.TTL,
		Idle:             c.Sessions.Idle,
		StaySignedIn:     c.Sessions.Stay != "off",
		BrowserAccounts:  c.Sessions.Accounts,
		RememberAccounts: c.Sessions.Remember,
		TrustFor:         c.MFA.TrustBrowser,
		SingleSession:    c.Sessions.Single,
		NotifyNew:        c.Sessions.NotifyNew,
		RevokeTokens:     c.Sessions.RevokeTokens,
		LockThreshold:    c.Lockout.Threshold,
		LockDuration:     c.Lockout.Duration,
		AutoUnlock:       c.Lockout.AutoUnlock,
		Progressive:      c.Lockout.Progressive,
		LockByIP:         c.Lockout.ByIP,
		IPThreshold:      c.Lockout.IPThreshold,
		LockWhitelist:    c.Lockout.Whitelist,
		Mail:             canMail(c),
		Locale:           c.Accounts.DefaultLocale,
		BaseURL:          c.Server.BaseURL,
		SignUp:           c.Accounts.SignUp,
		SignUpDomains:    mailDomains(c.Accounts.SignUpDomains),
		RequireVerified:  c.Accounts.VerifyRequired,
		VerifyTTL:        c.Accounts.VerifyTTL,
		ShowExistence:    !c.Accounts.HideExistence,
		ResetTTL:         c.Accounts.PasswordResetTTL,
		ResetLimit:       c.Accounts.PasswordResets,
		ResetWindow:      c.Accounts.ResetWindow,
		RecoveryDelay:    c.Accounts.RecoveryDelay,
		RequireMFA:       c.MFA.Require,

		ImpersonationTTL:    c.Administration.Impersonation,
		NotifyImpersonation: c.Administration.NotifyImpersonation,

		RequireAdminMFA: c.MFA.RequireAdmin,
		MFAGrace:        c.MFA.Grace,
		MFARoles:        roleGraces(c),
	}), nil
}

// oauthConfig returns what the settings say about the protocol.
func oauthConfig(c *config.Config) oauth.Config {
	t := c.Tokens
	out := oauth.Config{
		Issuer:          c.Server.BaseURL,
		CodeTTL:         t.CodeTTL,
		AccessTTL:       t.AccessTTL,
		IDTokenTTL:      t.IDTTL,
		RefreshTTL:      t.RefreshTTL,
		RefreshAbsolute: t.RefreshAbsoluteTTL,
		ReuseInterval:   t.RefreshReuse,
		DeviceTTL:       t.DeviceCodeTTL,
		Rotation:        t.RefreshRotation,
		TokenFormat:     t.AccessFormat,
		Alg:             t.Algorithm,
		DefaultScopes:   t.DefaultScopes,
		PasswordGrant:   t.PasswordGrant,
		RequirePKCE:     t.PKCERequired == "all",
		EndWithSession:  c.Sessions.RevokeTokens,
		CountIssuances:  c.Audit.Issuance == "aggregate",
		DPoPNonce:       t.DPoPNonce == "required",
		ClientCerts:     c.Server.ClientCerts,
		UILocales:       text.Tags(),

		RevocationMaxAge: t.RevocationMaxAge,
	}
	for _, id := range t.PasswordClients {
		out.PasswordClients = append(out.PasswordClients, client.ID(id))
	}
	return out
}
