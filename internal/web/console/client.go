package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
)

// ClientView shows a client with what belongs to it.
type ClientView struct {
	Base
	Config   []Fact
	Secrets  Table // without columns where the client has none
	Grants   *ClientGrantList
	Snippets []Snippet
	Test     *Link // signs in as the app would, or nil
	Denials  Table // failures of the client, of the audit log
	Refused  *Link // all of them, or nil
	Gateway  Table // what the gateway has denied to it
	Gate     *Link // all of that, or nil
	Events   Table
	Log      *Link // all events of the client, or nil
	Actions  []Link
	Buttons  []Button
	Same     Same
}

// Page names the template.
func (*ClientView) Page() string { return "client" }

func (s *Server) showClient(w http.ResponseWriter, r *http.Request, q *request) error {
	c, err := s.loadClient(r, q)
	if err != nil {
		return err
	}
	v := &ClientView{Base: s.begin(r, q, clientName(c))}
	v.Lead = c.Description
	v.Crumbs = []Link{{"Clients", Root + "/clients"}}
	v.Config = s.clientFacts(&v.Base, c)
	write := q.actor.Can(admin.ScopeClientsWrite)
	if c.HasSecret() || len(c.Secrets) > 0 {
		v.Secrets = v.secretTable(c, write)
	}
	v.Snippets = s.snippets(c)
	if canTest(c) {
		v.Test = &Link{"Test sign-in", at("/clients", string(c.ID), "test")}
	}
	if err := s.clientGrants(r, v, q, c); err != nil {
		return err
	}
	if q.actor.Can(admin.ScopeAuditRead) {
		if err := s.clientEvents(r.Context(), v, q, c); err != nil {
			return err
		}
	}
	if write {
		v.Primary = &Link{"Edit", at("/clients", string(c.ID), "edit")}
		v.Actions, v.Buttons = s.clientActionsOf(c)
	}
	v.Same = s.same("GET", clientAPI(c), nil, "client", "show", string(c.ID))
	if c.Disabled && write {
		v.Same = v.Same.also("Enable", s.same("PATCH", clientAPI(c), map[string]any{"disabled": false},
			"client", "update", string(c.ID), "--no-disabled"))
	}
	return s.show(w, http.StatusOK, v)
}

// clientLabels returns what people call the fields of a client.
func clientLabels(r client.Rules) map[string]string {
	out := map[string]string{"client_name": "Name", "public": "Type", "disabled": "State", fieldGrants: "Grants"}
	for _, g := range slices.Concat(clientGroups(""), advancedClientGroups(r)) {
		for _, x := range g.inputs {
			if out[x.name] == "" {
				out[x.name] = x.label
			}
		}
	}
	return out
}

// clientFacts returns the registration of a client.
func (s *Server) clientFacts(b *Base, c *client.Client) []Fact {
	rules := s.ops.Rules()
	labels := clientLabels(rules)
	facts := []Fact{{Name: "Client ID", Cell: codeCell(string(c.ID))}}
	for _, f := range client.Fields(rules) {
		label := labels[f.Name]
		if label == "" {
			label = fieldLabel(f.Name)
		}
		switch {
		case f.Name == "client_name" || f.Name == "description": // on the page already
		case f.Show != nil:
			if shown := f.Show(c); shown != "" {
				facts = append(facts, Fact{Name: label, Cell: textCell(shown)})
			}
		case f.IsZero(c):
		case f.Switch != nil:
			facts = append(facts, Fact{Name: label, Cell: badgeCell("plain", "Yes")})
		case f.List != nil && f.Separators == "":
			for _, item := range *f.List(c) {
				facts = append(facts, Fact{Name: label, Cell: codeCell(item)})
				label = ""
			}
		default:
			facts = append(facts, Fact{Name: label, Cell: textCell(f.String(c))})
		}
	}
	if len(c.JWKS) > 0 {
		facts = append(facts, Fact{Name: labels["jwks"], Cell: badgeCell("plain", "Registered")})
	}
	if by := c.Registration.By; by != "" {
		facts = append(facts, Fact{Name: "Registered by", Cell: textCell(by)})
	}
	return append(facts,
		Fact{Name: "Created", Cell: b.timeCell(c.CreatedAt, "")},
		Fact{Name: "Changed", Cell: b.timeCell(c.UpdatedAt, "")})
}

// secretTable lists the secrets of a client.
func (b *Base) secretTable(c *client.Client, write bool) Table {
	t := Table{
		Caption: "Secrets",
		Columns: []Column{{Name: "Secret"}, {Name: "State"}, {Name: "Created", Wide: true}, {Name: "Expires"}},
	}
	for i := range c.Secrets {
		x := &c.Secrets[i]
		state := badgeCell("good", "Active")
		switch {
		case !x.Active(b.Now):
			state = badgeCell("plain", "Expired")
		case !x.Active(b.Now.Add(expiringSoon)):
			state = badgeCell("warn", "Expires soon")
		}
		row := Row{ID: x.ID, Name: x.ID, Cells: []Cell{
			codeCell(x.ID), state, b.timeCell(x.CreatedAt, ""), b.timeCell(x.ExpiresAt, "Never"),
		}}
		if write {
			row.Links = []Link{{"Remove", at("/clients", string(c.ID), "secrets", url.PathEscape(x.ID), "remove")}}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// clientEvents sets the last denials and events of a client.
func (s *Server) clientEvents(ctx context.Context, v *ClientView, q *request, c *client.Client) error {
	id := string(c.ID)
	failures, err := s.ops.Events(ctx, q.actor, admin.AuditQuery{Client: id, Failures: true, Limit: fewEvents})
	if err != nil {
		return err
	}
	if v.Denials = s.eventTable(&v.Base, "Last failures", failures, true); failures.Next != "" {
		v.Refused = &Link{"All failures", with(Root+"/audit", "client", id, "failed", "true")}
	}
	denied, err := s.ops.Denials(ctx, q.actor, admin.DenialQuery{Client: id, Page: admin.Page{Limit: fewEvents}})
	if err != nil {
		return err
	}
	if v.Gateway = s.denialTable(&v.Base, denied.Items); denied.Next != "" {
		v.Gate = &Link{"All denials of the last day", with(Root+"/audit/denials", "client", id)}
	}
	page, err := s.ops.Events(ctx, q.actor, admin.AuditQuery{Client: id, Limit: fewEvents})
	if err != nil {
		return err
	}
	v.Events = s.eventTable(&v.Base, "Recent activity", page, true)
	v.Log = &Link{"All events", with(Root+"/audit", "client", id)}
	return nil
}
