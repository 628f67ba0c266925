package console

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// sessionSection lists the browsers that are signed in.
func (s *Server) sessionSection() section {
	return section{
		path:  "/sessions",
		name:  "Sessions",
		icon:  "laptop",
		group: "People",
		scope: admin.ScopeSessionsRead,
		routes: append([]route{
			{"GET /admin/sessions", []string{"Sessions", "SessionMetrics"}, s.showSessions},
			{"POST /admin/sessions/{session}/revoke", []string{"RevokeSession"}, s.postSession},
		}, actionRoutes("/admin/sessions", s.endSessionsAction(), s.loadSelection)...),
		views: []View{&SessionsView{}, &ConfirmView{}},
		notes: map[string]string{
			"revoked": "The session has ended.",
			"ended":   "The sessions have ended.",
		},
	}
}

// SessionsView lists sessions.
type SessionsView struct {
	Base
	Search Search
	Table  Table
	Pager  Pager
	Empty  *Empty // instead of the list, or nil
	End    *Link  // ends all sessions of the list, or nil
	Same   Same
}

// Page names the template.
func (*SessionsView) Page() string { return "sessions" }

// sessionFilters returns the parameters of the list's address.
func sessionFilters() []string { return []string{"user", "ip", "older_than"} }

// selectionOf returns which sessions a form selects.
func selectionOf(form url.Values) (sel admin.SessionSelection, err error) {
	if age := form.Get("older_than"); age != "" {
		if sel.OlderThan, err = field.ParseDuration(age); err != nil {
			return sel, fault.InvalidField("older_than", "%q is not an age; use one such as 30d or 12h.", age)
		}
	}
	if ip := form.Get("ip"); ip != "" {
		if sel.Network, err = networkOf(ip); err != nil {
			return sel, fault.InvalidField("ip", "%q is not an IP address or network.", ip)
		}
	}
	return sel, nil
}

func networkOf(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		return netip.ParsePrefix(s)
	}
	ip, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	ip = netaddr.Canonical(ip)
	return netip.PrefixFrom(ip, ip.BitLen()), nil
}

func (s *Server) showSessions(w http.ResponseWriter, r *http.Request, q *request) error {
	v := &SessionsView{Base: s.begin(r, q, "Sessions")}
	lead, err := s.sessionLead(r.Context(), q)
	if err != nil {
		return err
	}
	v.Lead = lead
	sel, err := selectionOf(q.form)
	page := &admin.List[identity.Session]{}
	if err == nil {
		page, err = s.ops.Sessions(r.Context(), q.actor, q.form.Get("user"), sel,
			pageOf(q.form))
	}
	switch {
	case fault.Is(err, fault.Invalid):
		if err := retry(&v.Base, q, err); err != nil {
			return err
		}
	case err != nil && !fault.Is(err, fault.NotFound):
		return err
	}
	if page == nil {
		page = &admin.List[identity.Session]{}
	}
	sessions := page.Items
	names, err := s.userNames(r.Context(), q, sessions)
	if err != nil {
		return err
	}
	v.Search = sessionSearch(q.form)
	v.Table = s.sessionTable(&v.Base, q, sessions, names, true)
	v.Pager = pagerOf(page, Root+"/sessions", q.form, sessionFilters(), "session")
	if v.Empty = nothingYet(len(sessions), v.Pager); v.Empty == nil && len(sessions) == 0 {
		v.Empty = &Empty{Icon: "laptop", Title: "No session", Text: "No browser is signed in that the filters select."}
	}
	if len(sessions) > 0 && q.form.Get("user") == "" && q.actor.Can(admin.ScopeSessionsWrite) {
		v.End = &Link{"End all of these", keep(Root+"/sessions/end", q.form, []string{"ip", "older_than"})}
	}
	v.Same = s.same("GET", keep("/api/v1/sessions", q.form, []string{"ip", "older_than"}), nil,
		"session", "list", "--user="+q.form.Get("user"), "--older-than="+q.form.Get("older_than"), "--ip="+q.form.Get("ip"))
	if v.Table.acts() {
		v.Same = v.Same.also("End", s.endSessionSame())
	}
	return s.show(w, v.status(), v)
}

// sessionLead returns what the page lists and, for those who may read the numbers, how many there
// are.
func (s *Server) sessionLead(ctx context.Context, q *request) (string, error) {
	const lead = "Browsers that are signed in."
	if !q.actor.Can(admin.ScopeMetricsRead) {
		return lead, nil
	}
	m, err := s.ops.SessionMetrics(ctx, q.actor, false)
	if err != nil {
		return "", err
	}
	if m.AtLeast {
		return lead + " At least " + count(m.Active, "session") + " of " + count(m.Users, "user") + "; " +
			"at least " + grouped(m.Today) + " began today.", nil
	}
	return lead + " " + count(m.Active, "session") + " of " + count(m.Users, "user") + "; " +
		grouped(m.Today) + " began today.", nil
}

// sessionSearch returns the form that filters the list.
func sessionSearch(form url.Values) Search {
	out := Search{Action: Root + "/sessions"}
	out.Filters = []Filter{newFilter(form, "older_than", "Began",
		"", "Any time", "1d", "More than a day ago", "7d", "More than a week ago", "30d", "More than a month ago")}
	for _, name := range []string{"user", "ip", "older_than"} {
		out.Active = out.Active || form.Get(name) != ""
	}
	out.Texts = []TextFilter{
		{Name: "user", Label: "User", Value: form.Get("user"), Hint: "Email, username or id"},
		{Name: "ip", Label: "Address", Value: form.Get("ip"), Hint: "192.0.2.0/24"},
	}
	return out
}

// userNames returns the accounts of sessions and of those who act in them by their ids, as far as
// the administrator may read them.
func (s *Server) userNames(ctx context.Context, q *request, all []identity.Session) (
	map[identity.UserID]*identity.User, error,
) {
	names := map[identity.UserID]*identity.User{}
	if !q.actor.Can(admin.ScopeUsersRead) {
		return names, nil
	}
	var ids []identity.UserID
	for i := range all {
		ids = append(ids, all[i].User)
		if by := all[i].Impersonator; by.Kind == audit.ActorUser {
			ids = append(ids, identity.UserID(by.ID))
		}
	}
	for _, id := range ids {
		if names[id] != nil {
			continue
		}
		u, err := s.ops.User(ctx, q.actor, string(id))
		if err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
		names[id] = u
	}
	return names, nil
}

// actsAs returns who acts as the person of a session, in a sentence.
func actsAs(x *identity.Session, names map[identity.UserID]*identity.User) string {
	who := "Somebody"
	switch by := x.Impersonator; {
	case by.Kind == audit.ActorCLI:
		who = "The command line"
	case by.Kind == audit.ActorClient:
		who = "The client " + by.ID
	case names[identity.UserID(by.ID)] != nil:
		who = names[identity.UserID(by.ID)].Label()
	case by.ID != "":
		who = "The administrator " + by.ID
	}
	return who + " acts as this person"
}

// sessionTable lists sessions of everybody, or of one person. It names those who act as others.
func (s *Server) sessionTable(
	b *Base, q *request, all []identity.Session, names map[identity.UserID]*identity.User, everybody bool,
) Table {
	t := Table{Caption: "Sessions"}
	if everybody {
		t.Columns = []Column{{Name: "User"}}
	}
	t.Columns = append(t.Columns, Column{Name: "Device"}, Column{Name: "Address", Wide: true},
		Column{Name: "Last used"}, Column{Name: "Signed in", Wide: true})
	for i := range all {
		x := &all[i]
		row := Row{ID: string(x.ID), Name: device(x.Agent)}
		revoke := at("/sessions", string(x.ID), "revoke")
		if everybody {
			who := Cell{Text: string(x.User), Code: true}
			if u := names[x.User]; u != nil {
				who = Cell{Text: u.Label(), URL: at("/users", string(u.ID)), Mark: initials(u.Label())}
			}
			row.Name += " of " + who.Text
			row.Cells = []Cell{who}
		} else {
			revoke = at("/users", string(x.User), "sessions", url.PathEscape(string(x.ID)), "revoke")
		}
		what := Cell{Text: device(x.Agent)}
		switch {
		case x.Impersonated():
			what.Sub = actsAs(x, names)
		case x.ID == q.session.ID:
			what.Sub = "This browser"
		case x.ACR == identity.ACR2:
			what.Sub = "Two-step verification"
		}
		row.Cells = append(row.Cells, what, s.place(x.IP), b.timeCell(x.LastSeenAt, ""), b.timeCell(x.CreatedAt, ""))
		if q.actor.Can(admin.ScopeSessionsWrite) {
			row.Do = []Button{{Text: "End", Action: revoke, Hidden: []Pair{{"page", b.Return}}}}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// userSessions lists the sessions of one account.
func (s *Server) userSessions(ctx context.Context, b *Base, q *request, u *identity.User) (Table, error) {
	page, err := s.ops.Sessions(ctx, q.actor, string(u.ID), admin.SessionSelection{}, admin.Page{Limit: pageSize})
	if err != nil {
		return Table{}, err
	}
	names, err := s.userNames(ctx, q, page.Items)
	if err != nil {
		return Table{}, err
	}
	return s.sessionTable(b, q, page.Items, names, false), nil
}

func (s *Server) postUserSession(w http.ResponseWriter, r *http.Request, q *request) error {
	_, err := s.ops.RevokeSession(r.Context(), q.actor, identity.SessionID(r.PathValue("session")))
	if err != nil && !fault.Is(err, fault.NotFound) { // it has ended already
		return err
	}
	return seeOther(w, r, with(at("/users", r.PathValue("id")), "done", "session-revoked"))
}

func (s *Server) postSession(w http.ResponseWriter, r *http.Request, q *request) error {
	_, err := s.ops.RevokeSession(r.Context(), q.actor, identity.SessionID(r.PathValue("session")))
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return seeOther(w, r, backTo(q, Root+"/sessions", "revoked"))
}

// backTo returns the page that a form stood on, with what has been done, or another page.
func backTo(q *request, page, done string) string {
	u, err := url.Parse(q.form.Get("page"))
	if err != nil || u.Host != "" || u.Scheme != "" || u.Path != page {
		return with(page, "done", done)
	}
	query := u.Query()
	query.Set("done", done)
	return page + "?" + query.Encode()
}

// selectedSessions are sessions that a page asks about.
type selectedSessions struct {
	form  url.Values
	sel   admin.SessionSelection
	total int
}

func (s *Server) loadSelection(r *http.Request, q *request) (*selectedSessions, error) {
	sel, err := selectionOf(q.form)
	if err != nil {
		return nil, err
	}
	page, err := s.ops.Sessions(r.Context(), q.actor, "", sel, admin.Page{Limit: 1, Exact: true})
	if err != nil {
		return nil, err
	}
	return &selectedSessions{q.form, sel, page.Total}, nil
}

func (s *Server) endSessionsAction() action[*selectedSessions] {
	return action[*selectedSessions]{
		server: s, ops: []string{"RevokeSessions"},
		name: "end", title: "End sessions", button: "End sessions", danger: true,
		text: func(x *selectedSessions) string {
			out := count(x.total, "session") + " will end"
			if ip := x.form.Get("ip"); ip != "" {
				out += ", last used at " + ip
			}
			if age := x.form.Get("older_than"); age != "" {
				out += ", which began more than " + age + " ago"
			}
			return out + "."
		},
		ends: func(x *selectedSessions) []string {
			out := []string{"These people must sign in again."}
			if x.form.Get("ip") == "" && x.form.Get("older_than") == "" {
				out = append(out, "Yours is one of them.")
			}
			return out
		},
		same: func(x *selectedSessions, form url.Values) Same {
			args := []string{"session", "revoke", "--older-than=" + form.Get("older_than"), "--ip=" + form.Get("ip")}
			if form.Get("older_than") == "" && form.Get("ip") == "" {
				args = append(args, "--all")
			}
			return s.same("DELETE", keep("/api/v1/sessions", form, []string{"ip", "older_than"}), nil, args...)
		},
		hidden: func(x *selectedSessions) []Pair {
			return []Pair{{"ip", x.form.Get("ip")}, {"older_than", x.form.Get("older_than")}, {"total", strconv.Itoa(x.total)}}
		},
		do: func(ctx context.Context, q *request, x *selectedSessions) error {
			if shown, err := strconv.Atoi(q.form.Get("total")); err != nil || x.total > shown {
				return fault.New(fault.Conflict, "It is %s by now. Look at the number, and send the form again.",
					count(x.total, "session"))
			}
			_, err := s.ops.RevokeSessions(ctx, q.actor, x.sel)
			return err
		},
		done: func(*selectedSessions) string { return with(Root+"/sessions", "done", "ended") },
		back: func(*selectedSessions) Link { return Link{"Sessions", Root + "/sessions"} },
	}
}

// endSessionSame returns the command and the call that end one session.
func (s *Server) endSessionSame() Same {
	return s.same("DELETE", "/api/v1/sessions/SESSION-ID", nil, "session", "revoke", "SESSION-ID")
}
