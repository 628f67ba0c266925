package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/cli"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/doctor"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// migrateAll brings the schemas of a server and of all its realms up to date, or that of one realm.
// One that fails does not stop the others.
func migrateAll(
	ctx context.Context, cfg *config.Config, dryRun bool, notice func(text string),
) ([]cli.Migration, error) {
	all, err := withRealms(cfg)
	if err != nil {
		return nil, err
	}
	var out []cli.Migration
	var failed error
	for _, c := range all {
		done, err := migrate(ctx, c, dryRun, notice)
		out = append(out, done...)
		if err != nil && c.Realm != "" {
			err = fmt.Errorf("realm %s: %w", c.Realm, err)
		}
		failed = errors.Join(failed, err)
	}
	return out, failed
}

// rehearseAll rehearses the upgrade of a server's database and of those of all its realms, or of
// one. A realm that was never opened has nothing to rehearse. A backup is of one database.
func rehearseAll(
	ctx context.Context, e *env, cfg *config.Config, in cli.RehearseInput,
) (out []*cli.Rehearsal, err error) {
	all := []*config.Config{cfg}
	if in.From == "" {
		if all, err = withRealms(cfg); err != nil {
			return nil, err
		}
	}
	for _, c := range all {
		r, err := rehearse(ctx, e, c, in)
		if cfg.Realm != c.Realm && fault.Reason(err) == reasonNoData {
			r, err = &cli.Rehearsal{Program: version(), Realm: c.Realm, Nothing: fault.Text(err)}, nil
		}
		if err != nil && c.Realm != "" {
			err = fmt.Errorf("realm %s: %w", c.Realm, err)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// diagnoseAll examines a server and all its realms, or one realm. What is the same for all, such as
// the clock of the machine, is reported once.
func diagnoseAll(ctx context.Context, e *env, cfg *config.Config) *doctor.Report {
	report := diagnose(ctx, e, cfg)
	nameRealm(report, cfg.Realm)
	all, err := withRealms(cfg)
	if err != nil {
		report.Findings = append(report.Findings, doctor.Finding{
			Check: "settings.realms",
			Level: doctor.Problem,
			Title: err.Error(),
			Fix:   "Correct REALMS_FILE.",
		})
		return report
	}
	said := map[string]bool{}
	for i := range report.Findings {
		said[report.Findings[i].Check+report.Findings[i].Title] = true
	}
	for _, c := range all[1:] {
		found := diagnose(ctx, e, c)
		nameRealm(found, c.Realm)
		for _, f := range found.Findings {
			if !said[f.Check+f.Title] {
				f.Title = "Realm " + c.Realm + ": " + f.Title
				report.Findings = append(report.Findings, f)
			}
		}
	}
	return report
}

// nameRealm adds the name of a realm to the commands that remedies consist of.
func nameRealm(r *doctor.Report, realm string) {
	if realm == "" {
		return
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Fix = strings.ReplaceAll(f.Fix, ": gatehouse ", ": gatehouse --realm "+realm+" ")
	}
}

// withRealms returns the settings of a server and those of its realms, or those of one realm.
func withRealms(cfg *config.Config) ([]*config.Config, error) {
	all := []*config.Config{cfg}
	if cfg.Realm != "" {
		return all, nil
	}
	realms, _, err := realmConfigs(cfg)
	return append(all, realms...), err
}
