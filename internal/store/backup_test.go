package store_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/client"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/oauth"
	"github.com/gatehouse-id/gatehouse/internal/store"
	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// stays names the tables whose rows a recovery leaves, and why.
var stays = map[string]string{
	"account_deletions":   "their owners asked for it; they get time to think again",
	"audit_checkpoints":   "history",
	"audit_keys":          "sign checkpoints, not tokens",
	"audit_log":           "history; it goes on as another one",
	"audit_nodes":         "history",
	"audit_pages":         "history",
	"audit_pending":       "history",
	"audit_tree":          "history; its epoch is another one",
	"backups":             "history",
	"bulk_actions":        "stopped, and can be looked at",
	"bulk_items":          "of a stopped action",
	"certificate_files":   "certificates are public, and their accounts stand",
	"changes":             "numbers that only grow, with marks of this history",
	"client_secrets":      "secrets of clients are not tokens; that they may have changed is said",
	"client_terms":        "of the search",
	"clients":             "approvals of them stand; their registration access tokens are dead",
	"config_documents":    "definitions",
	"config_labels":       "of the documents",
	"consents":            "approvals stand",
	"counts":              "of rows; they are corrected daily",
	"credentials":         "factors stand; codes that may have been used do not work again",
	"distrusted_browsers": "distrust stands",
	"email_claims":        "addresses that are reserved",
	"former_usernames":    "reserved",
	"grants":              "approvals stand; their refresh tokens are dead",
	"held_usernames":      "reserved",
	"hourly_counts":       "statistics",
	"keys":                "all are withdrawn; who has an old token can find out why it is refused",
	"locks":               "lockouts stand",
	"mail_failures":       "knowledge about addresses",
	"meta":                "values of the whole database; the identity of the log is another one",
	"once":                "what was used once is not usable again",
	"outbox":              "what was queued is not sent",
	"passkey_handles":     "factors stand",
	"password_history":    "passwords stand",
	"pictures":            "of people",
	"refusals":            "history",
	"replaced_passwords":  "passwords stand",
	"revocations":         "revocations stand",
	"roles":               "definitions",
	"routes":              "definitions",
	"scopes":              "definitions",
	"sink_gaps":           "history",
	"sinks":               "definitions",
	"user_emails":         "of people",
	"user_terms":          "of the search",
	"users":               "accounts stand",
	"webhook_deliveries":  "events are delivered at least once",
	"webhooks":            "definitions",
}

// memoryBackup writes a backup into memory.
func memoryBackup(t *testing.T, db *store.DB, key []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	h := &backup.Header{ID: "0123456789", MadeAt: time.Now(), Program: "test"}
	_, err := db.WriteBackup(t.Context(), h, store.BackupOptions{
		Begin: func(h *backup.Header) (*backup.Writer, error) { return backup.NewWriter(&out, h, key, nil) },
	})
	testkit.Must(t, err)
	return out.Bytes()
}

// loadBackup fills an empty database.
func loadBackup(t *testing.T, url string, raw, key []byte) error {
	t.Helper()
	r, err := backup.NewReader(bytes.NewReader(raw))
	testkit.Must(t, err)
	defer r.Stop()
	return store.LoadBackup(t.Context(), store.LoadOptions{
		Options: store.Options{URL: url},
		Mark:    "0123456789",
		Key:     key,
	}, r)
}

// contents returns what a backup has of each table but meta, whose rows tell the copies apart.
func contents(t *testing.T, raw []byte) []backup.Count {
	t.Helper()
	r, err := backup.NewReader(bytes.NewReader(raw))
	testkit.Must(t, err)
	defer r.Stop()
	testkit.Must(t, r.Begin(nil))
	problems, err := r.Verify(nil)
	testkit.Must(t, err)
	testkit.Equal(t, "problems", len(problems), 0)
	return slices.DeleteFunc(r.Counts(), func(c backup.Count) bool { return c.Table == "meta" })
}

// A database with something in every column of every table goes from SQLite to PostgreSQL and back:
// each row is the same, bit by bit.
func TestBackupKeepsEveryField(t *testing.T) {
	key, first := []byte("key"), storetest.SQLite(t)
	storetest.StoreEveryField(t, first)
	fillEmpty(t, first)
	raw := memoryBackup(t, storetest.Open(t, store.Options{URL: first}), key)
	want := contents(t, raw)
	for _, c := range want {
		if c.Rows == 0 && !readAtStart[c.Table] {
			t.Errorf("nothing in table %s", c.Table)
		}
	}
	for _, url := range []string{storetest.Postgres(t), storetest.SQLite(t)} {
		if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
			testkit.Must(t, mkdirOf(path))
		}
		testkit.Must(t, loadBackup(t, url, raw, key))
		db := storetest.Open(t, store.Options{URL: url})
		if err := db.Restoring(t.Context()); !fault.Is(err, fault.Conflict) {
			t.Errorf("a database that is not complete: %v", err)
		}
		raw = memoryBackup(t, db, key)
		if have := contents(t, raw); !slices.Equal(have, want) {
			t.Errorf("%.8s: %v, want %v", url, have, want)
		}
	}
}

// readAtStart are tables whose rows a server understands before it does anything else: made-up ones
// would be refused.
var readAtStart = map[string]bool{
	"audit_checkpoints": true, "audit_keys": true, "audit_nodes": true, "audit_pages": true, "audit_tree": true,
	"routes": true,
}

// fillEmpty puts a made-up row into each table of a SQLite database that has none.
func fillEmpty(t *testing.T, url string) {
	t.Helper()
	db, err := sqldb.Open(t.Context(), url, sqldb.Options{})
	testkit.Must(t, err)
	defer func() { testkit.Must(t, db.Close()) }()
	texts, err := sqldb.ReadSteps(store.Migrations())
	testkit.Must(t, err)
	all := make([]string, 0, len(texts))
	for _, s := range texts {
		all = append(all, s.Text)
	}
	tables, err := sqldb.Tables(t.Context(), db, sqldb.SQLite, all)
	testkit.Must(t, err)
	for _, table := range tables { // parents come first
		var n int
		testkit.Must(t, db.Row(t.Context(), "SELECT COUNT(*) FROM "+table.Name).Scan(&n))
		if n > 0 || readAtStart[table.Name] {
			continue
		}
		var names, values []string
		for _, c := range table.Columns {
			value := map[string]string{"TEXT": "'é中 \\N'", "BIGINT": "-7", "BOOLEAN": "TRUE"}[c.Type]
			parents := map[string]string{"user_id": "users", "session_id": "sessions", "action_id": "bulk_actions"}
			if parent := parents[c.Name]; slices.Contains(table.Parents, parent) {
				value = "(SELECT id FROM " + parent + " LIMIT 1)"
			}
			names, values = append(names, c.Name), append(values, value)
		}
		_, err := db.Exec(t.Context(), fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table.Name,
			strings.Join(names, ", "), strings.Join(values, ", ")))
		testkit.Must(t, err)
	}
}

// Every table either ends with a recovery or stays for a reason.
func TestRecoveryKnowsEveryTable(t *testing.T) {
	raw := memoryBackup(t, storetest.Memory(t), nil)
	for _, c := range append(contents(t, raw), backup.Count{Table: "meta"}) {
		ends, why := slices.Contains(store.Ended(), c.Table), stays[c.Table]
		if ends == (why != "") {
			t.Errorf("does table %s end with a recovery? Add it to the list of store, or to that of this test", c.Table)
		}
	}
}

// After a recovery all that could be used once more is dead on either engine, and approvals and
// factors stand.
func TestRecovery(t *testing.T) {
	key, first := []byte("key"), storetest.SQLite(t)
	storetest.StoreEveryField(t, first)
	fillEmpty(t, first)
	source := storetest.Open(t, store.Options{URL: first})
	raw := memoryBackup(t, source, key)
	log, err := source.RevocationLog(t.Context())
	testkit.Must(t, err)
	for name, url := range map[string]string{"sqlite": storetest.SQLite(t), "postgres": storetest.Postgres(t)} {
		t.Run(name, func(t *testing.T) {
			if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
				testkit.Must(t, mkdirOf(path))
			}
			testkit.Must(t, loadBackup(t, url, raw, key))
			r := &recovery{t, url, storetest.Open(t, store.Options{URL: url}), time.Now()}
			r.recover()
			r.check(log)
		})
	}
}

// recovery is a database that is recovered.
type recovery struct {
	t   *testing.T
	url string
	db  *store.DB
	now time.Time
}

// recover completes the restore. A client was registered before.
func (r *recovery) recover() {
	r.t.Helper()
	ctx := r.t.Context()
	testkit.Must(r.t, r.db.CreateClient(ctx, &client.Client{ID: "app", Name: "App"}))
	done, err := r.db.FinishRestore(ctx, store.Restore{
		Recover: true,
		Now:     r.now,
		Event:   audit.Event{At: r.now, Type: audit.BackupRestored, Actor: "cli"},
	})
	testkit.Must(r.t, err)
	if done.Tokens == 0 || done.Keys == 0 || done.Ended["sessions"] == 0 || done.Ended["links"] == 0 {
		r.t.Errorf("ended: %+v", done)
	}
}

// count returns how many rows a condition finds.
func (r *recovery) count(from string) (n int) {
	r.t.Helper()
	db, err := sqldb.Open(r.t.Context(), r.url, sqldb.Options{})
	testkit.Must(r.t, err)
	defer func() { testkit.Must(r.t, db.Close()) }()
	testkit.Must(r.t, db.Row(context.Background(), "SELECT COUNT(*) FROM "+from).Scan(&n))
	return n
}

func (r *recovery) check(log string) {
	r.t.Helper()
	for _, table := range store.Ended() {
		testkit.Equal(r.t, "rows of "+table, r.count(table), 0)
	}
	for _, none := range []string{
		"grants WHERE refresh_hash <> '' OR prev_hash <> '' OR attempt <> ''",
		fmt.Sprintf("keys WHERE expires_at = 0 OR expires_at > %d", r.now.UnixMilli()),
		"clients WHERE registration_hash <> '' OR registration_next <> ''",
		"outbox WHERE state = 'queued'",
		"bulk_actions WHERE state = 'running'",
		fmt.Sprintf("credentials WHERE kind = 'totp' AND last_step < %d", r.now.Unix()/30),
		"meta WHERE name = 'restoring'",
	} {
		testkit.Equal(r.t, none, r.count(none), 0)
	}
	for _, some := range []string{"users", "grants", "consents", "credentials", "audit_log WHERE type = 'BACKUP_RESTORED'"} {
		if r.count(some) == 0 {
			r.t.Errorf("nothing in %s", some)
		}
	}
	ctx := r.t.Context()
	if now, err := r.db.RevocationLog(ctx); err != nil || now == log {
		r.t.Errorf("the log of revocations has the identity of before: %v", err)
	}
	testkit.Must(r.t, r.db.Restoring(ctx))
	server := storetest.Open(r.t, store.Options{URL: r.url})
	testkit.Must(r.t, server.Load(ctx))
	for at, revoked := range map[time.Time]bool{r.now.Add(-time.Minute): true, r.now.Add(time.Minute): false} {
		testkit.Equal(r.t, fmt.Sprint("a token of ", at, " is revoked"),
			server.Revoked(&oauth.AccessToken{ID: "x", Client: "app", IssuedAt: at}), revoked)
	}
}

// A restore that did not end can be made again, and one over data is refused.
func TestRestoreRefusesData(t *testing.T) {
	key := []byte("key")
	raw := memoryBackup(t, storetest.Memory(t), key)
	url := storetest.Postgres(t)
	for range 2 { // the second one replaces the first one, which is marked
		testkit.Must(t, loadBackup(t, url, raw, key))
	}
	db := storetest.Open(t, store.Options{URL: url})
	_, err := db.FinishRestore(t.Context(), store.Restore{Now: time.Now(), Event: audit.Event{Type: audit.BackupRestored}})
	testkit.Must(t, err)
	if err := loadBackup(t, url, raw, key); !fault.Is(err, fault.Conflict) {
		t.Errorf("over data: %v", err)
	}
	if err := loadBackup(t, storetest.Postgres(t), raw, []byte("another key")); !fault.Is(err, fault.Invalid) {
		t.Errorf("with another key: %v", err)
	}
}

// A restore creates the schema of a realm that is missing.
func TestRestoreIntoMissingSchema(t *testing.T) {
	raw := memoryBackup(t, storetest.Memory(t), []byte("key"))
	url := storetest.Postgres(t)
	if strings.Contains(url, "?") {
		url += "&search_path=realm_shop"
	} else {
		url += "?search_path=realm_shop"
	}
	o := store.Options{URL: url, Schema: "realm_shop"}
	testkit.Must(t, store.CheckTarget(t.Context(), o))
	r, err := backup.NewReader(bytes.NewReader(raw))
	testkit.Must(t, err)
	defer r.Stop()
	testkit.Must(t, store.LoadBackup(t.Context(), store.LoadOptions{Options: o, Mark: "0123456789", Key: []byte("key")}, r))
}

// A restore into a database of another application is refused, and leaves its table of migrations.
func TestRestoreKeepsOtherMigrations(t *testing.T) {
	key, url := []byte("key"), storetest.Postgres(t)
	raw := memoryBackup(t, storetest.Memory(t), key)
	db, err := sqldb.Open(t.Context(), url, sqldb.Options{Readers: 2})
	testkit.Must(t, err)
	defer func() { testkit.Must(t, db.Close()) }()
	testkit.Must(t, db.Write(t.Context(), func(tx sqldb.Tx) error {
		_, err := tx.Exec(t.Context(), "CREATE TABLE migrations (version TEXT)")
		return err
	}))
	if err := store.CheckTarget(t.Context(), store.Options{URL: url}); !fault.Is(err, fault.Conflict) {
		t.Errorf("the check: %v", err)
	}
	if err := loadBackup(t, url, raw, key); !fault.Is(err, fault.Conflict) {
		t.Errorf("the restore: %v", err)
	}
	var n int
	testkit.Must(t, db.Row(t.Context(), "SELECT COUNT(version) FROM migrations").Scan(&n))
}

// While a migration has its lock no snapshot begins, and while there is a snapshot no migration
// begins.
func TestBackupKeepsMigrationsOut(t *testing.T) {
	db, err := sqldb.Open(t.Context(), storetest.Postgres(t), sqldb.Options{Readers: 4})
	testkit.Must(t, err)
	defer func() { testkit.Must(t, db.Close()) }()
	try := fmt.Sprintf("SELECT pg_try_advisory_xact_lock(%d, hashtext(current_schema()))", sqldb.SchemaLock)
	earlier := fmt.Sprintf("SELECT pg_try_advisory_xact_lock(%d)", int64(sqldb.MigrationLock))
	var free, freeEarlier bool
	testkit.Must(t, sqldb.ReadSnapshot(t.Context(), db, sqldb.SnapshotOptions{}, func(sqldb.Snapshot) error {
		if err := db.Row(t.Context(), earlier).Scan(&freeEarlier); err != nil {
			return err
		}
		return db.Row(t.Context(), try).Scan(&free)
	}))
	testkit.Equal(t, "a migration can begin", free, false)
	testkit.Equal(t, "a migration of an earlier release can begin", freeEarlier, false)
	ended := make(chan error, 1)
	testkit.Must(t, db.Write(t.Context(), func(tx sqldb.Tx) error {
		testkit.Must(t, tx.Row(t.Context(), try).Scan(&free))
		testkit.Equal(t, "the lock is free afterwards", free, true)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		ended <- sqldb.ReadSnapshot(ctx, db, sqldb.SnapshotOptions{}, func(sqldb.Snapshot) error { return io.EOF })
		return nil
	}))
	if err := <-ended; err == nil || err == io.EOF {
		t.Errorf("a snapshot began: %v", err)
	}
}

func mkdirOf(path string) error { return os.MkdirAll(filepath.Dir(path), 0o700) }
