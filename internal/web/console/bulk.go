package console

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// BulkView asks before something is done to several accounts or clients.
type BulkView struct {
	Base
	Action string // address that the form is posted to
	Ends   []string
	Inputs []Input
	Things Table // those that were selected one by one
	Button string
	Danger bool
	Hidden []Pair
	Back   Link
	Same   Same
}

// Page names the template.
func (*BulkView) Page() string { return "bulk" }

// JobView shows what became of an action on several accounts or clients.
type JobView struct {
	Base
	Facts   []Fact
	Refused Table   // at most as many as a page lists
	Stop    *Button // while it runs, or nil
	Again   string  // address that shows how far it is now, while it runs
	Back    Link
	Same    Same
}

// Page names the template.
func (*JobView) Page() string { return "job" }

// bulkAction is something that is done to several accounts, each by itself.
type bulkAction struct {
	action         admin.BulkAction
	title, button  string
	done           string // what has been done
	ends           string
	danger, reason bool
}

// bulkActions returns what can be done to several accounts.
func bulkActions() []bulkAction {
	return []bulkAction{
		{
			action: admin.BulkLock, title: "Lock accounts", button: "Lock", done: "Locked", danger: true, reason: true,
			ends: "They cannot sign in until an administrator unlocks them. Their sessions and tokens end.",
		},
		{action: admin.BulkUnlock, title: "Unlock accounts", button: "Unlock", done: "Unlocked"},
		{
			action: admin.BulkDisable, title: "Disable accounts", button: "Disable", done: "Disabled", danger: true,
			ends: "They cannot sign in until you enable them again. Their sessions and tokens end.",
		},
		{action: admin.BulkEnable, title: "Enable accounts", button: "Enable", done: "Enabled"},
		{
			action: admin.BulkEndSessions, title: "End sessions", button: "End all sessions", done: "Signed out",
			ends: "All their browser sessions end.",
		},
		{
			action: admin.BulkDelete, title: "Delete accounts", button: "Delete", done: "Deleted", danger: true,
			ends: "All that belongs to the accounts is deleted. This cannot be undone.",
		},
	}
}

func bulkActionNamed(name admin.BulkAction) (bulkAction, bool) {
	all := bulkActions()
	i := slices.IndexFunc(all, func(a bulkAction) bool { return a.action == name })
	if i < 0 {
		return bulkAction{}, false
	}
	return all[i], true
}

// bulkForm is an action on several accounts as a form names it.
type bulkForm struct {
	bulkAction
	selection admin.UserSelection
	hidden    []Pair
	users     []*identity.User // where they were selected one by one
	number    int
}

// bulkFormOf returns what a form asks for. A form that selects nothing, or whose action does not
// exist, is an error. A filter selects the accounts that match now; the number and the time are
// those that the page shows, and a form that is sent brings them back.
func (s *Server) bulkFormOf(ctx context.Context, q *request) (*bulkForm, error) {
	a, ok := bulkActionNamed(admin.BulkAction(q.form.Get("action")))
	if !ok {
		return nil, fault.New(fault.Invalid, "Choose what to do with the selected users.")
	}
	f := &bulkForm{bulkAction: a, hidden: []Pair{{"action", string(a.action)}}}
	if q.form.Get("all") != "" {
		return f, s.selectAll(ctx, q, f)
	}
	ids := q.picked("pick-")
	slices.Sort(ids)
	switch {
	case len(ids) == 0:
		return nil, fault.New(fault.Invalid, "No user is selected, so nothing was done.")
	case len(ids) > pageSize:
		return nil, fault.New(fault.Invalid, "Select at most %d users one by one.", pageSize)
	}
	for _, id := range ids {
		u, err := s.ops.User(ctx, q.actor, id)
		switch {
		case err == nil && string(u.ID) == id:
			f.users = append(f.users, u)
			f.selection.IDs = append(f.selection.IDs, u.ID)
			f.hidden = append(f.hidden, Pair{"pick-" + id, "on"})
		case err != nil && !fault.Is(err, fault.NotFound): // it has been deleted meanwhile
			return nil, err
		}
	}
	f.number = len(f.users)
	return f, nil
}

// selectAll selects the accounts that a filter selects.
func (s *Server) selectAll(ctx context.Context, q *request, f *bulkForm) error {
	filter := userQuery(q.form)
	filter.Page, filter.Sort = admin.Page{}, admin.Sort{}
	f.selection.Filter = &filter
	f.hidden = append(f.hidden, Pair{"all", "on"})
	for _, name := range userFilters() {
		if v := q.form.Get(name); v != "" && name != "sort" {
			f.hidden = append(f.hidden, Pair{name, v})
		}
	}
	n, err := strconv.Atoi(q.form.Get("count"))
	at, atErr := strconv.ParseInt(q.form.Get("at"), 10, 64)
	if err == nil && atErr == nil {
		f.selection.Count, f.selection.At = n, time.UnixMilli(at)
	} else {
		filter.Page = admin.Page{Limit: 1, Exact: true}
		page, err := s.ops.Users(ctx, q.actor, filter)
		if err != nil {
			return err
		}
		filter.Page = admin.Page{}
		f.selection.Count, f.selection.At = page.Total, q.now
	}
	f.number = f.selection.Count
	f.hidden = append(f.hidden, Pair{"count", strconv.Itoa(f.selection.Count)},
		Pair{"at", strconv.FormatInt(f.selection.At.UnixMilli(), 10)})
	return nil
}

func (s *Server) showBulk(w http.ResponseWriter, r *http.Request, q *request) error {
	if err := s.mayChange(q, admin.ScopeUsersWrite); err != nil {
		return err
	}
	if !q.draft { // a page counts for itself
		q.form.Del("count")
	}
	f, err := s.bulkFormOf(r.Context(), q)
	if err != nil {
		return err
	}
	return s.writeBulk(w, q, f, s.begin(r, q, f.title))
}

func (s *Server) writeBulk(w http.ResponseWriter, q *request, f *bulkForm, b Base) error {
	v := &BulkView{Base: b, Action: Root + "/users/bulk", Button: f.button + " " + count(f.number, "user"), Danger: f.danger, Hidden: f.hidden}
	v.Back = Link{"Users", Root + "/users"}
	v.Crumbs = []Link{v.Back}
	if f.selection.Filter != nil {
		v.Lead = "All " + count(f.number, "user") + " that the filters of the list select now."
		v.Back.URL = keep(v.Back.URL, q.form, userFilters())
	}
	if f.ends != "" {
		v.Ends = []string{f.ends}
	}
	if f.reason {
		in, err := newInput(v.Base, "reason", "Reason", "required", "autocomplete=off",
			"hint=For administrators and the audit log. The people do not see it.")
		if err != nil {
			return err
		}
		v.Inputs = []Input{in}
	}
	v.Things = Table{Caption: "Selected users", Columns: []Column{{Name: "User"}, {Name: "Roles", Wide: true}}}
	for _, u := range f.users {
		v.Things.Rows = append(v.Things.Rows, Row{ID: string(u.ID), Name: u.Label(), Cells: []Cell{
			{Text: u.Label(), URL: at("/users", string(u.ID)), Sub: u.LoginName()},
			textCell(strings.Join(u.Roles, ", ")),
		}})
	}
	v.Same = s.bulkSame(f)
	return s.show(w, v.status(), v)
}

// bulkSame returns the command and the API call of an action on accounts.
func (s *Server) bulkSame(f *bulkForm) Same {
	args := []string{"user", "bulk", "run", string(f.action)}
	body := map[string]any{"action": f.action}
	if f.reason {
		args, body["reason"] = append(args, "--reason", "TEXT"), "TEXT"
	}
	if filter := f.selection.Filter; filter != nil {
		selected := map[string]any{}
		for _, x := range []Pair{{"search", filter.Search}, {"status", filter.Status}, {"role", filter.Role}} {
			if x.Value != "" {
				args, selected[x.Name] = append(args, "--"+x.Name+"="+x.Value), x.Value
			}
		}
		if filter.Verified != nil {
			selected["email_verified"] = *filter.Verified
			args = append(args, "--verified="+map[bool]string{true: "yes", false: "no"}[*filter.Verified])
		}
		if len(selected) == 0 {
			args = append(args, "--all")
		}
		args = append(args, "--count", strconv.Itoa(f.selection.Count))
		body["filter"], body["count"], body["at"] = selected, f.selection.Count, f.selection.At.UTC().Format(time.RFC3339Nano)
	} else {
		for _, id := range f.selection.IDs {
			args = append(args, string(id))
		}
		body["ids"] = f.selection.IDs
	}
	return s.same("POST", "/api/v1/users/bulk", body, args...)
}

// postBulk does the action, and shows which accounts were refused and why. Beyond a bound it is a
// job, whose page shows how far it is.
func (s *Server) postBulk(w http.ResponseWriter, r *http.Request, q *request) error {
	f, err := s.bulkFormOf(r.Context(), q)
	if err != nil {
		return err
	}
	job, err := s.ops.BulkUsers(r.Context(), q.actor, admin.BulkRequest{
		Action:    f.action,
		Reason:    q.form.Get("reason"),
		Selection: f.selection,
	})
	if fault.Reason(err) == admin.ReasonOtherCount {
		q.form.Del("count")
		again, countErr := s.bulkFormOf(r.Context(), q)
		if countErr != nil {
			return countErr
		}
		f = again
	}
	if err != nil {
		b := s.begin(r, q, f.title)
		if err := retry(&b, q, err); err != nil {
			return err
		}
		return s.writeBulk(w, q, f, b)
	}
	if job.ID != "" {
		return seeOther(w, r, at("/jobs", job.ID))
	}
	return s.writeJob(w, r, q, job)
}

func (s *Server) showJob(w http.ResponseWriter, r *http.Request, q *request) error {
	job, err := s.ops.BulkAction(r.Context(), q.actor, r.PathValue("job"))
	if err != nil {
		return err
	}
	return s.writeJob(w, r, q, job)
}

func (s *Server) postStopJob(w http.ResponseWriter, r *http.Request, q *request) error {
	id := r.PathValue("job")
	if _, err := s.ops.StopBulkAction(r.Context(), q.actor, id); err != nil {
		return err
	}
	return seeOther(w, r, at("/jobs", id))
}

func (s *Server) writeJob(w http.ResponseWriter, r *http.Request, q *request, job *admin.BulkJob) error {
	a, _ := bulkActionNamed(job.Action)
	v := &JobView{Base: s.begin(r, q, a.title), Back: Link{"Users", Root + "/users"}}
	v.Crumbs = []Link{v.Back}
	state := badgeCell("good", "Done")
	switch job.State {
	case admin.BulkRunning:
		state = badgeCell("warn", "Running")
		v.Again = at("/jobs", job.ID)
		v.Stop = &Button{Text: "Stop", Danger: true, Action: at("/jobs", job.ID, "stop")}
		v.Same = s.same("POST", "/api/v1/bulk-actions/"+job.ID+"/stop", nil, "user", "bulk", "stop", job.ID)
	case admin.BulkStopped:
		state = badgeCell("plain", "Stopped")
	}
	v.Facts = []Fact{
		{Name: "State", Cell: state},
		{Name: a.done, Cell: textCell(grouped(job.Done) + " of " + count(job.Total, "user"))},
		{Name: "Refused", Cell: textCell(grouped(job.Refused))},
	}
	if job.Reason != "" {
		v.Facts = append(v.Facts, Fact{Name: "Reason", Cell: textCell(job.Reason)})
	}
	if job.Done > 0 {
		v.Notice = a.done + ": " + count(job.Done, "user") + "."
	}
	if job.Refused > 0 {
		v.Problem = count(job.Refused, "user") + " could not be changed. The list says why."
	}
	v.Refused = Table{Caption: "Refused", Columns: []Column{{Name: "User"}, {Name: "Why"}}}
	for _, item := range job.Items[:min(len(job.Items), pageSize)] {
		who := Cell{Text: string(item.User), Code: true}
		if u, err := s.ops.User(r.Context(), q.actor, string(item.User)); err == nil {
			who = Cell{Text: u.Label(), URL: at("/users", string(u.ID)), Sub: u.LoginName()}
		}
		v.Refused.Rows = append(v.Refused.Rows, Row{ID: string(item.User), Name: who.Text, Cells: []Cell{
			who, textCell(sentence(item.Error)),
		}})
	}
	return s.show(w, http.StatusOK, v)
}

// exportUsers sends the accounts of the list as CSV. An error after the first bytes ends the
// connection, so that nobody takes a part for the whole.
func (s *Server) exportUsers(w http.ResponseWriter, r *http.Request, q *request) error {
	out := newDownload(w, "users.csv", "text/csv; charset=utf-8")
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
