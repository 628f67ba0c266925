package store_test

import (
	"database/sql"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"github.com/gatehouse-id/gatehouse/internal/store/storetest"
)

var update = flag.Bool("update", false, "write the golden file")

// TestStoredRows compares the rows of all tables, column by column, with those in a golden file.
// It finds two columns that are swapped in the list of an entity, and so in all of its statements
// alike: a database that an earlier release wrote would be read wrongly.
func TestStoredRows(t *testing.T) {
	url, begun := storetest.SQLite(t), time.Now().Add(-time.Millisecond)
	storetest.StoreEveryField(t, url)
	db, err := sql.Open("sqlite", strings.TrimPrefix(url, "sqlite:"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var lines []string
	// Pages of the audit log contain hashes of random values.
	const tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('migrations', 'audit_pending')"
	for _, table := range dump(t, db, begun, tables) {
		name := strings.TrimPrefix(table, "name=")
		for _, row := range dump(t, db, begun, "SELECT * FROM "+name) {
			if !strings.Contains(row, "=NOW") { // the system scopes
				lines = append(lines, name+": "+row)
			}
		}
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	const file = "testdata/rows.golden"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("what is stored has changed; run with -update if it should have (-want +got):\n%s", d)
	}
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// dump returns the rows of a result as text. Random identifiers and times since begun are
// replaced.
func dump(t *testing.T, db *sql.DB, begun time.Time, query string) (lines []string) {
	t.Helper()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for rows.Next() {
		values, dest := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for i, v := range values {
			if ms, ok := v.(int64); ok && ms >= begun.UnixMilli() && ms <= time.Now().UnixMilli() {
				v = "NOW"
			}
			fmt.Fprintf(&b, "%s=%v ", names[i], v)
		}
		lines = append(lines, uuid.ReplaceAllString(strings.TrimSpace(b.String()), "UUID"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}
