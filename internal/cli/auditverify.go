package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// auditVerify checks the audit log.
type auditVerify struct {
	Checkpoint []string `placeholder:"FILE" help:"A published checkpoint that the log must continue. Default: AUDIT_CHECKPOINT_FILE. May be repeated."`
	Key        []string `placeholder:"KEY" help:"A public key that may have signed the checkpoints. Default: those in the database. May be repeated."`
	Export     string   `placeholder:"FILE" help:"Check this export with proofs instead of the database, which is not needed: see audit export --proofs."`
}

// verification is the outcome as the command line shows it.
type verification struct {
	OK          bool                 `json:"ok"`
	Pages       int64                `json:"pages"`
	Root        string               `json:"root"`
	Epoch       int64                `json:"epoch"`
	Events      int64                `json:"events"`
	Pending     int64                `json:"pending"`
	Pruned      int64                `json:"removed_by_policy"`
	Erased      int64                `json:"erased"`
	Before      int64                `json:"before_the_proof"`
	Checkpoints []verifiedCheckpoint `json:"checkpoints"`
	TailProved  bool                 `json:"end_proved"`
	OwnKeys     bool                 `json:"keys_from_database"`
	Findings    []admin.Finding      `json:"findings"`
	More        bool                 `json:"more_findings"`
}

type verifiedCheckpoint struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   string `json:"root"`
}

// errNotWhole is the error of a log that is not what was written.
var errNotWhole = errors.New("the audit log is not what was written")

// Run reads the whole log, and fails if it is not what was written.
func (f *auditVerify) Run(ctx context.Context, c *call) error {
	if f.Export != "" {
		return f.export(c)
	}
	if server := c.remote(); server != "" {
		return wrong("the check reads the whole database and must not trust the server %s; run it there, or make an "+
			"export with --proofs there and give it to --export", server)
	}
	in := admin.VerifyInput{Keys: f.Key}
	files := f.Checkpoint
	if len(files) == 0 {
		cfg, err := c.config()
		if err != nil {
			return err
		}
		if name := cfg.Audit.CheckpointFile; name != "" {
			files = []string{name}
		}
	}
	for _, name := range files {
		raw, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) && len(f.Checkpoint) == 0 {
			continue // the first one is still to come
		}
		if err != nil {
			return fmt.Errorf("the checkpoint cannot be read: %w", err)
		}
		in.Checkpoints = append(in.Checkpoints, string(raw))
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		v, err := ops.VerifyAudit(ctx, a, in)
		if err != nil {
			return err
		}
		view := viewVerification(v)
		if err := c.show(view, func(s *table) { view.rows(s, v) }); err != nil {
			return err
		}
		if !view.OK {
			return errNotWhole
		}
		return nil
	})
}

func viewVerification(v *admin.Verification) verification {
	out := verification{
		OK:          len(v.Findings) == 0,
		Pages:       v.Pages,
		Root:        v.Root.String(),
		Epoch:       v.Epoch,
		Events:      v.Events,
		Pending:     v.Pending,
		Pruned:      v.Pruned,
		Erased:      v.Erased,
		Before:      v.Before,
		Checkpoints: []verifiedCheckpoint{},
		TailProved:  len(v.Proved) > 0,
		OwnKeys:     v.OwnKeys,
		Findings:    append([]admin.Finding{}, v.Findings...),
		More:        v.More,
	}
	for _, p := range v.Proved {
		out.Checkpoints = append(out.Checkpoints, verifiedCheckpoint{p.Origin, p.Size, p.Root.String()})
	}
	return out
}

// rows writes the outcome for people.
func (v *verification) rows(s *table, of *admin.Verification) {
	s.pair("events", strconv.FormatInt(v.Events, 10)+" as they were written")
	if !of.First.IsZero() {
		s.pair("from", of.First.Format(time.RFC3339))
		s.pair("to", of.Last.Format(time.RFC3339))
	}
	for _, n := range []struct {
		label string
		count int64
		what  string
	}{
		{"waiting", v.Pending, "of them wait for their place in the tree"},
		{"removed", v.Pruned, "events were removed by the policy of retention"},
		{"erased", v.Erased, "events lost what belonged to people who were erased"},
		{"before", v.Before, "events are older than the proof, which says nothing about them"},
	} {
		if n.count > 0 {
			s.pair(n.label, fmt.Sprintf("%d %s", n.count, n.what))
		}
	}
	s.pair("tree", fmt.Sprintf("%d pages, root %s", v.Pages, v.Root))
	for _, p := range v.Checkpoints {
		s.pair("checkpoint", fmt.Sprintf("continues that of %d pages (%s)", p.Size, p.Origin))
	}
	switch {
	case !v.TailProved:
		s.pair("end", "unknown: without a checkpoint that is kept elsewhere, nobody can tell whether the newest "+
			"events were removed, or all of them")
	case v.OwnKeys:
		s.pair("keys", "taken from this database; give --key to trust the checkpoint rather than the database")
	}
	for _, f := range v.Findings {
		text := strings.ToUpper(f.Kind) + ": " + f.Text
		if f.Type != "" {
			text += " (" + f.Type + ", " + f.At.Format(time.RFC3339) + ")"
		}
		s.pair("found", text)
	}
	if v.More {
		s.pair("found", "more of the same")
	}
}

// auditKey makes a key.
type auditKey struct{}

// Run prints a new private key, or with a key in the settings its public half.
func (*auditKey) Run(_ context.Context, c *call) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	private, public, err := audit.NewCheckpointKey(audit.KeyName(cfg.Server.BaseURL))
	if err != nil {
		return err
	}
	view := struct {
		Private string `json:"private_key"`
		Public  string `json:"public_key"`
	}{private, public}
	return c.show(view, func(s *table) {
		s.pair("private", private)
		s.pair("public", public)
	})
}
