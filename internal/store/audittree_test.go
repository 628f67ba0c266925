package store_test

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/identity"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A ledger is a database with an audit log, and a second way into it.
type ledger struct {
	db    *store.DB
	raw   sqldb.DB
	ops   *admin.Operations
	now   time.Time
	clock time.Time // of the operations
}

var auditKey = []byte("a key of thirty-two bytes, or so")

func newLedger(t *testing.T, url string) *ledger {
	t.Helper()
	l := &ledger{now: time.UnixMilli(1_790_000_000_000).UTC()}
	l.clock = l.now
	l.db = storetest.Open(t, store.Options{URL: url, AuditKey: auditKey})
	raw, err := sqldb.Open(t.Context(), url, sqldb.Options{})
	testkit.Must(t, err)
	t.Cleanup(func() { _ = raw.Close() })
	l.raw = raw
	l.ops = admin.New(admin.Config{}, admin.Parts{Store: l.db, Now: func() time.Time { return l.clock }})
	return l
}

// record records n events of a user one by one, and returns their ids.
func (l *ledger) record(t *testing.T, n int, user string) (ids []string) {
	t.Helper()
	for range n {
		l.now = l.now.Add(time.Second)
		id := secret.NewID(l.now)
		ids = append(ids, id)
		testkit.Must(t, l.db.Record(t.Context(), audit.Event{
			ID: id, At: l.now, Type: audit.LoginSucceeded, Actor: user, User: user, IP: "192.0.2.7", Agent: "Browser/1",
			Detail: map[string]string{"method": "password"},
		}))
	}
	return ids
}

func (l *ledger) sequence(t *testing.T) int {
	t.Helper()
	n, err := l.db.SequenceAudit(t.Context(), l.now)
	testkit.Must(t, err)
	return n
}

func (l *ledger) verify(t *testing.T, published ...audit.Checkpoint) *admin.Verification {
	t.Helper()
	var in admin.VerifyInput
	private, public, err := audit.NewCheckpointKey("here/audit")
	testkit.Must(t, err)
	in.Keys = []string{public}
	for _, c := range published {
		text, err := c.Sign(private)
		testkit.Must(t, err)
		in.Checkpoints = append(in.Checkpoints, text)
	}
	v, err := l.ops.VerifyAudit(t.Context(), admin.CommandLine(), in)
	testkit.Must(t, err)
	return v
}

func (l *ledger) exec(t *testing.T, text string, args ...any) {
	t.Helper()
	n, err := l.raw.Exec(t.Context(), text, args...)
	testkit.Must(t, err)
	if n == 0 {
		t.Fatalf("nothing was changed by %s", text)
	}
}

// kinds returns the kinds of findings, each once.
func kinds(v *admin.Verification) string {
	var all []string
	for _, f := range v.Findings {
		if !slices.Contains(all, f.Kind) {
			all = append(all, f.Kind)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func onBoth(t *testing.T, test func(*testing.T, func(testing.TB) string)) {
	t.Run("SQLite", func(t *testing.T) { t.Parallel(); test(t, storetest.SQLite) })
	t.Run("PostgreSQL", func(t *testing.T) { t.Parallel(); test(t, storetest.Postgres) })
}

// TestTamperedLog changes the stored log in every way that a person with access to the database
// could, and expects that verification finds and names it.
func TestTamperedLog(t *testing.T) {
	onBoth(t, func(t *testing.T, url func(testing.TB) string) {
		l := newLedger(t, url(t))
		ids := l.record(t, 270, "u1")
		testkit.Equal(t, "placed", l.sequence(t), 270)
		testkit.Equal(t, "placed again", l.sequence(t), 0)
		l.record(t, 2, "u2") // waits
		v := l.verify(t)
		testkit.Equal(t, "findings of an honest log", kinds(v), "")
		testkit.Equal(t, "events", v.Events, 272)
		testkit.Equal(t, "pending", v.Pending, 2)
		victim := ids[200]
		for _, column := range []string{
			"type", "actor", "user_id", "client_id", "session_id", "grant_id", "ip", "agent", "request_id",
			"reason", "detail", "actor_type", "target_type", "target_id", "changes",
		} {
			l.tamper(t, column, victim, admin.FoundAltered,
				"UPDATE audit_log SET "+column+" = "+column+" || 'x' WHERE id = $1",
				"UPDATE audit_log SET "+column+" = SUBSTR("+column+", 1, LENGTH("+column+") - 1) WHERE id = $1")
		}
		l.tamper(t, "at", victim, admin.FoundAltered, "UPDATE audit_log SET at = at + 1 WHERE id = $1",
			"UPDATE audit_log SET at = at - 1 WHERE id = $1")
		l.tamper(t, "salt", victim, admin.FoundAltered, "UPDATE audit_log SET salt = 'A' || salt WHERE id = $1",
			"UPDATE audit_log SET salt = SUBSTR(salt, 2) WHERE id = $1")
		l.tamper(t, "id", victim, admin.FoundAdded+" "+admin.FoundRemoved,
			"UPDATE audit_log SET id = REPLACE(id, '-7', '-8') WHERE id = $1",
			"UPDATE audit_log SET id = $1 WHERE id LIKE '%-8%' AND id = REPLACE($1, '-7', '-8')")
	})
}

// tamper makes a change, expects the kinds of findings that name the event, and undoes it.
func (l *ledger) tamper(t *testing.T, what, id, want, change, undo string) {
	t.Helper()
	l.exec(t, change, id)
	v := l.verify(t)
	testkit.Equal(t, "findings of "+what, kinds(v), want)
	if !slices.ContainsFunc(v.Findings, func(f admin.Finding) bool { return f.Event == id }) {
		t.Errorf("%s: the event is not named: %+v", what, v.Findings)
	}
	l.exec(t, undo, id)
	testkit.Equal(t, "findings after "+what+" was undone", kinds(l.verify(t)), "")
}

// TestTamperedPages changes pages, nodes and the head of the tree.
func TestTamperedPages(t *testing.T) {
	onBoth(t, func(t *testing.T, url func(testing.TB) string) {
		l := newLedger(t, url(t))
		ids := l.record(t, 270, "u1")
		l.sequence(t)
		head, err := l.db.AuditTree(t.Context())
		testkit.Must(t, err)
		published := audit.Checkpoint{Origin: "here/audit", Size: head.Size, Root: head.Root}
		testkit.Equal(t, "findings before", kinds(l.verify(t, published)), "")
		for name, c := range map[string]struct {
			want string
			do   []string
		}{
			"an event is deleted": {"removed", []string{"DELETE FROM audit_log WHERE id = '" + ids[9] + "'"}},
			"an event and its entry are deleted": {
				"checkpoint page removed tree",
				[]string{"DELETE FROM audit_log WHERE id = '" + ids[9] + "'", "UPDATE audit_pages SET entries = '' WHERE position = 9", "UPDATE audit_pages SET n = 0 WHERE position = 9"},
			},
			"a page is deleted":             {"added checkpoint tree", []string{"DELETE FROM audit_pages WHERE position = 40"}},
			"the list of events is altered": {"altered page", []string{"UPDATE audit_pages SET entries = SUBSTR(entries, 1, 40) || 'AAAA' || SUBSTR(entries, 45) WHERE position = 5"}},
			"the root of a page is altered": {"checkpoint page tree", []string{"UPDATE audit_pages SET root = (SELECT root FROM audit_pages WHERE position = 6) WHERE position = 5"}},
			"two pages are exchanged": {"checkpoint tree", []string{
				"UPDATE audit_pages SET position = -1 WHERE position = 5", "UPDATE audit_pages SET position = 5 WHERE position = 6",
				"UPDATE audit_pages SET position = 6 WHERE position = -1",
			}},
			"a node is altered": {"tree", []string{"UPDATE audit_nodes SET hash = (SELECT hash FROM audit_pages WHERE position = 1) WHERE n = 0"}},
			"the end is cut off": {"checkpoint", []string{
				"DELETE FROM audit_log WHERE id >= '" + ids[265] + "'", "DELETE FROM audit_pages WHERE position >= 265",
				"UPDATE audit_tree SET size = 265, root = 'ROOT'",
			}},
			"all is deleted": {"checkpoint", []string{
				"DELETE FROM audit_log", "DELETE FROM audit_pages", "DELETE FROM audit_nodes", "DELETE FROM audit_tree",
			}},
			"a part is blanked as if it were erased": {"blanked", []string{
				"UPDATE audit_log SET erased = 'COMMIT', salt = '', detail = '', changes = '', ip = '', agent = '' WHERE id = '" + ids[3] + "'",
			}},
		} {
			t.Run(name, func(t *testing.T) {
				l := newLedger(t, url(t))
				own := l.record(t, 270, "u1")
				l.sequence(t)
				head, err := l.db.AuditTree(t.Context())
				testkit.Must(t, err)
				for _, text := range c.do {
					for i := range ids {
						text = strings.ReplaceAll(text, ids[i], own[i])
					}
					l.exec(t, l.expand(t, text, own[3]))
				}
				v := l.verify(t, audit.Checkpoint{Origin: "here/audit", Size: head.Size, Root: head.Root})
				testkit.Equal(t, "findings", kinds(v), c.want)
			})
		}
	})
}

// expand fills in what an attacker would compute.
func (l *ledger) expand(t *testing.T, text, victim string) string {
	t.Helper()
	if strings.Contains(text, "ROOT") {
		root, err := l.db.AuditRoot(t.Context(), 265)
		testkit.Must(t, err)
		text = strings.ReplaceAll(text, "ROOT", root.String())
	}
	if strings.Contains(text, "COMMIT") {
		rows, err := l.db.AuditRows(t.Context(), []string{victim})
		testkit.Must(t, err)
		r := rows[victim]
		testkit.Must(t, r.Erase(audit.PartOrigin))
		testkit.Must(t, r.Erase(audit.PartFacts))
		text = strings.ReplaceAll(text, "COMMIT", r.Erased)
	}
	return text
}

// TestForgedPages puts a page into the queue that no server wrote.
func TestForgedPages(t *testing.T) {
	onBoth(t, func(t *testing.T, url func(testing.TB) string) {
		l := newLedger(t, url(t))
		l.record(t, 3, "u1")
		l.sequence(t)
		p := audit.NewPage(secret.NewID(l.now), "w", 1, []audit.Entry{{ID: secret.NewID(l.now)}})
		l.exec(t, "INSERT INTO audit_pending (id, writer, seq, n, first_id, last_id, root, entries, mac)"+
			" VALUES ($1, 'w', 1, 1, $2, $2, $3, $4, $5)", p.ID, p.First, p.Root.String(),
			audit.EncodeEntries(p.Entries), p.Sum([]byte("another key")))
		l.record(t, 3, "u1")
		testkit.Equal(t, "placed", l.sequence(t), 3)
		testkit.Equal(t, "placed again", l.sequence(t), 0)
		testkit.Equal(t, "findings", kinds(l.verify(t)), "forged removed")
	})
}

// TestSeveralWriters records events by two servers, in transactions, in batches and with rotations,
// some of which fail, while a third places the pages.
func TestSeveralWriters(t *testing.T) {
	onBoth(t, func(t *testing.T, url func(testing.TB) string) {
		at := url(t)
		l := newLedger(t, at)
		other := storetest.Open(t, store.Options{URL: at, AuditKey: auditKey})
		ctx := t.Context()
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				db := []*store.DB{l.db, other}[i%2]
				for n := range 20 {
					ev := audit.Event{At: l.now, Type: audit.UserCreated, Actor: "cli", User: fmt.Sprint(i, n)}
					u := &identity.User{ID: identity.UserID(secret.NewID(l.now)), Username: fmt.Sprintf("name%d-%d", i%4, n), CreatedAt: l.now, UpdatedAt: l.now}
					err := db.CreateUser(ctx, u, ev) // of two, one fails
					if err != nil && !fault.Is(err, fault.Conflict) {
						t.Error(err)
					}
					if err := db.Record(ctx, ev, ev); err != nil {
						t.Error(err)
					}
				}
			})
		}
		stop, done := context.WithCancel(ctx)
		finished := make(chan struct{})
		go func() {
			defer close(finished)
			for stop.Err() == nil {
				if _, err := l.db.SequenceAudit(ctx, l.now); err != nil {
					t.Error(err)
				}
			}
		}()
		wg.Wait()
		done()
		<-finished
		l.sequence(t)
		v := l.verify(t)
		testkit.Equal(t, "findings", fmt.Sprint(v.Findings), "[]")
		testkit.Equal(t, "events", v.Events, 8*20*2+4*20)
	})
}

// TestProof proves events by themselves.
func TestProof(t *testing.T) {
	onBoth(t, func(t *testing.T, url func(testing.TB) string) {
		l := newLedger(t, url(t))
		ids := l.record(t, 300, "u1")
		l.sequence(t)
		head, err := l.db.AuditTree(t.Context())
		testkit.Must(t, err)
		more := l.record(t, 5, "u1")
		pending, err := l.db.ProveEvent(t.Context(), more[4], 0)
		testkit.Must(t, err)
		testkit.Must(t, pending.Check())
		testkit.Equal(t, "pending", pending.Pending, true)
		l.sequence(t)
		for _, id := range []string{ids[0], ids[255], ids[256], ids[299]} {
			for _, size := range []int64{0, head.Size} {
				x, err := l.db.ProveEvent(t.Context(), id, size)
				testkit.Must(t, err)
				testkit.Must(t, x.Check())
				rows, err := l.db.AuditRows(t.Context(), []string{id})
				testkit.Must(t, err)
				hash, err := rows[id].Hash()
				testkit.Must(t, err)
				if hash != x.Row || size > 0 && x.Root != head.Root {
					t.Errorf("%s: another row or tree is proved", id)
				}
			}
		}
		_, err = l.raw.Exec(t.Context(), "UPDATE audit_log SET reason = 'altered' WHERE id = $1", more[0])
		testkit.Must(t, err)
		_, err = l.db.ProveEvent(t.Context(), more[0], 0)
		testkit.Equal(t, "proof of an altered event", fault.Is(err, fault.Conflict), true)
		_, err = l.db.ProveEvent(t.Context(), secret.NewID(l.now), 0)
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("an unknown event: %v", err)
		}
	})
}

// TestErasedPerson deletes a user in both ways: nothing that belongs to them stays, and the log
// still verifies.
func TestErasedPerson(t *testing.T) {
	onBoth(t, func(t *testing.T, url func(testing.TB) string) {
		at := url(t)
		l := newLedger(t, at)
		ctx := t.Context()
		u := &identity.User{
			ID: identity.UserID(secret.NewID(l.now)), Username: "zacharias", Email: "zach@forget.example", Name: "Zacharias Nobody",
			CreatedAt: l.now, UpdatedAt: l.now,
		}
		other := &identity.User{ID: identity.UserID(secret.NewID(l.now)), Username: "stays", CreatedAt: l.now, UpdatedAt: l.now}
		testkit.Must(t, l.db.CreateUser(ctx, other))
		testkit.Must(t, l.db.CreateUser(ctx, u, audit.Event{
			At: l.now, Type: audit.UserCreated, Actor: string(other.ID), ActorType: audit.ActorUser, User: string(u.ID), IP: "198.51.100.1",
			Detail:  map[string]string{"email": u.Email, "username": u.Username},
			Changes: []audit.Change{{Field: "name", After: u.Name}},
		}))
		testkit.Must(t, l.db.Record(ctx,
			audit.Event{At: l.now, Type: audit.LoginSucceeded, Actor: string(u.ID), User: string(u.ID), IP: "203.0.113.77", Agent: "Zach/1"},
			audit.Event{At: l.now, Type: audit.LoginFailed, User: string(u.ID), IP: "203.0.113.78"},
			audit.Event{At: l.now, Type: audit.RefreshTokenUsed, Actor: "c", Client: "c", User: string(u.ID), IP: "203.0.113.79"},
			audit.Event{
				At: l.now, Type: audit.UserUpdated, Actor: string(u.ID), ActorType: audit.ActorUser, User: string(other.ID),
				IP: "203.0.113.80", Detail: map[string]string{"changed": "name"},
			},
		))
		l.sequence(t)
		before, err := l.db.AuditTree(ctx)
		testkit.Must(t, err)
		testkit.Must(t, l.db.DeleteUser(ctx, u.ID, l.now, audit.Event{
			At: l.now, Type: audit.UserDeleted, Actor: "cli", User: string(u.ID), Detail: map[string]string{"x": "y"},
		}))
		l.record(t, 1, string(u.ID)) // while the deletion was under way
		_, err = l.db.Sweep(ctx, l.now.Add(3*time.Minute))
		testkit.Must(t, err)
		v := l.verify(t, audit.Checkpoint{Origin: "here/audit", Size: before.Size, Root: before.Root})
		testkit.Equal(t, "findings", fmt.Sprint(v.Findings), "[]")
		testkit.Equal(t, "erased events", v.Erased > 4, true)
		for _, text := range []string{"zach", "Zach", "203.0.113", "192.0.2.7", "Browser/1"} {
			var n int
			testkit.Must(t, l.raw.Row(ctx, "SELECT COUNT(*) FROM audit_log WHERE ip LIKE '%"+text+"%' OR agent LIKE '%"+text+
				"%' OR detail LIKE '%"+text+"%' OR changes LIKE '%"+text+"%'").Scan(&n))
			testkit.Equal(t, "events with "+text, n, 0)
		}
		var n int
		testkit.Must(t, l.raw.Row(ctx, "SELECT COUNT(*) FROM audit_log WHERE ip = '198.51.100.1'").Scan(&n))
		testkit.Equal(t, "what belongs to the administrator", n, 1)
		l.gone(t, at, "zach@forget.example", "Zacharias", "203.0.113.77")
	})
}

// gone expects that the files of a SQLite database contain none of the texts, a while after they
// were erased.
func (l *ledger) gone(t *testing.T, url string, texts ...string) {
	t.Helper()
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok {
		return
	}
	testkit.Eventually(t, "the files are rid of the person", func() bool {
		for _, name := range []string{path, path + "-wal"} {
			// In another process: closing the file in this one would release SQLite's locks.
			raw, err := exec.CommandContext(t.Context(), "cat", name).Output()
			if err != nil {
				continue
			}
			for _, text := range texts {
				if strings.Contains(string(raw), text) {
					return false
				}
			}
		}
		return true
	})
}

// comesBack switches the sink on again that was off while retention removed events which it did not
// have: they are a gap, recorded once.
func (l *ledger) comesBack(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for range 2 {
		s, err := l.db.OpenSink(ctx, "file", l.now)
		testkit.Must(t, err)
		testkit.Equal(t, "the sink is active", s.Active, true)
		testkit.Equal(t, "given up on", s.Parked, 18)
		testkit.Equal(t, "position", s.Position, audit.Position{Page: 29, Event: audit.EndOfPage})
	}
	gaps, err := l.db.Gaps(ctx, admin.GapQuery{Limit: 10})
	testkit.Must(t, err)
	testkit.Equal(t, "gaps", len(gaps), 1)
	testkit.Equal(t, "reason of the gap", gaps[0].Reason, audit.GapOff)
	testkit.Equal(t, "events in the gap", gaps[0].Events, 18)
	pages, err := l.db.AuditPages(ctx, 12, 18)
	testkit.Must(t, err)
	testkit.Equal(t, "first event", gaps[0].First, pages[0].First)
	testkit.Equal(t, "last event", gaps[0].Last, pages[17].Last)
	dead, err := l.db.ListAudit(ctx, store.AuditQuery{Type: audit.DeliveryDead})
	testkit.Must(t, err)
	testkit.Equal(t, "records of the gap", len(dead), 1)
}

// TestRetention removes old pages by policy, but not what a sink still needs.
func TestRetention(t *testing.T) {
	onBoth(t, func(t *testing.T, url func(testing.TB) string) {
		l := newLedger(t, url(t))
		ctx := t.Context()
		l.record(t, 20, "u1")
		testkit.Must(t, l.db.Record(ctx, audit.Event{At: l.now, Type: audit.UserDeleted, Actor: "cli", User: "gone"}))
		l.record(t, 9, "u1")
		l.sequence(t)
		cutoff := l.now.Add(time.Millisecond)
		l.now = l.now.Add(24 * time.Hour)
		l.record(t, 10, "u1")
		l.sequence(t)
		_, err := l.db.OpenSink(ctx, "file", l.now)
		testkit.Must(t, err)
		l.exec(t, "UPDATE sinks SET position = 12, position_event = ''")
		prune := func(what string, want int64) {
			t.Helper()
			n, err := l.db.PruneAudit(ctx, cutoff, l.now, "system")
			testkit.Must(t, err)
			testkit.Equal(t, what, n, want)
			v := l.verify(t)
			testkit.Equal(t, "findings after "+what, fmt.Sprint(v.Findings), "[]")
		}
		prune("removed while a sink waits", 12)
		l.exec(t, "UPDATE sinks SET active = FALSE")
		prune("removed afterwards", 17)
		prune("removed again", 0)
		v := l.verify(t)
		testkit.Equal(t, "removed by policy", v.Pruned, 29)
		events, err := l.db.ListAudit(ctx, store.AuditQuery{Type: audit.LogPruned})
		testkit.Must(t, err)
		testkit.Equal(t, "records of removals", len(events), 2)
		l.comesBack(t)
		// Somebody removes more than the policy did.
		pages, err := l.db.AuditPages(ctx, 33, 1)
		testkit.Must(t, err)
		l.exec(t, "DELETE FROM audit_log WHERE id = $1", pages[0].Entries[0].ID)
		testkit.Equal(t, "findings", kinds(l.verify(t)), "removed")
	})
}
