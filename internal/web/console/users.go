package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// userSection lists the accounts. Its other pages are in user.go, userforms.go and useractions.go.
func (s *Server) userSection() section {
	return section{
		path:  "/users",
		name:  "Users",
		icon:  "users",
		group: "People",
		scope: admin.ScopeUsersRead,
		routes: slices.Concat([]route{
			{"GET /admin/users", []string{"Users", "Locks"}, s.showUsers},
			{"GET /admin/users/new", nil, s.showNewUser},
			{"GET /admin/users/import", nil, s.showImport},
			{"POST /admin/users/import", []string{"ImportUsers", "ImportClients"}, s.postImport},
			{"GET /admin/imports/{import}", nil, s.showImportJob},
			{"GET /admin/imports/{import}/refused", nil, s.exportRefused},
			{"POST /admin/imports/{import}/stop", nil, s.postStopImport},
			{"GET /admin/users/bulk", nil, s.showBulk},
			{"POST /admin/users/bulk", []string{"BulkUsers"}, s.postBulk},
			{"GET /admin/jobs/{job}", []string{"BulkAction"}, s.showJob},
			{"POST /admin/jobs/{job}/stop", []string{"StopBulkAction"}, s.postStopJob},
			{"GET /admin/users/export", []string{"ExportUsers"}, s.exportUsers},
			{"POST /admin/users", []string{"CreateUser", "InviteUser"}, s.postNewUser},
			{"GET /admin/users/{id}", []string{"UserDetail", "Sessions", "UserAuthorizations", "PasswordStatus", "Events"}, s.showUser},
			{"GET /admin/users/{id}/edit", nil, s.showEditUser},
			{"POST /admin/users/{id}/edit", []string{"UpdateUser"}, s.postEditUser},
			{"GET /admin/users/{id}/password", nil, s.showPassword},
			{"POST /admin/users/{id}/password", []string{"SetPassword", "CreatePasswordLink"}, s.postPassword},
			{"POST /admin/users/{id}/sessions/{session}/revoke", []string{"RevokeSession"}, s.postUserSession},
		}, s.userActionRoutes(),
			actionRoutes("/admin/users/{id}/factors/{factor}", s.removeFactorAction(), s.loadPart),
			actionRoutes("/admin/users/{id}/apps/{app}", s.revokeAppAction(), s.loadPart)),
		views: []View{&UsersView{}, &UserView{}, &NewUserView{}, &EditUserView{}, &PasswordView{}, &BulkView{}, &JobView{}, &ImportView{}, &ImportJobView{}},
		notes: userNotes(),
	}
}

// UsersView lists accounts.
type UsersView struct {
	Base
	Search Search
	Table  Table
	Pager  Pager
	Empty  *Empty   // instead of the list, or nil
	Bulk   []Choice // what can be done with the selected users
	All    string   // "all 1,204 users", where the list has more than this page; or ""
	Filter []Pair   // what selects all of them
	Export string   // address of the list as CSV
	Import string   // address of the page that imports users, or ""
	Same   Same
}

// Page names the template.
func (*UsersView) Page() string { return "users" }

// userFilters returns the parameters of the list's address that select and sort accounts.
func userFilters() []string { return []string{"search", "status", "role", "verified", "sort"} }

// userQuery returns which accounts a form selects.
func userQuery(form url.Values) admin.UserQuery {
	query := admin.UserQuery{
		Search: form.Get("search"),
		Status: form.Get("status"),
		Role:   form.Get("role"),
		Page:   pageOf(form),
		Sort:   sortOf(form),
	}
	if v := form.Get("verified"); v != "" {
		verified := v == "yes"
		query.Verified = &verified
	}
	return query
}

func (s *Server) showUsers(w http.ResponseWriter, r *http.Request, q *request) error {
	query := userQuery(q.form)
	page, err := s.ops.Users(r.Context(), q.actor, query)
	if err != nil {
		return err
	}
	locks, err := s.ops.Locks(r.Context(), q.actor, idsOf(page.Items))
	if err != nil {
		return err
	}
	v := &UsersView{Base: s.begin(r, q, "Users")}
	if q.actor.Can(admin.ScopeUsersWrite) {
		v.Primary = &Link{Text: "New user", URL: Root + "/users/new"}
		v.Import = importPath
		for _, a := range bulkActions() {
			v.Bulk = append(v.Bulk, Choice{Value: string(a.action), Text: a.button})
		}
	}
	v.Export = keep(Root+"/users/export", q.form, userFilters())
	if v.Search, err = s.userSearch(r.Context(), q); err != nil {
		return err
	}
	v.Table = userTable(q.form)
	v.Table.Picks = len(v.Bulk) > 0
	for i := range page.Items {
		u := &page.Items[i]
		_, locked := locks[u.ID]
		v.Table.Rows = append(v.Table.Rows, v.userRow(u, locked || !u.LockedAt.IsZero()))
	}
	v.Pager = pagerOf(page, Root+"/users", q.form, userFilters(), "user")
	if v.Pager.Next != "" || v.Pager.First != "" {
		v.All = "all " + v.Pager.Total
		for _, name := range []string{"search", "status", "role", "verified"} {
			if value := q.form.Get(name); value != "" {
				v.Filter = append(v.Filter, Pair{name, value})
			}
		}
	}
	if v.Empty = nothingYet(len(page.Items), v.Pager); v.Empty == nil {
		v.Empty = noUsers(v.Search.Active, len(page.Items))
	}
	v.Same = s.userListSame(q.form)
	return s.show(w, http.StatusOK, v)
}

func idsOf(users []identity.User) []identity.UserID {
	ids := make([]identity.UserID, len(users))
	for i := range users {
		ids[i] = users[i].ID
	}
	return ids
}

// userListSame returns what lists the accounts that a form selects.
func (s *Server) userListSame(form url.Values) Same {
	verified := map[string]string{"yes": "true", "no": "false"}[form.Get("verified")]
	path := keep("/api/v1/users", form, []string{"search", "status", "role", "sort"}, "email_verified", verified)
	return s.same("GET", path, nil, "user", "list", "--search="+form.Get("search"), "--status="+form.Get("status"),
		"--role="+form.Get("role"), "--verified="+form.Get("verified"), "--sort="+form.Get("sort"))
}

// userSearch returns the form that searches and filters the list.
func (s *Server) userSearch(ctx context.Context, q *request) (Search, error) {
	out := Search{
		Action: Root + "/users",
		Label:  "Search users",
		Hint:   "Name, username or email",
		Text:   q.form.Get("search"),
	}
	for _, name := range []string{"search", "status", "role", "verified"} {
		out.Active = out.Active || q.form.Get(name) != ""
	}
	if sort := q.form.Get("sort"); sort != "" {
		out.Keep = []Pair{{"sort", sort}}
	}
	out.Filters = []Filter{
		newFilter(q.form, "status", "Status", "", "All", admin.UserActive, "Active", admin.UserLocked, "Locked",
			admin.UserDisabled, "Disabled"),
		newFilter(q.form, "verified", "Email", "", "All", "yes", "Verified", "no", "Not verified"),
	}
	var chosen []string
	if role := q.form.Get("role"); role != "" {
		chosen = []string{role}
	}
	roles, further, err := s.roleChoices(ctx, q, chosen)
	if err != nil {
		return out, err
	}
	choices := []string{"", "All"}
	for _, x := range roles {
		choices = append(choices, x.Name, x.Name)
	}
	if further != "" {
		choices = append(choices, further, further)
	}
	out.Filters = append(out.Filters, newFilter(q.form, "role", "Role", choices...))
	return out, nil
}

// userTable returns the list without its rows.
func userTable(form url.Values) Table {
	sorted := func(by string) Sort { return sortBy(Root+"/users", form, userFilters(), by) }
	return Table{
		Caption: "Users",
		Columns: []Column{
			{Name: "Name", Sort: sorted(admin.OrderName)},
			{Name: "Status"},
			{Name: "Roles", Wide: true},
			{Name: "Last sign-in", Wide: true, Sort: sorted(admin.OrderLastLogin)},
			{Name: "Created", Wide: true, Sort: sorted(admin.OrderCreated)},
		},
	}
}

// noUsers returns the hint in the place of an empty list, or nil.
func noUsers(searched bool, n int) *Empty {
	switch {
	case n > 0:
		return nil
	case searched:
		return &Empty{
			Icon:  "search",
			Title: "No user matches",
			Text:  "The search finds the beginnings of names, usernames and email addresses.",
			Link:  &Link{Text: "Show all users", URL: Root + "/users"},
		}
	}
	return &Empty{
		Icon:    "users",
		Title:   "There are no users yet",
		Text:    "Users are the people who sign in. Create one here, invite them by mail, or import them.",
		Command: "gatehouse user create --email anna@example.com",
	}
}

// userRow returns the line of an account in the list.
func (v *UsersView) userRow(u *identity.User, locked bool) Row {
	name := Cell{Text: u.Label(), URL: at("/users", string(u.ID)), Mark: initials(u.Label())}
	if second := u.LoginName(); second != name.Text {
		name.Sub = second
	}
	return Row{
		ID:   string(u.ID),
		Name: u.Label(),
		Cells: []Cell{
			name,
			userStatus(u, locked),
			textCell(strings.Join(u.Roles, ", ")),
			v.timeCell(u.LastLoginAt, "Never"),
			v.timeCell(u.CreatedAt, ""),
		},
	}
}

// userStatus returns whether an account can sign in.
func userStatus(u *identity.User, locked bool) Cell {
	switch {
	case u.Disabled:
		return badgeCell("plain", "Disabled")
	case locked || !u.LockedAt.IsZero():
		return badgeCell("bad", "Locked")
	case u.Unclaimed():
		return badgeCell("warn", "Invited")
	}
	return badgeCell("good", "Active")
}

// same returns the API call and the command that do the same as a page.
func (s *Server) same(method, path string, body any, args ...string) Same {
	return Same{
		Args:   slices.DeleteFunc(args, func(a string) bool { return strings.HasSuffix(a, "=") }),
		Method: method,
		Path:   path,
		Body:   body,
		issuer: s.cfg.Issuer,
	}
}
