package app

import (
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-id/gatehouse/internal/fault"
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
