package storetest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/outbox"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

func outboxCases() []testCase {
	return []testCase{
		{"Deliveries of a change", (*suite).deliveriesOfChange},
		{"Claims of deliveries", (*suite).claims},
		{"Finished deliveries", (*suite).finishedDeliveries},
		{"Deliveries are swept", (*suite).sweptDeliveries},
		{"State of the outbox", (*suite).outboxState},
		{"Observed operations", (*suite).observedOperations},
	}
}

func (s *suite) deliveryFields(t *testing.T, f *filler) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	var d, next outbox.Delivery
	f.fill(&d)
	d.State = outbox.Queued
	testkit.Must(t, db.Record(ctx, audit.Event{At: s.now, Type: audit.UserUpdated, Deliveries: []outbox.Delivery{d}}))
	deliveryReads(t, db, "stored", &d)

	claimed, err := db.ClaimDeliveries(ctx, outbox.Claim{
		Holder: "server1", Now: d.NextAttemptAt, Until: d.NextAttemptAt.Add(time.Hour), Limit: 10,
	})
	testkit.Must(t, err)
	testkit.Equal(t, "claimed", len(claimed), 1)
	d.Attempts++
	d.Holder = "server1"
	d.NextAttemptAt = d.NextAttemptAt.Add(time.Hour)
	same(t, "claimed", &claimed[0], &d)

	f.change(&next)
	d.State, d.Attempts, d.LastError = outbox.Dead, next.Attempts, next.LastError
	d.NextAttemptAt, d.FinishedAt = next.NextAttemptAt, next.FinishedAt
	testkit.Must(t, db.FinishDeliveries(ctx, []outbox.Delivery{d}))
	d.Holder = ""
	deliveryReads(t, db, "finished", &d)
}

// deliveryReads compares a delivery with what each method reads of it.
func deliveryReads(t *testing.T, db *store.DB, what string, d *outbox.Delivery) {
	t.Helper()
	got, err := db.Delivery(t.Context(), d.ID)
	testkit.Must(t, err)
	same(t, what, got, d)
	q := outbox.Query{Kind: d.Kind, State: d.State, To: d.To}
	n, err := db.CountDeliveries(t.Context(), q)
	testkit.Must(t, err)
	testkit.Equal(t, what+", counted", n, 1)
	all, err := db.ListDeliveries(t.Context(), q)
	testkit.Must(t, err)
	listed := *d
	listed.Content = ""
	same(t, what+", listed", &all[0], &listed)
}

// queued returns a delivery that is due.
func (s *suite) queued(target string) outbox.Delivery {
	return outbox.Delivery{
		ID:            outbox.ID(s.name("delivery")),
		Kind:          outbox.KindMail,
		Target:        target,
		To:            target,
		About:         "test",
		Content:       "sealed",
		State:         outbox.Queued,
		CreatedAt:     s.now,
		NextAttemptAt: s.now,
	}
}

// A change and its deliveries are stored together or not at all.
func (s *suite) deliveriesOfChange(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	ev := audit.Event{At: s.now, Type: audit.UserDisabled, Deliveries: []outbox.Delivery{s.queued("a")}}
	err := db.SetUserDisabled(ctx, "nobody", true, s.now, ev)
	testkit.Equal(t, "kind", fault.KindOf(err), fault.NotFound)
	due, err := db.DeliveriesDue(ctx, s.now)
	testkit.Must(t, err)
	testkit.Equal(t, "due after a failed change", due, false)

	u := s.user(t)
	testkit.Must(t, s.db.SetUserDisabled(ctx, u.ID, true, s.now, ev))
	got, err := s.db.Delivery(ctx, ev.Deliveries[0].ID)
	testkit.Must(t, err)
	testkit.Equal(t, "state", got.State, outbox.Queued)
}

// What is claimed: what is due, the oldest first, each once, and nothing behind one that waits.
func (s *suite) claims(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	waits, behind, other, later := s.queued("a"), s.queued("a"), s.queued("b"), s.queued("c")
	waits.NextAttemptAt = s.now.Add(time.Minute)
	later.NextAttemptAt = s.now.Add(time.Second)
	all := []outbox.Delivery{waits, behind, other, later}
	testkit.Must(t, db.Record(ctx, audit.Event{At: s.now, Type: audit.UserUpdated, Deliveries: all}))

	claim := func(now time.Time, n int) (ids []outbox.ID) {
		t.Helper()
		got, err := db.ClaimDeliveries(ctx, outbox.Claim{Holder: "a", Now: now, Until: now.Add(time.Hour), Limit: n})
		testkit.Must(t, err)
		for _, d := range got {
			ids = append(ids, d.ID)
		}
		return ids
	}
	testkit.Equal(t, "at first", fmt.Sprint(claim(s.now, 10)), fmt.Sprint([]outbox.ID{other.ID}))
	testkit.Equal(t, "again", fmt.Sprint(claim(s.now, 10)), "[]")
	testkit.Equal(t, "later", fmt.Sprint(claim(s.now.Add(time.Second), 10)), fmt.Sprint([]outbox.ID{later.ID}))
	minute := s.now.Add(time.Minute)
	testkit.Equal(t, "the number is bounded", fmt.Sprint(len(claim(minute, 1))), "1")
	// A server that takes over has the claims of the one that died at once, and leaves its own.
	testkit.Must(t, db.ReleaseDeliveries(ctx, "a", minute))
	testkit.Equal(t, "after its own release", len(claim(minute, 10)), 1)
	testkit.Must(t, db.ReleaseDeliveries(ctx, "b", minute))
	testkit.Equal(t, "after another's release", len(claim(minute, 10)), 4)
	// A claim ends by itself.
	testkit.Equal(t, "after the claims", len(claim(s.now.Add(3*time.Hour), 10)), 4)
}

// What was sent has no content any more; what is dead keeps it, and can be queued again, once.
func (s *suite) finishedDeliveries(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	sent, dead, useless := s.queued("a"), s.queued("b"), s.queued("c")
	useless.ExpiresAt = s.now.Add(time.Minute)
	request := s.queued("d")
	request.Kind = outbox.KindResetRequest
	late := s.queued("e")
	late.Kind = outbox.KindCodeRequest
	all := []outbox.Delivery{sent, dead, useless, request, late}
	testkit.Must(t, db.Record(ctx, audit.Event{At: s.now, Type: audit.UserUpdated, Deliveries: all}))
	all[0].State, all[1].State, all[2].State = outbox.Sent, outbox.Dead, outbox.Dead
	all[3].State, all[4].State = outbox.Sent, outbox.Expired
	for i := range all {
		all[i].FinishedAt = s.now
	}
	testkit.Must(t, db.FinishDeliveries(ctx, all))
	content := func(id outbox.ID) string {
		d, err := db.Delivery(ctx, id)
		testkit.Must(t, err)
		return d.Content
	}
	testkit.Equal(t, "content of the sent", content(sent.ID), "")
	testkit.Equal(t, "content of the dead", content(dead.ID), "sealed")
	_, err := db.Delivery(ctx, request.ID)
	testkit.Equal(t, "a processed request", fault.KindOf(err), fault.NotFound)
	_, err = db.Delivery(ctx, late.ID)
	testkit.Equal(t, "a request that came too late", fault.KindOf(err), fault.NotFound)

	// A worker whose claim has ended meanwhile does not change what is final.
	stale := sent
	stale.State = outbox.Queued
	testkit.Must(t, db.FinishDeliveries(ctx, []outbox.Delivery{stale}))
	got, err := db.Delivery(ctx, sent.ID)
	testkit.Must(t, err)
	testkit.Equal(t, "state of the sent", got.State, outbox.Sent)

	later := s.now.Add(time.Hour)
	testkit.Must(t, db.RetryDelivery(ctx, dead.ID, later))
	for name, row := range map[string]struct {
		id   outbox.ID
		want fault.Kind
	}{
		"queued already": {dead.ID, fault.Conflict},
		"sent":           {sent.ID, fault.Conflict},
		"of no use":      {useless.ID, fault.Conflict},
		"unknown":        {"none", fault.NotFound},
	} {
		testkit.Equal(t, name, fault.KindOf(db.RetryDelivery(ctx, row.id, later)), row.want)
	}
	claimed, err := db.ClaimDeliveries(ctx, outbox.Claim{Now: later, Until: later.Add(time.Hour), Limit: 10})
	testkit.Must(t, err)
	testkit.Equal(t, "claimed again", len(claimed), 1)
}

// Deliveries in a final state are deleted after a while, queued ones never.
func (s *suite) sweptDeliveries(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	sent, dead, queued := s.queued("a"), s.queued("b"), s.queued("c")
	all := []outbox.Delivery{sent, dead, queued}
	testkit.Must(t, db.Record(ctx, audit.Event{At: s.now, Type: audit.UserUpdated, Deliveries: all}))
	all[0].State, all[0].FinishedAt = outbox.Sent, s.now
	all[1].State, all[1].FinishedAt = outbox.Dead, s.now
	testkit.Must(t, db.FinishDeliveries(ctx, all[:2]))
	for _, row := range []struct {
		after time.Duration
		left  int
	}{
		{outbox.SentRetention - time.Second, 3},
		{outbox.SentRetention + time.Second, 2},
		{outbox.DeadRetention + time.Second, 1},
		{10 * outbox.DeadRetention, 1},
	} {
		_, err := db.Sweep(ctx, s.now.Add(row.after))
		testkit.Must(t, err)
		n, err := db.CountDeliveries(ctx, outbox.Query{})
		testkit.Must(t, err)
		testkit.Equal(t, "left after "+row.after.String(), n, row.left)
	}
}

// The state counts what is queued and dead, and knows since when the oldest delivery waits.
func (s *suite) outboxState(t *testing.T) {
	ctx, db := t.Context(), s.newDB(t, store.Options{})
	want := func(queued, dead int, oldest time.Time) {
		t.Helper()
		q, d, at, err := db.OutboxState(ctx)
		testkit.Must(t, err)
		if q != queued || d != dead || !at.Equal(oldest) && queued > 0 {
			t.Errorf("%d queued since %v, %d dead; want %d since %v, %d", q, at, d, queued, oldest, dead)
		}
	}
	want(0, 0, time.Time{})
	first, second, third := s.queued("a"), s.queued("b"), s.queued("c")
	second.CreatedAt = s.now.Add(-time.Hour)
	testkit.Must(t, db.Queue(ctx, first, second, third))
	want(3, 0, second.CreatedAt)
	second.State, second.FinishedAt = outbox.Dead, s.now
	third.State, third.FinishedAt = outbox.Sent, s.now
	testkit.Must(t, db.FinishDeliveries(ctx, []outbox.Delivery{second, third}))
	want(1, 1, first.CreatedAt)
}

// operations records what an observer sees.
type operations struct {
	mu    sync.Mutex
	texts []string
	ended []store.Operation
}

// Begin implements sqldb.Observer.
func (o *operations) Begin(ctx context.Context, _ bool, text string) (context.Context, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.texts = append(o.texts, text)
	return ctx, true
}

// End implements sqldb.Observer.
func (o *operations) End(_ context.Context, op store.Operation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = append(o.ended, op)
}

// An observer sees each operation begin and end, those inside of a transaction as part of it, and
// changes nothing. Texts hold no values.
func (s *suite) observedOperations(t *testing.T) {
	ctx, o := t.Context(), &operations{}
	types := map[audit.Type]int{}
	db := s.newDB(t, store.Options{Observer: o, OnEvent: func(ev *audit.Event) { types[ev.Type]++ }})
	o.texts, o.ended = nil, nil
	testkit.Must(t, db.Queue(ctx, s.queued("ada@example.com")))
	testkit.Must(t, db.Record(ctx, audit.Event{At: s.now, Type: audit.UserUpdated}))
	if _, err := db.Delivery(ctx, "none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v", err)
	}
	testkit.Equal(t, "events", types[audit.UserUpdated], 1)
	o.mu.Lock()
	defer o.mu.Unlock()
	testkit.Equal(t, "operations that ended", len(o.ended), len(o.texts))
	inside, writes := 0, 0
	for _, op := range o.ended {
		if op.Inside {
			inside++
		} else if op.Write {
			writes++
		}
	}
	if inside == 0 || writes < 2 || !fault.Is(o.ended[len(o.ended)-1].Err, fault.NotFound) {
		t.Errorf("%d statements in transactions, %d changes of %+v", inside, writes, o.ended)
	}
	if text := strings.Join(o.texts, "\n"); strings.Contains(text, "ada@") || !strings.Contains(text, "INSERT INTO outbox") {
		t.Errorf("the texts are %s", text)
	}
}
