package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/authgate"
	"github.com/gatehouse-id/gatehouse/internal/cli"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/ship"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// Main runs one command line, given without the program's name, and returns the exit status: 0
// for success, 1 for failure, 2 for wrong usage. An error is one line on stderr.
func Main(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{
		stdout:   stdout,
		stderr:   stderr,
		terminal: isTerminal(stdout),
		getenv:   lookup(environ),
		environ:  environ,
		args:     args,
		now:      time.Now,
	}
	return cli.Main(ctx, program(e), cli.Streams{In: stdin, Out: stdout, Err: stderr}, args)
}

// isTerminal reports whether a stream is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// program returns what the command line needs from the rest of the program.
func program(e *env) cli.Program {
	return cli.Program{
		Version: version(),
		Now:     e.now,
		Getenv:  e.getenv,
		Rules:   token.ClientRules(),
		Settings: func(flags map[string]string, file, realm string) (*config.Config, error) {
			return loadRealmConfig(e, flags, file, realm)
		},
		Realms: realmFiles(),
		Open: func(ctx context.Context, cfg *config.Config) (*admin.Operations, func() error, error) {
			p, err := openParts(ctx, e, cfg, nil)
			if err != nil {
				return nil, nil, err
			}
			ops, err := p.operations(e)
			if err != nil {
				return nil, nil, errors.Join(err, p.Close())
			}
			return ops, p.Close, nil
		},
		Examine: func(ctx context.Context, cfg *config.Config) *doctor.Report {
			return diagnoseAll(ctx, e, cfg)
		},
		Repair: repair,
		Migrate: func(ctx context.Context, cfg *config.Config, dryRun bool) ([]cli.Migration, error) {
			return migrateAll(ctx, cfg, dryRun, func(text string) { fmt.Fprintf(e.stderr, "gatehouse: %s\n", text) })
		},
		Rehearse: func(ctx context.Context, cfg *config.Config, in cli.RehearseInput) ([]*cli.Rehearsal, error) {
			return rehearseAll(ctx, e, cfg, in)
		},
		Breached: breachedLists(),
		PreviewMail: func(cfg *config.Config, message, locale string) (*cli.PreviewedMail, error) {
			return previewMail(cfg, e.texts, message, locale, e.now())
		},
		AuthGate: cli.AuthGateDatabases{IsDatabase: authgate.IsDatabase, Rows: authgate.Rows},
		Backups: cli.Backups{
			Missing: missing,
			Verify: func(ctx context.Context, cfg *config.Config, in cli.BackupSource) (*cli.VerifiedBackup, error) {
				return verifyBackup(ctx, e, cfg, in)
			},
			Restore: func(ctx context.Context, cfg *config.Config, in cli.RestoreInput) (*cli.Restored, error) {
				return restoreBackup(ctx, e, cfg, in)
			},
		},
		Serve: func(ctx context.Context, cfg *config.Config) error { return serve(ctx, e, cfg) },
	}
}

// lookup returns a function that reads a list of NAME=value as the system does: the last one
// counts.
func lookup(environ []string) func(string) string {
	vars := make(map[string]string, len(environ))
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	return func(name string) string { return vars[name] }
}

// operations returns the operations of administrators on the opened parts.
func (p *parts) operations(e *env) (*admin.Operations, error) {
	t := p.cfg.Tokens
	composer, err := newComposer(p.cfg, e.texts)
	if err != nil {
		return nil, err
	}
	var sender outbox.Sender
	if smtp, err := smtpSender(p.cfg, p.keys, composer); err != nil {
		return nil, err
	} else if smtp != nil {
		sender = smtp
	}
	return admin.New(
		admin.Config{
			Issuer:          p.cfg.Server.BaseURL,
			AccessTTL:       t.AccessTTL,
			IDTokenTTL:      t.IDTTL,
			Algorithm:       t.Algorithm,
			RoutesFile:      p.cfg.Gateway.RoutesFile,
			RevokeTokens:    p.cfg.Sessions.RevokeTokens,
			Registration:    registrationConfig(p.cfg),
			AuditRetention:  p.cfg.Audit.Retention,
			NotifyRotation:  p.cfg.Mail.NotifyRotation && canMail(p.cfg),
			Webhooks:        webhookRules(p.cfg),
			SecretLifetime:  p.cfg.Notices.SecretTTL,
			PasswordGrant:   t.PasswordGrant,
			PasswordClients: t.PasswordClients,
			AllowedIPs:      p.cfg.Administration.AllowedIPs,
			Impersonation:   p.cfg.Administration.Impersonation,
			Reauth:          p.cfg.Administration.Reauth,
			RequireMFA:      p.cfg.MFA.RequireAdmin,
		},
		admin.Parts{
			Store:     p.db,
			Keys:      p.keys,
			Ring:      p.ring,
			Passwords: p.passwords,
			Accounts:  p.login,
			Rules:     token.ClientRules(),
			Routes:    func() (*access.File, error) { return routesFile(p.cfg) },
			Now:       e.now,
			Mail:      sender,
			Sealer:    outbox.NewSealer(p.keys),
			Settings:  func() []admin.Setting { return settings(p.cfg) },
			Facts:     func(ctx context.Context) *doctor.Facts { return p.facts(ctx, e) },

			Backups: backups{e, p},

			WebhookKeys: webhook.NewKeys(p.keys),
			Webhooks: webhookSender{
				ship.HTTPPoster{Client: newPoster(e, p.cfg), Now: e.now},
				webhook.NewKeys(p.keys),
			},

			SignIns: p.signIns,
		},
	), nil
}

// settings returns the settings that are in force. A secret says no more than that it is set.
func settings(c *config.Config) []admin.Setting {
	var out []admin.Setting
	for _, s := range config.Settings() {
		source := c.Origin(s.Name)
		set := source != "default"
		x := admin.Setting{
			Name:        s.Name,
			Group:       s.Group,
			Value:       s.Default,
			Secret:      s.Secret && set,
			Default:     s.Default,
			Source:      source,
			Description: s.Doc,
		}
		if set {
			x.Value = c.Text(s.Name)
		}
		out = append(out, x)
	}
	return out
}

// migrate brings the schema up to date and returns the migrations applied, or with dryRun those
// that are pending.
func migrate(
	ctx context.Context, cfg *config.Config, dryRun bool, notice func(text string),
) (out []cli.Migration, err error) {
	db, err := store.Open(ctx, store.Options{
		URL:        string(cfg.Storage.DatabaseURL),
		Readers:    2, // a migration may run beside the transaction that has its lock
		Statements: cfg.Storage.Statements,
		Schema:     cfg.Storage.Schema,
		Notice:     notice,

		ExternalCheckpoint: cfg.Storage.Checkpoint == "external",
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	pending, err := db.PendingMigrations(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range pending {
		out = append(out, cli.Migration{Name: m.Name, Oldest: m.Oldest, Realm: cfg.Realm})
	}
	if dryRun {
		return out, nil
	}
	_, err = db.Migrate(ctx)
	return out, err
}
