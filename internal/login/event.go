package login

import (
	"cmp"
	"context"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
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
		ActorType: v.ActorType,
		User:      string(u),
		IP:        v.IP,
		Agent:     v.agent(),
		RequestID: v.RequestID,
		Guard:     v.Guard,
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
	ev.Actor, ev.ActorType, ev.Client, ev.Reason = v.Actor, v.ActorType, v.Client, reason
	return ev
}

func (v Visit) agent() string {
	a := v.Agent
	if len(a) > maxAgent {
		a = a[:maxAgent]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(a, "\x00", ""), "")
}

// recordsFailure reports whether a failed attempt is to be recorded by itself. Otherwise it has
// been counted. Accounts are counted apart from each other and from names that nobody has, so that
// no number of other failures hides those of an account.
func (s *Server) recordsFailure(v Visit, u identity.UserID) bool {
	if u != "" {
		return s.accountFailures.Add(v.Now, audit.FailureKey{Subject: string(u)})
	}
	return s.unknownFailures.Add(v.Now, v.failureKey())
}

// failureKey returns the key of failures that are counted by the address of the caller.
func (v Visit) failureKey() audit.FailureKey {
	a, _ := netip.ParseAddr(v.IP) // callers without an address are one
	return audit.FailureKey{Address: cmp.Or(netaddr.Key(a), "unknown")}
}

// recordResetFailure records that a link to set a password was refused, or counts it if there are
// too many. Nobody has proved who asks.
func (s *Server) recordResetFailure(ctx context.Context, v Visit) error {
	if !s.linkFailures.Add(v.Now, v.failureKey()) {
		return nil
	}
	ev := v.event(audit.PasswordResetFailed, "")
	ev.Reason = audit.ReasonUnusableLink
	return s.store.Record(ctx, ev)
}

// recordFailureEvent records a failed attempt, or counts it if there are too many.
func (s *Server) recordFailureEvent(ctx context.Context, v Visit, ev audit.Event) error {
	if !s.recordsFailure(v, identity.UserID(ev.User)) {
		return s.storeFailure(ctx, v)
	}
	return s.storeFailure(ctx, v, ev)
}

// storeFailure stores the events of a failed attempt. For one that was only counted it writes
// something else: otherwise the time of an answer would tell names that nobody has, of which a
// caller has failed with too many, from accounts.
func (s *Server) storeFailure(ctx context.Context, v Visit, ev ...audit.Event) error {
	if len(ev) > 0 || s.exempt(v.IP) {
		return s.store.Record(ctx, ev...)
	}
	_, err := s.store.RecordFailure(ctx, Failure{
		Key:       UnknownPrefix + string(s.keys.Hash("counted:" + v.failureKey().Address))[:16],
		Now:       v.Now,
		Threshold: math.MaxInt32, // nothing is locked by it
		Duration:  time.Minute,
		Window:    time.Minute,
	})
	return err
}

// RecordFailures stores audit events of the failed attempts that were counted since the last call.
// If storage fails, the next call tries again.
func (s *Server) RecordFailures(ctx context.Context, now time.Time) error {
	for _, c := range []struct {
		counter *audit.FailureCounter
		typ     audit.Type
	}{
		{s.accountFailures, audit.LoginFailed},
		{s.unknownFailures, audit.LoginFailed},
		{s.linkFailures, audit.PasswordResetFailed},
	} {
		counts := c.counter.Take()
		evs := counts.Events(now, func(key audit.FailureKey, ev *audit.Event) {
			ev.Type, ev.User = c.typ, key.Subject
		})
		if len(evs) == 0 {
			continue
		}
		if err := s.store.Record(ctx, evs...); err != nil {
			c.counter.Restore(counts)
			return err
		}
	}
	return nil
}
