package admin

import (
	"context"
	"errors"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

// Reasons why somebody may not act as a person, beside those of all operations.
const (
	ReasonOwnAccount    = "own_account"
	ReasonAdministrator = "administrator" // the person manages the server
	ReasonBlocked       = "blocked"       // the account is disabled, locked or deleted
)

// ImpersonationLink is a one-time link by which an actor becomes another person for a while.
type ImpersonationLink struct {
	User      *identity.User
	URL       string // opens the session once
	ExpiresAt time.Time
}

// ImpersonateUser returns a one-time link, which opens a session in which the actor acts as a user.
// The session says so, ends by itself after IMPERSONATION_TTL and can do nothing that only its
// person may do. The link is for the browser of the actor's own session where that asks for it.
// That an actor with the scope may not act as the user is recorded.
func (o *Operations) ImpersonateUser(
	ctx context.Context, a Actor, ref, reason string,
) (*ImpersonationLink, error) {
	if err := o.authorize(a, ScopeUsersImpersonate); err != nil {
		return nil, err
	}
	reason, err := givenReason(reason, "you act as this person")
	if err != nil {
		return nil, err
	}
	i := login.Impersonation{
		Actor:        a.impersonator(),
		ActorSession: a.Session,
		Bound:        a.browser,
		Reason:       reason,
	}
	v := a.visit(o.parts.Now())
	v.ActorType = i.Actor.Kind
	u, err := o.impersonable(ctx, a, ref)
	if u != nil {
		i.User = u.ID
	}
	out := &ImpersonationLink{User: u}
	if err == nil {
		v.Guard = impersonationGuard(a, u.ID)
		out.URL, out.ExpiresAt, err = o.parts.Accounts.NewImpersonation(ctx, v, i)
	}
	if err == nil {
		return out, nil
	}
	if refusedImpersonation(err) {
		if failed := o.store.Record(ctx, login.RefusedImpersonation(v, i, err)); failed != nil {
			return nil, errors.Join(err, failed)
		}
	}
	return nil, err
}

// impersonable returns the user whom an actor asks to become, as far as that can be decided before
// the transaction. It returns the user also with an error that is about them.
func (o *Operations) impersonable(ctx context.Context, a Actor, ref string) (*identity.User, error) {
	if o.cfg.Impersonation <= 0 {
		return nil, fault.New(fault.Conflict, "nobody may act as another person on this server: IMPERSONATION_TTL is 0")
	}
	u, err := o.user(ctx, ref)
	switch {
	case err != nil:
		return nil, err
	case u.ID == a.User:
		return u, errOwnAccount()
	case u.Blocked():
		return u, &fault.Error{
			Kind:   fault.Conflict,
			Reason: ReasonBlocked,
			Text:   "the account of " + u.LoginName() + " is disabled or locked",
		}
	}
	return u, nil
}

func errOwnAccount() error {
	return &fault.Error{Kind: fault.Denied, Reason: ReasonOwnAccount, Text: "this is your own account"}
}

// refusedImpersonation reports whether an error is a decision against an actor, which is recorded.
func refusedImpersonation(err error) bool {
	return fault.Is(err, fault.Denied) || fault.Reason(err) == ReasonBlocked
}

// impersonator returns the actor as a session is marked with them.
func (a Actor) impersonator() identity.Impersonator {
	switch {
	case a.User != "":
		return identity.Impersonator{Kind: audit.ActorUser, ID: string(a.User)}
	case a.Client != "":
		return identity.Impersonator{Kind: audit.ActorClient, ID: string(a.Client)}
	}
	return identity.Impersonator{Kind: audit.ActorCLI, ID: audit.ActorCLI}
}

// ImpersonationGuard returns what decides, by the rights that all have by then, whether the actor
// of an impersonation may act as its person.
func ImpersonationGuard(i *login.Impersonation) audit.Guard {
	a := Actor{Scopes: []Scope{ScopeAll}}
	switch i.Actor.Kind {
	case audit.ActorUser:
		a.User = identity.UserID(i.Actor.ID)
	case audit.ActorClient:
		a.Client, a.Machine = client.ID(i.Actor.ID), true
	case audit.ActorCLI:
		a.name = audit.ActorCLI
	default:
		return func(context.Context, audit.Rows) error { return impersonated() }
	}
	return impersonationGuard(a, i.User)
}

// impersonationGuard returns what decides whether an actor may act as a user: never as themselves,
// never as an administrator, and never as a person who has rights that the actor lacks.
func impersonationGuard(a Actor, id identity.UserID) audit.Guard {
	covers := coverGuard(a, ScopeUsersImpersonate, account(id))
	return func(ctx context.Context, rows audit.Rows) error {
		if a.User == id {
			return errOwnAccount()
		}
		roles, err := rows.ActiveUserRoles(ctx, string(id))
		if fault.Is(err, fault.NotFound) {
			return &fault.Error{Kind: fault.Denied, Reason: ReasonBlocked, Text: "the account is disabled or deleted"}
		}
		if err != nil {
			return err
		}
		defs, err := definitionsOf(ctx, rows)
		if err != nil {
			return err
		}
		if len(managementScopes(defs, roles)) > 0 {
			return &fault.Error{
				Kind:   fault.Denied,
				Reason: ReasonAdministrator,
				Text:   "nobody may act as a person who manages the server",
			}
		}
		if covers == nil {
			return nil
		}
		return covers(ctx, rows)
	}
}
