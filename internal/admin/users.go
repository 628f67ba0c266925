package admin

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

// UserPatch is a change of the fields in identity.UserFields.
type UserPatch = field.Patch[identity.User]

// NewUser is an account to create.
type NewUser struct {
	Fields   UserPatch
	Password string // "": the account gets a one-time link instead
}

// CreatedUser is a new account.
type CreatedUser struct {
	User *identity.User
	Link string // a one-time link to choose a password, valid for an hour; "" if there is a password

	Warnings []Warning
}

// UserDetail is an account with what belongs to it.
type UserDetail struct {
	User        *identity.User
	LockedUntil time.Time             // zero: not locked
	LockedAt    time.Time             // when that lock began, where it is known
	UnlockAt    time.Time             // when it ends by itself; zero: never, or not locked
	LockReason  string                // of an administrator's lock
	Failures    int                   // failed attempts that count towards a lock
	Factors     []identity.Credential // confirmed second factors
	Emails      []identity.OtherEmail // proved addresses beside the one of the account
	Sessions    int
	Grants      int

	// When the request about a lost second step or lost passkeys that waits can be completed; zero:
	// none waits.
	RecoveryReadyAt time.Time
}

// Users returns a page of accounts. Without another order they are sorted by creation, oldest
// first, or by what a range of times is about.
func (o *Operations) Users(ctx context.Context, a Actor, q UserQuery) (*List[identity.User], error) {
	if err := o.authorize(a, ScopeUsersRead); err != nil {
		return nil, err
	}
	requested := q.Sort.By
	q, err := o.checkUserQuery(q)
	if err != nil {
		return nil, err
	}
	found, err := listQuery(o, "users", q, q.Page, func(p Page, after *Position) (Rows[identity.User], error) {
		q.Page = p
		return o.store.ListUsers(ctx, q, after)
	})
	if err == nil {
		found.requestedBy(requested)
	}
	return found, err
}

// checkUserQuery returns a query with its order and the time, or what is wrong with it.
func (o *Operations) checkUserQuery(q UserQuery) (UserQuery, error) {
	q.Now = o.parts.Now()
	q.Search = strings.TrimSpace(q.Search)
	switch q.Status {
	case "", UserActive, UserLocked, UserDisabled:
	default:
		return q, fault.InvalidField("status", "there is no status %q; an account is active, locked or "+
			"disabled", q.Status)
	}
	if q.Sort.By == "" && q.Created.IsZero() && !q.LastLogin.IsZero() {
		q.Sort.By = OrderLastLogin // whose index the range is of
	}
	var err error
	q.Sort, err = checkSort(q.Sort, OrderCreated, OrderName, OrderLastLogin)
	return q, err
}

// User returns the account with that id, email address or username.
func (o *Operations) User(ctx context.Context, a Actor, ref string) (*identity.User, error) {
	if err := o.authorize(a, ScopeUsersRead); err != nil {
		return nil, err
	}
	return o.user(ctx, ref)
}

func (o *Operations) user(ctx context.Context, ref string) (*identity.User, error) {
	u, err := o.store.UserByRef(ctx, ref)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.NotFound, "there is no user %q", ref)
	}
	return u, err
}

// UserDetail returns an account with its lock, second factors, sessions and grants.
func (o *Operations) UserDetail(ctx context.Context, a Actor, ref string) (*UserDetail, error) {
	u, err := o.User(ctx, a, ref)
	if err != nil {
		return nil, err
	}
	now := o.parts.Now()
	d := &UserDetail{User: u}
	credentials, err := o.store.Credentials(ctx, u.ID)
	if err != nil {
		return nil, err
	}
	for _, c := range credentials {
		if !c.ConfirmedAt.IsZero() {
			d.Factors = append(d.Factors, c)
		}
	}
	if d.Emails, err = o.store.UserEmails(ctx, u.ID); err != nil {
		return nil, err
	}
	lock, err := o.parts.Accounts.LockOf(ctx, a.visit(now), u.ID)
	if err != nil {
		return nil, err
	}
	d.Failures = lock.Failures
	if !u.LockedAt.IsZero() {
		d.LockedAt, d.LockedUntil, d.LockReason = u.LockedAt, u.LockedAt.Add(endlessLock), u.LockReason
	} else if lock.Locked(now) {
		d.LockedAt, d.LockedUntil = lock.LockedAt, lock.LockedUntil
		if !lock.Endless(now) {
			d.UnlockAt = lock.LockedUntil
		}
	}
	sessions, err := o.store.UserSessions(ctx, u.ID, now)
	if err != nil {
		return nil, err
	}
	grants, err := o.store.UserGrants(ctx, u.ID, now)
	if err != nil {
		return nil, err
	}
	d.Sessions, d.Grants = len(sessions), len(grants)
	recovery, err := o.store.Recovery(ctx, u.ID, now)
	if fault.Is(err, fault.NotFound) {
		return d, nil
	}
	if err == nil {
		d.RecoveryReadyAt = recovery.ReadyAt
	}
	return d, err
}

// Locks returns until when accounts are locked after failed attempts to sign in. Accounts that are
// not locked are missing.
func (o *Operations) Locks(ctx context.Context, a Actor, ids []identity.UserID) (
	map[identity.UserID]time.Time, error,
) {
	if err := o.authorize(a, ScopeUsersRead); err != nil {
		return nil, err
	}
	now := o.parts.Now()
	locks := map[identity.UserID]time.Time{}
	for _, id := range ids {
		lock, err := o.parts.Accounts.LockOf(ctx, a.visit(now), id)
		if err != nil {
			return nil, err
		}
		if lock.Locked(now) {
			locks[id] = lock.LockedUntil
		}
	}
	return locks, nil
}

// UserNames returns what users sign in with, by their ids. Users that have been deleted are
// missing.
func (o *Operations) UserNames(ctx context.Context, a Actor, ids []identity.UserID) (
	map[identity.UserID]string, error,
) {
	if err := o.authorize(a, ScopeUsersRead); err != nil {
		return nil, err
	}
	return o.userNames(ctx, ids)
}

// userNames returns what users sign in with, by their ids, which may repeat.
func (o *Operations) userNames(ctx context.Context, ids []identity.UserID) (map[identity.UserID]string, error) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	users, err := o.store.UsersByID(ctx, slices.Compact(ids))
	names := make(map[identity.UserID]string, len(users))
	for i := range users {
		names[users[i].ID] = users[i].LoginName()
	}
	return names, err
}

// CreateUser creates an account with a password, or with a one-time link to choose one.
func (o *Operations) CreateUser(ctx context.Context, a Actor, in NewUser) (*CreatedUser, error) {
	if err := o.authorize(a, ScopeUsersWrite); err != nil {
		return nil, err
	}
	now := o.parts.Now()
	u := &identity.User{ID: identity.UserID(secret.NewID(now)), CreatedAt: now, UpdatedAt: now}
	in.Fields.Apply(identity.UserFields(), u)
	u.NormalizeEmail()
	if err := u.Validate(); err != nil {
		return nil, err
	}
	warnings, err := o.roleWarnings(ctx, a, u.Roles)
	if err != nil {
		return nil, err
	}
	if in.Password != "" {
		if err := o.firstPassword(ctx, u, in.Password); err != nil {
			return nil, err
		}
	}
	if err := o.store.CreateUser(ctx, u, o.createdEvents(a, u)...); err != nil {
		return nil, err
	}
	out := &CreatedUser{User: u, Warnings: warnings}
	if in.Password != "" {
		return out, nil
	}
	if out.Link, err = o.passwordLink(ctx, a, u); err != nil {
		return nil, fmt.Errorf("user %s was created without a link to choose a password; create one for it: %w",
			u.ID, err)
	}
	return out, nil
}

// InviteUser sends a link by which a person takes over an account, and returns it for servers that
// send no mail. It makes the account, with the fields, unless there is one that nobody has taken
// over yet: of that one, all earlier links end, and only its roles are set anew where the fields
// name some. An account that is in use is fault.Conflict.
func (o *Operations) InviteUser(ctx context.Context, a Actor, in NewUser) (*CreatedUser, error) {
	if err := o.authorize(a, ScopeUsersWrite); err != nil {
		return nil, err
	}
	now := o.parts.Now()
	u := &identity.User{ID: identity.UserID(secret.NewID(now)), CreatedAt: now, UpdatedAt: now}
	in.Fields.Apply(identity.UserFields(), u)
	u.NormalizeEmail()
	if u.Email == "" {
		return nil, fault.InvalidField("email", "an invitation needs an email address")
	}
	if err := u.Validate(); err != nil {
		return nil, err
	}
	out := &CreatedUser{}
	known, err := o.store.UserByRef(ctx, u.Email)
	switch {
	case err == nil:
		roles := u.Roles
		if u = known; len(roles) > 0 && u.PasswordHash == "" {
			changed, err := o.UpdateUser(ctx, a, string(u.ID), UserUpdate{AddRoles: roles})
			if err != nil {
				return nil, err
			}
			u, out.Warnings = changed.User, changed.Warnings
		}
	case fault.Is(err, fault.NotFound):
		if out.Warnings, err = o.roleWarnings(ctx, a, u.Roles); err != nil {
			return nil, err
		}
		if err := o.store.CreateUser(ctx, u, o.createdEvents(a, u)...); err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	out.User = u
	out.Link, err = o.parts.Accounts.Invite(ctx, o.visitTo(a, u.ID), u)
	if fault.Is(err, fault.Conflict) {
		err = fault.New(fault.Conflict, "%s has an account that is in use; there is nothing to invite to", u.LoginName())
	}
	return out, err
}

// createdEvents returns the events of a new account, with the guard that nobody gives roles which
// confer more than they have.
func (o *Operations) createdEvents(a Actor, u *identity.User) []audit.Event {
	ev := a.event(audit.UserCreated, u.CreatedAt)
	ev.User, ev.Detail = string(u.ID), createdDetail(u)
	ev.Guard = o.covers(a, ScopeUsersWrite, ofRoles(u.Roles...))
	return append([]audit.Event{ev}, o.administratorEvents(a, u.ID, u.CreatedAt, nil, u.Roles)...)
}

// createdDetail returns what the audit log says of a new account: its names and roles, which may be
// changed or deleted later.
func createdDetail(u *identity.User) map[string]string {
	detail := map[string]string{}
	for name, value := range map[string]string{
		"email":    u.Email,
		"username": u.Username,
		"roles":    strings.Join(u.Roles, " "),
	} {
		if value != "" {
			detail[name] = value
		}
	}
	return detail
}

// firstPassword sets a password that the policy accepts before the account is stored: an account
// whose password is rejected is not created.
func (o *Operations) firstPassword(ctx context.Context, u *identity.User, password string) error {
	if err := o.checkPassword(ctx, u, password); err != nil {
		return err
	}
	hash, err := o.parts.Passwords.Hash(ctx, password)
	u.PasswordHash, u.PasswordChangedAt = hash, u.CreatedAt
	return err
}

// visitTo returns the actor as the login sees them when they change an account, with the guard that
// nobody changes an account that has more than they have.
func (o *Operations) visitTo(a Actor, id identity.UserID) login.Visit {
	v := a.visit(o.parts.Now())
	v.Guard = o.covers(a, ScopeUsersWrite, account(id))
	return v
}

func (o *Operations) passwordLink(ctx context.Context, a Actor, u *identity.User) (string, error) {
	token, err := o.parts.Accounts.PasswordLink(ctx, o.visitTo(a, u.ID), u)
	if err != nil {
		return "", err
	}
	return o.cfg.Issuer + "/reset-password?token=" + url.QueryEscape(token), nil
}

// SetPassword replaces the password of an account, which ends its sessions.
func (o *Operations) SetPassword(ctx context.Context, a Actor, ref, password string) (*identity.User, error) {
	if err := o.authorize(a, ScopeUsersWrite); err != nil {
		return nil, err
	}
	u, err := o.user(ctx, ref)
	if err != nil {
		return nil, err
	}
	v := o.visitTo(a, u.ID)
	// Whether the policy accepts a password tells which ones the account has had.
	if err := o.decide(ctx, v.Guard); err != nil {
		return nil, err
	}
	if err := o.checkPassword(ctx, u, password); err != nil {
		return nil, err
	}
	return u, o.parts.Accounts.SetPassword(ctx, v, u, password)
}

// CreatePasswordLink returns a one-time link to choose a new password. It is valid for an hour.
func (o *Operations) CreatePasswordLink(ctx context.Context, a Actor, ref string) (*CreatedUser, error) {
	if err := o.authorize(a, ScopeUsersWrite); err != nil {
		return nil, err
	}
	u, err := o.user(ctx, ref)
	if err != nil {
		return nil, err
	}
	link, err := o.passwordLink(ctx, a, u)
	return &CreatedUser{User: u, Link: link}, err
}

// ResetTwoStep removes all second factors and backup codes of an account and ends its sessions, so
// that a person who has lost them can sign in with the password. It returns fault.Conflict if the
// account has none.
func (o *Operations) ResetTwoStep(ctx context.Context, a Actor, ref string) (*identity.User, error) {
	u, err := o.changeUser(ctx, a, ref, audit.MFADisabled, func(u *identity.User, ev audit.Event) error {
		ev.Detail = map[string]string{"kind": "all"}
		o.parts.Accounts.NotifyTwoStepOff(&ev, u)
		err := o.store.ResetSecondFactors(ctx, u.ID, ev.At, o.cfg.RevokeTokens, ev)
		if fault.Is(err, fault.NotFound) {
			err = fault.New(fault.Conflict, "%s has no two-step verification; nothing was changed", u.LoginName())
		}
		return err
	})
	return u, err
}

// StopRecovery ends the request about a lost second step or lost passkeys that an account has: no
// link of it works any more. It changes nothing else, and the person may ask again. It returns
// fault.Conflict if there is none.
func (o *Operations) StopRecovery(ctx context.Context, a Actor, ref string) (*identity.User, error) {
	return o.changeUser(ctx, a, ref, audit.RecoveryRefused, func(u *identity.User, ev audit.Event) error {
		ev.Detail = map[string]string{"by": "administrator"}
		err := o.store.EndUserRecovery(ctx, u.ID, ev.At, ev)
		if fault.Is(err, fault.NotFound) {
			err = fault.New(fault.Conflict, "%s has no request for recovery; nothing was changed", u.LoginName())
		}
		return err
	})
}

// DisableUser keeps an account from signing in and ends everything it has open. The last active
// administrator cannot be disabled.
func (o *Operations) DisableUser(ctx context.Context, a Actor, ref string) (*identity.User, error) {
	return o.changeUser(ctx, a, ref, audit.UserDisabled, func(u *identity.User, ev audit.Event) error {
		return o.store.SetUserDisabled(ctx, u.ID, true, ev.At, ev)
	})
}

// EnableUser lets a disabled account sign in again.
func (o *Operations) EnableUser(ctx context.Context, a Actor, ref string) (*identity.User, error) {
	return o.changeUser(ctx, a, ref, audit.UserEnabled, func(u *identity.User, ev audit.Event) error {
		return o.store.SetUserDisabled(ctx, u.ID, false, ev.At, ev)
	})
}

// DeleteUser deletes an account with all that belongs to it. The last active administrator cannot
// be deleted. A version other than 0 is the one that the account must have.
func (o *Operations) DeleteUser(ctx context.Context, a Actor, ref string, version int64) (*identity.User, error) {
	return o.changeUser(ctx, a, ref, audit.UserDeleted, func(u *identity.User, ev audit.Event) error {
		return o.store.DeleteUserAt(ctx, version, u.ID, ev.At, ev)
	})
}

func (o *Operations) changeUser(ctx context.Context, a Actor, ref string, t audit.Type,
	change func(*identity.User, audit.Event) error,
) (*identity.User, error) {
	if err := o.authorize(a, ScopeUsersWrite); err != nil {
		return nil, err
	}
	u, err := o.user(ctx, ref)
	if err != nil {
		return nil, err
	}
	ev := a.event(t, o.parts.Now())
	ev.User = string(u.ID)
	ev.Guard = o.covers(a, ScopeUsersWrite, account(u.ID))
	if a.User == u.ID && (t == audit.UserDisabled || t == audit.UserDeleted) { // they lower themselves
		ev.Guard = o.covers(a, ScopeUsersWrite)
	}
	return u, lastAdministrator(u, change(u, ev))
}

// SetupLink returns a one-time link to become the first administrator, which works for a day. It
// returns fault.Conflict if there is an administrator.
func (o *Operations) SetupLink(ctx context.Context, a Actor) (string, error) {
	if err := o.authorize(a, ScopeAll); err != nil {
		return "", err
	}
	n, err := o.store.CountAdmins(ctx)
	if err != nil {
		return "", err
	}
	if n > 0 {
		return "", fault.New(fault.Conflict, "there is an administrator already; "+
			"create another one with: gatehouse user create --email EMAIL --role super_admin")
	}
	token, err := o.parts.Accounts.SetupLink(ctx, o.parts.Now())
	if err != nil {
		return "", err
	}
	return o.cfg.Issuer + "/setup?token=" + token, nil
}
