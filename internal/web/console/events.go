package console

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// fewEvents is how many events the pages of other things show.
const fewEvents = 10

// userEvents lists the last events that concern an account.
func (s *Server) userEvents(ctx context.Context, b *Base, q *request, u *identity.User) (Table, error) {
	page, err := s.ops.Events(ctx, q.actor, admin.AuditQuery{User: string(u.ID), Limit: fewEvents})
	if err != nil {
		return Table{}, err
	}
	return s.eventTable(b, "Recent activity", page, false), nil
}

// eventTable lists events; with people it names the accounts that they concern.
func (s *Server) eventTable(b *Base, caption string, page *admin.EventPage, people bool) Table {
	t := Table{Caption: caption, Columns: []Column{{Name: "Event"}}}
	if people {
		t.Columns = append(t.Columns, Column{Name: "Who"})
	}
	t.Columns = append(t.Columns, Column{Name: "From", Wide: true}, Column{Name: "Time"})
	for i := range page.Events {
		e := &page.Events[i]
		what := Cell{Text: eventName(e.Type), Sub: reasonName(e.Reason), URL: at("/audit", e.ID)}
		row := Row{ID: e.ID, Name: what.Text, Cells: []Cell{what}}
		if e.Reason != "" && e.RequestID != "" {
			row.Links = []Link{{"Explain", with(Root+"/audit/explain", "request", e.RequestID)}}
		}
		if people {
			row.Cells = append(row.Cells, whoCell(e, page))
		}
		row.Cells = append(row.Cells, s.place(e.IP), b.timeCell(e.At, ""))
		t.Rows = append(t.Rows, row)
	}
	return t
}

// whoCell names the account that an event concerns, or who caused it.
func whoCell(e *audit.Event, page *admin.EventPage) Cell {
	for _, id := range []string{e.User, e.Actor} {
		if name := page.Names[id]; name != "" {
			return linkCell(name, at("/users", id))
		}
	}
	if e.User != "" {
		return Cell{Text: e.User, Code: true}
	}
	return actorCell(e, page)
}
