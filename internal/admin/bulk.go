package admin

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// BulkAction is an action on many users.
type BulkAction string

// The actions.
const (
	BulkLock        BulkAction = "lock" // needs a reason
	BulkUnlock      BulkAction = "unlock"
	BulkDisable     BulkAction = "disable"
	BulkEnable      BulkAction = "enable"
	BulkDelete      BulkAction = "delete"
	BulkEndSessions BulkAction = "end_sessions"
)

// BulkActions returns all actions.
func BulkActions() []BulkAction {
	return []BulkAction{BulkLock, BulkUnlock, BulkDisable, BulkEnable, BulkDelete, BulkEndSessions}
}

// Bounds of actions on many users.
const (
	maxBulkNow     = 500 // more users are done by a job
	maxBulkIDs     = 10_000
	bulkStep       = 20  // users between two looks at whether the job is stopped
	maxBulkRefused = 500 // that a report names
)

// ReasonOtherCount marks the conflict of a selection that selects another number of users than its
// page showed.
const ReasonOtherCount = "other_count"

// UserSelection selects the users of an action: by their ids, or by a filter with what its page
// showed.
type UserSelection struct {
	IDs []identity.UserID

	Filter *UserQuery
	Count  int       // how many users the page showed
	At     time.Time // when it showed them; users created later are not selected
}

// BulkRequest is an action on many users.
type BulkRequest struct {
	Action    BulkAction
	Reason    string // of BulkLock
	Selection UserSelection
}

// BulkItem is one user of an action.
type BulkItem struct {
	N     int
	User  identity.UserID
	Error string // why it was refused, or ""
}

// States of jobs.
const (
	BulkRunning = "running"
	BulkStopped = "stopped"
	BulkDone    = "done"
)

// BulkJob is an action on many users, and how far it is.
type BulkJob struct {
	ID      string // "" of an action that was done at once
	Action  BulkAction
	Reason  string
	State   string
	Total   int
	Done    int
	Refused int
	Items   []BulkItem // the refused users, up to 500

	CreatedAt, UpdatedAt time.Time

	Actor string // JSON: who asked for it
}

// BulkUsers acts on many users. Each of them is decided by itself, and the result names those that
// were refused. An action on more than 500 users is a job: see BulkAction and StopBulkAction. It
// returns fault.Conflict with ReasonOtherCount if the filter selects another number of users than
// the page showed.
func (o *Operations) BulkUsers(ctx context.Context, a Actor, in BulkRequest) (*BulkJob, error) {
	if err := o.authorize(a, in.Action.scope()); err != nil {
		return nil, err
	}
	if !slices.Contains(BulkActions(), in.Action) {
		return nil, fault.InvalidField("action", "there is no action %q", in.Action)
	}
	if in.Action == BulkLock && strings.TrimSpace(in.Reason) == "" {
		return nil, fault.InvalidField("reason", "say why the accounts are locked")
	}
	now := o.parts.Now()
	job := &BulkJob{Action: in.Action, Reason: in.Reason, CreatedAt: now, UpdatedAt: now}
	ids, err := o.selected(ctx, &in.Selection)
	if err != nil {
		return nil, err
	}
	if job.Total = len(ids); in.Selection.Filter != nil {
		job.Total = in.Selection.Count
	}
	if job.Total > maxBulkNow {
		return job, o.createBulkJob(ctx, a, job, in.Selection, ids)
	}
	for i, id := range ids {
		if err := o.actOn(ctx, a, job, id); err != nil {
			if !refuses(err) {
				return job, err
			}
			job.Refused++
			job.Items = append(job.Items, BulkItem{i, id, fault.Text(err)})
			continue
		}
		job.Done++
	}
	job.State = BulkDone
	return job, nil
}

// scope returns the scope that an action needs.
func (b BulkAction) scope() Scope {
	if b == BulkEndSessions {
		return ScopeSessionsWrite
	}
	return ScopeUsersWrite
}

// refuses reports whether an error is about one user, so that the others go on.
func refuses(err error) bool {
	switch fault.KindOf(err) {
	case fault.Denied, fault.Conflict, fault.NotFound, fault.Invalid, fault.Stale:
		return fault.Reason(err) != ReasonStepUp
	}
	return false
}

// selected returns the ids of a selection of few users, and checks a filter against what its page
// showed.
func (o *Operations) selected(ctx context.Context, s *UserSelection) ([]identity.UserID, error) {
	if s.Filter == nil {
		ids := slices.Clone(s.IDs)
		slices.Sort(ids)
		ids = slices.Compact(ids)
		switch {
		case len(ids) == 0:
			return nil, fault.InvalidField("ids", "nothing is selected")
		case len(ids) > maxBulkIDs:
			return nil, fault.InvalidField("ids", "at most %d users can be selected by their ids", maxBulkIDs)
		}
		return ids, nil
	}
	if len(s.IDs) > 0 || s.At.IsZero() {
		return nil, fault.InvalidField("filter", "a filter comes with the number of users and the time of "+
			"its page, without ids")
	}
	q, err := o.checkUserQuery(*s.Filter)
	if err != nil {
		return nil, err
	}
	if until := s.At.Add(time.Millisecond); q.Created.Until.IsZero() || q.Created.Until.After(until) {
		q.Created.Until = until
	}
	q.Page = Page{Limit: maxBulkNow, Exact: true}
	rows, err := o.store.ListUsers(ctx, q, nil)
	if err != nil {
		return nil, err
	}
	if rows.Total != s.Count {
		return nil, &fault.Error{
			Kind: fault.Conflict, Reason: ReasonOtherCount, Field: "count",
			Format: "the filter selects %d users now, not %d; look at them again", Args: []any{rows.Total, s.Count},
			Text: fault.New(fault.Conflict, "the filter selects %d users now, not %d; look at them again", rows.Total, s.Count).Text,
		}
	}
	s.Filter = &q
	if s.Count == 0 {
		return nil, fault.InvalidField("filter", "nothing is selected")
	}
	if s.Count > maxBulkNow {
		return nil, nil // the job reads them
	}
	var ids []identity.UserID
	err = o.store.ExportUsers(ctx, q, func(u *identity.User) error {
		ids = append(ids, u.ID)
		return nil
	})
	return ids, err
}

// bulkActor is who asked for a job, as it is stored.
type bulkActor struct {
	User      identity.UserID `json:"user,omitempty"`
	Client    client.ID       `json:"client,omitempty"`
	Scopes    []Scope         `json:"scopes,omitempty"`
	Agent     string          `json:"agent,omitempty"`
	RequestID string          `json:"request_id,omitempty"`
	Name      string          `json:"name,omitempty"`
}

func (o *Operations) createBulkJob(
	ctx context.Context, a Actor, job *BulkJob, s UserSelection, ids []identity.UserID,
) error {
	who, err := json.Marshal(bulkActor{a.User, a.Client, a.Scopes, a.Agent, a.RequestID, a.name})
	if err != nil {
		return err
	}
	job.ID, job.Actor = secret.NewID(job.CreatedAt), string(who)
	return o.store.CreateBulkAction(ctx, job, func(add func(ids []string) error) error {
		var part []string
		flush := func() error {
			err := add(part)
			part = part[:0]
			return err
		}
		each := func(id identity.UserID) error {
			if part = append(part, string(id)); len(part) < importChunk {
				return nil
			}
			return flush()
		}
		if s.Filter != nil {
			if err := o.store.ExportUsers(ctx, *s.Filter, func(u *identity.User) error { return each(u.ID) }); err != nil {
				return err
			}
		}
		for _, id := range ids {
			if err := each(id); err != nil {
				return err
			}
		}
		return flush()
	})
}

// actOn performs an action on one user. What is so already is done.
func (o *Operations) actOn(ctx context.Context, a Actor, job *BulkJob, id identity.UserID) (err error) {
	ref := string(id)
	switch job.Action {
	case BulkLock:
		_, err = o.LockUser(ctx, a, ref, job.Reason)
	case BulkUnlock:
		_, err = o.UnlockUser(ctx, a, ref)
	case BulkDisable:
		_, err = o.DisableUser(ctx, a, ref)
	case BulkEnable:
		_, err = o.EnableUser(ctx, a, ref)
	case BulkDelete:
		_, err = o.DeleteUser(ctx, a, ref, 0)
	case BulkEndSessions:
		_, err = o.RevokeUserSessions(ctx, a, ref)
	}
	return err
}

// BulkAction returns how far a job is, with the users that it refused.
func (o *Operations) BulkAction(ctx context.Context, a Actor, id string) (*BulkJob, error) {
	if err := o.authorize(a, ScopeUsersRead); err != nil {
		return nil, err
	}
	return o.bulkJob(ctx, id)
}

func (o *Operations) bulkJob(ctx context.Context, id string) (*BulkJob, error) {
	job, err := o.store.BulkAction(ctx, id)
	if err != nil {
		return nil, err
	}
	job.Items, err = o.store.RefusedBulkUsers(ctx, job.ID, maxBulkRefused)
	return job, err
}

// StopBulkAction stops a job. What it has done stays done. Nobody stops what somebody who has more
// than they have asked for.
func (o *Operations) StopBulkAction(ctx context.Context, a Actor, id string) (*BulkJob, error) {
	if err := o.authorize(a, ScopeUsersWrite); err != nil {
		return nil, err
	}
	job, err := o.bulkJob(ctx, id)
	if err != nil {
		return nil, err
	}
	ev := a.event(audit.BulkActionStopped, o.parts.Now())
	ev.TargetType, ev.TargetID = audit.TargetBulk, job.ID
	ev.Detail = map[string]string{"action": string(job.Action)}
	ev.Guard = o.covers(a, ScopeUsersWrite, requesterOf(job))
	if err := o.store.StopBulkAction(ctx, job.ID, ev.At, ev); err != nil {
		return nil, err
	}
	return o.bulkJob(ctx, id)
}

// requesterOf returns the subject of a job: what whoever asked for it has now, since the job acts
// in their name. One who has been deleted has nothing.
func requesterOf(job *BulkJob) subject {
	return func(ctx context.Context, d decision) (oauth.Rights, error) {
		var who bulkActor
		if err := json.Unmarshal([]byte(job.Actor), &who); err != nil {
			return nil, err
		}
		rights, err := oauth.Rights{oauth.ScopeAdmin: true}, error(nil) // the command line
		switch {
		case who.User != "" && who.User == d.a.User, who.User == "" && who.Client != "" && who.Client == d.a.Client:
			return nil, nil // stopping one's own job gives nothing
		case who.User != "":
			rights, err = account(who.User)(ctx, d)
		case who.Client != "":
			rights, err = storedClient(who.Client)(ctx, d)
		}
		if fault.Is(err, fault.NotFound) {
			return nil, nil
		}
		return rights, err
	}
}

// RunBulkActions carries out the jobs that are not done, with what the one who asked for each may
// do by now. It goes on where it was interrupted.
func (o *Operations) RunBulkActions(ctx context.Context) error {
	jobs, err := o.store.RunningBulkActions(ctx)
	if err != nil {
		return err
	}
	for i := range jobs {
		if err := o.runBulkJob(ctx, &jobs[i]); err != nil {
			return err
		}
	}
	return nil
}

func (o *Operations) runBulkJob(ctx context.Context, job *BulkJob) error {
	for {
		items, err := o.store.NextBulkUsers(ctx, job.ID, bulkStep)
		if err != nil {
			return err
		}
		if len(items) == 0 {
			return o.store.EndBulkAction(ctx, job.ID, o.parts.Now())
		}
		a, err := o.bulkActor(ctx, job)
		for i := range items {
			e := err
			if e == nil {
				e = o.actOn(ctx, a, job, items[i].User)
			}
			switch {
			case e == nil, job.Action == BulkDelete && fault.Is(e, fault.NotFound): // done before an interruption
			case refuses(e):
				if items[i].Error = fault.Text(e); items[i].Error == "" {
					items[i].Error = e.Error()
				}
			default:
				return e
			}
		}
		if err := o.store.FinishBulkUsers(ctx, job.ID, items, o.parts.Now()); err != nil {
			return err
		}
	}
}

// bulkActor returns who asked for a job, with the rights that they have now. They had signed in
// recently enough when they asked.
func (o *Operations) bulkActor(ctx context.Context, job *BulkJob) (Actor, error) {
	var who bulkActor
	if err := json.Unmarshal([]byte(job.Actor), &who); err != nil {
		return Actor{}, err
	}
	a := Actor{User: who.User, Client: who.Client, Agent: who.Agent, RequestID: who.RequestID, name: who.Name}
	a.Machine, a.unattended = who.User == "", true
	if a.User == "" && a.Client == "" {
		a.Scopes = who.Scopes
		return a, nil
	}
	bound := oauth.Rights(o.definitions().Closure(scopeNames(who.Scopes)...))
	if a.User == "" {
		c, err := o.store.Client(ctx, a.Client)
		if err != nil {
			return Actor{}, err
		}
		bound = bound.And(o.definitions().Closure(c.Scopes...))
	}
	return o.withRights(ctx, a, bound)
}
