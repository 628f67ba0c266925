package app

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/gatehouse-id/gatehouse/internal/admin"
	"github.com/gatehouse-id/gatehouse/internal/audit"
	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// newBackups returns what makes the backups of a server with such settings.
func newBackups(t *testing.T, environ ...string) maker {
	t.Helper()
	in := install(t, append([]string{"DATABASE_URL=sqlite:" + filepath.Join(t.TempDir(), "g.db")}, environ...)...)
	p, err := openParts(t.Context(), in.e, in.cfg, nil)
	testkit.Must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	ops, err := p.operations(in.e)
	testkit.Must(t, err)
	return maker{backups{in.e, p}, ops}
}

// maker makes backups.
type maker struct {
	backups
	*admin.Operations
}

// queue asks for a backup, as an administrator does.
func (m maker) queue(t *testing.T) {
	t.Helper()
	_, err := m.MakeBackup(t.Context(), admin.CommandLine())
	testkit.Must(t, err)
}

// TestScheduleAndRetention makes backups when they are due or asked for, keeps the newest ones, and
// deletes neither what is not its own nor anything in a run that made none.
func TestScheduleAndRetention(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "backups")
	b := newBackups(t, "BACKUP_TO="+folder, "BACKUP_EVERY=24h", "BACKUP_KEEP=1")
	ctx := t.Context()
	first, err := b.MakeDueBackup(ctx, "a")
	testkit.Must(t, err)
	if first == nil || first.State != admin.BackupGood || first.Actor != audit.ActorSystem {
		t.Fatalf("%+v", first)
	}
	again, err := b.MakeDueBackup(ctx, "a")
	testkit.Must(t, err)
	if again != nil {
		t.Errorf("another one was made at once: %+v", again)
	}
	for _, name := range []string{"notes.txt", "gatehouse-20200101T000000Z-0000abcd.backup"} {
		testkit.Must(t, os.WriteFile(filepath.Join(folder, name), []byte("of others"), 0o600))
	}
	time.Sleep(time.Until(first.StartedAt.Truncate(time.Second).Add(1100 * time.Millisecond))) // headers have seconds
	b.queue(t)
	second, err := b.MakeDueBackup(ctx, "a")
	testkit.Must(t, err)
	if second == nil || second.State != admin.BackupGood || second.Actor != "cli" {
		t.Fatalf("%+v", second)
	}
	left, err := filepath.Glob(filepath.Join(folder, "*"))
	testkit.Must(t, err)
	testkit.Equal(t, "files", len(left), 3)
	if _, err := os.Stat(filepath.Join(folder, second.Name)); err != nil {
		t.Error(err)
	}

	testkit.Must(t, os.Rename(folder, folder+".away"))
	testkit.Must(t, os.WriteFile(folder, nil, 0o600))
	b.queue(t)
	if x, err := b.MakeDueBackup(ctx, "a"); err == nil || x == nil || x.State != admin.BackupFailed || x.Error == "" {
		t.Errorf("%+v %v", x, err)
	}
	left, err = filepath.Glob(filepath.Join(folder+".away", "*"))
	testkit.Must(t, err)
	testkit.Equal(t, "files after a failure", len(left), 3)
	state, err := admin.ReadBackups(ctx, b.p.db, b.Policy(), time.Now())
	testkit.Must(t, err)
	testkit.Equal(t, "failures", state.Failures, 1)
	testkit.Equal(t, "the newest", state.Newest.ID, second.ID)
	if !state.DueAt.Equal(second.StartedAt.Add(24 * time.Hour)) {
		t.Errorf("due at %v", state.DueAt)
	}
	for _, x := range state.List {
		if x.ID == first.ID && x.DeletedAt.IsZero() {
			t.Error("nobody noted that the first one was deleted")
		}
	}
}

// TestRequestsDoNotPushBackupsOut keeps the backups of the schedule where somebody only asks for
// backups, or puts files there.
func TestRequestsDoNotPushBackupsOut(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "backups")
	b := newBackups(t, "BACKUP_TO="+folder, "BACKUP_EVERY=24h", "BACKUP_KEEP=1")
	ctx := t.Context()
	first, err := b.MakeDueBackup(ctx, "a")
	testkit.Must(t, err)
	now, err := b.p.db.Now(ctx)
	testkit.Must(t, err)
	requested := &admin.Backup{
		ID:         secret.NewID(now),
		Actor:      "client:robot",
		Place:      placeName(folder),
		State:      admin.BackupRunning,
		StartedAt:  now.Add(2 * time.Second),
		FinishedAt: now.Add(3 * time.Second),
	}
	testkit.Must(t, b.p.db.AddBackup(ctx, requested, now))
	testkit.Must(t, b.Write(ctx, requested, admin.BackupInput{}))
	requested.State = admin.BackupGood
	testkit.Must(t, b.p.db.SetBackup(ctx, requested))

	planted := &backup.Header{ID: secret.NewID(now), MadeAt: now.Add(time.Minute).Truncate(time.Second)}
	planted.Database, err = b.p.db.DatabaseID(ctx)
	testkit.Must(t, err)
	var file bytes.Buffer
	w, err := backup.NewWriter(&file, planted, []byte("key"), nil)
	testkit.Must(t, err)
	testkit.Must(t, w.Close())
	testkit.Must(t, os.WriteFile(filepath.Join(folder, planted.Name()), file.Bytes(), 0o600))

	files, err := b.Files(ctx, "")
	testkit.Must(t, err)
	for _, f := range files {
		testkit.Equal(t, f.Name+" is complete", f.Good(), true)
	}
	names, err := b.Prune(ctx, requested)
	testkit.Must(t, err)
	testkit.Equal(t, "deleted", len(names), 0)
	if _, err := os.Stat(filepath.Join(folder, first.Name)); err != nil {
		t.Error(err)
	}
}

// TestCopyLeavesBackups makes no backup of a copy where the original's are.
func TestCopyLeavesBackups(t *testing.T) {
	s := newShelter(t)
	s.env = append(s.env, "BACKUP_TO="+filepath.Join(s.dir, "nightly"), "BACKUP_KEEP=1")
	one, two := s.sqlite("one"), s.sqlite("two")
	s.fill(one)
	s.must(one, "backup")
	s.must(two, "restore", filepath.Join(s.dir, "nightly"), "--recover", "--copy")
	s.refuses("is a copy", two, "backup")
	s.must(two, "backup", filepath.Join(s.dir, "other.backup"))
	files, err := os.ReadDir(filepath.Join(s.dir, "nightly"))
	testkit.Must(t, err)
	testkit.Equal(t, "files", len(files), 1)
}

// TestLeaseOfBackups makes no backup while another program does, and takes over what one left
// behind.
func TestLeaseOfBackups(t *testing.T) {
	b := newBackups(t, "BACKUP_TO="+t.TempDir(), "BACKUP_EVERY=24h")
	ctx, db := t.Context(), b.p.db
	ok, err := db.AcquireLease(ctx, backupLeaseName, "another", time.Minute)
	testkit.Must(t, err)
	testkit.Equal(t, "the lease of another", ok, true)
	x, err := b.MakeDueBackup(ctx, "this")
	testkit.Must(t, err)
	if x != nil {
		t.Fatalf("made %+v", x)
	}
	if _, err := b.WriteBackup(ctx, admin.CommandLine(), admin.BackupInput{}); !fault.Is(err, fault.Conflict) {
		t.Errorf("the command line does not wait: %v", err)
	}
	// The other one dies in the middle.
	left := &admin.Backup{ID: secret.NewID(time.Now()), Place: placeName(b.p.cfg.Backups.To), State: admin.BackupRunning, StartedAt: time.Now()}
	testkit.Must(t, db.AddBackup(ctx, left, time.Now()))
	testkit.Must(t, db.ReleaseLease(ctx, backupLeaseName, "another"))
	x, err = b.MakeDueBackup(ctx, "this")
	testkit.Must(t, err)
	if x == nil || x.State != admin.BackupGood {
		t.Fatalf("made %+v", x)
	}
	list, err := db.ListBackups(ctx, "", 10)
	testkit.Must(t, err)
	for _, l := range list {
		if l.ID == left.ID && (l.State != admin.BackupFailed || !strings.Contains(l.Error, "stopped")) {
			t.Errorf("what the other one left: %+v", l)
		}
	}
	ok, err = db.AcquireLease(ctx, backupLeaseName, "a third", time.Minute)
	testkit.Must(t, err)
	testkit.Equal(t, "the lease is free", ok, true)
}

// TestBackupToBucket makes backups of a schedule to a bucket, prunes, lists, verifies and restores
// there. The keys are in nothing that is written.
func TestBackupToBucket(t *testing.T) {
	fake := httptest.NewServer(gofakes3.New(s3mem.New(), gofakes3.WithAutoBucket(true)).Server())
	t.Cleanup(fake.Close)
	s := newShelter(t)
	s.env = append(s.env, "BACKUP_TO=s3://safe/nightly", "BACKUP_KEEP=1", "AWS_ENDPOINT_URL_S3="+fake.URL,
		"AWS_ACCESS_KEY_ID=AKTESTKEYID", "AWS_SECRET_ACCESS_KEY=the-secret-of-the-bucket")
	one := s.sqlite("one")
	s.fill(one)
	stranger, err := http.NewRequestWithContext(t.Context(), http.MethodPut, fake.URL+"/safe/nightly/gatehouse-20200101T000000Z-0000abcd.backup", strings.NewReader("of a stranger"))
	testkit.Must(t, err)
	res, err := http.DefaultClient.Do(stranger)
	testkit.Must(t, err)
	testkit.Must(t, res.Body.Close())
	var names []string
	for i := range 2 {
		var v struct {
			Name, Place string
		}
		testkit.Must(t, json.Unmarshal([]byte(s.must(one, "backup", "--json")), &v))
		testkit.Equal(t, "the place", v.Place, "s3://safe/nightly/")
		names = append(names, v.Name)
		if i == 0 {
			time.Sleep(1100 * time.Millisecond) // headers have seconds
		}
	}
	text := s.must(one, "backup", "list")
	for i, name := range append(names, "gatehouse-20200101T000000Z-0000abcd.backup") {
		if strings.Contains(text, name) != (i > 0) {
			t.Errorf("%d %s: %s", i, name, text)
		}
	}
	status := s.must(one, "backup", "status", "--json")
	s.must(one, "backup", "--verify")
	s.must(s.sqlite("two"), "restore", "s3://safe/nightly/"+names[1], "--move")
	s.must(s.sqlite("three"), "restore", "s3://safe/nightly", "--recover")
	fake.Close()
	code, failed := s.run(one, "backup")
	if code != 1 || !strings.Contains(failed, "cannot be reached") {
		t.Errorf("status %d: %s", code, failed)
	}
	events := s.must(one, "audit", "list", "--json")
	doctor := func() string { _, out := s.run(one, "doctor"); return out }()
	if !strings.Contains(doctor, "not encrypted") || !strings.Contains(doctor, "cannot be reached") {
		t.Errorf("the doctor: %s", doctor)
	}
	for what, text := range map[string]string{"list": text, "status": status, "error": failed, "events": events, "doctor": doctor} {
		for _, secret := range []string{"AKTESTKEYID", "the-secret-of-the-bucket", "Signature="} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %s: %s", what, secret, text)
			}
		}
	}
}
