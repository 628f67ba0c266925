package admin

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Scope is the permission for a group of operations, as an access token carries it.
type Scope string

// The scopes. ScopeAll covers all others.
const (
	ScopeAll                Scope = oauth.ScopeAdmin
	ScopeUsersRead          Scope = "admin:users:read"
	ScopeUsersWrite         Scope = "admin:users:write"
	ScopeUsersImpersonate   Scope = "admin:users:impersonate"
	ScopeClientsRead        Scope = "admin:clients:read"
	ScopeClientsWrite       Scope = "admin:clients:write"
	ScopeScopesRead         Scope = "admin:scopes:read"
	ScopeScopesWrite        Scope = "admin:scopes:write"
	ScopeRolesRead          Scope = "admin:roles:read"
	ScopeRolesWrite         Scope = "admin:roles:write"
	ScopeSessionsRead       Scope = "admin:sessions:read"
	ScopeSessionsWrite      Scope = "admin:sessions:write"
	ScopeOrganizationsRead  Scope = "admin:organizations:read"
	ScopeOrganizationsWrite Scope = "admin:organizations:write"
	ScopeProvidersRead      Scope = "admin:providers:read"
	ScopeProvidersWrite     Scope = "admin:providers:write"
	ScopeRoutesRead         Scope = "admin:routes:read"
	ScopeRoutesWrite        Scope = "admin:routes:write"
	ScopeKeysRead           Scope = "admin:keys:read"
	ScopeKeysWrite          Scope = "admin:keys:write"
	ScopeWebhooksRead       Scope = "admin:webhooks:read"
	ScopeWebhooksWrite      Scope = "admin:webhooks:write"
	ScopeRegistrationsRead  Scope = "admin:registrations:read"
	ScopeRegistrationsWrite Scope = "admin:registrations:write"
	ScopeMailRead           Scope = "admin:mail:read"
	ScopeMailWrite          Scope = "admin:mail:write"
	ScopeAuditRead          Scope = "admin:audit:read"
	ScopeAuditExport        Scope = "admin:audit:export"
	ScopeMetricsRead        Scope = "admin:metrics:read"
	ScopeSettingsRead       Scope = "admin:settings:read"
	ScopeBackup             Scope = "admin:backup"
)

// scopeText is a scope with the text of its definition, which completes "This app will be able to".
type scopeText struct {
	name Scope
	text string
}

// adminScopes returns the scopes with their texts, in the order above.
func adminScopes() []scopeText {
	return []scopeText{
		{ScopeAll, "administer everything on this server"},
		{ScopeUsersRead, "view all accounts"},
		{ScopeUsersWrite, "create, change and delete accounts"},
		{ScopeUsersImpersonate, "sign in as another person"},
		{ScopeClientsRead, "view all registered apps"},
		{ScopeClientsWrite, "register, change and delete apps"},
		{ScopeScopesRead, "view all scopes"},
		{ScopeScopesWrite, "define, change and delete scopes"},
		{ScopeRolesRead, "view all roles"},
		{ScopeRolesWrite, "define, change and delete roles"},
		{ScopeSessionsRead, "view everybody's sessions"},
		{ScopeSessionsWrite, "end everybody's sessions"},
		{ScopeOrganizationsRead, "view all organizations"},
		{ScopeOrganizationsWrite, "create, change and delete organizations"},
		{ScopeProvidersRead, "view the identity providers"},
		{ScopeProvidersWrite, "add, change and delete identity providers"},
		{ScopeRoutesRead, "view the routes of the gateway"},
		{ScopeRoutesWrite, "create, change and delete routes of the gateway"},
		{ScopeKeysRead, "view the signing keys"},
		{ScopeKeysWrite, "rotate and withdraw signing keys"},
		{ScopeWebhooksRead, "view webhooks and their deliveries"},
		{ScopeWebhooksWrite, "create, change and delete webhooks"},
		{ScopeRegistrationsRead, "view the tokens for registering apps"},
		{ScopeRegistrationsWrite, "create and delete tokens for registering apps"},
		{ScopeMailRead, "view the queue of outgoing mail"},
		{ScopeMailWrite, "send test mail and retry deliveries"},
		{ScopeAuditRead, "view the audit log"},
		{ScopeAuditExport, "export the audit log"},
		{ScopeMetricsRead, "view usage figures"},
		{ScopeSettingsRead, "view the settings of the server"},
		{ScopeBackup, "back up everything on this server"},
	}
}

// AllScopes returns the scopes, in the order of their declaration.
func AllScopes() []Scope {
	var out []Scope
	for _, s := range adminScopes() {
		out = append(out, s.name)
	}
	return out
}

// SystemScopes returns the definitions of the scopes.
func SystemScopes() []oauth.Scope {
	var out []oauth.Scope
	for _, s := range adminScopes() {
		out = append(out, oauth.Scope{Name: string(s.name), Description: s.text, System: true})
	}
	return out
}

// SystemRoles returns the roles that every database has. The role admin has all but what gives
// power over administrators, keys and settings.
func SystemRoles() []identity.Role {
	var most []string
	for _, s := range AllScopes() {
		if !slices.Contains([]Scope{ScopeAll, ScopeKeysRead, ScopeKeysWrite, ScopeSettingsRead, ScopeBackup}, s) {
			most = append(most, string(s))
		}
	}
	return []identity.Role{
		{
			Name:        identity.RoleSuperAdmin,
			Description: "May do everything.",
			Scopes:      []string{string(ScopeAll)},
			System:      true,
		},
		{
			Name:        identity.RoleAdmin,
			Description: "May do everything but manage administrators, keys and settings.",
			Scopes:      most,
			System:      true,
		},
		{
			Name:        identity.RoleUser,
			Description: "May use apps and their own account, as everybody may.",
			System:      true,
		},
	}
}

// Changes reports whether the scope is for changes, or for what gives power. People need a recent
// sign-in for these.
func (s Scope) Changes() bool {
	return strings.HasSuffix(string(s), ":write") || s == ScopeUsersImpersonate || s == ScopeBackup
}

// reading returns the scope to read what a scope lets change.
func (s Scope) reading() Scope {
	if what, ok := strings.CutSuffix(string(s), ":write"); ok {
		return Scope(what + ":read")
	}
	return s
}

// Actor is the caller of an operation: who they are and what they may do. The zero value may do
// nothing.
type Actor struct {
	User      identity.UserID // of a person, or ""
	Client    client.ID       // of a client that acts for itself or for the person, or ""
	Scopes    []Scope         // what the actor may do: of a token's scopes, those that they have now
	Session   identity.SessionID
	IP        netip.Addr
	Agent     string
	RequestID string

	AuthTime     time.Time // when the person last proved who they are
	ACR          string    // how strongly: see identity.ACR1
	Machine      bool      // a client acts for itself; it cannot sign in again
	Impersonator string    // who acts as the person, or ""

	browser bool // Session is that of the browser which sends the request

	unattended bool // a job acts for the person, who had signed in when they asked for it

	name string // in the audit log where there is neither a user nor a client
}

// CommandLine returns the actor of the command line, which works on the database itself and so
// may do everything.
func CommandLine() Actor { return Actor{Scopes: []Scope{ScopeAll}, name: "cli"} }

// Can reports whether the actor holds a scope.
func (a Actor) Can(s Scope) bool {
	return slices.Contains(a.Scopes, ScopeAll) || slices.Contains(a.Scopes, s)
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
	case a.Client != "", strings.HasPrefix(a.name, client.ByInitialToken):
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
