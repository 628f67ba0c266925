package api

import (
	"context"
	"net/netip"
	"strings"

	"github.com/oapi-codegen/nullable"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/field"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/netaddr"
	"github.com/gatehouse-id/gatehouse/internal/visitor"
	"github.com/gatehouse-id/gatehouse/internal/web/api/gen"
	"github.com/gatehouse-id/gatehouse/management"
)

// selection reads which sessions a request is about.
func selection(olderThan, ip *string) (admin.SessionSelection, error) {
	var out admin.SessionSelection
	if olderThan != nil {
		d, err := field.ParseDuration(*olderThan)
		if err != nil || d <= 0 {
			return out, wrong("older_than", "This is not a time such as 30d or 12h.")
		}
		out.OlderThan = d
	}
	if ip != nil {
		var err error
		if out.Network, err = network(*ip); err != nil {
			return out, wrong("ip", "This is not an IP address or a network.")
		}
	}
	return out, nil
}

// network reads an address or a network.
func network(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = netaddr.Canonical(a)
	return a.Prefix(a.BitLen())
}

// sessionPage answers a page of sessions.
func (s handlers) sessionPage(
	ctx context.Context, user string, sel admin.SessionSelection, p admin.Page,
) (management.SessionList, error) {
	found, err := s.Operations.Sessions(ctx, actorOf(ctx), user, sel, p)
	if err != nil {
		return management.SessionList{}, err
	}
	out := management.SessionList{
		Data:    []management.Session{},
		Total:   found.Total,
		TotalIs: atLeast(found.AtLeast),
		Limit:   p.Limit,
		Offset:  p.Offset,
		Next:    optional(found.Next),
	}
	names, err := s.userNames(ctx, found.Items)
	if err != nil {
		return management.SessionList{}, err
	}
	for i := range found.Items {
		view := s.sessionView(&found.Items[i])
		view.UserName = optional(names[found.Items[i].User])
		out.Data = append(out.Data, view)
	}
	return out, nil
}

// userNames returns whose sessions these are, if the caller may read users.
func (s handlers) userNames(ctx context.Context, all []identity.Session) (map[identity.UserID]string, error) {
	if !actorOf(ctx).Can(admin.ScopeUsersRead) {
		return nil, nil
	}
	ids := make([]identity.UserID, len(all))
	for i := range all {
		ids[i] = all[i].User
	}
	return s.Operations.UserNames(ctx, actorOf(ctx), ids)
}

// Sessions answers a page of everybody's sessions.
func (s handlers) Sessions(ctx context.Context, in gen.SessionsRequestObject) (gen.SessionsResponseObject, error) {
	sel, err := selection(in.Params.OlderThan, in.Params.IP)
	if err != nil {
		return nil, err
	}
	out, err := s.sessionPage(ctx, value(in.Params.User), sel,
		page(in.Params.Limit, in.Params.Offset, in.Params.Cursor, in.Params.Total != nil))
	return gen.Sessions200JSONResponse(out), err
}

// UserSessions answers a page of a user's sessions.
func (s handlers) UserSessions(
	ctx context.Context, in gen.UserSessionsRequestObject,
) (gen.UserSessionsResponseObject, error) {
	out, err := s.sessionPage(ctx, in.ID, admin.SessionSelection{},
		page(in.Params.Limit, in.Params.Offset, in.Params.Cursor, in.Params.Total != nil))
	return gen.UserSessions200JSONResponse(out), err
}

// Session answers one session.
func (s handlers) Session(ctx context.Context, in gen.SessionRequestObject) (gen.SessionResponseObject, error) {
	x, err := s.Operations.Session(ctx, actorOf(ctx), identity.SessionID(in.ID))
	if err != nil {
		return nil, err
	}
	return gen.Session200JSONResponse(s.sessionView(x)), nil
}

// RevokeSessions ends the sessions that a selection selects.
func (s handlers) RevokeSessions(
	ctx context.Context, in gen.RevokeSessionsRequestObject,
) (gen.RevokeSessionsResponseObject, error) {
	sel, err := selection(in.Params.OlderThan, in.Params.IP)
	switch {
	case err != nil:
		return nil, err
	case sel == admin.SessionSelection{} && !value(in.Params.All):
		return nil, fault.New(fault.Invalid, "Say which sessions: older_than or ip, or all=true for every session.")
	case sel != admin.SessionSelection{} && value(in.Params.All):
		return nil, wrong("all", "This goes with no other selection.")
	}
	n, err := s.Operations.RevokeSessions(ctx, actorOf(ctx), sel)
	return gen.RevokeSessions200JSONResponse{Revoked: n}, err
}

// RevokeSession ends a session.
func (s handlers) RevokeSession(
	ctx context.Context, in gen.RevokeSessionRequestObject,
) (gen.RevokeSessionResponseObject, error) {
	_, err := s.Operations.RevokeSession(ctx, actorOf(ctx), identity.SessionID(in.ID))
	return gen.RevokeSession204Response{}, err
}

// RevokeUserSessions ends all sessions of a user.
func (s handlers) RevokeUserSessions(
	ctx context.Context, in gen.RevokeUserSessionsRequestObject,
) (gen.RevokeUserSessionsResponseObject, error) {
	end := s.Operations.RevokeUserSessions
	if value(in.Params.Grants) {
		end = s.Operations.RevokeUserAccess
	}
	ended, err := end(ctx, actorOf(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return gen.RevokeUserSessions200JSONResponse{Revoked: ended.Sessions}, nil
}

// SessionMetrics answers how many sessions there are.
func (s handlers) SessionMetrics(
	ctx context.Context, _ gen.SessionMetricsRequestObject,
) (gen.SessionMetricsResponseObject, error) {
	m, err := s.Operations.SessionMetrics(ctx, actorOf(ctx), true)
	return gen.SessionMetrics200JSONResponse{ActiveSessions: m.Active, SessionsToday: m.Today, UniqueUsers: m.Users}, err
}

func (s handlers) sessionView(x *identity.Session) management.Session {
	out := management.Session{
		ID:           string(x.ID),
		UserID:       string(x.User),
		CreatedAt:    x.CreatedAt.UTC(),
		LastActivity: x.LastSeenAt.UTC(),
		ExpiresAt:    x.ExpiresAt.UTC(),
		AuthTime:     x.AuthTime.UTC(),
		ACR:          x.ACR,
		AMR:          append([]string{}, x.AMR...),
		IPAddress:    x.IP,
		UserAgent:    x.Agent,
		Device:       device(x.Agent),
		Location:     s.location(x.IP),
		Impersonator: optional(x.Impersonator.ID),
	}
	if x.Impersonated() {
		out.AuthTime = out.CreatedAt
	}
	return out
}

// device returns what a browser is, such as "Chrome on macOS".
func device(agent string) string {
	a := visitor.Describe(agent)
	switch {
	case a.Program != "" && a.System != "":
		return a.Program + " on " + a.System
	case a.Program != "":
		return a.Program
	}
	return a.System
}

// location returns the place of an address in English, or null.
func (s handlers) location(ip string) nullable.Nullable[string] {
	if s.Places == nil {
		return nullable.NewNullNullable[string]()
	}
	city, country := s.Places.Find(ip).In("en")
	switch {
	case city != "" && country != "":
		return nullable.NewNullableWithValue(city + ", " + country)
	case country != "":
		return nullable.NewNullableWithValue(country)
	}
	return nullable.NewNullNullable[string]()
}
