package store

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
)

const (
	metaCounted   = "events_counted" // the id of the last event that is in hourly_counts
	countedChunk  = 5000             // events that are read at once
	countedChunks = 200              // in one run of the job, so that it ends
	countedBefore = 30 * 24 * time.Hour
	// Events of the last seconds may still be on their way to storage.
	countedDelay = 10 * time.Second
	hourlyStays  = 400 * 24 * time.Hour
	maxSize      = 100_000 // how far Sizes counts
	recentGaps   = 30 * 24 * time.Hour
	addHourly    = "INSERT INTO hourly_counts (hour, name, n) VALUES ($1, $2, $3)" +
		" ON CONFLICT (hour, name) DO UPDATE SET n = hourly_counts.n + excluded.n"
	setHourly = "INSERT INTO hourly_counts (hour, name, n) VALUES ($1, $2, $3)" +
		" ON CONFLICT (hour, name) DO UPDATE SET n = excluded.n"
	countSessions = "SELECT COUNT(*) FROM sessions WHERE expires_at > $1 AND (last_seen_at >= $2 OR stay)"
	moveCounted   = "UPDATE meta SET value = $1 WHERE name = $2 AND value = $3"
	sweepHourly   = "DELETE FROM hourly_counts WHERE hour <= $1"
	selectHourly  = "SELECT hour, name, n FROM hourly_counts WHERE hour >= $1 ORDER BY hour, name"
)

// CountEvents adds the events of the audit log that have not been counted yet to the counts of
// their hours. It stores each part of the work together with how far it has come, so that neither a
// crash nor two servers count an event twice.
func (d *DB) CountEvents(ctx context.Context, now time.Time) error {
	start := secret.IDAt(now.Add(-countedBefore))
	last, err := d.InitMeta(ctx, metaCounted, start)
	if err != nil {
		return err
	}
	for range countedChunks {
		next, err := d.countChunk(ctx, last, secret.IDAt(now.Add(-countedDelay)))
		if err != nil {
			return err
		}
		if next == "" {
			break
		}
		last = next
	}
	if err := d.sampleSessions(ctx, now); err != nil {
		return err
	}
	_, err = d.sql.Exec(ctx, sweepHourly, unixMilli(now.Add(-hourlyStays)))
	return err
}

// sampleSessions counts the active sessions every ten minutes, and in each hour at least once: it
// reads all of them.
func (d *DB) sampleSessions(ctx context.Context, now time.Time) error {
	hour := unixMilli(now.UTC().Truncate(time.Hour))
	done, err := exists(ctx, d.sql, "SELECT 1 FROM hourly_counts WHERE hour = $1 AND name = $2", hour, admin.CountSessions)
	if err != nil || done && now.Minute()%10 != 0 {
		return err
	}
	var n int64
	err = d.sql.Row(ctx, countSessions, unixMilli(now), seenSince(now, d.o.IdleTimeout)).Scan(&n)
	if err == nil {
		_, err = d.sql.Exec(ctx, setHourly, hour, admin.CountSessions, n)
	}
	return err
}

type hourlyKey struct {
	hour int64
	name string
}

// countChunk counts events after the one with an id and before another id. It returns the id of the
// last one, or "" where there is none or another server was faster.
func (d *DB) countChunk(ctx context.Context, after, before string) (string, error) {
	types := slices.DeleteFunc(audit.Types(), func(t audit.Type) bool { return admin.Counted(t) == "" })
	w := &where{}
	w.add("id > ", after, true)
	w.add("id < ", before, true)
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = w.param(string(t))
	}
	text := "SELECT id, at, type, detail FROM audit_log" + w.String() +
		" AND type IN (" + strings.Join(names, ", ") + ") ORDER BY id LIMIT " + w.param(countedChunk)
	counts, last := map[hourlyKey]int64{}, ""
	err := each(ctx, d.sql, func(r sqldb.Row) error {
		var e audit.Event
		if err := r.Scan(&e.ID, unixMillis{&e.At}, (*string)(&e.Type), detailJSON{&e.Detail}); err != nil {
			return err
		}
		n, err := strconv.ParseInt(e.Detail["count"], 10, 64)
		if err != nil || n < 1 { // most events stand for themselves
			n = 1
		}
		last = e.ID
		counts[hourlyKey{unixMilli(e.At.UTC().Truncate(time.Hour)), admin.Counted(e.Type)}] += n
		return nil
	}, text, w.args...)
	if err != nil || last == "" {
		return "", err
	}
	moved := false
	err = d.sql.Write(ctx, func(tx sqldb.Tx) error {
		n, err := tx.Exec(ctx, moveCounted, last, metaCounted, after)
		if moved = n == 1; err != nil || !moved {
			return err
		}
		for key, n := range counts {
			if _, err := tx.Exec(ctx, addHourly, key.hour, key.name, n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || !moved {
		return "", err
	}
	return last, nil
}

// HourlyCounts returns what was counted in the hours that begin from a time on.
func (d *DB) HourlyCounts(ctx context.Context, from time.Time) ([]admin.HourlyCount, error) {
	return list(ctx, d.sql, func(r sqldb.Row) (*admin.HourlyCount, error) {
		var c admin.HourlyCount
		err := r.Scan(unixMillis{&c.Hour}, &c.Name, &c.N)
		return &c, err
	}, selectHourly, unixMilli(from))
}

// Sizes returns how many things there are, each up to a bound.
func (d *DB) Sizes(ctx context.Context, now time.Time) (out admin.Sizes, err error) {
	a := &out.Attention
	soon, recent := unixMilli(now.Add(admin.ExpiringSoon)), secret.IDAt(now.Add(-recentGaps))
	for _, s := range []struct {
		to   *admin.Size
		from string
		args []any
	}{
		{&out.Users, "users", nil},
		{&out.Clients, "clients", nil},
		{&out.DeadMail, "outbox WHERE state <> 'queued' AND state = 'dead' AND kind = 'mail'", nil},
		{&out.LockedUsers, "locks WHERE locked_until > 0 AND locked_until > $1 AND name LIKE 'user:%'", []any{unixMilli(now)}},
		{&a.ExpiringSecrets, "(SELECT DISTINCT client_id FROM client_secrets WHERE expires_at > 0 AND expires_at > $1" +
			" AND expires_at <= $2) AS expiring", []any{unixMilli(now), soon}},
		{&a.FailingSinks, "sinks WHERE active = TRUE AND failing_since > 0", nil},
		{&a.Gaps, "sink_gaps WHERE id >= $1 AND state = 'parked'", []any{recent}},
		{&a.EndedWebhooks, "webhooks WHERE ended <> ''", nil},
		{&a.OldKeys, "keys WHERE retired_at = 0 AND active_at < $1", []any{unixMilli(now.Add(-admin.OldKey))}},
	} {
		if *s.to, err = d.sizeOf(ctx, s.from, s.args...); err != nil {
			return out, err
		}
	}
	return out, nil
}

// sizeOf counts rows up to a bound.
func (d *DB) sizeOf(ctx context.Context, from string, args ...any) (admin.Size, error) {
	var n int
	text := "SELECT COUNT(*) FROM (SELECT 1 AS one FROM " + from + " LIMIT " + strconv.Itoa(maxSize+1) + ") AS bounded"
	err := d.sql.Row(ctx, text, args...).Scan(&n)
	if fault.Is(err, fault.NotFound) {
		err = nil
	}
	return admin.Size{N: min(n, maxSize), AtLeast: n > maxSize}, err
}
