package admin

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
)

// Sessions returns a page of the browsers that are signed in and that a selection selects, newest
// first. User is an id, email address or username, or "" for all.
func (o *Operations) Sessions(
	ctx context.Context, a Actor, user string, sel SessionSelection, p Page,
) (*List[identity.Session], error) {
	if err := o.authorize(a, ScopeSessionsRead); err != nil {
		return nil, err
	}
	q := SessionQuery{Now: o.parts.Now()}
	if user != "" {
		u, err := o.user(ctx, user)
		if err != nil {
			return nil, err
		}
		q.User = u.ID
	}
	some, err := o.selectSessions(ctx, &q, sel)
	if err != nil {
		return nil, err
	}
	if !some {
		return &List[identity.Session]{Order: OrderCreated}, nil
	}
	filter := struct {
		User identity.UserID
		Sel  SessionSelection
	}{q.User, sel}
	return listQuery(o, "sessions", filter, p, func(p Page, after *Position) (Rows[identity.Session], error) {
		q.Page = p
		return o.store.ListSessions(ctx, q, after)
	})
}

// Session returns a session that is active.
func (o *Operations) Session(ctx context.Context, a Actor, id identity.SessionID) (*identity.Session, error) {
	if err := o.authorize(a, ScopeSessionsRead); err != nil {
		return nil, err
	}
	return o.session(ctx, id, o.parts.Now())
}

func (o *Operations) session(ctx context.Context, id identity.SessionID, now time.Time) (*identity.Session, error) {
	s, err := o.store.Session(ctx, id, now)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.NotFound, "there is no session %q", id)
	}
	return s, err
}

// RevokeSession ends one session.
func (o *Operations) RevokeSession(ctx context.Context, a Actor, id identity.SessionID) (*identity.Session, error) {
	if err := o.authorize(a, ScopeSessionsWrite); err != nil {
		return nil, err
	}
	now := o.parts.Now()
	s, err := o.session(ctx, id, now)
	if err != nil {
		return nil, err
	}
	ev := a.event(audit.SessionRevoked, now)
	ev.User, ev.Session = string(s.User), string(s.ID)
	ev.Guard = o.covers(a, ScopeSessionsWrite, sessionOf(s.ID))
	return s, o.store.EndSession(ctx, s.ID, now, o.cfg.RevokeTokens, ev)
}

// EndedAccess is a user whose sessions were ended.
type EndedAccess struct {
	User     *identity.User
	Sessions int // how many there were
}

// RevokeUserSessions ends all browser sessions of a user.
func (o *Operations) RevokeUserSessions(ctx context.Context, a Actor, user string) (*EndedAccess, error) {
	return o.revokeAll(ctx, a, user, "all_sessions", func(u *identity.User, ev audit.Event) error {
		return o.store.EndOtherSessions(ctx, u.ID, "", ev.At, o.cfg.RevokeTokens, ev)
	})
}

// RevokeUserAccess ends all sessions of a user and all that applications and devices hold in
// their name, offline access included.
func (o *Operations) RevokeUserAccess(ctx context.Context, a Actor, user string) (*EndedAccess, error) {
	return o.revokeAll(ctx, a, user, "all_sessions_and_grants", func(u *identity.User, ev audit.Event) error {
		return o.store.EndUserAccess(ctx, u.ID, ev.At, "", ev)
	})
}

// SessionSelection selects sessions of all users. The zero value selects every session.
type SessionSelection struct {
	OlderThan time.Duration // only those that began longer ago; 0: any
	Network   netip.Prefix  // only those last seen at an address in it; zero: any
}

// maxSessionAddresses bounds how many addresses of a network a selection may have.
const maxSessionAddresses = 10_000

// selectSessions adds the conditions of a selection to a query. It reports false if no session can
// match.
func (o *Operations) selectSessions(
	ctx context.Context, q *SessionQuery, sel SessionSelection,
) (bool, error) {
	if sel.OlderThan > 0 {
		q.Before = q.Now.Add(-sel.OlderThan)
	}
	if !sel.Network.IsValid() {
		return true, nil
	}
	// Addresses are stored as text, which no database compares with a network.
	from, until := addressRange(sel.Network)
	all, err := o.store.SessionAddresses(ctx, from, until, maxSessionAddresses+1)
	if err != nil {
		return false, err
	}
	for _, address := range all {
		if ip, err := netip.ParseAddr(address); err == nil && sel.Network.Contains(netaddr.Canonical(ip)) {
			q.IPs = append(q.IPs, address)
		}
	}
	if len(all) > maxSessionAddresses {
		return false, fault.New(fault.Invalid,
			"sessions were seen at more than %d addresses in %s; name a smaller network", maxSessionAddresses, sel.Network)
	}
	return len(q.IPs) > 0, nil
}

// addressRange returns texts between which the addresses of a network are: what all of them begin
// with, as far as whole parts go.
func addressRange(n netip.Prefix) (from, until string) {
	begin := ""
	parts, mark, bits := strings.Split(n.Masked().Addr().String(), ":"), ":", 16
	if n.Addr().Is4() {
		parts, mark, bits = strings.Split(n.Masked().Addr().String(), "."), ".", 8
	}
	for i, part := range parts {
		if (i+1)*bits > n.Bits() || part == "" || part == "0" && mark == ":" {
			break // a run of zeros may be written in several ways
		}
		begin += part
		if i+1 < len(parts) {
			begin += mark
		}
	}
	return begin, begin + "\U0010FFFF"
}

// RevokeSessions ends all browser sessions that a selection selects, of whichever user, and returns
// how many. Each is recorded for its user. The sessions of people who have more than the actor
// stay.
func (o *Operations) RevokeSessions(ctx context.Context, a Actor, sel SessionSelection) (int, error) {
	if err := o.authorize(a, ScopeSessionsWrite); err != nil {
		return 0, err
	}
	q := SessionQuery{Now: o.parts.Now(), Page: Page{Limit: MaxPage}, ExceptRoles: o.strongerRoles(a)}
	if some, err := o.selectSessions(ctx, &q, sel); err != nil || !some {
		return 0, err
	}
	detail := "every_session"
	switch {
	case sel.Network.IsValid():
		detail = "sessions_of_address"
	case sel.OlderThan > 0:
		detail = "older_sessions"
	}
	guard := o.covers(a, ScopeSessionsWrite, rolesBut(q.ExceptRoles))
	for total := 0; ; {
		n, err := o.store.EndSessions(ctx, q, o.cfg.RevokeTokens, guard, func(s *identity.Session) audit.Event {
			ev := a.event(audit.SessionRevoked, q.Now)
			ev.User, ev.Session = string(s.User), string(s.ID)
			ev.Detail = map[string]string{"scope": detail}
			return ev
		})
		total += n
		if err != nil || n < q.Page.Limit {
			return total, err
		}
	}
}

func (o *Operations) revokeAll(ctx context.Context, a Actor, user, scope string,
	end func(*identity.User, audit.Event) error,
) (*EndedAccess, error) {
	if err := o.authorize(a, ScopeSessionsWrite); err != nil {
		return nil, err
	}
	u, err := o.user(ctx, user)
	if err != nil {
		return nil, err
	}
	before, err := o.store.UserSessions(ctx, u.ID, o.parts.Now())
	if err != nil {
		return nil, err
	}
	ev := a.event(audit.SessionRevoked, o.parts.Now())
	ev.User = string(u.ID)
	ev.Detail = map[string]string{"scope": scope}
	ev.Guard = o.covers(a, ScopeSessionsWrite, account(u.ID))
	if a.User == u.ID { // ending one's own sessions gives nothing
		ev.Guard = o.covers(a, ScopeSessionsWrite)
	}
	return &EndedAccess{u, len(before)}, end(u, ev)
}
