package account

import (
	"context"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
)

// Access is where the caller is signed in, and which apps and devices act for them.
type Access struct {
	Sessions []Session
	Grants   []Grant
}

// Session is one signed-in browser.
type Session struct {
	identity.Session
	Current  bool // the one that the caller uses
	Inactive bool // not used for InactiveAfter
}

// Grant is the access of one app or device.
type Grant struct {
	oauth.Grant
	Inactive bool // not used for InactiveAfter
}

// Inactive returns how many sessions and grants EndInactive would end.
func (a Access) Inactive() int {
	n := 0
	for _, s := range a.Sessions {
		if s.Inactive {
			n++
		}
	}
	for _, g := range a.Grants {
		if g.Inactive {
			n++
		}
	}
	return n
}

// Access returns the caller's sessions, and the access of apps and devices.
func (s *Server) Access(ctx context.Context, c Caller) (Access, error) {
	var out Access
	sessions, err := s.store.UserSessions(ctx, c.User.ID, c.Now)
	if err != nil {
		return out, err
	}
	for _, x := range sessions {
		unused := c.Now.Sub(x.LastSeenAt)
		out.Sessions = append(out.Sessions, Session{
			Session:  x,
			Current:  x.ID == c.Session,
			Inactive: unused > InactiveAfter,
		})
	}
	grants, err := s.store.UserGrants(ctx, c.User.ID, c.Now)
	for _, g := range grants {
		unused := c.Now.Sub(g.LastUsedAt)
		out.Grants = append(out.Grants, Grant{Grant: g, Inactive: unused > InactiveAfter})
	}
	return out, err
}

// EndSession signs a browser of the caller out. It reports whether that was the browser that the
// caller uses. A session that has ended already is not an error.
func (s *Server) EndSession(
	ctx context.Context, c Caller, id identity.SessionID,
) (current bool, err error) {
	if err := c.own(); err != nil {
		return false, err
	}
	ev := c.event(audit.SessionRevoked)
	ev.Session = string(id)
	err = s.store.EndUserSession(ctx, c.User.ID, id, c.Now, s.cfg.RevokeTokens, ev)
	return err == nil && id == c.Session, ignoreNotFound(err)
}

// EndGrant ends the access of one app or device. Access that has ended already is not an error.
func (s *Server) EndGrant(ctx context.Context, c Caller, id oauth.GrantID) error {
	if err := c.own(); err != nil {
		return err
	}
	ev := c.event(audit.GrantRevoked)
	ev.Grant = string(id)
	return ignoreNotFound(s.store.EndUserGrant(ctx, c.User.ID, id, c.Now, ev))
}

// SignOutEverywhere ends all sessions of the caller but the present one, and the access of all apps
// and devices. No other browser skips the second step any more.
func (s *Server) SignOutEverywhere(ctx context.Context, c Caller) error {
	if err := c.own(); err != nil {
		return err
	}
	ev := c.event(audit.SessionRevoked)
	ev.Detail = map[string]string{"which": "all_but_this"}
	if err := s.login.DistrustOthers(ctx, c.Visit, c.User); err != nil {
		return err
	}
	return s.store.EndUserAccess(ctx, c.User.ID, c.Now, c.Session, ev)
}

// EndInactive ends the sessions and the access that were not used for InactiveAfter, and returns
// how many of them the caller could see: what had expired is not counted.
func (s *Server) EndInactive(ctx context.Context, c Caller) (int, error) {
	if err := c.own(); err != nil {
		return 0, err
	}
	access, err := s.Access(ctx, c)
	if err != nil {
		return 0, err
	}
	ev := c.event(audit.SessionRevoked)
	ev.Detail = map[string]string{"which": "inactive"}
	_, err = s.store.EndInactiveSessions(ctx, c.User.ID, c.Now.Add(-InactiveAfter), c.Now, ev)
	return access.Inactive(), err
}

// Apps returns what the caller has allowed which apps.
func (s *Server) Apps(ctx context.Context, c Caller) ([]oauth.Consent, error) {
	return s.store.UserConsents(ctx, c.User.ID)
}

// DisconnectApp deletes what the caller allowed an app, and ends its access. An app that is not
// connected is not an error.
func (s *Server) DisconnectApp(ctx context.Context, c Caller, id client.ID) error {
	if err := c.own(); err != nil {
		return err
	}
	ev := c.event(audit.GrantRevoked)
	ev.Client, ev.Detail = string(id), map[string]string{"which": "all_of_client"}
	return ignoreNotFound(s.store.DeleteConsent(ctx, c.User.ID, id, c.Now, ev))
}

func ignoreNotFound(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}
