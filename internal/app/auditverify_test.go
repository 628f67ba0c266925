package app

import (
	"database/sql"
	"encoding/json"
	"strings"
	"testing"

	"github.com/gatehouse-id/gatehouse/internal/testkit"
)

// One byte of one event is changed or added in the database, or the event is removed: gatehouse
// audit verify names the event, and the log is whole again once the change is undone.
func TestVerifyNamesTheEvent(t *testing.T) {
	s := newShelter(t)
	at := s.sqlite("one")
	s.fill(at)
	s.must(at, "audit", "verify")
	var list struct {
		Data []struct{ ID string }
	}
	testkit.Must(t, json.Unmarshal([]byte(s.must(at, "audit", "list", "--type", "CLIENT_CREATED", "--json")), &list))
	if len(list.Data) != 1 {
		t.Fatalf("%d events", len(list.Data))
	}
	id := list.Data[0].ID
	db, err := sql.Open("sqlite", strings.TrimPrefix(at, "sqlite:"))
	testkit.Must(t, err)
	defer db.Close()
	exec := func(text string, args ...any) {
		t.Helper()
		r, err := db.Exec(text, args...)
		testkit.Must(t, err)
		if n, _ := r.RowsAffected(); n != 1 {
			t.Fatalf("%s: %d rows", text, n)
		}
	}
	for name, change := range map[string]struct{ do, undo string }{
		"a byte added": {
			"UPDATE audit_log SET detail = detail || ' ' WHERE id = $1",
			"UPDATE audit_log SET detail = rtrim(detail, ' ') WHERE id = $1",
		},
		"a byte changed": {
			"UPDATE audit_log SET actor = 'clj' WHERE id = $1", "UPDATE audit_log SET actor = 'cli' WHERE id = $1",
		},
		"the time changed": {
			"UPDATE audit_log SET at = at + 1 WHERE id = $1", "UPDATE audit_log SET at = at - 1 WHERE id = $1",
		},
	} {
		exec(change.do, id)
		if status, text := s.run(at, "audit", "verify"); status == 0 || !strings.Contains(text, id) {
			t.Errorf("%s: status %d: %s", name, status, text)
		}
		exec(change.undo, id)
		if status, text := s.run(at, "audit", "verify"); status != 0 {
			t.Errorf("%s, undone: status %d: %s", name, status, text)
		}
	}
	exec("DELETE FROM audit_log WHERE id = $1", id)
	if status, text := s.run(at, "audit", "verify"); status == 0 || !strings.Contains(text, id) {
		t.Errorf("removed: status %d: %s", status, text)
	}
}
