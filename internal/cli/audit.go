package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

// auditCommands read the audit log.
type auditCommands struct {
	List   auditList       `cmd:"" aliases:"ls" help:"List events, newest first."`
	Show   auditShow       `cmd:"" help:"Show one event."`
	Export auditExport     `cmd:"" help:"Write all events as JSON lines or CSV, newest first."`
	Denied auditDenied     `cmd:"" name:"denials" help:"List what the gateway has denied in the last day, newest first."`
	Sinks  auditSinks      `cmd:"" help:"Show where the log is delivered to, and how far each has come."`
	Clean  auditClean      `cmd:"" name:"cleanup" help:"Remove events that are older than AUDIT_LOG_RETENTION_DAYS now."`
	Proof  auditProof      `cmd:"" help:"Prove that an event is in the log."`
	Check  auditCheckpoint `cmd:"" name:"checkpoint" help:"Show the head of the log's tree, and what was signed of it."`
	Verify auditVerify     `cmd:"" help:"Check that no event was altered, removed or added."`
	Key    auditKey        `cmd:"" help:"Make a key that signs checkpoints of the audit log, for AUDIT_CHECKPOINT_KEY."`
}

// auditFlags select events.
type auditFlags struct {
	Type    string   `placeholder:"TYPE" help:"Only these types: as in LOGIN_FAILED, user.login_failed, or user.* for all of a group. Several are separated by commas."`
	Actor   string   `placeholder:"ACTOR" help:"Only what this user, client, cli or system caused."`
	User    string   `placeholder:"USER" help:"Only events about this user: an id, email address or username."`
	Client  string   `placeholder:"CLIENT" help:"Only events about the client with this id."`
	Target  string   `placeholder:"KIND:ID" help:"Only events about this thing, as in scope:read or route:ID."`
	Request string   `placeholder:"ID" help:"Only events of the request with this id."`
	Reason  string   `placeholder:"REASON" help:"Only failures for this reason, as in wrong_password."`
	Failed  bool     `help:"Only failures and denials, for any reason."`
	IP      string   `name:"ip" placeholder:"ADDRESS" help:"Only events from this IP address or network."`
	Text    string   `placeholder:"TEXT" help:"Only events that contain this text. Narrow the time: it is searched event by event."`
	Since   duration `placeholder:"DURATION" help:"Only events of this last while, such as 24h or 7d."`
	From    moment   `placeholder:"TIME" help:"Only events at this time or later, such as 2026-11-28 or 2026-11-28T13:00:00Z."`
	To      moment   `placeholder:"TIME" help:"Only events before this time."`
}

// query returns what the flags select.
func (f *auditFlags) query(c *call) (admin.AuditQuery, error) {
	q := admin.AuditQuery{
		Event:     f.Type,
		Actor:     f.Actor,
		Client:    f.Client,
		User:      f.User,
		RequestID: f.Request,
		Reason:    f.Reason,
		Failures:  f.Failed,
		IP:        f.IP,
		Text:      f.Text,
		Since:     f.From.Time,
		Until:     f.To.Time,
	}
	q.TargetType, q.TargetID, _ = strings.Cut(f.Target, ":")
	if f.Since > 0 {
		if !f.From.IsZero() {
			return q, wrong("--since and --from both say where to begin; leave out one of them")
		}
		q.Since = c.Now().Add(-time.Duration(f.Since))
	}
	return q, nil
}

// explainQuery returns an error about a query as wrong usage of the flag that it comes from.
func explainQuery(err error) error {
	var found *fault.Error
	if errors.As(err, &found) && found.Kind == fault.Invalid {
		flag := found.Field
		if flag == "event" {
			flag = "type"
		}
		return usageError{fmt.Errorf("--%s: %w", flag, err)}
	}
	return err
}

// eventView is an event as the command line shows it.
type eventView struct {
	ID        string            `json:"id"`
	At        timestamp         `json:"at"`
	Type      audit.Type        `json:"type"`
	Actor     string            `json:"actor"`
	User      string            `json:"user_id"`
	UserName  string            `json:"user_name,omitempty"`  // what the user signs in with, where it is known
	ActorName string            `json:"actor_name,omitempty"` // likewise of a person or client that caused it
	Client    string            `json:"client_id"`
	Session   string            `json:"session_id"`
	Grant     string            `json:"grant_id"`
	IP        string            `json:"ip"`
	Agent     string            `json:"user_agent"`
	RequestID string            `json:"request_id"`
	Reason    string            `json:"reason"`
	Detail    map[string]string `json:"detail"`
	Event     string            `json:"event"` // the dotted name
	ActorType string            `json:"actor_type"`
	Target    string            `json:"resource_type"`
	TargetID  string            `json:"resource_id"`
	Changes   []audit.Change    `json:"changes,omitempty"`
}

func viewEvent(e *audit.Event) eventView {
	v := eventView{
		ID:        e.ID,
		At:        timestamp{e.At},
		Type:      e.Type,
		Actor:     e.Actor,
		User:      e.User,
		Client:    e.Client,
		Session:   e.Session,
		Grant:     e.Grant,
		IP:        e.IP,
		Agent:     e.Agent,
		RequestID: e.RequestID,
		Reason:    e.Reason,
		Detail:    e.Detail,
		Event:     e.Type.Name(),
		ActorType: e.ActorKind(),
		Changes:   e.Changes,
	}
	v.Target, v.TargetID = e.Target()
	if v.Detail == nil {
		v.Detail = map[string]string{}
	}
	return v
}

// about returns what an event concerns as NAME=VALUE pairs.
func (v eventView) about() string {
	var out []string
	target := v.TargetID
	switch target {
	case v.User, v.Client, v.Session, v.Grant, v.Detail[v.Target]: // these are named below
		target = ""
	}
	for _, pair := range [][2]string{
		{v.Target, target},
		{"user", v.user()},
		{"client", v.Client},
		{"session", v.Session},
		{"grant", v.Grant},
		{"reason", v.Reason},
	} {
		if pair[1] != "" {
			out = append(out, pair[0]+"="+pair[1])
		}
	}
	for _, k := range slices.Sorted(maps.Keys(v.Detail)) {
		out = append(out, k+"="+v.Detail[k])
	}
	return strings.Join(out, " ")
}

// user returns the user by name where it is known.
func (v eventView) user() string {
	if v.UserName != "" {
		return v.UserName
	}
	return v.User
}

// actor returns who caused the event, by name where it is known. A client is shown with its id:
// several may have one name.
func (v eventView) actor() string {
	switch {
	case v.ActorName == "":
		return v.Actor
	case v.ActorType == audit.ActorClient:
		return v.ActorName + " (" + v.Actor + ")"
	}
	return v.ActorName
}

// auditList lists events.
type auditList struct {
	auditFlags
	listFlags
}

// Run prints a page of events.
func (f *auditList) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	q, err := f.query(c)
	if err != nil {
		return err
	}
	q.Limit, q.Offset, q.Cursor, q.Exact = f.Limit, f.Offset, f.Cursor, f.Exact
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		page, err := ops.Events(ctx, a, q)
		if err != nil {
			return explainQuery(err)
		}
		views := make([]eventView, 0, len(page.Events))
		for i := range page.Events {
			v := viewEvent(&page.Events[i])
			v.UserName, v.ActorName = page.Names[v.User], page.ActorName(&page.Events[i])
			views = append(views, v)
		}
		return showList(c, views, page.Total, func(s *table) {
			s.row("AT", "TYPE", "ACTOR", "ADDRESS", "ABOUT")
			for _, v := range views {
				s.row(s.when(v.At.Time), string(v.Type), v.actor(), v.IP, v.about())
			}
			s.more(len(views), f.Offset, page.Total)
		})
	})
}

// auditShow shows one event.
type auditShow struct {
	ID string `arg:"" help:"The event's id, as audit list --json shows it."`
}

// Run prints all fields of the event.
func (f *auditShow) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		page, err := ops.Event(ctx, a, f.ID)
		if err != nil {
			return err
		}
		v := viewEvent(&page.Events[0])
		v.UserName, v.ActorName = page.Names[v.User], page.ActorName(&page.Events[0])
		return c.show(v, func(s *table) {
			for _, pair := range [][2]string{
				{"id", v.ID},
				{"at", v.At.String()},
				{"type", string(v.Type)},
				{"actor", v.actor()},
				{"address", v.IP},
				{"device", visitor.Describe(v.Agent).Words},
				{"request", v.RequestID},
				{"about", v.about()},
			} {
				if pair[1] != "" {
					s.pair(pair[0], pair[1])
				}
			}
			for _, x := range v.Changes {
				text := x.Field
				if x.Before != "" || x.After != "" {
					text = fmt.Sprintf("%s: %q → %q", x.Field, x.Before, x.After)
				}
				s.pair("changed", text)
			}
		})
	})
}

// auditExport writes events.
type auditExport struct {
	auditFlags
	Format     string `default:"json" placeholder:"FORMAT" help:"json: one document per line; csv: for spreadsheets, with a header."`
	Proofs     bool   `help:"Write whole pages of the log, oldest first, with what proves each line. Of the filters, only the times go with it."`
	Checkpoint string `placeholder:"FILE" help:"With --proofs: a published checkpoint that the proofs lead to. Default: the newest one."`
}

// Run writes one event per line, as it reads: the log may be long. --json changes nothing.
func (f *auditExport) Run(ctx context.Context, c *call) error {
	switch {
	case f.Format != audit.FormatJSON && f.Format != audit.FormatCSV:
		return wrong("--format: there is no format %.64q; use one of %s, %s", f.Format, audit.FormatJSON, audit.FormatCSV)
	case f.Format == audit.FormatCSV && c.json:
		return wrong("--json and --format csv exclude each other; leave out one of them")
	}
	if f.Checkpoint != "" && !f.Proofs {
		return wrong("--checkpoint goes with --proofs")
	}
	q, err := f.query(c)
	if err != nil {
		return err
	}
	if f.Proofs {
		return f.proofs(ctx, c, q)
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		out := bufio.NewWriter(c.stdout)
		x := audit.NewExporter(out, f.Format)
		if err := x.Begin(); err != nil {
			return err
		}
		if err := ops.ExportEvents(ctx, a, q, x.Write); err != nil {
			return explainQuery(err)
		}
		if err := x.End(); err != nil {
			return err
		}
		return out.Flush()
	})
}

// proofs writes whole pages with their proofs.
func (f *auditExport) proofs(ctx context.Context, c *call, q admin.AuditQuery) error {
	if f.Format == audit.FormatCSV {
		return wrong("--proofs goes with --format json")
	}
	rest := f.auditFlags
	rest.Since, rest.From, rest.To = 0, moment{}, moment{}
	if rest != (auditFlags{}) {
		return wrong("an export with proofs has whole pages: of the filters, only --since, --from and " +
			"--to go with --proofs")
	}
	in := admin.ProofsInput{Since: q.Since, Until: q.Until}
	if f.Checkpoint != "" {
		raw, err := os.ReadFile(f.Checkpoint)
		if err != nil {
			return fmt.Errorf("the checkpoint cannot be read: %w", err)
		}
		in.Checkpoint = string(raw)
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		out := bufio.NewWriter(c.stdout)
		if err := ops.ExportProofs(ctx, a, in, out); err != nil {
			return err
		}
		return out.Flush()
	})
}

// auditClean removes old events.
type auditClean struct{}

// Run removes them and prints how many.
func (*auditClean) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		n, err := ops.CleanupAudit(ctx, a)
		if err != nil {
			return err
		}
		view := struct {
			Removed int64 `json:"removed"`
		}{n}
		return c.show(view, func(s *table) { s.line("%d events were removed.", n) })
	})
}
