package console

import (
	"net/http"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
)

// clientBulkPath is the page that asks before several clients are deleted.
const clientBulkPath = Root + "/clients/bulk"

// pickedClients returns the selected clients. Those that have been deleted meanwhile are left out.
func (s *Server) pickedClients(r *http.Request, q *request) ([]*client.Client, error) {
	ids := q.picked("pick-")
	slices.Sort(ids)
	switch {
	case len(ids) == 0:
		return nil, fault.New(fault.Invalid, "No client is selected, so nothing was done.")
	case len(ids) > pageSize:
		return nil, fault.New(fault.Invalid, "Select at most %d clients.", pageSize)
	}
	var out []*client.Client
	for _, id := range ids {
		c, err := s.ops.Client(r.Context(), q.actor, id)
		switch {
		case err == nil && string(c.ID) == id:
			out = append(out, c)
		case err != nil && !fault.Is(err, fault.NotFound):
			return nil, err
		}
	}
	if len(out) == 0 {
		return nil, fault.New(fault.NotFound, "The selected clients no longer exist.")
	}
	return out, nil
}

func (s *Server) showDeleteClients(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeClientsWrite); err != nil {
		return err
	}
	all, err := s.pickedClients(r, q)
	if err != nil {
		return err
	}
	v := &BulkView{
		Base: s.begin(r, q, "Delete clients"), Action: clientBulkPath, Danger: true,
		Button: "Delete " + count(len(all), "client"),
		Ends: []string{
			"Everybody who uses these apps is signed out of them: all their tokens are revoked.",
			"Programs that use their secrets can no longer authenticate.",
			"What people have allowed them is deleted. The audit log keeps its events.",
			"This cannot be undone.",
		},
	}
	v.Back = Link{"Clients", Root + "/clients"}
	v.Crumbs = []Link{v.Back}
	v.Things = Table{Caption: "Selected clients", Columns: []Column{
		{Name: "Client"}, {Name: "Type"}, {Name: "Redirect URI", Wide: true}, {Name: "Created", Wide: true},
	}}
	args, ids := []string{"client", "delete"}, []string{}
	for _, c := range all {
		row := s.clientRow(&v.Base, c)
		row.Cells = slices.Delete(row.Cells, 2, 3) // the grants
		v.Things.Rows = append(v.Things.Rows, row)
		v.Hidden = append(v.Hidden, Pair{"pick-" + string(c.ID), "on"})
		args, ids = append(args, string(c.ID)), append(ids, string(c.ID))
	}
	v.Same = s.same("POST", "/api/v1/clients/bulk", map[string]any{"action": "delete", "ids": ids}, append(args, "--yes")...)
	return s.show(w, http.StatusOK, v)
}

// postDeleteClients deletes the selected clients, and says which were refused and why.
func (s *Server) postDeleteClients(w http.ResponseWriter, r *http.Request, q *request) error {
	all, err := s.pickedClients(r, q)
	if err != nil {
		return err
	}
	ids, names := make([]client.ID, len(all)), map[client.ID]string{}
	for i, c := range all {
		ids[i], names[c.ID] = c.ID, clientName(c)
	}
	done, err := s.ops.DeleteClients(r.Context(), q.actor, ids)
	if err != nil {
		return err
	}
	if len(done.Refused) == 0 {
		return seeOther(w, r, Root+"/clients?done=several")
	}
	v := &JobView{Base: s.begin(r, q, "Delete clients"), Back: Link{"Clients", Root + "/clients"}}
	v.Crumbs = []Link{v.Back}
	v.Facts = []Fact{
		{Name: "Deleted", Cell: textCell(grouped(len(done.Deleted)) + " of " + count(len(ids), "client"))},
		{Name: "Refused", Cell: textCell(grouped(len(done.Refused)))},
	}
	v.Problem = count(len(done.Refused), "client") + " could not be deleted. The list says why."
	v.Refused = Table{Caption: "Refused", Columns: []Column{{Name: "Client"}, {Name: "Why"}}}
	for _, x := range done.Refused {
		v.Refused.Rows = append(v.Refused.Rows, Row{ID: string(x.ID), Name: names[x.ID], Cells: []Cell{
			{Text: names[x.ID], URL: at("/clients", string(x.ID)), Sub: string(x.ID)}, textCell(sentence(x.Error)),
		}})
	}
	return s.show(w, http.StatusOK, v)
}
