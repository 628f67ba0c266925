package console

import (
	"net/http"
	"slices"
	"strconv"
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
			{"POST /admin/users", []string{"CreateUser", "InviteUser"}, s.postNewUser},
			{"GET /admin/users/{id}", []string{"UserDetail", "Sessions", "UserAuthorizations", "UserFactors", "Events"}, s.showUser},
			{"GET /admin/users/{id}/edit", nil, s.showEditUser},
			{"POST /admin/users/{id}/edit", []string{"UpdateUser"}, s.postEditUser},
			{"GET /admin/users/{id}/password", nil, s.showPassword},
			{"POST /admin/users/{id}/password", []string{"SetPassword", "CreatePasswordLink"}, s.postPassword},
			{"POST /admin/users/{id}/sessions/{session}/revoke", []string{"RevokeSession"}, s.postUserSession},
		}, s.userActionRoutes(),
			actionRoutes("/admin/users/{id}/factors/{factor}", s.removeFactorAction(), s.loadPart),
			actionRoutes("/admin/users/{id}/apps/{app}", s.revokeAppAction(), s.loadPart)),
		views: []View{&UsersView{}, &UserView{}, &NewUserView{}, &EditUserView{}, &PasswordView{}},
		notes: userNotes(),
	}
}

// UsersView lists accounts.
type UsersView struct {
	Base
	Search Search
	Table  Table
	Pager  Pager
	Empty  *Empty // instead of the list, or nil
	Same   Same
}

// Page names the template.
func (*UsersView) Page() string { return "users" }

// userFilters returns the parameters of the list's address.
func userFilters() []string { return []string{"search", "offset"} }

func (s *Server) showUsers(w http.ResponseWriter, r *http.Request, q *request) error {
	query := admin.UserQuery{
		Search: q.form.Get("search"),
		Page:   admin.Page{Limit: pageSize, Offset: pageOf(q.form)},
	}
	page, err := s.ops.Users(r.Context(), q.actor, query)
	if err != nil {
		return err
	}
	users, total := page.Items, page.Total
	ids := make([]identity.UserID, len(users))
	for i := range users {
		ids[i] = users[i].ID
	}
	locks, err := s.ops.Locks(r.Context(), q.actor, ids)
	if err != nil {
		return err
	}
	v := &UsersView{Base: s.begin(r, q, "Users")}
	if q.actor.Can(admin.ScopeUsersWrite) {
		v.Primary = &Link{Text: "New user", URL: Root + "/users/new"}
	}
	v.Search = Search{
		Action: Root + "/users",
		Label:  "Search users",
		Hint:   "Name, username or email",
		Text:   query.Search,
		Active: query.Search != "",
	}
	v.Table = Table{
		Caption: "Users",
		Columns: []Column{
			{Name: "Name"},
			{Name: "Status"},
			{Name: "Roles", Wide: true},
			{Name: "Last sign-in", Wide: true},
			{Name: "Created", Wide: true},
		},
	}
	for i := range users {
		u := &users[i]
		_, locked := locks[u.ID]
		v.Table.Rows = append(v.Table.Rows, v.userRow(u, locked))
	}
	v.Pager = offsetPager(Root+"/users", q.form, userFilters(), total, "user")
	v.Empty = noUsers(query.Search != "", len(users))
	v.Same = s.same("GET", with("/api/v1/users", "search", query.Search), nil,
		"user", "list", "--search="+query.Search)
	return s.show(w, http.StatusOK, v)
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
	case locked:
		return badgeCell("bad", "Locked")
	case u.Unclaimed():
		return badgeCell("warn", "Invited")
	}
	return badgeCell("good", "Active")
}

// offsetPager leads to the next page of a list that is paged by an offset.
func offsetPager(path string, form map[string][]string, names []string, total int, noun string) Pager {
	offset := pageOf(form)
	p := Pager{Total: count(total, noun)}
	if offset > 0 {
		p.Prev = keep(path, form, names, "offset", "")
	}
	if offset+pageSize < total {
		p.Next = keep(path, form, names, "offset", strconv.Itoa(offset+pageSize))
	}
	return p
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
