package account

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// ChangeProfile sets the fields that people may change themselves, which are those of
// identity.ProfileFields. get returns the value of an input, by the name that UserField.Input
// returns. The user returned has the values entered, also beside an error, for the form to show.
func (s *Server) ChangeProfile(
	ctx context.Context, c Caller, get func(input string) string,
) (*identity.User, error) {
	u := *c.User
	var wrong []error
	for _, f := range identity.ProfileFields() {
		wrong = append(wrong, f.Set(&u, strings.TrimSpace(get(f.Input()))))
	}
	if err := fault.Join(wrong...); err != nil {
		return &u, err
	}
	if u.Phone != c.User.Phone {
		u.PhoneVerified = false
	}
	if u.Address != c.User.Address {
		u.Address.Formatted = "" // it describes the former address
	}
	u.UpdatedAt = c.Now
	if err := u.ValidateChange(c.User); err != nil {
		return &u, err
	}
	return &u, s.store.UpdateUser(ctx, c.User, &u, c.event(audit.UserUpdated))
}
