package cli

import (
	"bufio"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// auditCommands read the record of what happened.
type auditCommands struct {
	List   auditList   `cmd:"" help:"List events, the newest first."`
	Export auditExport `cmd:"" help:"Write all events as JSON lines, the newest first."`
}

// auditFlags choose events.
type auditFlags struct {
	Type   string `placeholder:"TYPE" help:"Only this type, such as LOGIN_FAILED."`
	User   string `placeholder:"USER" help:"Only what concerns this user: an id, email address or user name. An id may be a deleted user's."`
	Client string `placeholder:"CLIENT" help:"Only what concerns the client of this id."`
	Since  span   `placeholder:"DURATION" help:"Only what is younger, such as 24h or 7d."`
}

func (f *auditFlags) query(ctx context.Context, c *call, p *Parts) (store.AuditQuery, error) {
	q := store.AuditQuery{Type: audit.Type(strings.ToUpper(f.Type)), Client: f.Client, User: f.User}
	if f.Since > 0 {
		q.Since = c.Now().Add(-time.Duration(f.Since))
	}
	if f.User == "" {
		return q, nil
	}
	u, err := p.DB.UserByRef(ctx, f.User)
	if err == nil {
		q.User = string(u.ID)
	}
	if fault.Is(err, fault.NotFound) { // the events of a deleted user stay
		err = nil
	}
	return q, err
}

// eventView is an event as the command line shows it.
type eventView struct {
	ID        string            `json:"id"`
	At        when              `json:"at"`
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
		e.ID, when{e.At}, e.Type, e.Actor, e.User, e.Client, e.Session, e.Grant, e.IP, e.Agent, e.RequestID, e.Reason, e.Detail,
	}
	if v.Detail == nil {
		v.Detail = map[string]string{}
	}
	return v
}

// about is what an event concerns, in a word each.
func (v eventView) about() string {
	var out []string
	for _, s := range [][2]string{{"user", v.User}, {"client", v.Client}, {"session", v.Session}, {"grant", v.Grant}, {"reason", v.Reason}} {
		if s[1] != "" {
			out = append(out, s[0]+"="+s[1])
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
	Limit int `default:"100" help:"How many to show at most, up to 1000."`
}

// Run prints the newest events.
func (f *auditList) Run(ctx context.Context, c *call) error {
	if err := (pageFlags{Limit: f.Limit}).check(); err != nil {
		return err
	}
	return c.with(ctx, func(p *Parts) error {
		q, err := f.query(ctx, c, p)
		if err != nil {
			return err
		}
		q.Limit = f.Limit
		events, err := p.DB.ListAudit(ctx, q)
		if err != nil {
			return err
		}
		views := make([]eventView, 0, len(events))
		for i := range events {
			views = append(views, viewEvent(&events[i]))
		}
		return showList(c, views, len(views), func(s *sheet) {
			s.row("AT", "TYPE", "ACTOR", "ADDRESS", "ABOUT")
			for _, v := range views {
				s.row(v.At.String(), string(v.Type), v.Actor, v.IP, v.about())
			}
		})
	})
}

// auditExport writes events.
type auditExport struct{ auditFlags }

// Run writes one JSON document a line, with or without --json, and reads page by page: the record may be long.
func (f *auditExport) Run(ctx context.Context, c *call) error {
	return c.with(ctx, func(p *Parts) error {
		q, err := f.query(ctx, c, p)
		if err != nil {
			return err
		}
		q.Limit = maxPage
		out := bufio.NewWriter(c.stdout)
		for {
			events, err := p.DB.ListAudit(ctx, q)
			if err != nil {
				return err
			}
			for i := range events {
				if err := encode(out, viewEvent(&events[i]), ""); err != nil {
					return err
				}
			}
			if len(events) < maxPage {
				return out.Flush()
			}
			q.Before = events[len(events)-1].ID
		}
	})
}
