package admin_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// An action on ticked users does what the page said, to exactly those, and names whom it refused.
func TestBulkActionOnTickedUsers(t *testing.T) {
	w, cli := newWorld(t), admin.CommandLine()
	last := w.createUser("root@example.com", identity.RoleSuperAdmin)
	ada, bob := w.createUser("ada@example.com", "staff"), w.createUser("bob@example.com", "staff")
	lock := func(ids ...identity.UserID) (*admin.BulkJob, error) {
		return w.ops.BulkUsers(t.Context(), cli, admin.BulkRequest{
			Action: admin.BulkLock, Reason: "leaked", Selection: admin.UserSelection{IDs: ids},
		})
	}
	if _, err := lock(); !fault.Is(err, fault.Invalid) {
		t.Errorf("nothing ticked: %v", err)
	}
	job, err := lock(ada.ID, last.ID, ada.ID, "nobody")
	testkit.Must(t, err)
	testkit.Equal(t, "done", job.Done, 1)
	testkit.Equal(t, "refused", job.Refused, 2)
	for id, locked := range map[identity.UserID]bool{ada.ID: true, bob.ID: false, last.ID: false} {
		d, err := w.ops.UserDetail(t.Context(), cli, string(id))
		testkit.Must(t, err)
		testkit.Equal(t, "locked: "+d.User.Email, !d.LockedUntil.IsZero(), locked)
		if locked {
			testkit.Equal(t, "reason", d.LockReason, "leaked")
		}
	}
	page, err := w.ops.Users(t.Context(), cli, admin.UserQuery{Status: admin.UserLocked})
	testkit.Must(t, err)
	testkit.Equal(t, "locked users", page.Total, 1)
	page, err = w.ops.Users(t.Context(), cli, admin.UserQuery{Status: admin.UserActive})
	testkit.Must(t, err)
	testkit.Equal(t, "active users", page.Total, 2)
	if _, err := w.ops.UnlockUser(t.Context(), cli, "ada@example.com"); err != nil {
		t.Error(err)
	}
	page, err = w.ops.Users(t.Context(), cli, admin.UserQuery{Status: admin.UserLocked})
	testkit.Must(t, err)
	testkit.Equal(t, "locked users after the lock", page.Total, 0)
}

// "Select all that match" means those that the page has counted; another number asks again. Many
// users are a job, which goes on after an interruption and can be stopped.
func TestBulkActionOnAFilter(t *testing.T) {
	w, cli := newWorld(t), admin.CommandLine()
	w.createUser("root@example.com", identity.RoleSuperAdmin)
	for i := range 3 {
		w.createUser(fmt.Sprintf("u%d@example.com", i), "staff")
	}
	request := func(count int) admin.BulkRequest {
		return admin.BulkRequest{Action: admin.BulkDisable, Selection: admin.UserSelection{
			Filter: &admin.UserQuery{Role: "staff"}, Count: count, At: w.now,
		}}
	}
	w.now = w.now.Add(time.Hour)
	w.createUser("late@example.com", "staff") // after the page
	late := request(4)
	late.Selection.At = w.now.Add(-time.Hour)
	if _, err := w.ops.BulkUsers(t.Context(), cli, late); fault.Reason(err) != admin.ReasonOtherCount {
		t.Errorf("another number: %v", err)
	}
	late.Selection.Count = 3
	job, err := w.ops.BulkUsers(t.Context(), cli, late)
	testkit.Must(t, err)
	testkit.Equal(t, "disabled", job.Done, 3)
	u, err := w.ops.User(t.Context(), cli, "late@example.com")
	testkit.Must(t, err)
	testkit.Equal(t, "the late one is disabled", u.Disabled, false)

	var users []*identity.User
	for i := range 600 {
		id := identity.UserID(fmt.Sprintf("01a3185c-5000-7000-8000-%012d", i))
		users = append(users, &identity.User{ID: id, Email: fmt.Sprintf("m%d@example.com", i), Roles: []string{"many"}, CreatedAt: w.now})
	}
	testkit.Must(t, w.db.ImportUsers(t.Context(), users, nil))
	many := request(600)
	many.Selection.Filter.Role = "many"
	job, err = w.ops.BulkUsers(t.Context(), cli, many)
	testkit.Must(t, err)
	testkit.Equal(t, "state", job.State, admin.BulkRunning)
	if _, err := w.ops.StopBulkAction(t.Context(), cli, job.ID); err != nil {
		t.Fatal(err)
	}
	testkit.Must(t, w.ops.RunBulkActions(t.Context()))
	job, err = w.ops.BulkAction(t.Context(), cli, job.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "stopped before it began", fmt.Sprint(job.State, job.Done), "stopped0")
	job, err = w.ops.BulkUsers(t.Context(), cli, many)
	testkit.Must(t, err)
	testkit.Must(t, w.ops.RunBulkActions(t.Context()))
	job, err = w.ops.BulkAction(t.Context(), cli, job.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "finished", fmt.Sprint(job.State, job.Done, job.Refused), "done600 0")
}

// A request with an Idempotency-Key has its effect once.
func TestIdempotency(t *testing.T) {
	w, ctx := newWorld(t), t.Context()
	a := admin.Actor{Client: "app"}
	r := admin.IdempotentRequest{Method: "POST", Path: "/api/v1/clients", Key: "k1", Body: []byte(`{"a":1,"b":2}`)}
	begun, known, err := w.ops.BeginIdempotent(ctx, a, r)
	testkit.Must(t, err)
	if begun == nil || known != nil {
		t.Fatal("the first request does not begin")
	}
	if _, _, err := w.ops.BeginIdempotent(ctx, a, r); fault.Reason(err) != admin.ReasonStillRunning {
		t.Errorf("while it runs: %v", err)
	}
	testkit.Must(t, begun.Finish(ctx, &admin.IdempotentAnswer{Status: 201, Body: []byte(`{"client_secret":"s"}`)}))
	same := r
	same.Body = []byte(` {"b":2, "a":1}`)
	_, known, err = w.ops.BeginIdempotent(ctx, a, same)
	testkit.Must(t, err)
	if known == nil || known.Status != 201 || string(known.Body) != `{"client_secret":"s"}` {
		t.Errorf("the answer of a repeat: %+v", known)
	}
	other := r
	other.Body = []byte(`{"a":2}`)
	if _, _, err := w.ops.BeginIdempotent(ctx, a, other); fault.Reason(err) != admin.ReasonOtherBody {
		t.Errorf("another body: %v", err)
	}
	// Another caller, method or path is another request.
	for _, x := range []admin.IdempotentRequest{{Method: "PUT", Path: r.Path, Key: r.Key}, {Method: r.Method, Path: "/x", Key: r.Key}} {
		if begun, _, err := w.ops.BeginIdempotent(ctx, a, x); begun == nil || err != nil {
			t.Errorf("%s %s: %v", x.Method, x.Path, err)
		}
	}
	if begun, _, err := w.ops.BeginIdempotent(ctx, admin.Actor{Client: "other"}, r); begun == nil || err != nil {
		t.Errorf("another caller: %v", err)
	}
	// A failure is not stored; a server that stops leaves a mark for a day.
	failed := r
	failed.Key = "k2"
	begun, _, err = w.ops.BeginIdempotent(ctx, a, failed)
	testkit.Must(t, err)
	testkit.Must(t, begun.Abandon(ctx))
	if begun, _, err = w.ops.BeginIdempotent(ctx, a, failed); begun == nil || err != nil {
		t.Errorf("after a failure: %v", err)
	}
	w.now = w.now.Add(time.Hour)
	if _, _, err := w.ops.BeginIdempotent(ctx, a, failed); fault.Reason(err) != admin.ReasonOutcomeLost {
		t.Errorf("after the server has stopped: %v", err)
	}
	w.now = w.now.Add(24 * time.Hour)
	if begun, _, err = w.ops.BeginIdempotent(ctx, a, failed); begun == nil || err != nil {
		t.Errorf("a day later: %v", err)
	}
	if _, _, err := w.ops.BeginIdempotent(ctx, a, admin.IdempotentRequest{Key: "a\nb"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a key with a line break: %v", err)
	}
}
