package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// fewGrants is how many grants the page of a client shows before somebody asks for more.
const fewGrants = 10

// ClientGrantList is the access that a client has now.
type ClientGrantList struct {
	Find  *Search // finds those of a person, or nil
	Table Table
	Note  string // there are more
	All   *Link  // shows more, or nil
	End   *Link  // asks before it revokes everything, or nil
}

// clientGrants sets the live grants of a client.
func (s *Server) clientGrants(r *http.Request, v *ClientView, q *request, c *client.Client) error {
	user := strings.TrimSpace(q.form.Get("user"))
	all, err := s.ops.ClientGrants(r.Context(), q.actor, string(c.ID), user)
	switch {
	case user != "" && fault.Is(err, fault.NotFound):
		v.Problem, all = "There is no user "+user+".", &admin.ClientGrants{}
	case err != nil:
		return err
	}
	page, write := at("/clients", string(c.ID)), q.actor.Can(admin.ScopeClientsWrite)
	grants, people := all.Grants, q.actor.Can(admin.ScopeUsersRead)
	list := &ClientGrantList{}
	if people && (user != "" || len(grants) > fewGrants) {
		list.Find = &Search{Action: page, Active: user != "", Texts: []TextFilter{
			{Name: "user", Label: "Person", Value: user, Hint: "Email, username or id"},
		}}
	}
	if len(grants) > fewGrants && q.form.Get("grants") == "" {
		grants = grants[:fewGrants]
		list.All = &Link{"Show more", with(page, "grants", "all", "user", user) + "#h-grants"}
	}
	list.Note = "Each is one browser, device or program that holds tokens."
	if all.More {
		list.Note = "These are a part of all: look for a person to see theirs."
	}
	if write && len(grants) > 0 {
		list.End = &Link{"Revoke all", at("/clients", string(c.ID), "revoke-tokens")}
	}
	list.Table = s.grantTable(&v.Base, c, grants, people, write)
	v.Grants = list
	return nil
}

// grantTable lists grants of a client; with people it says whose they are.
func (s *Server) grantTable(b *Base, c *client.Client, grants []admin.ClientGrant, people, write bool) Table {
	t := Table{Caption: "Live grants", Columns: []Column{
		{Name: "Person"}, {Name: "Device", Wide: true}, {Name: "Scopes", Wide: true}, {Name: "Began", Wide: true}, {Name: "Last used"},
	}}
	for i := range grants {
		g := &grants[i]
		who, where := Cell{Text: "A person"}, Cell{Never: "–"}
		switch {
		case g.Kind == client.GrantTypeClient:
			who = Cell{Text: "The app itself"}
		case people && g.UserName != "":
			who = Cell{Text: g.UserName, URL: at("/users", string(g.User)), Mark: initials(g.UserName)}
		}
		if people {
			where = Cell{Text: device(g.Agent), Sub: s.place(g.IP).Text}
		}
		row := Row{ID: string(g.ID), Name: who.Text, Cells: []Cell{
			who, where, textCell(strings.Join(g.Scopes, " ")), b.timeCell(g.CreatedAt, ""), b.timeCell(g.LastUsedAt, ""),
		}}
		if write {
			row.Links = []Link{{"Revoke", at("/clients", string(c.ID), "grants", url.PathEscape(string(g.ID)), "revoke")}}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// grantOfClient is one grant of a client.
type grantOfClient struct {
	client *client.Client
	id     oauth.GrantID
	whose  string // or ""
}

func (s *Server) loadGrant(r *http.Request, q *request) (*grantOfClient, error) {
	if err := s.mayChange(q, admin.ScopeClientsWrite); err != nil {
		return nil, err
	}
	all, err := s.ops.ClientGrants(r.Context(), q.actor, r.PathValue("client"), "")
	if err != nil {
		return nil, err
	}
	g := &grantOfClient{client: all.Client, id: oauth.GrantID(r.PathValue("grant"))}
	for i := range all.Grants {
		if all.Grants[i].ID == g.id {
			g.whose = all.Grants[i].UserName
		}
	}
	return g, nil
}

func (s *Server) revokeGrantAction() action[*grantOfClient] {
	return action[*grantOfClient]{
		server: s, ops: []string{"RevokeClientGrant"},
		name: "revoke", title: "Revoke a grant", button: "Revoke", danger: true,
		text: func(g *grantOfClient) string {
			whose := "one browser, device or program"
			if g.whose != "" {
				whose = g.whose + " on one browser or device"
			}
			return "Ends the access that " + clientName(g.client) + " has for " + whose + "."
		},
		ends: func(*grantOfClient) []string {
			return []string{
				"Its refresh token and access tokens end. The app must sign in again there.",
				"Consent stays: it can sign in again without being asked.",
			}
		},
		same: func(g *grantOfClient, _ url.Values) Same {
			return s.same("DELETE", clientAPI(g.client, "grants", url.PathEscape(string(g.id))), nil,
				"client", "grants", "revoke", string(g.client.ID), string(g.id))
		},
		do: func(ctx context.Context, q *request, g *grantOfClient) error {
			return s.ops.RevokeClientGrant(ctx, q.actor, string(g.client.ID), g.id)
		},
		done: func(g *grantOfClient) string { return clientDone("grant")(g.client) },
		back: func(g *grantOfClient) Link { return clientLink(g.client) },
		at: func(g *grantOfClient) string {
			return at("/clients", string(g.client.ID), "grants", url.PathEscape(string(g.id)), "revoke")
		},
	}
}
