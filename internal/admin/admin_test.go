package admin_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/store/storetest"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/oauth/token"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// call is one operation with the scope that it requires.
type call struct {
	scope admin.Scope
	run   func(ctx context.Context, o *admin.Operations, a admin.Actor) error
}

// noClients is a document about clients.
const noClients = "version: 1\nlabel: x\nclients: []\n"

// operations returns every operation of administrators, by the name of its method.
func operations() map[string]call {
	only := func(_ any, err error) error { return err }
	page := func(_ any, _ int, err error) error { return err }
	return map[string]call{
		"Users": {admin.ScopeUsersRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Users(ctx, a, admin.UserQuery{}))
		}},
		"Backups": {admin.ScopeSettingsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Backups(ctx, a))
		}},
		"MakeBackup": {admin.ScopeBackup, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.MakeBackup(ctx, a))
		}},
		"WriteBackup": {admin.ScopeBackup, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.WriteBackup(ctx, a, admin.BackupInput{To: "x"}))
		}},
		"BackupFiles": {admin.ScopeBackup, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.BackupFiles(ctx, a, "x"))
		}},
		"User": {admin.ScopeUsersRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.User(ctx, a, "x"))
		}},
		"UserDetail": {admin.ScopeUsersRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.UserDetail(ctx, a, "x"))
		}},
		"CreateUser": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.CreateUser(ctx, a, admin.NewUser{}))
		}},
		"SetPassword": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.SetPassword(ctx, a, "x", "y"))
		}},
		"CreatePasswordLink": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.CreatePasswordLink(ctx, a, "x"))
		}},
		"InviteUser": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.InviteUser(ctx, a, admin.NewUser{}))
		}},
		"BulkUsers": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.BulkUsers(ctx, a, admin.BulkRequest{Action: admin.BulkDisable}))
		}},
		"BulkAction": {admin.ScopeUsersRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.BulkAction(ctx, a, "x"))
		}},
		"StopBulkAction": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.StopBulkAction(ctx, a, "x"))
		}},
		"ImpersonateUser": {admin.ScopeUsersImpersonate, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ImpersonateUser(ctx, a, "x", "reason"))
		}},
		"LockUser": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.LockUser(ctx, a, "x", "reason"))
		}},
		"ImportUsers": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			none := func() (io.Reader, error) { return strings.NewReader(""), nil }
			return only(o.ImportUsers(ctx, a, admin.ImportOptions{Format: admin.FormatJSON}, none,
				func(admin.LineResult) error { return nil }))
		}},
		"ImportClients": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			none := func() (io.Reader, error) { return strings.NewReader("[]"), nil }
			return only(o.ImportClients(ctx, a, admin.ClientImport{Format: admin.FormatAuth0}, none,
				func(admin.ClientResult) error { return nil }))
		}},
		"ExportUsers": {admin.ScopeUsersRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ExportUsers(ctx, a, admin.ExportOptions{Format: admin.FormatJSON}, io.Discard))
		}},
		"UnlockUser": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.UnlockUser(ctx, a, "x"))
		}},
		"ResetTwoStep": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ResetTwoStep(ctx, a, "x"))
		}},
		"StopRecovery": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.StopRecovery(ctx, a, "x"))
		}},
		"UpdateUser": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.UpdateUser(ctx, a, "x", admin.UserUpdate{}))
		}},
		"DisableUser": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.DisableUser(ctx, a, "x"))
		}},
		"EnableUser": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.EnableUser(ctx, a, "x"))
		}},
		"DeleteUser": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.DeleteUser(ctx, a, "x", 0))
		}},
		"SetupLink": {admin.ScopeAll, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.SetupLink(ctx, a))
		}},
		"Clients": {admin.ScopeClientsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Clients(ctx, a, admin.ClientQuery{}))
		}},
		"Client": {admin.ScopeClientsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Client(ctx, a, "x"))
		}},
		"CreateClient": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.CreateClient(ctx, a, admin.NewClient{}))
		}},
		"UpdateClient": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.UpdateClient(ctx, a, "x", admin.ClientPatch{}))
		}},
		"RotateSecret": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RotateSecret(ctx, a, "x", 0))
		}},
		"AddSecret": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.AddSecret(ctx, a, "x", 0))
		}},
		"RemoveSecret": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RemoveSecret(ctx, a, "x", "y", false))
		}},
		"RevokeClientTokens": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RevokeClientTokens(ctx, a, "x"))
		}},
		"DeleteClients": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.DeleteClients(ctx, a, []client.ID{"x"}))
		}},
		"ClientGrants": {admin.ScopeClientsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ClientGrants(ctx, a, "x", ""))
		}},
		"RevokeClientGrant": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return o.RevokeClientGrant(ctx, a, "x", "y")
		}},
		"DeleteClient": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.DeleteClient(ctx, a, "x", 0))
		}},
		"ListWebhooks": {admin.ScopeWebhooksRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ListWebhooks(ctx, a))
		}},
		"Webhook": {admin.ScopeWebhooksRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Webhook(ctx, a, "x"))
		}},
		"CreateWebhook": {admin.ScopeWebhooksWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.CreateWebhook(ctx, a, webhook.Patch{}))
		}},
		"UpdateWebhook": {admin.ScopeWebhooksWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.UpdateWebhook(ctx, a, "x", webhook.Patch{}, 0))
		}},
		"DeleteWebhook": {admin.ScopeWebhooksWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.DeleteWebhook(ctx, a, "x", 0))
		}},
		"RotateWebhookSecret": {admin.ScopeWebhooksWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RotateWebhookSecret(ctx, a, "x", 0))
		}},
		"WebhookDeliveries": {admin.ScopeWebhooksRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return page(o.WebhookDeliveries(ctx, a, "x", webhook.Query{}))
		}},
		"ResendDelivery": {admin.ScopeWebhooksWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ResendDelivery(ctx, a, "x", "y"))
		}},
		"TestWebhook": {admin.ScopeWebhooksWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.TestWebhook(ctx, a, "x"))
		}},
		"AuditSinks": {admin.ScopeAuditRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.AuditSinks(ctx, a))
		}},
		"AuditGaps": {admin.ScopeAuditRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.AuditGaps(ctx, a, admin.GapQuery{}))
		}},
		"CreateInitialToken": {admin.ScopeRegistrationsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			_, _, err := o.CreateInitialToken(ctx, a, admin.NewInitialToken{})
			return err
		}},
		"ListInitialTokens": {admin.ScopeRegistrationsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return page(o.ListInitialTokens(ctx, a, 1, 0))
		}},
		"RevokeInitialToken": {admin.ScopeRegistrationsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return o.RevokeInitialToken(ctx, a, "x")
		}},
		"Scopes": {admin.ScopeScopesRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Scopes(ctx, a))
		}},
		"Scope": {admin.ScopeScopesRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Scope(ctx, a, "x"))
		}},
		"CreateScope": {admin.ScopeScopesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.CreateScope(ctx, a, "x", admin.ScopePatch{}))
		}},
		"UpdateScope": {admin.ScopeScopesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.UpdateScope(ctx, a, "x", admin.ScopePatch{}))
		}},
		"ScopeUse": {admin.ScopeScopesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			_, err := o.ScopeUse(ctx, a, "x")
			return err
		}},
		"CanDeleteScope": {admin.ScopeScopesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return o.CanDeleteScope(ctx, a, "x")
		}},
		"DeleteScope": {admin.ScopeScopesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.DeleteScope(ctx, a, "x", 0))
		}},
		"Routes": {admin.ScopeRoutesRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return page(o.Routes(ctx, a, admin.RouteQuery{}))
		}},
		"Route": {admin.ScopeRoutesRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Route(ctx, a, "x"))
		}},
		"StoredRoute": {admin.ScopeRoutesRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.StoredRoute(ctx, a, "x"))
		}},
		"CreateRoute": {admin.ScopeRoutesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.CreateRoute(ctx, a, admin.RoutePatch{}))
		}},
		"UpdateRoute": {admin.ScopeRoutesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.UpdateRoute(ctx, a, "x", admin.RoutePatch{}))
		}},
		"DeleteRoute": {admin.ScopeRoutesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.DeleteRoute(ctx, a, "x", 0))
		}},
		"TestMail": {admin.ScopeMailWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return o.TestMail(ctx, a, admin.MailTest{To: "a@example.com"})
		}},
		"Mail": {admin.ScopeMailRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			_, err := o.Mail(ctx, a, admin.DeliveryQuery{})
			return err
		}},
		"RetryMail": {admin.ScopeMailWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RetryMail(ctx, a, "x"))
		}},
		"Keys": {admin.ScopeKeysRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Keys(ctx, a))
		}},
		"ExportClients": {admin.ScopeClientsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ExportClients(ctx, a, admin.ClientExport{Format: admin.FormatJSON}, io.Discard))
		}},
		"BeginSignInTest": {admin.ScopeClientsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.BeginSignInTest(ctx, a, "x", ""))
		}},
		"EndSignInTest": {admin.ScopeClientsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.EndSignInTest(ctx, a, admin.SignInResponse{}))
		}},
		"Denials": {admin.ScopeAuditRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Denials(ctx, a, admin.DenialQuery{}))
		}},
		"RetirableKey": {admin.ScopeKeysRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RetirableKey(ctx, a, "x"))
		}},
		"RotateKey": {admin.ScopeKeysWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RotateKey(ctx, a, admin.KeyRotation{}))
		}},
		"RetireKey": {admin.ScopeKeysWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RetireKey(ctx, a, "x"))
		}},
		"Sessions": {admin.ScopeSessionsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Sessions(ctx, a, "", admin.SessionSelection{}, admin.Page{}))
		}},
		"Session": {admin.ScopeSessionsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Session(ctx, a, "x"))
		}},
		"RevokeSession": {admin.ScopeSessionsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RevokeSession(ctx, a, "x"))
		}},
		"RevokeUserSessions": {admin.ScopeSessionsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RevokeUserSessions(ctx, a, "x"))
		}},
		"RevokeUserAccess": {admin.ScopeSessionsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RevokeUserAccess(ctx, a, "x"))
		}},
		"RevokeSessions": {admin.ScopeSessionsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RevokeSessions(ctx, a, admin.SessionSelection{}))
		}},
		"PasswordStatus": {admin.ScopeUsersRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.PasswordStatus(ctx, a, "x"))
		}},
		"RemoveFactor": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return o.RemoveFactor(ctx, a, "x", "y")
		}},
		"RemoveOldSecrets": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RemoveOldSecrets(ctx, a, "x"))
		}},
		"RevokeUserAuthorizations": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RevokeUserAuthorizations(ctx, a, "x", ""))
		}},
		"RevokeUserTokens": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.RevokeUserTokens(ctx, a, "x"))
		}},
		"SendPasswordReset": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.SendPasswordReset(ctx, a, "x"))
		}},
		"SendVerification": {admin.ScopeUsersWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.SendVerification(ctx, a, "x"))
		}},
		"SessionMetrics": {admin.ScopeMetricsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.SessionMetrics(ctx, a, true))
		}},
		"Settings": {admin.ScopeSettingsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Settings(ctx, a))
		}},
		"PlanConfig": {admin.ScopeClientsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.PlanConfig(ctx, a, admin.ConfigInput{Document: []byte(noClients)}))
		}},
		"ApplyConfig": {admin.ScopeClientsWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ApplyConfig(ctx, a, admin.ConfigInput{Document: []byte(noClients)}))
		}},
		"ExportConfig": {admin.ScopeClientsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ExportConfig(ctx, a, admin.ConfigExport{Sections: []string{"clients"}}))
		}},
		"ConfigDrift": {admin.ScopeClientsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ConfigDrift(ctx, a))
		}},
		"Examine": {admin.ScopeSettingsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Examine(ctx, a))
		}},
		"UserAuthorizations": {admin.ScopeUsersRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.UserAuthorizations(ctx, a, "x"))
		}},
		"UserFactors": {admin.ScopeUsersRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.UserFactors(ctx, a, "x"))
		}},
		"UserNames": {admin.ScopeUsersRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.UserNames(ctx, a, nil))
		}},
		"Locks": {admin.ScopeUsersRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Locks(ctx, a, nil))
		}},
		"Events": {admin.ScopeAuditRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Events(ctx, a, admin.AuditQuery{}))
		}},
		"ProveEvent": {admin.ScopeAuditRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ProveEvent(ctx, a, "x"))
		}},
		"AuditCheckpoint": {admin.ScopeAuditRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.AuditCheckpoint(ctx, a))
		}},
		"CleanupAudit": {admin.ScopeAll, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.CleanupAudit(ctx, a))
		}},
		"VerifyAudit": {admin.ScopeAuditRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.VerifyAudit(ctx, a, admin.VerifyInput{}))
		}},
		"ExportEvents": {admin.ScopeAuditExport, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return o.ExportEvents(ctx, a, admin.AuditQuery{}, func(*audit.Event) error { return nil })
		}},
		"ExportProofs": {admin.ScopeAuditExport, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return o.ExportProofs(ctx, a, admin.ProofsInput{}, io.Discard)
		}},
		"Overview": {admin.ScopeMetricsRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Overview(ctx, a, ""))
		}},
		"ListRoles": {admin.ScopeRolesRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.ListRoles(ctx, a))
		}},
		"Role": {admin.ScopeRolesRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Role(ctx, a, "x"))
		}},
		"CreateRole": {admin.ScopeRolesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.CreateRole(ctx, a, "x", admin.RolePatch{}))
		}},
		"UpdateRole": {admin.ScopeRolesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.UpdateRole(ctx, a, "x", admin.RolePatch{}))
		}},
		"CanDeleteRole": {admin.ScopeRolesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return o.CanDeleteRole(ctx, a, "x")
		}},
		"DeleteRole": {admin.ScopeRolesWrite, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.DeleteRole(ctx, a, "x", 0))
		}},
		"Event": {admin.ScopeAuditRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Event(ctx, a, "x"))
		}},
		"Explain": {admin.ScopeAuditRead, func(ctx context.Context, o *admin.Operations, a admin.Actor) error {
			return only(o.Explain(ctx, a, "x"))
		}},
	}
}

// scopes returns every scope but the one that covers all.
func scopes() []admin.Scope { return admin.AllScopes()[1:] }

// notOperations returns the methods that an actor needs no scope for: they make actors, check them,
// or return what is public.
func notOperations() []string {
	return []string{
		"Rules", "ActorOf", "SessionActor", "AllowAddress", "StepUpNeeded", "CreateCommandLineClient",
		"Administers", "BeginIdempotent", "RunBulkActions", "MakeDueBackup", "KeyTokensUntil",
	}
}

// TestEveryOperationChecksTheActor calls each operation with every scope but its own. The
// operations have no storage, so that one which reads or writes before it checks panics.
func TestEveryOperationChecksTheActor(t *testing.T) {
	table := operations()
	methods := reflect.TypeFor[*admin.Operations]()
	for i := range methods.NumMethod() {
		name := methods.Method(i).Name
		if slices.Contains(notOperations(), name) {
			continue
		}
		op, ok := table[name]
		if !ok {
			t.Errorf("the table lacks the operation %s", name)
			continue
		}
		others := slices.DeleteFunc(scopes(), func(s admin.Scope) bool { return s == op.scope })
		for _, a := range []admin.Actor{{}, {
			User:   "0199",
			Scopes: others,
		}, {
			Client: "app",
			Scopes: []admin.Scope{"openid"},
		}} {
			err := op.run(t.Context(), admin.New(admin.Config{}, admin.Parts{}), a)
			if !fault.Is(err, fault.Denied) || fault.Reason(err) != admin.ReasonInsufficientScope ||
				!strings.Contains(err.Error(), string(op.scope)) {
				t.Errorf("%s by %q: %v; want a denial that names %s", name, a.Name(), err, op.scope)
			}
		}
	}
	if len(table) != methods.NumMethod()-len(notOperations()) {
		t.Errorf("%d operations in the table, %d methods", len(table), methods.NumMethod())
	}
}

// TestTheScopeOfAnOperationIsEnough calls each operation with its own scope alone, and with the
// one that covers all.
func TestTheScopeOfAnOperationIsEnough(t *testing.T) {
	w := newWorld(t)
	root := w.createUser("root@example.com", identity.RoleSuperAdmin)
	for name, op := range operations() {
		for _, s := range []admin.Scope{op.scope, admin.ScopeAll} {
			err := op.run(t.Context(), w.ops, admin.Actor{User: root.ID, Scopes: []admin.Scope{s}})
			if fault.Reason(err) == admin.ReasonInsufficientScope {
				t.Errorf("%s with %s: %v", name, s, err)
			}
		}
	}
}

func TestActorNames(t *testing.T) {
	for want, a := range map[string]admin.Actor{
		"cli": admin.CommandLine(), "0199": {
			User:   "0199",
			Client: "console",
		}, "robot": {
			Client: "robot",
		}, "": {},
	} {
		if a.Name() != want {
			t.Errorf("got %q, want %q", a.Name(), want)
		}
	}
	if (admin.Actor{Scopes: []admin.Scope{admin.ScopeUsersWrite}}).Can(admin.ScopeUsersRead) {
		t.Error("admin:users:write gives admin:users:read")
	}
}

// world is a real database with the operations on it.
type world struct {
	t     *testing.T
	db    *store.DB
	ops   *admin.Operations
	ring  *jose.Ring
	parts admin.Parts
	now   time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOn(t, store.Options{URL: "sqlite::memory:"})
}

// newWorldOn returns a world with a database.
func newWorldOn(t *testing.T, o store.Options) *world {
	t.Helper()
	o.Report = func(err error) { t.Error(err) }
	db := storetest.Open(t, o)
	keys, err := secret.NewKeys([]byte(strings.Repeat("k", 32)))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, now: time.UnixMilli(1_800_000_000_000)}
	passwords := secret.NewPasswords(1, 8)
	ring := jose.NewRing(db, keys)
	w.ring = ring
	w.parts = admin.Parts{
		Store:     db,
		Keys:      keys,
		Ring:      ring,
		Passwords: passwords,
		Accounts:  login.New(login.Config{Policy: identity.Policy{MinLength: 8}}, db, keys, passwords),
		Rules:     token.ClientRules(),
		Routes:    func() (*access.File, error) { return &access.File{}, nil },
		Now:       func() time.Time { return w.now },
	}
	w.ops = w.with(func(*admin.Config) {})
	return w
}

// with returns the operations with other settings.
func (w *world) with(change func(*admin.Config)) *admin.Operations {
	cfg := admin.Config{
		Issuer:     "https://id.example",
		AccessTTL:  time.Hour,
		IDTokenTTL: time.Hour,
		Algorithm:  jose.ES256,
	}
	change(&cfg)
	return admin.New(cfg, w.parts)
}

// patch sets the fields of a patch by name.
func patch[T any](t *testing.T, fields []field.Field[T], values map[string]string) field.Patch[T] {
	t.Helper()
	var p field.Patch[T]
	for name, value := range values {
		f, ok := field.Named(fields, name)
		if !ok {
			t.Fatalf("no field %s", name)
		}
		if err := p.Set(f, value); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (w *world) createUser(email, roles string) *identity.User {
	w.t.Helper()
	values := map[string]string{"email": email}
	if roles != "" {
		values["roles"] = roles
	}
	u, err := w.ops.CreateUser(w.t.Context(), admin.CommandLine(),
		admin.NewUser{
			Fields:   patch(w.t, identity.UserFields(), values),
			Password: "correct horse battery 9A",
		})
	if err != nil {
		w.t.Fatal(err)
	}
	return u.User
}

func (w *world) createClient(values map[string]string) *admin.ChangedClient {
	w.t.Helper()
	c, err := w.ops.CreateClient(w.t.Context(), admin.CommandLine(),
		admin.NewClient{ID: "app", Fields: patch(w.t, client.Fields(token.ClientRules()), values)})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// TestTheActorIsInTheAuditLog creates a user as a person with an address.
func TestTheActorIsInTheAuditLog(t *testing.T) {
	w := newWorld(t)
	root := w.createUser("root@example.com", identity.RoleSuperAdmin)
	a := admin.Actor{User: root.ID, Scopes: []admin.Scope{admin.ScopeUsersWrite}, RequestID: "R1"}
	_, err := w.ops.CreateUser(t.Context(), a, admin.NewUser{
		Fields:   patch(t, identity.UserFields(), map[string]string{"email": "ada@example.com"}),
		Password: "correct horse battery 9A",
	})
	if err != nil {
		t.Fatal(err)
	}
	page, err := w.ops.Events(t.Context(), admin.CommandLine(), admin.AuditQuery{RequestID: "R1"})
	if err != nil {
		t.Fatal(err)
	}
	events := page.Events
	if len(events) != 1 || events[0].Actor != string(root.ID) || events[0].Type != audit.UserCreated {
		t.Errorf("got %+v", events)
	}
}

// TestAdministratorsAreRecorded makes administrators, and takes their roles away.
func TestAdministratorsAreRecorded(t *testing.T) {
	w := newWorld(t)
	cli := admin.CommandLine()
	w.createUser("root@example.com", identity.RoleSuperAdmin)
	ada := w.createUser("ada@example.com", "staff")
	of := func(id identity.UserID) (types []audit.Type) {
		page, err := w.ops.Events(t.Context(), cli, admin.AuditQuery{User: string(id), Event: "admin."})
		testkit.Must(t, err)
		for _, ev := range page.Events {
			types = append(types, ev.Type)
		}
		slices.Sort(types) // the clock stands still
		return types
	}
	testkit.Equal(t, "of somebody else", len(of(ada.ID)), 0)
	for _, step := range []struct {
		change admin.UserUpdate
		want   []audit.Type
	}{
		{admin.UserUpdate{AddRoles: []string{"editor"}}, nil},
		{admin.UserUpdate{AddRoles: []string{identity.RoleAdmin}}, []audit.Type{audit.AdminCreated}},
		{admin.UserUpdate{AddRoles: []string{identity.RoleSuperAdmin}}, []audit.Type{audit.AdminCreated, audit.AdminRoleChanged}},
		{
			admin.UserUpdate{RemoveRoles: []string{identity.RoleAdmin, identity.RoleSuperAdmin}},
			[]audit.Type{audit.AdminCreated, audit.AdminRoleChanged, audit.AdminRoleChanged},
		},
	} {
		_, err := w.ops.UpdateUser(t.Context(), cli, string(ada.ID), step.change)
		testkit.Must(t, err)
		testkit.Equal(t, "events", of(ada.ID), step.want)
	}
}

// TestSettingsChange compares settings of two starts. Values of secrets are never recorded.
func TestSettingsChange(t *testing.T) {
	text := func(host, secret string) string {
		return admin.SettingsText([]admin.Setting{
			{Name: "SMTP_HOST", Value: host, Default: ""},
			{Name: "SMTP_PASSWORD", Value: secret, Secret: secret != ""},
			{Name: "PORT", Value: "8080", Default: "8080"},
		})
	}
	now := time.Now()
	if _, changed := admin.SettingsChange(text("a", "hidden"), text("a", "hidden"), now); changed {
		t.Error("the same settings are a change")
	}
	ev, changed := admin.SettingsChange(text("a", ""), text("b", "hidden"), now)
	testkit.Equal(t, "changed", changed, true)
	testkit.Equal(t, "changes", ev.Changes, []audit.Change{
		{Field: "SMTP_HOST", Before: "a", After: "b"}, {Field: "SMTP_PASSWORD", After: "***"},
	})
	if _, changed := admin.SettingsChange("not ours", text("a", ""), now); changed {
		t.Error("settings that cannot be read are a change")
	}
}

// TestTheLastAdministratorStays disables and deletes administrators until one is left.
func TestTheLastAdministratorStays(t *testing.T) {
	w := newWorld(t)
	cli := admin.CommandLine()
	first := w.createUser("first@example.com", identity.RoleSuperAdmin)
	second := w.createUser("second@example.com", identity.RoleSuperAdmin)
	w.createUser("ada@example.com", "staff")
	if _, err := w.ops.DisableUser(t.Context(), cli, string(first.ID)); err != nil {
		t.Fatal(err)
	}
	for name, op := range map[string]func(context.Context, admin.Actor, string) (*identity.User, error){
		"disable": w.ops.DisableUser,
		"delete": func(ctx context.Context, a admin.Actor, ref string) (*identity.User, error) {
			return w.ops.DeleteUser(ctx, a, ref, 0)
		},
	} {
		_, err := op(t.Context(), cli, string(second.ID))
		if fault.Reason(err) != admin.ReasonLastAdministrator || !strings.Contains(err.Error(), "second@example.com is the last") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, ref := range []string{"first@example.com", "ada@example.com"} {
		if _, err := w.ops.DeleteUser(t.Context(), cli, ref, 0); err != nil {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestRejectedPasswordCreatesNoAccount(t *testing.T) {
	w := newWorld(t)
	p := patch(t, identity.UserFields(), map[string]string{"email": "ada@example.com"})
	_, err := w.ops.CreateUser(t.Context(), admin.CommandLine(), admin.NewUser{
		Fields:   p,
		Password: "short",
	})
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Field != "password" {
		t.Errorf("got %v", err)
	}
	if _, err := w.ops.User(t.Context(), admin.CommandLine(), "ada@example.com"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the account exists: %v", err)
	}
}

// TestAnUpdateTouchesWhatItNames changes two fields of a client while the copy in memory is
// stale.
func TestAnUpdateTouchesWhatItNames(t *testing.T) {
	w := newWorld(t)
	w.createClient(map[string]string{"client_name": "App", "grant_types": "client_credentials", "roles": "reader"})
	fields := client.Fields(token.ClientRules())
	p := patch(t, fields, map[string]string{"client_name": "The App", "dpop_bound_access_tokens": "true"})
	out, err := w.ops.UpdateClient(t.Context(), admin.CommandLine(), "app", p)
	if err != nil {
		t.Fatal(err)
	}
	if c := out.Client; c.Name != "The App" || !c.DPoPBound || !slices.Equal(c.Roles, []string{"reader"}) {
		t.Errorf("got %+v", c)
	}
	page, err := w.ops.Events(t.Context(), admin.CommandLine(), admin.AuditQuery{
		Type: audit.ClientUpdated,
	})
	if err != nil {
		t.Fatal(err)
	}
	events := page.Events
	if len(events) != 1 || events[0].Detail["changed"] != "client_name dpop_bound_access_tokens" {
		t.Errorf("got %+v", events)
	}
}

// TestAVariantOfAnAddressIsNotVerified changes an address to one with the same login key, which may
// be another mailbox.
func TestAVariantOfAnAddressIsNotVerified(t *testing.T) {
	w := newWorld(t)
	u := w.createUser("zoe@example.com", "")
	for _, step := range []struct {
		field, value string
		verified     bool
	}{
		{"email_verified", "true", true},
		{"email", "Zoe@example.com", true},
		{"email", "ｚoe@example.com", false},
	} {
		in := admin.UserUpdate{Fields: patch(t, identity.UserFields(), map[string]string{step.field: step.value})}
		out, err := w.ops.UpdateUser(t.Context(), admin.CommandLine(), string(u.ID), in)
		if err != nil || out.User.EmailVerified != step.verified {
			t.Errorf("%s %s: %+v, %v", step.field, step.value, out, err)
		}
	}
	fields := patch(t, identity.UserFields(), map[string]string{"email": "ＺＯＥ@example.com"})
	_, err := w.ops.CreateUser(t.Context(), admin.CommandLine(), admin.NewUser{Fields: fields})
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("a full-width variant of an address: %v", err)
	}
}

// TestTheMethodFollowsTheTypeOfTheClient unless the patch names it.
func TestTheMethodFollowsTheTypeOfTheClient(t *testing.T) {
	w := newWorld(t)
	w.createClient(map[string]string{"client_name": "App", "grant_types": "device", "public": "true"})
	fields := client.Fields(token.ClientRules())
	out, err := w.ops.UpdateClient(t.Context(), admin.CommandLine(), "app", patch(t, fields, map[string]string{"public": "false"}))
	if err != nil || out.Client.AuthMethod != "" || len(out.Warnings) != 1 || out.Warnings[0].Code != admin.WarnNoSecret {
		t.Fatalf("got %+v, %v", out, err)
	}
	out, err = w.ops.UpdateClient(t.Context(), admin.CommandLine(), "app", patch(t, fields, map[string]string{"public": "true"}))
	if err != nil || out.Client.AuthMethod != client.MethodNone {
		t.Fatalf("got %+v, %v", out, err)
	}
}

// TestSecretsRotate: at most two secrets are active, and the one before the new one expires.
func TestSecretsRotate(t *testing.T) {
	w := newWorld(t)
	first := w.createClient(map[string]string{"client_name": "App", "grant_types": "client_credentials"})
	if first.Secret == "" || len(first.Client.Secrets) != 1 {
		t.Fatalf("got %+v", first)
	}
	seen := map[string]bool{first.Secret: true}
	for range 3 {
		w.now = w.now.Add(time.Minute)
		out, err := w.ops.RotateSecret(t.Context(), admin.CommandLine(), "app", time.Hour)
		if err != nil || seen[out.Secret] || !out.Previous.Equal(w.now.Add(time.Hour)) {
			t.Fatalf("got %+v, %v", out, err)
		}
		seen[out.Secret] = true
		c, err := w.ops.Client(t.Context(), admin.CommandLine(), "app")
		if err != nil || len(c.Secrets) != 2 || !c.Secrets[0].ExpiresAt.IsZero() || !c.Secrets[1].ExpiresAt.Equal(w.now.Add(time.Hour)) {
			t.Fatalf("got %+v, %v", c.Secrets, err)
		}
	}
}

// TestSecretsOneByOne: a client has five active secrets at most, and loses the last one by force
// only. A rotation names those that it ends early.
func TestSecretsOneByOne(t *testing.T) {
	w, cli := newWorld(t), admin.CommandLine()
	first := w.createClient(map[string]string{"client_name": "App", "grant_types": "client_credentials"})
	ids := []string{first.Client.Secrets[0].ID}
	for range 4 {
		w.now = w.now.Add(time.Minute)
		out, err := w.ops.AddSecret(t.Context(), cli, "app", time.Hour)
		if err != nil || out.Secret == "" || !out.ExpiresAt.Equal(w.now.Add(time.Hour)) {
			t.Fatalf("got %+v, %v", out, err)
		}
		ids = append(ids, out.ID)
	}
	out, err := w.ops.AddSecret(t.Context(), cli, "app", 0)
	if out != nil || fault.Reason(err) != admin.ReasonTooManySecrets {
		t.Fatalf("a sixth secret: %+v, %v", out, err)
	}
	for i, id := range ids[1:] {
		done, err := w.ops.RemoveSecret(t.Context(), cli, "app", id, false)
		if err != nil || len(done.Warnings) != 0 || len(done.Client.Secrets) != 4-i {
			t.Fatalf("got %+v, %v", done, err)
		}
	}
	if _, err := w.ops.RemoveSecret(t.Context(), cli, "app", ids[0], false); fault.Reason(err) != admin.ReasonLastSecret {
		t.Fatalf("the last secret: %v", err)
	}
	if out, err = w.ops.AddSecret(t.Context(), cli, "app", 0); err != nil || !out.ExpiresAt.IsZero() {
		t.Fatalf("got %+v, %v", out, err)
	}
	w.now = w.now.Add(time.Minute)
	done, err := w.ops.RotateSecret(t.Context(), cli, "app", time.Hour)
	if err != nil || len(done.Warnings) != 1 || done.Warnings[0].Subject != ids[0] {
		t.Fatalf("a rotation that ends the first secret: %+v, %v", done, err)
	}
	if _, err := w.ops.RemoveSecret(t.Context(), cli, "app", ids[0], true); !fault.Is(err, fault.NotFound) {
		t.Errorf("a secret that a rotation has ended: %v", err)
	}
	w.now = w.now.Add(2 * time.Hour)
	c, err := w.ops.Client(t.Context(), cli, "app")
	if err != nil {
		t.Fatal(err)
	}
	done, err = w.ops.RemoveSecret(t.Context(), cli, "app", c.Secrets[0].ID, true)
	if err != nil || len(done.Warnings) != 1 || done.Warnings[0].Code != admin.WarnNoActiveSecret {
		t.Errorf("the last secret by force: %+v, %v", done, err)
	}
}

func TestScopes(t *testing.T) {
	w := newWorld(t)
	cli := admin.CommandLine()
	p := patch(t, admin.ScopeFields(), map[string]string{"description": "read metrics"})
	if _, err := w.ops.CreateScope(t.Context(), cli, "metrics:read", p); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ops.CreateScope(t.Context(), cli, "metrics:read", p); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second scope of the name: %v", err)
	}
	s, err := w.ops.UpdateScope(t.Context(), cli, "metrics:read", patch(t, admin.ScopeFields(), map[string]string{"default": "true"}))
	if err != nil || !s.Default || s.Description != "read metrics" {
		t.Errorf("got %+v, %v", s, err)
	}
	all, err := w.ops.Scopes(t.Context(), cli)
	i := slices.IndexFunc(all, func(s oauth.Scope) bool { return s.Name == "metrics:read" })
	if err != nil || i < 0 || !all[i].Default || all[i].Description != "read metrics" {
		t.Errorf("got %+v, %v", all, err)
	}
	if _, err := w.ops.DeleteScope(t.Context(), cli, "openid", 0); !fault.Is(err, fault.Conflict) {
		t.Errorf("openid is deleted: %v", err)
	}
	if _, err := w.ops.DeleteScope(t.Context(), cli, "metrics:read", 0); err != nil {
		t.Error(err)
	}
}

// TestGrantsComeFromTheTable compares the grant types that clients may choose with those that the
// protocol serves.
func TestGrantsComeFromTheTable(t *testing.T) {
	r := token.ClientRules()
	words := r.GrantNames()
	for _, word := range append([]string{"code", "refresh", "device", "device_code"}, words...) {
		if _, err := r.ResolveGrants([]string{word}); err != nil {
			t.Errorf("%s: %v", word, err)
		}
	}
	if !slices.Contains(words, "authorization_code") || slices.Contains(words, client.GrantTypeDevice) {
		t.Errorf("got %v", words)
	}
}
