package app

import (
	"context"
	"net/http"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/checkpoint"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/web/ui"
)

const (
	treeEvery = time.Second      // how often pages of the audit log get their places in the tree
	treeLease = 10 * time.Second // of the server that does it, and signs
)

// startAudit adds the tree of the audit log, and its checkpoints, to the background tasks.
func (s *server) startAudit(e *env) error {
	c := s.parts.cfg.Audit
	if !c.Tree {
		s.log.Warn("AUDIT_TREE is off: nothing proves the audit records that are written now")
		return nil
	}
	t := &treeTask{s: s, now: e.now, holder: secret.NewID(e.now()), every: c.CheckpointEvery}
	if c.CheckpointFile != "" || c.CheckpointURL != "" || c.CheckpointKey != "" {
		name := audit.KeyName(s.parts.cfg.Server.BaseURL)
		keys, err := checkpoint.LoadKeys(string(c.CheckpointKey), c.CheckpointFile, name)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			return fault.New(fault.Invalid, "AUDIT_CHECKPOINT_URL needs a key: set AUDIT_CHECKPOINT_KEY "+
				"to one that gatehouse audit key prints, or set AUDIT_CHECKPOINT_FILE")
		}
		t.publisher = &checkpoint.Publisher{
			Store:  s.parts.db,
			Name:   name,
			Keys:   keys,
			File:   c.CheckpointFile,
			URL:    c.CheckpointURL,
			Client: checkpoint.NewClient(),
			Warn:   func(text string) { s.log.Warn(text) },
			Sent:   s.parts.db.SetCheckpointSent,
		}
	}
	if s.parts.copied {
		t.publisher = nil // checkpoints of the copy would contradict those of the original
	}
	s.behind = append(s.behind, t.run)
	return nil
}

// cleanupMissed is for how long a time of AUDIT_LOG_CLEANUP_SCHEDULE is made up for at a start.
const cleanupMissed = 24 * time.Hour

// cleanUp returns the task that removes old audit records when AUDIT_LOG_CLEANUP_SCHEDULE says so.
func (s *server) cleanUp(last time.Time) func(context.Context, time.Time) error {
	c := s.parts.cfg.Audit
	return func(ctx context.Context, now time.Time) error {
		if !c.Cleanup.Due(last, now) {
			return nil
		}
		_, err := s.parts.db.PruneAudit(ctx, now.Add(-c.Retention), now, audit.ActorSystem)
		if err == nil {
			last = now
		}
		return err
	}
}

// A treeTask places the pages of the audit log in its tree and signs it, if this server has the
// lease.
type treeTask struct {
	s         *server
	now       func() time.Time
	holder    string
	publisher *checkpoint.Publisher // or nil
	every     time.Duration

	published time.Time // the last attempt to publish; zero before the first
	dirty     bool      // something was placed since
	failing   bool
}

// run works until ctx ends, and once more then: what was written last gets its place, too.
func (t *treeTask) run(ctx context.Context) {
	tick := time.NewTicker(treeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.step(ctx, false)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), treeLease/2)
			t.step(last, true)
			cancel()
			return
		}
	}
}

// step does one round of work. Nothing is written while nothing happens.
func (t *treeTask) step(ctx context.Context, last bool) {
	db := t.s.parts.db
	wait, err := db.AuditPending(ctx)
	due := t.publisher != nil && (t.published.IsZero() || t.dirty && t.now().Sub(t.published) >= t.every)
	if err == nil && (wait || due || last && t.dirty) {
		err = t.work(ctx, due || last)
	}
	if err != nil && ctx.Err() == nil && !t.failing {
		t.s.log.Error("the audit log could not be proved; will retry", "error", err)
	}
	t.failing = err != nil
}

// work places pages and, if it is time, publishes a checkpoint.
func (t *treeTask) work(ctx context.Context, publish bool) error {
	db, now := t.s.parts.db, t.now()
	have, err := db.AcquireLease(ctx, "audit-tree", t.holder, treeLease)
	if err != nil || !have {
		return err
	}
	placed, err := db.SequenceAudit(ctx, now)
	if placed > 0 {
		t.dirty = true
	}
	if fault.Is(err, fault.Conflict) { // a command, or a reader of the log, was faster
		return nil
	}
	if err != nil || !publish || t.publisher == nil {
		return err
	}
	t.published, t.dirty = now, false
	if err := t.publisher.Publish(ctx, now); err != nil {
		t.dirty = true
		return err
	}
	return nil
}

// browserActor returns a function that returns who has signed in to the console in a browser.
func (s *server) browserActor(
	ops *admin.Operations, pages *ui.Server,
) func(*http.Request) (admin.Actor, bool, error) {
	who := s.administratorOf(ops)
	return func(r *http.Request) (a admin.Actor, ok bool, err error) {
		sess, err := pages.Session(r)
		if err != nil || sess == nil {
			return a, false, err
		}
		_, a, err = who(r.Context(), r, sess)
		return a, err == nil, err
	}
}
