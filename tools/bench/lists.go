package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
)

// Kinds of the rows of lists, beside those of a world.
const (
	kindListed  = "8001"
	kindEvent   = "9001"
	kindVisit   = "a001"
	listedTypes = 4
)

// Bounds of the measurement of lists.
const (
	listReads      = 300
	listGoal       = 50 * time.Millisecond
	searchGoal     = 100 * time.Millisecond
	mostListed     = 100_000 // clients
	mostImported   = 100_000
	importChunk    = 500
	exportGoal     = 20_000 // rows a second
	importGoal     = 5_000
	familyNames    = 50_000
	listedClients  = 100
	listedNetworks = 250
)

// lists fills a database with n users, sessions and clients and twice as many audit events, past
// the slow path, and measures what administrators do with them, also in the browser.
func (b *bench) lists(ctx context.Context, n int) error {
	for _, e := range b.engines {
		if err := b.listsOn(ctx, e, n); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) listsOn(ctx context.Context, e engine, n int) error {
	if err := b.roomFor(2 * n); err != nil {
		return err
	}
	url, err := b.fresh(ctx, e, "lists")
	if err != nil {
		return err
	}
	b.say("filling a database of %s with %s users", e, count(float64(n)))
	begun := time.Now()
	w, err := b.newWorld(ctx, e, url, 1000)
	if err != nil {
		return err
	}
	w.size, w.pace = n, max(300*24*time.Hour/time.Duration(2*n), time.Millisecond).Truncate(time.Millisecond)
	if err := w.fillLists(ctx); err != nil {
		return err
	}
	size, err := w.diskSize(ctx)
	if err != nil {
		return err
	}
	m := &listMeter{ctx: ctx, engine: e, w: w}
	m.add(fact{
		name: "filling", engine: e,
		value: fmt.Sprintf("%s, %s MB", brief(time.Since(begun)), count(float64(size)/(1<<20))),
	})
	m.db, err = store.Open(ctx, store.Options{URL: url})
	if err != nil {
		return err
	}
	err = errors.Join(m.users(), m.others(), m.events(), m.exports(), m.imports())
	m.db.Close()
	if err != nil {
		return err
	}
	pages, err := b.console(ctx, w)
	for _, f := range pages {
		m.add(f)
	}
	return err
}

// fillLists makes the rows.
func (w *world) fillLists(ctx context.Context) error {
	l, err := openLoader(ctx, w.engine, w.url, true)
	if err != nil {
		return err
	}
	name := "'listed' || seq.n || '@example' || (seq.n % 1000) || '.com'"
	full := fmt.Sprintf("'Ada Family' || (seq.n * 7919 %% %d)", familyNames)
	of := func(choices int, prefix string) string {
		return fmt.Sprintf("'%s' || (seq.n %% %d)", prefix, choices)
	}
	address := fmt.Sprintf("'192.0.2.' || (seq.n %% %d)", listedNetworks)
	load := func(table, key string, n int, own map[string]string) {
		fill := func() error { return l.clone(ctx, table, "id", key, n, own) }
		if err == nil && n < indexedFrom {
			err = fill()
		} else if err == nil {
			err = l.withoutIndexes(ctx, table, fill)
		}
	}
	load("users", w.user, w.size, map[string]string{
		"id": w.idText(kindListed), "email": name, "email_key": name, "search_key": name,
		"name": full, "name_key": "lower(" + full + ")",
		"created_at": w.timeText(), "updated_at": w.timeText(), "last_login_at": w.timeText(),
	})
	load("sessions", w.session, w.size, map[string]string{
		"id": w.idText(kindVisit), "hash": w.hashText(), "user_id": w.idText(kindListed),
		"ip": address, "created_at": w.timeText(), "last_seen_at": w.timeText(),
	})
	load("clients", clientID("ES256"), min(w.size, mostListed), map[string]string{
		"id": of(mostListed, "app"), "name": of(mostListed, "Application Number"), "created_at": w.timeText(),
	})
	if err == nil {
		err = w.fillTerms(ctx, l, name, full)
	}
	if err == nil {
		err = w.fillEvents(ctx, l, address)
	}
	return errors.Join(err, l.close(ctx))
}

// fillTerms makes the words by which users and clients are found, in the order of their index, and
// counts the rows.
func (w *world) fillTerms(ctx context.Context, l *loader, name, full string) error {
	terms := []string{
		"lower(substr(" + full + ", 5))", "'ada'", "'listed' || seq.n", "'@' || " + name, "'#staff'",
	}
	var texts []string
	for from := 0; from < w.size; from += cloneChunk {
		for _, term := range terms {
			texts = append(texts, fmt.Sprintf("INSERT INTO user_terms (term, id) SELECT %s, %s FROM %s",
				term, w.idText(kindListed), l.numbers(from, min(from+cloneChunk, w.size))))
		}
	}
	clients := min(w.size, mostListed)
	texts = append(texts, fmt.Sprintf("INSERT INTO client_terms (term, id) SELECT 'number' || seq.n, 'app' || seq.n FROM %s",
		l.numbers(0, clients)))
	for _, table := range []string{"users", "clients"} {
		texts = append(texts,
			"DELETE FROM counts WHERE name = '"+table+"'",
			"INSERT INTO counts (name, writer, n, at) SELECT '"+table+"', '', COUNT(*), 0 FROM "+table)
	}
	for _, text := range append(texts, "ANALYZE") {
		if _, err := l.db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%.60s: %w", text, err)
		}
	}
	return nil
}

// fillEvents copies an event of the log, twice as often as there are users.
func (w *world) fillEvents(ctx context.Context, l *loader, address string) error {
	var key string
	if err := l.db.QueryRowContext(ctx, "SELECT MIN(id) FROM audit_log").Scan(&key); err != nil {
		return err
	}
	kinds := []string{"CASE seq.n % " + fmt.Sprint(listedTypes)}
	for i, t := range []audit.Type{
		audit.LoginSucceeded, audit.LoginFailed, audit.RefreshTokenUsed, audit.ClientCredentialsIssued,
	} {
		kinds = append(kinds, fmt.Sprintf("WHEN %d THEN '%s'", i, t))
	}
	return l.withoutIndexes(ctx, "audit_log", func() error {
		return l.clone(ctx, "audit_log", "id", key, 2*w.size, map[string]string{
			"id": w.idText(kindEvent), "at": w.timeText(), "type": strings.Join(kinds, " ") + " END",
			"actor": w.idText(kindListed), "user_id": w.idText(kindListed), "ip": address,
			"client_id": fmt.Sprintf("'app' || (seq.n %% %d)", listedClients),
		})
	})
}

// listMeter measures lists on one database.
type listMeter struct {
	ctx    context.Context
	engine engine
	db     *store.DB
	w      *world
}

// add prints a figure as soon as it is known: a large database takes an hour.
func (m *listMeter) add(f fact) {
	mark := "  "
	if f.goal != "" {
		mark = map[bool]string{true: "✓ ", false: "✗ "}[f.met]
	}
	fmt.Printf("%s%-9s %-34s %-40s %s\n", mark, f.engine, f.name, f.value, f.goal)
}

// read measures a list again and again.
func (m *listMeter) read(name string, most time.Duration, f func(i int) error) error {
	var times []time.Duration
	for i := range listReads {
		begun := time.Now()
		if err := f(i); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	p99 := times[len(times)*99/100]
	m.add(fact{
		name: name, engine: m.engine,
		value: fmt.Sprintf("p50 %s, p99 %s", brief(times[len(times)/2]), brief(p99)),
		goal:  "p99 at most " + brief(most), met: p99 <= most,
	})
	return nil
}

// rate adds how many rows a second something has done.
func (m *listMeter) rate(name string, n int, took time.Duration, least float64) {
	rate := float64(n) / took.Seconds()
	m.add(fact{
		name: name, engine: m.engine, value: fmt.Sprintf("%s rows/s (%s)", count(rate), count(float64(n))),
		goal: fmt.Sprintf("at least %s", count(least)), met: rate >= least,
	})
}

// users measures lists and searches of users: a first page and the page behind it by turns.
func (m *listMeter) users() error {
	yes := true
	queries := map[string]func(i int) store.UserQuery{
		"users, newest first": func(int) store.UserQuery {
			return store.UserQuery{Sort: admin.Sort{By: admin.OrderCreated, Desc: true}}
		},
		"users by name":        func(int) store.UserQuery { return store.UserQuery{Sort: admin.Sort{By: admin.OrderName}} },
		"users, a common word": func(int) store.UserQuery { return store.UserQuery{Search: "ad"} },
		"users, two words":     func(i int) store.UserQuery { return store.UserQuery{Search: fmt.Sprintf("ada family%d", i*101)} },
		"users, a rare word":   func(i int) store.UserQuery { return store.UserQuery{Search: fmt.Sprintf("family%d", i*101)} },
		"users, an address":    func(i int) store.UserQuery { return store.UserQuery{Search: fmt.Sprintf("listed%d@ex", i*97)} },
		"users with a role":    func(int) store.UserQuery { return store.UserQuery{Role: "staff"} },
		"users, verified":      func(int) store.UserQuery { return store.UserQuery{Verified: &yes} },
		"users, disabled":      func(int) store.UserQuery { return store.UserQuery{Status: admin.UserDisabled} },
		"users, page of 10,000": func(int) store.UserQuery {
			return store.UserQuery{Page: admin.Page{Offset: min(admin.MaxOffset, m.w.size/2)}}
		},
		"users, a word and role": func(i int) store.UserQuery { return store.UserQuery{Search: fmt.Sprintf("family%d", i), Role: "staff"} },
	}
	for _, name := range sortedNames(queries) {
		var after *admin.Position
		err := m.read(name, listGoal, func(i int) error {
			q := queries[name](i)
			q.Now, q.Page.Limit = time.Now(), 50
			if q.Search != "" && q.Search != "ad" {
				after = nil // another search each time
			}
			rows, err := m.db.ListUsers(m.ctx, q, after)
			if after = nil; i%2 == 0 {
				after = rows.Next
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// others measures lists of sessions and clients.
func (m *listMeter) others() error {
	page := admin.Page{Limit: 50}
	return errors.Join(
		m.read("sessions", listGoal, func(int) error {
			_, err := m.db.ListSessions(m.ctx, store.SessionQuery{Now: time.Now(), Page: page}, nil)
			return err
		}),
		m.read("sessions of an address", listGoal, func(i int) error {
			q := store.SessionQuery{Now: time.Now(), Page: page, IPs: []string{fmt.Sprintf("192.0.2.%d", i%listedNetworks)}}
			_, err := m.db.ListSessions(m.ctx, q, nil)
			return err
		}),
		m.read("clients by name", listGoal, func(int) error {
			_, err := m.db.ListClients(m.ctx, store.ClientQuery{Page: page}, nil)
			return err
		}),
		m.read("clients, a word", listGoal, func(i int) error {
			_, err := m.db.ListClients(m.ctx, store.ClientQuery{Search: fmt.Sprintf("number%d", i), Page: page}, nil)
			return err
		}),
	)
}

// events measures searches of the audit log.
func (m *listMeter) events() error {
	day := 24 * time.Hour
	at := func(i int) time.Time { return m.w.begin.Add(time.Duration(i%290) * day) }
	queries := map[string]func(i int) admin.AuditQuery{
		"audit, newest": func(int) admin.AuditQuery { return admin.AuditQuery{} },
		"audit, an event in a week": func(i int) admin.AuditQuery {
			return admin.AuditQuery{Type: audit.LoginFailed, Since: at(i), Until: at(i).Add(7 * day)}
		},
		"audit, a rare event": func(int) admin.AuditQuery { return admin.AuditQuery{Type: audit.ClientCreated} },
		"audit, an actor": func(i int) admin.AuditQuery {
			return admin.AuditQuery{Actor: m.w.id(kindListed, i*m.w.size/listReads)}
		},
		"audit, a user": func(i int) admin.AuditQuery {
			return admin.AuditQuery{User: m.w.id(kindListed, i*m.w.size/listReads)}
		},
		"audit, a client": func(i int) admin.AuditQuery {
			return admin.AuditQuery{Client: fmt.Sprintf("app%d", i%listedClients)}
		},
		"audit, a client in a week": func(i int) admin.AuditQuery {
			return admin.AuditQuery{Client: fmt.Sprintf("app%d", i%listedClients), Since: at(i), Until: at(i).Add(7 * day)}
		},
		"audit, an address": func(i int) admin.AuditQuery {
			return admin.AuditQuery{IP: fmt.Sprintf("192.0.2.%d", i%listedNetworks)}
		},
	}
	for _, name := range sortedNames(queries) {
		err := m.read(name, searchGoal, func(i int) error {
			q := queries[name](i)
			q.Limit = 50
			_, err := m.db.SearchAudit(m.ctx, q, admin.Page{Limit: 50}, nil)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// exports measures how fast users and events are read.
func (m *listMeter) exports() error {
	begun, n := time.Now(), 0
	err := m.db.ExportUsers(m.ctx, store.UserQuery{}, func(u *identity.User) error {
		n++
		_, err := io.WriteString(io.Discard, u.Email)
		return err
	})
	if err != nil {
		return err
	}
	m.rate("export of users", n, time.Since(begun), exportGoal)
	begun, n = time.Now(), 0
	for before := ""; ; {
		events, err := m.db.ListAudit(m.ctx, store.AuditQuery{Limit: 500, Before: before})
		if err != nil {
			return err
		}
		if len(events) == 0 || n >= 1_000_000 {
			break
		}
		n, before = n+len(events), events[len(events)-1].ID
	}
	m.rate("export of audit events", n, time.Since(begun), exportGoal)
	return nil
}

// imports measures how fast users are stored, beside all that are there.
func (m *listMeter) imports() error {
	n, begun := min(m.w.size, mostImported), time.Now()
	for from := 0; from < n; from += importChunk {
		now := time.Now()
		var users []*identity.User
		var events []audit.Event
		for i := from; i < min(from+importChunk, n); i++ {
			u := &identity.User{
				ID: identity.UserID(secret.NewID(now)), Email: fmt.Sprintf("new%d@example.org", i),
				Name: fmt.Sprintf("New Family%d", i%familyNames), CreatedAt: now, UpdatedAt: now,
			}
			users = append(users, u)
			events = append(events, audit.Event{At: now, Type: audit.UserCreated, User: string(u.ID)})
		}
		if _, err := m.db.KnownUsers(m.ctx, users, now); err != nil {
			return err
		}
		if err := m.db.ImportUsers(m.ctx, users, events); err != nil {
			return err
		}
	}
	m.rate("import of users", n, time.Since(begun), importGoal)
	return nil
}

func sortedNames[T any](m map[string]T) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
