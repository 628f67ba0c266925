package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// BulkView asks before something is done to several accounts, and says afterwards what became of
// each.
type BulkView struct {
	Base
	Ends    []string
	Inputs  []Input
	Users   Table
	Button  string
	Danger  bool
	Hidden  []Pair
	Results bool // it has been done: Users says what became of each
	Back    Link
}

// Page names the template.
func (*BulkView) Page() string { return "bulk" }

// bulkAction is something that is done to several accounts, each by itself.
type bulkAction struct {
	name, title, button, done string
	danger, reason            bool
	ends                      string
	do                        func(context.Context, *request, identity.UserID) error
}

// bulkActions returns what can be done to several accounts.
func (s *Server) bulkActions() []bulkAction {
	each := func(f func(context.Context, admin.Actor, string) (*identity.User, error)) func(
		context.Context, *request, identity.UserID) error {
		return func(ctx context.Context, q *request, id identity.UserID) error {
			_, err := f(ctx, q.actor, string(id))
			return err
		}
	}
	return []bulkAction{
		{
			name: "lock", title: "Lock accounts", button: "Lock", done: "Locked", danger: true, reason: true,
			ends: "They cannot sign in until an administrator unlocks them. Their sessions and tokens end.",
			do: func(ctx context.Context, q *request, id identity.UserID) error {
				_, err := s.ops.LockUser(ctx, q.actor, string(id), q.form.Get("reason"))
				return err
			},
		},
		{name: "unlock", title: "Unlock accounts", button: "Unlock", done: "Unlocked", do: each(s.ops.UnlockUser)},
		{
			name: "disable", title: "Disable accounts", button: "Disable", done: "Disabled", danger: true,
			ends: "They cannot sign in until you enable them again. Their sessions and tokens end.",
			do:   each(s.ops.DisableUser),
		},
		{name: "enable", title: "Enable accounts", button: "Enable", done: "Enabled", do: each(s.ops.EnableUser)},
		{
			name: "sign-out", title: "End sessions", button: "End all sessions", done: "Signed out",
			ends: "All their browser sessions end.",
			do: func(ctx context.Context, q *request, id identity.UserID) error {
				_, err := s.ops.RevokeUserSessions(ctx, q.actor, string(id))
				return err
			},
		},
		{
			name: "delete", title: "Delete accounts", button: "Delete", done: "Deleted", danger: true,
			ends: "All that belongs to the accounts is deleted. This cannot be undone.",
			do: func(ctx context.Context, q *request, id identity.UserID) error {
				_, err := s.ops.DeleteUser(ctx, q.actor, string(id), 0)
				return err
			},
		},
	}
}

// bulkRequest returns the action and the accounts that a form names. A form that selects nothing, or
// whose action does not exist, is an error.
func (s *Server) bulkRequest(ctx context.Context, q *request) (bulkAction, []*identity.User, error) {
	name := q.form.Get("action")
	actions := s.bulkActions()
	i := slices.IndexFunc(actions, func(a bulkAction) bool { return a.name == name })
	if i < 0 {
		return bulkAction{}, nil, fault.New(fault.Invalid, "Choose what to do with the selected users.")
	}
	ids := q.picked("pick-")
	if len(ids) == 0 {
		return bulkAction{}, nil, fault.New(fault.Invalid, "No user is selected, so nothing was done.")
	}
	if len(ids) > pageSize {
		return bulkAction{}, nil, fault.New(fault.Invalid, "Select at most %d users at once.", pageSize)
	}
	slices.Sort(ids)
	var users []*identity.User
	for _, id := range ids {
		u, err := s.ops.User(ctx, q.actor, id)
		switch {
		case err == nil && string(u.ID) == id:
			users = append(users, u)
		case err != nil && !fault.Is(err, fault.NotFound): // it has been deleted meanwhile
			return bulkAction{}, nil, err
		}
	}
	return actions[i], users, nil
}

func (s *Server) showBulk(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeUsersWrite); err != nil {
		return err
	}
	a, users, err := s.bulkRequest(r.Context(), q)
	if err != nil {
		return err
	}
	return s.writeBulk(w, q, a, users, s.begin(r, q, a.title))
}

func (s *Server) writeBulk(
	w http.ResponseWriter, q *request, a bulkAction, users []*identity.User, b Base,
) error {
	v := &BulkView{Base: b, Button: a.button + " " + count(len(users), "user"), Danger: a.danger}
	v.Back = Link{"Users", Root + "/users"}
	v.Crumbs = []Link{v.Back}
	if a.ends != "" {
		v.Ends = []string{a.ends}
	}
	if a.reason {
		in, err := newInput(v.Base, "reason", "Reason", "required", "autocomplete=off",
			"hint=For administrators and the audit log. The people do not see it.")
		if err != nil {
			return err
		}
		v.Inputs = []Input{in}
	}
	v.Hidden = []Pair{{"action", a.name}}
	v.Users = Table{Caption: "Selected users", Columns: []Column{{Name: "User"}, {Name: "Roles", Wide: true}}}
	for _, u := range users {
		v.Hidden = append(v.Hidden, Pair{"pick-" + string(u.ID), "on"})
		v.Users.Rows = append(v.Users.Rows, Row{ID: string(u.ID), Name: u.Label(), Cells: []Cell{
			{Text: u.Label(), URL: at("/users", string(u.ID)), Sub: u.LoginName()},
			textCell(strings.Join(u.Roles, ", ")),
		}})
	}
	return s.show(w, v.status(), v)
}

// postBulk does the action to each of the accounts, and shows which were refused and why. Where the
// first one needs a newer sign-in or another input, nothing has been done yet and the form is shown
// again.
func (s *Server) postBulk(w http.ResponseWriter, r *http.Request, q *request) error {
	a, users, err := s.bulkRequest(r.Context(), q)
	if err != nil {
		return err
	}
	v := &BulkView{Base: s.begin(r, q, a.title), Results: true, Back: Link{"Users", Root + "/users"}}
	v.Crumbs = []Link{v.Back}
	v.Users = Table{Caption: "What became of each", Columns: []Column{{Name: "User"}, {Name: "Result"}}}
	refused := 0
	for i, u := range users {
		err := a.do(r.Context(), q, u.ID)
		var f *fault.Error
		if i == 0 && (neededProof(err) != nil || errors.As(err, &f) && f.Field != "") {
			if err := retry(&v.Base, q, err); err != nil {
				return err
			}
			return s.writeBulk(w, q, a, users, v.Base)
		}
		result := badgeCell("good", a.done)
		if err != nil {
			if fault.KindOf(err) == fault.Internal {
				return err
			}
			refused++
			result = badgeCell("bad", "Not done")
			result.Sub = sentence(fault.Text(err))
		}
		who := Cell{Text: u.Label(), URL: at("/users", string(u.ID)), Sub: u.LoginName()}
		v.Users.Rows = append(v.Users.Rows, Row{ID: string(u.ID), Name: u.Label(), Cells: []Cell{who, result}})
	}
	if done := len(users) - refused; done > 0 {
		v.Notice = a.done + ": " + count(done, "user") + "."
	}
	if refused > 0 {
		v.Problem = count(refused, "user") + " could not be changed. The list says why."
	}
	return s.show(w, http.StatusOK, v)
}

// exportUsers sends the accounts of the list as CSV. An error after the first bytes ends the
// connection, so that nobody takes a part for the whole.
func (s *Server) exportUsers(w http.ResponseWriter, r *http.Request, q *request) error {
	out := &download{ResponseWriter: w, name: "users.csv", kind: "text/csv; charset=utf-8"}
	query := userQuery(q.form)
	query.Page = admin.Page{}
	_, err := s.ops.ExportUsers(persistent(r), q.actor, admin.ExportOptions{
		Query:  query,
		Format: admin.FormatCSV,
	}, out)
	if err != nil && out.begun {
		panic(http.ErrAbortHandler)
	}
	return err
}
