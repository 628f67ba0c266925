package app

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/cli"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// Main runs one command line, given without the program's name, and returns the exit status: 0 for success, 1 for
// failure, 2 for wrong usage. An error is one line on stderr.
func Main(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	e := &env{
		stdout: stdout, stderr: stderr,
		getenv: lookup(environ), environ: environ, now: time.Now,
	}
	return cli.Main(ctx, program(e), cli.Streams{In: stdin, Out: stdout, Err: stderr}, args)
}

// program returns what the command line reaches.
func program(e *env) cli.Program {
	return cli.Program{
		Version: version(),
		Now:     e.now,
		Settings: func(flags map[string]string, file string) (*config.Config, error) {
			return loadConfig(e, flags, file)
		},
		Open:    func(ctx context.Context, cfg *config.Config) (*cli.Parts, error) { return openForCommand(ctx, e, cfg) },
		Migrate: migrate,
		Serve:   func(ctx context.Context, cfg *config.Config) error { return serve(ctx, e, cfg) },
	}
}

// lookup reads a list of NAME=value as the system does: the last one counts.
func lookup(environ []string) func(string) string {
	vars := make(map[string]string, len(environ))
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			vars[k] = v
		}
	}
	return func(name string) string { return vars[name] }
}

func openForCommand(ctx context.Context, e *env, cfg *config.Config) (*cli.Parts, error) {
	p, err := openParts(ctx, e, cfg, nil)
	if err != nil {
		return nil, err
	}
	policies := LoginConfig(cfg)
	return &cli.Parts{
		Config: cfg, Keys: p.keys, DB: p.db, Ring: p.ring, Passwords: p.passwords, Login: p.login,
		Policy: func(u *identity.User) identity.Policy {
			if u.Admin() {
				return policies.AdminPolicy
			}
			return policies.Policy
		},
		RoutesFile: func() (*access.File, error) { return routesFile(cfg) },
	}, nil
}

// migrate brings the schema up to date and returns the migrations applied, or with dryRun those that are pending.
func migrate(ctx context.Context, cfg *config.Config, dryRun bool) (names []string, err error) {
	db, err := store.Open(ctx, store.Options{URL: string(cfg.Storage.DatabaseURL), Readers: 1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if dryRun {
		return db.Pending(ctx)
	}
	return db.Migrate(ctx)
}
