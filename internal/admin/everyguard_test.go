package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// errRefused is the denial of operations that report it in their result.
var errRefused = errors.New("refused")

// A trial is how an operation that changes something is tried on things of one sort.
type trial struct {
	on  sort
	run func(g *ground, a admin.Actor, ref string) error
}

// sort is a sort of things that operations touch, give or take. The name of each of its targets
// says what it confers.
type sort string

const (
	onNothing  sort = "nothing"       // which confers nothing beyond the scope of the operation
	onAccount  sort = "account"       // of a person with a role; own: of the actor
	onOthers   sort = "other account" // the same without one's own
	onRoles    sort = "given role"
	onScopes   sort = "given scope"
	onClient   sort = "client"
	onRole     sort = "role"
	onScope    sort = "scope"
	onRoute    sort = "route"
	onLog      sort = "audit log"
	inAnother  sort = "another test"
	ownAccount      = "own"
)

// targets returns the targets of a sort.
func (s sort) targets() []string {
	switch s {
	case onAccount:
		return append([]string{ownAccount}, actingRoles()...)
	case onOthers, onRoles, onRoute:
		return actingRoles()
	case onScopes, onClient, onRole, onScope:
		return []string{"openid", "admin:users:write", "admin:keys:write", "admin"}
	}
	return []string{""}
}

// ground is a server on which everything is tried.
type ground struct {
	*hierarchy
	t    *testing.T
	n    int
	ctx  context.Context
	made map[string]string // targets that nobody has changed yet, by sort and name
}

func newGround(t *testing.T) *ground {
	t.Helper()
	h := newHierarchy(t)
	h.parts.WebhookKeys = webhook.NewKeys(h.parts.Keys)
	h.ops = h.with(func(*admin.Config) {})
	_, err := h.ops.CreateRole(t.Context(), admin.CommandLine(), "hooks",
		patchOf(t, admin.RoleFields(), map[string][]string{"scopes": {"admin:webhooks:write"}}))
	testkit.Must(t, err)
	h.people["hooks"] = h.person("hooks@example.com", "hooks")
	return &ground{hierarchy: h, t: t, ctx: t.Context(), made: map[string]string{}}
}

func (g *ground) roles() []string { return append(actingRoles(), "hooks") }

// name returns a new name.
func (g *ground) name() string {
	g.n++
	return fmt.Sprintf("n%d", g.n)
}

// prepare returns a target of a sort as operations name it, the actor with a role who tries to
// change it, and whether what it confers lies within what the actor has.
func (g *ground) prepare(on sort, what, role string) (ref string, a admin.Actor, covered bool) {
	g.t.Helper()
	if what == ownAccount {
		u := g.person(g.name()+"@example.com", role)
		g.people[ownAccount] = u
		return string(u.ID), g.actor(ownAccount), true
	}
	key := string(on) + " " + what
	if g.made[key] == "" {
		g.made[key] = g.make(on, what)
	}
	switch on {
	case onAccount, onOthers, onRoles, onRoute:
		covered = g.covers(role, what)
	case onLog:
		covered = g.rights(role)["admin:audit:read"]
	default:
		covered = what == "" || what == "openid" || g.rights(role)[what]
	}
	return g.made[key], g.actor(role), covered
}

// make makes a target of a sort.
func (g *ground) make(on sort, what string) (ref string) {
	g.t.Helper()
	cli, name := admin.CommandLine(), g.name()
	var err error
	switch on {
	case onNothing, onRoles, onScopes:
		return what
	case onAccount, onOthers:
		return string(g.person(name+"@example.com", what).ID)
	case onClient:
		ref = name
		_, err = g.ops.CreateClient(g.ctx, cli, admin.NewClient{ID: client.ID(name), Fields: g.clientWith(what)})
		if err == nil {
			_, err = g.ops.AddSecret(g.ctx, cli, name, 0) // so that there is one to remove
		}
	case onRole:
		ref = name
		_, err = g.ops.CreateRole(g.ctx, cli, name,
			patchOf(g.t, admin.RoleFields(), map[string][]string{"scopes": {what}}))
	case onScope:
		ref = name
		_, err = g.ops.CreateScope(g.ctx, cli, name, g.scopeWith(what))
	case onRoute:
		var r *admin.Route
		if r, err = g.ops.CreateRoute(g.ctx, cli, g.routeFor(what)); err == nil {
			ref = r.ID
		}
	case onLog:
		var w *admin.CreatedWebhook
		if w, err = g.ops.CreateWebhook(g.ctx, cli, g.hook()); err == nil {
			ref = string(w.Webhook.ID)
		}
	}
	testkit.Must(g.t, err)
	return ref
}

func (g *ground) clientWith(scope string) admin.ClientPatch {
	return patchOf(g.t, client.Fields(g.ops.Rules()), map[string][]string{
		"client_name": {"x"}, "grant_types": {"client_credentials"}, "scope": {scope},
	})
}

func (g *ground) scopeWith(required string) admin.ScopePatch {
	return patchOf(g.t, admin.ScopeFields(), map[string][]string{"description": {"x"}, "requires": {required}})
}

func (g *ground) routeFor(role string) admin.RoutePatch {
	return patchOf(g.t, access.RouteFields(), map[string][]string{
		"name": {g.name()}, "prefix": {"/" + g.name()}, "upstreams": {"http://back.internal"}, "roles": {role},
	})
}

func (g *ground) hook() webhook.Patch {
	return patchOf(g.t, webhook.Fields(), map[string][]string{"url": {"https://hooks.example/in"}, "events": {"*"}})
}

// session begins a session of a person.
func (g *ground) session(ref string) identity.SessionID {
	s := identity.NewSession(identity.UserID(ref), []string{"pwd"}, g.now, time.Hour, identity.Browser{})
	testkit.Must(g.t, g.db.PutSession(g.ctx, secret.Hash("hash of "+s.ID), s, identity.SessionTerms{}))
	return s.ID
}

// ofAccount returns the trial of an operation on an account.
func ofAccount[T any](on sort, f func(*admin.Operations, context.Context, admin.Actor, string) (T, error)) trial {
	return trial{on, func(g *ground, a admin.Actor, ref string) error { return errOf(f(g.ops, g.ctx, a, ref)) }}
}

// plain returns the trial of an operation that its scope alone decides.
func plain(f func(g *ground, a admin.Actor) error) trial {
	return trial{onNothing, func(g *ground, a admin.Actor, _ string) error { return f(g, a) }}
}

// trials returns a trial of each operation whose scope allows changes, by the name of its method.
func trials() map[string]trial {
	out := map[string]trial{}
	for _, part := range []map[string]trial{accountTrials(), givingTrials(), clientTrials(), otherTrials()} {
		maps.Copy(out, part)
	}
	return out
}

// accountTrials returns the trials of operations on accounts and sessions.
func accountTrials() map[string]trial {
	return map[string]trial{
		"UpdateUser": {onAccount, func(g *ground, a admin.Actor, ref string) error {
			p := patchOf(g.t, identity.UserFields(), map[string][]string{"email": {g.name() + "@example.org"}})
			return errOf(g.ops.UpdateUser(g.ctx, a, ref, admin.UserUpdate{Fields: p}))
		}},
		"SetPassword": {onAccount, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.SetPassword(g.ctx, a, ref, "a very long passphrase 9A!"))
		}},
		"LockUser": {onAccount, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.LockUser(g.ctx, a, ref, "why"))
		}},
		"DeleteUser": {onAccount, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.DeleteUser(g.ctx, a, ref, 0))
		}},
		"CreatePasswordLink": ofAccount(onAccount, (*admin.Operations).CreatePasswordLink),
		"UnlockUser":         ofAccount(onAccount, (*admin.Operations).UnlockUser),
		"ResetTwoStep":       ofAccount(onAccount, (*admin.Operations).ResetTwoStep),
		"StopRecovery":       ofAccount(onAccount, (*admin.Operations).StopRecovery),
		"DisableUser":        ofAccount(onAccount, (*admin.Operations).DisableUser),
		"EnableUser":         ofAccount(onAccount, (*admin.Operations).EnableUser),
		"RevokeUserTokens":   ofAccount(onAccount, (*admin.Operations).RevokeUserTokens),
		"SendPasswordReset":  ofAccount(onAccount, (*admin.Operations).SendPasswordReset),
		"SendVerification":   ofAccount(onAccount, (*admin.Operations).SendVerification),
		"RevokeUserSessions": ofAccount(onAccount, (*admin.Operations).RevokeUserSessions),
		"RevokeUserAccess":   ofAccount(onAccount, (*admin.Operations).RevokeUserAccess),
		"RevokeUserAuthorizations": {onAccount, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.RevokeUserAuthorizations(g.ctx, a, ref, ""))
		}},
		"RemoveFactor": {onAccount, func(g *ground, a admin.Actor, ref string) error {
			c := identity.Credential{
				ID: identity.CredentialID(g.name()), User: identity.UserID(ref), Kind: "totp",
				CreatedAt: g.now, ConfirmedAt: g.now,
			}
			testkit.Must(g.t, g.db.PutCredential(g.ctx, &c))
			return g.ops.RemoveFactor(g.ctx, a, ref, c.ID)
		}},
		"RevokeSession": {onAccount, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.RevokeSession(g.ctx, a, g.session(ref)))
		}},
		"RevokeSessions": {onOthers, func(g *ground, a admin.Actor, ref string) error {
			id := g.session(ref)
			if _, err := g.ops.RevokeSessions(g.ctx, a, admin.SessionSelection{}); err != nil {
				return err
			}
			if _, err := g.ops.Session(g.ctx, admin.CommandLine(), id); err == nil {
				return errRefused
			}
			return nil
		}},
		"BulkUsers": {onAccount, func(g *ground, a admin.Actor, ref string) error {
			job, err := g.ops.BulkUsers(g.ctx, a, admin.BulkRequest{
				Action: admin.BulkDisable, Selection: admin.UserSelection{IDs: []identity.UserID{identity.UserID(ref)}},
			})
			if err == nil && job.Refused > 0 {
				return errRefused
			}
			return err
		}},
		"StopBulkAction": {onAccount, func(g *ground, a admin.Actor, ref string) error {
			job := &admin.BulkJob{
				ID: g.name(), Action: admin.BulkEnable, CreatedAt: g.now, UpdatedAt: g.now,
				Actor: `{"user":"` + ref + `","scopes":["admin"]}`,
			}
			testkit.Must(g.t, g.db.CreateBulkAction(g.ctx, job, func(add func([]string) error) error { return add([]string{ref}) }))
			return errOf(g.ops.StopBulkAction(g.ctx, a, job.ID))
		}},
		"ImpersonateUser": {on: inAnother}, // TestNobodyActsAsAnAdministrator
	}
}

// givingTrials returns the trials of operations that make something with given roles or scopes.
func givingTrials() map[string]trial {
	return map[string]trial{
		"CreateUser": {onRoles, func(g *ground, a admin.Actor, role string) error {
			return errOf(g.ops.CreateUser(g.ctx, a, admin.NewUser{Fields: g.userWith(role)}))
		}},
		"InviteUser": {onRoles, func(g *ground, a admin.Actor, role string) error {
			return errOf(g.ops.InviteUser(g.ctx, a, admin.NewUser{Fields: g.userWith(role)}))
		}},
		"ImportUsers": {onRoles, func(g *ground, a admin.Actor, role string) error {
			line := `{"email":"` + g.name() + `@example.com","roles":["` + role + `"]}`
			sum, err := g.ops.ImportUsers(g.ctx, a, admin.ImportOptions{Format: admin.FormatJSON}, opens(line),
				func(admin.LineResult) error { return nil })
			if err == nil && sum.Failed > 0 {
				return errRefused
			}
			return err
		}},
		"CreateClient": {onScopes, func(g *ground, a admin.Actor, scope string) error {
			return errOf(g.ops.CreateClient(g.ctx, a, admin.NewClient{Fields: g.clientWith(scope)}))
		}},
		"CreateRole": {onScopes, func(g *ground, a admin.Actor, scope string) error {
			p := patchOf(g.t, admin.RoleFields(), map[string][]string{"scopes": {scope}})
			return errOf(g.ops.CreateRole(g.ctx, a, g.name(), p))
		}},
		"CreateScope": {onScopes, func(g *ground, a admin.Actor, scope string) error {
			return errOf(g.ops.CreateScope(g.ctx, a, g.name(), g.scopeWith(scope)))
		}},
		"CreateRoute": {onRoles, func(g *ground, a admin.Actor, role string) error {
			return errOf(g.ops.CreateRoute(g.ctx, a, g.routeFor(role)))
		}},
		"ApplyConfig": {onScopes, func(g *ground, a admin.Actor, scope string) error {
			name := g.name()
			text := "version: 1\nlabel: " + name + "\nclients:\n  - {client_id: " + name +
				", client_name: x, grant_types: [client_credentials], scope: '" + scope + "'}\n"
			return errOf(g.ops.ApplyConfig(g.ctx, a, admin.ConfigInput{Document: []byte(text)}))
		}},
	}
}

func (g *ground) userWith(role string) admin.UserPatch {
	return patchOf(g.t, identity.UserFields(), map[string][]string{"email": {g.name() + "@example.com"}, "roles": {role}})
}

func opens(text string) func() (io.Reader, error) {
	return func() (io.Reader, error) { return strings.NewReader(text), nil }
}

// clientTrials returns the trials of operations on clients.
func clientTrials() map[string]trial {
	return map[string]trial{
		"UpdateClient": {onClient, func(g *ground, a admin.Actor, ref string) error {
			p := patchOf(g.t, client.Fields(g.ops.Rules()), map[string][]string{"client_name": {ref}})
			return errOf(g.ops.UpdateClient(g.ctx, a, ref, p))
		}},
		"RotateSecret": {onClient, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.RotateSecret(g.ctx, a, ref, 0))
		}},
		"AddSecret": {onClient, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.AddSecret(g.ctx, a, ref, 0))
		}},
		"RemoveSecret": {onClient, func(g *ground, a admin.Actor, ref string) error {
			c, err := g.ops.Client(g.ctx, admin.CommandLine(), ref)
			testkit.Must(g.t, err)
			return errOf(g.ops.RemoveSecret(g.ctx, a, ref, c.Secrets[0].ID, false))
		}},
		"RemoveOldSecrets": {onClient, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.RemoveOldSecrets(g.ctx, a, ref))
		}},
		"RevokeClientTokens": {onClient, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.RevokeClientTokens(g.ctx, a, ref))
		}},
		"DeleteClient": {onClient, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.DeleteClient(g.ctx, a, ref, 0))
		}},
		"DeleteClients": {onClient, func(g *ground, a admin.Actor, ref string) error {
			out, err := g.ops.DeleteClients(g.ctx, a, []client.ID{client.ID(ref)})
			if err == nil && len(out.Refused) > 0 {
				return errRefused
			}
			return err
		}},
		"RevokeClientGrant": {onOthers, func(g *ground, a admin.Actor, ref string) error {
			to := g.grant(identity.UserID(ref))
			return g.ops.RevokeClientGrant(g.ctx, a, string(to.Client), to.ID)
		}},
		"ImportClients": plain(func(g *ground, a admin.Actor) error {
			return errOf(g.ops.ImportClients(g.ctx, a, admin.ClientImport{Format: admin.FormatAuth0},
				opens("[]"), func(admin.ClientResult) error { return nil }))
		}),
	}
}

// otherTrials returns the trials of all other operations.
func otherTrials() map[string]trial {
	described := map[string][]string{"description": {"new"}}
	return map[string]trial{
		"UpdateRole": {onRole, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.UpdateRole(g.ctx, a, ref, patchOf(g.t, admin.RoleFields(), described)))
		}},
		"DeleteRole": {onRole, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.DeleteRole(g.ctx, a, ref, 0))
		}},
		"UpdateScope": {onScope, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.UpdateScope(g.ctx, a, ref, patchOf(g.t, admin.ScopeFields(), described)))
		}},
		"DeleteScope": {onScope, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.DeleteScope(g.ctx, a, ref, 0))
		}},
		"UpdateRoute": {onRoute, func(g *ground, a admin.Actor, ref string) error {
			p := patchOf(g.t, access.RouteFields(), map[string][]string{"upstreams": {"http://thief.internal"}})
			return errOf(g.ops.UpdateRoute(g.ctx, a, ref, p))
		}},
		"DeleteRoute": {onRoute, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.DeleteRoute(g.ctx, a, ref, 0))
		}},
		"CreateWebhook": {onLog, func(g *ground, a admin.Actor, _ string) error {
			return errOf(g.ops.CreateWebhook(g.ctx, a, g.hook()))
		}},
		"UpdateWebhook": {onLog, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.UpdateWebhook(g.ctx, a, ref, patchOf(g.t, webhook.Fields(), described), 0))
		}},
		"DeleteWebhook": {onLog, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.DeleteWebhook(g.ctx, a, ref, 0))
		}},
		"RotateWebhookSecret": {onLog, func(g *ground, a admin.Actor, ref string) error {
			return errOf(g.ops.RotateWebhookSecret(g.ctx, a, ref, 0))
		}},
		// These send to a target that somebody else has chosen, and change nothing of it.
		"ResendDelivery": plain(func(g *ground, a admin.Actor) error { return errOf(g.ops.ResendDelivery(g.ctx, a, "x", "y")) }),
		"TestWebhook":    plain(func(g *ground, a admin.Actor) error { return errOf(g.ops.TestWebhook(g.ctx, a, "x")) }),

		"RotateKey": plain(func(g *ground, a admin.Actor) error {
			return errOf(g.ops.RotateKey(g.ctx, a, admin.KeyRotation{Now: true}))
		}),
		"RetireKey":  plain(func(g *ground, a admin.Actor) error { return errOf(g.ops.RetireKey(g.ctx, a, "x")) }),
		"MakeBackup": plain(func(g *ground, a admin.Actor) error { return errOf(g.ops.MakeBackup(g.ctx, a)) }),
		"WriteBackup": localOnly(func(g *ground, a admin.Actor) error {
			return errOf(g.ops.WriteBackup(g.ctx, a, admin.BackupInput{To: "x"}))
		}),
		"BackupFiles": localOnly(func(g *ground, a admin.Actor) error { return errOf(g.ops.BackupFiles(g.ctx, a, "x")) }),

		"TestMail": plain(func(g *ground, a admin.Actor) error {
			return g.ops.TestMail(g.ctx, a, admin.MailTest{To: "a@b.example"})
		}),
		"RetryMail":          plain(func(g *ground, a admin.Actor) error { return errOf(g.ops.RetryMail(g.ctx, a, "x")) }),
		"RevokeInitialToken": plain(func(g *ground, a admin.Actor) error { return g.ops.RevokeInitialToken(g.ctx, a, "x") }),
		"CreateInitialToken": plain(func(g *ground, a admin.Actor) error {
			_, _, err := g.ops.CreateInitialToken(g.ctx, a, admin.NewInitialToken{})
			return err
		}),
		"ScopeUse":       plain(func(g *ground, a admin.Actor) error { return errOf(g.ops.ScopeUse(g.ctx, a, "x")) }),
		"CanDeleteScope": plain(func(g *ground, a admin.Actor) error { return g.ops.CanDeleteScope(g.ctx, a, "x") }),
		"CanDeleteRole":  plain(func(g *ground, a admin.Actor) error { return g.ops.CanDeleteRole(g.ctx, a, "x") }),
	}
}

// localOnly returns the trial of an operation that only the command line on the database may do,
// whatever scopes somebody has.
func localOnly(f func(g *ground, a admin.Actor) error) trial {
	return plain(func(g *ground, a admin.Actor) error {
		err := f(g, a)
		if !fault.Is(err, fault.Denied) {
			g.t.Errorf("%v; want a denial", err)
		}
		if fault.Reason(err) == admin.ReasonInsufficientScope {
			return err
		}
		return nil
	})
}

// TestEveryRoleTriesEveryOperation tries every operation by people of each role: what only reads by
// its scope, and what changes something on each target. An operation without a trial fails.
func TestEveryRoleTriesEveryOperation(t *testing.T) {
	t.Parallel()
	g, all := newGround(t), trials()
	for name, op := range operations() {
		try, ok := all[name]
		if ok != op.scope.Changes() {
			t.Errorf("%s needs %s: a trial: %t", name, op.scope, ok)
		}
		if !ok {
			try = plain(func(g *ground, a admin.Actor) error { return op.run(g.ctx, g.ops, a) })
		}
		for _, role := range g.roles() {
			for _, target := range try.on.targets() {
				if try.on == inAnother {
					continue
				}
				ref, a, covered := g.prepare(try.on, target, role)
				before := g.state(try.on, ref)
				err := try.run(g, a, ref)
				want := covered && (g.rights(role)[string(op.scope)] || g.rights(role)["admin"])
				what := fmt.Sprintf("%s: %s on %s %s", name, role, try.on, target)
				denied := errors.Is(err, errRefused) || fault.Reason(err) == admin.ReasonInsufficientScope
				if !denied {
					delete(g.made, string(try.on)+" "+target)
				}
				switch {
				case denied == want:
					t.Errorf("%s: %v; want done: %t", what, err, want)
				case denied && !reflect.DeepEqual(g.state(try.on, ref), before):
					t.Errorf("%s: refused, and changed", what)
				case !denied && err != nil && (fault.Is(err, fault.Denied) || fault.KindOf(err) == fault.Internal):
					t.Errorf("%s: %v", what, err)
				}
			}
		}
	}
	for name := range all {
		if _, ok := operations()[name]; !ok {
			t.Errorf("there is no operation %s", name)
		}
	}
}

// grant returns a new grant that a person has given to a client.
func (g *ground) grant(id identity.UserID) *oauth.Grant {
	g.t.Helper()
	to := &oauth.Grant{
		ID: oauth.GrantID(secret.NewID(g.now)), User: id, Client: client.ID(g.make(onClient, "openid")),
		Scopes: []string{"openid"}, CreatedAt: g.now, LastUsedAt: g.now, ExpiresAt: g.now.Add(time.Hour),
	}
	testkit.Must(g.t, g.db.PutGrant(g.ctx, to))
	return to
}

// state returns what is stored of a target.
func (g *ground) state(on sort, ref string) any {
	cli := admin.CommandLine()
	var out any
	var err error
	switch on {
	case onAccount, onOthers:
		var u *identity.User
		if u, err = g.db.User(g.ctx, identity.UserID(ref)); err == nil {
			u.LastLoginAt = time.Time{} // trials begin sessions
		}
		out = u
	case onClient:
		out, err = g.ops.Client(g.ctx, cli, ref)
	case onRole:
		out, err = g.ops.Role(g.ctx, cli, ref)
	case onScope:
		out, err = g.ops.Scope(g.ctx, cli, ref)
	case onRoute:
		out, err = g.ops.Route(g.ctx, cli, ref)
	case onLog:
		out, err = g.ops.Webhook(g.ctx, cli, ref)
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		g.t.Fatal(err)
	}
	return out
}
