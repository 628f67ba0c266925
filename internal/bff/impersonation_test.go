package bff_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/login"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// TestAppSessionsSayWhoActs: where a client acts as the person, the app, the gateway and the audit
// log see it, and the app's session ends with the client's.
func TestAppSessionsSayWhoActs(t *testing.T) {
	w := newWorld(t)
	ctx, now := t.Context(), w.clock.now()
	must(t, w.db.CreateClient(ctx, &client.Client{
		ID: "support", Name: "Support", Grants: []string{client.GrantTypeClient}, CreatedAt: now, UpdatedAt: now,
	}))
	i := login.Impersonation{
		Session: identity.SessionID(secret.NewID(now)), User: w.user.ID, Reason: "Ticket 4711",
		Actor: identity.Impersonator{Kind: audit.ActorClient, ID: "support"}, CreatedAt: now, ExpiresAt: now.Add(time.Minute),
	}
	must(t, w.db.PutImpersonation(ctx, "hash of the link", &i, 1))
	w.sess = &identity.Session{
		ID: i.Session, User: w.user.ID, CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(10 * time.Minute), Impersonator: i.Actor,
	}
	must(t, w.db.OpenImpersonation(ctx, "hash of the link", "hash of the cookie", "", w.sess))

	w.signIn("")
	var me struct {
		Sub string
		Act struct{ Sub string }
	}
	must(t, json.Unmarshal(w.do("GET", "/session/user", "Sec-Fetch-Site", "same-origin").Body.Bytes(), &me))
	equal(t, "the person", me.Sub, string(w.user.ID))
	equal(t, "who acts", me.Act.Sub, "support")
	equal(t, "who acts, at the gateway", w.who().Actor, "support")
	w.do("POST", "/session/logout", "Sec-Fetch-Site", "same-origin")
	for _, kind := range []audit.Type{audit.AppSessionStarted, audit.AppSessionEnded} {
		events, err := w.db.ListAudit(ctx, store.AuditQuery{Type: kind})
		must(t, err)
		if len(events) != 1 || events[0].Actor != "support" || events[0].ActorType != audit.ActorClient || events[0].User != string(w.user.ID) {
			t.Errorf("%s: %+v", kind, events)
		}
	}

	w.signIn("")
	must(t, w.db.EndImpersonation(ctx, i.Session, audit.Event{At: now}))
	if c := w.who(); c != nil {
		t.Errorf("the app's session goes on as %+v", c)
	}
}
