package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/gatehouse-id/gatehouse/internal/backup"
	"github.com/gatehouse-id/gatehouse/internal/config"
	"github.com/gatehouse-id/gatehouse/internal/fault"
	"github.com/gatehouse-id/gatehouse/internal/s3"
	"github.com/gatehouse-id/gatehouse/internal/secret"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// A backup to a file replaces an older backup, and nothing else.
func TestBackupReplacesOnlyBackups(t *testing.T) {
	s := newShelter(t)
	one := s.sqlite("one")
	s.fill(one)
	file := filepath.Join(s.dir, "a.backup")
	for range 2 {
		s.must(one, "backup", file)
	}
	s.refuses("is not a backup", one, "backup", filepath.Join(s.dir, "one", "g.db"))
	s.must(one, "user", "list")

	notes := filepath.Join(s.dir, "notes.txt")
	testkit.Must(t, os.WriteFile(notes, []byte("of others"), 0o600))
	s.refuses("is not a backup", one, "backup", notes)
	raw, err := os.ReadFile(notes)
	testkit.Must(t, err)
	testkit.Equal(t, "the notes", string(raw), "of others")
}

// A file that appears while a backup is written is not replaced.
func TestBackupKeepsFileThatAppears(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []*folder{{path: dir}, {path: dir, replace: true}} {
		to := filepath.Join(dir, "a.backup")
		err := f.Put(t.Context(), "a.backup", func(w io.Writer) error {
			return os.WriteFile(to, []byte("of others"), 0o600)
		}, func() string { return "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" })
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("replace %v: %v", f.replace, err)
		}
		raw, err := os.ReadFile(to)
		testkit.Must(t, err)
		testkit.Equal(t, "the file", string(raw), "of others")
		testkit.Must(t, os.Remove(to))
	}
	left, err := os.ReadDir(dir)
	testkit.Must(t, err)
	testkit.Equal(t, "files", len(left), 0)
}

// What crashed runs have left goes, and hidden files of others stay.
func TestRemovePartialLeavesOthers(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "[a]*")
	testkit.Must(t, os.Mkdir(dir, 0o700))
	old := time.Now().Add(-48 * time.Hour)
	for name, stays := range map[string]bool{
		".gatehouse-backup-1.partial": false,
		".download.partial":           true,
		".gatehouse-notes":            true,
		"gatehouse-1.partial":         true,
	} {
		path := filepath.Join(dir, name)
		testkit.Must(t, os.WriteFile(path, nil, 0o600))
		testkit.Must(t, os.Chtimes(path, old, old))
		(&folder{path: dir}).removePartial()
		_, err := os.Lstat(path)
		testkit.Equal(t, name+" stays", err == nil, stays)
	}
}

// A database that appears while a restore runs stays.
func TestRestoreKeepsDatabaseThatAppears(t *testing.T) {
	for _, name := range []string{"g.db", "g.db-wal"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "g.db")
		at := &target{path: path, stage: path + ".restoring"}
		testkit.Must(t, os.WriteFile(at.stage, []byte("restored"), 0o600))
		testkit.Must(t, os.WriteFile(filepath.Join(dir, name), []byte("live"), 0o600))
		if err := at.place(); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %v", name, err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, name))
		testkit.Must(t, err)
		testkit.Equal(t, name, string(raw), "live")

		testkit.Must(t, os.Remove(filepath.Join(dir, name)))
		testkit.Must(t, os.WriteFile(path, nil, 0o600)) // an empty file is no database
		testkit.Must(t, at.place())
		raw, err = os.ReadFile(path)
		testkit.Must(t, err)
		testkit.Equal(t, "the database", string(raw), "restored")
	}
}

// The newest backup is one of our key and not of the future, and nobody guesses which database is
// meant.
func TestNewestBackup(t *testing.T) {
	keys, err := secret.NewKeys([]byte(shelterKey))
	testkit.Must(t, err)
	now := time.Date(2030, 1, 10, 12, 0, 0, 0, time.UTC)
	file := func(name, database, key string, at time.Duration) backup.File {
		h := &backup.Header{ID: name, Database: database, Key: key, MadeAt: now.Add(at)}
		return backup.File{Name: name, Header: h, Whole: true}
	}
	ours := keyName(keys)
	files := []backup.File{
		file("old", "db", ours, -2*time.Hour),
		file("new", "db", ours, -time.Hour),
		file("future", "db", ours, 2*time.Hour),
		file("other key", "another", "key", -time.Minute),
	}
	newest, err := newestOf(slices.Clone(files), []*secret.Keys{keys}, now)
	testkit.Must(t, err)
	testkit.Equal(t, "the newest", newest.Name, "new")
	if _, err := newestOf(slices.Clone(files), nil, now); !fault.Is(err, fault.Conflict) {
		t.Errorf("several databases without a key: %v", err)
	}
	if _, err := newestOf(slices.Clone(files[2:]), []*secret.Keys{keys}, now); !fault.Is(err, fault.NotFound) {
		t.Errorf("none of ours: %v", err)
	}
}

const fakePart = 1 << 20 // bytes of a part

// fakeBucket returns a bucket whose server answers requests by intercept unless it returns false.
func fakeBucket(t *testing.T, intercept func(w http.ResponseWriter, r *http.Request) bool) *bucket {
	t.Helper()
	real := gofakes3.New(s3mem.New(), gofakes3.WithAutoBucket(true)).Server()
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !intercept(w, r) {
			real.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(fake.Close)
	c, err := s3.New(s3.Config{
		Endpoint: fake.URL,
		Bucket:   "safe",
		KeyID:    "AKTESTKEYID",
		Secret:   "the-secret-of-the-bucket",
		HTTP:     fake.Client(),
		Now:      time.Now,
		Part:     fakePart,
	})
	testkit.Must(t, err)
	return &bucket{client: c, name: "safe", now: time.Now}
}

// put uploads a file that is no backup.
func (b *bucket) put(t *testing.T, name string) error {
	t.Helper()
	return b.Put(t.Context(), name, func(w io.Writer) error {
		_, err := w.Write([]byte("content"))
		return err
	}, nil)
}

// One object in an archive, or one that is deleted meanwhile, does not hide the others.
func TestListWithUnreadableObjects(t *testing.T) {
	names := []string{
		"gatehouse-20200101T000000Z-0000abcd.backup",
		"gatehouse-20200102T000000Z-0000abcd.backup",
		"gatehouse-20200103T000000Z-0000abcd.backup",
	}
	b := fakeBucket(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet {
			return false
		}
		switch path.Base(r.URL.Path) {
		case names[0]:
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "<Error><Code>InvalidObjectState</Code></Error>")
			return true
		case names[1]:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
			return true
		}
		return false
	})
	for _, name := range names {
		testkit.Must(t, b.put(t, name))
	}
	files, err := b.List(t.Context())
	testkit.Must(t, err)
	testkit.Equal(t, "files", len(files), len(names))
}

// An upload that the server has confirmed counts if its size cannot be asked, and is deleted if it
// has another size.
func TestUploadOfUnknownSize(t *testing.T) {
	for _, size := range []string{"", "3"} {
		uploaded, deleted := false, false
		b := fakeBucket(t, func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.Method == http.MethodPut:
				uploaded = true
			case r.Method == http.MethodDelete:
				deleted = true
			case r.Method == http.MethodHead && uploaded && size == "":
				w.WriteHeader(http.StatusForbidden)
				return true
			case r.Method == http.MethodHead && uploaded:
				w.Header().Set("Content-Length", size)
				return true
			}
			return false
		})
		err := b.put(t, "a.backup")
		testkit.Equal(t, "failed with size "+size, err != nil, size != "")
		testkit.Equal(t, "deleted with size "+size, deleted, size != "")
	}
}

// A killed run leaves an upload behind. A later run aborts it once it is older than any run can be,
// but no upload under another prefix. A backup also succeeds if the uploads cannot be listed.
func TestUploadsOfKilledRuns(t *testing.T) {
	refused := false
	b := fakeBucket(t, func(w http.ResponseWriter, r *http.Request) bool {
		if refused && r.Method == http.MethodGet && r.URL.Query().Has("uploads") {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
		return false
	})
	b.prefix = "shop/"
	testkit.Must(t, b.put(t, "gatehouse-20200101T000000Z-00000000.backup")) // makes the bucket
	stale := []string{"shop/gatehouse-20200101T000000Z-0000abcd.backup", "shop/chosen.backup"}
	others := []string{
		"shop/notes", "shop/other.backup", "shop/of/gatehouse-20200101T000000Z-0000abcd.backup",
		"shop2/gatehouse-20200101T000000Z-0000abcd.backup",
	}
	for _, key := range append(stale, others...) {
		const killed = "the process was killed"
		func() {
			defer func() {
				if v := recover(); v != killed {
					t.Errorf("the upload ended with %v", v)
				}
			}()
			_ = b.client.Put(t.Context(), key, func(w io.Writer) error {
				_, err := w.Write(make([]byte, fakePart+1))
				testkit.Must(t, err)
				panic(killed)
			})
		}()
	}
	left := func() (keys []string) {
		all, err := b.client.Uploads(t.Context(), "")
		testkit.Must(t, err)
		for _, u := range all {
			keys = append(keys, u.Key)
		}
		slices.Sort(keys)
		return keys
	}
	began := time.Now()
	for _, run := range []struct {
		name    string
		refused bool
		later   time.Duration
		want    []string
	}{
		{"a day later", false, 24 * time.Hour, append(slices.Clone(stale), others...)},
		{"without the right to list them", true, 26 * time.Hour, append(slices.Clone(stale), others...)},
		{"two days later", false, 48 * time.Hour, others},
	} {
		refused = run.refused
		b.now = func() time.Time { return began.Add(run.later) }
		testkit.Must(t, b.client.Delete(t.Context(), "shop/chosen.backup"))
		testkit.Must(t, b.put(t, "chosen.backup"))
		testkit.Equal(t, run.name+": doctor finds them", b.CheckUploads(t.Context()) == nil, !run.refused)
		refused = false
		testkit.Equal(t, run.name, left(), slices.Sorted(slices.Values(run.want)))
	}
}

// The key file of a realm is its own, also for backups.
func TestBackupKeyFileOfRealm(t *testing.T) {
	dir := t.TempDir()
	cfg := &config.Config{Realm: "shop"}
	cfg.Storage.DatabaseURL = config.Secret("sqlite:" + filepath.Join(dir, "g.db"))
	if text := missing(cfg)[0]; !strings.Contains(text, "secret-shop.key") {
		t.Error(text)
	}
	testkit.Must(t, os.WriteFile(filepath.Join(dir, "secret-shop.key"), []byte(shelterKey), 0o600))
	keys, err := presentKeys(cfg)
	testkit.Must(t, err)
	testkit.Equal(t, "there are keys", len(keys) > 0, true)
}
