package admin_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// fillUsers stores n users in one step: every third is disabled, every fifth is verified.
func (w *world) fillUsers(t *testing.T, n int) {
	t.Helper()
	first := []string{"Anna", "Annabelle", "Bernd", "Zoë", "Émile"}
	var users []*identity.User
	for i := range n {
		users = append(users, &identity.User{
			ID:            identity.UserID(fmt.Sprintf("01a3185c-5000-7000-8000-%012d", (i*7919)%1_000_000)),
			Email:         fmt.Sprintf("%s.%d@example.com", identity.Fold(first[i%len(first)]), i),
			Name:          fmt.Sprintf("%s Number%d", first[i%len(first)], i%97),
			Disabled:      i%3 == 0,
			EmailVerified: i%5 == 0,
			Roles:         []string{[]string{"staff", "guest"}[i%2]},
			CreatedAt:     w.now.Add(-time.Duration((i*31)%n) * time.Minute),
			LastLoginAt:   w.now.Add(-time.Duration(i%50) * time.Hour),
		})
	}
	for part := range slices.Chunk(users, 500) {
		testkit.Must(t, w.db.ImportUsers(t.Context(), part, nil))
	}
}

// allPages reads a list to its end and returns the ids, and the total of the first page.
func (w *world) allPages(t *testing.T, q admin.UserQuery) (ids []string, total int, atLeast bool) {
	t.Helper()
	for page := 0; ; page++ {
		l, err := w.ops.Users(t.Context(), admin.CommandLine(), q)
		testkit.Must(t, err)
		if page == 0 {
			total, atLeast = l.Total, l.AtLeast
		}
		for i := range l.Items {
			ids = append(ids, string(l.Items[i].ID))
		}
		if q.Page.Cursor = l.Next; l.Next == "" {
			return ids, total, atLeast
		}
		if page > 200 {
			t.Fatal("the list does not end")
		}
	}
}

// Whatever a query selects, paging to the end delivers each user once, as many as the total says,
// and those that a search through all users finds.
func TestPagingDeliversTheTotal(t *testing.T) {
	w := newWorld(t)
	const n = 2600
	w.fillUsers(t, n)
	everybody, total, _ := w.allPages(t, admin.UserQuery{Page: admin.Page{Limit: 500}})
	testkit.Equal(t, "everybody", len(everybody), n)
	testkit.Equal(t, "the total of everybody", total, n)
	var users []*identity.User
	for _, id := range everybody {
		u, err := w.db.User(t.Context(), identity.UserID(id))
		testkit.Must(t, err)
		users = append(users, u)
	}
	yes, no := true, false
	begins := func(u *identity.User, p string) bool {
		return slices.ContainsFunc(u.Terms(), func(t string) bool { return strings.HasPrefix(t, p) })
	}
	day := admin.TimeRange{From: w.now.Add(-25 * time.Hour), Until: w.now.Add(-time.Hour)}
	within := func(at time.Time, r admin.TimeRange) bool { return !at.Before(r.From) && at.Before(r.Until) }
	for name, c := range map[string]struct {
		q     admin.UserQuery
		match func(u *identity.User) bool
	}{
		"a word that many have": {admin.UserQuery{Search: "ann"}, func(u *identity.User) bool { return begins(u, "ann") }},
		"without accents":       {admin.UserQuery{Search: "zoe"}, func(u *identity.User) bool { return begins(u, "zoe") }},
		"with accents":          {admin.UserQuery{Search: "ÉM"}, func(u *identity.User) bool { return begins(u, "em") }},
		"two words": {admin.UserQuery{Search: "number1 ann"}, func(u *identity.User) bool {
			return begins(u, "ann") && begins(u, "number1")
		}},
		"two words that many have": {admin.UserQuery{Search: "example num"}, func(u *identity.User) bool { return true }},
		"the domain":               {admin.UserQuery{Search: "@example.com"}, func(*identity.User) bool { return true }},
		"the beginning of an address": {admin.UserQuery{Search: "bernd.2@ex"}, func(u *identity.User) bool {
			return strings.HasPrefix(u.Email, "bernd.2@")
		}},
		"disabled":        {admin.UserQuery{Status: admin.UserDisabled}, func(u *identity.User) bool { return u.Disabled }},
		"active":          {admin.UserQuery{Status: admin.UserActive}, func(u *identity.User) bool { return !u.Disabled }},
		"verified":        {admin.UserQuery{Verified: &yes}, func(u *identity.User) bool { return u.EmailVerified }},
		"unverified":      {admin.UserQuery{Verified: &no}, func(u *identity.User) bool { return !u.EmailVerified }},
		"role":            {admin.UserQuery{Role: "staff"}, func(u *identity.User) bool { return u.Roles[0] == "staff" }},
		"role, prefix":    {admin.UserQuery{Role: "staf"}, func(*identity.User) bool { return false }},
		"role and status": {admin.UserQuery{Role: "guest", Status: admin.UserDisabled}, func(u *identity.User) bool { return u.Roles[0] == "guest" && u.Disabled }},
		"all at once": {admin.UserQuery{Search: "anna", Role: "guest", Status: admin.UserDisabled, Verified: &no}, func(u *identity.User) bool {
			return begins(u, "anna") && u.Roles[0] == "guest" && u.Disabled && !u.EmailVerified
		}},
		"last login": {admin.UserQuery{LastLogin: admin.TimeRange{From: w.now.Add(-10 * time.Hour)}}, func(u *identity.User) bool {
			return !u.LastLoginAt.Before(w.now.Add(-10 * time.Hour))
		}},
		"created": {admin.UserQuery{Created: admin.TimeRange{Until: w.now.Add(-time.Hour)}}, func(u *identity.User) bool {
			return u.CreatedAt.Before(w.now.Add(-time.Hour))
		}},
		"created in a day": {admin.UserQuery{Created: day}, func(u *identity.User) bool { return within(u.CreatedAt, day) }},
		"disabled, created in a day": {admin.UserQuery{Status: admin.UserDisabled, Created: day}, func(u *identity.User) bool {
			return u.Disabled && within(u.CreatedAt, day)
		}},
		"unverified, created in a day": {admin.UserQuery{Verified: &no, Created: day}, func(u *identity.User) bool {
			return !u.EmailVerified && within(u.CreatedAt, day)
		}},
		"role, created in a day": {admin.UserQuery{Role: "staff", Created: day}, func(u *identity.User) bool {
			return u.Roles[0] == "staff" && within(u.CreatedAt, day)
		}},
		"created and last login": {admin.UserQuery{Created: day, LastLogin: day}, func(u *identity.User) bool {
			return within(u.CreatedAt, day) && within(u.LastLoginAt, day)
		}},
		"active, last login": {admin.UserQuery{Status: admin.UserActive, LastLogin: day}, func(u *identity.User) bool {
			return !u.Disabled && within(u.LastLoginAt, day)
		}},
		"no word": {admin.UserQuery{Search: "%!"}, func(*identity.User) bool { return false }},
		"an id":   {admin.UserQuery{Search: everybody[7]}, func(u *identity.User) bool { return string(u.ID) == everybody[7] }},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, u := range users {
				if c.match(u) {
					want = append(want, string(u.ID))
				}
			}
			slices.Sort(want)
			for _, sort := range []admin.Sort{{}, {By: admin.OrderName}, {By: admin.OrderLastLogin, Desc: true}} {
				q := c.q
				q.Sort, q.Page.Limit = sort, 170
				got, total, atLeast := w.allPages(t, q)
				if total > len(want) || !atLeast && total != len(want) {
					t.Errorf("by %v: the total is %d (at least: %v), of %d", sort, total, atLeast, len(want))
				}
				slices.Sort(got)
				if !slices.Equal(got, want) {
					t.Fatalf("by %v: %d users, %d of them once; want %d", sort, len(got), len(slices.Compact(slices.Clone(got))), len(want))
				}
				q.Page.Exact = true
				l, err := w.ops.Users(t.Context(), admin.CommandLine(), q)
				testkit.Must(t, err)
				if l.Total != len(want) || l.AtLeast {
					t.Errorf("by %v: the exact total is %d, at least: %v; want %d", sort, l.Total, l.AtLeast, len(want))
				}
			}
		})
	}
}

// The order of a list holds across pages.
func TestListsAreSorted(t *testing.T) {
	w := newWorld(t)
	w.fillUsers(t, 300)
	for _, desc := range []bool{false, true} {
		q := admin.UserQuery{Sort: admin.Sort{By: admin.OrderName, Desc: desc}, Page: admin.Page{Limit: 70}}
		ids, _, _ := w.allPages(t, q)
		var keys []string
		for _, id := range ids {
			u, err := w.db.User(t.Context(), identity.UserID(id))
			testkit.Must(t, err)
			keys = append(keys, u.NameKey()+"\x00"+id)
		}
		if desc {
			slices.Reverse(keys)
		}
		if !slices.IsSorted(keys) {
			t.Errorf("descending %v: the names are not in order", desc)
		}
	}
}

// A filter that few match comes in the order that was asked for, and one that many match in the
// order that the list says. Those with a role come as they were created, the newest first if asked.
func TestOrderOfFilteredLists(t *testing.T) {
	w := newWorld(t)
	w.fillUsers(t, 2400)
	hour := admin.TimeRange{From: w.now.Add(-time.Hour)}
	year := admin.TimeRange{From: w.now.Add(-365 * 24 * time.Hour)}
	byName := admin.Sort{By: admin.OrderName}
	for name, c := range map[string]struct {
		q     admin.UserQuery
		order string
	}{
		"few created":      {admin.UserQuery{Created: hour, Sort: byName}, admin.OrderName},
		"many created":     {admin.UserQuery{Created: year, Sort: byName}, admin.OrderCreated},
		"few signed in":    {admin.UserQuery{LastLogin: hour, Sort: byName}, admin.OrderName},
		"many signed in":   {admin.UserQuery{LastLogin: year, Sort: byName}, admin.OrderLastLogin},
		"a role of many":   {admin.UserQuery{Role: "staff", Sort: byName}, admin.OrderCreated},
		"a role of nobody": {admin.UserQuery{Role: "none", Sort: byName}, admin.OrderName},
	} {
		l, err := w.ops.Users(t.Context(), admin.CommandLine(), c.q)
		testkit.Must(t, err)
		testkit.Equal(t, name, l.Order, c.order)
		other := "" // it is said where the order is not the one that was asked for
		if c.order != admin.OrderName {
			other = c.order
		}
		testkit.Equal(t, name+" says", l.SortedBy, other)
	}
	for _, desc := range []bool{false, true} {
		ids, total, atLeast := w.allPages(t, admin.UserQuery{
			Role: "staff", Sort: admin.Sort{By: admin.OrderCreated, Desc: desc}, Page: admin.Page{Limit: 500},
		})
		if total != 1200 || atLeast || len(ids) != 1200 {
			t.Errorf("%d with the role, the total is %d (at least: %v)", len(ids), total, atLeast)
		}
		if desc {
			slices.Reverse(ids)
		}
		testkit.Equal(t, "in the order of ids", slices.IsSorted(ids), true)
	}
}

// A cursor goes with its query only, and an offset has a bound.
func TestCursorsAreBoundToTheQuery(t *testing.T) {
	w, cli := newWorld(t), admin.CommandLine()
	w.fillUsers(t, 30)
	q := admin.UserQuery{Role: "staff", Page: admin.Page{Limit: 5}}
	first, err := w.ops.Users(t.Context(), cli, q)
	testkit.Must(t, err)
	for name, change := range map[string]func(*admin.UserQuery){
		"another role":      func(q *admin.UserQuery) { q.Role = "guest" },
		"another status":    func(q *admin.UserQuery) { q.Status = admin.UserActive },
		"another order":     func(q *admin.UserQuery) { q.Sort.By = admin.OrderName },
		"another direction": func(q *admin.UserQuery) { q.Sort.Desc = true },
		"another search":    func(q *admin.UserQuery) { q.Search = "anna" },
		"a cut cursor":      func(q *admin.UserQuery) { q.Page.Cursor = q.Page.Cursor[:20] },
		"no cursor at all":  func(q *admin.UserQuery) { q.Page.Cursor = "x" },
		"a long page":       func(q *admin.UserQuery) { q.Page = admin.Page{Limit: admin.MaxPage + 1} },
		"a far offset":      func(q *admin.UserQuery) { q.Page = admin.Page{Offset: admin.MaxOffset + 1} },
		"a negative offset": func(q *admin.UserQuery) { q.Page = admin.Page{Offset: -1} },
		"an unknown order":  func(q *admin.UserQuery) { *q = admin.UserQuery{Sort: admin.Sort{By: "password_hash"}} },
		"an unknown status": func(q *admin.UserQuery) { *q = admin.UserQuery{Status: "asleep"} },
	} {
		next := q
		next.Page.Cursor = first.Next
		change(&next)
		if _, err := w.ops.Users(t.Context(), cli, next); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.ops.Mail(t.Context(), cli, admin.DeliveryQuery{Page: admin.Page{Cursor: first.Next}}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a cursor of another list: %v", err)
	}
}

// A change that names a version is made only if the thing still has it.
func TestVersions(t *testing.T) {
	w, cli := newWorld(t), admin.CommandLine()
	u := w.createUser("ada@example.com", "staff")
	testkit.Equal(t, "the first version", u.Version, 1)
	change := func(name string, version int64) (*admin.UpdatedUser, error) {
		p := admin.UserPatch{Values: identity.User{Name: name}, Names: []string{"name"}, IfVersion: version}
		return w.ops.UpdateUser(t.Context(), cli, "ada@example.com", admin.UserUpdate{Fields: p})
	}
	out, err := change("Ada", 1)
	testkit.Must(t, err)
	testkit.Equal(t, "the version after a change", out.User.Version, 2)
	_, err = change("Lady Ada", 1)
	var found *fault.Error
	if !fault.Is(err, fault.Stale) || !errors.As(err, &found) || found.At != 2 || !slices.Equal(found.Fields, []string{"name"}) {
		t.Errorf("a change of the first version: %v %+v", err, found)
	}
	if out, err = change("Ada", 2); err != nil || out.User.Version != 2 {
		t.Errorf("a change in which nothing differs: %v, version %d", err, out.User.Version)
	}
	if _, err := w.ops.DeleteUser(t.Context(), cli, "ada@example.com", 1); !fault.Is(err, fault.Stale) {
		t.Errorf("deleting the first version: %v", err)
	}
	if _, err := w.ops.DeleteUser(t.Context(), cli, "ada@example.com", 2); err != nil {
		t.Error(err)
	}
	if page, err := w.ops.Users(t.Context(), cli, admin.UserQuery{Search: "ada"}); err != nil || page.Total != 0 {
		t.Errorf("a deleted user is found: %+v, %v", page, err)
	}
}
