package admin

import (
	"net/netip"
	"slices"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
)

// Scope is the permission for a group of operations, as an access token carries it.
type Scope string

// The scopes. ScopeAll covers all others.
const (
	ScopeAll           Scope = "admin"
	ScopeUsersRead     Scope = "admin:users:read"
	ScopeUsersWrite    Scope = "admin:users:write"
	ScopeClientsRead   Scope = "admin:clients:read"
	ScopeClientsWrite  Scope = "admin:clients:write"
	ScopeScopesRead    Scope = "admin:scopes:read"
	ScopeScopesWrite   Scope = "admin:scopes:write"
	ScopeRoutesRead    Scope = "admin:routes:read"
	ScopeRoutesWrite   Scope = "admin:routes:write"
	ScopeKeysRead      Scope = "admin:keys:read"
	ScopeKeysWrite     Scope = "admin:keys:write"
	ScopeSessionsRead  Scope = "admin:sessions:read"
	ScopeSessionsWrite Scope = "admin:sessions:write"
	ScopeMailRead      Scope = "admin:mail:read"
	ScopeMailWrite     Scope = "admin:mail:write"
	ScopeAuditRead     Scope = "admin:audit:read"
	ScopeAuditExport   Scope = "admin:audit:export"
)

// ReasonInsufficientScope marks a denial for want of a scope.
const ReasonInsufficientScope = "insufficient_scope"

// Actor is the caller of an operation: who they are and what they may do. The zero value may do
// nothing.
type Actor struct {
	User      identity.UserID // of a person, or ""
	Client    client.ID       // of a client that acts for itself or for the person, or ""
	Scopes    []Scope
	Session   identity.SessionID
	IP        netip.Addr
	Agent     string
	RequestID string

	name string // in the audit log where there is neither a user nor a client
}

// CommandLine returns the actor of the command line, which works on the database itself and so
// may do everything.
func CommandLine() Actor { return Actor{Scopes: []Scope{ScopeAll}, name: "cli"} }

// Can reports whether the actor holds a scope.
func (a Actor) Can(s Scope) bool {
	return slices.Contains(a.Scopes, ScopeAll) || slices.Contains(a.Scopes, s)
}

// require returns a denial unless the actor holds the scope.
func (a Actor) require(s Scope) error {
	if a.Can(s) {
		return nil
	}
	return &fault.Error{
		Kind:   fault.Denied,
		Reason: ReasonInsufficientScope,
		Text:   "this operation needs the scope " + string(s),
	}
}

// Name returns what the audit log calls the actor: the user's id, the client's id, or "cli".
func (a Actor) Name() string {
	switch {
	case a.User != "":
		return string(a.User)
	case a.Client != "":
		return string(a.Client)
	}
	return a.name
}

// event returns an audit event of the actor.
func (a Actor) event(t audit.Type, now time.Time) audit.Event {
	ev := audit.Event{
		At:        now,
		Type:      t,
		Actor:     a.Name(),
		Agent:     a.Agent,
		RequestID: a.RequestID,
	}
	if a.IP.IsValid() {
		ev.IP = a.IP.String()
	}
	switch {
	case a.User != "":
		ev.ActorType = audit.ActorUser
	case a.Client != "":
		ev.ActorType = audit.ActorClient
	}
	return ev
}

// visit returns the actor as the login sees them.
func (a Actor) visit(now time.Time) login.Visit {
	v := login.Visit{
		Now:       now,
		Actor:     a.Name(),
		Agent:     a.Agent,
		RequestID: a.RequestID,
	}
	if a.IP.IsValid() {
		v.IP = a.IP.String()
	}
	return v
}
