package admin

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Reasons of denials.
const (
	ReasonInsufficientScope = "insufficient_scope"               // AccessError.Scope is missing
	ReasonStepUp            = "insufficient_user_authentication" // the sign-in is too old or too weak (RFC 9470)
	ReasonAddress           = "address_not_allowed"              // ADMIN_ALLOWED_IPS
	ReasonImpersonated      = login.ReasonImpersonated           // somebody else acts as the person
)

// AccessError is the error of an operation that the actor may not perform. The text is for people;
// the other fields tell programs what would help.
type AccessError struct {
	Scope  Scope         // what is missing, with ReasonInsufficientScope, unless it is Unnamed
	ACR    string        // the class to reach, with ReasonStepUp; "" where any is enough
	MaxAge time.Duration // the greatest age of the sign-in, with ReasonStepUp

	Unnamed bool // the actor may not read what is missing

	cause *fault.Error
}

// Error returns the text.
func (e *AccessError) Error() string { return e.cause.Error() }

// Unwrap returns the classified error, which is fault.Denied.
func (e *AccessError) Unwrap() error { return e.cause }

func insufficientScope(s Scope, text string) error {
	return &AccessError{
		Scope: s,
		cause: &fault.Error{Kind: fault.Denied, Reason: ReasonInsufficientScope, Text: text},
	}
}

// authorize returns a denial unless the actor may perform an operation with that scope: from an
// allowed address, with the scope, and for changes with a recent sign-in.
func (o *Operations) authorize(a Actor, s Scope) error {
	if err := o.AllowAddress(a.IP); err != nil && a.name == "" && !a.unattended {
		return err
	}
	if a.Impersonator != "" {
		return impersonated()
	}
	if o.draft { // it is read what a change would do
		s = s.reading()
	}
	if !a.Can(s) {
		return insufficientScope(s, "this operation needs the scope "+string(s))
	}
	if s.Changes() {
		return o.stepUp(a)
	}
	return nil
}

// AllowAddress returns a denial for an address outside of ADMIN_ALLOWED_IPS.
func (o *Operations) AllowAddress(ip netip.Addr) error {
	allowed := o.cfg.AllowedIPs
	if len(allowed) == 0 || ip.IsValid() && netaddr.Contains(allowed, ip) {
		return nil
	}
	return &AccessError{cause: &fault.Error{
		Kind:   fault.Denied,
		Reason: ReasonAddress,
		Text:   "this address may not manage the server; ADMIN_ALLOWED_IPS says which ones may",
	}}
}

// stepUp returns a denial unless a person has signed in recently, and in two steps where
// administrators must. Machines and the command line cannot sign in again and are exempt. Who acts
// as another person never passes.
func (o *Operations) stepUp(a Actor) error {
	switch {
	case a.Impersonator != "":
		return impersonated()
	case a.User == "" || a.Machine || a.unattended || o.cfg.Reauth <= 0:
		return nil
	}
	e := &AccessError{MaxAge: o.cfg.Reauth, cause: &fault.Error{
		Kind:   fault.Denied,
		Reason: ReasonStepUp,
		Text:   "sign in again to make this change",
	}}
	if o.cfg.RequireMFA {
		e.ACR = identity.ACR2
		if identity.ACRRank(a.ACR) < identity.ACRRank(identity.ACR2) {
			e.cause.Text = "sign in with two-step verification to make this change"
			return e
		}
	}
	if o.parts.Now().Sub(a.AuthTime) >= o.cfg.Reauth {
		return e
	}
	return nil
}

// impersonated returns the denial of all management to whoever acts as another person: their rights
// are not the person's, and the person's are not theirs.
func impersonated() error {
	return &AccessError{cause: &fault.Error{
		Kind:   fault.Denied,
		Reason: ReasonImpersonated,
		Text:   "this cannot be done while you act as another person",
	}}
}

// StepUpNeeded returns the denial that the next change of the actor would get because of their
// sign-in, or nil, so that a page can ask before it shows a form.
func (o *Operations) StepUpNeeded(a Actor) error { return o.stepUp(a) }

// ActorOf returns the actor who presents an active access token for this server: what the token
// says, as far as the person or the client has it now.
func (o *Operations) ActorOf(ctx context.Context, t *oauth.AccessToken, v login.Visit) (Actor, error) {
	if t.Actor != "" {
		return Actor{}, impersonated()
	}
	a := visitor(v)
	a.User, a.Client, a.Session = t.User, t.Client, t.Session
	a.AuthTime, a.ACR, a.Machine = t.AuthTime, t.ACR, t.User == ""
	c, err := o.store.Client(ctx, t.Client)
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.Denied, "the client of the access token does not exist any more")
	}
	if err != nil {
		return Actor{}, err
	}
	d := o.definitions()
	return o.withRights(ctx, a, d.Powers(t.Scopes...).And(d.ClientPowers(c)))
}

// SessionActor returns the person of a browser session as an actor, with the rights that they have
// now.
func (o *Operations) SessionActor(ctx context.Context, s *identity.Session, v login.Visit) (Actor, error) {
	if s.Impersonated() {
		return Actor{}, impersonated()
	}
	a := visitor(v)
	a.User, a.Session, a.AuthTime, a.ACR, a.browser = s.User, s.ID, s.AuthTime, s.ACR, true
	return o.withRights(ctx, a, oauth.Rights{oauth.ScopeAdmin: true})
}

func visitor(v login.Visit) Actor {
	a := Actor{Agent: v.Agent, RequestID: v.RequestID}
	a.IP, _ = netip.ParseAddr(v.IP) // an address that cannot be read is not an allowed one
	return a
}

// withRights sets the scopes of an actor: of the rights in bound, those that the person has now.
func (o *Operations) withRights(ctx context.Context, a Actor, bound oauth.Rights) (Actor, error) {
	if a.User != "" {
		u, err := o.store.User(ctx, a.User)
		if err != nil {
			return Actor{}, err
		}
		if u.Blocked() {
			return Actor{}, fault.New(fault.Denied, "the account is disabled")
		}
		bound = bound.And(o.definitions().RoleRights(u.Roles))
	}
	a.Scopes = scopesOf(bound)
	return a, nil
}

// scopesOf returns the scopes of the management API among rights, and others that not everybody
// has.
func scopesOf(r oauth.Rights) []Scope {
	var out []Scope
	for name := range r {
		out = append(out, Scope(name))
	}
	slices.Sort(out)
	return out
}

// definitions returns the scopes and roles that are defined, from memory.
func (o *Operations) definitions() oauth.Definitions {
	return oauth.Definitions{Scopes: o.store.Scopes(), Roles: o.store.RoleDefinitions()}
}

// AddressDenied returns the event of a caller outside of ADMIN_ALLOWED_IPS who asked for a path.
func AddressDenied(v login.Visit, path string) audit.Event {
	return audit.Event{
		At:        v.Now,
		Type:      audit.AdminAddressDenied,
		IP:        v.IP,
		Agent:     v.Agent,
		RequestID: v.RequestID,
		Reason:    ReasonAddress,
		Detail:    map[string]string{"path": path},
	}
}

// RateExceeded returns the event of a caller, or of a client that has proved itself, whose request
// a rate refused.
func RateExceeded(v login.Visit, rate string) audit.Event {
	return audit.Event{
		At:         v.Now,
		Type:       audit.RateLimitExceeded,
		Client:     v.Client,
		IP:         v.IP,
		Agent:      v.Agent,
		RequestID:  v.RequestID,
		TargetType: audit.TargetRequests,
		Detail:     map[string]string{"rate": rate},
	}
}

// MailRequestsLimited returns the event of a limit on requests of everybody, of one kind, which
// begins to hold. The request that it refused first is named with it.
func MailRequestsLimited(v login.Visit, kind string) audit.Event {
	ev := RateExceeded(v, kind)
	ev.Type = audit.MailRequestsLimited
	return ev
}

// FirstAdministrator returns the events of the administrator whom the settings name.
func FirstAdministrator(u *identity.User, now time.Time) []audit.Event {
	ev := Actor{name: audit.ActorSystem}.event(audit.UserCreated, now)
	ev.User, ev.Detail = string(u.ID), createdDetail(u)
	first := Actor{name: audit.ActorSystem}.event(audit.AdminCreated, now)
	first.User, first.Detail = ev.User, map[string]string{"roles_after": strings.Join(u.Roles, " ")}
	return []audit.Event{ev, first}
}
