package login

import (
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
)

const maxAgent = 400 // bytes of a User-Agent that are kept

// event is something that the user, or somebody in the user's place, did.
func (v Visit) event(t audit.Type, u identity.UserID) audit.Event {
	ev := audit.Event{
		ID: secret.NewID(v.Now), At: v.Now, Type: t, Actor: v.Actor, User: string(u),
		IP: v.IP, Agent: v.agent(), RequestID: v.RequestID,
	}
	if ev.Actor == "" {
		ev.Actor = string(u)
	}
	return ev
}

// failure is an attempt that was refused. It has no actor unless one is known: nobody has proved to be anybody. The
// name that was typed is not kept, for people type passwords there.
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
