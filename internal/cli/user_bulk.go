package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// userBulkCommands act on many accounts.
type userBulkCommands struct {
	Run  userBulkRun  `cmd:"" help:"Lock, unlock, disable, enable or delete many accounts, or end their sessions."`
	Show userBulkShow `cmd:"" help:"Show how far an action on many accounts is."`
	Stop userBulkStop `cmd:"" help:"Stop an action on many accounts. What it has done stays done."`
}

// userBulkRun acts on many accounts.
type userBulkRun struct {
	Action admin.BulkAction `arg:"" enum:"lock,unlock,disable,enable,delete,end_sessions" help:"lock, unlock, disable, enable, delete or end_sessions."`
	Users  []string         `arg:"" optional:"" name:"user" help:"The accounts' ids, email addresses or usernames."`
	Reason string           `placeholder:"TEXT" help:"Why the accounts are locked, for other administrators."`

	All      bool   `help:"Select all accounts."`
	Search   string `help:"Select accounts with words in username, address or name that begin like this."`
	Status   string `placeholder:"STATUS" help:"Select active, locked or disabled accounts."`
	Role     string `placeholder:"ROLE" help:"Select accounts with this role."`
	Verified string `enum:",yes,no" default:"" placeholder:"yes|no" help:"Select accounts whose address is verified, or is not."`
	Count    *int   `placeholder:"N" help:"How many accounts you expect the selection to have. If it has another number, nothing is done."`
	Yes      bool   `short:"y" help:"Do not ask for confirmation before accounts are deleted."`
}

// filters reports whether the command line selects accounts by something else than their names.
func (f *userBulkRun) filters() bool {
	return f.All || f.Search != "" || f.Status != "" || f.Role != "" || f.Verified != ""
}

// Run acts on the accounts, or begins a job that the server carries out.
func (f *userBulkRun) Run(ctx context.Context, c *call) error {
	switch narrowed := f.Search != "" || f.Status != "" || f.Role != "" || f.Verified != ""; {
	case f.filters() == (len(f.Users) > 0):
		return wrong("name accounts, or select them with --search, --status, --role, --verified or --all")
	case f.All && narrowed:
		return wrong("--all selects every account; leave it out to select some of them")
	case f.Reason != "" && f.Action != admin.BulkLock:
		return wrong("--reason is for lock only")
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		in := admin.BulkRequest{Action: f.Action, Reason: f.Reason}
		var err error
		if in.Selection, err = f.selection(ctx, c, ops, a); err != nil {
			return err
		}
		if f.Action == admin.BulkDelete {
			n := max(len(in.Selection.IDs), in.Selection.Count)
			if err := c.confirm(f.Yes, "accounts:", strconv.Itoa(n)); err != nil {
				return err
			}
		}
		job, err := ops.BulkUsers(ctx, a, in)
		if err != nil {
			return withHint(err, fault.Conflict, "nothing was done")
		}
		return c.bulkDone(job)
	})
}

// selection returns the accounts of the command line.
func (f *userBulkRun) selection(
	ctx context.Context, c *call, ops operations, a admin.Actor,
) (admin.UserSelection, error) {
	if !f.filters() {
		return f.named(ctx, ops, a)
	}
	list := userList{Search: f.Search, Status: f.Status, Role: f.Role, Verified: f.Verified}
	q := list.query()
	s := admin.UserSelection{Filter: &q, At: c.Now()}
	if f.Count != nil {
		s.Count = *f.Count
		return s, nil
	}
	first := q
	first.Page = admin.Page{Limit: 1, Exact: true}
	page, err := ops.Users(ctx, a, first)
	if err != nil {
		return s, explainQuery(err)
	}
	return s, wrong("%d accounts are selected now; to go on, add --count %d", page.Total, page.Total)
}

// named returns the accounts that the command line names.
func (f *userBulkRun) named(ctx context.Context, ops operations, a admin.Actor) (admin.UserSelection, error) {
	var s admin.UserSelection
	seen := map[identity.UserID]bool{}
	for _, ref := range f.Users {
		u, err := ops.User(ctx, a, ref)
		if err != nil {
			return s, noUser(err)
		}
		if !seen[u.ID] {
			seen[u.ID] = true
			s.IDs = append(s.IDs, u.ID)
		}
	}
	if f.Count != nil && *f.Count != len(s.IDs) {
		return s, wrong("--count is %d, but %d accounts are named", *f.Count, len(s.IDs))
	}
	return s, nil
}

// jobRef names an action on many accounts.
type jobRef struct {
	ID string `arg:"" name:"job" help:"The id that user bulk run has printed."`
}

// userBulkShow shows an action.
type userBulkShow struct{ jobRef }

// Run prints how far the action is.
func (f *userBulkShow) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		job, err := ops.BulkAction(ctx, a, f.ID)
		if err != nil {
			return err
		}
		return c.showBulk(job)
	})
}

// userBulkStop stops an action.
type userBulkStop struct{ jobRef }

// Run stops the action and prints how far it has come.
func (f *userBulkStop) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		job, err := ops.StopBulkAction(ctx, a, f.ID)
		if err != nil {
			return err
		}
		return c.showBulk(job)
	})
}

// bulkView is an action on many accounts as the command line shows it.
type bulkView struct {
	ID      string        `json:"id,omitempty"` // of a job
	Action  string        `json:"action"`
	State   string        `json:"state"`
	Total   int           `json:"total"`
	Done    int           `json:"done"`
	Refused int           `json:"refused"`
	Items   []refusedUser `json:"refused_users"`
}

// refusedUser is an account on which the action was refused.
type refusedUser struct {
	ID    identity.UserID `json:"id"`
	Error string          `json:"error"`
}

// bulkDone prints what became of an action, and returns an error if an account was refused.
func (c *call) bulkDone(job *admin.BulkJob) error {
	if err := c.showBulk(job); err != nil {
		return err
	}
	if job.Refused > 0 {
		return fmt.Errorf("refused for %d of %d accounts", job.Refused, job.Total)
	}
	return nil
}

// showBulk prints how far an action is.
func (c *call) showBulk(job *admin.BulkJob) error {
	v := bulkView{
		ID:      job.ID,
		Action:  string(job.Action),
		State:   job.State,
		Total:   job.Total,
		Done:    job.Done,
		Refused: job.Refused,
		Items:   []refusedUser{},
	}
	for _, x := range job.Items {
		v.Items = append(v.Items, refusedUser{x.User, x.Error})
	}
	return c.show(v, func(s *table) {
		s.pair("job", v.ID)
		s.pair("action", strings.ReplaceAll(v.Action, "_", " "))
		s.pair("state", v.State)
		s.pair("accounts", strconv.Itoa(v.Total))
		s.pair("done", strconv.Itoa(v.Done))
		s.pair("refused", strconv.Itoa(v.Refused))
		for _, x := range v.Items {
			s.pair("refused_user", string(x.ID)+": "+x.Error)
		}
		if v.State == admin.BulkRunning {
			s.line("The server carries it out. See %s user bulk show %s", program, v.ID)
		}
	})
}
