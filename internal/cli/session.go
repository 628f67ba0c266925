package cli

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
)

// sessionCommands show who is signed in, and end sessions.
type sessionCommands struct {
	List   sessionList   `cmd:"" aliases:"ls" help:"List the browsers that are signed in."`
	Show   sessionShow   `cmd:"" help:"Show one session."`
	Revoke sessionRevoke `cmd:"" help:"End a session, or all sessions of a user."`

	Metrics sessionMetrics `cmd:"" help:"Count the sessions."`
}

// sessionView is a session as the command line shows it.
type sessionView struct {
	ID         identity.SessionID `json:"id"`
	User       identity.UserID    `json:"user_id"`
	Name       string             `json:"user_name,omitempty"` // what the user signs in with, where it is known
	AuthTime   timestamp          `json:"auth_time"`
	AMR        []string           `json:"amr"`
	ACR        string             `json:"acr"`
	CreatedAt  timestamp          `json:"created_at"`
	LastSeenAt timestamp          `json:"last_seen_at"`
	ExpiresAt  timestamp          `json:"expires_at"`
	IP         string             `json:"ip"`
	Agent      string             `json:"user_agent"`
	// Who acts as the user. The user has not signed in then.
	Impersonator     string `json:"impersonator,omitempty"`
	ImpersonatorName string `json:"impersonator_name,omitempty"`
}

// by returns how a session began: the methods of the sign-in, or who acts as the user.
func (v *sessionView) by() string {
	if v.Impersonator != "" {
		return "impersonated by " + cmp.Or(v.ImpersonatorName, v.Impersonator)
	}
	return strings.Join(v.AMR, " ")
}

// named returns the session with the names of its user and of who acts as the user.
func (v sessionView) named(names map[identity.UserID]string) sessionView {
	v.Name, v.ImpersonatorName = names[v.User], names[identity.UserID(v.Impersonator)]
	return v
}

func viewSession(s *identity.Session) sessionView {
	return sessionView{
		ID:         s.ID,
		User:       s.User,
		AuthTime:   timestamp{s.AuthTime},
		AMR:        orEmpty(s.AMR),
		ACR:        s.ACR,
		CreatedAt:  timestamp{s.CreatedAt},
		LastSeenAt: timestamp{s.LastSeenAt},
		ExpiresAt:  timestamp{s.ExpiresAt},
		IP:         s.IP,
		Agent:      s.Agent,

		Impersonator: s.Impersonator.ID,
	}
}

// sessionUsers returns what the users of sessions, and those who act as them, sign in with, for
// whoever may read users.
func sessionUsers(ctx context.Context, ops operations, a admin.Actor, all []identity.Session) (
	map[identity.UserID]string, error,
) {
	var ids []identity.UserID
	for i := range all {
		ids = append(ids, all[i].User)
		if by := all[i].Impersonator.ID; by != "" { // names only those of people
			ids = append(ids, identity.UserID(by))
		}
	}
	names, err := ops.UserNames(ctx, a, ids)
	if fault.Reason(err) == admin.ReasonInsufficientScope {
		return nil, nil
	}
	return names, err
}

// sessionList lists sessions.
type sessionList struct {
	User string `placeholder:"USER" help:"Only this user's: an id, email address or username."`

	OlderThan duration `placeholder:"DURATION" help:"Only sessions that began longer ago, such as 30d."`
	IP        string   `name:"ip" placeholder:"ADDRESS" help:"Only sessions last seen at this IP address, or in this network, such as 192.0.2.0/24."`
	listFlags
}

// Run prints a page of sessions, newest first.
func (f *sessionList) Run(ctx context.Context, c *call) error {
	if err := f.check(); err != nil {
		return err
	}
	sel, err := selection(f.OlderThan, f.IP)
	if err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		page, err := ops.Sessions(ctx, a, f.User, sel, f.page())
		if err != nil {
			return explainQuery(noUser(err))
		}
		sessions := page.Items
		names, err := sessionUsers(ctx, ops, a, sessions)
		if err != nil {
			return err
		}
		views := make([]sessionView, 0, len(sessions))
		for i := range sessions {
			views = append(views, viewSession(&sessions[i]).named(names))
		}
		return showPage(c, f.listFlags, page, views, func(s *table) {
			s.row("ID", "USER", "SIGNED IN", "LAST SEEN", "BY", "ADDRESS", "DEVICE")
			for _, v := range views {
				s.row(string(v.ID), cmp.Or(v.Name, string(v.User)), s.when(v.CreatedAt.Time), s.when(v.LastSeenAt.Time),
					v.by(), v.IP, visitor.Describe(v.Agent).Words)
			}
		})
	})
}

// sessionShow shows one session.
type sessionShow struct {
	ID string `arg:"" help:"The session's id, as session list shows it."`
}

// Run prints the session.
func (f *sessionShow) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		x, err := ops.Session(ctx, a, identity.SessionID(f.ID))
		if err != nil {
			return withHint(err, fault.NotFound, "see %s session list", program)
		}
		names, err := sessionUsers(ctx, ops, a, []identity.Session{*x})
		if err != nil {
			return err
		}
		v := viewSession(x).named(names)
		return c.show(v, func(s *table) {
			s.pair("id", string(v.ID))
			s.pair("user", cmp.Or(v.Name, string(v.User)))
			s.pair("signed_in_at", v.CreatedAt.String())
			s.pair("proved_at", v.AuthTime.String())
			s.pair("by", v.by())
			s.pair("acr", v.ACR)
			s.pair("last_seen_at", v.LastSeenAt.String())
			s.pair("expires_at", v.ExpiresAt.String())
			s.pair("address", v.IP)
			s.pair("device", visitor.Describe(v.Agent).Words)
		})
	})
}

// sessionRevoke ends sessions.
type sessionRevoke struct {
	ID        string `arg:"" optional:"" name:"id" help:"The session to end."`
	User      string `placeholder:"USER" help:"End all browser sessions of this user."`
	AllOfUser string `placeholder:"USER" help:"End all sessions of this user, and revoke all their grants and tokens."`

	All       bool     `help:"End the browser sessions of everybody."`
	OlderThan duration `placeholder:"DURATION" help:"End the browser sessions that began longer ago, such as 30d."`
	IP        string   `name:"ip" placeholder:"ADDRESS" help:"End the browser sessions last seen at this IP address, or in this network."`
}

// Run ends what the command line names.
func (f *sessionRevoke) Run(ctx context.Context, c *call) error {
	given := 0
	for _, s := range []string{f.ID, f.User, f.AllOfUser} {
		if s != "" {
			given++
		}
	}
	selects := f.OlderThan > 0 || f.IP != ""
	for _, chosen := range []bool{f.All, selects} {
		if chosen {
			given++
		}
	}
	if given != 1 {
		return wrong("name one session by its id, or a user with --user or --all-of-user, or sessions of all " +
			"users with --older-than, --ip or --all")
	}
	if f.All || selects {
		return f.revokeSelected(ctx, c)
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		if f.ID != "" {
			return f.revokeOne(ctx, c, ops, a)
		}
		return f.revokeAll(ctx, c, ops, a)
	})
}

// revokeSelected ends sessions of whichever users.
func (f *sessionRevoke) revokeSelected(ctx context.Context, c *call) error {
	sel, err := selection(f.OlderThan, f.IP)
	if err != nil {
		return err
	}
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		n, err := ops.RevokeSessions(ctx, a, sel)
		if err != nil {
			return err
		}
		return c.done(object{{"result", "ended"}, {"sessions", n}}, "Sessions ended: %d.", n)
	})
}

// selection returns what --older-than and --ip select.
func selection(olderThan duration, ip string) (admin.SessionSelection, error) {
	sel := admin.SessionSelection{OlderThan: time.Duration(olderThan)}
	if ip == "" {
		return sel, nil
	}
	var err error
	if sel.Network, err = netaddr.ParsePrefix(ip); err != nil {
		return sel, wrong("--ip: %q %v", ip, err)
	}
	return sel, nil
}

func (f *sessionRevoke) revokeOne(ctx context.Context, c *call, ops operations, a admin.Actor) error {
	s, err := ops.RevokeSession(ctx, a, identity.SessionID(f.ID))
	if err != nil {
		return withHint(err, fault.NotFound, "see %s session list", program)
	}
	doc := map[string]string{"id": string(s.ID), "user_id": string(s.User), "result": "ended"}
	return c.done(doc, "Session %s is ended.", s.ID)
}

func (f *sessionRevoke) revokeAll(ctx context.Context, c *call, ops operations, a admin.Actor) error {
	end, text := ops.RevokeUserSessions, "All browser sessions of %s are ended."
	if f.AllOfUser != "" {
		end, text = ops.RevokeUserAccess, "All sessions of %s are ended, and every token is revoked."
	}
	ended, err := end(ctx, a, f.User+f.AllOfUser)
	if err != nil {
		return noUser(err)
	}
	u := ended.User
	return c.done(map[string]string{"user_id": string(u.ID), "result": "ended"}, text, u.LoginName())
}

// sessionMetrics counts sessions.
type sessionMetrics struct{}

// sessionCounts are numbers of sessions as the command line shows them.
type sessionCounts struct {
	Active int `json:"active"`
	Today  int `json:"today"`
	Users  int `json:"users"`
}

// Run prints the numbers.
func (*sessionMetrics) Run(ctx context.Context, c *call) error {
	return c.manage(ctx, func(ops operations, a admin.Actor) error {
		m, err := ops.SessionMetrics(ctx, a, true)
		if err != nil {
			return err
		}
		return c.show(sessionCounts{m.Active, m.Today, m.Users}, func(s *table) {
			s.pair("active", strconv.Itoa(m.Active))
			s.pair("began_today", strconv.Itoa(m.Today))
			s.pair("users", strconv.Itoa(m.Users))
		})
	})
}
