package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// clientSection lists the apps that are registered. Its other pages are in client.go, clientform.go
// and clientactions.go.
func (s *Server) clientSection() section {
	return section{
		path:  "/clients",
		name:  "Clients",
		icon:  "apps",
		group: "Apps",
		scope: admin.ScopeClientsRead,
		routes: slices.Concat([]route{
			{"GET /admin/clients", []string{"Clients"}, s.showClients},
			{"GET /admin/clients/new", nil, s.showNewClient},
			{"GET /admin/clients/export", []string{"ExportClients"}, s.exportClients},
			{"GET " + clientBulkPath, nil, s.showDeleteClients},
			{"POST " + clientBulkPath, []string{"DeleteClients"}, s.postDeleteClients},
			{"POST /admin/clients", []string{"CreateClient"}, s.postNewClient},
			{"GET /admin/clients/{client}", []string{"Client", "ClientGrants", "Events", "Denials"}, s.showClient},
			{"GET /admin/clients/{client}/edit", nil, s.showEditClient},
			{"POST /admin/clients/{client}/edit", []string{"UpdateClient"}, s.postEditClient},
			{"GET /admin/clients/{client}/test", nil, s.showSignInTest},
			{"POST /admin/clients/{client}/test", []string{"BeginSignInTest"}, s.postSignInTest},
			{"GET " + oauth.TestPath, []string{"EndSignInTest"}, s.showSignInResult},
		}, s.clientActionRoutes()),
		views: []View{&ClientsView{}, &ClientView{}, &ClientFormView{}, &ClientResultView{}, &SignInTestView{}, &SignInResultView{}},
		notes: map[string]string{
			"created":  "The client was registered.",
			"updated":  "The changes were saved.",
			"deleted":  "The client was deleted, and its tokens were revoked.",
			"several":  "The clients were deleted, and their tokens were revoked.",
			"grant":    "The grant was revoked, with its tokens.",
			"disabled": "The client is disabled: every request of it is rejected.",
			"enabled":  "The client is active again.",
			"tokens":   "All tokens of the client were revoked.",
			"rotated":  "The secret was rotated.",
			"removed":  "The secret was removed.",
			"old":      "All secrets but the newest were removed.",
		},
	}
}

// ClientsView lists clients.
type ClientsView struct {
	Base
	Search Search
	Table  Table
	Pager  Pager
	Empty  *Empty // instead of the list, or nil
	Bulk   string // address of the page that deletes the selected clients, or ""
	Export string // address of the list as CSV
	Same   Same
}

// Page names the template.
func (*ClientsView) Page() string { return "clients" }

// clientFilters returns the parameters of the list's address that select and sort clients.
func clientFilters() []string { return []string{"search", "type", "secrets", "sort"} }

// expiringSoon is how long before its end a secret counts as expiring.
const expiringSoon = admin.ExpiringSoon

// clientQuery returns which clients a form selects.
func clientQuery(form url.Values, now time.Time) admin.ClientQuery {
	query := admin.ClientQuery{
		Search: form.Get("search"),
		Type:   form.Get("type"),
		Sort:   sortOf(form),
		Page:   pageOf(form),
	}
	if form.Get("secrets") != "" {
		query.SecretExpiresBefore = now.Add(expiringSoon).Truncate(24 * time.Hour)
	}
	return query
}

func (s *Server) showClients(w http.ResponseWriter, r *http.Request, q *request) error {
	query := clientQuery(q.form, q.now)
	page, err := s.ops.Clients(r.Context(), q.actor, query)
	if err != nil {
		return err
	}
	v := &ClientsView{Base: s.begin(r, q, "Clients")}
	v.Lead = "Apps, services and devices that may request tokens."
	if q.actor.Can(admin.ScopeClientsWrite) {
		v.Primary = &Link{"New client", Root + "/clients/new"}
	}
	v.Search = clientSearch(q.form)
	v.Export = keep(Root+"/clients/export", q.form, clientFilters())
	v.Table = clientTable(q.form)
	if q.actor.Can(admin.ScopeClientsWrite) {
		v.Bulk, v.Table.Picks = clientBulkPath, true
	}
	for _, c := range page.Items {
		v.Table.Rows = append(v.Table.Rows, s.clientRow(&v.Base, c))
	}
	v.Pager = pagerOf(page, Root+"/clients", q.form, clientFilters(), "client")
	if v.Empty = nothingYet(len(page.Items), v.Pager); v.Empty == nil {
		v.Empty = noClients(v.Search.Active, len(page.Items))
	}
	before := ""
	if !query.SecretExpiresBefore.IsZero() {
		before = query.SecretExpiresBefore.UTC().Format(time.RFC3339)
	}
	v.Same = s.same("GET", keep("/api/v1/clients", q.form, []string{"search", "type", "sort"},
		"secret_expires_before", before), nil, "client", "list", "--search="+query.Search, "--type="+query.Type,
		"--sort="+q.form.Get("sort"), "--secret-expires-before="+before)
	return s.show(w, http.StatusOK, v)
}

// clientSearch returns the form that searches and filters the list.
func clientSearch(form url.Values) Search {
	out := Search{
		Action: Root + "/clients",
		Label:  "Search clients",
		Hint:   "Name or client ID",
		Text:   form.Get("search"),
		Filters: []Filter{
			newFilter(form, "type", "Type", "", "All", admin.ClientConfidential, "Confidential",
				admin.ClientPublic, "Public"),
			newFilter(form, "secrets", "Secrets", "", "All", "expiring", "Expire within 30 days"),
		},
	}
	for _, name := range []string{"search", "type", "secrets"} {
		out.Active = out.Active || form.Get(name) != ""
	}
	if sort := form.Get("sort"); sort != "" {
		out.Keep = []Pair{{"sort", sort}}
	}
	return out
}

// clientTable returns the list without its rows.
func clientTable(form url.Values) Table {
	sorted := func(by string) Sort { return sortBy(Root+"/clients", form, clientFilters(), by) }
	return Table{
		Caption: "Clients",
		Columns: []Column{
			{Name: "Name", Sort: sorted(admin.OrderName)},
			{Name: "Type"},
			{Name: "Grants", Wide: true},
			{Name: "Redirect URI", Wide: true},
			{Name: "Created", Wide: true, Sort: sorted(admin.OrderCreated)},
		},
	}
}

// clientRow returns the line of a client in the list.
func (s *Server) clientRow(b *Base, c *client.Client) Row {
	redirect := Cell{}
	if n := len(c.Redirects); n > 0 {
		redirect = Cell{Text: c.Redirects[0]}
		if n > 1 {
			redirect.Sub = "and " + grouped(n-1) + " more"
		}
	}
	return Row{ID: string(c.ID), Name: clientName(c), Cells: []Cell{
		{Text: clientName(c), URL: at("/clients", string(c.ID)), Sub: string(c.ID)},
		clientBadge(c),
		textCell(strings.Join(s.ops.Rules().ShortGrants(c.Grants), ", ")),
		redirect,
		b.timeCell(c.CreatedAt, ""),
	}}
}

// clientName returns what people call a client.
func clientName(c *client.Client) string {
	if c.Name != "" {
		return c.Name
	}
	return string(c.ID)
}

// clientBadge returns the type of a client, or that it is disabled.
func clientBadge(c *client.Client) Cell {
	switch {
	case c.Disabled:
		return badgeCell("bad", "Disabled")
	case c.Unverified():
		return badgeCell("warn", "Unverified")
	case c.Public:
		return badgeCell("plain", "Public")
	}
	return badgeCell("plain", "Confidential")
}

// noClients returns the hint in the place of an empty list, or nil.
func noClients(searched bool, n int) *Empty {
	switch {
	case n > 0:
		return nil
	case searched:
		return &Empty{
			Icon:  "search",
			Title: "No client matches",
			Text:  "The search finds the beginnings of words of names, and of client IDs.",
			Link:  &Link{"Show all clients", Root + "/clients"},
		}
	}
	return &Empty{
		Icon:    "apps",
		Title:   "There are no clients yet",
		Text:    "A client is an app that people sign in to, a service that calls APIs, or a device.",
		Command: "gatehouse client create --name Notes --redirect-uri https://notes.example.com/callback",
	}
}
