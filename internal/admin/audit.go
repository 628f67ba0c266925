package admin

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/access"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/spell"
)

// EventPage is a page of the audit log.
type EventPage struct {
	Events  []audit.Event     // newest first
	Total   int               // how many the query selects on all pages
	AtLeast bool              // Total is a lower bound
	Next    string            // the cursor of the next page, or "" at the end
	Names   map[string]string // of the users on the page by their ids, if the actor may read users
	Clients map[string]string // of the clients on the page by their ids, if the actor may read them
}

// ActorName returns what the person or the client that caused an event of the page is called, or ""
// where that is not known.
func (p *EventPage) ActorName(e *audit.Event) string {
	switch e.ActorKind() {
	case audit.ActorUser:
		return p.Names[e.Actor]
	case audit.ActorClient:
		return p.Clients[e.Actor]
	}
	return ""
}

// Events returns a page of the audit log. q.User and q.Actor may be an id, email address or
// username; an id may be that of a deleted user. That the actor looks into the log is recorded,
// once in a while.
func (o *Operations) Events(ctx context.Context, a Actor, q AuditQuery) (*EventPage, error) {
	if err := o.authorize(a, ScopeAuditRead); err != nil {
		return nil, err
	}
	if err := o.prepare(ctx, &q); err != nil {
		return nil, err
	}
	p := Page{Limit: q.Limit, Offset: q.Offset, Cursor: q.Cursor, Exact: q.Exact}
	q.Limit, q.Offset, q.Cursor, q.Exact = 0, 0, "", false
	found, err := listQuery(o, "audit", q, p, func(p Page, after *Position) (Rows[audit.Event], error) {
		return o.store.SearchAudit(ctx, q, p, after)
	})
	if err != nil {
		return nil, err
	}
	page := &EventPage{Events: found.Items, Total: found.Total, AtLeast: found.AtLeast, Next: found.Next}
	if err := o.name(ctx, a, page); err != nil {
		return nil, err
	}
	return page, o.viewed(ctx, a)
}

// viewedEvery is how often it is recorded that the same person or client looks into the log.
const viewedEvery = 10 * time.Minute

// viewed records that the actor looked into the log, unless that was recorded a short while ago.
// The command line on the database is not recorded: whoever has the database can read it anyway.
func (o *Operations) viewed(ctx context.Context, a Actor) error {
	if a.name != "" {
		return nil
	}
	now := o.parts.Now()
	if !o.views.first(a.Name(), now) {
		return nil
	}
	ev := a.event(audit.LogViewed, now)
	ev.TargetType = audit.TargetAudit
	return o.store.Record(ctx, ev)
}

// views remembers who looked into the log. It is safe for concurrent use.
type views struct {
	mu   sync.Mutex
	last map[string]time.Time
}

// maxViews bounds the memory: administrators are few.
const maxViews = 1000

// first reports whether the last time that is to be recorded was long enough ago.
func (v *views) first(name string, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if at, ok := v.last[name]; ok && now.Sub(at) < viewedEvery && !now.Before(at) {
		return false
	}
	if v.last == nil || len(v.last) >= maxViews {
		v.last = map[string]time.Time{}
	}
	v.last[name] = now
	return true
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

// name sets what the people and the clients of a page are called, as far as the actor may read
// them. What has been deleted has no name.
func (o *Operations) name(ctx context.Context, a Actor, page *EventPage) error {
	var people []identity.UserID
	var clients []client.ID
	for i := range page.Events {
		e := &page.Events[i]
		switch e.ActorKind() {
		case audit.ActorClient:
			clients = append(clients, client.ID(e.Actor))
		case audit.ActorUser:
			people = append(people, identity.UserID(e.Actor))
		}
		if e.User != "" {
			people = append(people, identity.UserID(e.User))
		}
		if e.Client != "" {
			clients = append(clients, client.ID(e.Client))
		}
		switch kind, id := e.Target(); kind {
		case audit.TargetUser:
			people = append(people, identity.UserID(id))
		case audit.TargetClient:
			clients = append(clients, client.ID(id))
		}
	}
	if a.Can(ScopeUsersRead) {
		page.Names = map[string]string{}
		found, err := o.userNames(ctx, people)
		if err != nil {
			return err
		}
		for id, name := range found {
			page.Names[string(id)] = name
		}
	}
	if a.Can(ScopeClientsRead) {
		page.Clients = map[string]string{}
		all := o.store.Clients() // in memory
		for _, id := range clients {
			if c := all[id]; c != nil && c.Name != "" {
				page.Clients[string(id)] = c.Name
			}
		}
	}
	return nil
}

// ExportEvents calls write with every event that matches, newest first, and stops at its first
// error. It reads a page at a time: a slow reader holds nothing of the database. The export is
// recorded.
func (o *Operations) ExportEvents(ctx context.Context, a Actor, q AuditQuery, write func(*audit.Event) error) error {
	if err := o.authorize(a, ScopeAuditExport); err != nil {
		return err
	}
	if err := o.prepare(ctx, &q); err != nil {
		return err
	}
	ev := a.event(audit.LogExported, o.parts.Now())
	ev.TargetType, ev.Detail = audit.TargetAudit, q.describe()
	if err := o.store.Record(ctx, ev); err != nil {
		return err
	}
	// What is recorded from now on is not part of the export.
	if now := o.parts.Now(); q.Until.IsZero() || q.Until.After(now) {
		q.Until = now
	}
	q.Limit, q.Offset, q.Cursor = 0, 0, ""
	var after *Position
	for {
		rows, err := o.store.SearchAudit(ctx, q, Page{Limit: MaxPage}, after)
		if err != nil {
			return err
		}
		for i := range rows.Items {
			if err := write(&rows.Items[i]); err != nil {
				return err
			}
		}
		if rows.Next == nil {
			return nil
		}
		after = rows.Next
	}
}

// describe returns what a query selects, for the record of an export.
func (q *AuditQuery) describe() map[string]string {
	out := map[string]string{}
	types := make([]string, len(q.Types))
	for i, t := range q.Types {
		types[i] = string(t)
	}
	for name, value := range map[string]string{
		"types":       strings.Join(types, " "),
		"actor":       q.Actor,
		"user":        q.User,
		"client":      q.Client,
		"target_type": q.TargetType,
		"target_id":   q.TargetID,
		"ip":          q.IP,
		"reason":      q.Reason,
		"text":        q.Text,
	} {
		if value != "" {
			out[name] = value
		}
	}
	if q.Failures {
		out["failed"] = "true"
	}
	if !q.Since.IsZero() {
		out["from"] = q.Since.UTC().Format(time.RFC3339)
	}
	if !q.Until.IsZero() {
		out["to"] = q.Until.UTC().Format(time.RFC3339)
	}
	return out
}

// Bounds of a text that is searched for.
const (
	minSearch = 2
	maxSearch = 100
)

// prepare checks a query, and brings what people write into the stored form.
func (o *Operations) prepare(ctx context.Context, q *AuditQuery) error {
	if err := q.prepareTypes(); err != nil {
		return err
	}
	if q.IP != "" {
		if err := q.prepareAddress(); err != nil {
			return err
		}
	}
	q.Text = strings.TrimSpace(q.Text)
	if n := len(q.Text); n > 0 && (n < minSearch || n > maxSearch) {
		return fault.InvalidField("text", "search for %d to %d characters", minSearch, maxSearch)
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return fault.InvalidField("to", "the end must be after the beginning")
	}
	for _, ref := range []*string{&q.User, &q.Actor} {
		if err := o.resolveUser(ctx, ref); err != nil {
			return err
		}
	}
	return nil
}

// prepareTypes finds the types that Event names.
func (q *AuditQuery) prepareTypes() error {
	if q.Type != "" {
		q.Event, q.Type = strings.Trim(q.Event+","+string(q.Type), ","), ""
	}
	if q.Event == "" {
		return nil
	}
	for part := range strings.SplitSeq(q.Event, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		found := audit.Matching(part)
		if len(found) > 0 {
			q.Types = append(q.Types, found...)
			continue
		}
		known := audit.Names()
		for _, t := range audit.Types() {
			known = append(known, string(t))
		}
		near := spell.Nearest(part, known)
		if near == "" {
			near = spell.Nearest(strings.ToUpper(part), known)
		}
		if near != "" {
			return fault.InvalidField("event", "there is no type of event %.64q; did you mean %s?", part, near)
		}
		return fault.InvalidField("event", "there is no type of event %.64q; use a name such as user.login, several "+
			"separated by commas, or a group such as user.*", part)
	}
	slices.Sort(q.Types)
	q.Types, q.Event = slices.Compact(q.Types), ""
	return nil
}

// prepareAddress reads an address or a network.
func (q *AuditQuery) prepareAddress() error {
	if ip, err := netip.ParseAddr(q.IP); err == nil {
		q.IP = ip.Unmap().String()
		return nil
	}
	network, err := netip.ParsePrefix(q.IP)
	if err != nil {
		return fault.InvalidField("ip", "%.64q is not an IP address or a network", q.IP)
	}
	q.Network, q.IP = network.Masked(), ""
	return nil
}

// resolveUser replaces a user's name by their id. The events of a deleted user stay.
func (o *Operations) resolveUser(ctx context.Context, ref *string) error {
	if !strings.Contains(*ref, "@") && strings.Count(*ref, "-") == 4 || *ref == "" { // an id, or none
		return nil
	}
	u, err := o.store.UserByRef(ctx, *ref)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	}
	*ref = string(u.ID)
	return nil
}

// DenialQuery selects denials of the gateway.
type DenialQuery struct {
	Client string // that called; "" for all
	Page   Page   `json:"-"`
}

// Denials returns a page of what the gateway has denied in the last day, newest first.
func (o *Operations) Denials(ctx context.Context, a Actor, q DenialQuery) (*List[access.DenialRecord], error) {
	if err := o.authorize(a, ScopeAuditRead); err != nil {
		return nil, err
	}
	found, err := listQuery(o, "denials", q, q.Page, func(p Page, after *Position) (Rows[access.DenialRecord], error) {
		return o.store.Denials(ctx, q, p, after)
	})
	if err != nil {
		return nil, err
	}
	return found, o.viewed(ctx, a)
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
	if x.Events, err = o.requestEvents(ctx, id); err != nil {
		return nil, err
	}
	slices.Reverse(x.Events)
	if x.Denial == nil && len(x.Events) == 0 {
		return nil, nil
	}
	return x, nil
}

// requestEvents returns the events of a request, newest first: those around its failures, which an
// index finds, or else those of the last day.
func (o *Operations) requestEvents(ctx context.Context, id string) ([]audit.Event, error) {
	failed, err := o.store.ListAudit(ctx, AuditQuery{Failed: id})
	if err != nil {
		return nil, err
	}
	q := AuditQuery{RequestID: id, Since: o.parts.Now().Add(-24 * time.Hour)}
	if len(failed) > 0 {
		q.Since = failed[len(failed)-1].At.Add(-requestSpan)
		q.Until = failed[0].At.Add(requestSpan)
	}
	return o.store.ListAudit(ctx, q)
}

// requestSpan is how far apart the events of one request are at most.
const requestSpan = 5 * time.Minute

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
