package gateway

import (
	"context"
	"log/slog"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/client"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
)

// How exactly a call that goes on is followed. Memory is asked at every look; these are what only storage knows.
const (
	stayAccount = 30 * time.Second // roles that are taken away, and sessions that nobody uses any more
	stayWithin  = 2 * time.Second  // what one look waits for storage
)

// stay is a call that goes on: a WebSocket, an event stream, a long download. It was decided when it began, and is again every half
// second, by what a new request of the same caller would be asked, but for what can only be shown once: a proof of possession.
// Storage that does not answer ends no call.
type stay struct {
	g      *Gateway
	a      *asked // the handler reads it at the same time: it is not written to
	creds  credentials
	target access.Target
	path   string // of target, clean
	table  *table // that entry is of
	entry  *entry
	caller access.Caller
	client *client.Client
	app    *access.Caller // as the token handler gave it
	read   time.Time      // when storage was
}

// still asks whether a call may go on. Nobody asks twice at once.
func (g *Gateway) still(a *asked) error {
	if a.stay == nil { // most calls are over before they are asked about
		a.stay = g.newStay(a)
	}
	denial := a.stay.judge(g.Kit.Now())
	if denial == nil {
		return nil
	}
	a.stay.tell(denial)
	return denial
}

func (g *Gateway) newStay(a *asked) *stay {
	s := &stay{g: g, a: a, target: a.target, entry: a.entry, caller: a.caller.caller, client: a.caller.client, read: a.target.Now}
	s.path, _ = access.Clean(a.raw)          // it was clean a moment ago
	s.creds, _ = readCredentials(a.r.Header) // and these were in order
	return s
}

// judge gives the first reason against going on.
func (s *stay) judge(now time.Time) *access.Denial {
	s.target.Now = now
	for _, ask := range [...]func(*stay, time.Time) *access.Denial{(*stay).askRoute, (*stay).askCredential, (*stay).askClient, (*stay).askStorage} {
		if denial := ask(s, now); denial != nil {
			return denial
		}
	}
	return s.entry.Decide(&s.target, &s.caller)
}

// askRoute looks the route up again. Another route in its place has other upstreams, so this call is none of its own; the same one
// may have other rules.
func (s *stay) askRoute(time.Time) *access.Denial {
	tab := s.g.table.Load()
	if tab == s.table {
		return nil
	}
	compiled, _, ok := tab.routes.Match(s.target.Host, s.path)
	if !ok || compiled.Route().ID != s.entry.Route().ID {
		return noRoute()
	}
	s.table, s.entry = tab, tab.entries[compiled]
	return nil
}

// askCredential asks whether the token or the session has expired or been revoked.
func (s *stay) askCredential(now time.Time) *access.Denial {
	switch token := s.a.caller.token; {
	case s.caller.By == access.ByApp:
		return s.askApp()
	case token != nil && s.g.Tokens.Active(token, now):
		return nil
	case token == nil && (s.caller.Expires.IsZero() || s.caller.Expires.After(now)): // another issuer's, or nothing that expires
		return nil
	case s.caller.By == access.BySession:
		return badToken("The session has ended.")
	case !s.caller.Expires.After(now):
		return badToken("The access token has expired.")
	}
	return badToken("The access token has been revoked.")
}

// askApp asks the token handler, which gets new tokens for the session when the old ones run out.
func (s *stay) askApp() *access.Denial {
	ctx, cancel := context.WithTimeout(context.Background(), stayWithin) // not the request's, whose record has the time of its beginning
	defer cancel()
	who, err := s.g.Apps.Still(ctx, s.a.r)
	switch {
	case err != nil: // what is remembered of the session does not do any more
		return unjudged(err)
	case who == nil:
		return badToken("The session has ended.")
	case who != s.app:
		name, roles := s.caller.UserName, s.caller.UserRoles // of the account
		s.app, s.caller = who, *who
		s.caller.UserName, s.caller.UserRoles = name, roles
	}
	return nil
}

// askClient takes the client as it is registered now. Its secret is compared again: it may have been changed.
func (s *stay) askClient(now time.Time) *access.Denial {
	if s.client == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), stayWithin)
	defer cancel()
	var cl *client.Client
	var err error
	if s.creds.basic {
		cl, err = s.g.Clients.ProveSecret(ctx, s.creds.client, s.creds.secret, now)
	} else {
		cl, err = s.g.Clients.LookupClient(ctx, s.client.ID)
	}
	switch {
	case fault.Is(err, fault.Denied):
		return badClient("The client's credentials are not good any more: " + denialDetail(err) + ".")
	case err == nil && cl != s.client:
		k := &known{caller: s.caller}
		s.g.restrict(k, cl)
		s.caller, s.client = k.caller, cl
	}
	return nil
}

// askStorage reads the account and the session anew when that is due.
func (s *stay) askStorage(now time.Time) *access.Denial {
	session := s.caller.By == access.BySession && s.g.Sessions != nil
	due := stayAccount
	if session && !s.g.SessionsRevoke {
		due = sessionLife
	}
	if s.caller.User == "" || s.caller.By == access.ByForeign || now.Sub(s.read) < due {
		return nil
	}
	s.read = now
	ctx, cancel := context.WithTimeout(context.Background(), stayWithin)
	defer cancel()
	if session {
		_, err := s.g.Sessions.Session(ctx, identity.SessionID(s.caller.Session), now)
		if fault.Is(err, fault.NotFound) {
			return badToken("The session has ended.")
		}
	}
	u, err := s.g.Users.User(ctx, identity.UserID(s.caller.User))
	switch {
	case fault.Is(err, fault.NotFound) || err == nil && u.Disabled:
		return badToken("The person's account is disabled or has been deleted.")
	case err == nil:
		s.caller.UserName, s.caller.UserRoles = u.Label(), u.Roles
	}
	return nil
}

// tell writes down why a call was ended: nobody can be answered any more in most of them.
func (s *stay) tell(denial *access.Denial) {
	a := s.a
	s.g.Kit.Log.LogAttrs(context.Background(), slog.LevelInfo, "a call under way was ended", slog.String("id", a.ev.ID),
		slog.String("route", s.entry.Route().Name), slog.String("client", s.caller.Client), slog.String("user", s.caller.User),
		slog.Duration("after", s.target.Now.Sub(a.target.Now)), slog.String("rule", denial.Rule), slog.String("reason", denial.Reason))
	kept := recordOf(a, denial)
	kept.At = s.target.Now
	s.g.denials.put(kept, s.target.Now)
}
