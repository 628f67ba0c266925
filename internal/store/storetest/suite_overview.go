package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/jose"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
	"github.com/gatehouse-id/gatehouse/internal/webhook"
)

// overviewCases returns the tests of what the overview shows, and the page of a client.
func overviewCases() []testCase {
	return []testCase{
		{"Counts by the hour", (*suite).hourly},
		{"What needs attention", (*suite).attention},
		{"Checkpoints that were sent", (*suite).sentCheckpoints},
		{"Denials of a client", (*suite).denialsOfClient},
		{"Changes together", (*suite).together},
	}
}

// hourly counts events by the hour, once each, however many servers count at once and whenever
// they are asked again.
func (s *suite) hourly(t *testing.T) {
	db := Open(t, store.Options{URL: s.url(t)})
	hour := s.now.UTC().Truncate(time.Hour)
	record := func(at time.Time, typ audit.Type, count string) {
		e := audit.Event{At: at, Type: typ, Actor: "a"}
		if count != "" {
			e.Detail = map[string]string{"count": count}
		}
		testkit.Must(t, db.Record(t.Context(), e))
	}
	for i := range 3 {
		record(hour.Add(time.Duration(i)*time.Second), audit.LoginSucceeded, "")
	}
	record(hour.Add(-time.Hour), audit.LoginSucceeded, "")
	record(hour.Add(time.Second), audit.LoginFailed, "40")
	record(hour.Add(time.Second), audit.TokensIssued, "1000")
	record(hour.Add(time.Second), audit.AccessTokenIssued, "nonsense")
	record(hour.Add(time.Second), audit.UserCreated, "")
	record(hour.Add(-60*24*time.Hour), audit.LoginSucceeded, "") // too long ago
	now := hour.Add(time.Minute)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := db.CountEvents(t.Context(), now); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	record(now.Add(-2*time.Second), audit.AccountLocked, "") // may not be the last of its time yet
	testkit.Must(t, db.CountEvents(t.Context(), now))
	want := map[string]int{
		"-1h0m0s sign_ins": 1,
		"0s sign_ins":      3,
		"0s failures":      40,
		"0s tokens":        1001,
		"0s sessions":      0,
	}
	if diff := cmp.Diff(want, s.hours(t, db, hour)); diff != "" {
		t.Error(diff)
	}
	testkit.Must(t, db.CountEvents(t.Context(), now.Add(time.Minute)))
	want["0s locks"] = 1
	if diff := cmp.Diff(want, s.hours(t, db, hour)); diff != "" {
		t.Error(diff)
	}
	testkit.Must(t, db.CreateUser(t.Context(), &identity.User{ID: "someone", Email: "a@example.com", CreatedAt: s.now}))
	sizes, err := db.Sizes(t.Context(), now)
	testkit.Must(t, err)
	testkit.Equal(t, "users", sizes.Users, admin.Size{N: 1})
	testkit.Equal(t, "what needs attention", sizes.Attention, admin.Attention{})
}

// attention counts what an administrator should look at, and nothing else.
func (s *suite) attention(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	now := s.now
	secretThat := func(ends time.Time) client.Secret {
		return client.Secret{ID: secret.NewID(now), Hash: secret.Hash(secret.NewID(now)), CreatedAt: now, ExpiresAt: ends}
	}
	for i, ends := range [][]time.Time{
		{now.Add(time.Hour), now.Add(2 * time.Hour)}, {now.Add(admin.ExpiringSoon + time.Hour)}, {{}}, {now.Add(-time.Hour)},
	} {
		c := &client.Client{ID: client.ID(fmt.Sprint("c", i)), Name: "x", CreatedAt: now, UpdatedAt: now}
		for _, at := range ends {
			c.Secrets = append(c.Secrets, secretThat(at))
		}
		testkit.Must(t, db.CreateClient(ctx, c))
	}
	for _, name := range []string{"syslog", "file"} {
		sink, err := db.OpenSink(ctx, name, now)
		testkit.Must(t, err)
		if name == "syslog" {
			moved := *sink
			moved.FailingSince, moved.Attempts = now, 3
			gap := audit.Gap{ID: secret.NewID(now), Sink: name, Parked: true, Reason: audit.GapRefused, Events: 2, CreatedAt: now}
			old := audit.Gap{ID: secret.NewID(now.Add(-40 * 24 * time.Hour)), Sink: name, Parked: true, Reason: audit.GapRefused, Events: 2, CreatedAt: now}
			waits := audit.Gap{ID: secret.NewID(now), Sink: name, Reason: audit.GapRefused, Events: 2, CreatedAt: now, NextAttemptAt: now}
			testkit.Must(t, db.AdvanceSink(ctx, sink.Position, &moved, []audit.Gap{gap, old, waits}))
		}
	}
	gone := &webhook.Webhook{ID: "gone", Version: 1, Active: true, URL: "https://a.example", Events: []string{"*"}, CreatedAt: now, UpdatedAt: now}
	testkit.Must(t, db.CreateWebhook(ctx, gone))
	testkit.Must(t, db.EndWebhook(ctx, gone, "gone", now))
	for i, since := range []time.Time{now.Add(-admin.OldKey - time.Hour), now} {
		testkit.Must(t, db.AddKey(ctx, jose.StoredKey{ID: fmt.Sprint("k", i), Alg: jose.ES256, PublicJWK: "{}", CreatedAt: since, ActiveAt: since}))
	}
	sizes, err := db.Sizes(ctx, now)
	testkit.Must(t, err)
	one := admin.Size{N: 1}
	testkit.Equal(t, "what needs attention", sizes.Attention, admin.Attention{
		ExpiringSecrets: one, FailingSinks: one, Gaps: one, EndedWebhooks: one, OldKeys: one,
	})
}

// sentCheckpoints records how attempts to send checkpoints end.
func (s *suite) sentCheckpoints(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	now := s.now.UTC()
	check := func(what string, want admin.CheckpointSent) {
		t.Helper()
		got, err := db.CheckpointSent(ctx)
		testkit.Must(t, err)
		testkit.Equal(t, what, got, want)
	}
	check("before the first", admin.CheckpointSent{})
	testkit.Must(t, db.SetCheckpointSent(ctx, now, nil))
	check("taken", admin.CheckpointSent{At: now})
	testkit.Must(t, db.SetCheckpointSent(ctx, now.Add(time.Minute), errors.New("status 500")))
	testkit.Must(t, db.SetCheckpointSent(ctx, now.Add(2*time.Minute), errors.New("status 502")))
	check("failing", admin.CheckpointSent{At: now, FailingSince: now.Add(time.Minute), Error: "status 502"})
	testkit.Must(t, db.SetCheckpointSent(ctx, now.Add(time.Hour), nil))
	check("taken again", admin.CheckpointSent{At: now.Add(time.Hour)})
}

// hours returns the counts around an hour.
func (s *suite) hours(t *testing.T, db *store.DB, hour time.Time) map[string]int {
	t.Helper()
	counts, err := db.HourlyCounts(t.Context(), hour.Add(-24*time.Hour))
	testkit.Must(t, err)
	out := map[string]int{}
	for _, c := range counts {
		out[fmt.Sprintf("%s %s", c.Hour.Sub(hour), c.Name)] = c.N
	}
	return out
}
