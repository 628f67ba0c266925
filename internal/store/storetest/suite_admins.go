package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// lastAdmin removes as many administrators at once as there are: one stays. It needs a database
// without other administrators.
func (s *suite) lastAdmin(t *testing.T) {
	db := Open(t, store.Options{URL: s.url(t)})
	administrator := func(i int) *identity.User {
		return &identity.User{
			ID:           identity.UserID(fmt.Sprintf("admin-%d", i)),
			Email:        fmt.Sprintf("admin%d@example.com", i),
			Roles:        []string{"staff", identity.RoleSuperAdmin},
			PasswordHash: "x",
			CreatedAt:    s.now,
			UpdatedAt:    s.now,
		}
	}
	demoted := func(i int) *identity.User {
		u := administrator(i)
		u.Roles = []string{"staff"}
		return u
	}
	ids := make([]identity.UserID, racers)
	for i := range ids {
		ids[i] = administrator(i).ID
		testkit.Must(t, db.CreateUser(t.Context(), administrator(i)))
	}
	results := race(t, func(i int) error {
		var err error
		switch i % 4 {
		case 0:
			err = db.SetUserDisabled(t.Context(), ids[i], true, s.now)
		case 1:
			err = db.DeleteUser(t.Context(), ids[i], s.now)
		case 2:
			err = db.SetRoles(t.Context(), ids[i], []string{"staff"}, s.now)
		default:
			err = db.UpdateUser(t.Context(), administrator(i), demoted(i))
		}
		if err != nil && fault.Reason(err) != admin.ReasonLastAdministrator {
			t.Errorf("%s: %v", ids[i], err)
		}
		return err
	})
	if results[fault.Internal] != racers-1 || results[fault.Conflict] != 1 {
		t.Errorf("callers results %v; want %d to succeed and one to meet a conflict", results, racers-1)
	}
	n, err := db.CountAdmins(t.Context())
	testkit.Must(t, err)
	testkit.Equal(t, "administrators", n, 1)
}

// rolesMeanwhile adds a role from many goroutines at once, each with the copy that it has read: no
// change is lost, whichever of them are rejected because their copy is stale.
func (s *suite) rolesMeanwhile(t *testing.T) {
	u := s.user(t)
	given := make([]bool, racers)
	results := race(t, func(i int) error {
		next := *u
		next.Roles = append(slices.Clone(u.Roles), fmt.Sprintf("role-%d", i))
		err := s.db.UpdateUser(t.Context(), u, &next)
		if err != nil && fault.Reason(err) != admin.ReasonStale {
			t.Errorf("caller %d: %v", i, err)
		}
		given[i] = err == nil
		return err
	})
	if results[fault.Internal] != 1 || results[fault.Conflict] != racers-1 {
		t.Errorf("callers results %v; want one to succeed and the rest to meet a conflict", results)
	}
	stored, err := s.db.User(t.Context(), u.ID)
	testkit.Must(t, err)
	for i := range given {
		testkit.Equal(t, "has the role given", slices.Contains(stored.Roles, fmt.Sprintf("role-%d", i)), given[i])
	}
	known, err := s.db.Roles(t.Context(), 1000)
	testkit.Must(t, err)
	for _, role := range stored.Roles {
		testkit.Equal(t, role+" is among those in use", slices.Contains(known, role), true)
	}
}
