package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// SinksView shows where the audit log is delivered to.
type SinksView struct {
	Base
	State []Fact // of the tree that proves the log
	Table Table
	Gaps  Table
	Empty *Empty // instead of the list, or nil
	Clean *Link  // removes old events, or nil
	Same  Same
}

// Page names the template.
func (*SinksView) Page() string { return "sinks" }

func (s *Server) showSinks(w http.ResponseWriter, r *http.Request, q *request) error {
	all, err := s.ops.AuditSinks(r.Context(), q.actor)
	if err != nil {
		return err
	}
	gaps, err := s.ops.AuditGaps(r.Context(), q.actor, admin.GapQuery{Limit: pageSize})
	if err != nil {
		return err
	}
	v := &SinksView{Base: s.begin(r, q, "Proof and delivery of the log")}
	state, err := s.ops.AuditCheckpoint(r.Context(), q.actor)
	if err != nil {
		return err
	}
	v.State = v.treeFacts(state)
	v.Crumbs = []Link{{"Audit log", Root + "/audit"}}
	v.Table = Table{Caption: "Sinks", Columns: []Column{
		{Name: "Sink"}, {Name: "State"}, {Name: "Delivered", Num: true}, {Name: "Waiting", Num: true, Wide: true}, {Name: "Last", Wide: true},
	}}
	for i := range all {
		x := &all[i]
		name := Cell{Text: x.Name, Code: true}
		if id, ok := strings.CutPrefix(x.Name, webhook.SinkPrefix); ok {
			name = Cell{Text: x.Name, URL: at("/webhooks", id)}
		}
		v.Table.Rows = append(v.Table.Rows, Row{ID: x.Name, Name: x.Name, Cells: []Cell{
			name, v.sinkState(x), textCell(grouped(int(x.Delivered))), textCell(grouped(int(x.Waiting))),
			v.timeCell(x.DeliveredAt, "Never"),
		}})
	}
	v.Gaps = v.gapTable(gaps)
	if len(all) == 0 {
		v.Empty = &Empty{
			Icon:  "list",
			Title: "The log is not delivered anywhere",
			Text: "Syslog, a file, Splunk and Elasticsearch are set up by the settings AUDIT_LOG_…, " +
				"programs of your own by webhooks.",
			Link: &Link{"Settings", Root + "/settings?search=AUDIT_LOG"},
		}
	}
	if q.actor.Can(admin.ScopeAll) {
		v.Clean = &Link{"Remove old events", Root + "/audit/sinks/cleanup"}
	}
	v.Same = s.same("GET", "/api/v1/audit-sinks", nil, "audit", "sinks")
	return s.show(w, http.StatusOK, v)
}

// cleanupAction removes the events that are older than the settings keep them.
func (s *Server) cleanupAction() action[*Link] {
	return action[*Link]{
		server: s, ops: []string{"CleanupAudit"},
		name: "cleanup", title: "Remove old events", button: "Remove them now", danger: true,
		text: func(*Link) string {
			return "Removes the events that are older than AUDIT_LOG_RETENTION_DAYS says, as the server " +
				"does by itself at its time."
		},
		ends: func(*Link) []string {
			return []string{
				"Events that a sink or a webhook has not received yet stay.",
				"The log can still be verified: what was removed is recorded.",
			}
		},
		same: func(*Link, url.Values) Same {
			return s.same("POST", "/api/v1/audit-logs/cleanup", nil, "audit", "cleanup")
		},
		do: func(ctx context.Context, q *request, _ *Link) error {
			_, err := s.ops.CleanupAudit(ctx, q.actor)
			return err
		},
		done: func(back *Link) string { return with(back.URL, "done", "cleaned") },
		back: func(back *Link) Link { return *back },
	}
}

// loadSinks returns the link to the page of sinks, for those who may remove events.
func (s *Server) loadSinks(_ *http.Request, q *request) (*Link, error) {
	return &Link{"Proof and delivery of the log", Root + "/audit/sinks"}, s.mayChange(q, admin.ScopeAll)
}

// treeFacts returns how far the log can be proved.
func (b *Base) treeFacts(x *admin.AuditState) []Fact {
	var facts []Fact
	if x.Head != nil {
		facts = append(facts,
			Fact{Name: "Pages in the tree", Cell: textCell(grouped(int(x.Head.Size)))},
			Fact{Name: "Root", Cell: codeCell(x.Head.Root.String())})
	}
	signed := Cell{Never: "None yet"}
	if c := x.Checkpoint; c != nil {
		signed = Cell{Text: "Of " + count(int(c.Size), "page") + ", " + b.When(c.At).Relative}
	}
	facts = append(facts, Fact{Name: "Last checkpoint", Cell: signed})
	for _, key := range x.Keys {
		facts = append(facts, Fact{Name: "Signed by", Cell: codeCell(key)})
	}
	return append(facts, Fact{Name: "To verify the log", Cell: codeCell("gatehouse audit verify")})
}

func (b *Base) sinkState(x *audit.Sink) Cell {
	switch x.State() {
	case "active":
		return badgeCell("good", "Active")
	case "failing":
		c := badgeCell("bad", "Failing")
		c.Sub = x.LastError
		if next := b.When(x.NextAttemptAt); next.Known() {
			c.Sub += " (next attempt " + next.Relative + ")"
		}
		return c
	}
	return badgeCell("plain", "Off")
}

// gapTable lists the events that sinks do not have.
func (b *Base) gapTable(all []audit.Gap) Table {
	t := Table{Caption: "Gaps", Columns: []Column{
		{Name: "Sink"}, {Name: "Events", Num: true}, {Name: "State"}, {Name: "Since", Wide: true},
	}}
	for i := range all {
		x := &all[i]
		state := badgeCell("warn", "Tried again")
		if x.Parked {
			state = badgeCell("bad", "Given up")
		}
		state.Sub = reasonName(x.Reason)
		if x.Error != "" {
			state.Sub = x.Error
		}
		t.Rows = append(t.Rows, Row{ID: x.ID, Name: x.Sink, Cells: []Cell{
			codeCell(x.Sink), textCell(grouped(int(x.Events))), state, b.timeCell(x.CreatedAt, ""),
		}})
	}
	return t
}
