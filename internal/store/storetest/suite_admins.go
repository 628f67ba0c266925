package storetest

import (
	"fmt"
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
	ids := make([]identity.UserID, racers)
	for i := range ids {
		ids[i] = identity.UserID(fmt.Sprintf("admin-%d", i))
		testkit.Must(t, db.CreateUser(t.Context(), &identity.User{
			ID:        ids[i],
			Email:     fmt.Sprintf("admin%d@example.com", i),
			Roles:     []string{"staff", identity.RoleAdmin},
			CreatedAt: s.now,
			UpdatedAt: s.now,
		}))
	}
	results := race(t, func(i int) error {
		var err error
		if i%2 == 0 {
			err = db.SetUserDisabled(t.Context(), ids[i], true, s.now)
		} else {
			err = db.DeleteUser(t.Context(), ids[i], s.now)
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
