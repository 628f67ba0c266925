package cli

import (
	"bufio"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
)

// auditCommands read the audit log.
type auditCommands struct {
	List   auditList   `cmd:"" help:"List events, newest first."`
	Export auditExport `cmd:"" help:"Write all events as JSON lines, newest first."`
}

// auditFlags select events.
type auditFlags struct {
	Type   string   `placeholder:"TYPE" help:"Only this type, such as LOGIN_FAILED."`
	User   string   `placeholder:"USER" help:"Only events about this user: an id, email address or username."`
	Client string   `placeholder:"CLIENT" help:"Only events about the client with this id."`
	Since  duration `placeholder:"DURATION" help:"Only events of this last while, such as 24h or 7d."`
}

// query returns what the flags select.
func (f *auditFlags) query(c *call) admin.AuditQuery {
	q := admin.AuditQuery{Type: audit.Type(strings.ToUpper(f.Type)), Client: f.Client, User: f.User}
	if f.Since > 0 {
		q.Since = c.Now().Add(-time.Duration(f.Since))
	}
	return q
}

// eventView is an event as the command line shows it.
type eventView struct {
	ID        string            `json:"id"`
	At        timestamp         `json:"at"`
	Type      audit.Type        `json:"type"`
	Actor     string            `json:"actor"`
	User      string            `json:"user_id"`
	Client    string            `json:"client_id"`
	Session   string            `json:"session_id"`
	Grant     string            `json:"grant_id"`
	IP        string            `json:"ip"`
	Agent     string            `json:"user_agent"`
	RequestID string            `json:"request_id"`
	Reason    string            `json:"reason"`
	Detail    map[string]string `json:"detail"`
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
	}
	if v.Detail == nil {
		v.Detail = map[string]string{}
	}
	return v
}

// about returns what an event concerns as NAME=VALUE pairs.
func (v eventView) about() string {
	var out []string
	for _, pair := range [][2]string{
		{"user", v.User},
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

// auditList lists events.
type auditList struct {
	auditFlags
	Limit int `default:"100" help:"How many events to show, at most 1000."`
}

// Run prints the newest events.
func (f *auditList) Run(ctx context.Context, c *call) error {
	if err := (pageFlags{Limit: f.Limit}).check(); err != nil {
		return err
	}
	return c.manage(ctx, func(ops *admin.Operations, a admin.Actor) error {
		q := f.query(c)
		q.Limit = f.Limit
		events, err := ops.Events(ctx, a, q)
		if err != nil {
			return err
		}
		views := make([]eventView, 0, len(events))
		for i := range events {
			views = append(views, viewEvent(&events[i]))
		}
		return showList(c, views, len(views), func(s *table) {
			s.row("AT", "TYPE", "ACTOR", "ADDRESS", "ABOUT")
			for _, v := range views {
				s.row(v.At.String(), string(v.Type), v.Actor, v.IP, v.about())
			}
		})
	})
}

// auditExport writes events.
type auditExport struct{ auditFlags }

// Run writes one JSON document per line, with or without --json, as it reads: the log may be
// long.
func (f *auditExport) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops *admin.Operations, a admin.Actor) error {
		out := bufio.NewWriter(c.stdout)
		err := ops.ExportEvents(ctx, a, f.query(c), func(e *audit.Event) error {
			return encode(out, viewEvent(e), "")
		})
		if err != nil {
			return err
		}
		return out.Flush()
	})
}
