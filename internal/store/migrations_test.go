package store_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/store/sqldb"
	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// beforeRules is the newest migration that is older than the rules.
const beforeRules = "0029"

// Migrations keep the rules of CONTRIBUTING: they say which programs may use the schema afterwards,
// build no index of an existing table under their lock, change one existing table each, and add no
// column that an earlier program would leave out and must not.
func TestMigrationRules(t *testing.T) {
	names, err := filepath.Glob("migrations/*.sql")
	testkit.Must(t, err)
	for _, name := range names {
		text, err := os.ReadFile(name)
		testkit.Must(t, err)
		if number := sqldb.Number(filepath.Base(name)); number > beforeRules {
			for _, found := range brokenRules(string(text)) {
				t.Errorf("%s: %s", name, found)
			}
		}
	}
}

var (
	createsTable = regexp.MustCompile(`(?i)CREATE TABLE (\w+)`)
	altersTable  = regexp.MustCompile(`(?i)ALTER TABLE (\w+)`)
	buildsIndex  = regexp.MustCompile(`(?i)CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?\w+ ON (\w+)`)
	addsColumn   = regexp.MustCompile(`(?i)ADD COLUMN [^;]*`)
)

func brokenRules(text string) (found []string) {
	if !strings.HasPrefix(text, "-- compatible-from: ") {
		found = append(found, "it does not begin with -- compatible-from: NNNN")
	}
	made, altered := map[string]bool{}, map[string]bool{}
	for _, m := range createsTable.FindAllStringSubmatch(text, -1) {
		made[m[1]] = true
	}
	for _, m := range altersTable.FindAllStringSubmatch(text, -1) {
		if !made[m[1]] {
			altered[m[1]] = true
		}
	}
	if len(altered) > 1 {
		found = append(found, "it changes more than one existing table; make it several files")
	}
	for _, m := range buildsIndex.FindAllStringSubmatch(text, -1) {
		apart := strings.Contains(text, "\n-- outside-transaction\n") && strings.Contains(m[0], "CONCURRENTLY IF NOT EXISTS")
		if !made[m[1]] && !apart {
			found = append(found, "it builds an index of an existing table under its lock")
		}
	}
	for _, m := range addsColumn.FindAllString(text, -1) {
		if strings.Contains(m, "NOT NULL") && !strings.Contains(m, "DEFAULT") {
			found = append(found, "a column without DEFAULT: an earlier program does not write it")
		}
	}
	return found
}

// The rules find what they are for.
func TestRulesOfMigrations(t *testing.T) {
	for text, want := range map[string]int{
		"-- compatible-from: 0029\nCREATE TABLE n (a TEXT NOT NULL); CREATE INDEX n_a ON n (a);":                      0,
		"-- compatible-from: 0029\nALTER TABLE users ADD COLUMN a TEXT NOT NULL DEFAULT '';":                          0,
		"-- compatible-from: 0029\n-- outside-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS u_a ON users (a);": 0,
		"ALTER TABLE users ADD COLUMN a TEXT NOT NULL;":                                                               2,
		"-- compatible-from: 0029\nCREATE INDEX u_a ON users (a);":                                                    1,
		"-- compatible-from: 0029\nALTER TABLE users ADD COLUMN a TEXT; ALTER TABLE grants ADD COLUMN a TEXT;":        1,
		"-- compatible-from: 0029\nCREATE INDEX CONCURRENTLY IF NOT EXISTS u_a ON users (a);":                         1,
	} {
		if got := brokenRules(text); len(got) != want {
			t.Errorf("%q: %q; want %d", text, got, want)
		}
	}
}
