package login

import (
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const maxAgent = 400 // bytes of a User-Agent that are stored

// event returns an audit event for what the user, or somebody in the user's place, did.
func (v Visit) event(t audit.Type, u identity.UserID) audit.Event {
	ev := audit.Event{
		ID:        secret.NewID(v.Now),
		At:        v.Now,
		Type:      t,
		Actor:     v.Actor,
		User:      string(u),
		IP:        v.IP,
		Agent:     v.agent(),
		RequestID: v.RequestID,
	}
	if ev.Actor == "" {
		ev.Actor = string(u)
	}
	return ev
}

// failure returns an audit event for an attempt that failed. Its actor is empty unless v has one,
// since the person has proved nothing. The name that was typed is left out, for people type
// passwords there.
func (v Visit) failure(u identity.UserID, reason string) audit.Event {
	ev := v.event(audit.LoginFailed, u)
	ev.Actor, ev.Reason = v.Actor, reason
	return ev
}

func (v Visit) agent() string {
	a := v.Agent
	if len(a) > maxAgent {
		a = a[:maxAgent]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(a, "\x00", ""), "")
}
