package store

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

// Bounds of one page of a search that no index serves as a whole.
const (
	auditWindow  = 10_000 // events that are looked at in one step
	auditWindows = 5      // steps
)

// An auditSearch reads events newest first: those of one or several branches, each of which an
// index serves, that fulfil further conditions.
type auditSearch struct {
	q        *AuditQuery
	branches []condition // no event is in two of them
	rest     []condition // on columns
	keep     func(*audit.Event) bool
	windows  int  // steps of a page; 0: as many as it takes
	failed   bool // the branches have failures only
}

// filtered reports whether events that an index finds may be left out.
func (s *auditSearch) filtered() bool { return len(s.rest) > 0 || s.keep != nil }

// both returns the condition that two conditions are fulfilled.
func both(a, b condition) condition {
	return func(w *where) string { return a(w) + " AND " + b(w) }
}

// newAuditSearch returns the search of a query. The most selective of its conditions leads.
func newAuditSearch(q *AuditQuery) *auditSearch {
	s := &auditSearch{q: q, windows: auditWindows}
	s.lead()
	s.types()
	if q.Failures && !s.failed {
		s.rest = append(s.rest, literal("reason <> ''"))
	}
	for _, c := range []struct{ column, value string }{
		{"request_id", q.RequestID},
		{"reason", q.Reason},
		{"ip", q.IP},
		{"session_id", q.Session},
		{"grant_id", q.Grant},
	} {
		if c.value != "" {
			s.rest = append(s.rest, equal(c.column, clean(c.value)))
		}
	}
	if len(s.branches) == 0 {
		s.branches = []condition{literal("id <> ''")}
	}
	if q.Network.IsValid() || q.Text != "" {
		s.keep = keepEvent(q)
	}
	return s
}

// lead finds the condition that leads: an id, a thing, a person, a client. Others are further
// conditions.
func (s *auditSearch) lead() {
	q := s.q
	for _, c := range []struct {
		on   bool
		find func() []condition
		test func() condition
	}{
		{q.Failed != "", func() []condition {
			return []condition{both(literal("reason <> ''"), equal("request_id", clean(q.Failed)))}
		}, nil},
		{q.ID != "", func() []condition { return []condition{equal("id", clean(q.ID))} }, nil},
		{q.TargetID != "" || q.TargetType != "", s.target, nil},
		{q.User != "", s.user, func() condition { return equal("user_id", clean(q.User)) }},
		{q.Actor != "", s.actor, func() condition { return equal("actor", clean(q.Actor)) }},
		{q.Client != "", s.client, func() condition { return equal("client_id", clean(q.Client)) }},
	} {
		switch {
		case !c.on:
		case len(s.branches) == 0:
			s.branches = c.find()
		case c.test != nil:
			s.rest = append(s.rest, c.test())
		}
	}
}

// The conditions below have the words of the partial indexes.

func (s *auditSearch) user() []condition {
	return []condition{both(literal("user_id <> ''"), equal("user_id", clean(s.q.User)))}
}

func (s *auditSearch) client() []condition {
	if s.q.Failures {
		s.failed = true
		// Without the words of the index on all events of clients, which a planner could prefer.
		return []condition{both(literal("reason <> ''"), equal("client_id", clean(s.q.Client)))}
	}
	return []condition{both(literal("client_id <> ''"), equal("client_id", clean(s.q.Client)))}
}

// actor finds what somebody caused: about themselves, as a client for itself, and the rest.
func (s *auditSearch) actor() []condition {
	id := clean(s.q.Actor)
	return []condition{
		both(both(literal("user_id <> ''"), equal("user_id", id)), equal("actor", id)),
		both(both(both(literal("client_id <> ''"), equal("client_id", id)), equal("actor", id)),
			literal("actor <> user_id")),
		both(literal("actor <> user_id AND actor <> client_id"), equal("actor", id)),
	}
}

// target finds what concerns a thing. Users and clients are in columns of their own.
func (s *auditSearch) target() []condition {
	kind, id := clean(s.q.TargetType), clean(s.q.TargetID)
	switch {
	case kind == audit.TargetUser && id != "":
		return []condition{both(literal("user_id <> ''"), equal("user_id", id))}
	case kind == audit.TargetClient && id != "":
		return []condition{both(literal("client_id <> ''"), equal("client_id", id))}
	case kind == audit.TargetSession && id != "":
		s.rest = append(s.rest, equal("session_id", id))
		return nil
	case kind == audit.TargetGrant && id != "":
		s.rest = append(s.rest, equal("grant_id", id))
		return nil
	case id == "":
		return []condition{both(literal("target_id <> ''"), equal("target_type", kind))}
	case kind == "":
		s.rest = append(s.rest, equal("target_id", id))
		return nil
	}
	return []condition{both(both(literal("target_id <> ''"), equal("target_type", kind)), equal("target_id", id))}
}

// indexedTypes is the condition of the index audit_log_rare: it leaves those out that most of the
// log consists of.
const indexedTypes = "type <> 'ACCESS_TOKEN_ISSUED' AND type <> 'CLIENT_CREDENTIALS_TOKEN_ISSUED'" +
	" AND type <> 'REFRESH_TOKEN_USED' AND type <> 'TOKENS_ISSUED'"

// isFrequent reports whether the index on types leaves the events of a type out. See indexedTypes.
func isFrequent(t audit.Type) bool {
	switch t {
	case audit.AccessTokenIssued, audit.ClientCredentialsIssued, audit.RefreshTokenUsed, audit.TokensIssued:
		return true
	}
	return false
}

// types makes a branch of each type, where nothing more selective leads.
func (s *auditSearch) types() {
	types := s.q.Types
	if s.q.Type != "" {
		types = append(slices.Clone(types), s.q.Type)
	}
	types = slices.Compact(slices.Sorted(slices.Values(types)))
	switch {
	case len(types) == 0:
	case len(s.branches) == 0 && !slices.ContainsFunc(types, isFrequent):
		for _, t := range types {
			s.branches = append(s.branches, both(literal(indexedTypes), equal("type", string(t))))
		}
	default:
		s.rest = append(s.rest, func(w *where) string {
			all := make([]string, len(types))
			for i, t := range types {
				all[i] = w.param(string(t))
			}
			return "type IN (" + strings.Join(all, ", ") + ")"
		})
	}
}

// bounds returns the condition on ids: of the time range, and before one. Ids are in order of time
// (RFC 9562 §6.2).
func (s *auditSearch) bounds(before, from string) condition {
	return func(w *where) string {
		var terms []string
		if from == "" && !s.q.Since.IsZero() {
			from = secret.IDAt(s.q.Since)
		}
		if from != "" {
			terms = append(terms, "id >= "+w.param(from))
		}
		if !s.q.Until.IsZero() {
			terms = append(terms, "id < "+w.param(secret.IDAt(s.q.Until)))
		}
		if before != "" {
			terms = append(terms, "id < "+w.param(before))
		}
		if len(terms) == 0 {
			return "id >= " + w.param("")
		}
		return strings.Join(terms, " AND ")
	}
}

// page returns up to n events from before one, "" for the newest, and the id that the next page
// begins before, "" at the end.
func (s *auditSearch) page(
	ctx context.Context, c sqldb.Conn, before string, n, skip int,
) (events []audit.Event, next string, err error) {
	if !s.filtered() {
		events, err = s.read(ctx, c, before, "", n, skip)
		if err == nil && len(events) == n && n > 0 {
			next = events[n-1].ID
		}
		return events, next, err
	}
	for step := 1; ; step++ {
		edge, err := s.edge(ctx, c, before)
		if err != nil {
			return nil, "", err
		}
		some, err := s.read(ctx, c, before, edge, auditWindow, 0)
		if err != nil {
			return nil, "", err
		}
		for i := range some {
			if s.keep != nil && !s.keep(&some[i]) {
				continue
			}
			if skip > 0 {
				skip--
				continue
			}
			if events = append(events, some[i]); len(events) == n {
				return events, some[i].ID, nil
			}
		}
		if edge == "" {
			return events, "", nil
		}
		if before = edge; step == s.windows {
			return events, edge, nil
		}
	}
}

// edge returns the id down to which a step looks at events: of all branches together at most
// auditWindow. "": there are no more of them.
func (s *auditSearch) edge(ctx context.Context, c sqldb.Conn, before string) (edge string, err error) {
	for _, b := range s.branches {
		w := &where{}
		text := "SELECT id FROM audit_log WHERE " + b(w) + " AND " + s.bounds(before, "")(w) +
			" ORDER BY id DESC LIMIT 1 OFFSET " + w.param(int64(auditWindow/len(s.branches)-1))
		ids, err := listStrings[string](ctx, c, text, w.args...)
		if err != nil {
			return "", err
		}
		if len(ids) > 0 {
			edge = max(edge, ids[0])
		}
	}
	return edge, nil
}

// read returns events of all branches from an id on, newest first, that fulfil the further
// conditions.
func (s *auditSearch) read(
	ctx context.Context, c sqldb.Conn, before, from string, n, skip int,
) ([]audit.Event, error) {
	w := &where{}
	columns := eventTable.list()
	branches := make([]string, len(s.branches))
	for i, b := range s.branches {
		inner := "SELECT " + columns + " FROM audit_log WHERE " + b(w) + " AND " + s.bounds(before, from)(w)
		if len(s.rest) == 0 {
			branches[i] = "SELECT * FROM (" + inner + " ORDER BY id DESC LIMIT " + w.param(int64(n+skip)) + ") AS x"
			continue
		}
		// The limit keeps SQLite from choosing an index by the conditions outside.
		inner += " ORDER BY id DESC LIMIT " + w.param(int64(auditWindow))
		outer := make([]string, len(s.rest))
		for j, r := range s.rest {
			outer[j] = r(w)
		}
		branches[i] = "SELECT * FROM (" + inner + ") AS x WHERE " + strings.Join(outer, " AND ")
	}
	text := "SELECT " + columns + " FROM (" + strings.Join(branches, " UNION ALL ") + ") AS u ORDER BY id DESC LIMIT " +
		w.param(int64(n)) + " OFFSET " + w.param(int64(skip))
	return list(ctx, c, eventTable.scan, text, w.args...)
}

// count returns how many events the query selects, at most most unless that is 0, and whether there
// may be more.
func (s *auditSearch) count(ctx context.Context, c sqldb.Conn, most int) (n int, more bool, err error) {
	if s.keep != nil {
		return s.countEach(ctx, c)
	}
	for _, b := range s.branches {
		w := &where{}
		text := "SELECT id FROM audit_log WHERE " + b(w) + " AND " + s.bounds("", "")(w)
		for _, r := range s.rest {
			text += " AND " + r(w)
		}
		if most > 0 {
			text += " LIMIT " + w.param(int64(most+1-n))
		}
		var some int
		if err := c.Row(ctx, "SELECT COUNT(*) FROM ("+text+") AS x", w.args...).Scan(&some); err != nil {
			return 0, false, err
		}
		if n += some; most > 0 && n > most {
			return most, true, nil
		}
	}
	return n, false, nil
}

// countEach counts events one by one.
func (s *auditSearch) countEach(ctx context.Context, c sqldb.Conn) (n int, more bool, err error) {
	every := *s
	every.windows = 0
	for before := ""; ; {
		events, next, err := every.page(ctx, c, before, maxLimit, 0)
		if n += len(events); err != nil || next == "" {
			return n, false, err
		}
		before = next
	}
}

// keepEvent returns the conditions of a query that no statement can express.
func keepEvent(q *AuditQuery) func(*audit.Event) bool {
	text := strings.ToLower(q.Text)
	return func(e *audit.Event) bool {
		if q.Network.IsValid() {
			a, err := netip.ParseAddr(e.IP)
			if err != nil || !q.Network.Contains(a.Unmap()) {
				return false
			}
		}
		return text == "" || containsText(e, text)
	}
}

// containsText reports whether a text of the event contains another, whatever the case.
func containsText(e *audit.Event, text string) bool {
	for _, s := range []string{
		e.ID, string(e.Type), e.Type.Name(), e.Actor, e.User, e.Client, e.Session, e.Grant, e.TargetType,
		e.TargetID, e.RequestID, e.Reason, e.IP, e.Agent,
	} {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	for name, value := range e.Detail {
		if strings.Contains(strings.ToLower(name+"="+value), text) {
			return true
		}
	}
	return slices.ContainsFunc(e.Changes, func(c audit.Change) bool {
		return strings.Contains(strings.ToLower(c.Field+" "+c.Before+" "+c.After), text)
	})
}
