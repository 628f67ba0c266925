package admin_test

import (
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// newSupport returns the hierarchy with a role that may act as others and a person of it.
func newSupport(t *testing.T) *hierarchy {
	t.Helper()
	h := newHierarchy(t)
	_, err := h.ops.CreateRole(t.Context(), admin.CommandLine(), "support", patchOf(t, admin.RoleFields(),
		map[string][]string{"scopes": {"admin:users:read", "admin:users:impersonate"}}))
	testkit.Must(t, err)
	h.people["support"] = h.person("support@example.com", "support")
	h.ops = h.with(func(c *admin.Config) { c.Impersonation = time.Hour })
	return h
}

// TestNobodyActsAsAnAdministrator tries it by people of each role on people of each role: nobody
// acts as an administrator of any kind, also not a stronger one or the command line.
func TestNobodyActsAsAnAdministrator(t *testing.T) {
	h := newSupport(t)
	mighty := map[string]bool{"support": true, "admin": true, "super_admin": true, "command line": true}
	plain := h.person("plain@example.com", "staff")
	targets := map[string]*identity.User{"plain": plain}
	actors := map[string]admin.Actor{"command line": admin.CommandLine()}
	for role, u := range h.people {
		targets[role], actors[role] = u, h.actor(role)
	}
	denied := 0
	for who, a := range actors {
		for whom, u := range targets {
			_, err := h.ops.ImpersonateUser(t.Context(), a, string(u.ID), "ticket 7")
			allowed := mighty[who] && (whom == "plain" || whom == "user") && a.User != u.ID
			if (err == nil) != allowed || err != nil && !fault.Is(err, fault.Denied) {
				t.Errorf("%s acts as %s: %v", who, whom, err)
			}
			if err != nil && mighty[who] {
				denied++
			}
		}
	}
	n, err := h.db.CountAudit(t.Context(), store.AuditQuery{Type: audit.ImpersonationRefused})
	testkit.Must(t, err)
	testkit.Equal(t, "recorded", n, denied)
}

// TestImpersonationIsDecidedByNow: whoever loses the role, or acts for a person who gets one, may
// not any more, at a link, at its use and in the session.
func TestImpersonationIsDecidedByNow(t *testing.T) {
	for _, what := range []string{"disabled", "locked", "lowered", "the person is stronger"} {
		h := newSupport(t)
		a := h.actor("support")
		u, err := h.db.User(t.Context(), h.people["support"].ID)
		testkit.Must(t, err)
		i := &login.Impersonation{
			User:  h.people["user"].ID,
			Actor: identity.Impersonator{Kind: audit.ActorUser, ID: string(u.ID)},
		}
		testkit.Must(t, h.db.Decide(t.Context(), admin.ImpersonationGuard(i)))
		if change := weakened(t, h, u)[what]; change != nil {
			change()
		} else {
			testkit.Must(t, h.db.SetRoles(t.Context(), i.User, []string{"helpdesk"}, h.now))
		}
		if err := h.db.Decide(t.Context(), admin.ImpersonationGuard(i)); !fault.Is(err, fault.Denied) {
			t.Errorf("%s: the session goes on: %v", what, err)
		}
		_, err = h.ops.ImpersonateUser(t.Context(), a, string(i.User), "ticket 7")
		if !fault.Is(err, fault.Denied) {
			t.Errorf("%s: there is a link: %v", what, err)
		}
	}
}

// TestImpersonationNeeds: a reason, a recent sign-in, and the setting; and nobody acts as another
// person from within.
func TestImpersonationNeeds(t *testing.T) {
	h := newSupport(t)
	ctx, a, id := t.Context(), h.actor("support"), string(h.people["user"].ID)
	for _, reason := range []string{"", "  ", "a\x00b"} {
		if _, err := h.ops.ImpersonateUser(ctx, a, id, reason); !fault.Is(err, fault.Invalid) {
			t.Errorf("reason %q: %v", reason, err)
		}
	}
	nested := a
	nested.Impersonator = "somebody"
	_, err := h.ops.ImpersonateUser(ctx, nested, id, "ticket 7")
	testkit.Equal(t, "nested", fault.Reason(err), admin.ReasonImpersonated)
	sess := identity.NewSession(h.people["support"].ID, nil, h.now, time.Hour, identity.Browser{})
	sess.Impersonator = identity.Impersonator{Kind: audit.ActorUser, ID: "x"}
	_, err = h.ops.SessionActor(ctx, sess, login.Visit{Now: h.now, IP: "192.0.2.1"})
	testkit.Equal(t, "as a session", fault.Reason(err), admin.ReasonImpersonated)

	strict := h.with(func(c *admin.Config) { c.Impersonation, c.Reauth = time.Hour, 15*time.Minute })
	h.now = h.now.Add(time.Hour)
	_, err = strict.ImpersonateUser(ctx, a, id, "ticket 7")
	testkit.Equal(t, "old sign-in", fault.Reason(err), admin.ReasonStepUp)
	off := h.with(func(c *admin.Config) { c.Impersonation = 0 })
	if _, err := off.ImpersonateUser(ctx, a, id, "ticket 7"); !fault.Is(err, fault.Conflict) {
		t.Errorf("switched off: %v", err)
	}
}
