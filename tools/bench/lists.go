package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

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
	listReads      = 100
	listEach       = 2 * time.Second // for the reads of one list, once there are a fifth of them
	termChunk      = 2_000_000       // words that are sorted at once
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

// measureLists fills a database with users, sessions, clients and audit events, past the slow path,
// and measures what administrators do with them, also in the browser.
func (b *bench) measureLists(ctx context.Context) error {
	for _, e := range b.engines {
		if err := b.listsOn(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) listsOn(ctx context.Context, e engine) error {
	if err := b.roomFor(b.lists + b.events/2); err != nil {
		return err
	}
	url, err := b.fresh(ctx, e, "lists")
	if err != nil {
		return err
	}
	b.say("filling a database of %s with %s users and %s audit events", e, count(float64(b.lists)), count(float64(b.events)))
	begun := time.Now()
	w, err := b.newWorld(ctx, e, url, 1000)
	if err != nil {
		return err
	}
	most := max(b.lists, b.events)
	w.size, w.pace = max(b.lists, 1000), max(300*24*time.Hour/time.Duration(most), time.Millisecond).Truncate(time.Millisecond)
	if err := w.fillLists(ctx, b.events); err != nil {
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
	err = b.measured(m)
	m.db.Close()
	if err != nil || !b.wanted("console") {
		return err
	}
	pages, err := b.console(ctx, w)
	for _, f := range pages {
		m.add(f)
	}
	return err
}

// measured measures the parts that -rows names.
func (b *bench) measured(m *listMeter) error {
	for _, part := range []struct {
		name    string
		measure func() error
	}{
		{"users", m.users},
		{"sessions", m.sessions},
		{"clients", m.clients},
		{"audit", m.events},
		{"export", m.exports},
		{"import", m.imports},
	} {
		if !b.wanted(part.name) {
			continue
		}
		if err := part.measure(); err != nil {
			return err
		}
	}
	m.summary()
	return nil
}

// fillLists makes the rows: users with sessions, and audit events. One user in ten is not verified,
// one in a hundred disabled, one in 1500 locked; all have the role staff, one in 200 the role
// medium and three the role rare.
func (w *world) fillLists(ctx context.Context, events int) error {
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
		"created_at": w.timeText(), "updated_at": w.timeText(), "last_login_at": w.shuffledTime(),
		"email_verified": "(seq.n % 10 <> 0)", "disabled": "(seq.n % 100 = 3)",
		"locked_at": "CASE WHEN seq.n % 1500 = 7 THEN 1 ELSE 0 END",
		"roles":     "'staff' || CASE WHEN seq.n % 200 = 0 THEN ' medium' ELSE '' END || CASE WHEN seq.n < 3 THEN ' rare' ELSE '' END",
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
		err = w.fillEvents(ctx, l, address, events)
	}
	return errors.Join(err, l.close(ctx))
}

// shuffledTime returns the SQL expression of a time that is not in the order of the ids.
func (w *world) shuffledTime() string {
	return fmt.Sprintf("(%d + (seq.n * 7919 %% %d) * %d)", w.begin.UnixMilli(), w.size, w.pace.Milliseconds())
}

// fillTerms makes the words by which users and clients are found, in the order of their index, and
// counts the rows.
func (w *world) fillTerms(ctx context.Context, l *loader, name, full string) error {
	terms := [][2]string{
		{"lower(substr(" + full + ", 5))"},
		{"'ada'"},
		{"'listed' || seq.n"},
		{"'@' || " + name},
		{"'#staff'"},
		{"'#medium'", " WHERE seq.n % 200 = 0"},
		{"'#rare'", " WHERE seq.n < 3"},
	}
	var texts []string
	for _, term := range terms {
		for from := 0; from < w.size; from += termChunk {
			texts = append(texts, fmt.Sprintf("INSERT INTO user_terms (term, id) SELECT %s, %s FROM %s%s ORDER BY 1, 2",
				term[0], w.idText(kindListed), l.numbers(from, min(from+termChunk, w.size)), term[1]))
		}
	}
	clients := min(w.size, mostListed)
	for _, term := range []string{"'application'", "'number' || seq.n"} {
		texts = append(texts, fmt.Sprintf("INSERT INTO client_terms (term, id) SELECT %s, 'app' || seq.n FROM %s",
			term, l.numbers(0, clients)))
	}
	for _, table := range []string{"users", "clients"} {
		texts = append(texts,
			"DELETE FROM counts WHERE name = '"+table+"'",
			"INSERT INTO counts (name, writer, n, at) SELECT '"+table+"', '', COUNT(*), 0 FROM "+table)
	}
	for _, text := range texts {
		if _, err := l.db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%.60s: %w", text, err)
		}
	}
	return nil
}

// fillEvents copies an event of the log n times.
func (w *world) fillEvents(ctx context.Context, l *loader, address string, n int) error {
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
		user := w.idText(kindListed, fmt.Sprintf("(seq.n * 7919 %% %d)", w.size))
		return l.clone(ctx, "audit_log", "id", key, n, map[string]string{
			"id": w.idText(kindEvent), "at": w.timeText(), "type": strings.Join(kinds, " ") + " END",
			"actor": user, "user_id": user, "ip": address,
			"reason":    "CASE seq.n % 4 WHEN 1 THEN 'wrong_password' ELSE '' END",
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
	reads  []readTime
}

// add prints a figure as soon as it is known: a large database takes an hour.
func (m *listMeter) add(f fact) {
	mark := "  "
	if f.goal != "" {
		mark = map[bool]string{true: "✓ ", false: "✗ "}[f.met]
	}
	fmt.Printf("%s%-9s %-60s %-32s %s\n", mark, f.engine, f.name, f.value, f.goal)
}

// read measures a list again and again: listReads times, fewer where they take long.
func (m *listMeter) read(name string, most time.Duration, f func(i int) error) error {
	var times []time.Duration
	start := time.Now()
	for i := range listReads {
		begun := time.Now()
		if i >= listReads/5 && begun.Sub(start) > listEach {
			break
		}
		if err := f(i); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		times = append(times, time.Since(begun))
	}
	slices.Sort(times)
	p50, p99 := times[len(times)/2], times[len(times)*99/100]
	m.reads = append(m.reads, readTime{name, p50, p99, most})
	m.add(fact{
		name: name, engine: m.engine,
		value: fmt.Sprintf("p50 %s, p99 %s", brief(p50), brief(p99)),
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
