package admin

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// EventPage is a page of the audit log.
type EventPage struct {
	Events []audit.Event     // newest first
	Total  int               // how many the query selects on all pages
	Names  map[string]string // of the users on the page by their ids, if the actor may read users
}

// Events returns a page of the audit log. q.User may be an id, email address or username; an id
// may be that of a deleted user.
func (o *Operations) Events(ctx context.Context, a Actor, q AuditQuery) (*EventPage, error) {
	if err := o.authorize(a, ScopeAuditRead); err != nil {
		return nil, err
	}
	if err := o.prepare(ctx, &q); err != nil {
		return nil, err
	}
	page := &EventPage{}
	var err error
	if page.Total, err = o.store.CountAudit(ctx, q); err != nil {
		return nil, err
	}
	if page.Events, err = o.store.ListAudit(ctx, q); err != nil {
		return nil, err
	}
	if a.Can(ScopeUsersRead) {
		page.Names, err = o.userNames(ctx, page.Events)
	}
	return page, err
}

// Event returns one event of the audit log with the names of its users, or NotFound.
func (o *Operations) Event(ctx context.Context, a Actor, id string) (*EventPage, error) {
	if err := o.authorize(a, ScopeAuditRead); err != nil {
		return nil, err
	}
	notFound := fault.New(fault.NotFound, "there is no event %.64q in the audit log", id)
	if id == "" {
		return nil, notFound
	}
	page, err := o.Events(ctx, a, AuditQuery{ID: id})
	if err == nil && len(page.Events) == 0 {
		return nil, notFound
	}
	return page, err
}

// userNames returns what the users whom events concern, or who caused them, sign in with. Users
// that have been deleted are missing.
func (o *Operations) userNames(ctx context.Context, events []audit.Event) (map[string]string, error) {
	names, resolved := map[string]string{}, map[string]bool{"": true}
	for _, e := range events {
		for _, id := range []string{e.User, e.Actor} {
			if resolved[id] {
				continue
			}
			resolved[id] = true
			u, err := o.store.UserByRef(ctx, id)
			switch {
			case err == nil && string(u.ID) == id:
				names[id] = u.LoginName()
			case err != nil && !fault.Is(err, fault.NotFound):
				return nil, err
			}
		}
	}
	return names, nil
}

// ExportEvents calls write with every event that matches, newest first, and stops at its first
// error.
func (o *Operations) ExportEvents(ctx context.Context, a Actor, q AuditQuery, write func(*audit.Event) error) error {
	if err := o.authorize(a, ScopeAuditExport); err != nil {
		return err
	}
	if err := o.prepare(ctx, &q); err != nil {
		return err
	}
	q.Limit = MaxPage
	for {
		events, err := o.store.ListAudit(ctx, q)
		if err != nil {
			return err
		}
		for i := range events {
			if err := write(&events[i]); err != nil {
				return err
			}
		}
		if len(events) < MaxPage {
			return nil
		}
		q.Before = events[len(events)-1].ID
	}
}

// prepare checks a query, and brings what people write into the stored form.
func (o *Operations) prepare(ctx context.Context, q *AuditQuery) error {
	if types := audit.Types(); q.Type != "" && !slices.Contains(types, q.Type) {
		known := make([]string, len(types))
		for i, t := range types {
			known[i] = string(t)
		}
		if near := spell.Nearest(string(q.Type), known); near != "" {
			return fault.InvalidField("type", "there is no type of event %q; did you mean %s?", q.Type, near)
		}
		return fault.InvalidField("type", "there is no type of event %q; use one of %s",
			q.Type, strings.Join(known, ", "))
	}
	if q.IP != "" {
		ip, err := netip.ParseAddr(q.IP)
		if err != nil {
			return fault.InvalidField("ip", "%q is not an IP address", q.IP)
		}
		q.IP = ip.Unmap().String()
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return fault.InvalidField("to", "the end must be after the beginning")
	}
	return o.resolveUser(ctx, q)
}

// resolveUser replaces a user's name by their id. The events of a deleted user stay.
func (o *Operations) resolveUser(ctx context.Context, q *AuditQuery) error {
	if q.User == "" {
		return nil
	}
	u, err := o.store.UserByRef(ctx, q.User)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	}
	q.User = string(u.ID)
	return nil
}

// Explanation is what is known of a request that failed.
type Explanation struct {
	RequestID  string
	Denial     *access.DenialRecord // by the gateway, or nil
	RouteState RouteState           // of the route that denied it
	Events     []audit.Event        // oldest first
}

// RouteState says what became of a route after it denied a request.
type RouteState string

// States of a route.
const (
	RouteUnknown   RouteState = "" // there was none, or it is in the routes file
	RouteUnchanged RouteState = "unchanged"
	RouteChanged   RouteState = "changed"
	RouteDeleted   RouteState = "deleted"
)

// Explain returns the denial and the events of a request.
func (o *Operations) Explain(ctx context.Context, a Actor, requestID string) (*Explanation, error) {
	if err := o.authorize(a, ScopeAuditRead); err != nil {
		return nil, err
	}
	requestID = strings.TrimSpace(requestID)
	// Ids that the server chooses are in capitals, and people read them out on the telephone.
	for _, id := range slices.Compact([]string{requestID, strings.ToUpper(requestID)}) {
		x, err := o.explain(ctx, id)
		if err != nil || x != nil {
			return x, err
		}
	}
	return nil, fault.New(fault.NotFound, "nothing is known of a request %.64q: denials of the gateway are stored for a "+
		"day, other failures as long as the audit log; check the id, search the server's log for it, or send the request "+
		"again and explain the new id", requestID)
}

// explain returns nil if nothing is known of the request.
func (o *Operations) explain(ctx context.Context, id string) (*Explanation, error) {
	if id == "" {
		return nil, nil
	}
	x := &Explanation{RequestID: id}
	denial, err := o.store.Denial(ctx, id)
	switch {
	case err == nil:
		x.Denial, x.RouteState = denial, o.routeState(denial)
	case !fault.Is(err, fault.NotFound):
		return nil, err
	}
	if x.Events, err = o.store.ListAudit(ctx, AuditQuery{RequestID: id}); err != nil {
		return nil, err
	}
	slices.Reverse(x.Events)
	if x.Denial == nil && len(x.Events) == 0 {
		return nil, nil
	}
	return x, nil
}

// routeState reports whether the route has changed: a request that it denied may pass by now.
func (o *Operations) routeState(d *access.DenialRecord) RouteState {
	if d.Route == "" || strings.HasPrefix(d.Route, fileIDPrefix) {
		return RouteUnknown
	}
	stored := o.store.Routes()
	i := slices.IndexFunc(stored, func(r access.Route) bool { return r.ID == d.Route })
	switch {
	case i < 0:
		return RouteDeleted
	case stored[i].UpdatedAt.After(d.At):
		return RouteChanged
	}
	return RouteUnchanged
}
