package account

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

// SignIn is one attempt to sign in to an account.
type SignIn struct {
	ID         string
	Session    identity.SessionID // that it opened, or ""
	At         time.Time
	Failed     bool
	Reason     string   // of a failure: one of the audit reasons
	Times      string   // of failures that were counted together: how many, or ""
	Methods    []string // how the person proved who they are (RFC 8176)
	StepUp     bool     // a signed-in person proved more
	Client     client.ID
	IP, Agent  string
	Place      visitor.Place
	NewDevice  bool
	NewCountry bool

	Impersonated bool   // somebody else began to act as the person
	Why          string // their reason
}

// SignInsPage is how many attempts a page of the history has.
const SignInsPage = 25

// SignIns returns a page of the caller's sign-ins, newest first: those before the one with an ID,
// or the newest if it is "". next is the ID to continue with, or "" at the end.
func (s *Server) SignIns(ctx context.Context, c Caller, before string) (page []SignIn, next string, err error) {
	events, err := s.history(ctx, c, before, SignInsPage+1)
	if err != nil {
		return nil, "", err
	}
	if len(events) > SignInsPage {
		events = events[:SignInsPage]
		next = events[SignInsPage-1].ID
	}
	for i := range events {
		page = append(page, s.signIn(&events[i]))
	}
	return page, next, nil
}

// history returns up to limit events of sign-ins, and of others who began to act as the caller,
// newest first.
func (s *Server) history(ctx context.Context, c Caller, before string, limit int) ([]audit.Event, error) {
	events, err := s.store.SignIns(ctx, c.User.ID, before, limit)
	if err != nil {
		return nil, err
	}
	acted, err := s.store.ActedAs(ctx, c.User.ID, before, limit)
	if err != nil || len(acted) == 0 {
		return events, err
	}
	events = append(events, acted...)
	slices.SortFunc(events, func(a, b audit.Event) int { return strings.Compare(b.ID, a.ID) })
	return events[:min(len(events), limit)], nil
}

func (s *Server) signIn(e *audit.Event) SignIn {
	if e.Type == audit.ImpersonationStarted { // where from is the other's business
		return SignIn{ID: e.ID, At: e.At, Impersonated: true, Why: e.Detail["reason"]}
	}
	out := SignIn{
		ID:         e.ID,
		Session:    identity.SessionID(e.Session),
		At:         e.At,
		Failed:     e.Type == audit.LoginFailed,
		Reason:     e.Reason,
		Times:      e.Detail["count"],
		Methods:    strings.Fields(e.Detail["amr"]),
		StepUp:     e.Detail["step_up"] != "",
		Client:     client.ID(e.Client),
		IP:         e.IP,
		Agent:      e.Agent,
		NewDevice:  e.Detail["device"] == "new",
		NewCountry: e.Detail["country"] == "new",
	}
	out.Place = s.Place(e.IP)
	return out
}

// recentSignIns is how many attempts are searched for those that opened sessions.
const recentSignIns = 200

// Unfamiliar returns, by session, the recent sign-ins of the caller that came from a browser or a
// country that the account did not know then.
func (s *Server) Unfamiliar(ctx context.Context, c Caller) (map[identity.SessionID]SignIn, error) {
	events, err := s.store.SignIns(ctx, c.User.ID, "", recentSignIns)
	if err != nil {
		return nil, err
	}
	out := map[identity.SessionID]SignIn{}
	for i := range events {
		x := s.signIn(&events[i])
		if !x.Failed && x.Session != "" && (x.NewDevice || x.NewCountry) {
			out[x.Session] = x
		}
	}
	return out, nil
}

// Place returns the place of an address, as far as it is known.
func (s *Server) Place(ip string) visitor.Place {
	if s.cfg.Places == nil || ip == "" {
		return visitor.Place{}
	}
	return s.cfg.Places.Find(ip)
}

// MailFailure is the rejection of mail to the caller's address.
type MailFailure struct {
	At     time.Time // zero: mail arrives, as far as we know
	Answer string    // what the mail server said
}

// MailFailure returns whether mail to the caller's address was rejected for good.
func (s *Server) MailFailure(ctx context.Context, c Caller) (MailFailure, error) {
	at, answer, err := s.store.MailFailure(ctx, c.User)
	return MailFailure{at, answer}, err
}
