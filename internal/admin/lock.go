package admin

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// endlessLock is how long an administrator's lock is said to last.
const endlessLock = 100 * 365 * 24 * time.Hour

// maxReason is the length of the reason that an administrator gives, in characters.
const maxReason = 200

// givenReason returns the reason that an administrator gives for something, or an error that names
// it.
func givenReason(reason, what string) (string, error) {
	reason = strings.TrimSpace(reason)
	switch invalid := identity.InvalidText(reason); {
	case reason == "" || utf8.RuneCountInString(reason) > maxReason:
		return "", fault.InvalidField("reason", "say why %s, in 1 to %d characters", what, maxReason)
	case invalid != "":
		return "", fault.InvalidField("reason", "the reason contains %s; remove it, or type the text again", invalid)
	}
	return reason, nil
}

// LockUser keeps an account from signing in until an administrator unlocks it, and ends everything
// it has open. The reason is for administrators; the person reads only that the account cannot be
// used. The last active administrator cannot be locked.
func (o *Operations) LockUser(ctx context.Context, a Actor, ref, reason string) (*identity.User, error) {
	reason, err := givenReason(reason, "the account is locked")
	if err != nil {
		return nil, err
	}
	return o.changeUser(ctx, a, ref, audit.UserLocked, func(u *identity.User, ev audit.Event) error {
		ev.Detail = map[string]string{"reason": reason}
		if err := o.store.SetUserLocked(ctx, u.ID, ev.At, reason, ev.At, ev); err != nil {
			return err
		}
		u.LockedAt, u.LockReason = ev.At, reason
		return nil
	})
}

// UnlockUser ends the lock of an account, an administrator's as well as that after too many failed
// attempts to sign in.
func (o *Operations) UnlockUser(ctx context.Context, a Actor, ref string) (*identity.User, error) {
	return o.changeUser(ctx, a, ref, audit.AccountUnlocked, func(u *identity.User, ev audit.Event) error {
		if !u.LockedAt.IsZero() {
			if err := o.store.SetUserLocked(ctx, u.ID, time.Time{}, "", ev.At, ev); err != nil {
				return err
			}
			u.LockedAt, u.LockReason = time.Time{}, ""
		}
		return o.parts.Accounts.Unlock(ctx, o.visitTo(a, u.ID), u.ID)
	})
}
