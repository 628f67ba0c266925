package admin

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// updateAccount changes fields of an account together with its password or whether it can sign in.
// The password is checked before anything is stored.
func (o *Operations) updateAccount(ctx context.Context, a Actor, ref string, in UserUpdate) (*UpdatedUser, error) {
	password, active := in.Password, in.Active
	in.Password, in.Active = "", nil
	old, err := o.user(ctx, ref)
	if err != nil {
		return nil, err
	}
	if password != "" {
		// Whether the policy accepts a password tells which ones the account has had.
		if err := o.decide(ctx, o.covers(a, ScopeUsersWrite, account(old.ID))); err != nil {
			return nil, err
		}
		if err := o.checkPassword(ctx, in.apply(old), password); err != nil {
			return nil, err
		}
	}
	out, err := o.UpdateUser(ctx, a, string(old.ID), in)
	if err != nil {
		return out, err
	}
	if active != nil && *active == out.User.Disabled {
		set := o.EnableUser
		if !*active {
			set = o.DisableUser
		}
		if _, err := set(ctx, a, string(old.ID)); err != nil {
			return out, err
		}
		out.Changed = append(out.Changed, "disabled")
	}
	if password != "" {
		if _, err := o.SetPassword(ctx, a, string(old.ID), password); err != nil {
			return out, err
		}
		out.Changed = append(out.Changed, "password")
	}
	out.User, err = o.user(ctx, string(old.ID))
	return out, err
}

// checkPassword returns why the policy rejects a password for a user, or nil.
func (o *Operations) checkPassword(ctx context.Context, u *identity.User, password string) error {
	a, err := o.parts.Accounts.AssessPassword(ctx, u, password)
	if err == nil && len(a.Wrong) > 0 {
		err = fault.InvalidField("password", "the password is rejected: %s", strings.Join(a.Texts(), " "))
	}
	return err
}
