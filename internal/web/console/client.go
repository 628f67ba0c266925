package console

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// ClientView shows a client with what belongs to it.
type ClientView struct {
	Base
	Config   []Fact
	Secrets  Table // without columns where the client has none
	Grants   *ClientGrantList
	Snippets []Snippet
	Test     *Link // signs in as the app would, or nil
	Denials  Table
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
	if c.CanUseGrant(client.GrantTypeCode) && len(c.Redirects) > 0 && !c.Disabled {
		v.Test = &Link{"Test sign-in", testSignIn(s.cfg.Issuer, c)}
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
	v.Same = s.same("GET", "/api/v1/clients/"+url.PathEscape(string(c.ID)), nil, "client", "show", string(c.ID))
	return s.show(w, http.StatusOK, v)
}

// testSignIn returns the address at which an app begins a sign-in.
func testSignIn(issuer string, c *client.Client) string {
	sum := sha256.Sum256([]byte(secret.NewToken(secret.PrefixSession)))
	scope := oauth.ScopeOpenID
	if !slices.Contains(c.Scopes, scope) {
		scope = ""
	}
	return with(issuer+"/oauth/authorize",
		"client_id", string(c.ID),
		"response_type", "code",
		"redirect_uri", c.Redirects[0],
		"scope", scope,
		"state", "test-from-the-console",
		"code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]),
		"code_challenge_method", "S256",
	)
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
	page, err := s.ops.Events(ctx, q.actor, admin.AuditQuery{Client: string(c.ID), Limit: 5 * fewEvents})
	if err != nil {
		return err
	}
	denials := admin.EventPage{Names: page.Names, Clients: page.Clients}
	for i := range page.Events {
		if e := &page.Events[i]; e.Reason != "" && len(denials.Events) < fewEvents {
			denials.Events = append(denials.Events, *e)
		}
	}
	page.Events = page.Events[:min(fewEvents, len(page.Events))]
	v.Denials = s.eventTable(&v.Base, "Last denials", &denials, true)
	v.Events = s.eventTable(&v.Base, "Recent activity", page, true)
	v.Log = &Link{"All events", with(Root+"/audit", "client", string(c.ID))}
	explainRows(&v.Denials, denials.Events)
	return nil
}
