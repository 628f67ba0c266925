package cli

import (
	"context"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// sessionCommands show who is signed in, and end sessions.
type sessionCommands struct {
	List   sessionList   `cmd:"" help:"List the browsers that are signed in."`
	Revoke sessionRevoke `cmd:"" help:"End a session, or all that a user has open."`
}

// sessionView is a session as the command line shows it.
type sessionView struct {
	ID         identity.SessionID `json:"id"`
	User       identity.UserID    `json:"user_id"`
	AuthTime   when               `json:"auth_time"`
	AMR        []string           `json:"amr"`
	ACR        string             `json:"acr"`
	CreatedAt  when               `json:"created_at"`
	LastSeenAt when               `json:"last_seen_at"`
	ExpiresAt  when               `json:"expires_at"`
	IP         string             `json:"ip"`
	Agent      string             `json:"user_agent"`
}

func viewSession(s *identity.Session) sessionView {
	return sessionView{
		s.ID, s.User, when{s.AuthTime}, words(s.AMR), s.ACR, when{s.CreatedAt}, when{s.LastSeenAt}, when{s.ExpiresAt}, s.IP, s.Agent,
	}
}

// sessionList lists sessions.
type sessionList struct {
	User string `placeholder:"USER" help:"Only this user's: an id, email address or user name."`
	pageFlags
}

// Run prints a page of sessions, the newest first.
func (f *sessionList) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	return c.with(ctx, func(p *Parts) error {
		q := store.SessionQuery{Now: c.Now(), Limit: f.Limit, Offset: f.Offset}
		if f.User != "" {
			u, err := findUser(ctx, p, f.User)
			if err != nil {
				return err
			}
			q.User = u.ID
		}
		sessions, total, err := p.DB.ListSessions(ctx, q)
		if err != nil {
			return err
		}
		views := make([]sessionView, 0, len(sessions))
		for i := range sessions {
			views = append(views, viewSession(&sessions[i]))
		}
		return showList(c, views, total, func(s *sheet) {
			s.row("ID", "USER", "SIGNED IN", "LAST SEEN", "BY", "ADDRESS", "AGENT")
			for _, v := range views {
				s.row(string(v.ID), string(v.User), v.CreatedAt.String(), v.LastSeenAt.String(), strings.Join(v.AMR, " "), v.IP, v.Agent)
			}
			s.more(len(views), f.Offset, total)
		})
	})
}

// sessionRevoke ends sessions.
type sessionRevoke struct {
	ID        string `arg:"" optional:"" name:"id" help:"The session to end."`
	User      string `placeholder:"USER" help:"End all browser sessions of this user."`
	AllOfUser string `placeholder:"USER" help:"End all sessions of this user, and all that applications and devices hold in their name, offline access included."`
}

// Run ends what was named.
func (f *sessionRevoke) Run(ctx context.Context, c *call) error {
	given := 0
	for _, s := range []string{f.ID, f.User, f.AllOfUser} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return wrong("name one session by its id, or a user with --user or --all-of-user")
	}
	return c.with(ctx, func(p *Parts) error {
		if f.ID != "" {
			return f.one(ctx, c, p)
		}
		return f.all(ctx, c, p)
	})
}

func (f *sessionRevoke) one(ctx context.Context, c *call, p *Parts) error {
	now := c.Now()
	s, err := p.DB.Session(ctx, identity.SessionID(f.ID), now)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "there is no session %q; see %s session list", f.ID, program)
	}
	if err != nil {
		return err
	}
	ev := c.event(audit.SessionRevoked, now)
	ev.User, ev.Session = string(s.User), string(s.ID)
	if err := p.DB.EndSession(ctx, s.ID, now, p.Config.Sessions.RevokeTokens, ev); err != nil {
		return err
	}
	return c.done(map[string]string{"id": string(s.ID), "user_id": string(s.User), "result": "ended"}, "Session %s is ended.", s.ID)
}

func (f *sessionRevoke) all(ctx context.Context, c *call, p *Parts) error {
	now := c.Now()
	u, err := findUser(ctx, p, f.User+f.AllOfUser)
	if err != nil {
		return err
	}
	ev := c.event(audit.SessionRevoked, now)
	ev.User = string(u.ID)
	answer := map[string]string{"user_id": string(u.ID), "result": "ended"}
	if f.AllOfUser != "" {
		ev.Detail = map[string]string{"scope": "all_sessions_and_grants"}
		if err := p.DB.EndUserAccess(ctx, u.ID, now, "", ev); err != nil {
			return err
		}
		return c.done(answer, "All sessions of %s are ended, and every token is revoked.", u.LoginName())
	}
	ev.Detail = map[string]string{"scope": "all_sessions"}
	if err := p.DB.EndOtherSessions(ctx, u.ID, "", now, p.Config.Sessions.RevokeTokens, ev); err != nil {
		return err
	}
	return c.done(answer, "All browser sessions of %s are ended.", u.LoginName())
}
