package app

import (
	"context"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/account"
	"github.com/gatehouse-id/gatehouse/internal/job"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// secretEvery is how often secrets of clients that expire are looked for.
const secretEvery = 10 * time.Minute

// bulkEvery is how often the server looks for actions on many users.
const bulkEvery = 2 * time.Second

// impersonationsEvery is how often sessions in which an administrator acts as another person are
// checked, whether or not they are used.
const impersonationsEvery = 15 * time.Second

// expiryEvery is how often people are told that their passwords expire.
const expiryEvery = 24 * time.Hour

// countsEvery is the interval at which counted events are recorded.
const countsEvery = 10 * time.Second

// addJobs adds the tasks of which one server at a time runs each.
func (s *server) addJobs(e *env, accounts *account.Server) {
	db := s.parts.db
	s.jobs = job.Runner{
		Leases: db,
		Holder: secret.NewID(e.now()),
		Now:    e.now,
		OnError: func(name string, err error) {
			s.log.Error("a job failed", "job", name, "error", err)
		},
		OnRun: s.parts.monitor.jobRan,
	}
	if s.parts.copied {
		s.log.Warn("the database is a copy for trying things out: this server sends, sweeps, renews and backs up nothing")
		return
	}
	s.jobs.Add(job.Job{
		Name:  "sweep",
		Every: time.Minute,
		Run: func(ctx context.Context, now time.Time) error {
			_, err := db.Sweep(ctx, now)
			return err
		},
	})
	end := s.parts.login.EndImpersonations
	s.jobs.Add(job.Job{Name: "impersonations", Every: impersonationsEvery, Run: end})
	if s.bulk != nil {
		s.jobs.Add(job.Job{
			Name:  "bulk-actions",
			Every: bulkEvery,
			Run:   func(ctx context.Context, _ time.Time) error { return s.bulk(ctx) },
		})
	}
	s.jobs.Add(job.Job{
		Name:  "row-counts",
		Every: 24 * time.Hour,
		Run: func(ctx context.Context, now time.Time) error {
			_, err := db.CorrectCounts(ctx, now)
			return err
		},
	})
	s.jobs.Add(job.Job{Name: "count-events", Every: time.Minute, Run: db.CountEvents})
	s.jobs.Add(job.Job{
		Name:  "unused-clients",
		Every: 10 * time.Minute,
		Run: func(ctx context.Context, _ time.Time) error {
			_, err := s.registrar.DeleteUnused(ctx)
			return err
		},
	})
	s.addAccountJobs(e, accounts)
}

// addAccountJobs adds the tasks that concern the audit log and people.
func (s *server) addAccountJobs(e *env, accounts *account.Server) {
	if s.parts.cfg.Audit.Retention > 0 {
		run := s.cleanUp(e.now().Add(-cleanupMissed))
		s.jobs.Add(job.Job{Name: "audit-cleanup", Every: time.Minute, Run: run})
	}
	s.jobs.Add(job.Job{Name: "deletions", Every: time.Minute, Run: accounts.EraseDue})
	s.jobs.Add(job.Job{Name: "secret-expiry", Every: secretEvery, Run: s.secretNotices().Notice})
	s.jobs.Add(job.Job{
		Name:  "password-expiry",
		Every: expiryEvery,
		Run: func(ctx context.Context, now time.Time) error {
			_, err := s.parts.login.WarnOfExpiry(ctx, now)
			return err
		},
	})
}

// outward adds a background task that others notice, except for a copy that only serves for trying
// things out.
func (s *server) outward(run func(context.Context)) {
	if !s.parts.copied {
		s.behind = append(s.behind, run)
	}
}

// work runs the background tasks of the server until ctx ends.
func (s *server) work(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.parts.db.Follow(ctx) // it reports its own errors and ends with ctx only
	}()
	var others sync.WaitGroup
	for _, f := range append(s.behind, s.recordCounts, s.watchPasswords, s.sample, s.beKnown, s.watchPrevious) {
		others.Go(func() { f(ctx) })
	}
	s.jobs.Run(ctx)
	<-done
	others.Wait()
	s.release()
}

// beKnown keeps this process known as a server of the database.
func (s *server) beKnown(ctx context.Context) {
	s.parts.db.Serve(ctx, store.Server{
		Version: version(),
		Schema:  store.Schema(),
		KeyID:   s.parts.keyName,
	})
}

// recordCounts records what this server counts instead of recording it one by one: issued tokens
// with AUDIT_ISSUANCE=aggregate, and repeated failures of client authentication and of signing in.
// It records the rest when ctx ends.
func (s *server) recordCounts(ctx context.Context) {
	tick := time.NewTicker(countsEvery)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			done = true
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), countsEvery/2)
		if err := s.tokens.RecordIssuances(last, time.Now()); err != nil {
			s.log.Error("cannot record issued tokens; will retry", "error", err)
		}
		if err := s.tokens.RecordFailures(last, time.Now()); err != nil {
			s.log.Error("cannot record failed client authentications; will retry", "error", err)
		}
		if err := s.parts.login.RecordFailures(last, time.Now()); err != nil {
			s.log.Error("cannot record failed sign-ins; will retry", "error", err)
		}
		cancel()
	}
}
